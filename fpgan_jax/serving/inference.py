"""Owns trained networks as functions for Python programs: noise or ridge map to print, print to score.

Does not own drawing (`synthesis/drawing.py`), scoring (`scoring/similarity.py`) or exported files (`formats.py`).
"""

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data import pairs
from fpgan_jax.data.image_files import read_image
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.preprocessing import SCAN_SIZES, preprocess_print, to_uint8
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis import drawing, manifest, sharded

# An array, or the path of an image file.
Image = np.ndarray | str | os.PathLike

# Fields of a row in a manifest that must agree with the generator that draws it again.
_FIXED_FIELDS = ("dropout", "statistics", "weights", "checkpoint_step", "config_hash", "data_hash")


class RestoredGenerator:
    """A trained generator: from a noise image or the condition of a ridge map to a print.

    Attributes:
      config: config of the checkpoint, with the overrides of `synthesis`.
      step: step of the checkpoint.
      image_shape: (height, width, channels) of the output.
      condition_shape: (height, width, channels) of the input.
    """

    def __init__(self, config: ConfigDict, step: int, variables: Mapping, metadata: dict):
        """Bind the weights, "generator" or "generator_ema" of a checkpoint with this metadata."""
        self.config = config
        self.step = step
        self.image_shape = image_shape(config.data)
        self.condition_shape = condition_shape(config.data)
        self._generate, self._variables = drawing.bind_generate(config, variables)
        self._given_variables = variables
        self._metadata = metadata

    @functools.cached_property
    def _drawer(self) -> sharded.Drawer:
        return sharded.Drawer(self.config, self._given_variables)

    def __call__(self, noise_image: Image, dropout_seed: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
        """Draw one print.

        Args:
          noise_image: uint8 [height, width, channels], or [height, width] for one channel; or the path of an image
            file. For a generator from ridge maps: the result of `map_print`, or of `data.ridges.ridge_condition`.
          dropout_seed: any three numbers. The seed, person and replica of a row in the manifest of `launch.synthesize`
            draw the print of that row from its noise. About one pixel in 10,000 can differ by one gray level, since
            the order of sums depends on the batch size.

        Returns:
          uint8 of the shape of the array; for a file or a ridge map, [height, width, channels].

        Raises:
          UserError: the image has the wrong size, is not uint8, or cannot be read.
        """
        image, shape = self._load_input(noise_image)
        keys = drawing.create_dropout_keys(np.array([dropout_seed]).astype(np.uint32))
        return to_uint8(self._generate(self._variables, image[None], keys)).reshape(shape)

    def _load_input(self, image: Image) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return (uint8 of `condition_shape`, shape of the output)."""
        if self.config.data.condition != "noise":
            return _check_condition(image, self.condition_shape), self.image_shape
        return _load_image(image, self.config)

    def draw_images(
        self,
        noise_images: np.ndarray | Sequence[Image],
        dropout_seeds: Sequence[tuple[int, int, int]] | None = None,
    ) -> np.ndarray:
        """Draw any number of prints, in batches over all devices of this process.

        Args:
          noise_images: uint8 [num_images, height, width, channels], or a sequence of inputs of `__call__`.
          dropout_seeds: one per image, as in `__call__`; (0, 0, index) by default.

        Returns:
          uint8 [num_images, height, width, channels]. With the seeds of `conditions.find_dropout_seed` it is identical
          to the output of `launch.synthesize --condition_dir`.

        Raises:
          UserError: see `__call__`; or the number of seeds is not that of images.
        """
        count = len(noise_images)
        seeds = [(0, 0, index) for index in range(count)] if dropout_seeds is None else list(dropout_seeds)
        if len(seeds) != count:
            raise UserError(f"dropout_seeds: {len(seeds)} for {count} images; give three numbers for each")
        if not count:
            return np.zeros((0, *self.image_shape), np.uint8)
        images = [self._load_input(image)[0] for image in noise_images]
        drawer = self._drawer  # created before the threads use it

        def draw(indices: list[int]) -> np.ndarray:
            numbers = np.array([seeds[index] for index in indices]).astype(np.uint32)
            return drawer.draw(np.stack([images[index] for index in indices]), numbers)

        with ThreadPoolExecutor(sharded.CALLS_PER_DEVICE * jax.local_device_count()) as pool:
            calls = drawing.list_calls(range(count), sharded.IMAGES_PER_CALL)
            drawn = list(pool.map(draw, (indices for indices, _ in calls)))
        return np.concatenate(drawn)[:count]

    def draw_row(self, row: manifest.ManifestRow) -> np.ndarray:
        """Draw the print of a row in a manifest again; about one pixel in 10,000 can differ by one gray level.

        Args:
          row: from `manifest.read_manifest(folder)` or the manifest of a shard, drawn by this checkpoint.

        Returns:
          uint8 [height, width, channels].

        Raises:
          UserError: the row is from another checkpoint or other settings, from an enlarged database, or the files that
            it was drawn from are missing.
        """
        if row.noise not in ("training", "new"):
            raise UserError(
                f"{row.file}: an impression of {row.noise}, which only launch.synthesize draws again"
            )
        own = manifest.create_row(
            self.config, self._metadata, self.step, file=row.file, person=row.person, replica=row.replica
        )
        differences = [
            f"{name} is {getattr(row, name)!r} there and {getattr(own, name)!r} here"
            for name in _FIXED_FIELDS
            if getattr(row, name) != getattr(own, name)
        ]
        if differences:
            raise UserError(
                f"{row.file}: was drawn otherwise ({'; '.join(differences)}); restore the generator with that step and "
                "these overrides"
            )
        config = self.config.copy_and_resolve_references()
        config.synthesis.noise = row.noise
        ids = [list(pair) for pair in self._metadata["pairs"]]
        index = row.replica if row.person == pairs.UNKNOWN else ids.index([row.person, row.replica])
        condition = drawing.create_condition_loader(config, self._metadata)(index, row)
        return self(condition, (row.seed, row.person, row.replica))

    def map_print(self, image: Image, noise_seed: int = 0, *, is_scan: bool | None = None) -> np.ndarray:
        """Compute the condition of a print: its ridge map and appearance, and a plane of noise; or its minutiae.

        For `image` and `is_scan` see `RestoredClassifier`.

        Returns:
          uint8 of `condition_shape`.

        Raises:
          UserError: the generator draws from noise, or the image is not valid.
        """
        data = self.config.data
        if data.condition == "noise":
            raise UserError("map_print: this generator draws from noise, not from maps of prints")
        pixels, _ = _load_image(_load_print(image, self.config, is_scan), self.config)
        shape = (*pixels.shape[:2], 1)
        noise = create_noise_image(noise_seed, 0, 0, shape=shape, distribution=data.noise_distribution)
        return ridge_pairs.map_print(pixels[..., :1], noise, data)


class RestoredClassifier:
    """A trained classifier: from a print to the probability of a person.

    Attributes:
      config: config of the checkpoint.
      persons: the persons that it was trained on.
      image_shape: (height, width, channels) of the input.
    """

    def __init__(self, scorer: similarity.Scorer):
        """Take the classifier as `launch.score_similarity` uses it."""
        self.config = scorer.config
        self.persons = scorer.persons
        self.image_shape = image_shape(scorer.config.data)
        self._scorer = scorer
        # A larger batch would be padded with copies of the one image.
        self.config.evaluation.batch_size = 1

    def __call__(self, image: Image, person: int, *, is_scan: bool | None = None) -> float:
        """Score one print.

        Args:
          image: uint8 [height, width, channels], or [height, width] for one channel, preprocessed like the training
            prints; or a scan; or the path of an image file.
          person: the person to score it as, one of `persons`.
          is_scan: whether it is a scan of SOCOFing that still needs preprocessing. Default: it is one if it has the
            size of a scan, and the network has another size.

        Returns:
          The similarity score: the probability of `person`, in [0, 1].

        Raises:
          UserError: the person is unknown; the image has the wrong size, is not uint8, or cannot be read; or its size
            leaves open whether it is a scan.
        """
        if person not in self.persons:
            raise UserError(f"person {person}: the classifier knows {', '.join(map(str, self.persons))}")
        return self.compute_probabilities(image, is_scan=is_scan)[person]

    def compute_probabilities(self, image: Image, *, is_scan: bool | None = None) -> dict[int, float]:
        """Compute the probability of every person; they add up to 1. See `__call__` for arguments and errors."""
        pixels, _ = _load_image(_load_print(image, self.config, is_scan), self.config)
        values = self._scorer.compute_probabilities(pixels[None])[0]
        return dict(zip(self.persons, values.tolist(), strict=True))


def restore_generator(
    gan_workdir: str,
    *,
    step: int | str | None = None,
    overrides: Mapping | None = None,
    data_overrides: Mapping | None = None,
) -> RestoredGenerator:
    """Restore a generator from the workdir of `launch.train_gan`.

    Args:
      gan_workdir: the workdir.
      step: step of the checkpoint, or "best" by the run's own metric; the last one by default.
      overrides: fields of `config.synthesis` to replace, such as {"use_ema": True}.
      data_overrides: fields of `config.data` to replace, for training prints or pairs that have moved.

    Raises:
      UserError: there is no such checkpoint, an override is not valid, or the weights do not fit the config.
    """
    config, step, metadata = drawing.restore_config(
        gan_workdir, step=step, overrides=overrides, data_overrides=data_overrides
    )
    return RestoredGenerator(config, step, drawing.restore_variables(gan_workdir, config, step), metadata)


def restore_classifier(classifier_workdir: str, *, step: int | str | None = None) -> RestoredClassifier:
    """Restore a classifier from the workdir of `launch.train_classifier`; for `step` see `restore_generator`.

    Raises:
      UserError: there is no such checkpoint, or its weights do not fit its config.
    """
    return RestoredClassifier(similarity.Scorer(classifier_workdir, step=step))


def _read(image: Image, config: ConfigDict) -> np.ndarray:
    if isinstance(image, str | os.PathLike):
        return read_image(image, config.data.num_channels)
    return np.asarray(image)


def _load_print(image: Image, config: ConfigDict, is_scan: bool | None) -> Image:
    """Preprocess a scan; return any other image unchanged."""
    pixels = _read(image, config)
    shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    has_scans_size = shape[1::-1] in SCAN_SIZES
    if is_scan is None and has_scans_size and shape == image_shape(config.data):
        # An array of the network's size counts as preprocessed; a file can be either.
        if isinstance(image, str | os.PathLike) and config.data.frame == "crop":
            raise UserError(
                f"{os.fspath(image)}: a scan and a print without the scanner's frame have the same size here; set "
                "is_scan=True or is_scan=False"
            )
        return image
    if not (has_scans_size if is_scan is None else is_scan):
        return image
    if isinstance(image, str | os.PathLike):
        return preprocess_print(read_image(image, 1), config.data)
    if pixels.dtype != np.uint8 or shape[2:] not in ((1,), (3,)):
        raise UserError(
            f"image: an array of {pixels.dtype} {pixels.shape}; give a scan as uint8 [height, width]"
        )
    if shape[2] == 3 and (pixels != pixels[..., :1]).any():
        raise UserError("image: a scan in color; give it in gray, uint8 [height, width]")
    return preprocess_print(pixels.reshape(shape)[..., :1], config.data)


def _check_condition(condition: Image, wanted: tuple[int, int, int]) -> np.ndarray:
    if not isinstance(condition, np.ndarray) or condition.dtype != np.uint8 or condition.shape != wanted:
        raise UserError(
            f"condition: give a uint8 array [{', '.join(map(str, wanted))}], from map_print or "
            "fpgan_jax.data.ridges.ridge_condition"
        )
    return condition


def _load_image(image: Image, config: ConfigDict) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return (uint8 [height, width, channels], its original shape)."""
    wanted, pixels = image_shape(config.data), _read(image, config)
    if pixels.dtype != np.uint8:
        raise UserError(f"image: an array of {pixels.dtype}; give uint8, from 0 to 255")
    shape = pixels.shape
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape != wanted:
        origin = os.fspath(image) if isinstance(image, str | os.PathLike) else "image"
        raise UserError(
            f"{origin}: {'x'.join(map(str, shape))} (height, width, channels), but the network was trained on "
            f"{'x'.join(map(str, wanted))}"
        )
    return pixels, shape
