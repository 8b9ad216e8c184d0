"""Owns one impression: its row of the manifest, and drawing it from the row, the prints named there and a checkpoint.

A row depends only on the checkpoint, the seed, the finger and the impression.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config import derived
from fpgan_jax.data import preprocessing
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import distortion, impressions, minutiae_map, print_scale, ridge_map, ridge_pairs
from fpgan_jax.data.ridges.appearance import Appearance, average_appearances, measure_appearance
from fpgan_jax.data.ridges.distortion import Pose
from fpgan_jax.data.ridges.impressions import Variation
from fpgan_jax.data.ridges.ridge_map import RidgeMap
from fpgan_jax.enlarging.finger_sources import Finger, FingerSource
from fpgan_jax.errors import UserError
from fpgan_jax.synthesis import drawing, image_folder, manifest
from fpgan_jax.synthesis.manifest import GIVEN_PRINT, NEW_FINGER
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL, DevicePrograms

_IMPRESSIONS_PER_CALL = 16
# Training prints whose looks are averaged.
_NUM_AVERAGED = 100


@dataclasses.dataclass(frozen=True)
class ImpressionRow(manifest.ManifestRow):
    """A row of the manifest: with the checkpoint and the prints that it names, all that decides an impression.

    docs/enlarging.md describes the columns. Of those that all manifests have, `person` is the finger's number,
    `replica` the impression's, `noise` is "given_print" or "new_finger", and `noise_seed` is -1. Lengths are in square
    pixels of the same area as the image's.
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
    finger_appearance: str  # of `source`, or for a new finger of a training print
    appearance: str  # of the training print toward whose appearance the impression's is moved

    @property
    def variation(self) -> Variation:
        """What was drawn at random for the impression, without the choices of prints."""
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
    """A checkpoint, and the fingers and training prints that impressions are drawn from."""

    config: ConfigDict  # the checkpoint's config with the wanted `synthesis`
    step: int
    metadata: dict  # the checkpoint's
    variables: dict  # the checkpoint's "generator" or "generator_ema"
    source: FingerSource
    training_prints: PrintSet  # give contact areas and appearances
    is_square: bool = True  # whether images get square pixels, not the generator's own

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixels per inch of the images, (down, across)."""
        down, across = print_scale.find_resolution(self.config.data)
        return ((down * across) ** 0.5,) * 2 if self.is_square else (down, across)

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the images, pixels."""
        shape = derived.image_shape(self.config.data)[:2]
        return (
            distortion.find_square_shape(shape, print_scale.find_stretch(self.config.data))
            if self.is_square
            else shape
        )

    def describe_settings(self) -> dict:
        """Describe what decides an image besides finger and impression, as values that JSON can hold."""
        settings = image_folder.describe_settings(self.config, self.metadata, self.step, self.variables)
        return settings | {
            "fingers": self.source.content_hash,
            "training_prints": self.training_prints.data_hash,
            "impressions_version": impressions.VERSION,
            "ppi": print_scale.write_resolution(self.resolution),
        }

    def create_rows(self, finger: Finger, num_impressions: int) -> list[ImpressionRow]:
        """Create the rows of a finger's impressions 1 to `num_impressions`."""
        others = np.flatnonzero(self.training_prints.persons != finger.number)
        if not len(others):
            raise UserError(
                "the generator was trained on this finger alone; no other gives its contact and appearance"
            )
        # Impression 0, which is not drawn, selects the appearance that all impressions share.
        usual = int(self._sample(finger, 0).appearance_choice[0])
        finger_appearance = self._choose_print(others, usual) if self.source.is_new else finger.source
        rows = []
        for first in range(1, num_impressions + 1, _IMPRESSIONS_PER_CALL):
            variations = self._sample(finger, first)
            for place in range(min(_IMPRESSIONS_PER_CALL, num_impressions + 1 - first)):
                variation = jax.tree.map(lambda leaf, place=place: leaf[place], variations)
                rows.append(self._create_row(finger, first + place, variation, others, finger_appearance))
        return rows

    def _sample(self, finger: Finger, first: int) -> Variation:
        """Sample `_IMPRESSIONS_PER_CALL` variations, from impression `first` on, on the host."""
        seed, period = self.config.synthesis.seed, self.source.period
        return jax.device_get(_sample_variations(seed, finger.number, first, period))

    def _choose_print(self, others: np.ndarray, choice: int) -> str:
        return self.training_prints.filenames[others[choice % len(others)]]

    def _create_row(
        self,
        finger: Finger,
        impression: int,
        variation: Variation,
        others: np.ndarray,
        finger_appearance: str,
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
        # The contact of a new finger's impression stays where it is.
        contact_shift = (0.0, 0.0) if self.source.is_new else variation.contact_shift.tolist()
        return ImpressionRow(
            **dataclasses.asdict(row)
            | {"noise": NEW_FINGER if self.source.is_new else GIVEN_PRINT, "noise_seed": -1},
            ppi=print_scale.write_resolution(self.resolution),
            source=finger.source,
            rotation=float(pose.rotation),
            shift_down=float(pose.shift[0]),
            shift_right=float(pose.shift[1]),
            stretch_down=float(pose.stretch[0]),
            stretch_right=float(pose.stretch[1]),
            field_seed=int(variation.field_seed),
            contact=self._choose_print(others, int(variation.contact_choice)),
            contact_down=contact_shift[0],
            contact_right=contact_shift[1],
            finger_appearance=finger_appearance,
            appearance=self._choose_print(others, int(variation.appearance_choice)),
        )


@functools.partial(jax.jit, static_argnames="period")
def _sample_variations(seed, number, first, period: float) -> Variation:
    # Always the same number, since a program for another number may round differently.
    sample = functools.partial(impressions.sample_variation, seed, number, period=period)
    return jax.vmap(sample)(first + jnp.arange(_IMPRESSIONS_PER_CALL))


class ImpressionDrawer:
    """Draws the impressions of rows, `IMAGES_PER_CALL` at a time; thread-safe."""

    def __init__(self, enlargement: Enlargement, first_row: ImpressionRow):
        """Put the weights on every device and compile for rows like `first_row`.

        Raises:
          UserError: the weights do not fit the config.
        """
        self._config, self._source = enlargement.config, enlargement.source
        is_minutiae = self._config.data.condition == "minutiae"
        self._minutiae_tool = ridge_pairs.find_minutiae_tool() if is_minutiae else None
        self._prints = dict(
            zip(enlargement.training_prints.filenames, enlargement.training_prints.images, strict=True)
        )
        self._period = print_scale.find_sensor_period(self._config.data)
        self._window = preprocessing.find_window(self._config.data)
        # Fingers come one by one, training prints in random order.
        self._map_finger = functools.lru_cache(maxsize=256)(self._map_finger_uncached)
        self._map_training_print = functools.lru_cache(maxsize=4096)(self._map_training_print_uncached)
        names = enlargement.training_prints.filenames
        self._average_look = average_appearances(
            [
                self._map_training_print(names[index])[1]
                for index in enlargement.training_prints.list_sample(_NUM_AVERAGED)
            ]
        )
        stretch = print_scale.find_stretch(self._config.data)
        make_square = jax.vmap(functools.partial(distortion.make_square, stretch=stretch))
        finish = make_square if enlargement.is_square and stretch != 1 else lambda images: images
        draw, variables = drawing.bind_draw(self._config, enlargement.variables, finish)
        num_channels = derived.condition_shape(self._config.data)[2]
        create_condition = functools.partial(
            impressions.create_condition,
            period=self._period,
            follows_contact=self._source.is_new,
            pixel_stretch=stretch,
            canvas_stretch=self._source.stretch,
        )

        def create(*inputs):
            # Minutiae move as ridges do, but their condition has no planes beyond the first.
            return create_condition(*inputs)[..., :num_channels]

        def draw_impressions(variables, dropout_seed, *inputs):
            return draw(variables, jax.vmap(create)(*inputs), dropout_seed)

        self._create_conditions = jax.jit(jax.vmap(create))
        inputs = self.create_inputs([first_row] * IMAGES_PER_CALL)
        self._programs = DevicePrograms(draw_impressions, variables, inputs)

    def create_inputs(self, rows: Sequence[ImpressionRow]) -> tuple:
        """Create the inputs of a call: dropout seeds, and the stacked arguments of `impressions.create_condition`."""
        shape = (*derived.image_shape(self._config.data)[:2], 1)
        distribution = self._config.data.noise_distribution
        examples = []
        for row in rows:
            maps, usual_look = self._map_finger(row.source)
            if row.finger_appearance != row.source:
                usual_look = self._map_training_print(row.finger_appearance)[1]
            contact, _ = self._map_training_print(row.contact)
            _, look = self._map_training_print(row.appearance)
            noise = create_noise_image(
                *(row.field_seed, row.person, row.replica), shape=shape, distribution=distribution
            )
            look = impressions.vary_appearance(usual_look, look, self._average_look)
            examples.append((maps.ridges, maps.contact, contact, look, noise, row.variation))
        return drawing.list_dropout_seeds(rows), *jax.tree.map(lambda *leaves: np.stack(leaves), *examples)

    def draw(self, *inputs) -> np.ndarray:
        """Draw images, uint8 [images, height, width, channels], from `create_inputs`."""
        return self._programs(*inputs)

    def create_conditions(self, rows: Sequence[ImpressionRow]) -> np.ndarray:
        """Create the generator's inputs for any number of rows: uint8 [rows, height, width, condition channels]."""
        parts = [
            np.asarray(self._create_conditions(*self.create_inputs(call)[1:]))[:count]
            for call, count in drawing.list_calls(rows, IMAGES_PER_CALL)
        ]
        return np.concatenate(parts)

    def _map_finger_uncached(self, source: str) -> tuple[RidgeMap, Appearance]:
        image, period, window = self._source.load_print(source), self._source.period, self._source.window
        maps = ridge_map.map_ridges(image, period, window, self._config.data.ridge_filter)
        contact = _to_bytes(255 * maps.contact)
        # The appearance has a grid of cells over the part of the canvas that an image shows.
        shape = derived.image_shape(self._config.data)[:2]
        shape = distortion.find_square_shape(
            shape, print_scale.find_stretch(self._config.data) / self._source.stretch
        )
        shown = (preprocessing.place_centrally(each[..., None], shape)[..., 0] for each in (image, contact))
        look = measure_appearance(next(shown), next(shown) / np.float32(255))
        if self._minutiae_tool:
            marks = minutiae_map.map_print(image, period, self._source.stretch, window, self._minutiae_tool)
            return RidgeMap(marks[..., 0], contact), look
        return RidgeMap(_to_bytes(128 + 127 * maps.ridges), contact), look

    def _map_training_print_uncached(self, filename: str) -> tuple[np.ndarray, Appearance]:
        image = self._prints[filename][..., 0]
        contact = ridge_map.map_contact(image, self._period, self._window)
        return _to_bytes(255 * contact), measure_appearance(image, contact)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.uint8)


def draw_rows(enlargement: Enlargement, rows: Sequence[ImpressionRow]) -> Iterator[np.ndarray]:
    """Draw the impressions of rows, which may be a manifest's: uint8 [height, width, channels] each."""
    drawer = ImpressionDrawer(enlargement, rows[0])
    for call, count in drawing.list_calls(rows, IMAGES_PER_CALL):
        yield from drawer.draw(*drawer.create_inputs(call))[:count]
