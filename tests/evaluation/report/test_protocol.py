"""The protocol's answers, against numbers put in by hand."""

import dataclasses
import math

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.measures import leakage
from fpgan_jax.evaluation.report import protocol
from fpgan_jax.evaluation.study.findings import REFUSED, Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import (
    HELD_OUT,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
    Study,
)

NAN = math.nan


def create_study(drawn_persons=(1, 1, 2)):
    def create(name, role, persons):
        names = tuple(f"{name}_{number}" for number in range(len(persons)))
        return PrintCollection(name, role, np.zeros((len(persons), 2, 2), np.uint8), np.array(persons), names)

    collections = [
        create("real", REFERENCE, [1, 2]),
        create("real_held_out", HELD_OUT, [1, 2]),
        create("real_others", POPULATION, [3]),
        create("drawn", SYNTHETIC, list(drawn_persons)),
    ]
    return Study(
        {collection.name: collection for collection in collections}, test_size.get_config().evaluation
    )


def row(measure, collection, value, low=NAN, high=NAN, unit="fraction", **fields):
    return MeasureRow("family", measure, collection, value, low, high, 3, 3, unit, **fields)


def answer(study, *rows, images=()):
    """Return question's beginning -> (found, answer)."""
    matches = [MatchRow("nbis", "drawn", 1, "a", "real", 1, "b", 5.0)]
    table = protocol.create_table(study, Findings(rows, images, matches))
    return {cells[0]: (cells[2], cells[-1]) for cells in table.cells}


def find(answers, beginning):
    (found,) = [value for question, value in answers.items() if question.startswith(beginning)]
    return found


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.81, "good"), (0.76, "reached"), (0.72, "reached"), (0.71, "not reached")]
)
def test_acceptance_is_a_ratio_to_the_finger_s_real_impressions(rate, expected):
    measure = "nbis_match_rate_at_far_0.001"
    rows = (row(measure, "drawn", rate), row(measure, "real_held_out", 0.84), row(measure, "real", 0.9))
    found, said = find(answer(create_study(), *rows), "Accepted by another real impression")
    assert said == expected and found.startswith(f"{rate / 0.84:.2f}: ")


def test_without_another_real_impression_the_source_does_not_answer_in_its_place():
    study = create_study()
    study = dataclasses.replace(
        study, collections={name: one for name, one in study.collections.items() if one.role != HELD_OUT}
    )
    measures = ("nbis_match_rate_at_far_0.001", "added_share")
    rows = [row(measure, name, 0.3) for measure in measures for name in ("drawn", "real")]
    answers = answer(study, *rows)
    for beginning in ("Accepted by another real impression", "Minutiae added"):
        found, said = find(answers, beginning)
        assert (found, said) == (
            "\N{EN DASH}",
            "not measured: no other real impression was held out of the training",
        )


def test_where_the_strict_rate_is_refused_the_laxer_one_answers():
    strict, lax = (f"nbis_match_rate_at_far_{rate}" for rate in ("0.001", "0.01"))
    refused = row(strict, "drawn", NAN, status=REFUSED, note="too few")
    rows = (refused, row(lax, "drawn", 0.9), row(lax, "real_held_out", 1.0), row(lax, "real", 0.5))
    found, said = find(answer(create_study(), *rows), "Accepted by another real impression")
    assert said == "reached" and found.startswith("0.90: ") and found.endswith("FAR 1.0%")


def test_new_fingers_are_asked_other_questions_than_more_impressions():
    same, new = (set(answer(create_study(persons))) for persons in ((1, 1, 2), (7, 7, 8)))
    assert any(text.startswith("Accepted by another") for text in same - new)
    assert {text.split(" (")[0] for text in new - same} == {
        "Pairs of fingers that match",
        "Score that 1% of pairs of fingers exceed",
        "Pairs of one finger's impressions that match",
        "Leakage at FAR 1%, relative to strangers",
    }


def test_without_two_prints_of_a_finger_there_is_no_table():
    assert protocol.create_table(create_study((1, 2, -1, -1)), Findings([], [], [])) is None


@pytest.mark.parametrize(
    ("value", "low", "expected"), [(0.05, 0.0, "good"), (0.2, 0.05, "reached"), (0.3, 0.12, "not reached")]
)
def test_leakage_is_reached_where_its_interval_is_not_above_strangers(value, low, expected):
    measure = "nbis_leak_rate_at_far_0.01"
    rows = (row(measure, "drawn", value, low, 0.5), row(measure, "real_others", 0.06, 0.01, 0.11))
    assert find(answer(create_study((7, 7, 8)), *rows), "Leakage")[1] == expected


@pytest.mark.parametrize(
    ("median", "distance", "expected"), [(5.0, 0.2, "good"), (5.0, 0.4, "reached"), (9.9, 0.2, "not reached")]
)
def test_a_distribution_is_reached_by_its_median_and_good_by_its_distance(median, distance, expected):
    # Of real prints' 0 to 10, the middle four fifths are 1 to 9.
    images = [ImageRow("impression_turn", "real", 1, str(n), float(n)) for n in range(11)]
    images += [
        ImageRow("impression_turn", "drawn", 1, name, value)
        for name, value in (("a", 0.5), ("b", median), ("c", 60.0), ("d", NAN))
    ]
    rows = (row("impression_turn_ks", "drawn", distance, unit=""),)
    assert find(answer(create_study(), *rows, images=images), "Impression turn")[1] == expected


def test_what_was_refused_says_why():
    refused = row("kid", "drawn", NAN, status=REFUSED, note="too few persons")
    assert find(answer(create_study(), refused), "KID")[1] == "not measured: too few persons"


def test_a_measure_that_no_family_gave_says_so():
    assert find(answer(create_study()), "Recall")[1] == "not measured: recall was not measured"


def test_nfiq2_is_judged_by_its_distribution():
    images = [ImageRow("nfiq2", name, 1, str(n), float(n)) for name in ("real", "drawn") for n in range(10)]
    images += [ImageRow("nfiq2", "drawn", 1, str(n), 20.0) for n in range(3)]
    found, said = find(answer(create_study(), images=images), "NFIQ 2")
    # Three of thirteen are above all real ones.
    assert said == "reached" and found.startswith("KS 0.23")


def test_a_matcher_that_is_not_installed_is_the_reason_on_its_own_lines():
    (skipped,) = leakage.FAMILY.skip(ToolError("pip install it"), matcher="fingerprint_recognition").measures
    numbers = protocol.arrange(create_study(), Findings([skipped]))
    questions = protocol.list_questions(["nbis", "fingerprint_recognition"])
    table = protocol.create_wide_table(numbers, protocol.MORE_IMPRESSIONS, questions, "name", "Title")
    said = {cells[1]: cells[-1] for cells in table.cells}
    assert said["Accepted by its source (fingerprint_recognition)"] == "not measured: pip install it"
    assert said["Accepted by its source (nbis)"].endswith("nbis_source_rate_at_far_0.01 was not measured")


def test_leakage_without_an_interval_is_not_judged():
    measure = "nbis_leak_rate_at_far_0.01"
    rows = (row(measure, "drawn", 1.0), row(measure, "real_others", 0.0, 0.0, 0.1))
    found, said = find(answer(create_study((7, 7, 8)), *rows), "Leakage")
    assert found == "100%" and said == "not measured: there are too few fingers for an interval"
