"""A shard at full speed, against pgbench, a straightforward server, and its limits."""
