"""Owns which seed decides which random numbers of a training: initial weights, dropout, augmentation."""

from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from fpgan_jax.config.derived import resolve_seed


class StepKeys(NamedTuple):
    """The random keys of a run's steps, or of one step."""

    dropout: jax.Array
    augmentation: jax.Array


def create_keys(config: ConfigDict, group: str = "") -> tuple[jax.Array, StepKeys]:
    """Create the key of a run's initial weights, and the keys of its steps, from the config's seeds.

    `group` is the prefix of the seeds' fields: "" for the GAN's, "classifier." for the classifier's. Keys of the same
    seed are independent.
    """

    def split(stream: str) -> jax.Array:
        seed = resolve_seed(config, f"{group}{stream}_seed")
        return jax.random.split(jax.random.key(seed))

    return split("weights")[0], StepKeys(split("dropout")[1], split("augmentation")[1])


def fold_in_step(base_keys: StepKeys, step: jax.Array) -> StepKeys:
    """Derive the keys of one step from the run's keys and the number of completed steps."""
    dropout_key, _ = jax.random.split(jax.random.fold_in(base_keys.dropout, step))
    _, augmentation_key = jax.random.split(jax.random.fold_in(base_keys.augmentation, step))
    return StepKeys(dropout_key, augmentation_key)
