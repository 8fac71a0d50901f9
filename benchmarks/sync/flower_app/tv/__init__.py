"""An app of Flower: clients return what they are given, the server averages it."""
