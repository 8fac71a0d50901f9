"""Messages of ``proto/constellation/v1/``, which has the comments."""
