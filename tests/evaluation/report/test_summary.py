"""The report's sentences, against rows made by hand."""

import dataclasses

import numpy as np
import pytest
from ml_collections import ConfigDict

from fpgan_jax.evaluation.controls import verdicts
from fpgan_jax.evaluation.controls.control_table import Verdict
from fpgan_jax.evaluation.experiments.utility_table import ResultRow
from fpgan_jax.evaluation.report import summary
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import REFUSED, SKIPPED, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

NAN = float("nan")
ROLES = {
    "real": print_collection.REFERENCE,
    "real_others": print_collection.POPULATION,
    "altered_easy": print_collection.BASELINE,
    "altered_hard": print_collection.BASELINE,
    "synthetic_training": print_collection.SYNTHETIC,
    "synthetic_new": print_collection.SYNTHETIC,
    "control_blurred": print_collection.CONTROL,
    "control_white_noise": print_collection.CONTROL,
    "control_mirrored": print_collection.CONTROL,
    "control_exact_copy": print_collection.CONTROL,
}


def create_study(measures=()):
    images, persons = np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.int32)
    prints = {name: PrintCollection(name, role, images, persons, ("a",)) for name, role in ROLES.items()}
    return Study(prints, ConfigDict({"measures": tuple(measures)}))


STUDY = create_study()


def create_row(
    measure,
    collection,
    value,
    low=NAN,
    high=NAN,
    *,
    family="identity",
    unit="fraction",
    better="higher",
    **rest,
):
    return MeasureRow(family, measure, collection, value, low, high, 130, 13, unit, better, **rest)


RATE = "nbis_match_rate_at_far_0.01"
IDENTITY = [
    create_row(RATE, "altered_easy", 1.0, 0.98, 1.0),
    create_row(RATE, "altered_hard", 0.92, 0.9, 0.95),
    create_row(RATE, "synthetic_training", 0.97, 0.93, 0.99),
    create_row(RATE, "synthetic_new", 0.031, 0.01, 0.06),
]


def get_sentences(rows, study=STUDY):
    return [text for statement in summary.summarize(study, rows) for text in statement.sentences]


def test_a_share_stands_beside_real_prints():
    assert get_sentences(IDENTITY) == [
        "97% of the prints from training noise and 3.1% of the prints from new noise match their own person at FAR 1%; "
        "real prints (altered easy to altered hard): 92 to 100%."
    ]


def test_a_mean_stands_beside_real_prints():
    rows = [
        create_row("minutiae_count", name, value, family="minutiae", unit="", better="real")
        for name, value in (("real", 41.2), ("real_others", 40.0), ("synthetic_new", 58.34))
    ]
    assert get_sentences(rows) == [
        "The mean number of minutiae is 58.3 for the prints from new noise; real prints: 40 to 41.2."
    ]


def test_what_was_not_measured_is_not_spoken_of():
    refused = dataclasses.replace(IDENTITY[2], status=REFUSED, value=NAN)
    assert get_sentences([*IDENTITY[:2], refused, IDENTITY[3]]) == [
        "3.1% of the prints from new noise match their own person at FAR 1%; real prints (altered easy to altered "
        "hard): 92 to 100%."
    ]


def test_a_refused_row_with_a_number_in_it_is_not_spoken_of():
    rows = [dataclasses.replace(row, status=SKIPPED) for row in IDENTITY]
    assert get_sentences(rows) == []


def test_missing_real_prints_are_said_to_be_missing():
    assert get_sentences(IDENTITY[2:3])[0].endswith("; no real prints were measured for comparison.")


def test_two_matchers_are_told_apart():
    others = [
        dataclasses.replace(row, measure="fingerprint_recognition_match_rate_at_far_0.01") for row in IDENTITY
    ]
    sentences = get_sentences([*IDENTITY, *others])
    assert ["(NBIS" in sentences[0], "(Fingerprint recognition" in sentences[1]] == [True, True]


def test_the_checkerboards_periods_are_told_apart():
    rows = [
        create_row(
            f"checkerboard_{period}px",
            "synthetic_new",
            value,
            family="checkerboard",
            unit="dB",
            better="real",
        )
        for period, value in ((2, 7.7), (4, -1.4))
    ]
    claim = "The mean excess of power at the pattern's frequencies (Checkerboard of {} px) is {} dB"
    found = [text.replace("\u00a0", " ").split(" for ")[0] for text in get_sentences(rows)]
    assert found == [claim.format(2, 7.7), claim.format(4, "\N{MINUS SIGN}1.4")]


def test_the_matchers_own_error_stands_beside_its_answer():
    rows = [*IDENTITY, create_row("nbis_eer", "altered_easy", 0.002, better="lower")]
    assert get_sentences(rows)[-1] == (
        "The matcher's equal error rate on real prints is 0.2% (altered easy)."
    )


def test_a_family_without_a_headline_is_spoken_of_all_the_same():
    rows = [create_row("warmth", "synthetic_new", 3.0, family="poetry", unit="", better="")]
    (statement,) = summary.summarize(STUDY, rows)
    assert (statement.question, statement.sentences) == (
        "Poetry: what was found?",
        ("Warmth is 3 for the prints from new noise; no real prints were measured for comparison.",),
    )


def test_controls_that_do_as_well_are_named_the_most_absurd_first():
    controls = {"mirrored": 0.95, "exact_copy": 1.0, "white_noise": 0.93, "blurred": 0.929}
    rows = [create_row(RATE, f"control_{name}", value) for name, value in controls.items()]
    # The bar is 0.97, whatever the interval of training noise: fewer prints are to let no more controls pass.
    assert get_sentences([*IDENTITY, *rows])[1] == "1 of 4 controls does at least as well: exact copy (100%)."
    rows = [dataclasses.replace(row, value=row.value + 0.045) for row in rows]
    assert get_sentences([*IDENTITY, *rows])[1] == (
        "4 of 4 controls do at least as well, including white noise (97.5%), blurred (97.4%) and mirrored (99.5%)."
    )


def test_of_a_lower_is_better_measure_low_controls_do_well():
    rows = [
        create_row("kid", name, value, family="distribution", unit="", better="lower")
        for name, value in (("synthetic_new", 0.4), ("control_blurred", 0.3), ("control_mirrored", 0.5))
    ]
    assert get_sentences(rows)[1] == "1 of 2 controls does at least as well: blurred (0.3)."


def test_a_print_that_matches_its_source_is_not_counted_as_a_leak():
    values = {"leak_rate": 0.2, "mirrored_leak_rate": 0.1, "source_rate": 0.9}
    rows = [
        create_row(f"nbis_{name}_at_far_0.01", "synthetic_new", value, family="leakage", better="lower")
        for name, value in values.items()
    ]
    assert [text.split(";")[0] for text in get_sentences(rows)] == [
        "20% of the prints from new noise match a training print at FAR 1%",
        "10% of the prints from new noise match a training print's mirror image at FAR 1%",
    ]


@pytest.mark.parametrize("family", ["uniqueness", "leakage"])
def test_noise_that_gives_nobody_away_is_not_held_up(family):
    measure = "nbis_leak_rate_at_far_0.01"
    rows = [
        create_row(measure, name, value, family=family, better="lower")
        for name, value in (("synthetic_new", 0.1), ("control_white_noise", 0.0))
    ]
    assert len(get_sentences(rows)) == 1


def test_no_control_that_does_as_well_is_said_too():
    rows = [*IDENTITY, create_row(RATE, "control_blurred", 0.1)]
    assert get_sentences(rows)[1] == "None of 1 control does at least as well."


def test_a_verdict_stands_beside_its_difference_and_its_margin():
    found = [
        verdicts.VerdictRow(
            RATE, "synthetic_training", "altered_hard", 0.05, -0.02, 0.09, 5, 0.05, "undecided"
        ),
        verdicts.VerdictRow(RATE, "synthetic_new", "altered_hard", -0.889, -0.95, -0.8, 0, 0.05, "worse"),
    ]
    (statement,) = summary.summarize(STUDY, IDENTITY, found)
    minus = "\N{MINUS SIGN}"
    assert statement.sentences[1].replace("\u00a0", " ") == (
        f"Compared with real prints, the prints from training noise are undecided (+5 points, {minus}2 to +9, from "
        f"altered hard, paired by 5 persons) and the prints from new noise are worse ({minus}88.9 points, {minus}95 to "
        f"{minus}80, from altered hard). Equivalence margin \N{PLUS-MINUS SIGN}5 points."
    )


def test_margins_that_differ_are_all_given():
    rows = [
        create_row("ridge_period", name, value, family="ridges", unit="px", better="real")
        for name, value in (("altered_easy", 4.0), ("synthetic_training", 4.0), ("synthetic_new", 4.0))
    ]
    found = [
        verdicts.VerdictRow("ridge_period", name, "altered_easy", 0.0, -0.1, 0.1, 0, margin, "equivalent")
        for name, margin in (("synthetic_training", 0.12), ("synthetic_new", 0.15))
    ]
    (statement,) = summary.summarize(STUDY, rows, found)
    expected = (
        "Equivalence margin \N{PLUS-MINUS SIGN}0.12 px and equivalence margin \N{PLUS-MINUS SIGN}0.15 px."
    )
    assert statement.sentences[1].replace("\u00a0", " ").endswith(expected)


def test_a_measure_without_a_margin_says_so():
    assert summary.describe_margin(NAN, "") == "no equivalence margin"


def choose(family, measure, names):
    rows = [create_row(measure, name, 1.0, family=family) for name in names]
    return [row.collection for row in verdicts.choose_real(STUDY, rows)]


@pytest.mark.parametrize(
    ("family", "names", "expected"),
    [
        ("identity", ("real", "altered_easy"), ["altered_easy"]),
        ("leakage", ("real_others", "altered_easy"), ["real_others"]),
        ("quality", ("real", "real_others", "altered_easy"), ["real", "real_others"]),
        ("quality", ("altered_easy", "altered_hard"), ["altered_easy", "altered_hard"]),
        ("quality", ("synthetic_new",), []),
    ],
)
def test_real_prints_are_those_of_the_control_table(family, names, expected):
    assert choose(family, "a", names) == expected


CONTROLS = [
    Verdict("control_blurred", "a", True, ""),
    Verdict("control_blurred", "b", False, ""),
    Verdict("control_mirrored", "a", False, ""),
    Verdict("control_mirrored", "b", None, ""),
]


def test_a_control_that_nothing_catches_is_named():
    statement = summary.summarize_controls(CONTROLS)
    assert statement.sentences == ("At least one measure catches 1 of 2 controls; none catches mirrored.",)


def test_else_the_hardest_control_is_named():
    statement = summary.summarize_controls([*CONTROLS[:2], Verdict("control_mirrored", "a", True, "")])
    assert statement.sentences == (
        "At least one measure catches 2 of 2 controls. The hardest to catch is blurred: caught by 1 of 2 measures.",
    )


def test_controls_that_nothing_decided_on_are_not_spoken_of():
    assert summary.summarize_controls(CONTROLS[3:]) is None


def test_utility_is_told_with_its_interval_and_verdict():
    values = {
        "real": (0.5, 0.6, 0.7),
        "real+synthetic": (0.4, 0.5, 0.57),
        "real+augmentation": (0.9, 0.9, 0.9),
    }
    rows = [
        ResultRow(condition, seed, "", test_set, 39, 13, value, 0.0)
        for test_set in ("real", "altered_hard")
        for condition, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]
    # Three seeds differ by 0.1, by 0.1, by 0.13: -0.11 -+ 4.303 * 0.01.
    assert summary.summarize_utility(rows).sentences == (
        "Accuracy of real+synthetic minus real, 3 seeds: altered hard \N{MINUS SIGN}11\u00a0points "
        "(\N{MINUS SIGN}15.3 to \N{MINUS SIGN}6.7: worse).",
    )


def test_without_synthetic_prints_utility_is_not_spoken_of():
    rows = [ResultRow("real", seed, "", "altered_hard", 39, 13, 0.5, 0.5) for seed in range(2)]
    assert summary.summarize_utility(rows) is None


def test_a_gap_in_all_synthetic_prints_is_told_from_one_in_some_prints():
    rows = [
        create_row("a", "real", NAN, status=REFUSED, note="it is the reference"),
        create_row("a", "synthetic_new", 0.5),
        create_row("b", "real", NAN, status=SKIPPED, note="no tool"),
        create_row("b", "synthetic_new", NAN, status=SKIPPED, note="no tool"),
        create_row("c", "all", NAN, status=SKIPPED, note="no tool"),
    ]
    gaps = summary.find_gaps(STUDY, rows)
    assert [(gap.is_whole, gap.status, gap.measures, gap.reason) for gap in gaps] == [
        (True, SKIPPED, ("b", "c"), "no tool"),
        (False, REFUSED, ("a",), "it is the reference"),
    ]


def test_a_measure_of_real_prints_alone_is_no_gap():
    rows = [create_row("nbis_threshold_at_far_0.01", "real", 21.0)]
    assert summary.find_gaps(STUDY, rows) == []


def test_a_family_that_left_no_row_is_a_gap():
    (gap,) = summary.find_gaps(create_study(["quality", "identity"]), IDENTITY)
    assert (gap.family, gap.status, gap.is_whole) == ("quality", "no rows", True)


def test_a_measured_row_without_a_number_is_a_gap():
    (gap,) = summary.find_gaps(STUDY, [create_row("a", "synthetic_new", NAN)])
    assert (gap.status, gap.reason) == ("no value", "no reason was given")


def test_many_gaps_are_counted_after_the_first():
    rows = [create_row(f"m{number}", "all", NAN, status=SKIPPED) for number in range(10)]
    gaps = summary.find_gaps(STUDY, rows)
    assert summary.describe_gaps(gaps) == "skipped: M0, M1, M2, M3, M4, M5, M6, M7 and 2 more"
