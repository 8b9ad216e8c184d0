"""Sweeps: one get_sweep() a file, which returns a dict a run: config field -> value."""
