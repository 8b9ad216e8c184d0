"""Reading SOCOFing's prints of one finger or of several, as stored, through TFDS."""

import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from fpgan_jax.data import tensorflow_setup
from fpgan_jax.data.impression_folder import FINGERS_A_PERSON
from fpgan_jax.data.prints import Record
from fpgan_jax.data.socofing import socofing_dataset_builder
from fpgan_jax.data.socofing.filenames import number_finger, parse_filename
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path

tensorflow_setup.keep_off_gpus()

_EVERY = {"both", "all"}  # hands, fingers


def read_records(data_config: ConfigDict, split: str) -> list[Record]:
    """Read the configured fingers' prints of a split.

    Args:
      data_config: config.data; the folders, on_bad_file, hand and finger are used.
      split: "real" | "altered_easy" | "altered_medium" | "altered_hard".

    Returns:
      Everyone's prints, images [height, width, 1] uint8 as stored; none if an altered split's folder is missing. With
      several fingers, a record's person is the finger's id.

    Raises:
      UserError: the folder is not SOCOFing's, a file is bad and on_bad_file is "stop", or its prepared records are
        damaged.
    """
    folder = _check_socofing_dir(data_config)
    if split != "real" and not (folder / socofing_dataset_builder.SPLIT_FOLDERS[split]).is_dir():
        return []
    builder = socofing_dataset_builder.prepare(
        str(folder), split, tfds_dir=data_config.tfds_dir, on_bad_file=data_config.on_bad_file
    )
    # Most records are of other fingers, and are dropped before their image is decoded.
    examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    for name, wanted in (("hand", data_config.hand), ("finger", data_config.finger)):
        if wanted not in _EVERY:
            number = builder.info.features[name].str2int(wanted)
            examples = examples.filter(lambda example, name=name, number=number: example[name] == number)
    examples = examples.map(lambda e: (e["person"], e["filename"], tf.io.decode_png(e["image"], channels=1)))
    try:
        records = [Record(int(p), name.decode(), image) for p, name, image in examples.as_numpy_iterator()]
    except tf.errors.OpError as error:
        reason = "its records cannot be read"
        raise socofing_dataset_builder.create_damage_error(builder.builder_config, reason) from error
    has_several = bool({data_config.hand, data_config.finger} & _EVERY)
    return [_number_finger(record) for record in records] if has_several else records


def _number_finger(record: Record) -> Record:
    name = parse_filename(record.filename)
    return record._replace(person=record.person * FINGERS_A_PERSON + number_finger(name.hand, name.finger))


def _check_socofing_dir(data_config: ConfigDict) -> pathlib.Path:
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
