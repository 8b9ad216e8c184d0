"""Sweeps: one get_sweep() per file, which returns one dict per run: config field -> value."""
