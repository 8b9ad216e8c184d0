"""Owns reading SOCOFing's prints of one finger, as stored, through TFDS.

Does not choose persons (`print_loading.py`) or preprocess (`preprocessing.py`).
"""

import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

from fpgan_jax.data import tensorflow_setup
from fpgan_jax.data.prints import Record
from fpgan_jax.data.socofing import socofing_dataset_builder
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path

tensorflow_setup.keep_off_gpus()


def read_records(data_config, split: str) -> list[Record]:
    """Read the configured finger's prints of a split.

    Args:
      data_config: config.data; the folders, on_bad_file, hand and finger are used.
      split: "real" | "altered_easy" | "altered_medium" | "altered_hard".

    Returns:
      Everyone's prints, images [height, width, 1] uint8 as stored; none where an altered split's folder is
      missing.

    Raises:
      UserError: the folder is not SOCOFing's, a file is bad and on_bad_file is "stop", or what was prepared of it
        before has been damaged.
    """
    folder = _check_socofing_dir(data_config)
    if split != "real" and not (folder / socofing_dataset_builder.SPLIT_FOLDERS[split]).is_dir():
        return []
    builder = socofing_dataset_builder.prepare(
        str(folder), split, tfds_dir=data_config.tfds_dir, on_bad_file=data_config.on_bad_file
    )
    hand = builder.info.features["hand"].str2int(data_config.hand)
    finger = builder.info.features["finger"].str2int(data_config.finger)
    # Most records are of other fingers; they are dropped before their image is decoded.
    examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    examples = examples.filter(lambda example: example["hand"] == hand and example["finger"] == finger)
    examples = examples.map(lambda e: (e["person"], e["filename"], tf.io.decode_png(e["image"], channels=1)))
    try:
        return [Record(int(p), name.decode(), image) for p, name, image in examples.as_numpy_iterator()]
    except tf.errors.OpError as error:
        reason = "its records cannot be read"
        raise socofing_dataset_builder.create_damage_error(builder.builder_config, reason) from error


def _check_socofing_dir(data_config) -> pathlib.Path:
    folder = pathlib.Path(expand_path(data_config.socofing_dir))
    if not data_config.socofing_dir or not folder.is_dir():
        raise UserError(
            f"config.data.socofing_dir: {data_config.socofing_dir!r} is not a folder; "
            "name the one that holds Real/"
        )
    if not (folder / "Real").is_dir():
        nested = sorted(folder.glob("*/Real"))
        hint = f"; did you mean {nested[0].parent}?" if nested else ""
        raise UserError(f"config.data.socofing_dir: {folder} holds no folder Real/{hint}")
    return folder
