"""Prints that a program grows, in SOCOFing's own layout."""
