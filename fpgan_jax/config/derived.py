"""Owns what follows from a config's fields: shapes, the scale, numbers of persons, seeds.

Does not check them (`checks.py`).
"""

from collections.abc import Mapping

from ml_collections import ConfigDict

from fpgan_jax.config.fields import CONDITION_CHANNELS, FIELDS, flatten_config


def resolve_seed(config: Mapping, name: str) -> int:
    """Find the seed of a stream of random numbers.

    Args:
      config: a ConfigDict or nested dicts.
      name: the stream's field, as "classifier.dropout_seed".

    Returns:
      The field's own value, or where that is -1 that of the field it falls back on.
    """
    flat = flatten_config(config)
    while flat[name] == -1:
        name = FIELDS[name].fallback
    return flat[name]


def is_socofing(data_config: ConfigDict) -> bool:
    """Tell whether prints are SOCOFing's, with its frame and its enlargement, which is not the same both ways."""
    has_resolution = data_config.sensor_ppi or data_config.image_ppi
    return data_config.source == "socofing" or (data_config.source == "npz" and not has_resolution)


def find_ppi(data_config: ConfigDict) -> float:
    """Find the resolution of a config's images, pixels per inch; 0 where the config does not say it."""
    return data_config.image_ppi or data_config.sensor_ppi


def image_shape(data_config: ConfigDict) -> tuple[int, int, int]:
    """Find the shape of the images that a config trains on.

    Args:
      data_config: config.data; image_size, image_width and num_channels are used.

    Returns:
      (height, width, channels), pixels.
    """
    height = data_config.image_size
    return height, data_config.image_width or height, data_config.num_channels


def condition_shape(data_config: ConfigDict) -> tuple[int, int, int]:
    """Find the shape of what the generator is given.

    Args:
      data_config: config.data; condition and the image's shape are used.

    Returns:
      (height, width, channels): the image's own for noise and for files of pairs.
    """
    height, width, num_channels = image_shape(data_config)
    channels = CONDITION_CHANNELS.get(data_config.condition)
    return height, width, len(channels) if channels else num_channels


def count_persons(config: ConfigDict) -> int:
    """Count the persons of a config's training set, whose source tells them; 0 where the set is everybody."""
    return len(config.data.persons) or config.data.num_persons
