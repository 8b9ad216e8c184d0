"""Owns how another impression of a finger comes about: what is drawn at random for it, and the condition made of that.

Identity is the finger's ridge map alone; where the skin touched and how it looks are two other prints'. Does not choose
prints (`enlarging/enlarging.py`) or make images of conditions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.data.ridges import distortion, ridge_condition
from fpgan_jax.data.ridges.appearance import Appearance
from fpgan_jax.data.ridges.distortion import Pose
from fpgan_jax.data.ridges.ridge_map import RidgeMap

# Standard deviation an axis of how far the middles of the two contacts are apart, ridge periods. Two real impressions'
# are 3.3 apart (uareu, crossmatch), but an impression drawn has already lost all that the finger's own does not show.
_CONTACT_SHIFT = 1.5
# Of a print that shows less than the finger's own, whose area would be lost twice.
_MAX_SCALE = 1.5
# How much two impressions of a finger differ in mean grey and in contrast, as shares of what impressions of two
# fingers do: root mean squares, four impressions of uareu's 50 and crossmatch's 36 fingers (0.46, 0.45; 0.66, 0.65).
_MEAN_SHARE, _CONTRAST_SHARE = 0.45, 0.65
# Apart from the keys of dropout, which are made of the same three numbers.
_PURPOSE = 0x1D


def vary_appearance(usual: Appearance, other: Appearance) -> Appearance:
    """Bring a finger's usual look nearer to another print's, so that its impressions differ as real ones do.

    Args:
      usual: the finger's.
      other: a print's of another finger, drawn anew for every impression.

    Returns:
      The impression's look.
    """
    return Appearance(
        usual.mean + np.float32(_MEAN_SHARE) * (other.mean - usual.mean),
        usual.contrast + np.float32(_CONTRAST_SHARE) * (other.contrast - usual.contrast),
    )


class Variation(NamedTuple):
    """What makes one impression differ from another of its finger.

    Attributes:
      pose: how the finger is put down.
      contact_shift: float32 [2], pixels by which the middle of the other print's contact is further down and further
        right than that of the finger's own.
      field_seed: uint32 [], of the skin's distortion and the noise plane.
      contact_choice: uint32 [], picks the print whose contact is taken.
      appearance_choice: uint32 [], picks the print whose appearance is taken.
    """

    pose: Pose
    contact_shift: jax.Array | np.ndarray
    field_seed: jax.Array | np.ndarray
    contact_choice: jax.Array | np.ndarray
    appearance_choice: jax.Array | np.ndarray


def sample_variation(seed: jax.Array, finger: jax.Array, impression: jax.Array, period: float) -> Variation:
    """Draw what one impression of a finger is like, whatever others are drawn.

    Args:
      seed: uint32 [], of all impressions.
      finger: int32 [], its number.
      impression: int32 [], its number.
      period: of the ridges, pixels.

    Returns:
      The variation.
    """
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
    pixel_stretch: float = 1.0,
    canvas_stretch: float = 1.0,
) -> jax.Array:
    """Make the condition of an impression: the finger's ridges moved, where both it and the other print touched.

    Args:
      ridges: uint8 [canvas height, canvas width], the finger's, as a plane of `ridge_condition`.
      contact: uint8 of the same shape; 255 where it touched.
      other_contact: uint8 [height, width], another print's, which is enlarged if it is smaller than the finger's;
        beyond its edge it goes on as at its edge.
      look: of a print.
      noise: uint8 [height, width, 1].
      variation: the pose, the contact's shift and the field's seed are used; its pixels are square, of the same area.
      period: of the ridges, pixels.
      pixel_stretch: width over height that a square of skin has in the condition and in the other contact.
      canvas_stretch: the same on the canvas.

    Returns:
      uint8 [height, width, channels], as of `ridge_condition.add_noise`.
    """
    shape, canvas_shape = _get_shape(other_contact), _get_shape(ridges)
    stretches = {"pixel_stretch": pixel_stretch, "picture_stretch": canvas_stretch}
    field_key = jax.random.key(variation.field_seed)
    field = distortion.sample_field(field_key, shape, period, pixel_stretch=pixel_stretch)
    places = distortion.create_places(variation.pose, field, canvas_shape, **stretches)
    finger = jnp.stack([(ridges.astype(jnp.float32) - 128) / 127, contact / 255], axis=-1)
    inside = distortion.find_inside(places, canvas_shape, period / 2)[..., None]
    moved_ridges, moved_contact = jnp.moveaxis(distortion.resample(finger, places) * inside, -1, 0)
    contact_pose = variation.pose._replace(shift=variation.pose.shift + variation.contact_shift)
    touched = _place(
        other_contact / 255,
        distortion.move(_find_middle(contact), contact_pose, canvas_shape, shape, **stretches),
        contact.sum(dtype=jnp.float32) / 255,
    )
    maps = RidgeMap(jnp.clip(moved_ridges * touched, -1, 1), jnp.clip(moved_contact, 0, 1) * touched)
    # All bits of the operands, which an accelerator would cut otherwise.
    with jax.default_matmul_precision("highest"):
        planes = ridge_condition.create_planes(maps, look)
    return jnp.concatenate([planes, noise], axis=-1)


def _get_shape(image: jax.Array) -> tuple[int, int]:
    height, width = image.shape
    return height, width


def _find_middle(contact: jax.Array) -> jax.Array:
    """Find the centroid [2] of a contact, row and column; of nothing, the picture's middle."""
    weights = contact.astype(jnp.float32) + 1e-6
    rows, columns = weights.sum(axis=1), weights.sum(axis=0)
    middle = [(each * jnp.arange(len(each))).sum() for each in (rows, columns)]
    return jnp.stack(middle) / weights.sum()


def _place(contact: jax.Array, middle: jax.Array, area: jax.Array) -> jax.Array:
    """Bring a contact's middle to a place, and enlarge it to an area, in pixels, if it is smaller."""
    scale = jnp.clip(jnp.sqrt(area / (contact.sum() + 1e-6)), 1, _MAX_SCALE)
    own_middle = _find_middle(contact)
    places = [
        own + (jnp.arange(side) - wanted) / scale
        for side, own, wanted in zip(contact.shape, own_middle, middle, strict=True)
    ]
    # Bilinear.
    places = jnp.meshgrid(*places, indexing="ij")
    return jax.scipy.ndimage.map_coordinates(contact, places, order=1, mode="nearest")
