"""Where TVs live: shards, devices, enrolment, tokens, placement, statistics."""
