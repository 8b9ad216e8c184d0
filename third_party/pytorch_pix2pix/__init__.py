"""Weights of the PyTorch pix2pix, in and out."""
