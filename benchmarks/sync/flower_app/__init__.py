"""What `flwr run` is given."""
