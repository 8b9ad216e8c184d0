"""Weights and formats of outside projects, one package each."""
