"""Exports trained networks as files that other programs run without this package."""
