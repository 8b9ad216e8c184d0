"""Measures how fast the networks, their training and their input are, beside PyTorch."""
