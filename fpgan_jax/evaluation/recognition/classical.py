"""Owns the classical augmentation that synthetic prints must beat: pose, skin distortion, ridge thickness, contact."""

import functools

import jax
import jax.numpy as jnp

from fpgan_jax.data import augmentation
from fpgan_jax.data.ridges import distortion
from fpgan_jax.evaluation.recognition.alignment import PERIOD, SIDE

# The network's view, smaller than aligned prints, so that a turned or shifted print has skin up to the edge.
VIEW_SIDE = 96
# Real prints are shifted by 20 pixels of 500 per inch, but these are aligned by their cores.
_SHIFT_SHARE = 0.35
_MAX_CONTRAST = 0.3
_MAX_THINNING = 0.5
_NOISE_STD = 0.2
# Share of the prints that lose a side, as in a smaller contact.
_CUT_SHARE = 0.5


def augment(key: jax.Array, images: jax.Array, strength: jax.Array | float) -> jax.Array:
    """Change every print at random as another impression might differ, and cut out the view.

    Args:
      key: of `jax.random`.
      images: int8 [batch, SIDE, SIDE].
      strength: 1 for the variation of real impressions, 0 for the unchanged middle of the print.

    Returns:
      float32 [batch, VIEW_SIDE, VIEW_SIDE, 1], about a unit cosine across the ridges.
    """
    keys = jax.random.split(key, len(images))
    return jax.vmap(lambda one, image: _augment_print(one, image, strength))(keys, images)


def cut_view(images: jax.Array) -> jax.Array:
    """Cut the view out of unchanged prints: int8 [batch, SIDE, SIDE] to float32 as in `augment`."""
    start = (SIDE - VIEW_SIDE) // 2
    inside = slice(start, start + VIEW_SIDE)
    return _scale(images[:, inside, inside])[..., None]


def _scale(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 40


def _augment_print(key: jax.Array, image: jax.Array, strength) -> jax.Array:
    pose_key, field_key, thin_key, tone_key, noise_key, cut_key = jax.random.split(key, 6)
    pose = distortion.sample_pose(pose_key, PERIOD, strength)
    pose = pose._replace(shift=_SHIFT_SHARE * pose.shift)
    field = distortion.sample_field(field_key, (VIEW_SIDE, VIEW_SIDE), PERIOD, strength)
    places = distortion.create_places(pose, field, (SIDE, SIDE))
    view = augmentation.sample_bilinearly(_scale(image)[..., None], *places)
    contact = view != 0
    view = _change_thickness(view, strength * jax.random.uniform(thin_key, minval=-1, maxval=1))
    view = view * (1 + strength * _MAX_CONTRAST * jax.random.uniform(tone_key, minval=-1, maxval=1))
    view = view + contact * strength * _NOISE_STD * jax.random.normal(noise_key, view.shape)
    return view * (1 - strength * _draw_cut(cut_key))


def _change_thickness(view: jax.Array, amount: jax.Array) -> jax.Array:
    """Make ridges thinner (amount from -1) or thicker (to 1) by gray-level erosion or dilation of one pixel."""
    side = len(view)
    # Erosion is dilation of the negative.
    sign = jnp.where(amount < 0, -1.0, 1.0)
    padded = jnp.pad(view, ((1, 1), (1, 1), (0, 0)))
    # Without the barrier XLA samples the view again for each neighbor.
    padded = jax.lax.optimization_barrier(sign * padded)
    shifted = [padded[row : row + side, column : column + side] for row in range(3) for column in range(3)]
    changed = sign * functools.reduce(jnp.maximum, shifted)
    return view + _MAX_THINNING * jnp.abs(amount) * (changed - view)


def _draw_cut(key: jax.Array) -> jax.Array:
    """Draw the side that is lost: float32 [VIEW_SIDE, VIEW_SIDE, 1], 1 where it is, with a soft edge."""
    angle_key, depth_key, is_cut_key = jax.random.split(key, 3)
    angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
    # The cut is at least a fifth of the view from its middle.
    distance = VIEW_SIDE * jax.random.uniform(depth_key, minval=0.2, maxval=0.5)
    places = jnp.arange(VIEW_SIDE, dtype=jnp.float32) - (VIEW_SIDE - 1) / 2
    depth = jnp.cos(angle) * places[:, None] + jnp.sin(angle) * places[None, :] - distance
    is_cut = jax.random.bernoulli(is_cut_key, _CUT_SHARE)
    return (is_cut * jax.nn.sigmoid(2 * depth / PERIOD))[..., None]
