"""The shell around the rooms: settings, urls, databases, processes, metrics."""
