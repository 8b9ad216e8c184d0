"""Owns the bridge to Keras's Xception: its weights' files, read and written without Keras."""
