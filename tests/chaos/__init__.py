"""Rounds whose processes are killed at random, held against undisturbed ones."""
