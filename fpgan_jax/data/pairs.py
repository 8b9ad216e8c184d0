"""Owns pairs of noise and print: made from prints, read from files, written to files of both side by side, or arrays.

Does not decide the order (`order.py`) or which files are pairs (`pair_layouts.py`), and makes no noise (`noise.py`).
"""

import hashlib
import os
import pathlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from absl import logging
from ml_collections import ConfigDict
from PIL import Image

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import image_files, noise, order, pair_layouts, preprocessing
from fpgan_jax.data.pair_layouts import PairFile
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole

FILES_PREFIX = "files-"  # of the hash of pairs that were read from files
ARRAYS_PREFIX = "arrays-"  # of that of arrays in memory
UNKNOWN = -1  # person and replica of a pair whose file name does not tell them

# By how much of it a file's shape may differ from that of one image and still be taken for one: SOCOFing's scans are
# 7% narrower than square.
_SINGLE_TOLERANCE = 0.1
# By how much of it the shapes of the two images of a pair may differ: a pixel in a hundred.
_SHAPE_TOLERANCE = 0.01
# From so many pairs on, reading them is shown: it takes seconds.
_MIN_SHOWN_FILES = 1000
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

    def __init__(self, prints: PrintSet, data_config: ConfigDict):
        """Args: prints to replicate, and config.data (replicas and noise are used)."""
        self._prints = prints
        self._impressions = _number_impressions(prints.persons)
        self._num_replicas = data_config.num_replicas
        self._noise_per = data_config.noise_per
        self._noise_seed = data_config.noise_seed
        self._distribution = data_config.noise_distribution
        self.persons = tuple(sorted(set(prints.persons.tolist())))
        self.data_hash = prints.data_hash
        self.names: tuple[str, ...] = ()

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
    """The pairs of a folder of files, in the order of their names, read when they are asked for.

    Attributes:
      files: the pairs' files.
      description: what was found, a line for people.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        data_config: ConfigDict,
        *,
        is_validation: bool = False,
        max_pairs: int | None = None,
    ):
        """List the folder and read every file once.

        Args:
          folder: in one of the layouts of `pair_layouts`; other files are left alone.
          data_config: config.data; direction, on_bad_file, the image's size, num_channels and interpolation are used.
          is_validation: whether the pairs of its `val` or `test` are meant; there may be none.
          max_pairs: only so many, spread evenly over all; None is all.

        Raises:
          UserError: there is no such folder or no pair in it, or a file is bad and on_bad_file is "stop"; one that has
            a single image's shape is bad too, two images of different shapes, and the second of two pairs that are
            named after the same person and replica.
        """
        self._num_channels = find_num_channels(folder, data_config)
        self._size = image_shape(data_config)[:2]
        self._interpolation = data_config.interpolation
        self._is_swapped = data_config.direction == "BtoA"
        skips_bad = data_config.on_bad_file == "skip"
        if is_validation:
            found = pair_layouts.find_validation_pairs(folder, skips_bad=skips_bad)
            found = found or pair_layouts.PairFiles((), "nothing")
        else:
            found = pair_layouts.find_training_pairs(folder, skips_bad=skips_bad)
        chosen = found.files
        if max_pairs is not None and max_pairs < len(chosen):
            chosen = tuple(chosen[place * len(chosen) // max_pairs] for place in range(max_pairs))
        self.files, digests = _check_pair_files(
            chosen, found.origin, self._num_channels, self._size, skips_bad=skips_bad
        )
        self.names = tuple(file.name for file in self.files)
        self.persons = tuple(sorted({parse_pair_name(name)[0] for name in self.names} - {UNKNOWN}))
        self.data_hash = _hash_files(self.files, digests)
        self.description = (
            f"{len(self.files)} pair{'s' * (len(self.files) != 1)} of {found.origin}, {data_config.direction}, "
            f"{'in color' if self._num_channels == 3 else 'in grey'}"
        )
        self._folder = os.fspath(folder)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.files)

    def find(self, name: str) -> int:
        """Return the index of the pair of a name.

        Raises:
          UserError: the folder has no such pair.
        """
        if name not in self.names:
            raise UserError(f"config.data.paired_dir: the pair {name} is no longer in {self._folder}")
        return self.names.index(name)

    def identify(self, index: int) -> tuple[int, int]:
        """Return person and replica of one pair, both `UNKNOWN` if its name does not tell them."""
        return parse_pair_name(self.names[int(index)])

    def describe(self, index: int) -> str:
        """Return the name of one pair."""
        return self.names[int(index)]

    def __getitem__(self, index: int) -> dict:
        """Return one pair, newly read.

        Raises:
          UserError: its file has become unreadable.
        """
        noise_image, real_image = (
            preprocessing.resize(half, self._size, self._interpolation)
            for half in _read_halves(self.files[int(index)], self._num_channels)[
                :: -1 if self._is_swapped else 1
            ]
        )
        person, replica = self.identify(index)
        return {"noise_image": noise_image, "real_image": real_image, "person": person, "replica": replica}


class ArrayPairs:
    """Pairs of arrays in memory."""

    persons: tuple[int, ...] = ()

    def __init__(self, noise_images: np.ndarray, real_images: np.ndarray):
        """Check the arrays.

        Args:
          noise_images: conditions, uint8 [num_pairs, height, width, channels].
          real_images: targets, of the same shape.

        Raises:
          UserError: the arrays are of another kind, or there is no pair.
        """
        for name, images in (("noise_images", noise_images), ("real_images", real_images)):
            if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
                kind = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images)
                raise UserError(f"{name}: {kind}; give an array uint8 [num_pairs, height, width, channels]")
        if noise_images.shape != real_images.shape or not len(real_images):
            raise UserError(
                f"noise_images, real_images: {noise_images.shape} and {real_images.shape}; give as many of one shape, "
                "at least one"
            )
        self._noise_images, self._real_images = noise_images, real_images
        self.names = tuple(f"pair_{index:06d}" for index in range(len(real_images)))
        digest = hashlib.sha256(repr(noise_images.shape).encode())
        digest.update(np.ascontiguousarray(noise_images).data)
        digest.update(np.ascontiguousarray(real_images).data)
        self.data_hash = f"{ARRAYS_PREFIX}{digest.hexdigest()[:12]}"

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._real_images)

    def identify(self, index: int) -> tuple[int, int]:
        """Return `UNKNOWN` twice: nobody is named."""
        del index
        return UNKNOWN, UNKNOWN

    def describe(self, index: int) -> str:
        """Name one pair by its place."""
        return self.names[index]

    def __getitem__(self, index: int) -> dict:
        """Return one pair."""
        return {
            "noise_image": self._noise_images[index],
            "real_image": self._real_images[index],
            "person": UNKNOWN,
            "replica": UNKNOWN,
        }


def find_num_channels(folder: str | os.PathLike, data_config: ConfigDict) -> int:
    """Find out whether the pairs of a folder are in color.

    Args:
      folder: as of `PairFolder`.
      data_config: config.data; num_channels and on_bad_file are used.

    Returns:
      num_channels, where that says it; else 3 where a training pair has a color, or 1.

    Raises:
      UserError: as `pair_layouts.find_training_pairs`, or a file is bad and on_bad_file is "stop".
    """
    if data_config.num_channels:
        return data_config.num_channels
    skips_bad = data_config.on_bad_file == "skip"
    found = pair_layouts.find_training_pairs(folder, skips_bad=skips_bad)

    def is_colored(path: pathlib.Path) -> bool:
        try:
            return image_files.is_colored(path)
        except UserError:
            if skips_bad:
                return False  # named when it is read
            raise

    return 3 if any(is_colored(path) for file in found.files for path in file.files) else 1


def create_batch(pairs: Pairs, indices: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
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
    step: int, pairs: Pairs, config: ConfigDict, *, process_index: int = 0, process_count: int = 1
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
            _refuse_blank(path, f"its {side} half", num_channels)
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


def _read_halves(file: PairFile, num_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read A and B, each [height, width, num_channels], uint8."""
    if file.right is None:
        return read_pair(file.left, num_channels)
    left, right = (image_files.read_image(path, num_channels) for path in file.files)
    halves = left, right
    for path, half in zip(file.files, halves, strict=True):
        if preprocessing.is_blank(half):
            _refuse_blank(path, "the image", num_channels)
    (height, width), (other_height, other_width) = (half.shape[:2] for half in halves)
    if abs(width * other_height / (height * other_width) - 1) > _SHAPE_TOLERANCE:
        raise UserError(
            f"{file.left}: {width} x {height} pixels, where {file.right} has {other_width} x {other_height}: these are "
            "not of one shape and cannot be a pair"
        )
    return halves


def _refuse_blank(path: str | os.PathLike, what: str, num_channels: int) -> None:
    if num_channels == 1 and image_files.is_colored(path):
        raise UserError(
            f"{os.fspath(path)}: {what} is blank in grey, to which config.data.num_channels=1 turns "
            "its colors; set it to 3"
        )
    raise UserError(f"{os.fspath(path)}: {what} is blank")


def _check_pair_files(
    files: Sequence[PairFile], origin: str, num_channels: int, size: tuple[int, int], *, skips_bad: bool
) -> tuple[tuple[PairFile, ...], list[bytes]]:
    """Read every file once; return the pairs that are good and the hashes of their files' contents."""

    def check(file: PairFile) -> tuple[tuple[int, ...], list[bytes]] | UserError:
        try:
            # What decodes is known after decoding only: checksums are right of a file whose rows end early too.
            halves = _read_halves(file, num_channels)
            if file.right is None:
                _check_is_pair(file.left, halves[0].shape, size)
            return halves[0].shape[:2], [image_files.hash_contents(path) for path in file.files]
        except UserError as error:
            return error

    good: list[PairFile] = []
    digests: list[bytes] = []
    sizes: set[tuple[int, ...]] = set()
    seen: dict[tuple[int, int], str] = {}
    num_bad = 0
    with (
        ThreadPoolExecutor() as pool,
        create_progress(
            len(files), "reading pairs", "pairs", is_shown=len(files) >= _MIN_SHOWN_FILES
        ) as progress,
    ):
        try:
            for file, result in zip(files, pool.map(check, files), strict=True):
                progress.update()
                try:
                    if isinstance(result, UserError):
                        raise result
                    _check_name(file, seen)
                except UserError as error:
                    if not skips_bad:
                        raise
                    num_bad += 1
                    logging.warning("skipped: %s", error)
                    continue
                own_size, contents = result
                sizes.add(own_size[::-1])
                good.append(file)
                digests += contents
        finally:
            pool.shutdown(cancel_futures=True)
    if num_bad:
        logging.warning("skipped %d of %d files in %s", num_bad, len(files), origin)
    if files and not good:
        raise UserError(
            f"config.data.paired_dir: {origin} holds no paired {', '.join(image_files.EXTENSIONS)} file"
        )
    if sizes - {size[::-1]}:
        shown = ", ".join(f"{width} x {height}" for width, height in sorted(sizes)[:3])
        more = f" and {len(sizes) - 3} other sizes" if len(sizes) > 3 else ""
        logging.warning("images of %s%s pixels are resized to %d x %d", shown, more, *size[::-1])
    if num_channels == 1:
        _warn_of_colors(good)
    return tuple(good), digests


def _check_is_pair(path: pathlib.Path, half_shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Refuse a file that has the shape of one image, not of two side by side."""
    (height, half_width), wanted = half_shape[:2], size[1] / size[0]
    if abs(2 * half_width / height / wanted - 1) <= _SINGLE_TOLERANCE:
        raise UserError(
            f"{path}: {2 * half_width} x {height} pixels are one image's shape, not that of condition and target side "
            "by side; put the conditions into a folder A and the targets, under the same names, into B beside it, or "
            "set config.data.image_width to that of halves so narrow"
        )


def _warn_of_colors(files: Sequence[PairFile]) -> None:
    paths = (path for file in files for path in file.files)
    colored = next(filter(image_files.is_colored, paths), None)
    if colored is not None:
        logging.warning(
            "%s is in color, perhaps others too, and is read as grey: config.data.num_channels=1; 3 keeps the colors",
            colored,
        )


def _hash_files(files: Sequence[PairFile], digests: Sequence[bytes]) -> str:
    """Return "files-" and 12 hexadecimal digits of the files' names and contents."""
    digest = hashlib.sha256()
    paths = [path for file in files for path in file.files]
    for path, contents in zip(paths, digests, strict=True):
        digest.update(f"{path.name}\0".encode())
        digest.update(contents)
    return f"{FILES_PREFIX}{digest.hexdigest()[:12]}"


def _check_name(file: PairFile, seen: dict[tuple[int, int], str]) -> None:
    """Refuse a name that no manifest can hold, or that tells the same as one that was seen before."""
    try:
        file.name.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{file.left}: its name is not UTF-8; rename it") from error
    ids = parse_pair_name(file.name)
    if ids[0] != UNKNOWN and ids in seen:
        raise UserError(f"{file.left}: the same person and replica as {seen[ids]}; rename one of the two")
    seen[ids] = file.name
