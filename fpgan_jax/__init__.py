"""Fingerprints from noise with pix2pix, and their likeness measured with Xception, in JAX."""
