"""Prints, noise, pairs and batches."""
