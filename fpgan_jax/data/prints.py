"""Owns the set of preprocessed prints that training and evaluation pass around.

Does not read or preprocess them; `input_pipeline.py` does.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class PrintSet:
    """Prints in order of person, then file name.

    Attributes:
      images: [n, size, size, channels], uint8.
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
