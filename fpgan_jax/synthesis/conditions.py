"""Drawing from a folder of conditions, without targets: each image gives a file of the same name."""

import dataclasses
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import image_files, pairs, preprocessing
from fpgan_jax.data.impression_folder import MANIFEST_FILENAME
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.user_paths import is_utf8
from fpgan_jax.synthesis import drawing, image_folder, manifest, sharded
from fpgan_jax.tables.csv_rows import write_rows

# Which part of each file is the condition.
PARTS = ("whole", "left", "right")
# A file whose aspect ratio is within this share of that of two images side by side is taken for two.
_PAIR_TOLERANCE = 0.01
_CONDITIONS = "conditions"
# Number of files that are searched for a colored one if the generator is of gray.
_NUM_LOOKED_AT = 20


@dataclasses.dataclass(frozen=True)
class ConditionRow:
    """What is known of one image; the other fields are those of `manifest.ManifestRow`."""

    file: str
    condition: str  # name of the file that it was drawn from
    condition_hash: str  # the first 16 hexadecimal digits of the SHA-256 of that file's bytes
    person: int  # -1
    replica: int  # the CRC-32 of the condition's name; seed, person and replica decide the dropout
    seed: int
    dropout: str
    statistics: str
    weights: str
    checkpoint_step: int
    config_hash: str
    data_hash: str


def synthesize_conditions(
    gan_workdir: str,
    out_dir: str,
    condition_dir: str,
    *,
    part: str | None = None,
    overrides: Mapping | None = None,
    step: int | str | None = None,
) -> list[ConditionRow]:
    """Draw one image from every image of a folder, over all devices of all processes.

    An image depends only on the checkpoint, the seed, and the condition's name and pixels. Existing images are kept, so
    that an interrupted folder is completed, and conditions can be added. The arguments are those of
    `drawing.synthesize`, and:

    Args:
      out_dir: folder for `<name>.png`, named like the conditions, and `manifest.csv`; made if missing.
      condition_dir: folder of image files, which are resized to the size that the generator was trained on.
      part: one of `PARTS`; None means the whole file, and refuses one that looks like two images side by side.
      overrides: without the noise and the batch size.

    Returns:
      The rows of these conditions, in the order of their names. The manifest also keeps those of earlier conditions
      that were removed since.

    Raises:
      UserError: no such checkpoint, it draws from ridge maps, a condition cannot be read or was changed, or out_dir
        holds something else or is in use by another process.
      OSError: the disk is full.
    """
    overrides = dict(overrides or {})
    sharded.check_batch_size(overrides)
    for name in sorted({"noise", "noise_seed"} & overrides.keys()):
        raise UserError(
            f"--{name}: does nothing beside --condition_dir, which has the conditions; leave it out"
        )
    config, step, metadata = drawing.restore_config(gan_workdir, step=step, overrides=overrides)
    if config.data.condition != "noise":
        raise UserError(
            f"--condition_dir: {gan_workdir} draws from maps of prints ({config.data.condition}); give "
            "--identities=FOLDER, which makes them"
        )
    names = _list_conditions(condition_dir)
    hashes = {name: image_files.hash_contents(os.path.join(condition_dir, name)).hex()[:16] for name in names}
    _warn_of_colors(condition_dir, names, config)
    rows = [_create_row(config, metadata, step, name, hashes[name]) for name in names]
    variables = drawing.restore_variables(gan_workdir, config, step)
    with hold_folder(out_dir, is_holder=parallel.is_main_process()):
        if parallel.is_main_process():
            settings = image_folder.describe_settings(config, metadata, step, variables)
            settings["part"] = part or "whole"
            conditions = _claim_folder(out_dir, settings, condition_dir, hashes)
        parallel.wait_for_all("the folder is claimed")
        missing = [row for row in rows if not os.path.exists(os.path.join(out_dir, row.file))]
        own = missing[jax.process_index() :: jax.process_count()]
        if own:
            drawer = ConditionDrawer(config, variables, condition_dir, part)
            sharded.write_images(out_dir, own, drawer)
        parallel.wait_for_all("all images are written")
        if parallel.is_main_process():
            drawn = [
                _create_row(config, metadata, step, name, conditions[name]) for name in sorted(conditions)
            ]
            # A condition may have been removed before it was drawn from.
            drawn = [row for row in drawn if os.path.exists(os.path.join(out_dir, row.file))]
            write_rows(os.path.join(out_dir, MANIFEST_FILENAME), drawn)
    return rows


class ConditionDrawer(sharded.Drawer):
    """Draws from the files of a folder, `sharded.IMAGES_PER_CALL` at a time; any thread may call."""

    def __init__(self, config: ConfigDict, variables: Mapping, condition_dir: str, part: str | None):
        """Compile; arguments as `sharded.Drawer` and `synthesize_conditions`."""
        super().__init__(config, variables)
        self._condition_dir = condition_dir
        self._part = part

    def create_inputs(self, rows: Sequence[ConditionRow]) -> tuple[np.ndarray, np.ndarray]:
        """Read the conditions, and list the dropout seeds."""
        conditions = [
            load_condition(os.path.join(self._condition_dir, row.condition), self._config.data, self._part)
            for row in rows
        ]
        return np.stack(conditions), drawing.list_dropout_seeds(rows)


def load_condition(path: str | os.PathLike, data_config: ConfigDict, part: str | None = None) -> np.ndarray:
    """Read the condition in a file, at the size that a generator was trained on: uint8 [height, width, channels].

    Args:
      path: of the file.
      data_config: the checkpoint's config.data; the image's size, num_channels and interpolation are used.
      part: as in `synthesize_conditions`.

    Raises:
      UserError: the file cannot be read, its width is odd and a half is wanted, or it looks like two images.
    """
    height, width, num_channels = image_shape(data_config)
    pixels = image_files.read_image(path, num_channels)
    own_height, own_width = pixels.shape[:2]
    if part in ("left", "right"):
        if own_width % 2:
            raise UserError(f"{os.fspath(path)}: equal halves have an even width, this has {own_width}")
        pixels = pixels[:, : own_width // 2] if part == "left" else pixels[:, own_width // 2 :]
    elif part is None and abs(own_width / own_height / (2 * width / height) - 1) <= _PAIR_TOLERANCE:
        raise UserError(
            f"{os.fspath(path)}: {own_width} x {own_height} pixels look like condition and target side by side; "
            "say which half is the condition with --condition_part=left or right, or that it is the whole"
        )
    return preprocessing.resize(pixels, (height, width), data_config.interpolation)


def find_dropout_seed(name: str, seed: int = 0) -> tuple[int, int, int]:
    """Find the (seed, person, replica) of `drawing.create_dropout_keys` for a condition's file name.

    Args:
      name: without its folder.
      seed: config.synthesis.seed.
    """
    return seed, pairs.UNKNOWN, zlib.crc32(name.encode())


def _list_conditions(condition_dir: str) -> list[str]:
    if not os.path.isdir(condition_dir):
        raise UserError(f"--condition_dir={condition_dir}: is not a folder of images")
    names = image_files.list_images(condition_dir)
    if not names:
        folders = sorted(entry.name for entry in os.scandir(condition_dir) if entry.is_dir())
        hint = f"; it has the folders {', '.join(folders[:3])}" if folders else ""
        raise UserError(
            f"--condition_dir={condition_dir}: holds no {', '.join(image_files.EXTENSIONS)} file{hint}"
        )
    seen: dict[str, str] = {}
    for name in names:
        path = os.path.join(condition_dir, name)
        if not is_utf8(name):
            raise UserError(f"{path!r}: its name is not UTF-8; rename it")
        first = seen.setdefault(_name_image(name), name)
        if first != name:
            raise UserError(f"{path}: is drawn to the same file as {first}; rename one of the two")
    return names


def _name_image(condition: str) -> str:
    return f"{os.path.splitext(condition)[0]}.png"


def _warn_of_colors(condition_dir: str, names: Sequence[str], config: ConfigDict) -> None:
    if config.data.num_channels != 1 or not parallel.is_main_process():
        return
    for name in names[:_NUM_LOOKED_AT]:
        path = os.path.join(condition_dir, name)
        if image_files.is_colored(path):
            logging.warning("%s is in color, perhaps others too, and is read as gray, as in training", path)
            return


def _create_row(
    config: ConfigDict, metadata: Mapping, step: int, name: str, condition_hash: str
) -> ConditionRow:
    _, person, replica = find_dropout_seed(name)
    row = manifest.create_row(config, metadata, step, file=_name_image(name), person=person, replica=replica)
    shared = dataclasses.asdict(row)
    for field in ("set", "noise", "noise_seed"):
        del shared[field]
    return ConditionRow(condition=name, condition_hash=condition_hash, **shared)


def _claim_folder(
    out_dir: str, settings: dict[str, Any], condition_dir: str, hashes: Mapping[str, str]
) -> dict[str, str]:
    """Claim an empty folder, or one with the same settings and unchanged conditions; return old and new conditions."""
    if os.path.exists(os.path.join(out_dir, image_folder.SETTINGS_FILENAME)):
        before = image_folder.read_settings(out_dir).get(_CONDITIONS)
        if isinstance(before, dict):
            changed = [name for name in hashes if before.get(name, hashes[name]) != hashes[name]]
            if changed:
                raise UserError(
                    f"{os.path.join(condition_dir, changed[0])}: was changed since {out_dir} was drawn from it; "
                    "use another --out_dir"
                )
            conditions = before | dict(hashes)
            image_folder.claim_folder(out_dir, settings | {_CONDITIONS: before})
            if conditions != before:
                image_folder.write_settings(out_dir, settings | {_CONDITIONS: conditions})
            return conditions
    image_folder.claim_folder(out_dir, settings | {_CONDITIONS: dict(hashes)})
    return dict(hashes)
