"""Imports and exports the weights of Keras's Xception, without Keras."""
