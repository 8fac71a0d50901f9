"""TVs for demos and tests. They know only the doors of the server."""
