"""Owns the report's parts that show prints: person by person, the controls, and the worst cases.

Does not measure; the numbers under the pictures are rows'.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.measures.leakage import MIRRORED
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.figures import encode_image, encode_noise
from fpgan_jax.evaluation.report.html import Content, Element, create_details, create_element
from fpgan_jax.evaluation.report.names import describe_collection, describe_measure, format_value, lower
from fpgan_jax.evaluation.report.parts import create_section, find_thresholds
from fpgan_jax.evaluation.study.findings import ImageRow, MatchRow
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
    find_role,
)

E = create_element
# A grey PNG takes up to a byte a pixel and a third more in the page, which should stay under 10 MB.
PIXEL_BUDGET = 6_000_000
SIDES = (144, 128, 112, 96, 80, 64)
# Prints of a person and kind, if there is room for them at a good size; else fewer.
STRIP_LENGTHS = (10, 6, 4, 2, 1)
_GOOD_SIDE = 96
NUM_WORST = 6
NUM_STRANGERS = 20
MAX_PERSONS = 60
_NUM_OPEN_PERSONS = 4


class Gallery:
    """Prints ready for the page, each within its share of the page's size.

    Attributes:
      results: what they are from.
      persons: of the reference, the first who have synthetic prints.
      num_persons_left_out: how many more have.
      side: the longest side of a picture in pixels.
      num_a_strip: how many prints of a person and kind are shown.
    """

    def __init__(self, results: EvaluationResults):
        """Choose how large and how many the pictures can be.

        Args:
          results: all that may be shown.
        """
        self.results = results
        study = results.study
        synthetic = [c.persons for c in study.collections.values() if c.role == SYNTHETIC]
        known = np.concatenate([np.zeros(0, np.int32), *synthetic])
        persons = [person for person in dict.fromkeys(study.reference.persons.tolist()) if person in known]
        self.persons, self.num_persons_left_out = persons[:MAX_PERSONS], max(0, len(persons) - MAX_PERSONS)
        num_strangers = sum(min(NUM_STRANGERS, len(self.find_strangers(p))) for p in synthetic)
        self.side, self.num_a_strip = self._plan(num_strangers + 8 * NUM_WORST * len(synthetic))
        self._places = {
            name: {filename: place for place, filename in enumerate(collection.filenames)}
            for name, collection in study.collections.items()
        }

    def _plan(self, num_others: int) -> tuple[int, int]:
        collections = self.results.study.collections
        # (prints of a person, their pictures: half a one more where the noise is shown)
        strips = [
            (int(np.sum(collection.persons == person)), 1.5 if name in self.results.noise_images else 1.0)
            for name, collection in collections.items()
            if collection.role in (REFERENCE, HELD_OUT, SYNTHETIC, BASELINE)
            for person in self.persons
        ]
        # What is shown whatever the limit: the controls, strangers, and the worst cases.
        fixed = len(collections) + num_others
        for limit in STRIP_LENGTHS:
            number = fixed + sum(min(limit, count) * pictures for count, pictures in strips)
            fitting = [side for side in SIDES if number * side**2 <= PIXEL_BUDGET]
            if fitting and (fitting[0] >= _GOOD_SIDE or limit == STRIP_LENGTHS[-1]):
                return fitting[0], limit
        return SIDES[-1], STRIP_LENGTHS[-1]

    def find_strangers(self, persons: np.ndarray) -> np.ndarray:
        """Find the prints of persons of whom the reference has none: int64 places."""
        return np.flatnonzero(~np.isin(persons, self.results.study.reference.persons))

    def find_image(self, collection: str, filename: str) -> np.ndarray | None:
        """Find a print by its collection and name.

        Args:
          collection: of the study, or one of its mirrored copies such as "real_mirrored".
          filename: the print's.

        Returns:
          uint8 [height, width]; None for a collection or name that is not in the study.
        """
        name = collection.removesuffix(MIRRORED)
        place = self._places.get(name, {}).get(filename)
        if place is None:
            return None
        image = self.results.study.collections[name].images[place]
        return np.ascontiguousarray(image[:, ::-1]) if name != collection else image

    def create_image(self, image: np.ndarray, alt: str) -> Element:
        """Create a print's picture.

        Args:
          image: uint8 [height, width].
          alt: what it shows.

        Returns:
          An "img" element.
        """
        return E(
            "img",
            src=encode_image(image, self.side),
            alt=alt,
            width=str(self.side),
            height=str(round(self.side * image.shape[0] / image.shape[1])),
            loading="lazy",
            decoding="async",
        )


def create_persons(gallery: Gallery) -> Element | None:
    """Create the prints person by person: real, altered, and synthetic ones below their noise.

    Args:
      gallery: of the prints.

    Returns:
      The section; None without synthetic prints.
    """
    results = gallery.results
    scores, matcher, threshold = _find_own_scores(results)
    legend: list[Content] = ["What the generator was trained towards, and what it draws"]
    if scores:
        legend += [
            ": under each print its score of ",
            E("strong", matcher),
            " against the person's real print",
        ]
    legend.append(".")
    if threshold:
        legend.append(f" {format_value(threshold[1])} passes at {threshold[0]}; \u2715 marks what does not.")
    if results.noise_images:
        legend.append(" Above it stands the middle of its noise image, pixel by pixel.")
    collections = [c for c in results.study.collections.values() if c.role in (SYNTHETIC, BASELINE)]
    if any(
        np.sum(c.persons == person) > gallery.num_a_strip for c in collections for person in gallery.persons
    ):
        legend.append(f" Of each kind the first {gallery.num_a_strip} are shown.")
    if gallery.num_persons_left_out:
        legend.append(f" {gallery.num_persons_left_out} more persons are not shown.")
    cards = [
        _create_person(gallery, person, scores, threshold, is_open=number < _NUM_OPEN_PERSONS)
        for number, person in enumerate(gallery.persons)
    ]
    cards += _create_strangers(gallery, scores)
    return create_section("persons", "Person by person", E("p", legend), cards) if cards else None


def _create_strangers(gallery: Gallery, scores: dict[tuple[str, str], float]) -> Iterable[Element]:
    """Create a card of synthetic prints whose person has no real print here."""
    strips = []
    for collection in gallery.results.study.collections.values():
        places = gallery.find_strangers(collection.persons)
        if collection.role == SYNTHETIC and len(places):
            figures = [
                _create_print(gallery, collection, int(place), scores, None)
                for place in places[:NUM_STRANGERS]
            ]
            strips.append(_create_strip(describe_collection(collection.name), figures))
    if strips:
        name = E("span", "Of nobody who has a real print here", class_="name")
        note = E("p", f"The first {NUM_STRANGERS} of each kind at most.")
        yield create_details(name, note, strips, is_open=True, class_="person")


def _find_own_scores(
    results: EvaluationResults,
) -> tuple[dict[tuple[str, str], float], str, tuple[str, float] | None]:
    """Find each print's best score against its own person's real prints, by the first matcher."""
    if not results.matches:
        return {}, "", None
    matcher = results.matches[0].matcher
    scores: dict[tuple[str, str], float] = {}
    for row in results.matches:
        is_reference = row.gallery_collection == results.study.reference.name
        if row.matcher == matcher and is_reference and _is_own(row) and math.isfinite(row.score):
            key = (row.probe_collection, row.probe_filename)
            scores[key] = max(row.score, scores.get(key, -math.inf))
    thresholds = find_thresholds(results.measures, matcher)
    return scores, matcher, next(iter(thresholds.items()), None)


def _is_own(row: MatchRow) -> bool:
    return row.probe_person == row.gallery_person >= 0


def _create_person(
    gallery: Gallery,
    person: int,
    scores: dict[tuple[str, str], float],
    threshold: tuple[str, float] | None,
    *,
    is_open: bool,
) -> Element:
    collections = gallery.results.study.collections.values()
    places = {
        collection.name: np.flatnonzero(collection.persons == person)[: gallery.num_a_strip]
        for collection in collections
    }
    real = [
        _create_print(gallery, collection, int(place), scores, threshold, title)
        for collection in collections
        if collection.role in (REFERENCE, HELD_OUT, BASELINE)
        for title in [lower(describe_collection(collection.name)).removeprefix("altered ")]
        for place in places[collection.name]
    ]
    strips = [_create_strip("Real", real)]
    facts = []
    for collection in collections:
        if collection.role != SYNTHETIC or not len(places[collection.name]):
            continue
        title = describe_collection(collection.name)
        figures = [
            _create_print(gallery, collection, int(place), scores, threshold)
            for place in places[collection.name]
        ]
        strips.append(_create_strip(title, figures))
        names = [collection.filenames[place] for place in np.flatnonzero(collection.persons == person)]
        own = [scores[collection.name, name] for name in names if (collection.name, name) in scores]
        if threshold and own:
            facts.append(f"{lower(title)} {sum(score >= threshold[1] for score in own)} of {len(own)}")
    summary = [
        E("span", f"Person {person}", class_="name"),
        E("span", f"match their own: {', '.join(facts)}" if facts else None, class_="quiet"),
    ]
    return create_details(summary, strips, is_open=is_open, class_="person")


def _create_strip(title: str, figures: Sequence[Element]) -> Element:
    return E("div", E("h3", title), E("div", figures, class_="prints"), class_="strip")


def _create_print(
    gallery: Gallery,
    collection: PrintCollection,
    place: int,
    scores: dict[tuple[str, str], float],
    threshold: tuple[str, float] | None,
    title: str = "",
) -> Element:
    filename = collection.filenames[place]
    noise = gallery.results.noise_images.get(collection.name)
    score = scores.get((collection.name, filename))
    alt = f"{describe_collection(collection.name)}, person {int(collection.persons[place])}: {filename}"
    caption: list[Content] = [title]
    class_ = None
    if score is not None:
        caption.append(f" {format_value(score)}")
        if threshold is not None and score < threshold[1]:
            caption += [
                E("span", " \u2715", aria_hidden="true"),
                E("span", " does not pass", class_="unseen"),
            ]
            class_ = "fails"
    return E(
        "figure",
        _create_noise(gallery, noise[place], f"Noise of {filename}") if noise is not None else None,
        gallery.create_image(collection.images[place], alt),
        E("figcaption", caption, class_=class_) if title or score is not None else None,
        title=filename,
    )


def _create_noise(gallery: Gallery, noise: np.ndarray, alt: str) -> Element:
    side = min(gallery.side, *noise.shape)
    top = (noise.shape[0] - side // 2) // 2
    band = noise[top : top + side // 2]
    return E(
        "img",
        src=encode_noise(band, side),
        alt=alt,
        width=str(gallery.side),
        height=str(gallery.side // 2),
        loading="lazy",
        decoding="async",
        class_="noise",
    )


def create_control_pictures(gallery: Gallery) -> Element | None:
    """Create a picture of each control, of the first person.

    Args:
      gallery: of the prints.

    Returns:
      A "div" element; None without controls.
    """
    figures = [
        E(
            "figure",
            gallery.create_image(
                collection.images[0], f"Control: {lower(describe_collection(collection.name))}"
            ),
            E("figcaption", describe_collection(collection.name)),
            title=collection.description or None,
        )
        for collection in gallery.results.study.collections.values()
        if collection.role == CONTROL and len(collection)
    ]
    return E("div", figures, class_="prints controls") if figures else None


def create_worst(gallery: Gallery) -> Element | None:
    """Create the worst cases: least like their own, most like another's, lowest quality.

    Args:
      gallery: of the prints.

    Returns:
      The section; None without scores and values of quality.
    """
    results = gallery.results
    parts: list[Content] = []
    for matcher in dict.fromkeys(row.matcher for row in results.matches):
        rows = [
            row
            for row in results.matches
            if row.matcher == matcher and find_role(results.study, row.probe_collection) == SYNTHETIC
        ]
        for name in dict.fromkeys(row.probe_collection for row in rows):
            of_name = [row for row in rows if row.probe_collection == name]
            parts += _create_match_lists(gallery, of_name, name, matcher)
    parts += _create_value_lists(gallery)
    parts = [part for part in parts if part is not None]
    if not parts:
        return None
    return create_section(
        "worst",
        "Worst cases",
        E(
            "p",
            "Chosen by the numbers, not by eye: the prints that speak most against the generator, worst first.",
        ),
        parts,
    )


def _create_match_lists(
    gallery: Gallery, rows: Sequence[MatchRow], name: str, matcher: str
) -> Iterable[Element | None]:
    title = describe_collection(name)
    reference = gallery.results.study.reference.name
    own = [row for row in rows if _is_own(row) and row.gallery_collection == reference]
    yield _create_matches(
        gallery,
        sorted(_keep_best(own), key=lambda row: row.score),
        f"{title}: least like their own person",
        f"The lowest scores of {matcher} against the person's real print.",
    )
    # A print of training noise was trained towards its own person's print; one of new noise was not.
    is_new = "new" in name
    near = [
        row
        for row in rows
        if row.gallery_collection.removesuffix(MIRRORED) == reference
        and (is_new or not _is_own(row) or row.gallery_collection != reference)
    ]
    whose = "a training print" if is_new else "another training print than their own"
    yield _create_matches(
        gallery,
        sorted(_keep_best(near), key=lambda row: -row.score),
        f"{title}: nearest to {whose}",
        f"The highest scores of {matcher} against the training prints and their mirrored copies.",
    )
    twins = [
        row
        for row in rows
        if find_role(gallery.results.study, row.gallery_collection) == SYNTHETIC and not _is_own(row)
    ]
    yield _create_matches(
        gallery,
        sorted(_keep_best(twins), key=lambda row: -row.score),
        f"{title}: two persons, one print",
        f"The highest scores of {matcher} between synthetic prints of different persons.",
    )


def _keep_best(rows: Iterable[MatchRow]) -> list[MatchRow]:
    """Keep each probe's highest score."""
    best: dict[str, MatchRow] = {}
    for row in rows:
        if math.isfinite(row.score) and (
            row.probe_filename not in best or row.score > best[row.probe_filename].score
        ):
            best[row.probe_filename] = row
    return list(best.values())


def _create_matches(gallery: Gallery, rows: Sequence[MatchRow], title: str, text: str) -> Element | None:
    cases = []
    for row in rows[:NUM_WORST]:
        images = {
            f"Synthetic: {row.probe_filename}": gallery.find_image(row.probe_collection, row.probe_filename),
            f"Beside it: {row.gallery_filename}": gallery.find_image(
                row.gallery_collection, row.gallery_filename
            ),
        }
        mirrored = ", mirrored" if row.gallery_collection.endswith(MIRRORED) else ""
        whose = f"person {row.gallery_person}" if row.gallery_person >= 0 else "a person unknown"
        caption = [
            E("strong", format_value(row.score)),
            E("bdi", row.probe_filename, class_="file"),
            E("span", f"beside {whose}{mirrored}", class_="file"),
        ]
        pair = [gallery.create_image(image, alt) for alt, image in images.items() if image is not None]
        cases.append(E("figure", E("div", pair, class_="pair"), E("figcaption", caption)))
    return _create_list(title, text, cases)


def _create_value_lists(gallery: Gallery) -> Iterable[Element | None]:
    """Create the lists of the lowest quality, by the first measure of it that was taken."""
    results = gallery.results
    found = {row.measure for row in results.images}
    telling = (taken.name for family in FAMILIES.values() for taken in family.measures if taken.tells_quality)
    measure = next((name for name in telling if name in found), None)
    for name, collection in results.study.collections.items():
        if measure and collection.role == SYNTHETIC:
            rows = [row for row in results.images if (row.measure, row.collection) == (measure, name)]
            # A print that the measure finds no value for comes before all others.
            rows.sort(key=lambda row: -math.inf if math.isnan(row.value) else row.value)
            yield _create_values(gallery, rows[:NUM_WORST])


def _create_values(gallery: Gallery, rows: Sequence[ImageRow]) -> Element | None:
    if not rows:
        return None
    cases = []
    for row in rows:
        image = gallery.find_image(row.collection, row.filename)
        if image is not None:
            value = "no value" if math.isnan(row.value) else format_value(row.value)
            caption = [E("strong", value), E("bdi", row.filename, class_="file")]
            picture = gallery.create_image(image, f"Synthetic: {row.filename}")
            cases.append(E("figure", picture, E("figcaption", caption)))
    title = f"{describe_collection(rows[0].collection)}: lowest {lower(describe_measure(rows[0].measure))}"
    return _create_list(title, "The lowest values, and first the prints that have none.", cases)


def _create_list(title: str, text: str, cases: Sequence[Element]) -> Element | None:
    if not cases:
        return None
    return E("div", E("h3", title), E("p", text), E("div", cases, class_="cases"), class_="worst")
