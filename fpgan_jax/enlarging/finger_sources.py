"""Owns the fingers whose impressions are drawn: those of given prints, or new ones.

A finger is one print, on a canvas that is larger than the images where the print shows more, so that ridges from
beyond the image's edge can move in. Does not move them (`data/ridges/impressions.py`) or check that new fingers are new
(`refusal.py`).
"""

import itertools
import math
import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.derived import image_shape
from fpgan_jax.config.fields import FIELDS
from fpgan_jax.data import impression_folder, preprocessing, print_loading
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.procedural import new_fingers
from fpgan_jax.data.ridges import print_scale, ridge_map
from fpgan_jax.data.ridges.core import measure_core_offset
from fpgan_jax.data.ridges.distortion import find_square_shape
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path

NEW, TRAINING, HELD_OUT = WORDS = "new", "training", "held_out"
# New fingers have numbers that no finger of the usual data sets has.
FIRST_NEW = 100_001
MAX_NEW = 899_999
# Ridge periods on every side of the image: more than twice the usual shift of a finger.
_MARGIN = 5
# Prints that show which part of a finger a sensor sees.
_NUM_PLACED = 100


class Finger(NamedTuple):
    """A finger of a source."""

    number: int  # its id
    name: str  # what its files' names begin with
    source: str  # the file of its print, or `new:SEED:NUMBER` for a new finger


class FingerSource(Protocol):
    """Fingers, and the print of each."""

    fingers: tuple[Finger, ...]
    window: tuple[slice, slice]  # of the canvas within a scanner's frame
    is_new: bool  # whether nobody has them, so that they touch a sensor where and how others' prints do
    period: float  # ridge period of the canvas, pixels
    stretch: float  # width over height that a square of skin has on the canvas
    content_hash: str  # of what the fingers are made of

    def load_print(self, source: str) -> np.ndarray:
        """Return the print of a `Finger.source` on its canvas, uint8 [canvas height, canvas width], ridges dark."""
        ...


class GivenPrints:
    """The first print of each of the first `num_fingers` fingers in a set, on the canvas of a config."""

    is_new = False

    def __init__(self, prints: PrintSet, num_fingers: int | None, data_config: ConfigDict):
        """Choose the fingers; None is all.

        Raises:
          UserError: there are fewer.
        """
        _, first = np.unique(prints.persons, return_index=True)
        if num_fingers is not None and num_fingers > len(first):
            raise UserError(f"--num_identities={num_fingers}: there are prints of {len(first)} fingers")
        first = first[:num_fingers]
        chosen = PrintSet(
            prints.images[first], prints.persons[first], tuple(prints.filenames[i] for i in first)
        )
        self.fingers = tuple(
            Finger(int(number), _name_finger(int(number), name), name)
            for number, name in zip(chosen.persons, chosen.filenames, strict=True)
        )
        self.window = preprocessing.find_window(data_config)
        self.period = print_scale.find_sensor_period(data_config)
        self.stretch = print_scale.find_stretch(data_config)
        self.content_hash = chosen.data_hash
        self._images = dict(zip(chosen.filenames, chosen.images[..., 0], strict=True))

    def load_print(self, source: str) -> np.ndarray:
        """Return a finger's print."""
        return self._images[source]


class NewFingers:
    """New fingers, in square pixels, as the sensor of the training prints would show them."""

    is_new = True
    window = ridge_map.WHOLE
    stretch = 1.0

    def __init__(self, num_fingers: int, seed: int, data_config: ConfigDict, training_prints: PrintSet):
        """Number the fingers; each is grown when its print is loaded. The training prints show what the sensor sees.

        Raises:
          UserError: the number is not from 1 to `MAX_NEW`.
        """
        if not 1 <= num_fingers <= MAX_NEW:
            raise UserError(f"--num_identities={num_fingers}: must be from 1 to {MAX_NEW} new fingers")
        self._seed = seed
        self.fingers = tuple(itertools.islice(self.list_candidates(), num_fingers))
        self.period = print_scale.find_sensor_period(data_config)
        # Rounded, so that machines that round otherwise place fingers in the same rows.
        self._core_offset = round(find_usual_core(training_prints, data_config), 2)
        self.content_hash = f"{NEW}:{seed}:{new_fingers.VERSION}:{self._core_offset}"
        self._shape = find_canvas_shape(data_config)

    def list_candidates(self) -> Iterator[Finger]:
        """Yield new fingers in order, also those after `fingers`."""
        for number in range(1, MAX_NEW + 1):
            name = FIRST_NEW - 1 + number
            yield Finger(name, f"{name:06d}", f"{NEW}:{self._seed}:{number}")

    def load_whole_print(self, source: str) -> np.ndarray:
        """Grow a finger: uint8 [height, width] at 500 pixels per inch, ridges up to the edges."""
        return self._grow(source).usual

    def load_print(self, source: str) -> np.ndarray:
        """Grow a finger and print it on its canvas, whose middle row is that of the sensor's usual impression."""
        finger = self._grow(source)
        image = np.rint(255 - finger.contact * (255 - finger.image.astype(np.float32))).astype(np.uint8)
        core = finger.center[0] - new_fingers.CORE_ABOVE_CENTER
        middle = round(core - self._core_offset * print_scale.PERIOD_AT_500_PPI)
        above, below = middle, len(image) - middle
        image = np.pad(image, ((max(below - above, 0), max(above - below, 0)), (0, 0)), constant_values=255)
        factor = self.period / print_scale.PERIOD_AT_500_PPI
        (scaled,) = print_scale.scale_images(image[None], factor, margin=0)
        return preprocessing.place_centrally(scaled[..., None], self._shape)[..., 0]

    @staticmethod
    def _grow(source: str) -> new_fingers.NewFinger:
        _, seed, number = source.split(":")
        return new_fingers.create_new_finger(int(seed), int(number))


def find_usual_core(prints: PrintSet, data_config: ConfigDict) -> float:
    """Find how far below the middle of the contact a sensor's prints usually have their core: ridge periods, median."""
    rows, columns = preprocessing.find_window(data_config)
    images = prints.images[prints.list_sample(_NUM_PLACED)][:, rows, columns, 0]
    square = print_scale.scale_images(images, 1.0, print_scale.find_stretch(data_config), margin=0)
    period = print_scale.find_sensor_period(data_config)
    offsets = [measure_core_offset(image, period)[0] for image in square]
    known = [offset for offset in offsets if not math.isnan(offset)]
    return float(np.median(known)) if known else 0.0


def find_canvas_shape(data_config: ConfigDict) -> tuple[int, int]:
    """Find the (height, width) in square pixels that shows a config's images and a margin of ridges around them."""
    height, width = find_square_shape(image_shape(data_config)[:2], print_scale.find_stretch(data_config))
    margin = round(_MARGIN * print_scale.find_sensor_period(data_config))
    return height + 2 * margin, width + 2 * margin


def open_source(
    identities: str,
    num_fingers: int | None,
    config: ConfigDict,
    training_prints: PrintSet,
    *,
    seed: int = 0,
    sensor_ppi: float = 0.0,
) -> FingerSource:
    """Find the fingers that a user names.

    Args:
      identities: "new"; "training"; "held_out", the prints of persons held out of training; a folder of
        `<finger>_<impression>.png`; or a file of `launch.make_pairs --npz`.
      num_fingers: the first fingers; None is all.
      config: the checkpoint's.
      training_prints: of the checkpoint, all of one sensor.
      seed: of new fingers.
      sensor_ppi: of the prints in a folder.

    Raises:
      UserError: there are no such prints or too few, or a flag is missing.
    """
    if identities == NEW:
        if num_fingers is None:
            raise UserError("--num_identities: say how many new fingers")
        return NewFingers(num_fingers, seed, config.data, training_prints)
    config = config.copy_and_resolve_references()
    data = config.data
    canvas_shape = find_canvas_shape(data)
    persons = None
    if identities == HELD_OUT:
        persons = print_loading.list_strangers(config)
        if not persons:
            raise UserError(
                f"--identities={HELD_OUT}: {print_loading.describe_origin(data)} keeps no person from the "
                "training; train with config.data.num_held_out_persons"
            )
    elif identities != TRAINING:
        data.update(persons=(), num_persons=num_fingers or 0, num_held_out_persons=0)
        if os.path.isfile(expand_path(identities)):
            data.update(source="npz", npz_file=identities)
        else:
            if not sensor_ppi:
                raise UserError(
                    "--identities_ppi: say how many pixels per inch the prints of --identities have"
                )
            if fault := FIELDS["data.sensor_ppi"].find_fault(sensor_ppi):
                raise UserError(f"--identities_ppi={sensor_ppi:g}: {fault}")
            ppi = 500 * print_scale.find_sensor_period(data) / print_scale.PERIOD_AT_500_PPI
            data.update(
                source="impressions", impressions_dir=identities, sensor_ppi=sensor_ppi, image_ppi=ppi
            )
    data.num_impressions = 1
    if data.sensor_ppi and data.source != "npz":
        # Prints of a known sensor keep their scale and are centered: a larger image shows more skin.
        data.image_size, data.image_width = canvas_shape
    try:
        prints = print_loading.load_prints(config, persons=persons)
    except UserError as error:
        # The user gave flags, not these fields.
        message = str(error).replace("config.data.sensor_ppi", "--identities_ppi")
        message = message.replace("config.data.num_persons", "--num_identities")
        for field in ("config.data.impressions_dir", "config.data.npz_file"):
            message = message.replace(field, "--identities")
        raise UserError(message) from error
    return GivenPrints(prints, num_fingers, data)


def _name_finger(number: int, filename: str) -> str:
    """Name a finger as its own files do, so that new impressions can be put beside them."""
    if impression_folder.parse_filename(filename):
        return filename.rpartition("_")[0]
    return f"{number:03d}"
