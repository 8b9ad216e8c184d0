"""Imports and exports the weights of the PyTorch pix2pix, without PyTorch."""
