"""Two matchers' findings side by side, from rows made by hand."""

import pytest

from fpgan_jax.evaluation.matcher import tools
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.measures import agreement, identity, leakage
from fpgan_jax.evaluation.measures.family import Tools
from fpgan_jax.evaluation.study.findings import Findings, MatchRow, MeasureRow
from tests.evaluation.measures.scored_study import REFERENCE, SYNTHETIC, create_study

MATCHERS = ("nbis", "fingerprint_recognition")


@pytest.fixture
def study():
    return create_study(real=(REFERENCE, [11, 12], [1, 2]), synthetic_new=(SYNTHETIC, [41, 42], [1, 2]))


def create_row(measure, value, low=float("nan"), high=float("nan"), collection="synthetic_new"):
    return MeasureRow("identity", measure, collection, value, low, high, 2, 2)


def create_match(matcher, probe, person, gallery, gallery_person, score):
    return MatchRow(matcher, "synthetic_new", person, probe, "real", gallery_person, gallery, score)


def create_thresholds():
    return [
        create_row(f"{matcher}_threshold_at_far_0.01", value, collection="real")
        for matcher, value in zip(MATCHERS, (20, 10), strict=True)
    ]


def test_decisions_that_differ_are_counted_for_each_print(study):
    # Print 0 has two impressions to meet, print 1 one; a stranger's score counts for nothing.
    scores = {
        "nbis": [
            ("synthetic_new_0", 1, "a", 1, 25),
            ("synthetic_new_0", 1, "b", 1, 25),
            ("synthetic_new_1", 2, "c", 2, 5),
        ],
        "fingerprint_recognition": [
            *(("synthetic_new_0", 1, "a", 1, 9), ("synthetic_new_0", 1, "b", 1, 10)),
            *(("synthetic_new_1", 2, "c", 2, 40), ("synthetic_new_1", 2, "a", 1, 40)),
        ],
    }
    matches = [create_match(matcher, *row) for matcher, rows in scores.items() for row in rows]
    (row,) = identity.compare_decisions(study, create_thresholds(), matches, MATCHERS)
    assert (row.collection, row.value, row.num_images) == ("synthetic_new", pytest.approx((0.5 + 1) / 2), 2)
    assert row.note.startswith(
        "33.3% are accepted by nbis alone; 33.3% are accepted by fingerprint_recognition"
    )


def test_without_a_threshold_nothing_is_compared(study):
    assert identity.compare_decisions(study, create_thresholds()[:1], [], MATCHERS) == []


def test_the_table_names_what_holds_for_one_of_them_only(study):
    rows = [
        create_row("nbis_match_rate_at_far_0.01", 0.9, 0.8, 0.95),
        create_row("fingerprint_recognition_match_rate_at_far_0.01", 0.5, 0.4, 0.6),
        create_row("nbis_leak_rate_at_far_0.01", 0.1, 0.05, 0.2),
        create_row("fingerprint_recognition_leak_rate_at_far_0.01", 0.2, 0.15, 0.3),
        create_row("nbis_copy_rate", 0.1, 0.05, 0.2),
    ]
    table = agreement.create_agreement_table(study, rows, MATCHERS)
    assert table.cells == [
        ("match_rate_at_far_0.01", "synthetic_new", "0.9 [0.8, 0.95]", "0.5 [0.4, 0.6]", "they disagree"),
        ("leak_rate_at_far_0.01", "synthetic_new", "0.1 [0.05, 0.2]", "0.2 [0.15, 0.3]", ""),
    ]


def test_of_one_matcher_there_is_no_table(study):
    rows = [create_row("nbis_match_rate_at_far_0.01", 0.9, 0.8, 0.95)]
    assert agreement.create_agreement_table(study, rows, MATCHERS[:1]) is None


def test_a_matcher_that_is_missing_is_skipped_and_the_other_measures(study, monkeypatch):
    def find(name):
        if name == "fingerprint_recognition":
            raise ToolError("it is not installed")

    monkeypatch.setattr(tools, "find_tool", find)
    monkeypatch.setattr(tools, "Matcher", lambda tool: "a matcher")
    found = leakage.FAMILY.compute_by_each(
        lambda study, data, matcher: Findings([create_row("nbis_best_score", 3)]),
        study,
        Tools(None, tools.find_matchers(MATCHERS)),
    )
    assert [(row.measure, row.status, row.note) for row in found.measures] == [
        ("nbis_best_score", "measured", ""),
        ("fingerprint_recognition_leak_rate_at_far_0.01", "skipped", "it is not installed"),
    ]


def test_the_second_matcher_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    tools._import_package.cache_clear()
    with pytest.raises(ToolError, match=r"pip install -e '\.\[second-matcher\]'"):
        tools.find_tool("fingerprint_recognition")
