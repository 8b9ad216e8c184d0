"""From a config to prints and pairs, wherever they come from.

TensorFlow is imported only if prints are read through it (`socofing/socofing_reader.py`).
"""

import collections
import contextlib
import os
import re
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.config.fields import PERSON_SOURCES, SOURCE_FIELDS
from fpgan_jax.data import impression_folder, pair_folder, pairs, preprocessing, print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet, Record
from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.data.socofing import filenames
from fpgan_jax.errors import UserError

# Which of a person's real impressions: those trained on, those held out to judge by, or both.
TRAINING, HELD_OUT, EVERY = "training", "held_out", "every"


def load_prints(
    config: ConfigDict,
    *,
    split: str = "real",
    persons: Sequence[int] | None = None,
    impressions: str = TRAINING,
) -> PrintSet:
    """Load the prints of the configured finger, or of the fingers of a folder of impressions, preprocessed.

    Args:
      config: as in configs/pix2pix_socofing.py.
      split: "real" | "altered_easy" | "altered_medium" | "altered_hard".
      persons: ids; None means the training set's.
      impressions: which of each person's real prints: `TRAINING`, the first config.data.num_impressions; `HELD_OUT`,
        the others; or `EVERY`.

    Returns:
      The prints in order of person and name, with numbers in names compared as numbers. The set is empty if an altered
      split is missing, or no impression is held out.

    Raises:
      UserError: a config.data field, a folder, a file or a person does not fit, or TensorFlow is needed and not
        installed.
    """
    if persons is None or split == "real":
        records = _read_records(config.data, "real")
        persons = _choose_persons(config.data, records, persons)
    if split != "real":
        records = _read_records(config.data, split)
    chosen = [record for record in records if record.person in set(persons)]
    if split == "real":
        chosen = _choose_impressions(chosen, config.data.num_impressions, impressions)
    return _create_print_set(chosen, config.data)


def _choose_impressions(records: Sequence[Record], num_training: int, impressions: str) -> list[Record]:
    counts: collections.Counter[int] = collections.Counter()
    chosen = []
    for record in records:
        counts[record.person] += 1
        is_training = not num_training or counts[record.person] <= num_training
        if impressions == EVERY or is_training == (impressions == TRAINING):
            chosen.append(record)
    return chosen


def list_persons(config: ConfigDict, split: str = "real") -> tuple[int, ...]:
    """Return the sorted ids of everyone who has a print of the configured finger in a split."""
    return tuple(sorted({record.person for record in _read_records(config.data, split)}))


def list_strangers(config: ConfigDict) -> tuple[int, ...]:
    """Return the sorted ids that have a real print and belong to nobody in the training set."""
    records = _read_records(config.data, "real")
    trained = set(_choose_persons(config.data, records, None))
    known = {_find_owner(record) for record in records if record.person in trained}
    return tuple(sorted({record.person for record in records if _find_owner(record) not in known}))


def _find_owner(record: Record) -> int:
    """Find whose finger a print shows, from its name; ids may count fingers."""
    with contextlib.suppress(UserError):
        return filenames.parse_filename(record.filename).person
    impression = impression_folder.parse_filename(record.filename)
    is_finger = impression and impression.finger == record.person
    return impression.person if impression and is_finger else record.person


def needs_tensorflow(data_config: ConfigDict) -> bool:
    """Return whether the prints of a config's source are read through TensorFlow."""
    return data_config.source == "socofing"


def create_pairs(config: ConfigDict) -> pairs.Pairs:
    """Create the training pairs: config.data.num_replicas of every print, or the files of config.data.paired_dir."""
    if config.data.source == "paired_folder":
        return pair_folder.PairFolder(config.data.paired_dir, config.data)
    return ridge_pairs.create_pairs(load_prints(config), config.data)


def create_validation_pairs(config: ConfigDict) -> pairs.Pairs | None:
    """Create at most num_validation_pairs pairs of a folder's `val` or `test`; None if there are none."""
    if config.data.source != "paired_folder" or not config.num_validation_pairs:
        return None
    found = pair_folder.PairFolder(
        config.data.paired_dir, config.data, is_validation=True, max_pairs=config.num_validation_pairs
    )
    return found if len(found) else None


def resolve_num_channels(config: ConfigDict) -> ConfigDict:
    """Return a copy of a config with its pairs' data.num_channels; the config itself unless that is 0."""
    if config.data.num_channels or config.data.source != "paired_folder":
        return config
    resolved = config.copy_and_resolve_references()
    resolved.data.num_channels = pair_folder.find_num_channels(config.data.paired_dir, config.data)
    return resolved


def write_archive(config: ConfigDict, path: str | os.PathLike, *, num_persons: int | None = None) -> int:
    """Write everyone's prints of the configured finger as one file, for the source "npz".

    Args:
      config: as in configs/pix2pix_socofing.py.
      path: of the .npz file; its folder is made if missing.
      num_persons: only those with the lowest ids who have a real print; None means everyone.

    Returns:
      Number of prints, over all splits.

    Raises:
      UserError: as `load_prints`, nobody or fewer than `num_persons` have a print of this finger, or the source does
        not know persons.
    """
    if config.data.source not in PERSON_SOURCES:
        raise UserError(
            f"config.data.source={config.data.source!r}: the persons of pairs are not known; use one of "
            f"{', '.join(PERSON_SOURCES)}"
        )
    records = {split: _read_records(config.data, split) for split in SPLITS}
    persons = sorted({record.person for record in records["real"]})
    if not persons:
        raise _create_no_print_error(config.data)
    if num_persons is not None:
        if num_persons > len(persons):
            raise UserError(
                f"--npz_num_persons={num_persons}: {describe_origin(config.data)} has a {_name_finger(config.data)} "
                f"of {len(persons)} persons"
            )
        kept = set(persons[:num_persons])
        records = {split: [r for r in found if r.person in kept] for split, found in records.items()}
    sets = {split: _create_print_set(found, config.data) for split, found in records.items()}
    print_archive.write_archive(path, sets, config.data)
    return sum(map(len, sets.values()))


def describe_origin(data_config: ConfigDict) -> str:
    """Name the field that says where the prints are, with its value, for messages."""
    field = SOURCE_FIELDS[data_config.source]
    return f"config.data.{field}={data_config[field]}"


def _read_records(data: ConfigDict, split: str) -> list[Record]:
    """Read a split, sorted by person and name: as stored, or preprocessed if from an archive."""
    if data.source == "npz":
        records = print_archive.read_records(data, split)
    elif data.source == "impressions":
        records = impression_folder.read_records(data) if split == "real" else []
    else:
        try:
            from fpgan_jax.data.socofing import socofing_reader
        except ImportError as error:
            raise UserError(
                f"config.data.source={data.source!r}: is read through TensorFlow, which cannot be imported here "
                f'({error}); use "npz", with a file that python -m launch.make_pairs --npz=FILE wrote'
            ) from error
        records = socofing_reader.read_records(data, split)
    return sorted(records, key=lambda record: (record.person, _split_numbers(record.filename)))


def _split_numbers(filename: str) -> list[tuple[int, str]]:
    """Split a name so that impression 10 comes after impression 2."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split("([0-9]+)", filename)]


def _create_print_set(records: list[Record], data: ConfigDict) -> PrintSet:
    images = [record.image for record in records]
    if data.source != "npz":
        images = [preprocessing.preprocess_print(image, data) for image in images]
    shape = (len(images), *image_shape(data))
    return PrintSet(
        np.array(images, np.uint8).reshape(shape),
        np.array([record.person for record in records], np.int32),
        tuple(record.filename for record in records),
    )


def _choose_persons(
    data: ConfigDict, records: list[Record], persons: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the given persons, or the configured ones, after checking that they have prints."""
    available = sorted({record.person for record in records})
    if not available:
        raise _create_no_print_error(data)
    field = "persons"
    if persons is None:
        field, persons = "config.data.persons", tuple(data.persons)
        if not persons:
            return _choose_first_persons(data, records)
    missing = sorted(set(persons) - set(available))
    if missing:
        raise UserError(
            f"{field}: no {_name_finger(data)} of {', '.join(map(str, missing))}; {len(available)} persons have "
            f"one, ids {available[0]} to {available[-1]}"
        )
    return tuple(sorted(set(persons)))


def _choose_first_persons(data: ConfigDict, records: list[Record]) -> tuple[int, ...]:
    owners = {record.person: _find_owner(record) for record in records}
    num_held_out = data.num_held_out_persons
    everybody = sorted(set(owners.values()))
    if num_held_out >= len(everybody):
        raise UserError(
            f"config.data.num_held_out_persons: {num_held_out} of {len(everybody)} persons leave nobody to train on"
        )
    kept = set(everybody[: len(everybody) - num_held_out])
    available = sorted(person for person, owner in owners.items() if owner in kept)
    if len(available) < data.num_persons:
        raise UserError(
            f"config.data.num_persons: {data.num_persons} are wanted, but {data[SOURCE_FIELDS[data.source]]} has "
            f"a {_name_finger(data)} of {len(available)}{' who are not held out' if num_held_out else ''}"
        )
    return tuple(available[: data.num_persons or None])


def _create_no_print_error(data: ConfigDict) -> UserError:
    field = SOURCE_FIELDS[data.source]
    return UserError(f"config.data.{field}: {data[field]} holds no print of a {_name_finger(data)}")


def _name_finger(data: ConfigDict) -> str:
    if data.source == "impressions" or data.hand == "both" or data.finger == "all":
        return "finger"
    return f"{data.hand} {data.finger} finger"
