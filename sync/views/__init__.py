"""REST: each view parses, calls and answers; what is decided, others decide."""
