"""Owns the bridges to outside projects' formats, a folder each; nothing in `fpgan_jax` imports them."""
