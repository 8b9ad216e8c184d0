"""How far impressions are apart, against what was done to them."""

import dataclasses

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.evaluation.matcher import matching, nist_tools
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, Template, ToolError
from fpgan_jax.evaluation.measures import variation
from fpgan_jax.evaluation.measures.family import Tools
from tests.evaluation.measures.scored_study import (
    HELD_OUT,
    REFERENCE,
    SYNTHETIC,
    create_study,
    prepare_unscaled,
)

FINGER = np.random.default_rng(3).uniform(40, 260, (25, 2))
DIRECTIONS = np.random.default_rng(4).uniform(0, 2 * np.pi, 25)


def impress(degrees, shift, kept=25):
    """Return a finger's minutiae, turned about (150, 150) from +x towards the bottom, then shifted along x."""
    turned = (FINGER - 150) @ rotation(degrees).T + 150 + [shift, 0]
    directions = (DIRECTIONS - np.radians(degrees)) % (2 * np.pi)
    x, y = turned[:kept].T
    return Minutiae(x, y, directions[:kept], np.ones(kept, bool), np.ones(kept))


def rotation(degrees):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def test_a_turn_a_shift_and_a_part_by_hand():
    turn, shift, residual, mated, overlap = variation.describe_difference(impress(0, 0), impress(8, 30))
    middle = FINGER.mean(0) - 150
    assert turn == pytest.approx(8)
    assert shift == pytest.approx(np.linalg.norm(rotation(8) @ middle + [30, 0] - middle))
    assert residual == pytest.approx(0, abs=1e-6) and (mated, overlap) == (1, 1)


def test_with_few_common_minutiae_there_is_no_number():
    assert np.isnan(variation.describe_difference(impress(0, 0), impress(0, 0, kept=7))).all()


@pytest.mark.parametrize(("others", "distance"), [([1, 2, 3, 4], 0), ([3, 4, 5, 6], 0.5), ([9], 1)])
def test_ks_distance_by_hand(others, distance):
    assert variation.compute_ks_distance(np.array([1, 2, 3, 4]), np.array(others)) == distance


class Tool:
    """Finds what was put into a print by its first pixel: turned by so many degrees; all score 100 but of 99."""

    name = "nbis"

    def extract(self, image):
        return Template(impress(int(image[0, 0]), 0), int(image[0, 0]))

    def compare(self, first, second):
        return 0.0 if 99 in (first.handle, second.handle) else 100.0


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.setattr(variation, "prepare_prints", prepare_unscaled)
    monkeypatch.setattr(variation, "_measure_gray", lambda image: float(image[0, 0]))

    def run(**collections):
        tools = Tools(test_size.get_config().data, {"nbis": matching.Matcher(Tool(), num_workers=0)})
        found = variation.measure(create_study(**collections), tools)
        return {(row.collection, row.measure): row for row in found.measures}, found.images

    return run


def test_real_prints_are_compared_with_the_fingers_others_and_synthetic_ones_with_one_another(measure):
    rows, images = measure(
        real=(REFERENCE, [0, 0, 0], [1, 2, 3]),
        real_held_out=(HELD_OUT, [4, 8, 6], [1, 1, 2]),
        drawn=(SYNTHETIC, [0, 2, 0, 3, 50], [1, 1, 2, 2, 3]),
    )
    turns = {(row.collection, row.filename): row.value for row in images if row.measure == "impression_turn"}
    # Finger 1 has 0, 4 and 8; finger 2 has 0 and 6; finger 3 has one.
    expected = {"real_0": 6, "real_1": 6, "real_2": np.nan, "real_held_out_0": 4, "real_held_out_1": 6}
    for filename, turn in expected.items():
        collection = filename.rpartition("_")[0]
        assert turns[collection, filename] == pytest.approx(turn, nan_ok=True)
    drawn = rows["drawn", "impression_turn"]
    assert (drawn.value, drawn.num_persons) == (pytest.approx(2.5), 2)
    assert rows["drawn", "impression_grey_difference"].value == pytest.approx(2.5)
    # Real pairs are turned by 4, 4, 8 and 6: all drawn ones, by 2 and 3, by less.
    assert rows["drawn", "impression_turn_ks"].value == 1
    assert rows["real", "impression_turn_ks"].status == "refused"


def test_pairs_that_the_matcher_does_not_accept_are_left_out_and_counted(measure, monkeypatch):
    monkeypatch.setattr("fpgan_jax.evaluation.statistics.verification.count_needed_impostors", lambda rate: 1)
    compare = variation.compare_with_gallery
    monkeypatch.setattr(
        variation,
        "compare_with_gallery",
        lambda *parts: dataclasses.replace(compare(*parts), thresholds={0.01: 50}),
    )
    rows, _ = measure(real=(REFERENCE, [0, 4], [1, 1]), drawn=(SYNTHETIC, [0, 2, 99], [1, 1, 1]))
    drawn = rows["drawn", "impression_turn"]
    assert (drawn.value, drawn.num_images) == (pytest.approx(2), 2)
    assert "2 pairs of one finger left out" in drawn.note


def test_without_a_matcher_there_is_one_row_that_says_so(monkeypatch):
    def find():
        raise ToolError("nothing is installed")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find)
    study = create_study(real=(REFERENCE, [0], [1]))
    (row,) = variation.FAMILY.compute(study, Tools(test_size.get_config().data)).measures
    assert (row.family, row.status, row.note) == ("variation", "skipped", "nothing is installed")
