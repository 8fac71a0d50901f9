"""Reading, assigning and merging at the speed of what they are made of."""
