"""The matcher's own error rates, from an archive of prints and scores made by hand."""

import csv

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import calibration
from fpgan_jax.evaluation.matcher import matching, nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.statistics.verification import Impostors
from tests.evaluation.measures.scored_study import TableTool, prepare_unscaled

# Persons 1 to 3 with prints 11 to 13; altered prints 21 and 22 of person 1, 23 of person 2, 31 of person 3.
PRINTS = {
    "real": ([11, 12, 13], [1, 2, 3]),
    "altered_easy": ([21, 22, 23], [1, 1, 2]),
    "altered_medium": ([], []),
    "altered_hard": ([31], [3]),
}
SCORES = {(21, 11): 90, (22, 11): 4, (22, 12): 6, (23, 12): 70, (31, 13): 50}


def create_prints(values, persons):
    images = np.zeros((len(values), 32, 32, 1), np.uint8)
    images[:] = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    images[:, -1, -1] = 0  # a print of one gray is refused
    names = tuple(f"{person}_{value}.BMP" for value, person in zip(values, persons, strict=True))
    return PrintSet(images, np.array(persons, np.int32), names)


@pytest.fixture
def config(tmp_path, monkeypatch):
    config = test_size.get_config()
    config.data.image_size = 32
    sets = {split: create_prints(*PRINTS[split]) for split in SPLITS}
    path = tmp_path / "prints.npz"
    print_archive.write_archive(path, sets, config.data)
    config.data.source, config.data.npz_file = "npz", str(path)
    matching._templates.clear()
    monkeypatch.setattr(calibration, "prepare_prints", prepare_unscaled)
    return config


@pytest.fixture
def found(config, tmp_path):
    matcher = Matcher(TableTool(SCORES), num_workers=0)
    return calibration.calibrate_matcher(config, str(tmp_path / "scores.csv"), matcher=matcher)


def test_genuine_scores_are_with_the_print_that_each_was_made_from(found):
    assert sorted(found.genuine_scores) == [4, 50, 70, 90]


def test_impostor_scores_are_with_every_other_print(found):
    assert sorted(found.impostors.scores) == [1, 1, 1, 1, 1, 1, 1, 6]


def test_rank_1_is_the_share_that_finds_its_own(found):
    assert found.rank_1 == 0.75


def test_every_comparison_is_written(found, tmp_path):
    with open(tmp_path / "scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {row["probe_collection"] for row in rows} == {"altered_easy", "altered_hard"}


def test_the_first_persons_take_part(config, tmp_path):
    matcher = Matcher(TableTool(SCORES), num_workers=0)
    found = calibration.calibrate_matcher(config, str(tmp_path / "s.csv"), max_persons=2, matcher=matcher)
    assert (found.num_persons, found.num_altered) == (2, 3)


def test_what_is_printed(found):
    lines = calibration.describe_calibration(found).splitlines()
    # At 4 one impostor of eight passes, and no genuine one fails; at 6 the rates are as near, and the lower counts.
    place = lines.index(
        "impostors: 8 comparisons of 3 pairs of persons, altered impressions against other persons' real prints"
    )
    assert lines[place + 1] == "  1% score above 5.65, the highest 6"
    assert lines[place + 2].startswith("  EER 6.25% [0.00%, ") and lines[place + 2].endswith("] at score 4")
    assert lines[place + 3] == "  TAR at FAR 1.0%: refused, 300 pairs of persons are needed"
    # The three real prints score 1 against one another, and all genuine ones more.
    place = lines.index(
        "impostors: 3 comparisons of 3 pairs of persons, real prints against one another, which are more alike"
    )
    # None of 3 persons: 1 - 0.025^(1/3).
    assert lines[place + 2].startswith("  EER 0.00% [0.00%, 70.76%] at score ")
    assert "genuine: 4 comparisons, median score 60 (5% below 10.9, 5% above 87)" in lines
    assert "each genuine one is of one of 4 altered impressions and the scan that it was made of" in lines
    assert "rank-1 75.00%" in lines


def test_one_person_is_too_few(config, tmp_path):
    with pytest.raises(UserError, match="1 persons have a real print"):
        calibration.calibrate_matcher(config, str(tmp_path / "s.csv"), max_persons=1)


def test_impressions_of_one_finger_are_matched_with_one_another(tmp_path, config):
    # Two impressions of fingers 1 and 2, one of finger 3.
    sets = {split: create_prints([], []) for split in SPLITS}
    sets["real"] = create_prints([11, 12, 21, 22, 31], [1, 1, 2, 2, 3])
    path = tmp_path / "impressions.npz"
    print_archive.write_archive(path, sets, config.data)
    config.data.npz_file = str(path)
    scores = {(11, 12): 40, (21, 22): 60, (31, 31): 0, (12, 22): 7}
    matcher = Matcher(TableTool(scores), num_workers=0)
    found = calibration.calibrate_matcher(config, str(tmp_path / "s.csv"), matcher=matcher)
    assert (found.num_persons, found.num_prints, found.failure_to_enroll) == (3, 5, 0.2)
    assert sorted(found.genuine_scores) == [40, 60]
    assert sorted(found.unaltered_impostors.scores) == [1] * 7 + [7]
    assert found.unaltered_impostors.count_pairs() == 3
    assert "rank-1" not in calibration.describe_calibration(found)


def create_calibration(num_altered):
    """Create 400 impostor comparisons of 3 fingers, all at 1, and genuine ones at 5."""
    persons = np.tile([[1, 2], [1, 3], [2, 3], [1, 2]], (100, 1))
    impostors = Impostors(np.ones(400), persons)
    return calibration.Calibration(
        "nbis",
        3,
        9,
        num_altered,
        np.full(9, 5.0),
        np.repeat([1, 2, 3], 3),
        impostors,
        impostors,
        1.0,
        0.0,
        9.0,
        1.0,
    )


def test_a_rate_of_few_fingers_is_theirs_alone_and_of_copies_refused():
    of_impressions = calibration.describe_calibration(create_calibration(0)).splitlines()
    assert of_impressions[-2:] == [
        "  TAR 100.00% at FAR 1.0%, from score 2, of these persons; for others 300 pairs of persons are needed",
        "  TAR at FAR 0.1%: refused, 3,000 pairs of persons are needed",
    ]
    of_copies = calibration.describe_calibration(create_calibration(9))
    assert (
        "TAR at FAR 1.0%: refused, 300 pairs of persons are needed" in of_copies
        and "of these" not in of_copies
    )


def test_altered_prints_are_needed(tmp_path, config):
    sets = {split: create_prints(*PRINTS[split if split == "real" else "altered_medium"]) for split in SPLITS}
    path = tmp_path / "real_only.npz"
    print_archive.write_archive(path, sets, config.data)
    config.data.npz_file = str(path)
    with pytest.raises(UserError, match="no second impressions"):
        calibration.calibrate_matcher(config, str(tmp_path / "s.csv"))


def test_a_missing_matcher_is_told(config, tmp_path, monkeypatch):
    def find():
        raise ToolError("nothing is installed")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find)
    with pytest.raises(UserError, match="nothing is installed"):
        calibration.calibrate_matcher(config, str(tmp_path / "s.csv"))
