"""Owns vectors that describe a whole print, for measures that compare collections: hand-made, or a classifier's.

Does not compare (`distribution.py`), and gives no name to a quality of a print.
"""

import dataclasses
from collections.abc import Callable, Collection

import jax
import numpy as np

from fpgan_jax.config.derived import image_shape
from fpgan_jax.config.files import restore_config
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.training.checkpoints.restore import check_variables, restore_for_evaluation

NUM_RINGS = 24
NUM_CELLS = 4  # along each side
# Lower frequencies, cycles per image, are the print's outline and the pressure.
LOWEST_FREQUENCY = 3
# Finer than this no scan of 96 pixels is. What an enlargement makes there hardly differs from print to print, so that
# a trace of noise would count for more than the ridges if it had rings of its own.
HIGHEST_FREQUENCY = 48
_CHUNK = 32


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """Features and the words for them.

    Attributes:
      name: for a row's note.
      compute: from uint8 [n, height, width] to float [n, num_features].
      have_one_unit: whether the features are to be compared as they are, as those of a layer of a network.
    """

    name: str
    compute: Callable[[np.ndarray], np.ndarray]
    have_one_unit: bool = False


def create_hand_made_extractor() -> FeatureExtractor:
    """Create the extractor that needs no trained network.

    Returns:
      Of `NUM_RINGS` + 3 * `NUM_CELLS`**2 + 2 features: the radial spectrum, the orientation vectors of the cells and
      their lengths, the mean and the standard deviation of the greys.
    """
    return FeatureExtractor("hand-made features (radial spectrum, orientation, grey)", _compute_hand_made)


def compute_radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Compute the radially averaged log power spectrum.

    A mirrored print has the same.

    Args:
      images: uint8 [n, height, width], sides of at least 64 pixels; those of one size compare.

    Returns:
      float64 [n, NUM_RINGS]: natural logarithm of 1 + the mean power, squared grey levels, in rings of equal width
      from `LOWEST_FREQUENCY` to `HIGHEST_FREQUENCY` cycles per image (or half a cycle per pixel, if that is less), and
      in the last one all that is finer; Hann window, mean grey removed.
    """
    height, width = images.shape[1:]
    ring = _number_rings(height, width)
    sizes = np.bincount(ring.ravel())[:NUM_RINGS]
    window = np.outer(np.hanning(height), np.hanning(width))
    spectra = []
    for image in images:
        flat = (image - image.mean()) * window
        power = np.abs(np.fft.rfft2(flat)) ** 2 / (window**2).sum()
        spectra.append(np.bincount(ring.ravel(), power.ravel())[:NUM_RINGS] / sizes)
    return np.log1p(np.array(spectra).reshape(-1, NUM_RINGS))


def compute_orientation(images: np.ndarray) -> np.ndarray:
    """Compute the orientation vector of each cell from the structure tensor.

    Args:
      images: uint8 [n, height, width].

    Returns:
      float64 [n, NUM_CELLS**2, 2]: (cos 2a, sin 2a) of the gradient's angle a, weighted by its square; of length 1
      where all ridges of the cell are parallel, 0 where they have no direction or nothing is there.
    """
    pixels = images.astype(np.float64)
    down, across = np.gradient(pixels, axis=(1, 2))
    energy = _average_cells(across**2 + down**2)[..., None]
    vectors = np.stack([_average_cells(across**2 - down**2), _average_cells(2 * across * down)], axis=-1)
    return np.divide(vectors, energy, out=np.zeros_like(vectors), where=energy > 0)


def create_classifier_extractor(
    classifier_workdir: str,
    excluded_persons: Collection[int],
    *,
    shared_persons: Collection[int] = (),
    step: int | str | None = None,
) -> FeatureExtractor:
    """Create an extractor from the layer before the last of an Xception that was trained on other prints.

    Args:
      classifier_workdir: of `launch.train_classifier`.
      excluded_persons: whoever is in the study; a classifier has learnt the prints of its own persons by heart.
      shared_persons: whose other fingers it may know; its name says of how many it does.
      step: which checkpoint; the last one by default.

    Returns:
      The extractor; its images must be of the classifier's size and have the frame as its prints had.

    Raises:
      UserError: there is no such checkpoint, its weights do not fit its config, it knows a person of the study, or
        (when it computes) the images are of another size.
    """
    step, trees, metadata = restore_for_evaluation(classifier_workdir, ("classifier",), step)
    known = sorted(set(metadata["persons"]) & {int(person) for person in excluded_persons})
    if known:
        raise UserError(
            f"{classifier_workdir}: the classifier was trained on {len(known)} of the study's persons (the first is "
            f"{known[0]}); features must come from one that was trained on others"
        )
    config = restore_config(metadata, classifier_workdir)
    classifier = factory.create_classifier(config, num_classes=len(metadata["persons"]))
    shape = image_shape(config.data)

    def compute_features(variables, images):
        # What goes into the dropout before the last layer is what comes out of it at test time.
        _, state = classifier.apply(
            variables,
            scale_to_unit(images),
            deterministic=True,
            use_running_average=True,
            capture_intermediates=lambda module, _: module.name == "dropout",
            mutable="intermediates",
        )
        return state["intermediates"]["dropout"]["__call__"][0]

    example = np.zeros((1, *shape), np.float32)
    expected = jax.eval_shape(
        lambda: classifier.init(jax.random.key(0), example, deterministic=True, use_running_average=True)
    )
    check_variables(trees["classifier"], dict(expected), f"{classifier_workdir} step {step}")
    variables, run = jax.device_put(trees["classifier"]), jax.jit(compute_features)
    batch_size = config.evaluation.batch_size

    def compute(images: np.ndarray) -> np.ndarray:
        if images.shape[1:] != shape[:2]:
            raise UserError(
                f"{classifier_workdir}: trained on images of {shape[1]}x{shape[0]} pixels; the prints have "
                f"{images.shape[2]}x{images.shape[1]}"
            )
        results = []
        for start in range(0, len(images), batch_size):
            batch = np.repeat(images[start : start + batch_size, ..., None], shape[2], axis=3)
            # Filled up, so that every batch runs the same program.
            padded = np.concatenate([batch, np.repeat(batch[-1:], batch_size - len(batch), axis=0)])
            results.append(np.asarray(run(variables, padded), np.float64)[: len(batch)])
        return np.concatenate(results)

    num_persons = len(metadata["persons"])
    num_shared = len(set(metadata["persons"]) & {int(person) for person in shared_persons})
    whom = f"{num_persons} other persons"
    if num_shared:
        whom = f"another finger of {num_persons} persons, of whom {num_shared} have prints here too"
    return FeatureExtractor(f"features of an Xception trained on {whom}", compute, have_one_unit=True)


def _compute_hand_made(images: np.ndarray) -> np.ndarray:
    # A few at a time for the sake of memory.
    return np.concatenate(
        [_compute_hand_made_chunk(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
    )


def _compute_hand_made_chunk(images: np.ndarray) -> np.ndarray:
    orientation = compute_orientation(images)
    return np.concatenate(
        [
            compute_radial_spectrum(images),
            orientation.reshape(len(images), -1),
            np.hypot(orientation[..., 0], orientation[..., 1]),
            images.mean((1, 2))[:, None],
            images.std((1, 2))[:, None],
        ],
        axis=1,
    )


def _frequencies(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cycles per pixel of `rfft2`, down [height, 1] and across [1, width // 2 + 1]."""
    return np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]


def _number_rings(height: int, width: int) -> np.ndarray:
    """Number the ring of each frequency of `rfft2`; those below the first have NUM_RINGS."""
    side = min(height, width)
    cycles = np.hypot(*_frequencies(height, width)) * side
    edges = np.linspace(LOWEST_FREQUENCY, min(HIGHEST_FREQUENCY, side / 2), NUM_RINGS)
    ring = np.searchsorted(edges, cycles, side="right") - 1
    return np.where(ring < 0, NUM_RINGS, ring)


def _average_cells(values: np.ndarray) -> np.ndarray:
    """Average [n, height, width] over cells, [n, NUM_CELLS**2]."""
    rows = np.array_split(values, NUM_CELLS, axis=1)
    return np.stack(
        [cell.mean((1, 2)) for row in rows for cell in np.array_split(row, NUM_CELLS, axis=2)], axis=1
    )
