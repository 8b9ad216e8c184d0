"""The report's prints as values for its templates: person by person, the controls, and the worst cases."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.measures.leakage import MIRRORED
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.figures import encode_image, encode_noise
from fpgan_jax.evaluation.report.names import describe_collection, describe_measure, format_value, lower
from fpgan_jax.evaluation.study.findings import MatchRow
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
    find_role,
)

# A gray PNG takes up to a byte per pixel and a third more in the page, which should stay under 10 MB.
PIXEL_BUDGET = 6_000_000
SIDES = (144, 128, 112, 96, 80, 64)
# Prints per person and kind, if there is room for them at a good size; otherwise fewer.
STRIP_LENGTHS = (10, 6, 4, 2, 1)
_GOOD_SIDE = 96
NUM_WORST = 6
NUM_STRANGERS = 20
MAX_PERSONS = 60
_NUM_OPEN_PERSONS = 4


class Picture(NamedTuple):
    """An image of the page; width and height are the pixels that it takes there."""

    uri: str
    alt: str
    width: int
    height: int


class Print(NamedTuple):
    """A print with its noise above it, if that is known; `title` and `score` may be ""."""

    filename: str
    title: str
    score: str
    fails: bool
    picture: Picture
    noise: Picture | None


class Card(NamedTuple):
    """Prints of a person, or of all who have no real print; a strip has the title and the prints of one kind."""

    title: str
    strips: Sequence[tuple[str, Sequence[Print]]]
    is_open: bool
    passing: str = ""
    note: str = ""


class Case(NamedTuple):
    """A print with a bad value, or two with a bad score; then `compared_with` says whose the second is."""

    value: str
    filename: str
    compared_with: str
    pictures: Sequence[Picture]


class WorstCases(NamedTuple):
    """The worst cases by one criterion, the worst first."""

    title: str
    text: str
    cases: Sequence[Case]


class Album:
    """The prints that the page shows, at a size that keeps the page small.

    Attributes:
      results: where the prints are from.
      persons: the first of the reference's persons who have synthetic prints.
      num_persons_left_out: how many more there are.
      side: the longest side of a picture in pixels.
      num_per_strip: how many prints of a person and kind are shown.
      matcher: the first one; "" without comparisons.
      threshold: its laxest one as (title, score); None without thresholds.
      scores: (collection, filename) -> its best score against the real prints of the print's person.
    """

    def __init__(self, results: EvaluationResults):
        """Choose how large and how many the pictures can be."""
        self.results = results
        study = results.study
        synthetic = [c.persons for c in study.collections.values() if c.role == SYNTHETIC]
        known = np.concatenate([np.zeros(0, np.int32), *synthetic])
        persons = [person for person in dict.fromkeys(study.reference.persons.tolist()) if person in known]
        self.persons, self.num_persons_left_out = persons[:MAX_PERSONS], max(0, len(persons) - MAX_PERSONS)
        num_strangers = sum(min(NUM_STRANGERS, len(self._find_strangers(p))) for p in synthetic)
        self.side, self.num_per_strip = self._plan(num_strangers + 8 * NUM_WORST * len(synthetic))
        self._places = {
            name: {filename: place for place, filename in enumerate(collection.filenames)}
            for name, collection in study.collections.items()
        }
        self.matcher = results.matches[0].matcher if results.matches else ""
        self.threshold = next(iter(results.find_thresholds(self.matcher).items()), None)
        own = [row for row in results.matches if row.matcher == self.matcher and self._is_own_reference(row)]
        self.scores = {(row.probe_collection, row.probe_filename): row.score for row in _keep_best(own)}

    def _plan(self, num_others: int) -> tuple[int, int]:
        """Choose `side` and `num_per_strip`."""
        collections = self.results.study.collections
        # (prints of a person, pictures per print: half a picture more if the noise is shown)
        strips = [
            (int(np.sum(collection.persons == person)), 1.5 if name in self.results.noise_images else 1.0)
            for name, collection in collections.items()
            if collection.role in (REFERENCE, HELD_OUT, SYNTHETIC, BASELINE)
            for person in self.persons
        ]
        # Shown whatever the limit is: controls, strangers and worst cases.
        fixed = len(collections) + num_others
        for limit in STRIP_LENGTHS:
            number = fixed + sum(min(limit, count) * pictures for count, pictures in strips)
            fitting = [side for side in SIDES if number * side**2 <= PIXEL_BUDGET]
            if fitting and (fitting[0] >= _GOOD_SIDE or limit == STRIP_LENGTHS[-1]):
                return fitting[0], limit
        return SIDES[-1], STRIP_LENGTHS[-1]

    @property
    def is_cut(self) -> bool:
        """Whether a person has more prints of a kind than are shown."""
        return any(
            np.sum(collection.persons == person) > self.num_per_strip
            for collection in self.results.study.collections.values()
            if collection.role in (SYNTHETIC, BASELINE)
            for person in self.persons
        )

    def _is_own_reference(self, row: MatchRow) -> bool:
        return row.is_genuine and row.gallery_collection == self.results.study.reference.name

    def _find_strangers(self, persons: np.ndarray) -> np.ndarray:
        """Find the prints of persons without a print in the reference: int64 indices."""
        return np.flatnonzero(~np.isin(persons, self.results.study.reference.persons))

    def find_image(self, collection: str, filename: str) -> np.ndarray | None:
        """Find a print, also of a mirrored copy such as "real_mirrored": uint8 [height, width], None if unknown."""
        name = collection.removesuffix(MIRRORED)
        place = self._places.get(name, {}).get(filename)
        if place is None:
            return None
        image = self.results.study.collections[name].images[place]
        return np.ascontiguousarray(image[:, ::-1]) if name != collection else image

    def draw(self, image: np.ndarray, alt: str) -> Picture:
        """Draw a print: uint8 [height, width]."""
        height = round(self.side * image.shape[0] / image.shape[1])
        return Picture(encode_image(image, self.side), alt, self.side, height)

    def _draw_noise(self, noise: np.ndarray, alt: str) -> Picture:
        """Draw the center of a noise image, half as high as wide."""
        side = min(self.side, *noise.shape)
        top = (noise.shape[0] - side // 2) // 2
        uri = encode_noise(noise[top : top + side // 2], side)
        return Picture(uri, alt, self.side, self.side // 2)

    def _show(self, collection: PrintCollection, place: int, title: str = "") -> Print:
        filename = collection.filenames[place]
        noise = self.results.noise_images.get(collection.name)
        score = self.scores.get((collection.name, filename))
        alt = f"{describe_collection(collection.name)}, person {collection.persons[place]}: {filename}"
        return Print(
            filename,
            title,
            "" if score is None else format_value(score),
            score is not None and self.threshold is not None and score < self.threshold[1],
            self.draw(collection.images[place], alt),
            None if noise is None else self._draw_noise(noise[place], f"Noise of {filename}"),
        )

    def create_cards(self) -> list[Card]:
        """Show the prints person by person: real, altered and synthetic ones."""
        cards = [self._create_card(person, index) for index, person in enumerate(self.persons)]
        strips = []
        for collection in self.results.study.collections.values():
            places = self._find_strangers(collection.persons)[:NUM_STRANGERS].tolist()
            if collection.role == SYNTHETIC and places:
                shown = [self._show(collection, place) for place in places]
                strips.append((describe_collection(collection.name), shown))
        if strips:
            note = f"At most {NUM_STRANGERS} of each kind are shown."
            cards.append(Card("Persons without a real print here", strips, True, note=note))
        return cards

    def _create_card(self, person: int, index: int) -> Card:
        real, strips, passing = [], [], []
        for name, collection in self.results.study.collections.items():
            title = lower(describe_collection(name))
            places = np.flatnonzero(collection.persons == person).tolist()
            shown = places[: self.num_per_strip]
            if collection.role in (REFERENCE, HELD_OUT, BASELINE):
                real += [self._show(collection, place, title.removeprefix("altered ")) for place in shown]
            if collection.role != SYNTHETIC or not places:
                continue
            prints = [self._show(collection, place) for place in shown]
            strips.append((describe_collection(name), prints))
            keys = [(name, collection.filenames[place]) for place in places]
            own = [self.scores[key] for key in keys if key in self.scores]
            if self.threshold and own:
                passing.append(f"{title} {sum(score >= self.threshold[1] for score in own)} of {len(own)}")
        return Card(
            f"Person {person}",
            [("Real", real), *strips],
            index < _NUM_OPEN_PERSONS,
            f"match their own person: {', '.join(passing)}" if passing else "",
        )

    def draw_controls(self) -> list[tuple[PrintCollection, Picture]]:
        """Draw the first print of each control."""
        return [
            (
                collection,
                self.draw(collection.images[0], f"Control: {lower(describe_collection(collection.name))}"),
            )
            for collection in self.results.study.collections.values()
            if collection.role == CONTROL and len(collection)
        ]

    def find_worst_cases(self) -> list[WorstCases]:
        """Find the prints least like their own person, those most like another, and those of the lowest quality."""
        found = [*self._find_worst_matches(), *self._find_lowest_quality()]
        return [one for one in found if one.cases]

    def _find_worst_matches(self) -> Iterator[WorstCases]:
        study = self.results.study
        groups: dict[tuple[str, str], list[MatchRow]] = {}
        for matcher in dict.fromkeys(row.matcher for row in self.results.matches):
            for row in self.results.matches:
                if row.matcher == matcher and find_role(study, row.probe_collection) == SYNTHETIC:
                    groups.setdefault((matcher, row.probe_collection), []).append(row)
        for (matcher, name), rows in groups.items():
            title = describe_collection(name)
            yield WorstCases(
                f"{title}: least similar to their own person",
                f"The lowest scores by {matcher} against the person's real print.",
                self._compare(filter(self._is_own_reference, rows), lowest_first=True),
            )
            # The target of a print from training noise was its own person's print; new noise has no target.
            is_new = "new" in name
            yield WorstCases(
                f"{title}: most similar to a training print{'' if is_new else ' other than their own'}",
                f"The highest scores by {matcher} against the training prints and their mirrored copies.",
                self._compare(
                    row
                    for row in rows
                    if row.gallery_collection.removesuffix(MIRRORED) == study.reference.name
                    and (is_new or not self._is_own_reference(row))
                ),
            )
            yield WorstCases(
                f"{title}: most similar prints of two persons",
                f"The highest scores by {matcher} between synthetic prints of different persons.",
                self._compare(
                    row
                    for row in rows
                    if find_role(study, row.gallery_collection) == SYNTHETIC and not row.is_genuine
                ),
            )

    def _compare(self, rows: Iterable[MatchRow], *, lowest_first: bool = False) -> list[Case]:
        cases = []
        ordered = sorted(_keep_best(rows), key=lambda row: row.score if lowest_first else -row.score)
        for row in ordered[:NUM_WORST]:
            images = {
                f"Synthetic: {row.probe_filename}": self.find_image(row.probe_collection, row.probe_filename),
                f"Next to it: {row.gallery_filename}": self.find_image(
                    row.gallery_collection, row.gallery_filename
                ),
            }
            whose = f"person {row.gallery_person}" if row.gallery_person >= 0 else "an unknown person"
            mirrored = ", mirrored" if row.gallery_collection.endswith(MIRRORED) else ""
            pictures = [self.draw(image, alt) for alt, image in images.items() if image is not None]
            cases.append(
                Case(format_value(row.score), row.probe_filename, f"next to {whose}{mirrored}", pictures)
            )
        return cases

    def _find_lowest_quality(self) -> Iterator[WorstCases]:
        """Find the prints of the lowest quality, by the first measure of it that was taken."""
        rows, found = self.results.images, {row.measure for row in self.results.images}
        of_quality = (
            one.name for family in FAMILIES.values() for one in family.measures if one.has_worst_cases
        )
        measure = next((name for name in of_quality if name in found), "")
        for name, collection in self.results.study.collections.items():
            if not measure or collection.role != SYNTHETIC:
                continue
            own = [row for row in rows if (row.measure, row.collection) == (measure, name)]
            own.sort(key=lambda row: -math.inf if math.isnan(row.value) else row.value)
            cases = []
            for row in own[:NUM_WORST]:
                image = self.find_image(name, row.filename)
                if image is not None:
                    value = "no value" if math.isnan(row.value) else format_value(row.value)
                    pictures = [self.draw(image, f"Synthetic: {row.filename}")]
                    cases.append(Case(value, row.filename, "", pictures))
            title = f"{describe_collection(name)}: lowest {lower(describe_measure(measure))}"
            yield WorstCases(title, "The lowest values, after the prints that have none.", cases)


def _keep_best(rows: Iterable[MatchRow]) -> list[MatchRow]:
    """Keep the highest score of each probe."""
    best: dict[tuple[str, str], MatchRow] = {}
    for row in rows:
        key = (row.probe_collection, row.probe_filename)
        if math.isfinite(row.score) and (key not in best or row.score > best[key].score):
            best[key] = row
    return list(best.values())
