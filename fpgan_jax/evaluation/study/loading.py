"""Owns loading a study's real prints, their altered impressions, and folders of synthetic prints."""

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import impression_folder, pairs, preprocessing, print_loading
from fpgan_jax.data.image_files import EXTENSIONS, read_image
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.ridges.print_scale import find_resolution
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.synthesis.manifest import GIVEN_PRINT, MANIFEST_FILENAME, NEW_FINGER, read_manifest

# Of one side against the other; SOCOFing's own scans are stretched by 1.08 to become square.
MAX_STRETCH = 1.1
_LEADING_ID = re.compile(r"[0-9]{1,9}(?=[^0-9])")
_DIFFICULTIES = ("easy", "medium", "hard")
_DESCRIPTIONS = {
    "real": "the prints that the generator was trained on",
    "real_held_out": "other real impressions of the same fingers, which the generator never saw",
    "real_others": "real prints of persons whom the generator never saw",
    **{f"altered_{each}": f"altered impressions of the same fingers, {each}" for each in _DIFFICULTIES},
    "synthetic_training": "drawn from the noise that the generator was trained with",
    "synthetic_new": "drawn from noise that the generator never saw",
    "synthetic": "prints of another program, or impressions drawn from ridge maps of given prints or of new fingers",
}


def load_real_collections(config: ConfigDict) -> list[PrintCollection]:
    """Load the real prints of the experiment's config.

    Returns:
      "real", then those of "real_held_out", "real_others" (all impressions of each finger), "altered_easy",
      "altered_medium" and "altered_hard" that have prints.

    Raises:
      UserError: as in `print_loading.load_prints`.
    """
    real = print_loading.load_prints(config)
    persons = sorted({int(person) for person in real.persons})
    held_out = print_loading.load_prints(config, impressions=print_loading.HELD_OUT)
    sets = [
        ("real", print_collection.REFERENCE, real),
        ("real_held_out", print_collection.HELD_OUT, held_out),
    ]
    if strangers := print_loading.list_strangers(config):
        others = print_loading.load_prints(config, persons=strangers, impressions=print_loading.EVERY)
        sets.append(("real_others", print_collection.POPULATION, others))
    for difficulty in _DIFFICULTIES:
        name = f"altered_{difficulty}"
        altered = print_loading.load_prints(config, split=name, persons=persons)
        sets.append((name, print_collection.BASELINE, altered))
    return [
        PrintCollection(
            name, role, prints.images[..., 0], prints.persons, prints.filenames, _DESCRIPTIONS[name]
        )
        for name, role, prints in sets
        if len(prints)
    ]


def load_print_folder(folder: str, config: ConfigDict, data_hash: str | None = None) -> PrintCollection:
    """Load a folder of synthetic prints, of `launch.synthesize` or of any other program.

    Without our manifest, a file's person is the finger of `<finger>_<impression>` or `<person>-<finger>_<impression>`,
    or else the number at the start of its name, as in `12__M_Right_index_finger.BMP`, or else -1.

    Args:
      folder: of PNG, BMP or JPEG files.
      config: the experiment's config. If manifest and config give the resolution, prints are scaled to the config's and
        cropped or padded with white; otherwise they are resized to its image size. Both are printed.
      data_hash: of the real prints. A generator trained on other prints is refused, if our manifest says so.

    Returns:
      "synthetic_training" or "synthetic_new" as the manifest says; "synthetic" without a manifest and for impressions
      of given prints or new fingers.

    Raises:
      UserError: there is no such folder or no image in it, a file is damaged or its shape differs from that of
        config.data's prints, or the manifest is not one.
    """
    name, files, persons = _list_prints(folder, data_hash)
    size, interpolation = image_shape(config.data)[:2], config.data.interpolation
    factors = _find_factors(folder, config.data)
    images, resized = [], set()
    for file in files:
        image = read_image(os.path.join(folder, file), 1)
        shape, scaled = image.shape[:2], size
        if factors:
            scaled = tuple(max(1, round(side * each)) for side, each in zip(shape, factors, strict=True))
        else:
            _check_shape(os.path.join(folder, file), shape, size)
        if shape != size and shape not in resized:
            resized.add(shape)
            how = f" and cut or filled with white to {_write_size(size)}" if scaled != size else ""
            print(
                f"{folder}: prints of {_write_size(shape)} pixels are resized to {_write_size(scaled)}{how}"
            )
        resized_image = preprocessing.resize(image, scaled, interpolation)
        images.append(preprocessing.place_centrally(resized_image, size)[..., 0])
    return PrintCollection(
        name=name,
        role=print_collection.SYNTHETIC,
        images=np.array(images, np.uint8),
        persons=np.array(persons, np.int32),
        filenames=tuple(files),
        description=_DESCRIPTIONS[name],
    )


def _find_factors(folder: str, data_config: ConfigDict) -> tuple[float, float] | None:
    """Return the factors, down and across, that scale a folder's prints; None if a resolution is unknown."""
    own, wanted = impression_folder.read_resolution(folder), find_resolution(data_config)
    if own is None or not all(wanted):
        return None
    return wanted[0] / own[0], wanted[1] / own[1]


def _check_shape(path: str, shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    """Refuse a print whose ridges would be stretched more in one direction than in the other."""
    ratio = (shape[1] / size[1]) / (shape[0] / size[0])
    if max(ratio, 1 / ratio) > MAX_STRETCH:
        raise UserError(
            f"{path}: {_write_size(shape)} pixels would be squashed to {_write_size(size)}; cut or pad these prints, "
            "or set config.data.image_size and image_width to their shape"
        )


def _write_size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def name_print_folder(folder: str) -> str:
    """Name the collection of a folder's prints; name and errors are those of `load_print_folder`."""
    return _list_prints(folder)[0]


def _list_prints(folder: str, data_hash: str | None = None) -> tuple[str, list[str], list[int]]:
    """Return (the collection's name, its files, their persons)."""
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder of prints")
    if not os.path.exists(os.path.join(folder, MANIFEST_FILENAME)):
        files = sorted(
            name for name in os.listdir(folder) if name.lower().endswith(EXTENSIONS) and not is_leftover(name)
        )
        if not files:
            raise UserError(f"{folder}: holds no print ({', '.join(EXTENSIONS)})")
        return "synthetic", files, [_parse_person(name) for name in files]
    rows = read_manifest(folder)
    files, persons = [row.file for row in rows], [row.person for row in rows]
    kinds = sorted({row.noise for row in rows})
    if kinds in ([GIVEN_PRINT], [NEW_FINGER]):
        # Most of their fingers are not the training's.
        return "synthetic", files, persons
    if len(kinds) > 1 or kinds[0] not in ("training", "new"):
        raise UserError(
            f"{folder}/{MANIFEST_FILENAME}: noise is {', '.join(kinds)}; one of training, new is needed"
        )
    is_known = not rows[0].data_hash.startswith(pairs.FILES_PREFIX)
    if data_hash is not None and is_known and rows[0].data_hash != data_hash:
        raise UserError(
            f"{folder}: drawn by a generator that was trained on other prints than these; give the config of its "
            "training"
        )
    return f"synthetic_{kinds[0]}", files, persons


def _parse_person(filename: str) -> int:
    if impression := impression_folder.parse_filename(filename):
        return impression.finger
    start = _LEADING_ID.match(filename)
    return int(start[0]) if start else pairs.UNKNOWN


def load_noise_images(folder: str, config: ConfigDict) -> np.ndarray | None:
    """Create again the noise images that a folder of `launch.synthesize` was drawn from.

    Returns:
      uint8 [n, height, width] in the manifest's order, of several channels the first. None if the folder has no
      manifest, or the noise came from files or was only a plane beside ridge maps.
    """
    data = config.data
    if not os.path.exists(os.path.join(folder, MANIFEST_FILENAME)) or data.condition != "noise":
        return None
    rows = read_manifest(folder)
    if any(row.noise_seed < 0 or row.person < 0 for row in rows):
        return None
    images = [
        create_noise_image(
            row.noise_seed,
            row.person,
            row.replica if data.noise_per == "replica" else 0,
            shape=image_shape(data),
            distribution=data.noise_distribution,
        )
        for row in rows
    ]
    return np.stack(images)[..., 0]


def take_replicas(collection: PrintCollection, num_replicas: int) -> PrintCollection:
    """Take the first num_replicas prints of each person, in the collection's order."""
    persons = collection.persons
    kept = [np.flatnonzero(persons == person)[:num_replicas] for person in np.unique(persons)]
    return select(collection, np.sort(np.concatenate(kept)))


def select(collection: PrintCollection, places: Sequence[int] | np.ndarray) -> PrintCollection:
    """Take the prints of a collection at different places, in their order."""
    places = [int(place) for place in places]
    return dataclasses.replace(
        collection,
        images=collection.images[places],
        persons=collection.persons[places],
        filenames=tuple(collection.filenames[place] for place in places),
    )
