"""Pairs of condition and print in memory: made from prints, or from arrays.

`pair_folder.py` reads them from files; `ridges/ridge_pairs.py` makes conditions from prints.
"""

import collections
import functools
import hashlib
import itertools
import os
import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import noise
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError

FILES_PREFIX = "files-"  # of the hash of pairs that were read from files
ARRAYS_PREFIX = "arrays-"  # of that of arrays in memory
UNKNOWN = -1  # person and replica of a pair whose file name does not say them
_PAIR_NAME = re.compile(r"(?P<person>[0-9]{1,9})_(?P<replica>[0-9]{1,9})")


class Pairs(Protocol):
    """Training examples by index."""

    data_hash: str
    names: tuple[str, ...]  # of the pairs' files; empty if there are no files
    description: str  # for people; may be empty

    def __len__(self) -> int:
        """Return the number of pairs."""

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return {"noise_image", "real_image"}, uint8, of `config.derived.condition_shape` and `image_shape`."""

    def identify(self, index: int) -> tuple[int, int]:
        """Return person and replica of one pair, without making it."""

    def describe(self, index: int) -> str:
        """Name one pair by its file."""


class ReplicatedPrints:
    """Every print `num_replicas` times, each with noise that is made when it is asked for.

    The replicas of a person's second print are numbered on from those of the first; otherwise both would share noise.

    Source: Cordeiro & Saito, section 4; differs in: noise may differ by replica or only by person.
    """

    names: tuple[str, ...] = ()
    description = ""

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Keep the prints; of config.data the replicas and the noise are used."""
        self._prints = prints
        self.data_hash = prints.data_hash
        counters: dict[int, itertools.count] = collections.defaultdict(itertools.count)
        self._impressions = [next(counters[person]) for person in prints.persons.tolist()]
        self._num_replicas = data_config.num_replicas
        self._is_noise_shared = data_config.noise_per != "replica"
        self._create_noise_image = functools.partial(
            noise.create_noise_image, data_config.noise_seed, distribution=data_config.noise_distribution
        )

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._prints) * self._num_replicas

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one pair, its noise newly made."""
        image = self._prints.images[int(index) // self._num_replicas]
        return {"noise_image": self._create_condition(index), "real_image": image}

    def identify(self, index: int) -> tuple[int, int]:
        """Return person and replica of one pair."""
        print_index, replica = divmod(int(index), self._num_replicas)
        replica += self._impressions[print_index] * self._num_replicas
        return int(self._prints.persons[print_index]), replica

    def describe(self, index: int) -> str:
        """Name one pair by its print's file, person and replica."""
        person, replica = self.identify(index)
        filename = self._prints.filenames[int(index) // self._num_replicas]
        return f"{filename} (person {person}, replica {replica})"

    def _create_condition(self, index: int) -> np.ndarray:
        return self._create_noise(index, self._prints.images.shape[-1])

    def _create_noise(self, index: int, num_channels: int) -> np.ndarray:
        person, replica = self.identify(index)
        shape = (*self._prints.images.shape[1:3], num_channels)
        return self._create_noise_image(person, 0 if self._is_noise_shared else replica, shape=shape)


class NamedPairs:
    """Pairs that are known by their names, such as `005_03.png` of person 5, replica 3."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.names)

    def identify(self, index: int) -> tuple[int, int]:
        """Return person and replica of one pair, both `UNKNOWN` if its name does not say them."""
        return parse_pair_name(self.describe(index))

    def describe(self, index: int) -> str:
        """Return the name of one pair."""
        return self.names[int(index)]


class ArrayPairs(NamedPairs):
    """Pairs of arrays in memory, of unknown persons."""

    description = ""

    def __init__(self, noise_images: np.ndarray, real_images: np.ndarray):
        """Check the arrays.

        Args:
          noise_images: conditions, uint8 [num_pairs, height, width, channels].
          real_images: targets, of the same shape.

        Raises:
          UserError: the arrays have another type or shape, or there is no pair.
        """
        for name, images in (("noise_images", noise_images), ("real_images", real_images)):
            if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
                kind = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images)
                raise UserError(f"{name}: {kind}; give an array uint8 [num_pairs, height, width, channels]")
        if noise_images.shape != real_images.shape or not len(real_images):
            raise UserError(
                f"noise_images, real_images: {noise_images.shape} and {real_images.shape}; give two arrays of the same "
                "shape, with at least one pair"
            )
        self._images = {"noise_image": noise_images, "real_image": real_images}
        self.names = tuple(f"pair_{index:06d}" for index in range(len(real_images)))
        digest = hashlib.sha256(repr(noise_images.shape).encode())
        for images in self._images.values():
            digest.update(np.ascontiguousarray(images).data)
        self.data_hash = f"{ARRAYS_PREFIX}{digest.hexdigest()[:12]}"

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one pair."""
        return {name: images[index] for name, images in self._images.items()}


def parse_pair_name(filename: str) -> tuple[int, int]:
    """Read person and replica from a name, for example `005_03.png`; both `UNKNOWN` for another name."""
    match = _PAIR_NAME.fullmatch(os.path.splitext(filename)[0])
    return (int(match["person"]), int(match["replica"])) if match else (UNKNOWN, UNKNOWN)


def create_batch(pairs: Pairs, indices: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """Stack pairs.

    Returns:
      {"noise_image": uint8 [b, height, width, condition channels], "real_image": uint8 [b, height, width, channels],
      "person": int32 [b], "replica": int32 [b]}.
    """
    examples = [pairs[index] for index in indices]
    persons, replicas = np.array([pairs.identify(index) for index in indices], np.int32).T
    return {
        "noise_image": np.stack([example["noise_image"] for example in examples]),
        "real_image": np.stack([example["real_image"] for example in examples]),
        "person": persons,
        "replica": replicas,
    }
