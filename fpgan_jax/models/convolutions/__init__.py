"""Convolutions and poolings in forms that XLA is fast with.

The fast form was measured on CPU, layer by layer and in the whole step (`python -m launch.benchmark`). A GPU gets the
plain form, which cuDNN knows, unless the whole step was faster with another on an H100 (docs/benchmarks.md).
"""
