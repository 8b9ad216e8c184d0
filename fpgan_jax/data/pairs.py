"""Owns pairs of noise and print: made from prints, or read from and written to files of both side by side.

Does not decide the order (`order.py`), and makes no noise (`noise.py`).
"""

import hashlib
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from absl import logging
from PIL import Image

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import image_files, noise, order, preprocessing
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.user_paths import expand_path
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp")
FILES_PREFIX = "files-"  # of the hash of pairs that were read from files
UNKNOWN = -1  # person and replica of a pair whose file name does not tell them

# By how much of it a file's shape may differ from that of one image and still be taken for one: SOCOFing's scans are
# 7% narrower than square.
_SINGLE_TOLERANCE = 0.1
_PAIR_NAME = re.compile(r"(?P<person>[0-9]{1,9})_(?P<replica>[0-9]{1,9})")


class Pairs(Protocol):
    """Training examples by number.

    An example is {"noise_image": uint8 of `config.derived.condition_shape`, "real_image": uint8 of
    `config.derived.image_shape`, "person": int, "replica": int}.
    """

    persons: tuple[int, ...]  # ids, sorted, without repetition
    data_hash: str  # tells this set from any other
    names: tuple[str, ...]  # of the pairs' files; empty where there are none

    def __len__(self) -> int:
        """Return the number of examples."""

    def __getitem__(self, index: int) -> dict:
        """Return one example."""

    def identify(self, index: int) -> tuple[int, int]:
        """Return person and replica of one example, without making it."""

    def describe(self, index: int) -> str:
        """Name one example by its file."""


class ReplicatedPrints:
    """Every print `num_replicas` times, each with noise that is made when it is asked for.

    The replicas of a person's second print are numbered on from those of the first, or both would have one noise.

    Source: Cordeiro & Saito, section 4; differs in: noise may differ by replica or only by person.
    """

    def __init__(self, prints: PrintSet, data_config):
        """Args: prints to replicate, and config.data (replicas and noise are used)."""
        self._prints = prints
        self._impressions = _number_impressions(prints.persons)
        self._num_replicas = data_config.num_replicas
        self._noise_per = data_config.noise_per
        self._noise_seed = data_config.noise_seed
        self._distribution = data_config.noise_distribution
        self.persons = tuple(sorted(set(prints.persons.tolist())))
        self.data_hash = prints.data_hash
        self.names = ()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._prints) * self._num_replicas

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

    def __getitem__(self, index: int) -> dict:
        """Return one pair, its noise newly made."""
        person, replica = self.identify(index)
        print_index = int(index) // self._num_replicas
        return {
            "noise_image": self._create_condition(print_index, person, replica),
            "real_image": self._prints.images[print_index],
            "person": person,
            "replica": replica,
        }

    def _create_condition(self, print_index: int, person: int, replica: int) -> np.ndarray:
        return self._create_noise(self._prints.images[print_index].shape, person, replica)

    def _create_noise(self, shape: tuple[int, int, int], person: int, replica: int) -> np.ndarray:
        return noise.create_noise_image(
            self._noise_seed,
            person,
            replica if self._noise_per == "replica" else 0,
            shape=shape,
            distribution=self._distribution,
        )


def _number_impressions(persons: np.ndarray) -> list[int]:
    """Number each person's prints from 0."""
    counts: dict[int, int] = {}
    numbers = []
    for person in persons.tolist():
        numbers.append(counts.get(person, 0))
        counts[person] = numbers[-1] + 1
    return numbers


class PairFolder:
    """The pair files of a folder, in the order of their names, read when they are asked for."""

    def __init__(self, folder: str | os.PathLike, data_config):
        """List the folder and read every file once.

        Args:
          folder: of .png, .jpg and .bmp files; others are left alone.
          data_config: config.data; on_bad_file, the image's size, num_channels and interpolation are used.

        Raises:
          UserError: there is no such folder or no pair in it, or a file is bad and on_bad_file is "stop"; one that has
            a single image's shape is bad too, and the second of two that are named after the same person and replica.
        """
        height, width, self._num_channels = image_shape(data_config)
        self._size = (height, width)
        self._interpolation = data_config.interpolation
        self.paths = _list_pair_files(expand_path(os.fspath(folder)), data_config)
        self.names = tuple(path.name for path in self.paths)
        self.persons = tuple(sorted({parse_pair_name(name)[0] for name in self.names} - {UNKNOWN}))
        self.data_hash = _hash_files(self.paths)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.paths)

    def find(self, name: str) -> int:
        """Return the index of the pair in a file.

        Raises:
          UserError: the folder has no such file.
        """
        if name not in self.names:
            raise UserError(f"config.data.paired_dir: the pair {name} is no longer in {self.paths[0].parent}")
        return self.names.index(name)

    def identify(self, index: int) -> tuple[int, int]:
        """Return person and replica of one pair, both `UNKNOWN` if its file's name does not tell them."""
        return parse_pair_name(self.paths[int(index)].name)

    def describe(self, index: int) -> str:
        """Return the name of one pair's file."""
        return self.names[int(index)]

    def __getitem__(self, index: int) -> dict:
        """Return one pair, newly read.

        Raises:
          UserError: its file has become unreadable.
        """
        noise_image, real_image = (
            preprocessing.resize(half, self._size, self._interpolation)
            for half in read_pair(self.paths[int(index)], self._num_channels)
        )
        person, replica = self.identify(index)
        return {"noise_image": noise_image, "real_image": real_image, "person": person, "replica": replica}


def create_batch(pairs: Pairs, indices: Sequence[int]) -> dict[str, np.ndarray]:
    """Stack pairs.

    Args:
      pairs: to choose from.
      indices: of the pairs, b of them.

    Returns:
      {"noise_image": uint8 [b, height, width, condition channels], "real_image": uint8 [b, height, width, channels],
      "person": int32 [b], "replica": int32 [b]}.
    """
    examples = [pairs[index] for index in indices]
    return {
        "noise_image": np.stack([example["noise_image"] for example in examples]),
        "real_image": np.stack([example["real_image"] for example in examples]),
        "person": np.array([example["person"] for example in examples], np.int32),
        "replica": np.array([example["replica"] for example in examples], np.int32),
    }


def create_batch_of_step(
    step: int, pairs: Pairs, config, *, process_index: int = 0, process_count: int = 1
) -> dict[str, np.ndarray]:
    """Create the batch of one training step, without those before it.

    Args:
      step: from 0.
      pairs: the training set.
      config: as in configs/pix2pix_socofing.py; global_batch_size and data.shuffle_seed are used.
      process_index: of this process.
      process_count: number of processes; each gets its rows of the global batch.

    Returns:
      As `create_batch`, with b = global_batch_size / process_count.
    """
    indices = order.batch_indices(
        step,
        global_batch_size=config.global_batch_size,
        num_examples=len(pairs),
        seed=config.data.shuffle_seed,
    )
    return create_batch(pairs, order.slice_for_process(indices, process_index, process_count))


def parse_pair_name(filename: str) -> tuple[int, int]:
    """Read person and replica from a name that `write_pairs` gave, for example `005_03.png`.

    Args:
      filename: without its folder.

    Returns:
      Person and replica; both `UNKNOWN` if the name is of another form.
    """
    match = _PAIR_NAME.fullmatch(os.path.splitext(filename)[0])
    return (int(match["person"]), int(match["replica"])) if match else (UNKNOWN, UNKNOWN)


def read_pair(path: str | os.PathLike, num_channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of [noise | print].

    Args:
      path: of the file.
      num_channels: 1 or 3, to which the file is converted.

    Returns:
      Noise and print, each [height, width / 2, num_channels], uint8.

    Raises:
      UserError: the file is no readable image, its width is odd, or a half of it is blank, if only in grey.
    """
    image = image_files.read_image(path, num_channels)
    width = image.shape[1]
    if width % 2:
        raise UserError(f"{os.fspath(path)}: a pair of equal halves has an even width, this has {width}")
    halves = image[:, : width // 2], image[:, width // 2 :]
    for side, half in zip(("left", "right"), halves, strict=True):
        if preprocessing.is_blank(half):
            if num_channels == 1 and image_files.is_colored(path):
                raise UserError(
                    f"{os.fspath(path)}: its {side} half is blank in grey, to which config.data.num_channels=1 turns "
                    "its colors; set it to 3"
                )
            raise UserError(f"{os.fspath(path)}: its {side} half is blank")
    return halves


def write_pairs(pairs: Pairs, out_dir: str | os.PathLike) -> list[pathlib.Path]:
    """Write every pair as a PNG file, noise left and print right, as pix2pix's "aligned" loader reads it.

    A file appears under its name only when it is whole; writing the same pairs again replaces them.

    Args:
      pairs: what to write.
      out_dir: the files go to its folder `train`, named `<person>_<replica>.png`, or as the pairs' own files where
        not everybody is known.

    Returns:
      The files' paths, in the order of the pairs, which is also that of their names.

    Raises:
      UserError: `train` holds other files, two pairs would have one name, or condition and print have not as many
        channels.

    Source: Cordeiro & Saito, section 4 (pairs of 512x256); differs in: nothing.
    """
    first = pairs[0]
    if first["noise_image"].shape != first["real_image"].shape:
        raise UserError(
            f"config.data.condition: {first['noise_image'].shape[-1]} channels do not fit into a picture beside the "
            "print; launch.train_gan makes these pairs from the prints itself"
        )
    folder = pathlib.Path(out_dir) / "train"
    paths = [folder / name for name in _name_pairs(pairs)]
    _make_folder(folder, {path.name for path in paths})
    with create_progress(len(paths), "writing pairs", "pairs") as progress:
        for index, path in enumerate(paths):
            pair = pairs[index]
            _write_png(np.concatenate([pair["noise_image"], pair["real_image"]], axis=1), path)
            progress.update()
    return paths


def _name_pairs(pairs: Pairs) -> list[str]:
    ids = [pairs.identify(index) for index in range(len(pairs))]
    if (UNKNOWN, UNKNOWN) in ids:
        names = [f"{pathlib.Path(name).stem}.png" for name in pairs.names]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{name}: two pairs' files have this name, but for the ending; rename one")
        return names
    # Numbers of equal width sort alike as text and as numbers.
    person_width = max(3, *(len(str(person)) for person, _ in ids))
    replica_width = max(2, *(len(str(replica)) for _, replica in ids))
    return [f"{person:0{person_width}d}_{replica:0{replica_width}d}.png" for person, replica in ids]


def _make_folder(folder: pathlib.Path, own_names: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # A temporary file is what a killed run left of a file that is written again now.
    others = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.removesuffix(TEMPORARY_ENDING) not in own_names and not is_leftover(entry.name)
    )
    if others:
        raise UserError(
            f"{folder}: holds {len(others)} files that are not of these pairs, for example {others[0]}; "
            "empty it or choose another --out_dir"
        )


def _write_png(image: np.ndarray, path: pathlib.Path) -> None:
    with write_whole(path, "wb") as file:
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, format="PNG")


def _list_pair_files(folder: str, data_config) -> list[pathlib.Path]:
    if not os.path.isdir(folder):
        raise UserError(f"config.data.paired_dir: {folder!r} is not a folder of paired image files")
    candidates = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(EXTENSIONS) and entry.name[0] != "."
    )
    height, width, _ = image_shape(data_config)
    paths, sizes, seen, num_bad = [], set(), {}, 0
    for name in candidates:
        path = pathlib.Path(folder) / name
        try:
            # What decodes is known after decoding only: checksums are right of a file whose rows end early too.
            noise_image, _ = read_pair(path, data_config.num_channels)
            _check_is_pair(path, noise_image.shape, (height, width))
            _check_name(name, path, seen)
            sizes.add((2 * noise_image.shape[1], noise_image.shape[0]))
            paths.append(path)
        except UserError as error:
            if data_config.on_bad_file == "stop":
                raise
            num_bad += 1
            logging.warning("skipped: %s", error)
    if num_bad:
        logging.warning("skipped %d of %d files in %s", num_bad, len(candidates), folder)
    if not paths:
        raise UserError(
            f"config.data.paired_dir: {folder} holds no paired {', '.join(EXTENSIONS)} file"
            f"{_hint_at_layout(folder)}"
        )
    if sizes - {(2 * width, height)}:
        logging.warning("pairs of %s are resized to two images of %d x %d", sorted(sizes)[:3], width, height)
    if data_config.num_channels == 1:
        _warn_of_colors(paths)
    return paths


def _check_is_pair(path: pathlib.Path, half_shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Refuse a file that has the shape of one image, not of two side by side."""
    (height, half_width), wanted = half_shape[:2], size[1] / size[0]
    if abs(2 * half_width / height / wanted - 1) <= _SINGLE_TOLERANCE:
        raise UserError(
            f"{path}: {2 * half_width} x {height} pixels are one image's shape, not that of condition and target side "
            "by side; join the two, or set config.data.image_width to that of halves so narrow"
        )


def _warn_of_colors(paths: Sequence[pathlib.Path]) -> None:
    colored = next(filter(image_files.is_colored, paths), None)
    if colored is not None:
        logging.warning(
            "%s is in color, perhaps others too, and is read as grey: config.data.num_channels=1; 3 keeps the colors",
            colored,
        )


def _hint_at_layout(folder: str | os.PathLike) -> str:
    """Say what to do with a folder in a layout of the other pix2pix codes."""
    names = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    if "train" in names:
        return f"; did you mean {os.path.join(folder, 'train')}?"
    for condition, target in (("A", "B"), ("trainA", "trainB")):
        if {condition, target} <= names:
            return (
                f"; join each image of {condition}/ and its namesake of {target}/ side by side in one file, "
                f"{condition} left"
            )
    return ""


def _hash_files(paths: Sequence[pathlib.Path]) -> str:
    """Return "files-" and 12 hexadecimal digits of the files' names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        digest.update(image_files.hash_contents(path))
    return f"{FILES_PREFIX}{digest.hexdigest()[:12]}"


def _check_name(name: str, path: pathlib.Path, seen: dict[tuple[int, int], str]) -> None:
    """Refuse a name that no manifest can hold, or that tells the same as one that was seen before."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{path}: its name is not UTF-8; rename it") from error
    ids = parse_pair_name(name)
    if ids[0] != UNKNOWN and ids in seen:
        raise UserError(f"{path}: the same person and replica as {seen[ids]}; rename one of the two")
    seen[ids] = name
