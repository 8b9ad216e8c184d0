"""Which files of a folder are pairs: two images side by side in a file, or one in each of two folders.

The layouts are those of the other pix2pix codes; A is the left image of a file.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence

from absl import logging

from fpgan_jax.data.image_files import EXTENSIONS, list_images
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path

# The first of these that exists has the validation pairs.
_VALIDATION_SPLITS = ("val", "test")
_SIDES = ("A", "B")
_ARCHIVE_ENDINGS = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
# Images that other programs write and `image_files` does not read.
_OTHER_ENDINGS = (".webp", ".gif", ".jp2", ".npy", ".heic", ".avif", ".ppm", ".pgm", ".wsq")
_NUM_NAMED = 3


@dataclasses.dataclass(frozen=True)
class PairFile:
    """One pair on disk."""

    name: str  # the file's, or the stem that its two files have in common and the ending of the first
    left: pathlib.Path  # both images side by side, or A
    right: pathlib.Path | None = None  # B; None if `left` holds both

    @property
    def files(self) -> tuple[pathlib.Path, ...]:
        """Its one or two files."""
        return (self.left,) if self.right is None else (self.left, self.right)


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """The pairs of one split of a folder, in the order of their names."""

    files: tuple[PairFile, ...]
    origin: str  # folder and layout, for people


def find_training_pairs(folder: str | os.PathLike, *, skips_bad: bool = False) -> PairFiles:
    """List the training pairs of a folder.

    The first of these layouts that is found counts: image files in the folder itself, or in its `train`, each of A and
    B side by side; `train/A` and `train/B`, `A/train` and `B/train`, `trainA` and `trainB`, or `A` and `B`, whose files
    have the same names except for their endings and an `_A` or `_B` before these.

    Args:
      folder: as the user named it.
      skips_bad: leave a file without a counterpart out, with a warning, instead of refusing it.

    Returns:
      At least one pair.

    Raises:
      UserError: there is no such folder, it holds no pair in any of these layouts, or a file has no counterpart.
    """
    root = _check_folder(folder)
    if found := _find(root, skips_bad):
        return found
    raise UserError(
        f"config.data.paired_dir: {root} holds no paired {', '.join(EXTENSIONS)} file{_hint_at_layout(root)}"
    )


def find_validation_pairs(folder: str | os.PathLike, *, skips_bad: bool = False) -> PairFiles | None:
    """List the pairs of `val`, or of `test`, beside the training pairs; None if there are none."""
    root = _check_folder(folder)
    if list_images(root):
        return None
    return next(filter(None, (_find_split(root, split, skips_bad) for split in _VALIDATION_SPLITS)), None)


def _check_folder(folder: str | os.PathLike) -> pathlib.Path:
    root = pathlib.Path(expand_path(os.fspath(folder)))
    if root.is_dir() and os.fspath(folder):
        return root
    hint = ""
    if root.is_file():
        is_archive = root.name.lower().endswith(_ARCHIVE_ENDINGS)
        hint = "; unpack it and name its folder" if is_archive else "; name the folder that it is in"
    raise UserError(
        f"config.data.paired_dir: {os.fspath(folder)!r} is not a folder of paired image files{hint}"
    )


def _find(root: pathlib.Path, skips_bad: bool) -> PairFiles | None:
    if names := list_images(root):
        return _list_side_by_side(root, names)
    left, right = (root / side for side in _SIDES)
    return _find_split(root, "train", skips_bad) or _find_two_folders(left, right, skips_bad)


def _find_split(root: pathlib.Path, split: str, skips_bad: bool) -> PairFiles | None:
    inner = root / split
    if inner.is_dir() and (names := list_images(inner)):
        return _list_side_by_side(inner, names)
    for left, right in (
        (inner / side for side in _SIDES),
        (root / side / split for side in _SIDES),
        (root / f"{split}{side}" for side in _SIDES),
    ):
        if found := _find_two_folders(left, right, skips_bad):
            return found
    return None


def _list_side_by_side(folder: pathlib.Path, names: Sequence[str]) -> PairFiles:
    return PairFiles(tuple(PairFile(name, folder / name) for name in names), f"{folder} (A | B in a file)")


def _find_two_folders(left: pathlib.Path, right: pathlib.Path, skips_bad: bool) -> PairFiles | None:
    if not (left.is_dir() and right.is_dir()):
        return None
    lefts, rights = (_key_by_stem(folder, side) for folder, side in zip((left, right), _SIDES, strict=True))
    if not lefts and not rights:
        return None
    common = lefts.keys() & rights.keys()
    if not common:
        raise UserError(
            f"config.data.paired_dir: no image in {left} has a counterpart in {right} "
            f"({_name_some(lefts.values())} beside {_name_some(rights.values())}): these are unpaired, as CycleGAN's "
            "sets are, and pix2pix learns from pairs; give the two images of a pair the same name"
        )
    for own, others, folder in ((lefts, rights, right), (rights, lefts, left)):
        alone = [name for stem, name in own.items() if stem not in others]
        if alone:
            count = "1 image has" if len(alone) == 1 else f"{len(alone)} images have"
            text = f"{count} no counterpart of the same name in {folder}: {_name_some(alone)}"
            if not skips_bad:
                raise UserError(
                    f"config.data.paired_dir: {text}; add them, remove these, or leave them out by "
                    "config.data.on_bad_file=skip"
                )
            logging.warning("skipped: %s", text)
    pairs = [
        PairFile(_name_pair(stem, lefts[stem], rights[stem]), left / lefts[stem], right / rights[stem])
        for stem in common
    ]
    return PairFiles(tuple(sorted(pairs, key=lambda pair: pair.name)), f"{left} (A) and {right} (B)")


def _key_by_stem(folder: pathlib.Path, side: str) -> dict[str, str]:
    """Return the part of a name that it shares with its counterpart's -> the name."""
    names = list_images(folder)
    stems = [pathlib.Path(name).stem for name in names]
    if all(stem.endswith(f"_{side}") for stem in stems):
        stems = [stem.removesuffix(f"_{side}") for stem in stems]
    keyed: dict[str, str] = {}
    for stem, name in zip(stems, names, strict=True):
        if stem in keyed:
            raise UserError(
                f"config.data.paired_dir: {folder} holds {keyed[stem]} and {name}, but only one of them can belong to "
                "a pair; rename one"
            )
        keyed[stem] = name
    return keyed


def _name_pair(stem: str, left: str, right: str) -> str:
    return left if left == right else f"{stem}{pathlib.Path(left).suffix}"


def _name_some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NUM_NAMED]) + (", ..." if len(names) > _NUM_NAMED else "") or "nothing"


def _hint_at_layout(root: pathlib.Path) -> str:
    """Say what to do with a folder that is nearly right."""
    entries = list(os.scandir(root))
    folders = {entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."}
    endings = {os.path.splitext(entry.name)[1].lower() for entry in entries if entry.name[0] != "."}
    if others := sorted(endings.intersection(_OTHER_ENDINGS)):
        return f"; it holds {', '.join(others)} files, which are not read: convert them to PNG"
    if archives := [entry.name for entry in entries if entry.name.lower().endswith(_ARCHIVE_ENDINGS)]:
        return f"; unpack {archives[0]}"
    right_cases = ("A", "B", "train", "val", "test", "trainA", "trainB")
    for name in sorted(folders):
        wanted = next((case for case in right_cases if case.lower() == name.lower() and case != name), None)
        if wanted:
            return f"; rename its folder {name} to {wanted}"
    for name in right_cases:
        if name in folders and not os.listdir(root / name):
            return f"; its folder {name} is empty"
    if {"A", "B"} & folders and not {"A", "B"} <= folders:
        return "; it has one of the folders A and B, and both are needed, with files of the same names"
    stems = {name: _list_stems(root / name) for name in sorted(folders)}
    with_images = [name for name, own in stems.items() if own]
    if len(with_images) == 2:
        first, second = with_images
        if stems[first] & stems[second]:
            return (
                f"; its folders {first} and {second} hold files of the same names: rename the conditions' to A and the "
                "targets' to B"
            )
    right = with_images if len(with_images) == 1 else []
    right += [name for name in stems if name not in with_images and _holds_pairs(root / name)]
    if right:
        return f"; did you mean {root / right[0]}?"
    return (
        "; it may hold files of A and B side by side, in itself or in its train, or folders A and B with files of the "
        "same names"
    )


def _list_stems(folder: pathlib.Path) -> set[str]:
    with contextlib.suppress(OSError):
        return {pathlib.Path(name).stem for name in list_images(folder)}
    return set()


def _holds_pairs(folder: pathlib.Path) -> bool:
    """Return whether a folder has folders in one of the layouts, without looking deeper."""
    with contextlib.suppress(OSError, UserError):
        return bool(_find(folder, skips_bad=False))
    return False
