"""The file of source "npz": everyone's preprocessed prints, to train from without TensorFlow."""

import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.config.fields import list_later_defaults
from fpgan_jax.data import preprocessing
from fpgan_jax.data.prints import SPLITS, PrintSet, Record
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path
from fpgan_jax.host.whole_file import write_whole

# The fields of config.data that decide the pixels.
FIELDS = (
    *("hand", "finger", "frame", "image_size", "image_width", "num_channels", "interpolation"),
    *("sensor_ppi", "image_ppi"),
)

_MAKE = "python -m launch.make_pairs --npz=FILE"
# What NumPy and its libraries raise for damaged files.
_READ_ERRORS = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, SyntaxError),
    *(NotImplementedError, MemoryError, RecursionError, zipfile.BadZipFile, zlib.error),
)


def write_archive(path: str | os.PathLike, sets: Mapping[str, PrintSet], data_config: ConfigDict) -> None:
    """Write prints as one .npz file, which appears whole or not at all.

    Args:
      path: of the file; its folder is made if missing, and an existing file is replaced.
      sets: split -> prints, for each of `SPLITS`, preprocessed as `data_config` says.
      data_config: config.data, whose `FIELDS` are written too.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"fields": np.array(json.dumps({name: data_config[name] for name in FIELDS}))}
    for split in SPLITS:
        prints = sets[split]
        arrays[f"{split}_images"] = prints.images
        arrays[f"{split}_persons"] = prints.persons
        arrays[f"{split}_filenames"] = np.array(prints.filenames, np.str_)
    with write_whole(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_records(data_config: ConfigDict, split: str) -> list[Record]:
    """Read a split of the file that a config names: everyone's prints, preprocessed.

    Raises:
      UserError: the file is missing, damaged, of another kind, or made with other `FIELDS`.
    """
    path = expand_path(data_config.npz_file)
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = json.loads(str(file["fields"]))
            images, persons, filenames = (
                file[f"{split}_{name}"] for name in ("images", "persons", "filenames")
            )
        if not isinstance(fields, dict):
            raise ValueError("its fields are no mapping")
    except FileNotFoundError as error:
        raise UserError(f"config.data.npz_file: {path!r} is no file; {_MAKE} writes one") from error
    except _READ_ERRORS as error:
        raise _create_foreign_error(path, error) from error
    _check_fields(path, fields, data_config)
    is_sound = (
        images.dtype == np.uint8
        and images.ndim == 4
        and images.shape == (len(images), *image_shape(data_config))
        and persons.dtype.kind == "i"
        and filenames.dtype.kind == "U"
        and persons.shape == filenames.shape == (len(images),)
        and all(0 < person < 10**9 for person in persons.tolist())
    )
    if not is_sound:
        raise _create_foreign_error(path, f"its {split} prints are of {images.dtype} {images.shape}")
    for image, filename in zip(images, filenames, strict=True):
        if preprocessing.is_blank(image):
            raise _create_foreign_error(path, f"its {split} print {filename} is blank")
    return [Record(int(p), str(n), image) for p, n, image in zip(persons, filenames, images, strict=True)]


def _create_foreign_error(path: str, reason: object) -> UserError:
    text = (str(reason).splitlines() or [type(reason).__name__])[0]
    return UserError(
        f"config.data.npz_file: {path} is damaged or no file of prints ({text}); write it with {_MAKE}"
    )


def _check_fields(path: str, fields: Mapping, data_config: ConfigDict) -> None:
    later = list_later_defaults()
    for name in FIELDS:
        # A file older than a field has prints of its default.
        made = fields.get(name, later.get(f"data.{name}"))
        if made != data_config[name]:
            raise UserError(
                f"config.data.npz_file: {path} was made with config.data.{name}={made!r}, not "
                f"{data_config[name]!r}; set the field to that, or write another file with {_MAKE}"
            )
