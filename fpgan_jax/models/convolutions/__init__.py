"""The convolutions and poolings that XLA is slow with as they stand, each with its plain form.

Which form is the fast one was measured on CPU, layer by layer and in the whole step (`python -m launch.benchmark`). A
GPU gets the plain form, which cuDNN knows, except where the whole step was faster with another on an H100
(docs/benchmarks.md).
"""
