"""Owns every config field: one declaration each, with its default, meaning, range and other properties.

Conditions that involve several fields are in `checks.py`. Those that depend on the data or the networks, such as
whether a size fits the levels, are checked where they are used.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

# On the devices steps and examples are counted in int32, and other numbers are float32.
MAX_COUNT = 2**31 - 1
_MAX_FLOAT = (2 - 2**-23) * 2.0**127

# Two below 2**32, so that offsets by whole multiples of it stay within 64 bits.
_MAX_SEED = 2**32 - 2


@dataclasses.dataclass(frozen=True)
class Field:
    """One config field. Its group decides which experiments it belongs to, see `identity.GAN_FIELDS`.

    Attributes:
      default: value in configs/pix2pix_socofing.py; its type is the type of the field: bool, int, float, str or tuple.
      meaning: text for docs/fields.md.
      choices: allowed values, if they can be listed; for a tuple those of its items.
      low: lowest allowed number; for a tuple, of its items.
      high: highest allowed number; for a tuple, of its items. `MAX_COUNT` by default for an int.
      item_type: type of the items of a tuple.
      fallback: for seeds that can be -1: the field whose value is used then.
      is_path: it names a file or a folder. Paths differ between machines, so they never count as a difference.
      is_free: a run can continue with another value, since no number depends on it. The batch sizes of inference change
        numbers only by the order of sums.
      may_train_on: a run can be trained on in its workdir with another value, such as its length or rate.
      is_variant: the well-known pix2pix codes differ in it (docs/versions.md); the default is that of the reference
        PyTorch code.
      came_later: some config.json files were written before it existed. Its default is assumed for these, and is left
        out of the hash, so that runs keep their names. Set it for every new field.
    """

    default: Any
    meaning: str
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    item_type: type | None = None
    fallback: str = ""
    is_path: bool = False
    is_free: bool = False
    may_train_on: bool = False
    is_variant: bool = False
    came_later: bool = False

    @property
    def value_type(self) -> type:
        """Return bool, int, float, str or tuple."""
        return type(self.default)

    @property
    def type_name(self) -> str:
        """Return the type for messages and the page of fields, as "tuple of int"."""
        return f"tuple of {self.item_type.__name__}" if self.item_type else self.value_type.__name__

    def find_fault(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.item_type:
            return self._find_fault_of_tuple(value, self.item_type)
        own = self.value_type
        is_right = isinstance(value, (int, float) if own is float else own)
        if not is_right or (own is not bool and isinstance(value, bool)):
            return f"expected {own.__name__}, got {type(value).__name__}"
        if self.choices and value not in self.choices:
            return f"use one of {', '.join(map(repr, self.choices))}"
        if own is float and not abs(value) <= _MAX_FLOAT:
            return "not a finite number in float32"
        return self._find_fault_of_range((value,))

    def _find_fault_of_tuple(self, value: Any, item_type: type) -> str | None:
        if not isinstance(value, tuple | list):
            return f"expected tuple, got {type(value).__name__}"
        if not all(isinstance(item, item_type) and not isinstance(item, bool) for item in value):
            return f"every item must be {item_type.__name__}"
        if self.choices and not set(value).issubset(self.choices):
            known = ", ".join(map(repr, self.choices))
            # The result of a command line without the quotes.
            how = any("," in str(item) for item in value) * ", and several are written as \"('a', 'b')\""
            return f"every item must be one of {known}{how}"
        return self._find_fault_of_range(value)

    def _find_fault_of_range(self, numbers: tuple | list) -> str | None:
        if self.low is not None and any(number < self.low for number in numbers):
            return f"must be at least {self.low}"
        high = MAX_COUNT if self.high is None and self.value_type is int else self.high
        if high is not None and any(number > high for number in numbers):
            return f"must be at most {high}"
        return None


_DTYPES = ("float32", "bfloat16")
_NORMS = ("batch", "batch_per_example", "instance", "none")
_CONV_BIASES = ("auto", "always", "last", "never")

# The field of config.data with the location of each source's prints.
SOURCE_FIELDS = {
    "socofing": "socofing_dir",
    "impressions": "impressions_dir",
    "npz": "npz_file",
    "paired_folder": "paired_dir",
}

# The sources that know each print's person.
PERSON_SOURCES = ("socofing", "impressions", "npz")

# Content of each channel of a condition that `data.ridges` makes from a print.
RIDGE_CHANNELS = ("ridges", "contact", "mean", "contrast", "noise")
# Of the ridge map; the first is what maps were before there was a choice.
RIDGE_FILTERS = ("narrow", "wide")
CONDITION_CHANNELS = {"ridges": RIDGE_CHANNELS, "minutiae": ("minutiae",)}

# Modules of `evaluation.measures`, in the order of the tables and the report.
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
MATCHERS = ("nbis", "fingerprint_recognition")


def _seed(meaning: str) -> Field:
    return Field(0, meaning, low=0, high=_MAX_SEED)


def _fallback_seed(meaning: str, fallback: str) -> Field:
    return Field(
        -1, f"{meaning}; -1: `{fallback}`", low=-1, high=_MAX_SEED, fallback=fallback, came_later=True
    )


def _variant(default: Any, meaning: str, **options: Any) -> Field:
    return Field(default, meaning, is_variant=True, came_later=True, **options)


FIELDS: Mapping[str, Field] = {
    "set_name": Field(
        "P50", "name of the set: the row of the paper's table 2 that its results are compared with"
    ),
    "seed": _seed(
        "Value of every seed below that is -1: the GAN's three and `classifier.seed`. `data.noise_seed`, "
        "`data.shuffle_seed` and `synthesis.seed` do not depend on it"
    ),
    "weights_seed": _fallback_seed("initial weights of the GAN", "seed"),
    "dropout_seed": _fallback_seed("dropout of the GAN in training", "seed"),
    "augmentation_seed": _fallback_seed("random places of `data.jitter` and `data.warp_strength`", "seed"),
    "data.source": Field(
        "socofing",
        '"socofing" | "impressions" (files <finger>_<impression>.png, from any sensor) | "npz" (prints of '
        'either kind, in one file) | "paired_folder" (files of condition and target)',
        choices=tuple(SOURCE_FIELDS),
    ),
    "data.socofing_dir": Field("", "folder with Real/ and, for the altered control, Altered/", is_path=True),
    "data.impressions_dir": Field(
        "",
        'For source "impressions": each finger counts as a person; hand, finger and frame are ignored',
        is_path=True,
        came_later=True,
    ),
    "data.npz_file": Field(
        "",
        'For source "npz", which needs no TensorFlow: the file written by `launch.make_pairs --npz=FILE`',
        is_path=True,
        came_later=True,
    ),
    "data.paired_dir": Field(
        "",
        'For source "paired_folder", see docs/data.md: persons, replicas, frame and noise are ignored',
        is_path=True,
    ),
    "data.direction": Field(
        "AtoB",
        'Direction of its pairs: "AtoB" is from the left image, or folder A, to the right one, or B',
        choices=("AtoB", "BtoA"),
        came_later=True,
    ),
    "data.tfds_dir": Field("", 'where TFDS keeps the prepared set; "" is the default of TFDS', is_path=True),
    "data.on_bad_file": Field(
        "stop", 'what to do with a file that cannot be read; "skip" warns', choices=("stop", "skip")
    ),
    "data.hand": Field("Right", "hand whose prints are used", choices=("Left", "Right", "both")),
    "data.finger": Field(
        "index",
        "Finger whose prints are used. With several fingers each one counts as a person, with id 100 * person + "
        "finger, from 1 (right thumb) to 10 (left little finger)",
        choices=("thumb", "index", "middle", "ring", "little", "all"),
    ),
    "data.num_persons": Field(5, "the first n persons by id who have this finger; 0: all", low=0),
    "data.num_held_out_persons": Field(
        0,
        "The last n persons by id are kept for evaluation: none of their fingers is trained on",
        low=0,
        came_later=True,
    ),
    "data.persons": Field(
        (), "ids of the persons to use instead of the first n, in any order", low=1, item_type=int
    ),
    "data.num_replicas": Field(10, "repetitions of each print (section 4)", low=1),
    "data.num_impressions": Field(
        0,
        "Impressions per finger to train on, the first ones; the others are kept for evaluation. 0: all",
        low=0,
        came_later=True,
    ),
    "data.sensor_ppi": Field(
        0.0,
        "Pixels per inch of the files in impressions_dir; 0 for SOCOFing, whose scale is known",
        low=0.0,
        high=10000.0,
        came_later=True,
    ),
    "data.image_ppi": Field(
        0.0,
        "Pixels per inch of the images, which are cropped, or padded with white, to the size below; 0: sensor_ppi",
        low=0.0,
        high=10000.0,
        came_later=True,
    ),
    "data.frame": Field(
        "keep",
        "Constant frame of the scanner: kept as in the paper's images, or removed so that it does not affect a score",
        choices=("keep", "crop"),
    ),
    "data.image_size": Field(
        256, "height of the images in pixels; scans are resized to it", low=4, high=4096
    ),
    "data.image_width": Field(
        0,
        "width of the images in pixels; 0: same as the height, as in the paper",
        low=0,
        high=4096,
        came_later=True,
    ),
    "data.num_channels": Field(
        1,
        "1: gray, with a warning for colored pairs; 3: color, or three equal channels for prints; 0: as the pairs are",
        choices=(0, 1, 3),
    ),
    "data.interpolation": Field(
        "bicubic",
        "Open in the paper; bicubic is what GIMP and the reference pix2pix code use by default",
        choices=("nearest", "bilinear", "bicubic", "lanczos", "area"),
    ),
    "data.condition": Field(
        "noise",
        'Input of the generator: "noise", as in the paper; "ridges": ridge map and contact of the print, its '
        'coarse mean gray level and contrast, and a plane of noise (docs/ridge_map.md); or "minutiae": the '
        "print's minutiae as directed marks, a peer's way (docs/protocol.md). The last two need a source of prints",
        choices=("noise", *CONDITION_CHANNELS),
        came_later=True,
    ),
    "data.ridge_filter": Field(
        RIDGE_FILTERS[0],
        'For "ridges": filter that makes the map from a print. "narrow" draws smooth ridges; "wide" keeps the minutiae '
        "by which another matcher than NIST's knows the finger (docs/ridge_map.md)",
        choices=RIDGE_FILTERS,
        came_later=True,
    ),
    "data.warp_strength": Field(
        0.0,
        'For "ridges" and "minutiae": random movement and distortion of map and print together, like those between '
        "impressions of a finger; a factor on the spread of real impressions, 0: off",
        low=0.0,
        high=4.0,
        came_later=True,
    ),
    "data.noise_distribution": Field(
        "uniform",
        'Open in the paper; uniform noise is GIMP\'s "RGB noise" at full strength',
        choices=("uniform", "gaussian", "salt_and_pepper"),
    ),
    "data.noise_per": Field(
        "replica",
        "Open in the paper; with the same noise for all replicas, they would all be the same pair",
        choices=("replica", "person"),
    ),
    "data.noise_seed": _seed("noise images of the training pairs"),
    "data.shuffle_seed": _seed("order of the pairs, and of the classifier's prints"),
    "data.jitter": Field(
        0, "pixels by which a pair is enlarged before a random crop; 30 in pix2pix", low=0, high=1024
    ),
    "data.feeding": Field(
        "tfdata",
        '"tfdata" loads batches ahead on the host; "device" keeps all examples on every device as bytes and '
        "gathers batches there. The batches are identical",
        choices=("tfdata", "device"),
        is_free=True,
        came_later=True,
    ),
    "generator.form": Field(
        "isola",
        '"isola": the paper\'s figure 2; "ronneberger": its section 3.1, for norm "none", without dropout',
        choices=("isola", "ronneberger"),
    ),
    "generator.num_levels": Field(
        0,
        "How often Isola's form halves the image. The edges are mirrored up to a multiple of 2**num_levels, and the "
        "output is cropped back. 0: as often as possible with at most a quarter added to a side, 8 for 256 pixels",
        low=0,
        high=12,
        came_later=True,
    ),
    "generator.upsampling": Field(
        "transposed",
        'convolutions; "resize" (nearest neighbor, then a 3x3 convolution) is against checkerboards',
        choices=("transposed", "resize"),
        came_later=True,
    ),
    "generator.num_features": Field(
        64,
        "features of the outermost level; doubled from level to level, in Isola's form up to 8 times",
        low=1,
    ),
    "generator.norm": Field(
        "batch", 'norms; "batch_per_example" has the statistics of each example', choices=_NORMS
    ),
    # A norm over one pixel divides by the root of this number.
    "generator.norm_epsilon": _variant(1e-5, "added to the variance", low=1e-12),
    "generator.norm_momentum": _variant(
        0.9, "of the running statistics: new = momentum * old + (1 - momentum) * batch", low=0.0, high=0.9999
    ),
    "generator.bottleneck_norm": _variant(
        False, "norm of the innermost, 1x1 map; for a batch of one only its bias has an effect"
    ),
    "generator.conv_bias": _variant(
        "auto",
        'which convolutions have a bias; "auto": those without a norm that has one, "last": only the last one',
        choices=_CONV_BIASES,
    ),
    "generator.leaky_slope": _variant(0.2, "slope of the encoder's LeakyReLU", low=0.0, high=1.0),
    "generator.skip": _variant(
        "before_activation",
        "what a skip connection carries",
        choices=("before_activation", "after_activation"),
    ),
    "generator.dropout_rate": Field(
        0.5,
        "share of the features that are set to 0; in synthesis too, unless `synthesis.deterministic`",
        low=0.0,
        high=0.999,
    ),
    "generator.dropout_outputs": Field(
        (4, 8, 16),
        "Decoder outputs with dropout, by their size relative to the bottleneck map: in pixels if that is 1x1",
        low=1,
        item_type=int,
    ),
    "generator.dtype": Field("float32", "data type in which it computes", choices=_DTYPES),
    "discriminator.receptive_field": Field(
        70, "side in pixels of the patch that each logit judges", choices=(1, 16, 34, 70, 142, 286)
    ),
    "discriminator.num_features": Field(
        64, "features of the first convolution; doubled from one to the next, up to 8 times", low=1
    ),
    "discriminator.norm": Field("batch", "as the generator's", choices=_NORMS),
    "discriminator.norm_epsilon": _variant(1e-5, "added to the variance", low=1e-12),
    "discriminator.norm_momentum": _variant(0.9, "of the running statistics", low=0.0, high=0.9999),
    "discriminator.conv_bias": _variant("auto", "as the generator's", choices=_CONV_BIASES),
    "discriminator.leaky_slope": _variant(0.2, "slope of its LeakyReLU", low=0.0, high=1.0),
    "discriminator.dtype": Field("float32", "data type in which it computes", choices=_DTYPES),
    "global_batch_size": Field(1, "pairs per step, over all devices", low=1),
    "num_epochs": Field(160, "passes over the set; 160 is the last in figure 3", low=1, may_train_on=True),
    "num_decay_epochs": Field(
        0, "linear decay of the rate to 0 over the last n epochs", low=0, may_train_on=True
    ),
    "gan_objective": Field(
        "vanilla",
        "loss of both networks on logits: cross-entropy, squares, or hinge",
        choices=("vanilla", "lsgan", "hinge"),
    ),
    "update_order": _variant(
        "discriminator_first",
        '"discriminator_first": G learns from D after its update; "simultaneous": before it; "old_activations": before '
        "it, with a gradient that goes back through D's new weights",
        choices=("discriminator_first", "simultaneous", "old_activations"),
    ),
    "lambda_l1": Field(100.0, "weight of the L1 loss in the generator's loss", low=0.0),
    "l1_blur": Field(
        0.0,
        "standard deviation, in pixels, of the Gaussian that blurs both images for the L1 loss; 0: no blur",
        low=0.0,
        came_later=True,
    ),
    "ridge_loss_weight": Field(
        0.0,
        'For "ridges": weight of the ridge loss in the generator\'s loss: 1 minus the correlation of the '
        "print's ridges with its map's",
        low=0.0,
        came_later=True,
    ),
    "discriminator_loss_weight": Field(0.5, "factor on D's loss; 0.5 in the reference PyTorch code", low=0.0),
    "learning_rate": Field(2e-4, "of Adam, for both networks", low=0.0, may_train_on=True),
    "adam_beta1": Field(0.5, "decay of the mean of the gradients", low=0.0, high=0.9999),
    "adam_beta2": Field(0.999, "decay of the mean of their squares", low=0.0, high=0.999999),
    # With 0, a gradient of zero would give 0 / 0.
    "adam_eps": Field(1e-8, "added to the root of the mean of the squares", low=1e-30),
    "ema_decay": Field(
        0.0, "decay of the moving average of the generator's weights; 0: no average", low=0.0, high=0.999999
    ),
    "steps_per_dispatch": Field(
        1,
        "steps per call of the compiled program; more of them keep a GPU busier and change roundings",
        low=1,
        came_later=True,
    ),
    "remat": Field(
        False,
        "recompute norms and activations for the gradients: less memory on a GPU, a little more time",
        came_later=True,
    ),
    "log_every_steps": Field(50, "steps per row of metrics.csv", low=1, may_train_on=True),
    "checkpoint_every_steps": Field(
        2000, "steps between checkpoints; 0: only one, at the end", low=0, may_train_on=True
    ),
    "keep_epochs": Field(
        (),
        "epochs whose checkpoints are never deleted, to draw from them later",
        low=1,
        item_type=int,
        may_train_on=True,
        came_later=True,
    ),
    "sample_epochs": Field(
        (2, 28, 160),
        "epochs after which a sample grid is drawn; those of figure 3",
        low=1,
        item_type=int,
        may_train_on=True,
    ),
    "num_samples": Field(5, "rows of a sample grid", low=0, may_train_on=True),
    "num_validation_pairs": Field(
        100,
        "For a folder of pairs with `val` or `test`: how many of these are measured after each of sample_epochs",
        low=0,
        is_free=True,
        came_later=True,
    ),
    "best_metric": Field(
        "l1_loss",
        "the checkpoint with the lowest value of this metric is kept, beside the last two",
        choices=("l1_loss", "generator_loss", "adversarial_loss", "ridge_loss"),
    ),
    "classifier.seed": _fallback_seed("value of each of the three below that is -1", "seed"),
    "classifier.weights_seed": _fallback_seed("its initial weights", "classifier.seed"),
    "classifier.dropout_seed": _fallback_seed("its dropout in training", "classifier.seed"),
    "classifier.augmentation_seed": _fallback_seed("its augmentation", "classifier.seed"),
    "classifier.width": Field(1.0, "factor on all feature counts; Chollet's is 1", low=0.01, high=4.0),
    "classifier.num_middle_blocks": Field(
        8, "blocks of three separable convolutions; Chollet's has 8", low=0, high=64
    ),
    "classifier.dropout_rate": Field(
        0.5, "before the last layer, as in Chollet 2017, section 4.4", low=0.0, high=0.999
    ),
    "classifier.batch_norm_momentum": Field(0.99, "of the running statistics", low=0.0, high=0.9999),
    "classifier.dtype": Field("float32", "data type in which it computes", choices=_DTYPES),
    "classifier.global_batch_size": Field(10, "prints per step, over all devices", low=1),
    "classifier.num_steps": Field(1000, "steps of the whole training", low=1, may_train_on=True),
    "classifier.learning_rate": Field(
        1e-3, "of Adam at the start; cosine decay to 0", low=0.0, may_train_on=True
    ),
    "classifier.weight_decay": Field(1e-4, "decoupled, as in AdamW", low=0.0),
    "classifier.label_smoothing": Field(
        0.0, "share of the target that is spread evenly over all persons", low=0.0, high=0.999
    ),
    "classifier.steps_per_dispatch": Field(1, "as `steps_per_dispatch`", low=1, came_later=True),
    "classifier.remat": Field(False, "as `remat`", came_later=True),
    "classifier.log_every_steps": Field(20, "steps per row of metrics.csv", low=1, may_train_on=True),
    "classifier.checkpoint_every_steps": Field(
        500, "steps between checkpoints; 0: only one, at the end", low=0, may_train_on=True
    ),
    "classifier.augmentation.rotation_degrees": Field(
        10.0, "uniform in +- this; prints are never mirrored", low=0.0, high=180.0
    ),
    "classifier.augmentation.translation": Field(
        0.05, "fraction of the image's side, uniform in +- this", low=0.0, high=0.5
    ),
    "classifier.augmentation.scaling": Field(0.05, "uniform in 1 +- this", low=0.0, high=0.9),
    "classifier.augmentation.contrast": Field(0.2, "factor uniform in 1 +- this", low=0.0, high=0.99),
    "classifier.augmentation.brightness": Field(
        0.1, "offset uniform in +- this, on the scale [-1, 1]", low=0.0, high=1.0
    ),
    "classifier.augmentation.noise_std": Field(
        0.05, "white Gaussian noise, on the scale [-1, 1]", low=0.0, high=1.0
    ),
    "synthesis.noise": Field(
        "training",
        "noise images of the training pairs, or ones that the generator never saw",
        choices=("training", "new"),
    ),
    "synthesis.deterministic": Field(
        False, "False keeps dropout at test time, as in Isola et al. section 3.1"
    ),
    "synthesis.use_running_average": Field(
        False, "False normalizes each image by its own statistics, as in Isola et al. section 3.1"
    ),
    "synthesis.use_ema": Field(False, "draw with the moving average of the weights"),
    "synthesis.batch_size": Field(
        16, "affects the speed, and about one pixel in 10,000 by one gray level", low=1, is_free=True
    ),
    "synthesis.seed": _seed("dropout in synthesis"),
    "synthesis.noise_seed": _fallback_seed("new noise", "synthesis.seed"),
    "evaluation.num_test_persons": Field(
        3, "Open in the paper which ones; the first n of the set by id", low=1
    ),
    "evaluation.std_over": Field(
        "persons",
        "Open in the paper. Over persons: each person's ten scores are averaged first",
        choices=("persons", "images"),
    ),
    "evaluation.std_ddof": Field(0, "the standard deviation divides by n minus this", choices=(0, 1)),
    "evaluation.num_unseen_persons": Field(
        5, "control: persons whom the classifier was not trained on", low=0
    ),
    "evaluation.batch_size": Field(16, "affects the speed, and scores only by rounding", low=1, is_free=True),
    "evaluation.measures": Field(
        # Later families are left out: another default would change the hash of every config.
        (
            *("similarity", "identity", "uniqueness", "leakage", "minutiae", "quality", "ridges"),
            *("checkerboard", "distribution", "pixels"),
        ),
        "families of measures that `launch.evaluate` computes",
        choices=MEASURE_FAMILIES,
        item_type=str,
        came_later=True,
    ),
    "evaluation.matchers": Field(
        ("nbis",),
        'Matchers of identity, uniqueness and leakage: "nbis" (MINDTCT and BOZORTH3) and '
        '"fingerprint_recognition" (of another kind). With two, the report shows where they disagree',
        choices=MATCHERS,
        item_type=str,
        came_later=True,
    ),
    "evaluation.num_gallery_fingers": Field(
        60,
        "Real fingers, with all their impressions, that prints are compared with. A false accept rate of 0.1% needs 78",
        low=2,
        came_later=True,
    ),
    "evaluation.num_epoch_replicas": Field(
        3, "prints per person that are evaluated for each epoch in keep_epochs", low=1, came_later=True
    ),
    "evaluation.num_resamples": Field(
        2000, "resamples of persons for the 95% interval of a threshold", low=100, came_later=True
    ),
}

# Notes on several fields of a group.
GROUP_NOTES = {
    "": "The paper leaves the training of the GAN open; Isola's defaults are assumed.",
    "classifier": "The paper leaves Xception's input size, initial weights, split and schedule open.",
}

# Former fields that had only this value. Config files may contain them, and a config's hash includes them, so that runs
# keep their names.
FORMER_FIELDS = {
    "generator.param_dtype": "float32",
    "discriminator.param_dtype": "float32",
    "classifier.param_dtype": "float32",
    "classifier.best_metric": "loss",
}

VARIANT_FIELDS = tuple(name for name, field in FIELDS.items() if field.is_variant)

# Files and folders; the code that opens one expands its `~`.
PATH_FIELDS = tuple(name for name, field in FIELDS.items() if field.is_path)

# The location of a print set: the fields of config.data that differ from machine to machine.
PLACE_FIELDS = tuple(name.removeprefix("data.") for name in PATH_FIELDS if name != "data.paired_dir")


def flatten_config(config: Mapping) -> dict[str, Any]:
    """Flatten nested fields to dotted names: "data.finger" -> value, with tuples for lists."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= {f"{name}.{inner}": leaf for inner, leaf in flatten_config(value).items()}
        else:
            flat[name] = tuple(value) if isinstance(value, list) else value
    return flat


def list_later_defaults() -> dict[str, Any]:
    """List the defaults of the fields that came later than some config files."""
    return {name: field.default for name, field in FIELDS.items() if field.came_later}


def is_at_later_default(name: str, value: Any) -> bool:
    """Return whether a field came later and has the value that is assumed for files without it."""
    return name in FIELDS and FIELDS[name].came_later and value == FIELDS[name].default


def describe_unknown(name: str) -> str:
    """Say that no field has this name, and which one may be meant."""
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"config.{name}: no such field" + (f"; did you mean config.{near[0]}?" if near else "")
