"""Owns what a valid config is: every field's type and range, comparison, hashing, and its file.

Does not own values (`configs/` does), nor what only the data or the networks can tell, such as
whether a size fits the levels; those are checked where they are used.
"""

import dataclasses
import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.errors import UserError
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.user_paths import find_path_fault
from fpgan_jax.whole_file import write_whole

CONFIG_FILENAME = "config.json"


# Steps and examples are counted in int32 on the devices, where all else is float32.
MAX_COUNT = 2**31 - 1
_MAX_FLOAT = (2 - 2**-23) * 2.0**127


@dataclasses.dataclass(frozen=True)
class Field:
    """What one config field may hold.

    Attributes:
      type: bool, int, float, str or tuple.
      choices: the values allowed, where they can be listed.
      low: the lowest number allowed.
      high: the highest number allowed.
      item_type: the type of a tuple's items.
      item_choices: the values allowed for them, where they can be listed.
      default: for a field that came later than files of configs: what those meant, which is also what the
        field's value is where it changes nothing. None for a field that was always there.
    """

    type: type
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    item_type: type | None = None
    item_choices: tuple = ()
    default: Any = None

    def find_fault(self, value: Any) -> str | None:
        """Say what is wrong with a value, or None."""
        if self.type is tuple and isinstance(value, list):
            value = tuple(value)
        types = (int, float) if self.type is float else self.type
        if not isinstance(value, types) or (self.type is not bool and isinstance(value, bool)):
            return f"expected {self.type.__name__}, got {type(value).__name__}"
        if self.choices and value not in self.choices:
            return f"use one of {', '.join(map(repr, self.choices))}"
        if self.type is tuple:
            if not all(isinstance(item, self.item_type) and not isinstance(item, bool) for item in value):
                return f"every item must be {self.item_type.__name__}"
            if self.item_choices and not set(value).issubset(self.item_choices):
                known = ", ".join(map(repr, self.item_choices))
                # What a command line without the quotes gives.
                how = any("," in str(item) for item in value) * ", and several are written as \"('a', 'b')\""
                return f"every item must be one of {known}{how}"
            numbers = value if self.item_type in (int, float) else ()
        else:
            numbers = (value,) if self.type in (int, float) else ()
        if self.type is float and not abs(value) <= _MAX_FLOAT:
            return "not a finite number in float32"
        if self.low is not None and any(number < self.low for number in numbers):
            return f"must be at least {self.low}"
        if self.high is not None and any(number > self.high for number in numbers):
            return f"must be at most {self.high}"
        return None


_DTYPES = Field(str, choices=("float32", "bfloat16"))
_PARAM_DTYPES = Field(str, choices=("float32",))
_NORMS = Field(str, choices=("batch", "batch_per_example", "instance", "none"))
_COUNT = Field(int, low=1, high=MAX_COUNT)
_COUNT_OR_ZERO = Field(int, low=0, high=MAX_COUNT)
# Two below 2**32, so that offsets by whole multiples of it stay within 64 bits.
_SEED = Field(int, low=0, high=2**32 - 2)
# Of a stream of random numbers: -1 is the seed that it falls back on, see `resolve_seed`.
_STREAM_SEED = Field(int, low=-1, high=2**32 - 2, default=-1)
_FRACTION = Field(float, low=0.0, high=1.0)
_POSITIVE = Field(float, low=0.0)
_CONV_BIASES = Field(str, choices=("auto", "always", "last", "never"), default="auto")
# A norm over one pixel divides by the root of this alone.
_NORM_EPSILON = Field(float, low=1e-12, default=1e-5)
_NORM_MOMENTUM = Field(float, low=0.0, high=0.9999, default=0.9)
_LEAKY_SLOPE = Field(float, low=0.0, high=1.0, default=0.2)

MEASURE_FAMILIES = (
    "similarity",
    "identity",
    "uniqueness",
    "leakage",
    "minutiae",
    "variation",
    "quality",
    "ridges",
    "checkerboard",
    "distribution",
    "pixels",
)

# What each channel of a condition that is made from a print holds; `data.ridge_condition` and `data.minutiae_map` make
# them.
RIDGE_CHANNELS = ("ridges", "contact", "mean", "contrast", "noise")
CONDITION_CHANNELS = {"ridges": RIDGE_CHANNELS, "minutiae": ("minutiae",)}

MATCHERS = ("nbis", "fingerprint_recognition")

FIELDS: Mapping[str, Field] = {
    "set_name": Field(str),
    "seed": _SEED,
    "weights_seed": _STREAM_SEED,
    "dropout_seed": _STREAM_SEED,
    "augmentation_seed": _STREAM_SEED,
    "data.source": Field(str, choices=("socofing", "impressions", "npz", "paired_folder")),
    "data.socofing_dir": Field(str),
    "data.impressions_dir": Field(str, default=""),
    "data.npz_file": Field(str, default=""),
    "data.paired_dir": Field(str),
    "data.tfds_dir": Field(str),
    "data.on_bad_file": Field(str, choices=("stop", "skip")),
    "data.hand": Field(str, choices=("Left", "Right", "both")),
    "data.finger": Field(str, choices=("thumb", "index", "middle", "ring", "little", "all")),
    "data.num_persons": _COUNT_OR_ZERO,
    "data.num_held_out_persons": Field(int, low=0, high=MAX_COUNT, default=0),
    "data.persons": Field(tuple, item_type=int, low=1),
    "data.num_replicas": _COUNT,
    "data.num_impressions": Field(int, low=0, default=0),
    "data.sensor_ppi": Field(float, low=0.0, high=10000.0, default=0.0),
    "data.image_ppi": Field(float, low=0.0, high=10000.0, default=0.0),
    "data.frame": Field(str, choices=("keep", "crop")),
    "data.image_size": Field(int, low=4, high=4096),
    "data.image_width": Field(int, low=0, high=4096, default=0),
    "data.num_channels": Field(int, choices=(1, 3)),
    "data.interpolation": Field(str, choices=("nearest", "bilinear", "bicubic", "lanczos", "area")),
    "data.condition": Field(str, choices=("noise", *CONDITION_CHANNELS), default="noise"),
    "data.warp_strength": Field(float, low=0.0, high=4.0, default=0.0),
    "data.noise_distribution": Field(str, choices=("uniform", "gaussian", "salt_and_pepper")),
    "data.noise_per": Field(str, choices=("replica", "person")),
    "data.noise_seed": _SEED,
    "data.shuffle_seed": _SEED,
    "data.jitter": Field(int, low=0, high=1024),
    "data.feeding": Field(str, choices=("tfdata", "device"), default="tfdata"),
    "generator.form": Field(str, choices=("isola", "ronneberger")),
    "generator.num_levels": Field(int, low=0, high=12, default=0),
    "generator.upsampling": Field(str, choices=("transposed", "resize"), default="transposed"),
    "generator.num_features": _COUNT,
    "generator.norm": _NORMS,
    "generator.norm_epsilon": _NORM_EPSILON,
    "generator.norm_momentum": _NORM_MOMENTUM,
    "generator.bottleneck_norm": Field(bool, default=False),
    "generator.conv_bias": _CONV_BIASES,
    "generator.leaky_slope": _LEAKY_SLOPE,
    "generator.skip": Field(
        str, choices=("before_activation", "after_activation"), default="before_activation"
    ),
    "generator.dropout_rate": Field(float, low=0.0, high=0.999),
    "generator.dropout_outputs": Field(tuple, item_type=int, low=1),
    "generator.dtype": _DTYPES,
    "generator.param_dtype": _PARAM_DTYPES,
    "discriminator.receptive_field": Field(int, choices=(1, 16, 34, 70, 142, 286)),
    "discriminator.num_features": _COUNT,
    "discriminator.norm": _NORMS,
    "discriminator.norm_epsilon": _NORM_EPSILON,
    "discriminator.norm_momentum": _NORM_MOMENTUM,
    "discriminator.conv_bias": _CONV_BIASES,
    "discriminator.leaky_slope": _LEAKY_SLOPE,
    "discriminator.dtype": _DTYPES,
    "discriminator.param_dtype": _PARAM_DTYPES,
    "global_batch_size": _COUNT,
    "num_epochs": _COUNT,
    "num_decay_epochs": _COUNT_OR_ZERO,
    "gan_objective": Field(str, choices=("vanilla", "lsgan", "hinge")),
    "update_order": Field(
        str,
        choices=("discriminator_first", "simultaneous", "old_activations"),
        default="discriminator_first",
    ),
    "lambda_l1": _POSITIVE,
    "ridge_loss_weight": Field(float, low=0.0, default=0.0),
    "discriminator_loss_weight": _POSITIVE,
    "learning_rate": _POSITIVE,
    "adam_beta1": Field(float, low=0.0, high=0.9999),
    "adam_beta2": Field(float, low=0.0, high=0.999999),
    "adam_eps": Field(float, low=1e-30),  # 0 would divide zero by zero where a gradient is zero
    "ema_decay": Field(float, low=0.0, high=0.999999),
    "steps_per_dispatch": Field(int, low=1, default=1),
    "remat": Field(bool, default=False),
    "log_every_steps": _COUNT,
    "checkpoint_every_steps": _COUNT_OR_ZERO,
    "keep_epochs": Field(tuple, item_type=int, low=1, default=()),
    "sample_epochs": Field(tuple, item_type=int, low=1),
    "num_samples": _COUNT_OR_ZERO,
    "best_metric": Field(str, choices=("l1_loss", "generator_loss", "adversarial_loss", "ridge_loss")),
    "classifier.seed": _STREAM_SEED,
    "classifier.weights_seed": _STREAM_SEED,
    "classifier.dropout_seed": _STREAM_SEED,
    "classifier.augmentation_seed": _STREAM_SEED,
    "classifier.width": Field(float, low=0.01, high=4.0),
    "classifier.num_middle_blocks": Field(int, low=0, high=64),
    "classifier.dropout_rate": Field(float, low=0.0, high=0.999),
    "classifier.batch_norm_momentum": Field(float, low=0.0, high=0.9999),
    "classifier.dtype": _DTYPES,
    "classifier.param_dtype": _PARAM_DTYPES,
    "classifier.global_batch_size": _COUNT,
    "classifier.num_steps": _COUNT,
    "classifier.learning_rate": _POSITIVE,
    "classifier.weight_decay": _POSITIVE,
    "classifier.label_smoothing": Field(float, low=0.0, high=0.999),
    "classifier.steps_per_dispatch": Field(int, low=1, default=1),
    "classifier.remat": Field(bool, default=False),
    "classifier.log_every_steps": _COUNT,
    "classifier.checkpoint_every_steps": _COUNT_OR_ZERO,
    "classifier.best_metric": Field(str, choices=("loss",)),
    "classifier.augmentation.rotation_degrees": Field(float, low=0.0, high=180.0),
    "classifier.augmentation.translation": Field(float, low=0.0, high=0.5),
    "classifier.augmentation.scaling": Field(float, low=0.0, high=0.9),
    "classifier.augmentation.contrast": Field(float, low=0.0, high=0.99),
    "classifier.augmentation.brightness": _FRACTION,
    "classifier.augmentation.noise_std": _FRACTION,
    "synthesis.noise": Field(str, choices=("training", "new")),
    "synthesis.deterministic": Field(bool),
    "synthesis.use_running_average": Field(bool),
    "synthesis.use_ema": Field(bool),
    "synthesis.batch_size": _COUNT,
    "synthesis.seed": _SEED,
    "synthesis.noise_seed": _STREAM_SEED,
    "evaluation.num_test_persons": _COUNT,
    "evaluation.std_over": Field(str, choices=("persons", "images")),
    "evaluation.std_ddof": Field(int, choices=(0, 1)),
    "evaluation.num_unseen_persons": _COUNT_OR_ZERO,
    "evaluation.batch_size": _COUNT,
    "evaluation.measures": Field(
        tuple,
        item_type=str,
        item_choices=MEASURE_FAMILIES,
        # "variation" came later, and is asked for by name.
        default=tuple(name for name in MEASURE_FAMILIES if name != "variation"),
    ),
    "evaluation.matchers": Field(tuple, item_type=str, item_choices=MATCHERS, default=("nbis",)),
    "evaluation.num_gallery_fingers": Field(int, low=2, high=MAX_COUNT, default=60),
    "evaluation.num_epoch_replicas": Field(int, low=1, default=3),
    "evaluation.num_resamples": Field(int, low=100, default=2000),
}

# Where the well-known pix2pix codes differ from the reference PyTorch code, which the defaults are of;
# docs/versions.md says which has what.
VARIANT_FIELDS = (
    "generator.norm_epsilon",
    "generator.norm_momentum",
    "generator.bottleneck_norm",
    "generator.conv_bias",
    "generator.leaky_slope",
    "generator.skip",
    "discriminator.norm_epsilon",
    "discriminator.norm_momentum",
    "discriminator.conv_bias",
    "discriminator.leaky_slope",
    "update_order",
)

# The sources that tell each print's person, and the field in which each of all sources is named.
PERSON_SOURCES = ("socofing", "impressions", "npz")
SOURCE_FIELDS = {
    "socofing": "socofing_dir",
    "impressions": "impressions_dir",
    "npz": "npz_file",
    "paired_folder": "paired_dir",
}
# Where a print set is, and what it is read through: the fields of config.data that differ from machine to machine.
PLACE_FIELDS = ("socofing_dir", "impressions_dir", "npz_file", "tfds_dir")
# Files and folders; whoever opens one expands its `~`.
PATH_FIELDS = ("data.paired_dir", *(f"data.{name}" for name in PLACE_FIELDS))

# What stands for a seed of -1.
_SEED_FALLBACKS = {
    "weights_seed": "seed",
    "dropout_seed": "seed",
    "augmentation_seed": "seed",
    "classifier.seed": "seed",
    "classifier.weights_seed": "classifier.seed",
    "classifier.dropout_seed": "classifier.seed",
    "classifier.augmentation_seed": "classifier.seed",
    "synthesis.noise_seed": "synthesis.seed",
}

# What the numbers of each training depend on, as prefixes of field names.
GAN_FIELDS = tuple(
    name for name in FIELDS if not name.startswith(("classifier.", "synthesis.", "evaluation."))
)
CLASSIFIER_FIELDS = ("seed", "data.", "classifier.")
# What everything up to the scores' averaging depends on; the rest may change in a finished experiment.
EXPERIMENT_FIELDS = tuple(name for name in FIELDS if not name.startswith("evaluation."))

# Fields that may change between a run and its continuation: they change no number of it, and the batch sizes of
# inference none by more than the order of sums does.
_FREE_FIELDS = frozenset(
    {
        *PATH_FIELDS,
        "data.feeding",
        "synthesis.batch_size",
        "evaluation.batch_size",
    }
)


def flatten_config(config: Mapping) -> dict[str, Any]:
    """Flatten nested fields to dotted names.

    Args:
      config: a ConfigDict or nested dicts.

    Returns:
      "data.finger" -> value, with tuples for lists.
    """
    flat = {}
    for name, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= {f"{name}.{inner}": leaf for inner, leaf in flatten_config(value).items()}
        else:
            flat[name] = tuple(value) if isinstance(value, list) else value
    return flat


def resolve_seed(config: Mapping, name: str) -> int:
    """Find the seed of a stream of random numbers.

    Args:
      config: a ConfigDict or nested dicts.
      name: the stream's field, as "classifier.dropout_seed".

    Returns:
      The field's own value, or where that is -1 that of the field it falls back on.
    """
    flat = flatten_config(config)
    while flat[name] == -1:
        name = _SEED_FALLBACKS[name]
    return flat[name]


def validate_config(config: ConfigDict, *, needs_data: bool = True) -> None:
    """Check every field, before anything is written.

    Args:
      config: the config to check.
      needs_data: False does not ask where the prints lie.

    Raises:
      UserError: a field is unknown, missing, of a wrong type or out of range, or two fields
        contradict each other. The message names the field as it is written on the command line.
    """
    flat = flatten_config(config)
    for name in sorted(flat.keys() - FIELDS.keys()):
        raise UserError(_describe_unknown(name))
    for name in sorted(FIELDS.keys() - flat.keys()):
        raise UserError(f"config.{name}: missing; start from configs/pix2pix_socofing.py")
    for name, value in flat.items():
        if fault := FIELDS[name].find_fault(value):
            raise UserError(f"config.{name}={value!r}: {fault}")
    for name in PATH_FIELDS:
        if fault := find_path_fault(flat[name]):
            raise UserError(f"config.{name}={flat[name]}: {fault}")
    _validate_combinations(config)
    if needs_data:
        _check_place(config)


def _check_place(config: ConfigDict) -> None:
    place = SOURCE_FIELDS[config.data.source]
    if not config.data[place]:
        hint = "FOLDER (python -m launch.make_prints makes prints to start with)"
        if config.data.source == "npz":
            hint = "FILE (python -m launch.make_pairs --npz=FILE writes one)"
        if config.data.source == "impressions":
            hint = "FOLDER (of <finger>_<impression>.png)"
        raise UserError(f"config.data.{place}: not given; set --config.data.{place}={hint}")


def _validate_combinations(config: ConfigDict) -> None:
    if config.num_decay_epochs >= config.num_epochs:
        raise UserError(
            f"config.num_decay_epochs={config.num_decay_epochs}: must be less than "
            f"config.num_epochs={config.num_epochs}"
        )
    if config.synthesis.use_ema and not config.ema_decay:
        raise UserError(
            "config.synthesis.use_ema=True: config.ema_decay=0 keeps no average; set one of the two"
        )
    norm = config.generator.norm
    if config.synthesis.use_running_average and norm in ("instance", "none"):
        raise UserError(
            f"config.synthesis.use_running_average=True: config.generator.norm={norm!r} keeps no running statistics; "
            "set one of the two"
        )
    _validate_resolution(config.data)
    matchers = config.evaluation.matchers
    if not matchers or len(set(matchers)) != len(matchers):
        raise UserError(f"config.evaluation.matchers={tuple(matchers)}: name one, or several once each")
    persons = config.data.persons
    if len(set(persons)) != len(persons):
        raise UserError(f"config.data.persons={tuple(persons)}: a person is named twice")
    _validate_condition(config)
    num_persons = count_persons(config)
    if persons and config.data.num_held_out_persons:
        raise UserError(
            f"config.data.num_held_out_persons={config.data.num_held_out_persons}: config.data.persons names who "
            "trains; set one of the two"
        )
    if config.data.source in PERSON_SOURCES and 0 < num_persons < config.evaluation.num_test_persons:
        raise UserError(
            f"config.evaluation.num_test_persons={config.evaluation.num_test_persons}: "
            f"the set has only {num_persons} persons"
        )


def _validate_condition(config: ConfigDict) -> None:
    data = config.data
    is_mapped = data.condition in CONDITION_CHANNELS
    if is_mapped and data.source == "paired_folder":
        raise UserError(
            f"config.data.condition={data.condition!r}: config.data.source='paired_folder' has conditions of its own; "
            f'use "noise", or one of the sources {", ".join(PERSON_SOURCES)}'
        )
    if data.warp_strength > 0 and not is_mapped:
        raise UserError(
            f"config.data.warp_strength={data.warp_strength}: needs config.data.condition='ridges' or 'minutiae', "
            f"which is {data.condition!r}"
        )
    if data.condition == "ridges":
        if config.best_metric == "ridge_loss" and not config.ridge_loss_weight:
            raise UserError(
                "config.best_metric='ridge_loss': config.ridge_loss_weight=0 computes none; set one of the two"
            )
        return
    needs_ridges = {
        f"ridge_loss_weight={config.ridge_loss_weight}": config.ridge_loss_weight > 0,
        f"best_metric={config.best_metric!r}": config.best_metric == "ridge_loss",
    }
    for assignment, is_set in needs_ridges.items():
        if is_set:
            raise UserError(
                f"config.{assignment}: needs config.data.condition='ridges', which is {data.condition!r}"
            )


def _validate_resolution(data: ConfigDict) -> None:
    if data.source == "impressions" and not data.sensor_ppi:
        raise UserError(
            "config.data.sensor_ppi: not given; set it to the sensor's pixels per inch, which is 500 for most"
        )
    if data.source == "socofing" and (data.sensor_ppi or data.image_ppi):
        raise UserError(
            f"config.data.sensor_ppi={data.sensor_ppi}, config.data.image_ppi={data.image_ppi}: the scale of "
            "SOCOFing's scans is known; leave both 0"
        )


def is_socofing(data_config: ConfigDict) -> bool:
    """Tell whether prints are SOCOFing's, with its frame and its enlargement, which is not the same both ways."""
    has_resolution = data_config.sensor_ppi or data_config.image_ppi
    return data_config.source == "socofing" or (data_config.source == "npz" and not has_resolution)


def find_ppi(data_config: ConfigDict) -> float:
    """Find the resolution of a config's images, pixels per inch; 0 where the config does not say it."""
    return data_config.image_ppi or data_config.sensor_ppi


def image_shape(data_config: ConfigDict) -> tuple[int, int, int]:
    """Find the shape of the images that a config trains on.

    Args:
      data_config: config.data; image_size, image_width and num_channels are used.

    Returns:
      (height, width, channels), pixels.
    """
    height = data_config.image_size
    return height, data_config.image_width or height, data_config.num_channels


def condition_shape(data_config: ConfigDict) -> tuple[int, int, int]:
    """Find the shape of what the generator is given.

    Args:
      data_config: config.data; condition and the image's shape are used.

    Returns:
      (height, width, channels): the image's own for noise and for files of pairs.
    """
    height, width, num_channels = image_shape(data_config)
    channels = CONDITION_CHANNELS.get(data_config.condition)
    return height, width, len(channels) if channels else num_channels


def count_persons(config: ConfigDict) -> int:
    """Count the persons of a config's training set, whose source tells them; 0 where the set is everybody."""
    return len(config.data.persons) or config.data.num_persons


def hash_config(config: Mapping) -> str:
    """Compute a short name for everything in a config that changes a number.

    Args:
      config: a ConfigDict or nested dicts.

    Returns:
      12 hexadecimal digits of a SHA-256, the same on every machine and for every folder. A field that came
      later counts only where it is not at its default, so that a config keeps the name it had before.
    """
    relevant = {
        name: _canonical(name, value)
        for name, value in flatten_config(config).items()
        if name not in _FREE_FIELDS and not is_at_default(name, value)
    }
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]


def find_differences(old: Mapping, new: Mapping, prefixes: Iterable[str] = ("",)) -> list[str]:
    """List the fields in which two configs differ so that their numbers differ.

    Args:
      old: a ConfigDict or nested dicts.
      new: alike.
      prefixes: only fields whose dotted names start with one of these.

    Returns:
      Lines "config.lambda_l1 was 100.0, is 50.0", sorted.
    """
    old, new = (_list_defaults() | flatten_config(config) for config in (old, new))
    names = (
        name
        for name in sorted(old.keys() | new.keys())
        if name not in _FREE_FIELDS and name.startswith(tuple(prefixes))
    )
    return [
        f"config.{name} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in names
        if _canonical(name, old.get(name)) != _canonical(name, new.get(name))
    ]


def _canonical(name: str, value: Any) -> Any:
    # Persons are taken in the order of their ids, however they are named.
    if name == "data.persons" and value and FIELDS[name].find_fault(value) is None:
        return sorted(value)
    # An archive holds a folder's prints; that they are the same ones is what their hash tells.
    return "socofing" if name == "data.source" and value == "npz" else value


def _list_defaults() -> dict[str, Any]:
    return {name: field.default for name, field in FIELDS.items() if field.default is not None}


def is_at_default(name: str, value: Any) -> bool:
    """Say whether a field that came later has the value that files without it mean.

    Args:
      name: the field's, dotted.
      value: its value.
    """
    return name in FIELDS and FIELDS[name].default is not None and value == FIELDS[name].default


def load_config(path: str) -> ConfigDict:
    """Read a config that `claim_workdir` wrote.

    Args:
      path: a JSON file.

    Returns:
      As of `parse_config`.

    Raises:
      UserError: the file is missing, not JSON or no config.
    """
    try:
        values = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is this the workdir of a run?") from error
    try:
        return parse_config(values)
    except UserError as error:
        raise UserError(f"{path}: {error}; mend it, or use another workdir") from error


def parse_config(values: Mapping) -> ConfigDict:
    """Make a config of what JSON gave: nested dicts, lists for tuples.

    Args:
      values: nested dicts.

    Returns:
      The config, with tuples for lists. Fields that came after it was written are at their defaults.

    Raises:
      UserError: these are no config's values.
    """

    def restore_tuples(value):
        if isinstance(value, Mapping):
            return {name: restore_tuples(inner) for name, inner in value.items()}
        return tuple(value) if isinstance(value, list) else value

    try:
        restored = restore_tuples(values)
        for name, default in _list_defaults().items():
            *groups, leaf = name.split(".")
            group = restored
            for part in groups:
                group = group.get(part, {})
            group.setdefault(leaf, default)
        return ConfigDict(restored)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # ConfigDict takes its own methods' names, and dots, for no field.
        raise UserError(f"not a config ({type(error).__name__}: {error})") from error


def restore_config(metadata: Mapping, workdir: str) -> ConfigDict:
    """Read the config that a checkpoint was trained with.

    Args:
      metadata: the checkpoint's.
      workdir: where it lies, for the message.

    Returns:
      The config, validated.

    Raises:
      UserError: it holds no valid config.
    """
    try:
        config = parse_config(metadata.get("config"))
        validate_config(config, needs_data=False)
    except UserError as error:
        raise UserError(f"{workdir}: the config in its checkpoint is not valid: {error}") from error
    return config


def override_fields(config: ConfigDict, overrides: Iterable[str]) -> ConfigDict:
    """Copy a config with some fields set, as `--config.FIELD=VALUE` would set them.

    Args:
      config: the config, which is left as it is.
      overrides: each "FIELD=VALUE", as "data.source=npz" or "sample_epochs=2,28".

    Returns:
      The copy; its values are of their fields' types but not checked otherwise.

    Raises:
      UserError: an override is of another form, its field is unknown, or its value is not of the field's type.
    """
    copy = config.copy_and_resolve_references()
    for override in overrides:
        name, is_assignment, text = override.partition("=")
        if not is_assignment:
            raise UserError(f"override {override!r}: must be FIELD=VALUE, as data.source=npz")
        name = name.strip().removeprefix("config.")
        if name not in FIELDS:
            raise UserError(_describe_unknown(name))
        copy.update_from_flattened_dict({name: _parse_value(name, text.strip())})
    return copy


def _parse_value(name: str, text: str) -> Any:
    field = FIELDS[name]
    try:
        if field.type is bool:
            return {"true": True, "false": False}[text.lower()]
        if field.type is tuple:
            items = text.strip("()[]").split(",")
            return tuple(field.item_type(item) for item in items if item.strip())
        return field.type(text)
    except (KeyError, ValueError) as error:
        kind = f"tuple of {field.item_type.__name__}" if field.type is tuple else field.type.__name__
        raise UserError(f"config.{name}={text!r}: expected {kind}") from error


def _describe_unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"config.{name}: no such field" + (f"; did you mean config.{near[0]}?" if near else "")


def claim_workdir(
    workdir: str, config: ConfigDict, *, prefixes: Iterable[str] = ("",), is_writer: bool = True
) -> None:
    """Write the config into a run's folder, if the folder holds no run of another one.

    Where it holds the same run, fields that may differ are written as they are now.

    Args:
      workdir: the run's folder; made if missing.
      config: the validated config.
      prefixes: the fields that must agree, see `find_differences`.
      is_writer: False only checks; for processes other than the main one.

    Raises:
      UserError: the folder holds a run of another config, which is left untouched.
    """
    if fault := find_path_fault(workdir):
        raise UserError(f"--workdir={workdir}: {fault}")
    path = os.path.join(workdir, CONFIG_FILENAME)
    if os.path.exists(path) and (differences := find_differences(load_config(path), config, prefixes)):
        raise UserError(
            f"{path}: the run in this workdir has another config ({'; '.join(differences)}); "
            "use another --workdir, or the config it was started with"
        )
    if not is_writer:
        return
    try:
        os.makedirs(workdir, exist_ok=True)
        with write_whole(path) as file:
            json.dump(config.to_dict(), file, indent=2)
            file.write("\n")
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be written to ({error.strerror})") from error
