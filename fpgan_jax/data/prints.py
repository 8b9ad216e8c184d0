"""Owns the set of preprocessed prints that training and evaluation pass around.

Does not read or preprocess them; `print_loading.py` does.
"""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import order, preprocessing
from fpgan_jax.errors import UserError

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
      persons: [n], integers; ids.
      filenames: n names, without their folder.

    Raises:
      UserError: the arrays are of another type or number of axes, or the three of different length.
    """

    images: np.ndarray
    persons: np.ndarray
    filenames: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse arrays of other kinds, and parts of different length."""
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

    @property
    def data_hash(self) -> str:
        """12 hexadecimal digits that tell these pixels and persons from any others, wherever they lie."""
        digest = hashlib.sha256(repr((self.images.shape, self.persons.tolist())).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()[:12]


def check_prints(prints: PrintSet, data_config: ConfigDict, *, is_one_a_person: bool = False) -> None:
    """Check prints that a program gives as arrays as those that come from files are checked.

    Args:
      prints: preprocessed.
      data_config: config.data; the image's size and num_channels are used.
      is_one_a_person: whether a person may have one print only.

    Raises:
      UserError: there is no print, one is of another size than the config's or blank, or an id is none; the message
        names the print's file.
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
                f"prints.persons: {first_of[person]} and {name} are both of {person}, whose noise is one; give one "
                "print a person"
            )
        first_of[person] = name


def _join(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def label_prints(prints: PrintSet) -> np.ndarray:
    """Return each print's label, its person's place among the set's ids: [n], int32."""
    return np.searchsorted(np.unique(prints.persons), prints.persons).astype(np.int32)


def create_labelled_batch(
    step: int, prints: PrintSet, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
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
