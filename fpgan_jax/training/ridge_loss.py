"""Owns the ridge loss: how far the ridges of a generated print are from those of its ridge map.

Orientations are found as in `data/ridges/ridge_map.py`, but in JAX.
"""

import math

import jax
import jax.numpy as jnp

from fpgan_jax.config.fields import RIDGE_CHANNELS, RIDGE_FILTERS
from fpgan_jax.training.blurring import blur

# By name of `config.fields.RIDGE_FILTERS`, even. Higher orders are narrower in frequency and in direction: 6 passes an
# eighth of ridges at 45 degrees, 2 a half, as the filters of the maps do.
_ORDERS = {"narrow": 6, "wide": 2}
# On the networks' scale. Ridges of less amplitude are not amplified to full ones.
_MIN_RMS = 0.02


def compute_ridge_loss(
    fake_image: jax.Array, condition: jax.Array, period: float, ridge_filter: str = RIDGE_FILTERS[0]
) -> jax.Array:
    """Compute 1 minus the mean correlation of a print's ridges with those of its map, within the contact.

    The print is filtered once, along the orientation of the map, and both are divided by their local rms: contrast and
    mean gray have no effect.

    Args:
      fake_image: [batch, height, width, channels], float in [-1, 1], ridges dark.
      condition: [batch, height, width, condition channels], float in [-1, 1], of `data.ridges.ridge_condition`.
      period: ridge period of the set's prints, pixels.
      ridge_filter: that of the map, of `config.data.ridge_filter`.

    Returns:
      A float32 scalar in [0, 2]: about 0 for the map's own ridges, 1 for those of another finger, or without contact.

    Source: none; the correlation is local, over a Gaussian of one period.
    """
    condition = jax.lax.stop_gradient(condition.astype(jnp.float32))
    ridges = condition[..., RIDGE_CHANNELS.index("ridges")]
    contact = (condition[..., RIDGE_CHANNELS.index("contact")] + 1) / 2
    print_ridges = -fake_image.astype(jnp.float32).mean(axis=-1)
    response = filter_along(print_ridges, estimate_orientation(ridges, period), period, _ORDERS[ridge_filter])
    product = response * ridges / (_measure_rms(response, period) * _measure_rms(ridges, period))
    # Example by example: the mean over a batch must not depend on how devices divide it.
    correlation = (contact * product).sum(axis=(1, 2)) / (contact.sum(axis=(1, 2)) + 1e-6)
    return (1 - correlation).mean()


def estimate_orientation(images: jax.Array, period: float) -> jax.Array:
    """Estimate which way ridges run, as `ridge_map.estimate_orientation`, for a period in pixels.

    Returns:
      Radians in [0, pi), counterclockwise from the row's direction; float32 [batch, height, width], as `images`.
    """
    down, across = (blur(images, period / 6, orders) for orders in ((1, 0), (0, 1)))
    xx, yy, xy = (blur(product, period) for product in (across**2, down**2, across * down))
    trace = xx + yy + 1e-6
    cosine, sine = (blur(part / trace, period / 2) for part in (xx - yy, 2 * xy))
    return (jnp.pi / 2 - jnp.arctan2(sine, cosine) / 2) % jnp.pi


def filter_along(images: jax.Array, orientation: jax.Array, period: float, order: int) -> jax.Array:
    """Filter images [batch, height, width] at each pixel's orientation, as `estimate_orientation` returns it.

    Returns:
      float32 [batch, height, width]; ridges of this period and orientation pass as they are, others are damped.

    Source: Freeman & Adelson 1991, steerable filters: a Gaussian's derivative across the ridges, of an even order, is
      a sum of its derivatives down and across; differs in: nothing.
    """
    sigma = math.sqrt(order) * period / (2 * math.pi)  # this filter passes the period best
    cosine, sine = jnp.cos(orientation), jnp.sin(orientation)
    total = jnp.zeros_like(images)
    for down in range(order + 1):
        across = order - down
        derivative = blur(images, sigma, (down, across))
        total += math.comb(order, down) * cosine**down * sine**across * derivative
    # The derivative multiplies ridges of frequency f, radians, by (-f^2)^(order / 2), and the Gaussian damps them.
    return total * (-math.e * sigma**2 / order) ** (order // 2)


def _measure_rms(images: jax.Array, period: float) -> jax.Array:
    return jnp.sqrt(blur(images**2, period) + _MIN_RMS**2)
