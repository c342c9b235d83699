"""Data sets: which images there are, what they show, and how they are read."""
