"""Owns trained networks as functions of one image, for Python programs: noise or ridge map to print, print to score.

Does not own how images are drawn (`synthesis.py`) or scored (`similarity.py`), which it binds, nor files for
programs without this package (`serving/`).
"""

import os
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data.image_files import read_image
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.preprocessing import SCAN_SIZES, preprocess_print, to_uint8
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis import drawing


class RestoredGenerator:
    """A trained generator: noise image, or the condition of a ridge map, in; print out.

    Attributes:
      config: the checkpoint's config with `synthesis` as wanted.
      step: the checkpoint's step.
      image_shape: (height, width, channels) of what comes out, and of noise that goes in.
      condition_shape: (height, width, channels) of what goes in.
    """

    def __init__(self, config: ConfigDict, step: int, variables: Mapping):
        """Args: the config, the checkpoint's step, and its "generator" or "generator_ema"."""
        self.config = config
        self.step = step
        self.image_shape = image_shape(config.data)
        self.condition_shape = condition_shape(config.data)
        self._generate, self._variables = drawing.bind_generate(config, variables)

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
        if self.config.data.condition != "noise":
            image, shape = _check_condition(noise_image, self.condition_shape), self.image_shape
        else:
            image, shape = _load_image(noise_image, self.config)
        keys = drawing.create_dropout_keys(np.array([dropout_seed]).astype(np.uint32))
        return to_uint8(self._generate(self._variables, image[None], keys)).reshape(shape)

    def map_print(
        self, image: np.ndarray | str | os.PathLike, noise_seed: int = 0, *, is_scan: bool | None = None
    ) -> np.ndarray:
        """Make the condition of a print: its ridge map and appearance, and a noise plane; or its minutiae.

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
        if data.condition == "noise":
            raise UserError("map_print: this generator draws from noise, not from maps of prints")
        if isinstance(image, str | os.PathLike):
            image = _load_print(image, self.config, is_scan)
        pixels, _ = _load_image(image, self.config)
        shape = (*pixels.shape[:2], 1)
        noise = create_noise_image(noise_seed, 0, 0, shape=shape, distribution=data.noise_distribution)
        return ridge_pairs.map_print(pixels[..., :1], noise, data)


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
            training prints were; or an image file's path.
          person: who it is scored as, one of `persons`.
          is_scan: whether a file is a scan of SOCOFing, to be preprocessed here; by default one is whose size is a
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
        if isinstance(image, str | os.PathLike):
            image = _load_print(image, self.config, is_scan)
        pixels, _ = _load_image(image, self.config)
        values = self._scorer.compute_probabilities(pixels[None])[0]
        return dict(zip(self.persons, values.tolist(), strict=True))


def restore_generator(
    gan_workdir: str, *, step: int | str | None = None, overrides: Mapping | None = None
) -> RestoredGenerator:
    """Restore a generator from a workdir.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      step: which checkpoint; the last one by default, "best" by the run's own metric.
      overrides: fields of `config.synthesis` to use in place of the checkpoint's, as {"use_ema": True}.

    Returns:
      A function of one noise image.

    Raises:
      UserError: no such checkpoint, an override is none, or the weights do not fit the config.
    """
    config, step, _ = drawing.restore_config(gan_workdir, step=step, overrides=overrides)
    return RestoredGenerator(config, step, drawing.restore_variables(gan_workdir, config, step))


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
    path: str | os.PathLike, config: ConfigDict, is_scan: bool | None
) -> np.ndarray | str | os.PathLike:
    """Return a scan's print as the network sees it; of another file the path."""
    shape = read_image(path, config.data.num_channels).shape
    has_scans_size = shape[1::-1] in SCAN_SIZES
    if is_scan is None and has_scans_size and shape == image_shape(config.data):
        if config.data.frame == "crop":
            raise UserError(
                f"{os.fspath(path)}: a scan and a print without the scanner's frame have the same size here; say "
                "is_scan=True or is_scan=False"
            )
        return path
    if is_scan or (is_scan is None and has_scans_size):
        return preprocess_print(read_image(path, 1), config.data)
    return path


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
