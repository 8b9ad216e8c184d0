"""The set of preprocessed prints that training and evaluation pass around."""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import preprocessing
from fpgan_jax.errors import UserError

SPLITS = ("real", "altered_easy", "altered_medium", "altered_hard")


class Record(NamedTuple):
    """One print as its source stores it."""

    person: int
    filename: str  # without its folder
    image: np.ndarray  # [height, width, channels], uint8


@dataclasses.dataclass(frozen=True)
class PrintSet:
    """Prints in order of person, then file name.

    Raises:
      UserError: an array has another type or number of axes, or the three differ in length.
    """

    images: np.ndarray  # [n, height, width, channels], uint8
    persons: np.ndarray  # [n], integers; ids
    filenames: tuple[str, ...]  # without their folder

    def __post_init__(self) -> None:
        """Check types and lengths."""
        for name, array, dtype, num_axes, wanted in (
            ("images", self.images, np.uint8, 4, "uint8 [n, height, width, channels], from 0 to 255"),
            ("persons", self.persons, np.integer, 1, "integers [n], the ids"),
        ):
            if not isinstance(array, np.ndarray):
                raise UserError(f"prints.{name}: a {type(array).__name__}; give a NumPy array of {wanted}")
            if array.ndim != num_axes or not np.issubdtype(array.dtype, dtype):
                raise UserError(f"prints.{name}: an array of {array.dtype} {array.shape}; give {wanted}")
        if not len(self.images) == len(self.persons) == len(self.filenames):
            raise UserError(
                f"prints: {len(self.images)} images, {len(self.persons)} persons and {len(self.filenames)} filenames"
            )

    def __len__(self) -> int:
        """Return the number of prints."""
        return len(self.images)

    def list_sample(self, count: int) -> np.ndarray:
        """List the places of `count` prints, or all if there are fewer, evenly spread over the set: int [count]."""
        count = min(count, len(self))
        return np.arange(count) * len(self) // max(count, 1)

    @property
    def data_hash(self) -> str:
        """12 hexadecimal digits of a hash of pixels and persons."""
        digest = hashlib.sha256(repr((self.images.shape, self.persons.tolist())).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()[:12]


def check_prints(prints: PrintSet, data_config: ConfigDict, *, is_one_a_person: bool = False) -> None:
    """Check prints in memory as strictly as prints from files.

    Args:
      prints: preprocessed.
      data_config: config.data; the image's size and num_channels are used.
      is_one_a_person: whether each person may have only one print.

    Raises:
      UserError: there is no print, its size is not the config's, it is blank, or its id is out of range.
    """
    if not len(prints):
        raise UserError("prints: there is none; give at least one")
    shape = image_shape(data_config)
    if prints.images.shape[1:] != shape:
        raise UserError(
            f"prints.images: {_join(prints.images.shape[1:])} (height, width, channels), where the config has "
            f"{_join(shape)}; preprocess them (preprocessing.preprocess_print), or set config.data.image_size, "
            "image_width and num_channels"
        )
    first_of: dict[int, str] = {}
    for image, person, name in zip(prints.images, prints.persons.tolist(), prints.filenames, strict=True):
        if preprocessing.is_blank(image):
            raise UserError(f"prints: {name} is blank; leave it out")
        if not 0 <= person < 10**9:
            raise UserError(f"prints.persons: {person}, of {name}; an id is from 0 to 999,999,999")
        if is_one_a_person and person in first_of:
            raise UserError(
                f"prints.persons: {first_of[person]} and {name} are both of {person}, and would share their noise; "
                "give one print per person"
            )
        first_of[person] = name


def _join(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
