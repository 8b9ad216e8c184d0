"""Minutiae's numbers, against counts by hand."""

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.evaluation.matcher import matching, nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, Template, ToolError
from fpgan_jax.evaluation.measures import minutiae
from fpgan_jax.evaluation.measures.family import Tools
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
    Study,
)
from tests.evaluation.measures.scored_study import prepare_unscaled


def create_minutiae(*rows):
    """Create minutiae from (x, y, degrees, is an ending)."""
    x, y, degrees, is_ending = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Minutiae(
        np.array(x, np.int32),
        np.array(y, np.int32),
        np.radians(np.array(degrees, float)),
        np.array(is_ending, bool),
        np.ones(len(x)),
    )


def test_turning_all_directions_by_an_eighth_is_45_degrees():
    counts = np.array([3, 0, 0, 0, 1, 0, 0, 0])
    assert minutiae.compute_circular_distance(counts, np.roll(counts, 1)) == pytest.approx(45)


def test_directions_next_to_each_other_across_zero_are_near():
    counts = np.zeros(32)
    counts[0] = 1
    assert minutiae.compute_circular_distance(counts, np.roll(counts, -1)) == pytest.approx(11.25)


def test_half_of_the_directions_turned_by_a_quarter_is_45_degrees():
    # Of two at 0 one goes to 90.
    assert minutiae.compute_circular_distance(
        np.array([2, 0, 0, 0]), np.array([1, 1, 0, 0])
    ) == pytest.approx(45)


def test_opposite_directions_are_180_degrees_apart():
    assert minutiae.compute_circular_distance(
        np.array([5, 0, 0, 0]), np.array([0, 0, 1, 0])
    ) == pytest.approx(180)


def test_circular_distance_against_the_best_of_all_cuts():
    # On a circle the distance is that of the line, cut where it costs least.
    rng = np.random.default_rng(0)
    first, second = rng.integers(1, 9, 12), rng.integers(1, 9, 12)
    shares = first / first.sum(), second / second.sum()
    cuts = [np.abs(np.cumsum(np.roll(shares[0] - shares[1], -cut))).sum() / 12 * 360 for cut in range(12)]
    assert minutiae.compute_circular_distance(first, second) == pytest.approx(min(cuts))


def test_total_variation_by_hand():
    assert minutiae.compute_total_variation(np.array([1, 1, 2]), np.array([3, 0, 0])) == pytest.approx(0.75)


def test_clark_evans_of_a_square_lattice_by_hand():
    x, y = (part.ravel() for part in np.mgrid[:10, :10] * 2)
    # 2 apart, where by chance it is 1 and, for the edge of 80, (0.0514 + 0.0041) * 80 / 100 more.
    assert minutiae.compute_clark_evans_ratio(x, y, (20, 20)) == pytest.approx(2 / 1.0444)


@pytest.mark.parametrize("num_points", [20, 40, 100])
def test_clark_evans_of_chance_is_one(num_points):
    rng = np.random.default_rng(0)
    ratios = [
        minutiae.compute_clark_evans_ratio(*(rng.random((2, num_points)) * [[150], [200]]), (150, 200))
        for _ in range(300)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_clark_evans_of_one_point_is_not_a_number():
    assert np.isnan(minutiae.compute_clark_evans_ratio(np.array([1]), np.array([1]), (2, 5)))


FOUR = create_minutiae((10, 10, 0, True), (50, 10, 90, True), (10, 50, 180, False), (50, 50, 270, False))


class ListedTool:
    """Finds each print's minutiae in a list, by its first pixel."""

    name = "nbis"

    def __init__(self, found):
        self._found = found

    def extract(self, image):
        return Template(self._found[int(image[0, 0])], None)


# Persons 1, 2 and 3 are the reference; of person 1's synthetic print two minutiae are kept, one came, two went.
FOUND = [
    FOUR,
    FOUR,
    FOUR,
    create_minutiae((11, 10, 0, True), (50, 11, 90, True), (70, 70, 0, False)),
    create_minutiae(),
    FOUR,
]


def measure(monkeypatch, found, collections):
    """Measure name=(role, places among the found, persons): {(measure, collection): row}."""

    matching._templates.clear()
    monkeypatch.setattr(minutiae, "prepare_prints", prepare_unscaled)
    images = np.arange(len(found), dtype=np.uint8)[:, None, None] * np.ones((1, 148, 148), np.uint8)
    settings = test_size.get_config().evaluation
    settings.num_resamples = 100
    made = {
        name: PrintCollection(
            name, role, images[places], np.array(persons, np.int32), tuple(map(str, places))
        )
        for name, (role, places, persons) in collections.items()
    }
    tools = Tools(None, {"nbis": Matcher(ListedTool(found), num_workers=0)})
    rows = minutiae.measure(Study(made, settings), tools).measures
    return {(row.measure, row.collection): row for row in rows}


@pytest.fixture
def rows(monkeypatch):
    return measure(
        monkeypatch,
        FOUND,
        {
            "real": (REFERENCE, [0, 1, 2], [1, 2, 3]),
            "synthetic_new": (SYNTHETIC, [3, 4], [1, 2]),
            "altered_easy": (BASELINE, [5], [9]),
        },
    )


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("minutiae_count", 1.5),
        # Two of three; the print without minutiae has no share.
        ("ending_share", 2 / 3),
        ("ending_bifurcation_ratio", 2),
        # The reference's are a quarter each at 0, 90, 180, 270; these are 2/3 at 0 and 1/3 at 90. What is too much
        # goes 1/4 from 0 to 270, 1/6 from 0 to 180, and 1/12 from 90 to 180.
        ("direction_distance", 90 / 4 + 180 / 6 + 90 / 12),
    ],
)
def test_measures_by_hand(rows, measure, value):
    assert rows[measure, "synthetic_new"].value == pytest.approx(value)


def test_position_distance_by_hand(rows):
    # Within the margin of 24 pixels 100 are left, in cells of 25: the reference's are in columns 0 and 1, and those
    # in the margin count as the edge's. Places 10 and 50 are cells 0 and 1, and 70 is cell 1 too.
    # Reference: a quarter each in (0, 0), (0, 1), (1, 0), (1, 1). Synthetic: a third each in (0, 0), (0, 1), (1, 1).
    assert rows["position_distance", "synthetic_new"].value == pytest.approx(0.25)


def test_a_copy_is_at_no_distance_whoever_is_left_out(monkeypatch):
    found = [create_minutiae((30, 40, 11.25 * k, True), (60, 90, 90 + 22.5 * k, False)) for k in range(4)] * 2
    rows = measure(
        monkeypatch,
        found,
        {
            "real": (REFERENCE, [0, 1, 2, 3], [1, 2, 3, 4]),
            "control_exact_copy": (CONTROL, [4, 5, 6, 7], [1, 2, 3, 4]),
        },
    )
    for name in ("direction_distance", "position_distance"):
        row = rows[name, "control_exact_copy"]
        assert row.value == 0 and np.isnan(row.low) and "changes nothing" in row.note


def test_strangers_are_compared_with_all_reference_prints(rows):
    # FOUR, as each reference print.
    row = rows["direction_distance", "altered_easy"]
    assert row.value == pytest.approx(0)
    assert "from all reference prints" in row.note


# Ten minutiae spread over the print, none where another could be taken for it.
TEN = create_minutiae(
    *((30, 30, 0, True), (100, 35, 45, True), (60, 60, 90, False), (30, 90, 135, True), (105, 95, 180, True)),
    *(
        (65, 110, 225, False),
        (80, 20, 270, True),
        (45, 115, 315, True),
        (110, 65, 22.5, False),
        (25, 60, 67.5, True),
    ),
)


def turn(found, degrees, shift):
    """Turn minutiae from +x towards the top, about the middle of 148 pixels, and shift them."""
    angle = np.radians(degrees)
    x, y = found.x - 74.0, 74.0 - found.y
    turned_x, turned_y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    return found._replace(
        x=np.rint(turned_x + 74 + shift[0]).astype(np.int32),
        y=np.rint(74 - turned_y + shift[1]).astype(np.int32),
        direction=(found.direction + angle) % (2 * np.pi),
    )


def leave_out(found, *places):
    return found._replace(**{name: np.delete(values, places) for name, values in found._asdict().items()})


def add(found, *rows):
    other = create_minutiae(*rows)
    both = zip(found, other, strict=True)
    return Minutiae(*(np.concatenate(columns) for columns in both))


def test_minutiae_added_and_lost_are_counted_once_the_prints_are_aligned(monkeypatch):
    # A turned and shifted print that lacks one of ten minutiae and has two more, both within the others.
    changed = turn(leave_out(add(TEN, (85, 75, 300, True), (60, 85, 0, True)), 2), 25, (9, -14))
    rows = measure(
        monkeypatch,
        [TEN, TEN, changed, create_minutiae()],
        {"real": (REFERENCE, [0, 1], [1, 2]), "synthetic_new": (SYNTHETIC, [2, 3], [1, 2])},
    )
    expected = {"added_per_print": 2, "lost_per_print": 1, "added_share": 2 / 11, "lost_share": 1 / 10}
    found = {name: rows[name, "synthetic_new"].value for name in expected}
    assert found == pytest.approx(expected)
    # A print without minutiae has nothing in common with any.
    row = rows["added_share", "synthetic_new"]
    assert row.num_images == 1 and "1 prints have too little in common" in row.note


def test_with_several_impressions_real_prints_stand_beside_it(monkeypatch):
    # A held-out impression lacks one; the synthetic print is a copy of the training's, and compared with it alone.
    rows = measure(
        monkeypatch,
        [TEN, leave_out(TEN, 2), TEN],
        {
            "real": (REFERENCE, [0], [1]),
            "real_held_out": (HELD_OUT, [1], [1]),
            "synthetic_training": (SYNTHETIC, [2], [1]),
        },
    )
    shares = {
        name: rows["added_share", name].value for name in ("real", "real_held_out", "synthetic_training")
    }
    assert shares == pytest.approx({"real": 0.1, "real_held_out": 0, "synthetic_training": 0.1})


def test_a_person_without_a_reference_print_has_lost_nothing(rows):
    assert rows["lost_per_print", "altered_easy"].status == "refused"
    assert rows["minutiae_count", "altered_easy"].value == 4


def test_the_reference_is_not_compared_with_itself(rows):
    assert {rows[name, "real"].status for name in ("direction_distance", "added_share")} == {"refused"}


def test_without_mindtct_one_row_says_why(monkeypatch):
    def find():
        raise ToolError("nothing is installed")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find)
    (row,) = minutiae.FAMILY.compute(None, Tools(None)).measures
    assert (row.family, row.status, row.note) == ("minutiae", "skipped", "nothing is installed")
