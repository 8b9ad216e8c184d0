"""Random changes of images on the device: the classifier's augmentation, pix2pix's jitter, and a finger's warp.

Nothing is mirrored: a mirrored print is another print.
"""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from fpgan_jax.data.ridges import distortion, ridge_condition
from fpgan_jax.errors import UserError


def augment_prints(
    key: jax.Array, images: jax.Array, augmentation_config: ConfigDict, *, first_index: int | jax.Array = 0
) -> jax.Array:
    """Change every print at random: a similarity transform, then contrast, brightness and noise.

    An example's randomness depends on the key and on its index in the global batch, not on how the batch is divided
    over devices. Beyond an image its edge pixels are repeated: white would be a wedge that shows the angle.

    Args:
      key: of `jax.random`, one for the whole global batch.
      images: [batch, height, width, channels], float32, in [-1, 1], like the result.
      augmentation_config: config.classifier.augmentation; a field that is 0 changes nothing, exactly.
      first_index: the first example's index in the global batch.

    Raises:
      UserError: scaling or contrast is not in [0, 1).
    """
    for field in ("scaling", "contrast"):
        if not 0 <= augmentation_config[field] < 1:
            raise UserError(
                f"config.classifier.augmentation.{field}: {augmentation_config[field]} is not in [0, 1)"
            )
    keys = _fold_in_indices(key, images.shape[0], first_index)
    return jax.vmap(lambda k, image: _augment_print(k, image, augmentation_config))(keys, images)


def jitter_pair(
    key: jax.Array,
    noise_image: jax.Array,
    real_image: jax.Array,
    jitter: int,
    *,
    first_index: int | jax.Array = 0,
) -> tuple[jax.Array, jax.Array]:
    """Enlarge noise and print by `jitter` pixels and crop both at the same random place; 0 changes nothing.

    Both are [batch, height, width, channels], float32, in [-1, 1]; `key` and `first_index` as in `augment_prints`.

    Source: Isola et al. 2017, section 6.2 (286 cropped to 256); differs in: never mirrored.
    """
    if jitter == 0:
        return noise_image, real_image
    keys = _fold_in_indices(key, noise_image.shape[0], first_index)

    def crop(k: jax.Array, noise: jax.Array, real: jax.Array) -> tuple[jax.Array, jax.Array]:
        offsets = jax.random.randint(k, (2,), 0, jitter + 1)
        return _crop_enlarged(noise, offsets, jitter), _crop_enlarged(real, offsets, jitter)

    return jax.vmap(crop)(keys, noise_image, real_image)


def warp_pair(
    key: jax.Array,
    condition: jax.Array,
    real_image: jax.Array,
    *,
    strength: float,
    period: float,
    neutral: tuple[float, ...] = ridge_condition.NEUTRAL,
    first_index: int | jax.Array = 0,
) -> tuple[jax.Array, jax.Array]:
    """Move and distort a print together with the condition made from it, like another impression of the finger.

    Beyond the image's edge the condition is neutral and the print white.

    Args:
      key: as in `augment_prints`.
      condition: [batch, height, width, condition channels], float32, in [-1, 1], of `ridge_pairs`.
      real_image: [batch, height, width, channels], float32, in [-1, 1].
      strength: of `distortion.sample_pose` and `distortion.sample_field`; 0 changes nothing, exactly.
      period: of the ridges, pixels.
      neutral: value of each of the condition's first planes beyond the finger; the planes after them stay.
      first_index: as in `augment_prints`.
    """
    if strength == 0:
        return condition, real_image
    num_planes = len(neutral)
    images = jnp.concatenate([condition[..., :num_planes], real_image], axis=-1)
    outside = jnp.array([*neutral, *[1.0] * real_image.shape[-1]], jnp.float32)

    def warp(k: jax.Array, image: jax.Array) -> jax.Array:
        pose_key, field_key = jax.random.split(k)
        shape = image.shape[0], image.shape[1]
        pose = distortion.sample_pose(pose_key, period, strength)
        field = distortion.sample_field(field_key, shape, period, strength)
        places = distortion.create_places(pose, field, shape)
        # As soft as a contact's edge; further out the mirrored continuation would show ridges that turn around.
        inside = distortion.find_inside(places, shape, period / 2)[..., None]
        return outside + inside * (distortion.resample(image, places) - outside)

    warped = jax.vmap(warp)(_fold_in_indices(key, len(images), first_index), images)
    warped = jnp.clip(warped, -1, 1)  # splines overshoot
    planes, real_image = jnp.split(warped, [num_planes], axis=-1)
    return jnp.concatenate([planes, condition[..., num_planes:]], axis=-1), real_image


def sample_affine(
    key: jax.Array, height: int, width: int, augmentation_config: ConfigDict
) -> tuple[jax.Array, jax.Array]:
    """Draw the map from a result's pixel to its position in an image of height x width pixels.

    Returns:
      (matrix [2, 2], offset [2]), float32: position = matrix @ (pixel - center) + center + offset, rows first. The
      matrix is a rotation times a positive factor.
    """
    turn, growth, down, across = jax.random.uniform(key, (4,), minval=-1, maxval=1)
    radians = jnp.deg2rad(turn * augmentation_config.rotation_degrees)
    scale = 1 + growth * augmentation_config.scaling
    cosine, sine = jnp.cos(radians) / scale, jnp.sin(radians) / scale
    offset = jnp.stack([down * height, across * width]) * augmentation_config.translation
    return jnp.array([[cosine, -sine], [sine, cosine]]), offset


def _augment_print(key: jax.Array, image: jax.Array, augmentation_config: ConfigDict) -> jax.Array:
    affine_key, tone_key, noise_key = jax.random.split(key, 3)
    if augmentation_config.rotation_degrees or augmentation_config.translation or augmentation_config.scaling:
        height, width, _ = image.shape
        matrix, offset = sample_affine(affine_key, height, width, augmentation_config)
        image = resample(image, matrix, offset)
    contrast, brightness = jax.random.uniform(tone_key, (2,), minval=-1, maxval=1)
    if augmentation_config.contrast:
        image = image * (1 + contrast * augmentation_config.contrast)
    if augmentation_config.brightness:
        image = image + brightness * augmentation_config.brightness
    if augmentation_config.noise_std:
        image = image + augmentation_config.noise_std * jax.random.normal(noise_key, image.shape)
    return jnp.clip(image, -1, 1)


def resample(image: jax.Array, matrix: jax.Array, offset: jax.Array) -> jax.Array:
    """Apply the map of `sample_affine` to an image [height, width, channels]."""
    height, width, _ = image.shape
    center = jnp.array([(height - 1) / 2, (width - 1) / 2], jnp.float32)
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    pixels = jnp.stack([rows, columns]).reshape(2, -1) - center[:, None]
    # Plain multiply-adds: a matrix product would be rounded to fewer bits on some accelerators.
    row = matrix[0, 0] * pixels[0] + matrix[0, 1] * pixels[1] + center[0] + offset[0]
    column = matrix[1, 0] * pixels[0] + matrix[1, 1] * pixels[1] + center[1] + offset[1]
    return sample_bilinearly(image, row, column).reshape(image.shape)


def sample_bilinearly(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    """Sample [height, width, channels] at positions [...] to [..., channels]; outside is the nearest edge pixel."""
    height, width, num_channels = image.shape
    row = jnp.clip(row, 0, height - 1)
    column = jnp.clip(column, 0, width - 1)
    top, left = jnp.floor(row).astype(jnp.int32), jnp.floor(column).astype(jnp.int32)
    bottom, right = jnp.minimum(top + 1, height - 1), jnp.minimum(left + 1, width - 1)
    down, across = (row - top)[..., None], (column - left)[..., None]
    flat = image.reshape(-1, num_channels)
    upper = flat[top * width + left] * (1 - across) + flat[top * width + right] * across
    lower = flat[bottom * width + left] * (1 - across) + flat[bottom * width + right] * across
    return upper * (1 - down) + lower * down


def _crop_enlarged(image: jax.Array, offsets: jax.Array, jitter: int) -> jax.Array:
    height, width, num_channels = image.shape
    enlarged = jax.image.resize(image, (height + jitter, width + jitter, num_channels), "cubic")
    cropped = jax.lax.dynamic_slice(enlarged, (offsets[0], offsets[1], 0), image.shape)
    return jnp.clip(cropped, -1, 1)  # cubic interpolation overshoots


def _fold_in_indices(key: jax.Array, count: int, first_index: int | jax.Array) -> jax.Array:
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(first_index + jnp.arange(count))
