"""The condition of a ridge map and an appearance: what its channels mean, as bytes."""

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.config.fields import RIDGE_CHANNELS, RIDGE_FILTERS
from fpgan_jax.data.ridges import appearance, ridge_map
from fpgan_jax.data.ridges.appearance import Appearance
from fpgan_jax.data.ridges.ridge_map import RidgeMap

# In the networks' range, the value of each channel but the noise where no skin touched.
NEUTRAL = (0.0, -1.0, 0.0, -1.0)
# A print's contrast hardly exceeds half of a byte.
_CONTRAST_GAIN = 2.0


def map_print(
    image: np.ndarray,
    period: float,
    window: tuple[slice, slice] = ridge_map.WHOLE,
    ridge_filter: str = RIDGE_FILTERS[0],
) -> np.ndarray:
    """Make the planes of a print's own ridges and appearance; arguments as `ridge_map.map_ridges`."""
    maps = ridge_map.map_ridges(image, period, window, ridge_filter)
    return create_planes(maps, appearance.measure_appearance(image, maps.contact))


def create_planes(maps: RidgeMap, look: Appearance) -> np.ndarray:
    """Make the planes of a condition, without the noise, of NumPy or JAX arrays; the look may be another print's.

    Returns:
      uint8 [height, width, channels - 1], in the order of `config.fields.RIDGE_CHANNELS`: ridges, from 1 in a valley to
      255 on a ridge, 128 where nothing touched; contact, 255 where the skin touched; the coarse mean gray, 128 where
      nothing touched; twice the coarse contrast.
    """
    mean, contrast = appearance.draw_appearance(look, maps.contact)
    planes = (128 + 127 * maps.ridges, 255 * maps.contact, mean, _CONTRAST_GAIN * contrast)
    numpy = jnp if isinstance(maps.ridges, jax.Array) else np
    return numpy.rint(numpy.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)


def draw_condition(condition: np.ndarray) -> np.ndarray:
    """Draw conditions as prints: uint8 [..., height, width], ridges dark, white where the skin did not touch."""
    planes = condition.astype(np.float32)
    ridges, contact = (
        planes[..., RIDGE_CHANNELS.index("ridges")],
        planes[..., RIDGE_CHANNELS.index("contact")],
    )
    return ridge_map.draw_maps(RidgeMap((ridges - 128) / 127, contact / 255))
