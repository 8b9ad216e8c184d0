"""Experiment 2: synthesis, similarity and table 2."""
