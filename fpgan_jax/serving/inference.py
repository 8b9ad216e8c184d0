"""Owns trained networks as functions of images, for Python programs: noise or ridge map to print, print to score.

Does not own how images are drawn (`synthesis.py`) or scored (`similarity.py`), which it binds, nor files for
programs without this package (`serving/`).
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data import pairs, preprocessing
from fpgan_jax.data.image_files import read_image
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.preprocessing import SCAN_SIZES, preprocess_print, to_uint8
from fpgan_jax.data.ridges import print_scale, ridge_condition
from fpgan_jax.errors import UserError
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis import drawing, sharded

# What a manifest's row must have in common with a generator that is to draw it again.
_FIXED_FIELDS = ("dropout", "statistics", "weights", "checkpoint_step", "config_hash", "data_hash")


class RestoredGenerator:
    """A trained generator: noise image, or the condition of a ridge map, in; print out.

    Attributes:
      config: the checkpoint's config with `synthesis` as wanted.
      step: the checkpoint's step.
      image_shape: (height, width, channels) of what comes out, and of noise that goes in.
      condition_shape: (height, width, channels) of what goes in.
    """

    def __init__(self, config: ConfigDict, step: int, variables: Mapping, metadata: Mapping | None = None):
        """Bind the weights.

        Args:
          config: the checkpoint's config.
          step: the checkpoint's.
          variables: the checkpoint's "generator" or "generator_ema".
          metadata: the checkpoint's; `draw_row` needs it.
        """
        self.config = config
        self.step = step
        self.image_shape = image_shape(config.data)
        self.condition_shape = condition_shape(config.data)
        self._generate, self._variables = drawing.bind_generate(config, variables)
        self._given_variables = variables
        self._metadata = metadata
        self._drawer: sharded.Drawer | None = None

    def __call__(
        self, noise_image: np.ndarray | str | os.PathLike, dropout_seed: tuple[int, int, int] = (0, 0, 0)
    ) -> np.ndarray:
        """Draw one print.

        Args:
          noise_image: uint8 [height, width, channels], or [height, width] where there is one channel; or an image
            file's path. For a generator of ridge maps, what `map_print` returns, or as `data.ridges.ridge_condition`
            says.
          dropout_seed: any three numbers. The seed, person and replica of a row of `launch.synthesize`'s
            manifest draw that row's print from its noise; a pixel in some 10,000 may differ by one grey, since
            sums have another order in batches of other sizes.

        Returns:
          uint8 of the array's shape; of a file, or for a ridge map, [height, width, channels].

        Raises:
          UserError: the image is not of the size that the generator was trained on, not of bytes, or its file
            cannot be read.
        """
        if self.config.data.condition == "ridges":
            image, shape = _check_condition(noise_image, self.condition_shape), self.image_shape
        else:
            image, shape = _load_image(noise_image, self.config)
        keys = drawing.create_dropout_keys(np.array([dropout_seed]).astype(np.uint32))
        return to_uint8(self._generate(self._variables, image[None], keys)).reshape(shape)

    def draw_images(
        self,
        noise_images: np.ndarray | Sequence[np.ndarray | str | os.PathLike],
        dropout_seeds: Sequence[tuple[int, int, int]] | None = None,
    ) -> np.ndarray:
        """Draw any number of prints, in batches over all devices of this process.

        Args:
          noise_images: uint8 [num_images, height, width, channels], or a sequence of what a call takes.
          dropout_seeds: of each image, as of a call; by default (0, 0, index).

        Returns:
          uint8 [num_images, height, width, channels]. To the bit what `launch.synthesize --condition_dir` writes, where
          the seeds are those of `conditions.find_dropout_seed`.

        Raises:
          UserError: as a call, or there are not as many seeds as images.
        """
        count = len(noise_images)
        seeds = [(0, 0, index) for index in range(count)] if dropout_seeds is None else list(dropout_seeds)
        if len(seeds) != count:
            raise UserError(f"dropout_seeds: {len(seeds)} for {count} images; give three numbers for each")
        if not count:
            return np.zeros((0, *self.image_shape), np.uint8)
        if self.config.data.condition == "ridges":
            images = [_check_condition(image, self.condition_shape) for image in noise_images]
        else:
            images = [_load_image(image, self.config)[0] for image in noise_images]
        if self._drawer is None:
            self._drawer = sharded.Drawer(self.config, self._given_variables)

        def draw(start: int) -> np.ndarray:
            # The last batch is filled up, so that all run the same program.
            places = [min(start + offset, count - 1) for offset in range(sharded.IMAGES_PER_CALL)]
            numbers = np.array([seeds[place] for place in places]).astype(np.uint32)
            return self._drawer.draw(np.stack([images[place] for place in places]), numbers)

        with ThreadPoolExecutor(sharded.CALLS_PER_DEVICE * jax.local_device_count()) as pool:
            drawn = list(pool.map(draw, range(0, count, sharded.IMAGES_PER_CALL)))
        return np.concatenate(drawn)[:count]

    def draw_row(self, row: drawing.ManifestRow) -> np.ndarray:
        """Draw a row of a manifest again.

        Args:
          row: of `drawing.read_manifest(folder)`, or of a shard's manifest, drawn by this checkpoint.

        Returns:
          uint8 [height, width, channels]: what the row's file holds; a pixel in some 10,000 may differ by one grey.

        Raises:
          UserError: the row is of another checkpoint or other settings of `config.synthesis`, which the message names;
            it is of an enlarged database; or it was drawn from files that are not there any more.
        """
        if self._metadata is None:
            raise UserError("draw_row: this generator was not restored from a workdir")
        if row.noise not in ("training", "new"):
            raise UserError(
                f"{row.file}: an impression of {row.noise}, which only launch.synthesize draws again"
            )
        own = drawing.create_row(
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

    def map_print(
        self, image: np.ndarray | str | os.PathLike, noise_seed: int = 0, *, is_scan: bool | None = None
    ) -> np.ndarray:
        """Make the condition of a print: its ridge map and appearance, and a noise plane.

        Args:
          image: as of `RestoredClassifier`.
          noise_seed: from 0.
          is_scan: as of `RestoredClassifier`.

        Returns:
          uint8 of `condition_shape`.

        Raises:
          UserError: the generator draws from noise, or the image is not as it must be.
        """
        data = self.config.data
        if data.condition != "ridges":
            raise UserError("map_print: this generator draws from noise, not from ridge maps")
        pixels, _ = _load_image(_load_print(image, self.config, is_scan), self.config)
        planes = ridge_condition.map_print(
            pixels[..., 0], print_scale.find_sensor_period(data), preprocessing.find_window(data)
        )
        noise = create_noise_image(
            noise_seed, 0, 0, shape=(*planes.shape[:2], 1), distribution=data.noise_distribution
        )
        return ridge_condition.add_noise(planes, noise)


class RestoredClassifier:
    """A trained classifier: print in, probability of a person out.

    Attributes:
      config: the checkpoint's config.
      persons: the persons it knows.
      image_shape: (height, width, channels) of what goes in.
    """

    def __init__(self, scorer: similarity.Scorer):
        """Args: the classifier as `launch.score_similarity` uses it."""
        self.config = scorer.config
        self.persons = scorer.persons
        self.image_shape = image_shape(scorer.config.data)
        self._scorer = scorer
        # One image at a time: a batch would be filled up with copies of it.
        self.config.evaluation.batch_size = 1

    def __call__(
        self, image: np.ndarray | str | os.PathLike, person: int, *, is_scan: bool | None = None
    ) -> float:
        """Score one print.

        Args:
          image: uint8 [height, width, channels], or [height, width] where there is one channel, preprocessed as the
            training prints were; or a scan; or an image file's path.
          person: who it is scored as, one of `persons`.
          is_scan: whether it is a scan of SOCOFing, to be preprocessed here; by default one is whose size is a
            scan's and not the network's.

        Returns:
          The similarity score: the probability of `person`, in [0, 1].

        Raises:
          UserError: the person is not among `persons`, the image is of another size than the classifier was
            trained on, not of bytes, or its file cannot be read; or only `is_scan` can tell what it is.
        """
        if person not in self.persons:
            raise UserError(f"person {person}: the classifier knows {', '.join(map(str, self.persons))}")
        return self.compute_probabilities(image, is_scan=is_scan)[person]

    def compute_probabilities(
        self, image: np.ndarray | str | os.PathLike, *, is_scan: bool | None = None
    ) -> dict[int, float]:
        """Compute the probability of every person.

        Args:
          image: as of a call.
          is_scan: as of a call.

        Returns:
          Person -> probability; they add up to 1.

        Raises:
          UserError: as a call.
        """
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
    """Restore a generator from a workdir.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      step: which checkpoint; the last one by default, "best" by the run's own metric.
      overrides: fields of `config.synthesis` to use in place of the checkpoint's, as {"use_ema": True}.
      data_overrides: fields of `config.data`, for training prints or pairs that have moved.

    Returns:
      A function of one noise image, with `draw_images` for many.

    Raises:
      UserError: no such checkpoint, an override is none, or the weights do not fit the config.
    """
    config, step, metadata = drawing.restore_config(
        gan_workdir, step=step, overrides=overrides, data_overrides=data_overrides
    )
    return RestoredGenerator(config, step, drawing.restore_variables(gan_workdir, config, step), metadata)


def restore_classifier(classifier_workdir: str, *, step: int | str | None = None) -> RestoredClassifier:
    """Restore a classifier from a workdir.

    Args:
      classifier_workdir: the workdir of `launch.train_classifier`.
      step: which checkpoint; the last one by default, "best" by the run's own metric.

    Returns:
      A function of one print and a person.

    Raises:
      UserError: no such checkpoint, or its weights do not fit its config.
    """
    return RestoredClassifier(similarity.Scorer(classifier_workdir, step=step))


def _load_print(
    image: np.ndarray | str | os.PathLike, config: ConfigDict, is_scan: bool | None
) -> np.ndarray | str | os.PathLike:
    """Return a scan's print as the network sees it; another image as it is."""
    is_file = isinstance(image, str | os.PathLike)
    pixels = read_image(image, config.data.num_channels) if is_file else np.asarray(image)
    shape = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
    has_scans_size = shape[1::-1] in SCAN_SIZES
    if is_scan is None and has_scans_size and shape == image_shape(config.data):
        # An array of the network's own size has always been what the network takes.
        if is_file and config.data.frame == "crop":
            raise UserError(
                f"{os.fspath(image)}: a scan and a print without the scanner's frame have the same size here; say "
                "is_scan=True or is_scan=False"
            )
        return image
    if not (is_scan or (is_scan is None and has_scans_size)):
        return image
    if is_file:
        return preprocess_print(read_image(image, 1), config.data)
    if pixels.dtype != np.uint8 or shape[2:] not in ((1,), (3,)):
        raise UserError(
            f"image: an array of {pixels.dtype} {pixels.shape}; give a scan as uint8 [height, width]"
        )
    if shape[2] == 3 and (pixels != pixels[..., :1]).any():
        raise UserError("image: a scan in color; give it in grey, uint8 [height, width]")
    return preprocess_print(pixels.reshape(shape)[..., :1], config.data)


def _check_condition(condition: np.ndarray, wanted: tuple[int, int, int]) -> np.ndarray:
    if not isinstance(condition, np.ndarray) or condition.dtype != np.uint8 or condition.shape != wanted:
        raise UserError(
            f"condition: give an array of uint8 [{', '.join(map(str, wanted))}], of map_print or "
            "fpgan_jax.data.ridges.ridge_condition"
        )
    return condition


def _load_image(
    image: np.ndarray | str | os.PathLike, config: ConfigDict
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return (uint8 [height, width, channels], the shape it was given in)."""
    wanted = image_shape(config.data)
    if isinstance(image, str | os.PathLike):
        origin, pixels = os.fspath(image), read_image(image, config.data.num_channels)
        shape = pixels.shape
    else:
        origin, pixels = "image", np.asarray(image)
        if pixels.dtype != np.uint8:
            raise UserError(f"image: an array of {pixels.dtype}; give uint8, from 0 to 255")
        shape = pixels.shape
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape != wanted:
        raise UserError(
            f"{origin}: {'x'.join(map(str, shape))} (height, width, channels), where the network was trained on "
            f"{'x'.join(map(str, wanted))}"
        )
    return pixels, shape
