"""Owns the way from the config to tf.data batches: choice of prints, pairs, order, batches.

Does not put batches on devices (`feeding.py`) or change them at random (`augmentation.py`).
"""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from fpgan_jax.data import order, pairs, preprocessing, prints
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.socofing import socofing_dataset_builder
from fpgan_jax.errors import UserError

try:
    tf.config.set_visible_devices([], "GPU")  # TensorFlow would take the memory that JAX needs
except RuntimeError:
    logging.warning("TensorFlow was in use before fpgan_jax was imported; it may hold GPU memory")


class _Record(NamedTuple):
    person: int
    filename: str
    image: np.ndarray  # [height, width, 1], uint8, as stored


def load_prints(config, *, split: str = "real", persons: Sequence[int] | None = None) -> PrintSet:
    """Load the prints of the configured finger, preprocessed.

    Args:
      config: as in configs/pix2pix_socofing.py.
      split: "real" | "altered_easy" | "altered_medium" | "altered_hard".
      persons: ids; None is the training set's.

    Returns:
      One print a person for "real", up to three for the altered splits, in order of person and name. The
      set is empty where an altered split's folder is missing.

    Raises:
      UserError: a config.data field, a folder, a file or a person does not fit; the message says which.
    """
    real_records = None
    if persons is None or split == "real":
        real_records = _read_records(config.data, "real")
        persons = _choose_persons(config.data, real_records, persons)
    records = real_records if split == "real" else _read_records(config.data, split)
    chosen = [record for record in records if record.person in set(persons)]
    return _create_print_set(
        [preprocessing.preprocess_print(record.image, config.data) for record in chosen],
        [record.person for record in chosen],
        [record.filename for record in chosen],
        config.data,
    )


def list_persons(config, split: str = "real") -> tuple[int, ...]:
    """Return everyone who has a print of the configured finger in a split.

    Args:
      config: as in configs/pix2pix_socofing.py.
      split: as in `load_prints`.

    Returns:
      Ids in ascending order.

    Raises:
      UserError: as `load_prints`.
    """
    return tuple(sorted({record.person for record in _read_records(config.data, split)}))


def create_pairs(config) -> pairs.Pairs:
    """Create the training set of pairs of noise and print.

    Args:
      config: as in configs/pix2pix_socofing.py.

    Returns:
      config.data.num_replicas pairs of every print, or the files of config.data.paired_dir.

    Raises:
      UserError: as `load_prints`.
    """
    if config.data.source == "paired_folder":
        return pairs.PairFolder(config.data.paired_dir, config.data)
    return pairs.ReplicatedPrints(load_prints(config), config.data)


def make_gan_dataset(
    config,
    *,
    start_step: int,
    num_steps: int,
    process_index: int = 0,
    process_count: int = 1,
    training_pairs: pairs.Pairs | None = None,
) -> tf.data.Dataset:
    """Make the batches of pairs from one step on; a batch depends on its step only.

    Args:
      config: as in configs/pix2pix_socofing.py; global_batch_size is over all processes.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.
      training_pairs: as of `create_pairs`, where they are at hand.

    Returns:
      A dataset of {"noise_image": [b, size, size, channels] uint8, "real_image": likewise,
      "person": [b] int32, "replica": [b] int32} with b = global_batch_size / process_count.

    Raises:
      UserError: as `load_prints`, or the batch cannot be divided.
    """
    if training_pairs is None:
        training_pairs = create_pairs(config)
    data = config.data
    batch_size = order.divide_batch("config.global_batch_size", config.global_batch_size, process_count)
    image = tf.TensorSpec((batch_size, data.image_size, data.image_size, data.num_channels), tf.uint8)
    number = tf.TensorSpec((batch_size,), tf.int32)
    element_spec = {"noise_image": image, "real_image": image, "person": number, "replica": number}
    create_batch = functools.partial(
        pairs.create_batch_of_step,
        pairs=training_pairs,
        config=config,
        process_index=process_index,
        process_count=process_count,
    )
    return _make_dataset(create_batch, element_spec, start_step, num_steps)


def make_classifier_dataset(
    config,
    *,
    start_step: int,
    num_steps: int,
    process_index: int = 0,
    process_count: int = 1,
    training_prints: PrintSet | None = None,
) -> tf.data.Dataset:
    """Make the batches of real prints and labels from one step on; a batch depends on its step only.

    Args:
      config: as in configs/pix2pix_socofing.py; classifier.global_batch_size is over all processes.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.
      training_prints: as of `load_prints`, where they are at hand.

    Returns:
      A dataset of {"image": [b, size, size, channels] uint8, "label": [b] int32}; the label is the
      person's place among the set's ids.

    Raises:
      UserError: as `load_prints`, or the batch cannot be divided.
    """
    data = config.data
    if training_prints is None:
        training_prints = load_prints(config)
    global_batch_size = config.classifier.global_batch_size
    batch_size = order.divide_batch("config.classifier.global_batch_size", global_batch_size, process_count)
    create_batch = functools.partial(
        prints.create_labelled_batch,
        prints=training_prints,
        config=config,
        process_index=process_index,
        process_count=process_count,
    )
    element_spec = {
        "image": tf.TensorSpec((batch_size, data.image_size, data.image_size, data.num_channels), tf.uint8),
        "label": tf.TensorSpec((batch_size,), tf.int32),
    }
    return _make_dataset(create_batch, element_spec, start_step, num_steps)


def _make_dataset(
    create_batch: Callable[[int], dict[str, np.ndarray]],
    element_spec: dict[str, tf.TensorSpec],
    start_step: int,
    num_steps: int,
) -> tf.data.Dataset:
    """Map a pure function of the step over the steps."""

    def create_arrays(step: np.ndarray) -> list[np.ndarray]:
        batch = create_batch(int(step))
        return [batch[name] for name in element_spec]

    @tf.autograph.experimental.do_not_convert
    def create_tensors(step: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = tf.numpy_function(create_arrays, [step], [spec.dtype for spec in element_spec.values()])
        return {
            name: tf.ensure_shape(tensor, spec.shape)
            for (name, spec), tensor in zip(element_spec.items(), tensors, strict=True)
        }

    steps = tf.data.Dataset.range(start_step, start_step + num_steps)
    batches = steps.map(create_tensors, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def _read_records(data, split: str) -> list[_Record]:
    """Read the configured finger's prints of a split, in order of person and name."""
    folder = _check_socofing_dir(data)
    if split != "real" and not (folder / socofing_dataset_builder.SPLIT_FOLDERS[split]).is_dir():
        return []
    builder = socofing_dataset_builder.prepare(
        data.socofing_dir, split, tfds_dir=data.tfds_dir, on_bad_file=data.on_bad_file
    )
    hand = builder.info.features["hand"].str2int(data.hand)
    finger = builder.info.features["finger"].str2int(data.finger)
    # Most records are of other fingers; they are dropped before their image is decoded.
    examples = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    examples = examples.filter(lambda example: example["hand"] == hand and example["finger"] == finger)
    examples = examples.map(lambda e: (e["person"], e["filename"], tf.io.decode_png(e["image"], channels=1)))
    records = [_Record(int(p), name.decode(), image) for p, name, image in examples.as_numpy_iterator()]
    return sorted(records, key=lambda record: (record.person, record.filename))


def _check_socofing_dir(data) -> pathlib.Path:
    folder = pathlib.Path(data.socofing_dir)
    if not data.socofing_dir or not folder.is_dir():
        raise UserError(
            f"config.data.socofing_dir: {data.socofing_dir!r} is not a folder; name the one that holds Real/"
        )
    if not (folder / "Real").is_dir():
        nested = sorted(folder.glob("*/Real"))
        hint = f"; did you mean {nested[0].parent}?" if nested else ""
        raise UserError(f"config.data.socofing_dir: {folder} holds no folder Real/{hint}")
    return folder


def _choose_persons(data, records: list[_Record], persons: Sequence[int] | None) -> tuple[int, ...]:
    """Return the given persons, or else the configured ones, after checking that their prints are there."""
    available = sorted({record.person for record in records})
    finger = f"{data.hand} {data.finger} finger"
    if not available:
        raise UserError(f"config.data.socofing_dir: {data.socofing_dir} holds no print of a {finger}")
    field = "persons"
    if persons is None:
        field, persons = "config.data.persons", tuple(data.persons)
        if not persons:
            return _choose_first_persons(data, available, finger)
    missing = sorted(set(persons) - set(available))
    if missing:
        raise UserError(
            f"{field}: no {finger} of {', '.join(map(str, missing))}; {len(available)} persons have one, "
            f"ids {available[0]} to {available[-1]}"
        )
    return tuple(sorted(set(persons)))


def _choose_first_persons(data, available: list[int], finger: str) -> tuple[int, ...]:
    if len(available) < data.num_persons:
        raise UserError(
            f"config.data.num_persons: {data.num_persons} are wanted, but {data.socofing_dir} has a {finger} "
            f"of {len(available)}"
        )
    return tuple(available[: data.num_persons])


def _create_print_set(images: list, persons: list[int], names: list[str], data) -> PrintSet:
    shape = (len(images), data.image_size, data.image_size, data.num_channels)
    return PrintSet(np.array(images, np.uint8).reshape(shape), np.array(persons, np.int32), tuple(names))
