"""The wide table and the question of use, from numbers put in by hand."""

import dataclasses
import math

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.evaluation.enlargement import experiment, use
from fpgan_jax.evaluation.recognition.comparisons import FingerRow
from fpgan_jax.evaluation.report import protocol
from fpgan_jax.evaluation.study.findings import Findings, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import (
    CONTROL,
    HELD_OUT,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
    Study,
)
from fpgan_jax.tables.csv_rows import write_rows

ROLES = {
    "real": REFERENCE,
    "real_held_out": HELD_OUT,
    "ours": SYNTHETIC,
    "peer": SYNTHETIC,
    "control_copy": CONTROL,
}


def create_study():
    made = {
        name: PrintCollection(
            name, role, np.zeros((2, 2, 2), np.uint8), np.array([1, 2]), (f"{name}1", f"{name}2")
        )
        for name, role in ROLES.items()
    }
    return Study(made, test_size.get_config().evaluation)


def row(measure, collection, value, unit="fraction"):
    return MeasureRow("family", measure, collection, value, math.nan, math.nan, 3, 3, unit)


def create_table(*rows, matches=(), kind=protocol.MORE_IMPRESSIONS):
    numbers = protocol.arrange(create_study(), Findings(rows, [], matches))
    return protocol.create_wide_table(numbers, kind, protocol.list_questions(["nbis"]), "name", "Title")


def find(table, beginning):
    (cells,) = [row for row in table.cells if row[1].startswith(beginning)]
    return dict(zip(table.header, cells, strict=True))


def test_sets_and_controls_stand_side_by_side_and_controls_have_no_answer():
    measure = "nbis_source_rate_at_far_0.001"
    values = {"ours": 0.98, "peer": 0.5, "control_copy": 1.0, "real_held_out": 0.9}
    cells = find(create_table(*(row(measure, *pair) for pair in values.items())), "Accepted by its source")
    assert cells["ours"] == "98%, FAR 0.1%: good" and cells["peer"] == "50%, FAR 0.1%: not reached"
    assert (cells["Copy"], cells["real prints"], cells["line"]) == ("100%, FAR 0.1%", "90%", "2")


def test_what_is_not_measured_says_why():
    cells = find(create_table(), "Accepted by its source")
    assert cells["ours"] == "not measured: nbis_source_rate_at_far_0.01 was not measured"
    assert cells["Copy"] == "\u2013"


def test_all_lines_are_numbered_and_in_order():
    kinds = (protocol.MORE_IMPRESSIONS, protocol.NEW_FINGERS)
    used = {kind: {int(cells[0]) for cells in create_table(kind=kind).cells} for kind in kinds}
    # Line 10 is another program's.
    assert used[protocol.MORE_IMPRESSIONS] == {1, 2, 3, 4, 5, 9, 11}
    assert used[protocol.NEW_FINGERS] == {4, 6, 7, 8, 9, 11}


def test_the_tail_of_two_fingers_scores_is_of_the_set_alone():
    def match(collection, persons, score):
        return MatchRow("nbis", collection, persons[0], "a", collection, persons[1], "b", score)

    matches = [match("ours", (1, 2), float(score)) for score in range(101)]
    matches += [match("ours", (1, 1), 500.0), match("real", (1, 2), 12.0)]
    cells = find(create_table(matches=matches, kind=protocol.NEW_FINGERS), "Score that 1% of pairs")
    assert cells["ours"] == "99, highest 100: not reached" and cells["real prints"] == "12"


@pytest.fixture
def results_csv(tmp_path):
    path = str(tmp_path / "results.csv")
    rates = {"real": 0.1, "augmentation": 0.5, "ours": 0.6, "peer": 0.51, "every_real_finger": 0.7}
    # Fingers and seeds differ, and the arms' differences a little between them: else there is no interval.
    wobble = {"ours": 0.01, "peer": -0.01}
    rows = [
        FingerRow(
            arm, seed, "all", finger, 6, rate + 0.02 * seed + wobble.get(arm, 0) * (finger - 1.5), 0.0, 0.1
        )
        for arm, rate in rates.items()
        for seed in range(3)
        for finger in range(4)
    ]
    write_rows(path, rows)
    return path


@pytest.mark.parametrize(("name", "expected"), [("ours", "good"), ("peer", "not reached")])
def test_use_is_what_an_arm_adds_to_augmentation(results_csv, name, expected):
    numbers = protocol.arrange(create_study(), Findings([]))
    table = protocol.create_wide_table(
        numbers, protocol.NEW_FINGERS, [use.create_question(results_csv)], "n", "t"
    )
    cells = find(table, "Use")
    assert cells[name].endswith(f": {expected}")
    assert cells[name].startswith("+10.0 points" if name == "ours" else "+1.0 points")
    assert cells["real prints"].startswith("+20.0 points")


def test_without_recognizers_use_says_how_to_get_them():
    found = use.create_question("").find(None, "ours")
    assert "launch.measure_recognition" in found.reason


def test_a_slow_matcher_judges_the_first_set_and_says_so_of_the_others():
    study = create_study()
    left = experiment._leave_out(list(study.collections.values()))
    assert [one.name for one in left] == ["real", "real_held_out", "ours"]
    few = dataclasses.replace(study, collections={one.name: one for one in left})
    rate = "fingerprint_recognition_rank_1"
    rows = [row(rate, "ours", 0.5), row(rate, "real", 1.0)]
    findings = Findings([dataclasses.replace(one, family="identity") for one in rows])
    found = experiment._explain_left_out(study, few, findings)
    assert [(one.collection, one.status) for one in found.measures] == [("peer", "refused")]
