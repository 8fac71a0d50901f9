"""The doors for TVs: one service, and the transports in front of it."""
