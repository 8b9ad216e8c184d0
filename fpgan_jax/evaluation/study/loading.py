"""Owns how a study comes about: real prints, their altered impressions, and folders of synthetic prints.

Does not measure (`evaluate.py` runs the measures), and makes no controls (`controls/control_images.py`).
"""

import os
import re
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import impression_folder, pairs, preprocessing, print_loading
from fpgan_jax.data.image_files import EXTENSIONS, read_image
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges.print_scale import find_resolution
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.synthesis.manifest import GIVEN_PRINT, MANIFEST_FILENAME, NEW_FINGER, read_manifest

DIFFICULTIES = ("easy", "medium", "hard")
# One way against the other; SOCOFing's own scans are stretched by 1.08 on their way into a square.
MAX_STRETCH = 1.1
_LEADING_ID = re.compile(r"[0-9]{1,9}(?=[^0-9])")
_DESCRIPTIONS = {
    "synthetic_training": "drawn from the noise that the generator was trained with",
    "synthetic_new": "drawn from noise that the generator never saw",
    "synthetic": "prints of another program, or impressions drawn from ridge maps of given prints or of new fingers",
}


def load_real_collections(config: ConfigDict) -> list[PrintCollection]:
    """Load the set's real prints, other impressions of its fingers, strangers', and the set's altered impressions.

    Args:
      config: the experiment's config; its `data` says whose prints these are and how they are preprocessed.

    Returns:
      "real", then "real_held_out", "real_others" (all impressions of each finger), "altered_easy", "altered_medium"
      and "altered_hard" where there are such prints.

    Raises:
      UserError: as of `print_loading.load_prints`.
    """
    real = print_loading.load_prints(config)
    persons = sorted({int(person) for person in real.persons})
    collections = [
        _create_collection(
            "real", print_collection.REFERENCE, real, "the prints that the generator was trained on"
        )
    ]
    held_out = print_loading.load_prints(config, impressions=print_loading.HELD_OUT)
    if len(held_out):
        description = "other real impressions of the same fingers, which the generator never saw"
        collections.append(
            _create_collection("real_held_out", print_collection.HELD_OUT, held_out, description)
        )
    others = print_loading.list_strangers(config)
    if others:
        prints = print_loading.load_prints(config, persons=others, impressions=print_loading.EVERY)
        description = "real prints of persons whom the generator never saw"
        collections.append(
            _create_collection("real_others", print_collection.POPULATION, prints, description)
        )
    for difficulty in DIFFICULTIES:
        prints = print_loading.load_prints(config, split=f"altered_{difficulty}", persons=persons)
        if len(prints):
            description = f"altered impressions of the same fingers, {difficulty}"
            collections.append(
                _create_collection(f"altered_{difficulty}", print_collection.BASELINE, prints, description)
            )
    return collections


def _create_collection(name: str, role: str, prints: PrintSet, description: str) -> PrintCollection:
    return PrintCollection(
        name=name,
        role=role,
        images=prints.images[..., 0],
        persons=prints.persons,
        filenames=prints.filenames,
        description=description,
    )


def load_print_folder(folder: str, config: ConfigDict, data_hash: str | None = None) -> PrintCollection:
    """Load a folder of synthetic prints, of `launch.synthesize` or of any other program.

    Without our manifest a file's person is the finger of `<finger>_<impression>` or `<person>-<finger>_<impression>`,
    or else the number that its name starts with, as in `12__M_Right_index_finger.BMP`, and -1 if it starts with none.

    Args:
      folder: of PNG, BMP or JPEG files.
      config: the experiment's config. Prints whose manifest says their resolution are brought to its, and cut or filled
        with white; others of another size than its are resized to it. Either is printed.
      data_hash: of the real prints; a generator that our manifest says was trained on others is refused. (One of
        pair files cannot be told.)

    Returns:
      "synthetic_training" or "synthetic_new" as the manifest says, "synthetic" without one and for impressions of given
      prints or new fingers.

    Raises:
      UserError: there is no such folder or no image in it, a file is damaged or of another shape than config.data's
        prints, or the manifest is not one.
    """
    name, files, persons = _list_prints(folder, data_hash)
    size, interpolation = image_shape(config.data)[:2], config.data.interpolation
    factors = _find_factors(folder, config.data)
    images, resized = [], set()
    for file in files:
        image = read_image(os.path.join(folder, file), 1)
        scaled = size
        if factors:
            scaled = tuple(
                max(1, round(side * each)) for side, each in zip(image.shape, factors, strict=False)
            )
        else:
            _check_shape(os.path.join(folder, file), image.shape[:2], size)
        if image.shape[:2] != size and image.shape[:2] not in resized:
            resized.add(image.shape[:2])
            how = f" and cut or filled with white to {_write_size(size)}" if scaled != size else ""
            print(
                f"{folder}: prints of {_write_size(image.shape)} pixels are resized to {_write_size(scaled)}{how}"
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
    """Find how much larger a folder's prints must be, down and across; None where nobody knows one of the scales."""
    own, wanted = impression_folder.read_resolution(folder), find_resolution(data_config)
    if own is None or not all(wanted):
        return None
    return wanted[0] / own[0], wanted[1] / own[1]


def _check_shape(path: str, shape: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse a print whose ridges would become wider one way than the other."""
    ratio = (shape[1] / size[1]) / (shape[0] / size[0])
    if max(ratio, 1 / ratio) > MAX_STRETCH:
        raise UserError(
            f"{path}: {_write_size(shape)} pixels would be squashed to {_write_size(size)}; cut or pad these prints, "
            "or set config.data.image_size and image_width to their shape"
        )


def _write_size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def name_print_folder(folder: str) -> str:
    """Name the collection that a folder's prints are: as of `load_print_folder`, which raises the same."""
    return _list_prints(folder)[0]


def _list_prints(folder: str, data_hash: str | None = None) -> tuple[str, list[str], list[int]]:
    """Return (the collection's name, its files, their persons)."""
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder of prints")
    if os.path.exists(os.path.join(folder, MANIFEST_FILENAME)):
        rows = read_manifest(folder)
        kinds = sorted({row.noise for row in rows})
        if kinds in ([GIVEN_PRINT], [NEW_FINGER]):
            # Other fingers' than the training's, mostly.
            return "synthetic", [row.file for row in rows], [row.person for row in rows]
        if len(kinds) > 1 or kinds[0] not in ("training", "new"):
            raise UserError(
                f"{folder}/{MANIFEST_FILENAME}: noise is {', '.join(kinds)}; one of training, new is needed"
            )
        is_told = not rows[0].data_hash.startswith(pairs.FILES_PREFIX)
        if data_hash is not None and is_told and rows[0].data_hash != data_hash:
            raise UserError(
                f"{folder}: drawn by a generator that was trained on other prints than these; give the config of "
                "its training"
            )
        return f"synthetic_{kinds[0]}", [row.file for row in rows], [row.person for row in rows]
    files = sorted(
        name for name in os.listdir(folder) if name.lower().endswith(EXTENSIONS) and not is_leftover(name)
    )
    if not files:
        raise UserError(f"{folder}: holds no print ({', '.join(EXTENSIONS)})")
    return "synthetic", files, [_parse_person(name) for name in files]


def _parse_person(filename: str) -> int:
    if impression := impression_folder.parse_filename(filename):
        return impression.finger
    start = _LEADING_ID.match(filename)
    return int(start[0]) if start else pairs.UNKNOWN


def load_noise_images(folder: str, config: ConfigDict) -> np.ndarray | None:
    """Make the noise images again that a folder of `launch.synthesize` was drawn from.

    Args:
      folder: its out_dir.
      config: the experiment's config.

    Returns:
      uint8 [n, height, width], the manifest's row by row (of several channels the first); None where the folder has
      no manifest, its noise lay in files, or was only a plane beside ridge maps.

    Raises:
      UserError: the manifest is not one.
    """
    if not os.path.exists(os.path.join(folder, MANIFEST_FILENAME)) or config.data.condition != "noise":
        return None
    rows = read_manifest(folder)
    if any(row.noise_seed < 0 or row.person < 0 for row in rows):
        return None
    data = config.data
    return np.stack(
        [
            create_noise_image(
                row.noise_seed,
                row.person,
                row.replica if data.noise_per == "replica" else 0,
                shape=image_shape(data),
                distribution=data.noise_distribution,
            )[..., 0]
            for row in rows
        ]
    )


def take_replicas(collection: PrintCollection, num_replicas: int) -> PrintCollection:
    """Take the first prints of each person.

    Args:
      collection: any collection.
      num_replicas: prints a person, from 1.

    Returns:
      The same collection with at most so many of each, in its order.
    """
    counts: dict[int, int] = {}
    kept = []
    for place, person in enumerate(collection.persons.tolist()):
        counts[person] = counts.get(person, 0) + 1
        if counts[person] <= num_replicas:
            kept.append(place)
    return select(collection, kept)


def select(collection: PrintCollection, places: Sequence[int]) -> PrintCollection:
    """Take some of a collection's prints.

    Args:
      collection: any collection.
      places: of the prints wanted, in the order wanted, each once.

    Returns:
      The collection of these.
    """
    places = list(places)
    return PrintCollection(
        name=collection.name,
        role=collection.role,
        images=collection.images[places],
        persons=collection.persons[places],
        filenames=tuple(collection.filenames[place] for place in places),
        description=collection.description,
    )
