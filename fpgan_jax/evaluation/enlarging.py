"""Owns the enlargement of a database: impressions of given prints or of new fingers, from a checkpoint to image files.

An image is a function of its manifest's row, the prints that the row names and the checkpoint; its row is one of the
checkpoint, the seed, the finger and the impression alone. Does not make conditions (`data/impressions.py`), find fingers
(`finger_sources.py`) or write shards (`sharded_synthesis.py`).
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import configuration, parallel
from fpgan_jax.configuration import SOURCE_FIELDS
from fpgan_jax.data import appearance, impressions, print_loading, ridge_map
from fpgan_jax.data.distortion import Pose
from fpgan_jax.data.impressions import Variation
from fpgan_jax.data.print_scale import PERIOD_AT_500_PPI
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import finger_sources, sharded_synthesis, shards, synthesis
from fpgan_jax.evaluation.finger_sources import Finger, FingerSource
from fpgan_jax.evaluation.sharded_synthesis import IMAGES_PER_CALL


@dataclasses.dataclass(frozen=True)
class ImpressionRow(synthesis.ManifestRow):
    """What is known of one synthetic impression, and all that decides it beside the prints and the checkpoint it names.

    Of what every synthetic print has, `person` is the finger's number, `replica` the impression's, `noise` is "given" or
    "new_finger", and `noise_seed` -1.

    Attributes:
      source: file of the finger's print, or `new:SEED:NUMBER`.
      rotation: radians, counter-clockwise.
      shift_down: pixels.
      shift_right: pixels.
      stretch_down: factor.
      stretch_right: factor.
      field_seed: of the skin's distortion and of the noise plane.
      contact: file of the training print whose contact was taken.
      contact_down: pixels by which that contact was shifted.
      contact_right: pixels.
      appearance: file of the training print whose appearance was taken.
    """

    source: str
    rotation: float
    shift_down: float
    shift_right: float
    stretch_down: float
    stretch_right: float
    field_seed: int
    contact: str
    contact_down: float
    contact_right: float
    appearance: str

    @property
    def variation(self) -> Variation:
        """What was drawn for the impression, but for the choices of prints."""
        pose = Pose(
            np.float32(self.rotation),
            np.array([self.shift_down, self.shift_right], np.float32),
            np.array([self.stretch_down, self.stretch_right], np.float32),
        )
        contact_shift = np.array([self.contact_down, self.contact_right], np.float32)
        return Variation(pose, contact_shift, np.uint32(self.field_seed), np.uint32(0), np.uint32(0))


@dataclasses.dataclass(frozen=True)
class Enlargement:
    """A checkpoint, the fingers and the training prints that impressions are drawn from.

    Attributes:
      config: the checkpoint's config with `synthesis` as wanted.
      step: the checkpoint's step.
      metadata: the checkpoint's.
      variables: the checkpoint's "generator" or "generator_ema".
      source: the fingers.
      training_prints: whose contacts and appearances are taken.
    """

    config: ConfigDict
    step: int
    metadata: dict
    variables: dict
    source: FingerSource
    training_prints: PrintSet

    def describe_settings(self, num_impressions: int) -> dict:
        """Describe what decides every pixel of a folder of so many impressions of each finger."""
        settings = synthesis.describe_settings(self.config, self.metadata, self.step, self.variables)
        return settings | {
            "fingers": self.source.content_hash,
            "training_prints": self.training_prints.data_hash,
            "num_impressions": num_impressions,
        }

    def create_rows(self, finger: Finger, num_impressions: int) -> list[ImpressionRow]:
        """Create the rows of a finger's impressions 1 to `num_impressions`."""
        variations = jax.device_get(
            _sample_variations(
                self.config.synthesis.seed, finger.number, num_impressions, self.source.period
            )
        )
        others = self._list_others(finger.number)
        return [
            self._create_row(finger, impression, jax.tree.map(lambda leaf: leaf[impression - 1], variations), others)
            for impression in range(1, num_impressions + 1)
        ]

    def _create_row(
        self, finger: Finger, impression: int, variation: Variation, others: np.ndarray
    ) -> ImpressionRow:
        row = synthesis.create_row(
            self.config,
            self.metadata,
            self.step,
            file=f"{finger.name}_{impression:02d}.png",
            person=finger.number,
            replica=impression,
        )
        is_new = finger.source.startswith(f"{finger_sources.NEW}:")
        base = dataclasses.asdict(row) | {"noise": "new_finger" if is_new else "given", "noise_seed": -1}
        contact, look = (
            self.training_prints.filenames[others[choice % len(others)]]
            for choice in (int(variation.contact_choice), int(variation.appearance_choice))
        )
        shift, stretch = variation.pose.shift.tolist(), variation.pose.stretch.tolist()
        return ImpressionRow(
            **base,
            source=finger.source,
            rotation=float(variation.pose.rotation),
            shift_down=shift[0],
            shift_right=shift[1],
            stretch_down=stretch[0],
            stretch_right=stretch[1],
            field_seed=int(variation.field_seed),
            contact=contact,
            contact_down=float(variation.contact_shift[0]),
            contact_right=float(variation.contact_shift[1]),
            appearance=look,
        )

    def _list_others(self, number: int) -> np.ndarray:
        """List the places of the training prints that are not this finger's."""
        others = np.flatnonzero(self.training_prints.persons != number)
        if not len(others):
            raise UserError("the generator was trained on one finger only, so that no other gives contact and appearance")
        return others


@functools.partial(jax.jit, static_argnames=("num_impressions", "period"))
def _sample_variations(seed, number, num_impressions: int, period: float) -> Variation:
    return jax.vmap(lambda impression: impressions.sample_variation(seed, number, impression, period))(
        np.arange(1, num_impressions + 1)
    )
