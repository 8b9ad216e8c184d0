"""Keeping TensorFlow off the GPUs, without importing it before it is needed."""

from absl import logging


def keep_off_gpus() -> None:
    """Hide the GPUs from TensorFlow, which would take the memory that JAX needs."""
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        logging.warning("TensorFlow was in use before fpgan_jax was imported; it may hold GPU memory")
