"""Owns the sets of prints that recognizers train on and are tested on: aligned prints with the ids of their fingers."""

import hashlib
import inspect
import math
import os
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.data import impression_folder, preprocessing
from fpgan_jax.data.prints import Record
from fpgan_jax.data.procedural.finger import SYNTHESIS_VERSION, create_finger
from fpgan_jax.data.procedural.impressions import SIZES, create_impression
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.recognition import alignment
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.user_paths import expand_path
from fpgan_jax.host.whole_file import write_whole

_PROCEDURAL_PPI = (500.0, 500.0)
_PROCEDURAL_SIZE = "241x298"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SEPARATOR = re.compile(f",(?={_NAME.pattern}=)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
PPI_RANGE = (100, 2000)


class SetPlace(NamedTuple):
    """Where a set of prints is."""

    name: str  # as in the tables
    folder: str  # of `<finger>_<impression>.png`
    ppi: tuple[float, float]  # of its files, (down, across)


class FingerPrints(NamedTuple):
    """Aligned prints: int8 [n, alignment.SIDE, alignment.SIDE], and the ids of their fingers, int64 [n]."""

    name: str
    images: np.ndarray
    fingers: np.ndarray

    def choose(self, is_chosen: np.ndarray) -> "FingerPrints":
        """Choose some of the prints by bool [n]."""
        return self._replace(images=self.images[is_chosen], fingers=self.fingers[is_chosen])

    def hash(self) -> str:
        """Hash the pixels and the ids, to 12 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.images.shape, self.fingers.tolist())).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()[:12]


def parse_places(texts: Sequence[str], flag: str) -> list[SetPlace]:
    """Parse NAME=FOLDER@PPI or NAME=FOLDER@ACROSSxDOWN, several separated by commas.

    Args:
      texts: for example "uareu=prints/uareu@512,crossmatch=prints/crossmatch@500"; a folder's name may have commas.
      flag: that they were given to, for messages.

    Raises:
      UserError: a text has another form.
    """
    parts = [part for text in texts for part in _SEPARATOR.split(text)]
    return [_parse_place(part, flag) for part in parts]


def _parse_place(text: str, flag: str) -> SetPlace:
    name, equals, rest = text.partition("=")
    folder, at, ppi = rest.rpartition("@")
    if not (equals and at and folder and _NAME.fullmatch(name)):
        raise UserError(f"--{flag}={text}: must be NAME=FOLDER@PPI, as uareu=prints/uareu@512")
    low, high = PPI_RANGE
    numbers = [float(part) if _NUMBER.fullmatch(part) else math.nan for part in ppi.split("x")]
    if len(numbers) > 2 or not all(low <= number <= high for number in numbers):
        raise UserError(
            f"--{flag}={text}: {ppi!r} is no resolution; give pixels per inch from {low} to {high}, as 500, or across "
            "and down, as 248x230"
        )
    return SetPlace(name, expand_path(folder), (numbers[-1], numbers[0]))


def read_prints(place: SetPlace, flag: str) -> list[Record]:
    """Read a folder's prints in order of finger and impression; `flag` named the folder, for messages.

    Raises:
      UserError: as in `impression_folder.read_folder`.
    """

    def sort_key(record: Record) -> tuple[int, int]:
        name = impression_folder.parse_filename(record.filename)
        assert name is not None  # or it would not have been read
        return record.person, name.impression

    return sorted(impression_folder.read_folder(place.folder, f"--{flag}"), key=sort_key)


def load_prints(place: SetPlace, flag: str, cache_dir: str) -> FingerPrints:
    """Load and align all prints of a folder, in order of finger and impression.

    Args:
      place: of the folder.
      flag: that named it, for messages.
      cache_dir: where aligned prints are kept.

    Raises:
      UserError: as in `read_prints`, or the folder's manifest gives another resolution.
    """
    impression_folder.check_resolution(place.folder, place.ppi, f"--{flag}: {place.name}")
    records = read_prints(place, flag)
    fingers = np.array([record.person for record in records], np.int64)
    digest = hashlib.sha256(repr((place.ppi, fingers.tolist())).encode())
    for record in records:
        digest.update(repr(record.image.shape).encode() + record.image.tobytes())
    images = (record.image[..., 0] for record in records)
    aligned = _align(images, len(records), place.ppi, digest.hexdigest(), place.name, cache_dir)
    return FingerPrints(place.name, aligned, fingers)


def grow_prints(name: str, num_fingers: int, num_impressions: int, seed: int, cache_dir: str) -> FingerPrints:
    """Render impressions of procedural fingers with ids from 1, and align them."""
    numbers = range(1, num_fingers + 1)
    images = (image for number in numbers for image in render_finger(seed, number, num_impressions))
    key = f"{seed} {num_fingers} {num_impressions} {SYNTHESIS_VERSION}"
    num_prints = num_fingers * num_impressions
    aligned = _align(images, num_prints, _PROCEDURAL_PPI, key, name, cache_dir)
    return FingerPrints(name, aligned, np.repeat(numbers, num_impressions))


def render_finger(seed: int, number: int, num_impressions: int) -> list[np.ndarray]:
    """Render impressions of a procedural finger, uint8 [height, width] each, at 500 ppi."""
    finger = create_finger(seed, number)
    window = SIZES[_PROCEDURAL_SIZE].window
    return [
        create_impression(finger, impression, size=_PROCEDURAL_SIZE)[window]
        for impression in range(num_impressions)
    ]


def _align(
    images: Iterable[np.ndarray],
    num_images: int,
    ppi: tuple[float, float],
    key: str,
    name: str,
    cache_dir: str,
) -> np.ndarray:
    """Align prints, or read what was aligned before: int8 [n, SIDE, SIDE]."""
    code = (inspect.getsource(module).encode() for module in (alignment, ridge_map, preprocessing))
    digest = hashlib.sha256(b"".join([key.encode(), *code])).hexdigest()[:16]
    path = os.path.join(cache_dir, f"{digest}.npz")
    try:
        with np.load(path) as kept:
            return kept["images"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # missing or incomplete
    aligned = []
    with create_progress(num_images, f"{name}: prints", "print") as progress:
        for image in images:
            aligned.append(alignment.align_print(image, ppi))
            progress.update()
    os.makedirs(cache_dir, exist_ok=True)
    with write_whole(path, "wb") as file:
        np.savez_compressed(file, images=np.stack(aligned))
    return np.stack(aligned)
