"""Owns how folders of prints of several sensors become two studies at one scale: more impressions, and new fingers."""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import impression_folder, preprocessing, print_loading
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import print_scale
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.recognition import print_sets
from fpgan_jax.evaluation.recognition.print_sets import PPI_RANGE, SetPlace
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import CONTROL, SYNTHETIC, PrintCollection
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.user_paths import expand_path

PPI = 500.0
COPY, STRANGER, PROCEDURAL = "control_copy", "control_stranger", "procedural"
# Names that sets of the user cannot have.
_RESERVED = ("all", "real", "real_held_out", "real_others", PROCEDURAL)
_CONTROL_PREFIX = "control_"
# Resolutions that differ by less are rounded forms of one.
_SAME_PPI = 1.01


class Posed(NamedTuple):
    """A folder of impressions of real fingers."""

    real: str  # name of the set of real prints that has these fingers
    place: SetPlace  # the folder, named after what made it


@dataclasses.dataclass(frozen=True)
class Request:
    """What is judged."""

    real: Sequence[SetPlace]  # fingers with several impressions, the first of which was enlarged
    more_impressions: Sequence[Posed] = ()  # of these fingers; folders of one name are judged together
    more_fingers: Sequence[SetPlace] = ()  # sets of new fingers
    num_fingers: int = 40  # of each real set, the first
    num_impressions: int = 3  # of each real finger, at most; at least 2
    num_synthetic: int = 4  # impressions of each synthetic finger, at most
    num_new_fingers: int = 48  # of each set of new fingers, at most
    num_procedural: int = 48  # fingers of the procedural renderer, as one more set; 0 for none
    num_training: int = 100  # training prints, and strangers', one a finger, as real prints of new fingers
    # To which sharper prints are reduced; 0 is the resolution of the first synthetic prints.
    max_ppi: float = 0.0


class Window(NamedTuple):
    """What all prints are brought to, so that a generator's small images are compared with real prints as small."""

    shape: tuple[int, int]  # (height, width) at 500 ppi
    max_ppi: float  # to which sharper prints are reduced before


class Print(NamedTuple):
    """A print, uint8 [height, width] in the studies' window, of a finger with an id in its own set."""

    finger: int
    filename: str
    image: np.ndarray


def parse_posed(places: Sequence[SetPlace], real: Sequence[str]) -> list[Posed]:
    """Split the folders of `--more_impressions`, written REAL:FOLDER, from the names of real sets.

    Raises:
      UserError: a folder has no real set in front, or an unknown one.
    """
    found = []
    for place in places:
        name, colon, folder = place.folder.partition(":")
        if not colon or name not in real:
            raise UserError(
                f"--more_impressions={place.name}={place.folder}: say whose fingers these are, as "
                f"{place.name}={real[0]}:FOLDER@PPI; --real has {', '.join(real)}"
            )
        found.append(Posed(name, place._replace(folder=expand_path(folder))))
    return found


def check_request(request: Request) -> None:
    """Check the names of the sets, and the resolutions given for their folders.

    Raises:
      UserError: a name is taken, or a folder's manifest gives another resolution.
    """
    sets = {
        "real": request.real,
        "more_impressions": [posed.place for posed in request.more_impressions],
        "more_fingers": request.more_fingers,
    }
    for flag, places in sets.items():
        names = [place.name for place in places]
        for name in names:
            if flag != "real" and (name in _RESERVED or name.startswith(_CONTROL_PREFIX)):
                raise UserError(f"--{flag}: {name!r} has a meaning of its own; give the set another name")
            if flag != "more_impressions" and names.count(name) > 1:
                raise UserError(f"--{flag}: two sets are called {name!r}")
    whose = [(posed.place.name, posed.real) for posed in request.more_impressions]
    for name, real in whose:
        if whose.count((name, real)) > 1:
            raise UserError(
                f"--more_impressions: two folders of {name!r} are of fingers of {real!r}; give one"
            )
    for flag, places in sets.items():
        for place in places:
            impression_folder.check_resolution(place.folder, place.ppi, f"--{flag}: {place.name}")


def find_window(request: Request) -> Window:
    """Find what all prints are brought to: the size and, unless another is asked for, the sharpness of the first ones.

    Raises:
      UserError: nothing is to be judged, the folder holds no print, or `max_ppi` is no resolution.
    """
    low, high = PPI_RANGE
    if request.max_ppi and not low <= request.max_ppi <= high:
        raise UserError(
            f"--max_ppi={request.max_ppi:g}: no resolution of prints; give pixels per inch from {low} to {high}, or 0"
        )
    places = [posed.place for posed in request.more_impressions] or list(request.more_fingers)
    flag = "more_impressions" if request.more_impressions else "more_fingers"
    if not places:
        raise UserError("--more_impressions, --more_fingers: give one at least, which is what is judged")
    image = impression_folder.read_folder(places[0].folder, f"--{flag}")[0].image
    return Window(_scale_shape(image.shape, places[0].ppi), request.max_ppi or max(places[0].ppi))


def _scale_shape(
    shape: Sequence[int], ppi: tuple[float, float], wanted: tuple[float, float] = (PPI, PPI)
) -> tuple[int, int]:
    """Scale (height, width, ...) to a resolution."""
    return max(1, round(shape[0] * wanted[0] / ppi[0])), max(1, round(shape[1] * wanted[1] / ppi[1]))


def _is_sharper(ppi: tuple[float, float], window: Window) -> bool:
    return max(ppi) > _SAME_PPI * window.max_ppi


def scale_to_window(image: np.ndarray, ppi: tuple[float, float], window: Window) -> np.ndarray:
    """Scale a print to 500 ppi, and crop it or pad it with white: uint8 [height, width, 1] to uint8 of the window."""
    size = _scale_shape(image.shape, ppi)
    if _is_sharper(ppi, window):
        down, across = (min(own, window.max_ppi) for own in ppi)
        image = preprocessing.resize(image, _scale_shape(image.shape, ppi, (down, across)), "lanczos")
    return preprocessing.place_centrally(preprocessing.resize(image, size, "bicubic"), window.shape)[..., 0]


@functools.lru_cache(maxsize=32)  # both studies have the real prints
def _load_folder(place: SetPlace, flag: str, window: Window) -> tuple[Print, ...]:
    """Load a folder's prints in order of finger and impression."""
    return tuple(
        Print(record.person, record.filename, scale_to_window(record.image, place.ppi, window))
        for record in print_sets.read_prints(place, flag)
    )


def _group(prints: Iterable[Print], num_impressions: int) -> list[list[Print]]:
    """Return the first impressions of each finger."""
    groups = itertools.groupby(prints, key=lambda one: one.finger)
    return [list(itertools.islice(group, num_impressions)) for _, group in groups]


def _load_real(request: Request, place: SetPlace, window: Window) -> list[list[Print]]:
    """Return the first impressions of the first fingers."""
    return _group(_load_folder(place, "real", window), request.num_impressions)[: request.num_fingers]


def _number(
    numbers: dict[tuple[str, int], int], set_name: str, prints: Iterable[Print], prefix: str = ""
) -> list[Print]:
    """Give the fingers of all sets numbers of their own, from 1, and put a prefix before the filenames."""
    return [
        Print(numbers.setdefault((set_name, one.finger), len(numbers) + 1), prefix + one.filename, one.image)
        for one in prints
    ]


def _collect(name: str, role: str, prints: Sequence[Print], description: str) -> PrintCollection:
    fingers, filenames, images = zip(*prints, strict=True)
    return PrintCollection(
        name, role, np.stack(images), np.array(fingers, np.int32), tuple(filenames), description
    )


def load_more_impressions(request: Request, window: Window) -> list[PrintCollection]:
    """Load the study of more impressions: the prints that were enlarged, other real impressions, and the synthetic.

    Returns:
      "real", "real_held_out", then each name of `more_impressions`, and the controls: a copy of the finger's own print,
      and another finger's.

    Raises:
      UserError: a folder cannot be read, or none of the synthetic prints is of a chosen finger.
    """
    numbers: dict[tuple[str, int], int] = {}
    sources: list[Print] = []
    held_out: list[Print] = []
    strangers: list[Print] = []
    chosen: dict[str, set[int]] = {}
    for place in request.real:
        groups = [group for group in _load_real(request, place, window) if len(group) > 1]
        if len(groups) < 2:
            raise UserError(f"--real={place.name}: {place.folder} has no two fingers with two impressions")
        chosen[place.name] = {group[0].finger for group in groups}
        numbered = [_number(numbers, place.name, group, f"{place.name}/") for group in groups]
        firsts = [group[0] for group in numbered]
        sources += firsts
        held_out += [one for group in numbered for one in group[1:]]
        # Prints of the next finger on the same sensor, so that only the finger differs.
        strangers += [
            own._replace(image=other.image)
            for own, other in zip(firsts, [*firsts[1:], firsts[0]], strict=True)
        ]
    collections = [
        _collect("real", print_collection.REFERENCE, sources, "the real prints that were enlarged"),
        _collect(
            "real_held_out", print_collection.HELD_OUT, held_out, "other real impressions of the same fingers"
        ),
    ]
    for name in dict.fromkeys(posed.place.name for posed in request.more_impressions):
        prints: list[Print] = []
        for posed in request.more_impressions:
            if posed.place.name != name:
                continue
            found = _load_folder(posed.place, "more_impressions", window)
            groups = _group((one for one in found if one.finger in chosen[posed.real]), request.num_synthetic)
            prints += _number(numbers, posed.real, itertools.chain(*groups), f"{posed.real}/")
        if not prints:
            raise UserError(
                f"--more_impressions={name}: none of its prints is of the first {request.num_fingers} fingers of --real"
            )
        collections.append(_collect(name, SYNTHETIC, prints, "more impressions"))
    copies = [one._replace(filename=f"copy/{one.filename}") for one in sources]
    others = [one._replace(filename=f"stranger/{one.filename}") for one in strangers]
    return [
        *collections,
        _collect(COPY, CONTROL, copies, "the print that was enlarged, as it is"),
        _collect(STRANGER, CONTROL, others, "a real print of another finger"),
    ]


def load_new_fingers(request: Request, config: ConfigDict, window: Window) -> list[PrintCollection]:
    """Load the study of new fingers: training prints and strangers', real fingers' impressions, and the synthetic.

    Returns:
      "real" (training prints, one a finger), "real_held_out" (real fingers of other sensors, several impressions each),
      "real_others" (unseen prints of the training's sensor), each set of `more_fingers`, "procedural", and the control:
      training prints as they are.

    Raises:
      UserError: a folder cannot be read, or nobody was held out of the training.
    """
    numbers: dict[tuple[str, int], int] = {}
    training = _load_sensor(print_loading.load_prints(config), config, request.num_training, window)
    persons = print_loading.list_strangers(config)
    if not persons:
        raise UserError(
            "config.data: the generator was trained on everybody, so what strangers' prints score is not known; set "
            "config.data.num_held_out_persons as in its training"
        )
    others = print_loading.load_prints(config, persons=persons, impressions=print_loading.EVERY)
    strangers = _load_sensor(others, config, request.num_training, window)
    impressions: list[Print] = []
    for place in request.real:
        groups = _load_real(request, place, window)
        impressions += _number(numbers, place.name, itertools.chain(*groups), f"{place.name}/")
    real = _number(numbers, "training", training)
    real_others = _number(numbers, "strangers", strangers)
    unseen = "prints of the training's sensor that it never saw"
    collections = [
        _collect("real", print_collection.REFERENCE, real, "prints that the generator was trained on"),
        _collect("real_held_out", print_collection.HELD_OUT, impressions, "real fingers of other sensors"),
        _collect("real_others", print_collection.POPULATION, real_others, unseen),
    ]
    for place in request.more_fingers:
        groups = _group(_load_folder(place, "more_fingers", window), request.num_synthetic)
        chosen = itertools.chain(*groups[: request.num_new_fingers])
        prints = _number(numbers, f"new {place.name}", chosen)
        collections.append(_collect(place.name, SYNTHETIC, prints, "new fingers"))
    if request.num_procedural:
        rendered = _render_fingers(request.num_procedural, request.num_synthetic, config.seed, window)
        prints = _number(numbers, "procedural", rendered)
        collections.append(_collect(PROCEDURAL, SYNTHETIC, prints, "fingers of the procedural renderer"))
    # With numbers of their own, as if they were new fingers.
    copies = _number(numbers, "copies", training, "copy/")
    return [*collections, _collect(COPY, CONTROL, copies, "training prints as they are")]


def _render_fingers(num_fingers: int, num_impressions: int, seed: int, window: Window) -> list[Print]:
    """Render new fingers without a generator, as `launch.make_prints` does, at 500 ppi."""
    prints = []
    with create_progress(num_fingers, "procedural fingers", "fingers") as progress:
        for finger in range(1, num_fingers + 1):
            images = print_sets.render_finger(seed, finger, num_impressions)
            for impression, image in enumerate(images, start=1):
                placed = scale_to_window(image[..., None], (PPI, PPI), window)
                prints.append(Print(finger, f"{finger:03d}_{impression:02d}.png", placed))
            progress.update()
    return prints


def _load_sensor(prints: PrintSet, config: ConfigDict, num_prints: int, window: Window) -> list[Print]:
    """Take prints of the training's sensor, one a finger, evenly spread."""
    _, first = np.unique(prints.persons, return_index=True)
    count = min(num_prints, len(first))
    places = first[np.arange(count) * len(first) // count]
    rows, columns = preprocessing.find_window(config.data)
    period = print_scale.find_sensor_period(config.data)
    if not period:
        raise UserError("config.data: nobody knows the scale of these prints; use prints of a known sensor")
    scaled = print_scale.scale_images(
        prints.images[places][:, rows, columns, 0],
        print_scale.PERIOD_AT_500_PPI / period,
        print_scale.find_stretch(config.data),
        margin=0,
    )

    def bring(image: np.ndarray) -> np.ndarray:
        if _is_sharper(print_scale.find_resolution(config.data), window):
            return scale_to_window(image, (PPI, PPI), window)
        return preprocessing.place_centrally(image, window.shape)[..., 0]

    return [
        Print(
            int(prints.persons[place]),
            prints.filenames[place],
            bring(image[..., None]),
        )
        for place, image in zip(places, scaled, strict=True)
    ]
