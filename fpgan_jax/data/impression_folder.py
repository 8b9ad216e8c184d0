"""Reading a folder of several impressions of each finger, in files `<finger>_<impression>.png`, from any sensor."""

import csv
import os
import pathlib
import re
from typing import NamedTuple

from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.data import image_files, preprocessing
from fpgan_jax.data.prints import Record
from fpgan_jax.data.ridges.print_scale import parse_resolution, write_resolution
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path

FINGERS_A_PERSON = 100
# Written with drawn prints; for impressions it has their resolution.
MANIFEST_FILENAME = "manifest.csv"
# Share by which a given resolution may differ from the manifest's, since people round.
_RESOLUTION_TOLERANCE = 0.01
_NAME = re.compile(r"(?P<first>[0-9]{1,6})(?:-(?P<finger>[0-9]{1,2}))?_(?P<impression>[0-9]{1,6})")


class ImpressionName(NamedTuple):
    """What a file's name says."""

    person: int
    finger: int  # the name's number, or for `<person>-<finger>` 100 times the person plus the finger
    impression: int


def parse_filename(filename: str) -> ImpressionName | None:
    """Parse a name such as `101_2.png`, finger 101, or `012-7_2.png`, finger 7 of person 12.

    A finger without a person counts as a person. None for a name of another form.
    """
    match = _NAME.fullmatch(os.path.splitext(filename)[0])
    if match is None:
        return None
    person, impression = int(match["first"]), int(match["impression"])
    finger = person if match["finger"] is None else person * FINGERS_A_PERSON + int(match["finger"])
    return ImpressionName(person, finger, impression) if finger else None


def read_records(data_config: ConfigDict) -> list[Record]:
    """Read every impression of every finger of config.data.impressions_dir.

    Raises:
      UserError: as `read_folder`, or the folder's manifest has another resolution than sensor_ppi.
    """
    check_resolution(
        data_config.impressions_dir,
        (data_config.sensor_ppi,) * 2,
        f"config.data.sensor_ppi={data_config.sensor_ppi}",
    )
    return read_folder(
        data_config.impressions_dir,
        "config.data.impressions_dir",
        skips_bad=data_config.on_bad_file == "skip",
        remedy="mend or remove it, or set config.data.on_bad_file=skip",
    )


def read_folder(
    path: str, field: str, *, skips_bad: bool = False, remedy: str = "mend or remove it"
) -> list[Record]:
    """Read every impression of every finger of a folder.

    Args:
      path: of the folder.
      field: where the user named it, for messages.
      skips_bad: leave a bad file out, with a warning, instead of refusing the folder.
      remedy: what the user can do about a bad file, for messages.

    Returns:
      The prints, images [height, width, 1] uint8 as stored; a record's person is the finger's id.

    Raises:
      UserError: there is no such folder or no print in it, or a file is bad: unreadable, blank, with another form of
        name, or the same impression as another file.
    """
    folder = check_folder(path, field)
    names = image_files.list_images(folder)
    records: list[Record] = []
    seen: dict[tuple[int, int], str] = {}
    for name in names:
        try:
            records.append(_read_record(folder / name, seen))
        except UserError as error:
            if not skips_bad:
                raise UserError(f"{error}; {remedy}") from error
            logging.warning("skipped: %s", error)
    if len(records) < len(names):
        logging.warning("skipped %d of %d files in %s", len(names) - len(records), len(names), folder)
    if not records:
        raise UserError(f"{field}: {folder} holds no <finger>_<impression>.png")
    return records


def read_resolution(path: str) -> tuple[float, float] | None:
    """Read the pixels per inch (down, across) of a folder's prints from its manifest; None if it has none.

    Raises:
      UserError: the manifest is damaged.
    """
    manifest = os.path.join(expand_path(path), MANIFEST_FILENAME)
    if not path or not os.path.exists(manifest):
        return None
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            found = {row["ppi"] for row in csv.DictReader(file) if row.get("ppi")}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{manifest}: cannot be read ({error}); draw the prints again") from error
    resolutions = [parse_resolution(text) for text in found]
    if not resolutions:
        return None
    if len(resolutions) > 1 or resolutions[0] is None:
        raise UserError(f"{manifest}: ppi is {', '.join(sorted(found))}; one resolution is needed")
    return resolutions[0]


def check_resolution(path: str, given: tuple[float, float], field: str) -> None:
    """Check given pixels per inch (down, across) against a folder's manifest.

    Raises:
      UserError: they differ; `field` is where the user gave them, with the value.
    """
    known = read_resolution(path)
    if known and any(
        abs(own - right) > _RESOLUTION_TOLERANCE * right for own, right in zip(given, known, strict=True)
    ):
        raise UserError(
            f"{field}: {os.path.join(path, MANIFEST_FILENAME)} says {write_resolution(known)} pixels per inch"
            + ("" if known[0] == known[1] or given[0] != given[1] else "; draw them with square pixels")
        )


def check_folder(path: str, field: str) -> pathlib.Path:
    """Return the path of a folder of impressions.

    Raises:
      UserError: there is no such folder; `field` is where the user named it.
    """
    folder = pathlib.Path(expand_path(path))
    if not path or not folder.is_dir():
        raise UserError(
            f"{field}: {path!r} is not a folder; name the one that holds <finger>_<impression>.png"
        )
    return folder


def _read_record(path: pathlib.Path, seen: dict[tuple[int, int], str]) -> Record:
    name = parse_filename(path.name)
    if name is None:
        raise UserError(f"{path}: its name is not <finger>_<impression> or <person>-<finger>_<impression>")
    first = seen.setdefault((name.finger, name.impression), path.name)
    if first != path.name:
        raise UserError(f"{path}: the same finger and impression as {first}")
    image = image_files.read_image(path, num_channels=1)
    if preprocessing.is_blank(image):
        raise UserError(f"{path}: shows nothing")
    return Record(name.finger, path.name, image)
