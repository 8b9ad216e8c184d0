"""Owns the networks, weights and images of the comparison with the PyTorch pix2pix, and the stored answers.

Weights and images come from seeds in NumPy, so that only the answers are stored.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

REFERENCE_FILE = pathlib.Path(__file__).parents[2] / "tests/third_party/pytorch_pix2pix/reference.npz"
NUM_STEPS = 3
DROPOUT_FACTOR = 0.25  # replaces dropout in tests of its place


@dataclasses.dataclass(frozen=True)
class Case:
    """Two networks and their input.

    Attributes:
      norm: norm of both networks, "batch" or "instance".
      num_levels: levels of the generator; images are 2**num_levels pixels wide and high.
      num_strided: strided convolutions of the discriminator; 0 for the pixel discriminator.
    """

    name: str
    norm: str
    num_channels: int
    num_levels: int
    num_features: int
    num_strided: int
    batch_size: int

    @property
    def image_size(self) -> int:
        """Width and height, pixels."""
        return 2**self.num_levels

    @property
    def dropout_outputs(self) -> tuple[int, ...]:
        """Sizes of the decoder outputs that have dropout in the PyTorch code."""
        return tuple(size for size in (4, 8, 16) if size <= self.image_size // 16)


CASES = (
    Case("basic", "batch", 3, 5, 1, 3, 2),
    Case("n_layers", "batch", 1, 6, 1, 4, 1),
    Case("pixel", "instance", 1, 5, 1, 0, 2),
    Case("instance", "instance", 1, 5, 1, 1, 1),
)


def draw_state(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Draw the tensors of a network at random. None keeps its initial value, and signals keep their scale.

    Args:
      shapes: key -> shape, as in a state dict; counters of batches are skipped.
    """
    random = np.random.default_rng(seed)
    arrays = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            continue
        if len(shape) == 4:
            # Also for a transposed convolution, in which an output sums over a quarter of the 16 taps, times inputs.
            arrays[key] = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            arrays[key] = random.uniform(0.5, 1.5, shape)
        else:
            arrays[key] = random.normal(0, 0.2, shape)
    return {key: array.astype(np.float32) for key, array in arrays.items()}


def draw_images(case: Case, seed: int) -> np.ndarray:
    """Draw images [batch, size, size, channels], float32 in [-1, 1]."""
    shape = (case.batch_size, case.image_size, case.image_size, case.num_channels)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def save_reference(answers: Mapping[str, Mapping[str, np.ndarray]], errors: Mapping[str, Mapping]) -> None:
    """Store answers (case -> name -> array) and errors (case -> name -> number) in float32, for `load_reference`."""
    stored: dict[str, Any] = {
        f"{case}/{name}": np.asarray(value, np.float32)
        for case, parts in answers.items()
        for name, value in parts.items()
    }
    for case, numbers in errors.items():
        stored[f"errors/{case}"] = np.array([numbers[name] for name in sorted(answers[case])], np.float32)
    np.savez_compressed(REFERENCE_FILE, **stored)


def load_reference(case: Case) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Load the stored answers to one of `CASES`.

    Returns:
      (name -> PyTorch's float64 answer, rounded to float32; name -> largest absolute difference between it and
      PyTorch's float32 answer).
    """
    with np.load(REFERENCE_FILE) as file:
        prefix = f"{case.name}/"
        answers = {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}
        return answers, dict(zip(sorted(answers), file[f"errors/{case.name}"].tolist(), strict=True))
