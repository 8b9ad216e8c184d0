"""Owns what each config field may hold, and the names that several modules choose by.

Does not own values (`configs/` does), nor what fields must be together (`checks.py`), nor what only the data or the
networks can tell, such as whether a size fits the levels; those are checked where they are used.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

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

# In the order of the tables and the report. Each is a module of `evaluation.measures`, where all else about it is.
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

# What each channel of a condition that is made from a print holds; `data.ridges` makes them.
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
    "data.direction": Field(str, choices=("AtoB", "BtoA"), default="AtoB"),
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
    "data.num_channels": Field(int, choices=(0, 1, 3)),
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
    "num_validation_pairs": Field(int, low=0, high=MAX_COUNT, default=100),
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
        # The families of files without this field. Later ones are asked for by name, as a default that changed would
        # change the hash of every config.
        default=(
            *("similarity", "identity", "uniqueness", "leakage", "minutiae", "quality", "ridges"),
            *("checkerboard", "distribution", "pixels"),
        ),
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


def list_defaults() -> dict[str, Any]:
    """List the defaults of the fields that came later than files of configs."""
    return {name: field.default for name, field in FIELDS.items() if field.default is not None}


def is_at_default(name: str, value: Any) -> bool:
    """Say whether a field that came later has the value that files without it mean.

    Args:
      name: the field's, dotted.
      value: its value.
    """
    return name in FIELDS and FIELDS[name].default is not None and value == FIELDS[name].default


def describe_unknown(name: str) -> str:
    """Say that there is no field of this name, and which one may be meant."""
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"config.{name}: no such field" + (f"; did you mean config.{near[0]}?" if near else "")
