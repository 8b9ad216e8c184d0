"""Owns the Gaussian blur of images on devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy


def blur(images: jax.Array, sigma: float, orders: tuple[int, int] = (0, 0)) -> jax.Array:
    """Blur images [batch, height, width], float32, like `scipy.ndimage.gaussian_filter`; the result has their shape.

    `sigma` is in pixels; `orders` are those of the derivatives down and across, 0 for none.
    """
    down, across = (
        _create_blur(side, sigma, order) for side, order in zip(images.shape[1:], orders, strict=True)
    )
    return jnp.einsum("hi,bij,wj->bhw", down, images, across, precision="highest")


@functools.lru_cache(maxsize=16)
def _create_blur(side: int, sigma: float, order: int) -> np.ndarray:
    return scipy.ndimage.gaussian_filter1d(np.eye(side), sigma, axis=0, order=order).astype(np.float32)
