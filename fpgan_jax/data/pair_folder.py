"""Pairs in files: reading a folder of them, and checking it before anything is trained.

`pair_layouts.py` finds the files; `pair_writing.py` writes them.
"""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import image_files, pair_layouts, pairs, preprocessing
from fpgan_jax.data.pair_layouts import PairFile
from fpgan_jax.errors import UserError
from fpgan_jax.host.progress import create_progress

# A file whose aspect ratio is within this share of a single image's is taken for one: SOCOFing's scans are 7% narrower
# than square.
_SINGLE_TOLERANCE = 0.1
# Share by which the aspect ratios of the two images of a pair may differ: one pixel in a hundred.
_SHAPE_TOLERANCE = 0.01
# With this many pairs reading takes seconds, and its progress is shown.
_MIN_SHOWN_FILES = 1000


class PairFolder(pairs.NamedPairs):
    """The pairs of a folder of files, in the order of their names, read when they are asked for."""

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
          folder: in one of the layouts of `pair_layouts`; other files are ignored.
          data_config: config.data; direction, on_bad_file, the image's size, num_channels and interpolation are used.
          is_validation: read the pairs of its `val` or `test`; there may be none.
          max_pairs: read at most this many, spread evenly over all.

        Raises:
          UserError: there is no such folder or no pair in it, or a file is bad and on_bad_file is "stop": it is
            unreadable, blank or a single image, its two images differ in shape, or another pair has its person and
            replica.
        """
        self._folder = os.fspath(folder)
        self._num_channels = find_num_channels(folder, data_config)
        self._size = image_shape(data_config)[:2]
        self._interpolation = data_config.interpolation
        self._is_swapped = data_config.direction == "BtoA"
        skips_bad = data_config.on_bad_file == "skip"
        find = pair_layouts.find_validation_pairs if is_validation else pair_layouts.find_training_pairs
        found = find(folder, skips_bad=skips_bad) or pair_layouts.PairFiles((), "nothing")
        chosen = found.files
        if max_pairs is not None and max_pairs < len(chosen):
            chosen = tuple(chosen[index * len(chosen) // max_pairs] for index in range(max_pairs))
        self.files, self.data_hash = _check_pair_files(
            chosen, found.origin, self._num_channels, self._size, skips_bad=skips_bad
        )
        self.names = tuple(file.name for file in self.files)
        self.description = (
            f"{len(self.files)} pair{'s' * (len(self.files) != 1)} of {found.origin}, {data_config.direction}, "
            f"{'in color' if self._num_channels == 3 else 'in gray'}"
        )

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return one pair, newly read.

        Raises:
          UserError: its file has become unreadable.
        """
        images = [
            preprocessing.resize(image, self._size, self._interpolation)
            for image in _read_images(self.files[int(index)], self._num_channels)
        ]
        noise_image, real_image = reversed(images) if self._is_swapped else images
        return {"noise_image": noise_image, "real_image": real_image}

    def find(self, name: str) -> int:
        """Return the index of the pair of a name.

        Raises:
          UserError: the folder has no such pair.
        """
        if name not in self.names:
            raise UserError(f"config.data.paired_dir: the pair {name} is no longer in {self._folder}")
        return self.names.index(name)


def find_num_channels(folder: str | os.PathLike, data_config: ConfigDict) -> int:
    """Return config.data.num_channels unless that is 0; else 3 if any training pair has a color, and 1 otherwise.

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


def read_pair(path: str | os.PathLike, num_channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of two images side by side, each [height, width / 2, num_channels], uint8.

    Raises:
      UserError: the file is no readable image, its width is odd, or one of its halves is blank.
    """
    image = image_files.read_image(path, num_channels)
    width = image.shape[1]
    if width % 2:
        raise UserError(f"{os.fspath(path)}: a pair of equal halves has an even width, this has {width}")
    left, right = image[:, : width // 2], image[:, width // 2 :]
    _check_not_blank(left, path, "its left half")
    _check_not_blank(right, path, "its right half")
    return left, right


def _read_images(file: PairFile, num_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read A and B, each [height, width, num_channels], uint8."""
    if file.right is None:
        return read_pair(file.left, num_channels)
    left, right = (image_files.read_image(path, num_channels) for path in file.files)
    _check_not_blank(left, file.left, "the image")
    _check_not_blank(right, file.right, "the image")
    (height, width), (other_height, other_width) = left.shape[:2], right.shape[:2]
    if abs(width * other_height / (height * other_width) - 1) > _SHAPE_TOLERANCE:
        raise UserError(
            f"{file.left}: {width} x {height} pixels, but {file.right} has {other_width} x {other_height}: images of "
            "different shapes cannot be a pair"
        )
    return left, right


def _check_not_blank(image: np.ndarray, path: str | os.PathLike, what: str) -> None:
    if not preprocessing.is_blank(image):
        return
    if image.shape[2] == 1 and image_files.is_colored(path):
        raise UserError(
            f"{os.fspath(path)}: {what} is blank in gray, to which config.data.num_channels=1 turns "
            "its colors; set it to 3"
        )
    raise UserError(f"{os.fspath(path)}: {what} is blank")


def _check_pair_files(
    files: Sequence[PairFile], origin: str, num_channels: int, size: tuple[int, int], *, skips_bad: bool
) -> tuple[tuple[PairFile, ...], str]:
    """Read every file once; return the good pairs and the hash of their files' names and contents."""

    def check(file: PairFile) -> tuple[tuple[int, ...], list[bytes]]:
        # Whether an image decodes is known only after decoding: a PNG's checksums are right even if rows are missing.
        shape = _read_images(file, num_channels)[0].shape[:2]
        if file.right is None:
            _check_is_pair(file.left, shape, size)
        return shape, [image_files.hash_contents(path) for path in file.files]

    good: list[PairFile] = []
    shapes: set[tuple[int, ...]] = set()
    seen: dict[tuple[int, int], str] = {}
    digest = hashlib.sha256()
    is_shown = len(files) >= _MIN_SHOWN_FILES
    with (
        ThreadPoolExecutor() as pool,
        create_progress(len(files), "reading pairs", "pairs", is_shown=is_shown) as progress,
    ):
        try:
            for file, future in [(file, pool.submit(check, file)) for file in files]:
                progress.update()
                try:
                    shape, hashes = future.result()
                    _check_name(file, seen)
                except UserError as error:
                    if not skips_bad:
                        raise
                    logging.warning("skipped: %s", error)
                    continue
                good.append(file)
                shapes.add(shape)
                for path, contents in zip(file.files, hashes, strict=True):
                    digest.update(f"{path.name}\0".encode() + contents)
        finally:
            pool.shutdown(cancel_futures=True)
    if len(good) < len(files):
        logging.warning("skipped %d of %d files in %s", len(files) - len(good), len(files), origin)
    if files and not good:
        raise UserError(
            f"config.data.paired_dir: {origin} holds no paired {', '.join(image_files.EXTENSIONS)} file"
        )
    if shapes - {size}:
        shown = ", ".join(f"{width} x {height}" for width, height in sorted(s[::-1] for s in shapes)[:3])
        more = f" and {len(shapes) - 3} other sizes" if len(shapes) > 3 else ""
        logging.warning("images of %s%s pixels are resized to %d x %d", shown, more, *size[::-1])
    if num_channels == 1:
        _warn_of_colors(good)
    return tuple(good), f"{pairs.FILES_PREFIX}{digest.hexdigest()[:12]}"


def _check_is_pair(path: pathlib.Path, half_shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Refuse a file that has the shape of one image, not of two side by side."""
    (height, half_width), wanted = half_shape, size[1] / size[0]
    if abs(2 * half_width / height / wanted - 1) <= _SINGLE_TOLERANCE:
        raise UserError(
            f"{path}: {2 * half_width} x {height} pixels are one image's shape, not that of condition and target side "
            "by side; put the conditions into a folder A and the targets, under the same names, into B beside it, or "
            "set config.data.image_width to that of halves so narrow"
        )


def _check_name(file: PairFile, seen: dict[tuple[int, int], str]) -> None:
    """Refuse a name that no manifest can hold, or that says the same as one seen before."""
    try:
        file.name.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{file.left}: its name is not UTF-8; rename it") from error
    ids = pairs.parse_pair_name(file.name)
    if ids[0] != pairs.UNKNOWN and ids in seen:
        raise UserError(f"{file.left}: the same person and replica as {seen[ids]}; rename one of the two")
    seen[ids] = file.name


def _warn_of_colors(files: Sequence[PairFile]) -> None:
    paths = (path for file in files for path in file.files)
    colored = next(filter(image_files.is_colored, paths), None)
    if colored is not None:
        logging.warning(
            "%s is in color, perhaps others too, and is read as gray: config.data.num_channels=1; 3 keeps the colors",
            colored,
        )
