"""Owns what follows from a config's fields: shapes, the scale, numbers of persons, seeds."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from fpgan_jax.config.fields import CONDITION_CHANNELS, FIELDS, flatten_config


def resolve_seed(config: Mapping, name: str) -> int:
    """Find the seed of a stream of random numbers, given its field, as "classifier.dropout_seed".

    If the field's value is -1, it is that of the field it falls back on.
    """
    flat = flatten_config(config)
    while flat[name] == -1:
        name = FIELDS[name].fallback
    return flat[name]


def is_socofing(data_config: ConfigDict) -> bool:
    """Return whether prints are SOCOFing's, with its frame, and its scale that differs between the two directions."""
    has_resolution = data_config.sensor_ppi or data_config.image_ppi
    return data_config.source == "socofing" or (data_config.source == "npz" and not has_resolution)


def find_ppi(data_config: ConfigDict) -> float:
    """Return the resolution of a config's images, pixels per inch; 0 if the config does not say it."""
    return data_config.image_ppi or data_config.sensor_ppi


def image_shape(data_config: ConfigDict) -> tuple[int, int, int]:
    """Return (height, width, channels) of the images that a config trains on."""
    height = data_config.image_size
    return height, data_config.image_width or height, data_config.num_channels


def condition_shape(data_config: ConfigDict) -> tuple[int, int, int]:
    """Return (height, width, channels) of the generator's input: that of the image for noise and for files of pairs."""
    height, width, num_channels = image_shape(data_config)
    channels = CONDITION_CHANNELS.get(data_config.condition)
    return height, width, len(channels) if channels else num_channels


def count_persons(config: ConfigDict) -> int:
    """Return the number of persons in a config's training set, if its source knows them; 0 if they are all persons."""
    return len(config.data.persons) or config.data.num_persons
