"""Owns the sets of prints that recognisers train on and are tested on: aligned prints with the ids of their fingers.

Does not align them (`alignment.py`) or choose what trains (`experiment.py`).
"""

import functools
import hashlib
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.data import impression_folder, preprocessing
from fpgan_jax.data.impression_folder import parse_filename
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
_PPI_RANGE = (100, 2000)


class SetPlace(NamedTuple):
    """Where a set of prints is.

    Attributes:
      name: as in the tables.
      folder: of `<finger>_<impression>.png`.
      ppi: of its files, pixels per inch down and across.
    """

    name: str
    folder: str
    ppi: tuple[float, float]


class FingerPrints(NamedTuple):
    """Aligned prints.

    Attributes:
      name: of the set.
      images: int8 [n, alignment.SIDE, alignment.SIDE].
      fingers: int64 [n]; ids.
    """

    name: str
    images: np.ndarray
    fingers: np.ndarray

    def choose(self, is_chosen: np.ndarray) -> "FingerPrints":
        """Choose some of the prints: bool [n]."""
        return self._replace(images=self.images[is_chosen], fingers=self.fingers[is_chosen])

    def hash(self) -> str:
        """Compute 12 hexadecimal digits that tell these pixels and ids from any others."""
        digest = hashlib.sha256(repr((self.images.shape, self.fingers.tolist())).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()[:12]


def parse_places(texts: Sequence[str], flag: str) -> list[SetPlace]:
    """Read NAME=FOLDER@PPI or NAME=FOLDER@ACROSSxDOWN, several with commas between them.

    Args:
      texts: such as "uareu=prints/uareu@512,crossmatch=prints/crossmatch@500"; a folder's name may have commas.
      flag: that they were given to, for messages.

    Returns:
      A place each.

    Raises:
      UserError: a text is of another form.
    """
    parts = [part for text in texts for part in _SEPARATOR.split(text)]
    return [_parse_place(part, flag) for part in parts]


def _parse_place(text: str, flag: str) -> SetPlace:
    name, equals, rest = text.partition("=")
    folder, at, ppi = rest.rpartition("@")
    if not (equals and at and folder and _NAME.fullmatch(name)):
        raise UserError(f"--{flag}={text}: must be NAME=FOLDER@PPI, as uareu=prints/uareu@512")
    low, high = _PPI_RANGE
    numbers = [float(part) if _NUMBER.fullmatch(part) else math.nan for part in ppi.split("x")]
    if len(numbers) > 2 or not all(low <= number <= high for number in numbers):
        raise UserError(
            f"--{flag}={text}: {ppi!r} is no resolution; give pixels per inch from {low} to {high}, as 500, or across "
            "and down, as 248x230"
        )
    return SetPlace(name, expand_path(folder), (numbers[-1], numbers[0]))


def load_prints(place: SetPlace, flag: str, cache_dir: str) -> FingerPrints:
    """Load and align all prints of a folder, in order of finger and impression.

    Args:
      place: of the folder.
      flag: that named it, for messages.
      cache_dir: where aligned prints are kept.

    Returns:
      The prints.

    Raises:
      UserError: as `impression_folder.read_folder`.
    """
    impression_folder.check_resolution(place.folder, place.ppi, f"--{flag}: {place.name}")
    records = impression_folder.read_folder(place.folder, f"--{flag}")
    records.sort(key=lambda record: (record.person, parse_filename(record.filename).impression))
    fingers = np.array([record.person for record in records], np.int64)
    digest = hashlib.sha256(repr((place.ppi, fingers.tolist())).encode())
    for record in records:
        digest.update(repr(record.image.shape).encode() + record.image.tobytes())
    images = [functools.partial(_take, record.image) for record in records]
    return FingerPrints(
        place.name, _align(images, place.ppi, digest.hexdigest(), place.name, cache_dir), fingers
    )


def _take(image: np.ndarray) -> np.ndarray:
    return image[..., 0]


def grow_prints(name: str, num_fingers: int, num_impressions: int, seed: int, cache_dir: str) -> FingerPrints:
    """Grow fingers with the procedural renderer, and align its prints of them.

    Args:
      name: of the set.
      num_fingers: how many.
      num_impressions: of each.
      seed: of the fingers.
      cache_dir: as of `load_prints`.

    Returns:
      The prints; the fingers' ids are from 1.
    """
    fingers = np.repeat(np.arange(1, num_fingers + 1), num_impressions)
    grow = functools.lru_cache(maxsize=1)(functools.partial(create_finger, seed))
    window = SIZES[_PROCEDURAL_SIZE].window

    def render(finger: int, impression: int) -> np.ndarray:
        made = create_impression(grow(finger), impression, size=_PROCEDURAL_SIZE)
        return made[window]

    images = [
        functools.partial(render, int(finger), place % num_impressions)
        for place, finger in enumerate(fingers)
    ]
    key = f"{seed} {num_fingers} {num_impressions} {SYNTHESIS_VERSION}"
    return FingerPrints(name, _align(images, _PROCEDURAL_PPI, key, name, cache_dir), fingers)


def _align(
    images: list[Callable[[], np.ndarray]], ppi: tuple[float, float], key: str, name: str, cache_dir: str
) -> np.ndarray:
    """Align prints, or read what was aligned before: int8 [n, SIDE, SIDE]."""
    code = (pathlib.Path(module.__file__).read_bytes() for module in (alignment, ridge_map, preprocessing))
    digest = hashlib.sha256(b"".join([key.encode(), *code])).hexdigest()[:16]
    path = os.path.join(cache_dir, f"{digest}.npz")
    try:
        with np.load(path) as kept:
            return kept["images"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # not there, or half of a file: made anew
    with create_progress(len(images), f"{name}: prints", "print") as progress:
        aligned = []
        for image in images:
            aligned.append(alignment.align_print(image(), ppi))
            progress.update()
    os.makedirs(cache_dir, exist_ok=True)
    with write_whole(path, "wb") as file:
        np.savez_compressed(file, images=np.stack(aligned))
    return np.stack(aligned)
