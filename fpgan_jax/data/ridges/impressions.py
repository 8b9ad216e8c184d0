"""Another impression of a finger: what is drawn at random for it, and the condition made of that.

The identity is in the finger's ridge map; contact and appearance come from two other prints, which
`enlarging/enlarging.py` chooses.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.data.ridges import distortion, ridge_condition
from fpgan_jax.data.ridges.appearance import Appearance
from fpgan_jax.data.ridges.distortion import Pose
from fpgan_jax.data.ridges.ridge_map import RidgeMap

# Raise it whenever a change alters the impressions of given rows.
VERSION = 2

# Standard deviation per axis of the distance between the middles of the two contacts, ridge periods. For two real
# impressions it is 3.3 (uareu, crossmatch), but a drawn impression already lacks what the finger's own does not show.
_CONTACT_SHIFT = 1.5
# Of a print that shows less than the finger's own, whose area would be lost twice.
_MAX_SCALE = 1.5
# Difference in mean gray and in contrast of two impressions of one finger, relative to those of two fingers: root mean
# squares of four impressions of uareu's 50 and crossmatch's 36 fingers (0.46, 0.45; 0.66, 0.65).
_MEAN_SHARE, _CONTRAST_SHARE = 0.45, 0.65
# Distinguishes the keys from those of dropout, which are made of the same three numbers.
_PURPOSE = 0x1D


def vary_appearance(usual: Appearance, other: Appearance, average: Appearance) -> Appearance:
    """Mix a finger's usual look with that of another finger's print, so that its impressions differ as real ones do.

    The variances of the two parts add up to that of the prints, so that the looks of many fingers' impressions vary as
    much as those of the prints that they are mixed from; a mean of two looks would vary less.

    Args:
      usual: of the finger's print.
      other: of a print of another finger.
      average: of the prints that `other` is from.
    """
    mean, contrast = (
        center + np.float32(math.sqrt(1 - share**2)) * (own - center) + np.float32(share) * (others - center)
        for own, others, center, share in zip(
            usual, other, average, (_MEAN_SHARE, _CONTRAST_SHARE), strict=True
        )
    )
    return Appearance(np.clip(mean, 0, 255), np.clip(contrast, 0, 127.5))


class Variation(NamedTuple):
    """What makes one impression differ from another of its finger."""

    pose: Pose
    contact_shift: jax.Array | np.ndarray  # float32 [2], from the finger's own contact to the other's, pixels
    field_seed: jax.Array | np.ndarray  # uint32 [], of the skin's distortion and the noise plane
    contact_choice: jax.Array | np.ndarray  # uint32 [], picks the print whose contact is taken
    appearance_choice: jax.Array | np.ndarray  # uint32 [], picks the print whose appearance is taken


def sample_variation(seed: jax.Array, finger: jax.Array, impression: jax.Array, period: float) -> Variation:
    """Draw one impression of a finger, independently of others; all numbers are scalars, `period` in pixels."""
    key = jax.random.key(seed)
    for number in (_PURPOSE, finger, impression):
        key = jax.random.fold_in(key, number)
    pose_key, contact_key, choice_key = jax.random.split(key, 3)
    pose = distortion.sample_pose(pose_key, period)
    contact_shift = _CONTACT_SHIFT * period * jax.random.normal(contact_key, (2,))
    return Variation(pose, contact_shift, *jax.random.bits(choice_key, (3,), jnp.uint32))


def create_condition(
    ridges: jax.Array,
    contact: jax.Array,
    other_contact: jax.Array,
    look: Appearance,
    noise: jax.Array,
    variation: Variation,
    period: float,
    *,
    follows_contact: bool = False,
    pixel_stretch: float = 1.0,
    canvas_stretch: float = 1.0,
) -> jax.Array:
    """Make the condition of an impression: the finger's ridges, moved, where both it and the other print touched.

    A given finger's own contact is part of what is known of it, so the other contact comes to its middle. A new finger
    comes to the middle of the other contact, which stays where a print of this sensor has it.

    Args:
      ridges: uint8 [canvas height, canvas width], the finger's, as a plane of `ridge_condition`.
      contact: uint8 of the same shape; 255 where it touched.
      other_contact: uint8 [height, width], another print's.
      look: of a print.
      noise: uint8 [height, width, 1].
      variation: the pose, the contact's shift and the field's seed are used, in square pixels of the same area.
      period: of the ridges, pixels.
      follows_contact: whether the canvas's middle comes to the other contact's, from where it is shifted; otherwise the
        other contact moves, and is enlarged if it is smaller than the finger's.
      pixel_stretch: width over height of a square of skin in the condition and in the other contact.
      canvas_stretch: the same on the canvas.

    Returns:
      uint8 [height, width, channels]: the planes of `ridge_condition` and the noise.
    """
    shape, canvas_shape = _get_shape(other_contact), _get_shape(ridges)
    stretches = {"pixel_stretch": pixel_stretch, "picture_stretch": canvas_stretch}
    field_key = jax.random.key(variation.field_seed)
    field = distortion.sample_field(field_key, shape, period, pixel_stretch=pixel_stretch)
    pose = variation.pose
    if follows_contact:
        root = math.sqrt(pixel_stretch)
        offset = _find_middle(other_contact) - (np.array(shape, np.float32) - 1) / 2
        pose = pose._replace(shift=pose.shift + offset * np.array([root, 1 / root], np.float32))
    places = distortion.create_places(pose, field, canvas_shape, **stretches)
    finger = jnp.stack([(ridges.astype(jnp.float32) - 128) / 127, contact / 255], axis=-1)
    inside = distortion.find_inside(places, canvas_shape, period / 2)[..., None]
    moved_ridges, moved_contact = jnp.moveaxis(distortion.resample(finger, places) * inside, -1, 0)
    touched = other_contact / 255
    if not follows_contact:
        contact_pose = pose._replace(shift=pose.shift + variation.contact_shift)
        middle = distortion.move(_find_middle(contact), contact_pose, canvas_shape, shape, **stretches)
        touched = _place(touched, middle, contact.sum(dtype=jnp.float32) / 255)
    maps = RidgeMap(jnp.clip(moved_ridges * touched, -1, 1), jnp.clip(moved_contact, 0, 1) * touched)
    # An accelerator would cut the operands' lower bits.
    with jax.default_matmul_precision("highest"):
        planes = ridge_condition.create_planes(maps, look)
    return jnp.concatenate([planes, noise], axis=-1)


def _get_shape(image: jax.Array) -> tuple[int, int]:
    height, width = image.shape
    return height, width


def _find_middle(contact: jax.Array) -> jax.Array:
    """Find the centroid [2] of a contact, row and column; the picture's middle if nothing touched."""
    weights = contact.astype(jnp.float32) + 1e-6
    rows, columns = weights.sum(axis=1), weights.sum(axis=0)
    middle = [(each * jnp.arange(len(each))).sum() for each in (rows, columns)]
    return jnp.stack(middle) / weights.sum()


def _place(contact: jax.Array, middle: jax.Array, area: jax.Array) -> jax.Array:
    """Move a contact's middle to a position, and enlarge it to an area, in pixels, if it is smaller."""
    scale = jnp.clip(jnp.sqrt(area / (contact.sum() + 1e-6)), 1, _MAX_SCALE)
    own_middle = _find_middle(contact)
    places = [
        own + (jnp.arange(side) - wanted) / scale
        for side, own, wanted in zip(contact.shape, own_middle, middle, strict=True)
    ]
    places = jnp.meshgrid(*places, indexing="ij")
    return jax.scipy.ndimage.map_coordinates(contact, places, order=1, mode="nearest")
