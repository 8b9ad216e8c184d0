"""Owns vectors that describe a whole print, for measures that compare collections: hand-made, or a classifier's."""

import dataclasses
from collections.abc import Callable, Collection

import jax
import numpy as np

from fpgan_jax.config.derived import image_shape
from fpgan_jax.config.files import restore_config
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.scoring.similarity import bind_classifier, compute_in_batches
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

NUM_RINGS = 24
NUM_CELLS = 4  # along each side
# Lower frequencies, cycles per image, are the print's outline and the pressure.
LOWEST_FREQUENCY = 3
# The limit of a scan of 96 pixels. Above it the content of an enlargement hardly differs from print to print, and a
# trace of noise would outweigh the ridges if it had rings of its own.
HIGHEST_FREQUENCY = 48
_CHUNK = 32


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """Features of prints."""

    name: str  # for a row's note
    compute: Callable[[np.ndarray], np.ndarray]  # from uint8 [n, height, width] to float [n, num_features]
    have_one_unit: bool = False  # whether they are compared as they are, as those of a layer of a network


def compute_radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Compute the radially averaged log power spectrum, which a mirrored print shares.

    Args:
      images: uint8 [n, height, width], sides of at least 64 pixels; only spectra of one size can be compared.

    Returns:
      float64 [n, NUM_RINGS]: natural logarithm of 1 + the mean power, squared gray levels, in rings of equal width
      from `LOWEST_FREQUENCY` to `HIGHEST_FREQUENCY` cycles per image (or half a cycle per pixel, if that is less), and
      in the last one everything above; Hann window, mean gray level removed.
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
    """Compute the orientation vector of each cell of uint8 [n, height, width] from the structure tensor.

    Returns:
      float64 [n, NUM_CELLS**2, 2]: (cos 2a, sin 2a) of the gradient's angle a, weighted by its square; of length 1 if
      all ridges of the cell are parallel, 0 if they have no direction or the cell is blank.
    """
    pixels = images.astype(np.float64)
    down, across = (np.gradient(pixels, axis=axis) for axis in (1, 2))
    energy = _average_cells(across**2 + down**2)[..., None]
    vectors = np.stack([_average_cells(across**2 - down**2), _average_cells(2 * across * down)], axis=-1)
    return np.divide(vectors, energy, out=np.zeros_like(vectors), where=energy > 0)


def create_classifier_extractor(
    classifier_workdir: str,
    excluded_persons: Collection[int],
    *,
    shared_persons: Collection[int] = (),
) -> FeatureExtractor:
    """Create an extractor from the last layer but one of an Xception that was trained on other prints.

    Its images must have the size and the kind of frame of the classifier's prints.

    Args:
      classifier_workdir: of `launch.train_classifier`.
      excluded_persons: of the study; a classifier has memorized the prints of its own persons.
      shared_persons: whose other fingers it may know; its name says how many of these persons it knows.

    Raises:
      UserError: there is no checkpoint, its weights do not fit its config, it knows a person of the study, or (when it
        computes) the images are of another size.
    """
    step, trees, metadata = restore_for_evaluation(classifier_workdir, ("classifier",))
    trained = set(metadata["persons"])
    known = sorted(trained & {int(person) for person in excluded_persons})
    if known:
        raise UserError(
            f"{classifier_workdir}: the classifier was trained on {len(known)} of the study's persons (the first is "
            f"{known[0]}); features must come from one that was trained on others"
        )
    config = restore_config(metadata, classifier_workdir)
    num_persons, shape = len(metadata["persons"]), image_shape(config.data)
    origin = f"{classifier_workdir} step {step}"
    _, variables = bind_classifier(config, trees["classifier"], num_persons, origin)
    classifier = factory.create_classifier(config, num_classes=num_persons)

    @jax.jit
    def compute_features(variables, images):
        # At test time the dropout before the last layer returns its input.
        _, state = classifier.apply(
            variables,
            scale_to_unit(images),
            deterministic=True,
            use_running_average=True,
            capture_intermediates=lambda module, _: module.name == "dropout",
            mutable="intermediates",
        )
        return state["intermediates"]["dropout"]["__call__"][0]

    def compute(images: np.ndarray) -> np.ndarray:
        if images.shape[1:] != shape[:2]:
            raise UserError(
                f"{classifier_workdir}: trained on images of {shape[1]}x{shape[0]} pixels; the prints have "
                f"{images.shape[2]}x{images.shape[1]}"
            )
        channels = np.repeat(images[..., None], shape[2], axis=3)
        found = compute_in_batches(compute_features, variables, channels, config.evaluation.batch_size)
        return found.astype(np.float64)

    num_shared = len(trained & {int(person) for person in shared_persons})
    whom = f"{num_persons} other persons"
    if num_shared:
        whom = f"another finger of {num_persons} persons, of whom {num_shared} have prints here too"
    return FeatureExtractor(f"features of an Xception trained on {whom}", compute, have_one_unit=True)


def _compute_hand_made(images: np.ndarray) -> np.ndarray:
    # A few at a time to save memory.
    chunks = np.split(images, range(_CHUNK, len(images), _CHUNK))
    return np.concatenate([_compute_hand_made_chunk(chunk) for chunk in chunks])


def _compute_hand_made_chunk(images: np.ndarray) -> np.ndarray:
    orientation = compute_orientation(images)
    lengths = np.hypot(orientation[..., 0], orientation[..., 1])
    levels = np.stack([images.mean((1, 2)), images.std((1, 2))], axis=1)
    flat = orientation.reshape(len(images), -1)
    return np.concatenate([compute_radial_spectrum(images), flat, lengths, levels], axis=1)


# Features without a trained network: the radial spectrum, the orientation vectors of the cells and their lengths, and
# the mean and standard deviation of the gray levels.
HAND_MADE = FeatureExtractor("hand-made features (radial spectrum, orientation, grey)", _compute_hand_made)


def _number_rings(height: int, width: int) -> np.ndarray:
    """Number the ring of each frequency of `rfft2`; those below the first have NUM_RINGS."""
    side = min(height, width)
    cycles = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]) * side
    edges = np.linspace(LOWEST_FREQUENCY, min(HIGHEST_FREQUENCY, side / 2), NUM_RINGS)
    ring = np.searchsorted(edges, cycles, side="right") - 1
    return np.where(ring < 0, NUM_RINGS, ring)


def _average_cells(values: np.ndarray) -> np.ndarray:
    """Average [n, height, width] over cells, [n, NUM_CELLS**2]."""
    rows = np.array_split(values, NUM_CELLS, axis=1)
    return np.stack(
        [cell.mean((1, 2)) for row in rows for cell in np.array_split(row, NUM_CELLS, axis=2)], axis=1
    )
