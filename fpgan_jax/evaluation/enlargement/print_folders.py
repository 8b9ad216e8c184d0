"""Owns how folders of prints of several sensors become two studies at one scale: more impressions, and new fingers.

Does not measure (`experiment.py`), and makes no posed controls (`posed_controls.py`).
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from fpgan_jax.data import impression_folder, preprocessing, print_loading
from fpgan_jax.data.impression_folder import parse_filename
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import SIZES, create_impression
from fpgan_jax.data.ridges.print_scale import (
    PERIOD_AT_500_PPI,
    find_sensor_period,
    find_stretch,
    scale_images,
)
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.recognition.print_sets import SetPlace
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.user_paths import expand_path

PPI = 500.0
COPY, STRANGER, PROCEDURAL = "control_copy", "control_stranger", "procedural"
_PROCEDURAL_SIZE = "241x298"
# Names of collections that are not the user's.
_RESERVED = ("all", "real", "real_held_out", "real_others", PROCEDURAL)
_CONTROL_PREFIX = "control_"


class Posed(NamedTuple):
    """Impressions of real fingers.

    Attributes:
      name: who made them.
      real: name of the set of real prints whose fingers they are.
      place: of the folder.
    """

    name: str
    real: str
    place: SetPlace


@dataclasses.dataclass(frozen=True)
class Request:
    """What is judged.

    Attributes:
      real: sets of real fingers with several impressions; a finger's first is the print that was enlarged.
      more_impressions: further impressions of these fingers; several of one name are judged together.
      more_fingers: new fingers.
      num_fingers: of each real set, the first so many.
      num_impressions: of each real finger, at least 2.
      num_synthetic: impressions of each synthetic finger, at most.
      num_new_fingers: of each set of new fingers, at most.
      num_procedural: fingers of the procedural renderer, as one more set; 0 is none.
      num_training: training prints, and as many strangers', that new fingers are compared with, one a finger.
    """

    real: Sequence[SetPlace]
    more_impressions: Sequence[Posed] = ()
    more_fingers: Sequence[SetPlace] = ()
    num_fingers: int = 40
    num_impressions: int = 3
    num_synthetic: int = 4
    num_new_fingers: int = 48
    num_procedural: int = 48
    num_training: int = 100


class Print(NamedTuple):
    """A print of a folder.

    Attributes:
      finger: its id in the folder.
      filename: without the folder.
      image: uint8 [height, width], in the studies' window.
    """

    finger: int
    filename: str
    image: np.ndarray


class Numbering:
    """Numbers fingers of several sets apart, from 1."""

    def __init__(self):
        """Nobody has a number yet."""
        self._numbers: dict[tuple[str, int], int] = {}

    def find(self, set_name: str, finger: int) -> int:
        """Return a finger's number, a new one where it has none."""
        return self._numbers.setdefault((set_name, finger), len(self._numbers) + 1)


def parse_posed(places: Sequence[SetPlace], real: Iterable[str]) -> list[Posed]:
    """Divide the folders of `--more_impressions`, each written REAL:FOLDER, from the sets that they are of.

    Args:
      places: as `print_sets.parse_places` reads them.
      real: names of the sets of real prints.

    Returns:
      The same, with the sets.

    Raises:
      UserError: a folder has no set in front of it, or one that is not there.
    """
    real = list(real)
    found = []
    for place in places:
        name, colon, folder = place.folder.partition(":")
        if not colon or name not in real:
            raise UserError(
                f"--more_impressions={place.name}={place.folder}: say whose fingers these are, as "
                f"{place.name}={real[0]}:FOLDER@PPI; --real has {', '.join(real)}"
            )
        found.append(Posed(place.name, name, place._replace(folder=expand_path(folder))))
    return found


def check_request(request: Request) -> None:
    """Check that sets are told apart by their names, and that folders have the resolution that is given for them.

    Raises:
      UserError: a name is taken, or a folder's manifest says another resolution.
    """
    names = {
        "real": [place.name for place in request.real],
        "more_impressions": [posed.name for posed in request.more_impressions],
        "more_fingers": [place.name for place in request.more_fingers],
    }
    for flag, given in names.items():
        for name in given:
            if flag != "real" and (name in _RESERVED or name.startswith(_CONTROL_PREFIX)):
                raise UserError(f"--{flag}: {name!r} has a meaning of its own; give the set another name")
            if flag != "more_impressions" and given.count(name) > 1:
                raise UserError(f"--{flag}: two sets are called {name!r}")
    whose = [(posed.name, posed.real) for posed in request.more_impressions]
    for name, real in whose:
        if whose.count((name, real)) > 1:
            raise UserError(
                f"--more_impressions: two folders of {name!r} are of fingers of {real!r}; give one"
            )
    for flag, places in (
        ("real", request.real),
        ("more_impressions", [posed.place for posed in request.more_impressions]),
        ("more_fingers", request.more_fingers),
    ):
        for place in places:
            impression_folder.check_resolution(place.folder, place.ppi, f"--{flag}: {place.name}")


def find_window(request: Request) -> tuple[int, int]:
    """Find the (height, width) at 500 ppi that all prints are cut to: that of the first synthetic prints.

    Raises:
      UserError: nothing is to be judged, or the folder holds no print.
    """
    places = [posed.place for posed in request.more_impressions] or list(request.more_fingers)
    flag = "more_impressions" if request.more_impressions else "more_fingers"
    if not places:
        raise UserError("--more_impressions, --more_fingers: give one at least, which is what is judged")
    image = impression_folder.read_folder(places[0].folder, f"--{flag}")[0].image
    return tuple(round(side * PPI / ppi) for side, ppi in zip(image.shape[:2], places[0].ppi, strict=True))


@functools.lru_cache(maxsize=32)
def load_folder(place: SetPlace, flag: str, window: tuple[int, int]) -> tuple[Print, ...]:
    """Load a folder's prints at 500 ppi, cut to a window or filled up with white, in order of finger and impression.

    Args:
      place: of the folder.
      flag: that named it, for messages.
      window: (height, width).

    Returns:
      The prints.

    Raises:
      UserError: as of `impression_folder.read_folder`.
    """
    records = impression_folder.read_folder(place.folder, f"--{flag}")
    records.sort(key=lambda record: (record.person, parse_filename(record.filename).impression))
    return tuple(
        Print(record.person, record.filename, scale_to_window(record.image, place.ppi, window))
        for record in records
    )


def scale_to_window(image: np.ndarray, ppi: tuple[float, float], window: tuple[int, int]) -> np.ndarray:
    """Bring a print to 500 ppi and a window: uint8 [height, width, 1] and (down, across) to uint8 of the window."""
    height, width = (
        max(1, round(side * PPI / each)) for side, each in zip(image.shape[:2], ppi, strict=True)
    )
    scaled = Image.fromarray(image[..., 0]).resize((width, height), Image.Resampling.BICUBIC)
    return preprocessing.place_centrally(np.asarray(scaled)[..., None], window)[..., 0]


def choose(prints: Sequence[Print], num_fingers: int, num_impressions: int) -> list[list[Print]]:
    """Choose the first impressions of the first fingers: a list a finger."""
    groups = [list(group) for _, group in itertools.groupby(prints, key=lambda one: one.finger)]
    return [group[:num_impressions] for group in groups[:num_fingers]]


def load_more_impressions(request: Request, window: tuple[int, int]) -> list[PrintCollection]:
    """Load the study of more impressions: the prints that were enlarged, other real impressions, and the synthetic.

    Args:
      request: what is judged.
      window: (height, width) at 500 ppi.

    Returns:
      "real", "real_held_out", then each name of `more_impressions`, and the controls: a copy of the finger's own print,
      and another finger's.

    Raises:
      UserError: a folder is not as it must be, or none of the synthetic prints is of a finger that was chosen.
    """
    numbering = Numbering()
    sources: list[tuple[int, str, np.ndarray]] = []
    held_out: list[tuple[int, str, np.ndarray]] = []
    strangers: list[np.ndarray] = []
    chosen: dict[str, set[int]] = {}
    for place in request.real:
        groups = choose(load_folder(place, "real", window), request.num_fingers, request.num_impressions)
        groups = [group for group in groups if len(group) > 1]
        if len(groups) < 2:
            raise UserError(f"--real={place.name}: {place.folder} has no two fingers with two impressions")
        chosen[place.name] = {group[0].finger for group in groups}
        named = [
            [(numbering.find(place.name, p.finger), f"{place.name}/{p.filename}", p.image) for p in group]
            for group in groups
        ]
        sources += [group[0] for group in named]
        held_out += [one for group in named for one in group[1:]]
        # Of the same sensor, so that it is the finger that differs.
        strangers += [group[0][2] for group in (*named[1:], named[0])]
    collections = [
        _collect("real", print_collection.REFERENCE, sources, "the real prints that were enlarged"),
        _collect(
            "real_held_out", print_collection.HELD_OUT, held_out, "other real impressions of the same fingers"
        ),
    ]
    for name in dict.fromkeys(posed.name for posed in request.more_impressions):
        rows = []
        for posed in request.more_impressions:
            if posed.name != name:
                continue
            prints = [
                p
                for p in load_folder(posed.place, "more_impressions", window)
                if p.finger in chosen[posed.real]
            ]
            for group in choose(prints, len(prints), request.num_synthetic):
                rows += [
                    (numbering.find(posed.real, p.finger), f"{posed.real}/{p.filename}", p.image)
                    for p in group
                ]
        if not rows:
            raise UserError(
                f"--more_impressions={name}: none of its prints is of the first {request.num_fingers} fingers of --real"
            )
        collections.append(_collect(name, print_collection.SYNTHETIC, rows, "more impressions"))
    copies = [(number, f"copy/{name}", image) for number, name, image in sources]
    others = [
        (number, f"stranger/{name}", image)
        for (number, name, _), image in zip(sources, strangers, strict=True)
    ]
    return [
        *collections,
        _collect(COPY, print_collection.CONTROL, copies, "the print that was enlarged, as it is"),
        _collect(STRANGER, print_collection.CONTROL, others, "a real print of another finger"),
    ]


def load_new_fingers(request: Request, config: ConfigDict, window: tuple[int, int]) -> list[PrintCollection]:
    """Load the study of new fingers: training prints and strangers', real fingers' impressions, and the synthetic.

    Args:
      request: what is judged.
      config: of the training.
      window: (height, width) at 500 ppi.

    Returns:
      "real" (training prints, one a finger), "real_held_out" (real fingers of other sensors, each with several
      impressions), "real_others" (prints of the training's sensor that it never saw), each set of `more_fingers`, and
      as a control training prints as they are.

    Raises:
      UserError: a folder is not as it must be, or nobody was held out of the training.
    """
    numbering = Numbering()
    training = _load_sensor(print_loading.load_prints(config), config, request.num_training, window)
    others = print_loading.list_strangers(config)
    if not others:
        raise UserError(
            "config.data: the generator was trained on everybody, so what strangers' prints score is not known; set "
            "config.data.num_held_out_persons as in its training"
        )
    strangers = print_loading.load_prints(config, persons=others, impressions=print_loading.EVERY)
    strangers = _load_sensor(strangers, config, request.num_training, window)
    impressions = []
    for place in request.real:
        groups = choose(load_folder(place, "real", window), request.num_fingers, request.num_impressions)
        impressions += [
            (numbering.find(place.name, p.finger), f"{place.name}/{p.filename}", p.image)
            for group in groups
            for p in group
        ]

    def number(set_name: str, prints: Iterable[Print]) -> list[tuple[int, str, np.ndarray]]:
        return [(numbering.find(set_name, p.finger), p.filename, p.image) for p in prints]

    rows = number("training", training)
    collections = [
        _collect("real", print_collection.REFERENCE, rows, "prints that the generator was trained on"),
        _collect("real_held_out", print_collection.HELD_OUT, impressions, "real fingers of other sensors"),
        _collect(
            "real_others",
            print_collection.POPULATION,
            number("strangers", strangers),
            "prints of the training's sensor that it never saw",
        ),
    ]
    for place in request.more_fingers:
        groups = choose(
            load_folder(place, "more_fingers", window), request.num_new_fingers, request.num_synthetic
        )
        prints = [p for group in groups for p in group]
        collections.append(
            _collect(
                place.name, print_collection.SYNTHETIC, number(f"new {place.name}", prints), "new fingers"
            )
        )
    if request.num_procedural:
        prints = render_fingers(request.num_procedural, request.num_synthetic, config.seed, window)
        rows = number("procedural", prints)
        collections.append(
            _collect(PROCEDURAL, print_collection.SYNTHETIC, rows, "fingers of the procedural renderer")
        )
    # Under new numbers, as if they were new fingers.
    copies = number("copies", [p._replace(filename=f"copy/{p.filename}") for p in training])
    return [*collections, _collect(COPY, print_collection.CONTROL, copies, "training prints as they are")]


def render_fingers(num_fingers: int, num_impressions: int, seed: int, window: tuple[int, int]) -> list[Print]:
    """Render new fingers without a generator, as `launch.make_prints` does, at 500 ppi.

    Args:
      num_fingers: how many.
      num_impressions: of each.
      seed: of the fingers.
      window: (height, width).

    Returns:
      The prints, in order of finger and impression.
    """
    size = SIZES[_PROCEDURAL_SIZE]
    prints = []
    with create_progress(num_fingers, "procedural fingers", "fingers") as progress:
        for number in range(1, num_fingers + 1):
            finger = create_finger(seed, number)
            for impression in range(num_impressions):
                made = create_impression(finger, impression, size=_PROCEDURAL_SIZE)
                image = preprocessing.place_centrally(made[size.window][..., None], window)[..., 0]
                prints.append(Print(number, f"{number:03d}_{impression + 1:02d}.png", image))
            progress.update()
    return prints


def _load_sensor(
    prints: PrintSet, config: ConfigDict, num_prints: int, window: tuple[int, int]
) -> list[Print]:
    """Take prints of the training's sensor, one a finger, evenly spread."""
    _, first = np.unique(prints.persons, return_index=True)
    count = min(num_prints, len(first))
    places = first[np.arange(count) * len(first) // count]
    rows, columns = preprocessing.find_window(config.data)
    period = find_sensor_period(config.data)
    if not period:
        raise UserError("config.data: nobody knows the scale of these prints; use prints of a known sensor")
    scaled = scale_images(
        prints.images[places][:, rows, columns, 0],
        PERIOD_AT_500_PPI / period,
        find_stretch(config.data),
        margin=0,
    )
    return [
        Print(
            int(prints.persons[place]),
            prints.filenames[place],
            preprocessing.place_centrally(image[..., None], window)[..., 0],
        )
        for place, image in zip(places, scaled, strict=True)
    ]


def _collect(
    name: str, role: str, rows: Sequence[tuple[int, str, np.ndarray]], description: str
) -> PrintCollection:
    numbers, filenames, images = zip(*rows, strict=True)
    return PrintCollection(
        name, role, np.stack(images), np.array(numbers, np.int32), tuple(filenames), description
    )
