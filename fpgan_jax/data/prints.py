"""Owns the set of preprocessed prints that training and evaluation pass around.

Does not read or preprocess them; `print_loading.py` does.
"""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np

from fpgan_jax.data import order

SPLITS = ("real", "altered_easy", "altered_medium", "altered_hard")


class Record(NamedTuple):
    """One print as its source keeps it.

    Attributes:
      person: id.
      filename: without its folder.
      image: [height, width, channels], uint8.
    """

    person: int
    filename: str
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class PrintSet:
    """Prints in order of person, then file name.

    Attributes:
      images: [n, height, width, channels], uint8.
      persons: [n], int32; ids.
      filenames: n names, without their folder.
    """

    images: np.ndarray
    persons: np.ndarray
    filenames: tuple[str, ...]

    def __post_init__(self):
        """Refuse parts of different length."""
        if not len(self.images) == len(self.persons) == len(self.filenames):
            raise ValueError(
                f"{len(self.images)} images, {len(self.persons)} persons and {len(self.filenames)} filenames"
            )

    def __len__(self) -> int:
        """Return the number of prints."""
        return len(self.images)

    @property
    def data_hash(self) -> str:
        """12 hexadecimal digits that tell these pixels and persons from any others, wherever they lie."""
        digest = hashlib.sha256(repr((self.images.shape, self.persons.tolist())).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()[:12]


def label_prints(prints: PrintSet) -> np.ndarray:
    """Return each print's label, its person's place among the set's ids: [n], int32."""
    return np.searchsorted(np.unique(prints.persons), prints.persons).astype(np.int32)


def create_labelled_batch(
    step: int, prints: PrintSet, config, *, process_index: int = 0, process_count: int = 1
) -> dict[str, np.ndarray]:
    """Create the classifier's batch of one training step, without those before it.

    Args:
      step: from 0.
      prints: the training set.
      config: as in configs/pix2pix_socofing.py; classifier.global_batch_size and data.shuffle_seed are
        used.
      process_index: of this process.
      process_count: number of processes; each gets its rows of the global batch.

    Returns:
      {"image": [b, height, width, channels] uint8, "label": [b] int32} with
      b = classifier.global_batch_size / process_count; a label is the person's place among the ids.
    """
    indices = order.batch_indices(
        step,
        global_batch_size=config.classifier.global_batch_size,
        num_examples=len(prints),
        seed=config.data.shuffle_seed,
    )
    indices = order.slice_for_process(indices, process_index, process_count)
    return {"image": prints.images[indices], "label": label_prints(prints)[indices]}
