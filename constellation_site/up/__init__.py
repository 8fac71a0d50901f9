"""Everything in one terminal: what `manage.py up` starts, watches and stops.

`runner` tells the story from the first check to the last goodbye; the other modules
each know one part of it.
"""
