"""The console's first page, its navigation, and the look-up of one TV."""
