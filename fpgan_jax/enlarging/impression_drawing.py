"""Owns one impression: its manifest's row, and drawing it from the row, the prints that the row names and a checkpoint.

A row is a function of the checkpoint, the seed, the finger and the impression alone. Does not make conditions
(`data/ridges/impressions.py`), find fingers (`finger_sources.py`) or write files (`enlarging.py`).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config import derived
from fpgan_jax.data import preprocessing
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import distortion, impressions, minutiae_map, ridge_map, ridge_pairs
from fpgan_jax.data.ridges.appearance import Appearance, measure_appearance
from fpgan_jax.data.ridges.distortion import Pose
from fpgan_jax.data.ridges.impressions import Variation
from fpgan_jax.data.ridges.print_scale import (
    find_resolution,
    find_sensor_period,
    find_stretch,
    write_resolution,
)
from fpgan_jax.data.ridges.ridge_map import RidgeMap
from fpgan_jax.enlarging import finger_sources
from fpgan_jax.enlarging.finger_sources import Finger, FingerSource
from fpgan_jax.errors import UserError
from fpgan_jax.synthesis import drawing, image_folder, manifest
from fpgan_jax.synthesis.manifest import GIVEN_PRINT, NEW_FINGER
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL, DevicePrograms

_IMPRESSIONS_PER_CALL = 16


@dataclasses.dataclass(frozen=True)
class ImpressionRow(manifest.ManifestRow):
    """What is known of one synthetic impression, and all that decides it beside the prints and the checkpoint it names.

    Of what every synthetic print has, `person` is the finger's number, `replica` the impression's, `noise` is
    "given_print" or "new_finger", and `noise_seed` -1.

    Pixels of its numbers are square, and as large as the image's where these are not.

    Attributes:
      ppi: the image's pixels per inch; ACROSSxDOWN where its pixels are not square.
      source: file of the finger's print, or `new:SEED:NUMBER`.
      rotation: radians, counter-clockwise.
      shift_down: pixels.
      shift_right: pixels.
      stretch_down: factor.
      stretch_right: factor.
      field_seed: of the skin's distortion and of the noise plane.
      contact: file of the training print whose contact was taken.
      contact_down: pixels by which its middle is below that of the finger's own contact.
      contact_right: pixels.
      finger_appearance: file of the print whose appearance is the finger's usual one: `source`, or of a new finger a
        training print.
      appearance: file of the training print towards whose appearance the impression's was moved.
    """

    ppi: str
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
    finger_appearance: str
    appearance: str

    @property
    def variation(self) -> Variation:
        """What was drawn for the impression, but for the choices of prints."""
        pose = Pose(
            np.array(self.rotation, np.float32),
            np.array([self.shift_down, self.shift_right], np.float32),
            np.array([self.stretch_down, self.stretch_right], np.float32),
        )
        contact_shift = np.array([self.contact_down, self.contact_right], np.float32)
        unused = np.array(0, np.uint32)
        return Variation(pose, contact_shift, np.array(self.field_seed, np.uint32), unused, unused)


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
      is_square: whether images get square pixels, rather than the generator's own.
    """

    config: ConfigDict
    step: int
    metadata: dict
    variables: dict
    source: FingerSource
    training_prints: PrintSet
    is_square: bool = True

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixels per inch of the images, down and across."""
        down, across = find_resolution(self.config.data)
        return ((down * across) ** 0.5,) * 2 if self.is_square else (down, across)

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the images, pixels."""
        shape = derived.image_shape(self.config.data)[:2]
        return (
            distortion.find_square_shape(shape, find_stretch(self.config.data)) if self.is_square else shape
        )

    def describe_settings(self) -> dict:
        """Describe what decides an image of a finger and an impression, in what JSON can hold."""
        settings = image_folder.describe_settings(self.config, self.metadata, self.step, self.variables)
        return settings | {
            "fingers": self.source.content_hash,
            "training_prints": self.training_prints.data_hash,
            "ppi": write_resolution(self.resolution),
        }

    def create_rows(self, finger: Finger, num_impressions: int) -> list[ImpressionRow]:
        """Create the rows of a finger's impressions 1 to `num_impressions`."""
        others = np.flatnonzero(self.training_prints.persons != finger.number)
        if not len(others):
            raise UserError(
                "the generator was trained on this finger alone; no other gives its contact and appearance"
            )
        # Impression 0, which is not drawn, chooses what they have in common.
        usual = jax.device_get(
            _sample_variations(self.config.synthesis.seed, finger.number, 0, self.source.period)
        ).appearance_choice[0]
        is_new = isinstance(self.source, finger_sources.NewFingers)
        finger_appearance = self._choose_print(others, usual) if is_new else finger.source
        rows = []
        for first in range(1, num_impressions + 1, _IMPRESSIONS_PER_CALL):
            variations = jax.device_get(
                _sample_variations(self.config.synthesis.seed, finger.number, first, self.source.period)
            )
            for place in range(min(_IMPRESSIONS_PER_CALL, num_impressions + 1 - first)):
                variation = jax.tree.map(lambda leaf, place=place: leaf[place], variations)
                row = self._create_row(finger, first + place, variation, others)
                rows.append(dataclasses.replace(row, finger_appearance=finger_appearance))
        return rows

    def _choose_print(self, others: np.ndarray, choice: int) -> str:
        return self.training_prints.filenames[others[choice % len(others)]]

    def _create_row(
        self, finger: Finger, impression: int, variation: Variation, others: np.ndarray
    ) -> ImpressionRow:
        row = manifest.create_row(
            self.config,
            self.metadata,
            self.step,
            file=f"{finger.name}_{impression:02d}.png",
            person=finger.number,
            replica=impression,
        )
        pose = variation.pose
        contact, appearance = (
            self._choose_print(others, int(choice))
            for choice in (variation.contact_choice, variation.appearance_choice)
        )
        is_new = isinstance(self.source, finger_sources.NewFingers)
        return ImpressionRow(
            **dataclasses.asdict(row) | {"noise": NEW_FINGER if is_new else GIVEN_PRINT, "noise_seed": -1},
            ppi=write_resolution(self.resolution),
            source=finger.source,
            rotation=float(pose.rotation),
            shift_down=float(pose.shift[0]),
            shift_right=float(pose.shift[1]),
            stretch_down=float(pose.stretch[0]),
            stretch_right=float(pose.stretch[1]),
            field_seed=int(variation.field_seed),
            contact=contact,
            contact_down=float(variation.contact_shift[0]),
            contact_right=float(variation.contact_shift[1]),
            finger_appearance="",
            appearance=appearance,
        )


@functools.partial(jax.jit, static_argnames="period")
def _sample_variations(seed, number, first, period: float) -> Variation:
    # As many whatever is asked for: another program may round otherwise.
    numbers = first + jnp.arange(_IMPRESSIONS_PER_CALL)
    return jax.vmap(lambda impression: impressions.sample_variation(seed, number, impression, period))(
        numbers
    )


class ImpressionDrawer:
    """Draws the impressions that rows describe, `IMAGES_PER_CALL` at a time; any thread may call."""

    def __init__(self, enlargement: Enlargement, first_row: ImpressionRow):
        """Put the weights on every device and compile.

        Args:
          enlargement: what is drawn from.
          first_row: any row.

        Raises:
          UserError: the weights do not fit the config.
        """
        self._config, self._source = enlargement.config, enlargement.source
        is_minutiae = self._config.data.condition == "minutiae"
        self._minutiae_tool = ridge_pairs.find_minutiae_tool() if is_minutiae else None
        self._prints = dict(
            zip(enlargement.training_prints.filenames, enlargement.training_prints.images, strict=True)
        )
        self._period = find_sensor_period(self._config.data)
        self._window = preprocessing.find_window(self._config.data)
        # Fingers come one after the other, the other prints in any order.
        self._map_finger = functools.lru_cache(maxsize=256)(self._map_finger_anew)
        self._map_training_print = functools.lru_cache(maxsize=4096)(self._map_training_print_anew)
        stretch = find_stretch(self._config.data)
        make_square = jax.vmap(functools.partial(distortion.make_square, stretch=stretch))
        draw, variables = drawing.bind_draw(
            self._config,
            enlargement.variables,
            make_square if enlargement.is_square and stretch != 1 else lambda images: images,
        )
        num_channels = derived.condition_shape(self._config.data)[2]

        create_condition: Callable[..., jax.Array] = functools.partial(
            impressions.create_condition,
            period=self._period,
            pixel_stretch=stretch,
            canvas_stretch=self._source.stretch,
        )

        def create(*inputs):
            # Marks move with the finger as its ridges do, and have no other plane.
            condition = create_condition(*inputs)
            return condition[..., :num_channels]

        def draw_impressions(variables, dropout_seed, *inputs):
            return draw(variables, jax.vmap(create)(*inputs), dropout_seed)

        self._create_conditions = jax.jit(jax.vmap(create))
        self._programs = DevicePrograms(
            draw_impressions, variables, self.create_inputs([first_row] * IMAGES_PER_CALL)
        )

    def create_inputs(self, rows: Sequence[ImpressionRow]) -> tuple:
        """Create what a call draws from: dropout seeds, and what `impressions.create_condition` takes, stacked."""
        shape = (*derived.image_shape(self._config.data)[:2], 1)
        examples = []
        for row in rows:
            maps, usual_look = self._map_finger(row.source)
            if row.finger_appearance != row.source:
                usual_look = self._map_training_print(row.finger_appearance)[1]
            contact, look = (
                self._map_training_print(row.contact)[0],
                self._map_training_print(row.appearance)[1],
            )
            noise = create_noise_image(
                row.field_seed,
                row.person,
                row.replica,
                shape=shape,
                distribution=self._config.data.noise_distribution,
            )
            look = impressions.vary_appearance(usual_look, look)
            examples.append((maps.ridges, maps.contact, contact, look, noise, row.variation))
        return drawing.list_dropout_seeds(rows), *jax.tree.map(lambda *leaves: np.stack(leaves), *examples)

    def draw(self, *inputs) -> np.ndarray:
        """Draw images, uint8 [images, height, width, channels], from `create_inputs`."""
        return self._programs(*inputs)

    def create_conditions(self, rows: Sequence[ImpressionRow]) -> np.ndarray:
        """Create what the generator is given: uint8 [rows, height, width, condition channels]."""
        return np.asarray(self._create_conditions(*self.create_inputs(rows)[1:]))

    def _map_finger_anew(self, source: str) -> tuple[RidgeMap, Appearance]:
        image, period, window = self._source.load_print(source), self._source.period, self._source.window
        maps = ridge_map.map_ridges(image, period, window)
        contact = _to_bytes(255 * maps.contact)
        # Cells are laid over what an image shows of the canvas.
        shape = derived.image_shape(self._config.data)[:2]
        shape = distortion.find_square_shape(shape, find_stretch(self._config.data) / self._source.stretch)
        shown = (preprocessing.place_centrally(each[..., None], shape)[..., 0] for each in (image, contact))
        look = measure_appearance(next(shown), next(shown) / np.float32(255))
        if self._minutiae_tool:
            marks = minutiae_map.map_print(image, period, self._source.stretch, window, self._minutiae_tool)
            return RidgeMap(marks[..., 0], contact), look
        return RidgeMap(_to_bytes(128 + 127 * maps.ridges), contact), look

    def _map_training_print_anew(self, filename: str) -> tuple[np.ndarray, Appearance]:
        image = self._prints[filename][..., 0]
        contact = ridge_map.map_contact(image, self._period, self._window)
        return _to_bytes(255 * contact), measure_appearance(image, contact)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.uint8)


def draw_rows(enlargement: Enlargement, rows: Sequence[ImpressionRow]) -> Iterator[np.ndarray]:
    """Draw the impressions that rows describe, which may be a manifest's.

    Args:
      enlargement: of the checkpoint and the prints that the rows name.
      rows: any.

    Yields:
      uint8 [height, width, channels] of each row.
    """
    drawer = ImpressionDrawer(enlargement, rows[0])
    for start in range(0, len(rows), IMAGES_PER_CALL):
        chosen = rows[start : start + IMAGES_PER_CALL]
        # The last call is filled up, so that all run the same program.
        filled = [*chosen, *[chosen[0]] * (IMAGES_PER_CALL - len(chosen))]
        yield from drawer.draw(*drawer.create_inputs(filled))[: len(chosen)]
