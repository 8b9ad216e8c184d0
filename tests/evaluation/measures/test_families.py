"""What a family of measures says about itself, and the rows that it writes."""

import math

import numpy as np
import pytest

from fpgan_jax.config.fields import MATCHERS, MEASURE_FAMILIES
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError
from fpgan_jax.evaluation.matcher.tools import MATCHER_TITLES
from fpgan_jax.evaluation.measures import families, identity, leakage, ridges, variation
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.measures.family import Family, Tools
from fpgan_jax.evaluation.measures.measure import REAL_PRINTS, Headline, Measure
from fpgan_jax.evaluation.study.findings import Findings
from tests.evaluation.measures.scored_study import REFERENCE, TableTool, create_study

PERSONS = [1, 1, 2, 3]


@pytest.fixture
def collection():
    return create_study(real=(REFERENCE, [11, 12, 13, 14], PERSONS)).collections["real"]


def test_a_name_has_its_parameters_values():
    measure = identity.MATCH_RATE.at(matcher="fingerprint_recognition", rate=0.001)
    assert measure.name == "fingerprint_recognition_match_rate_at_far_0.001"
    assert measure.title == "Fingerprint recognition match rate at FAR 0.1%"
    assert (measure.matcher, measure.rate, measure.parameters) == ("fingerprint_recognition", 0.001, ())


def test_a_measure_is_expanded_by_its_own_parameters_only():
    names = [measure.name for measure in identity.EQUAL_ERROR_RATE.expand()]
    assert names == ["nbis_eer", "fingerprint_recognition_eer"]
    assert [measure.name for measure in ridges.RIDGE_PERIOD.expand()] == ["ridge_period"]


def test_every_matcher_has_a_title():
    assert tuple(MATCHER_TITLES) == MATCHERS


@pytest.mark.parametrize("name", MEASURE_FAMILIES)
def test_a_family_answers_by_its_own_measures(name):
    family = FAMILIES[name]
    assert family.name == name
    assert all(measure in family.measures for headline in family.headlines for measure in headline.measures)


def test_no_two_families_have_a_measure_of_one_name():
    names = [name for family in FAMILIES.values() for name in family.by_name]
    assert len(names) == len(set(names))


def test_a_headline_is_about_one_false_accept_rate_and_every_matcher():
    headline = Headline((leakage.LEAK_RATE, leakage.COPY_RATE), "?", "leak")
    assert headline.names == {
        *("nbis_leak_rate_at_far_0.01", "fingerprint_recognition_leak_rate_at_far_0.01"),
        *("nbis_copy_rate", "fingerprint_recognition_copy_rate"),
    }


@pytest.mark.parametrize(
    ("measure", "margin"),
    [(Measure("a", margin=2), 2), (Measure("a", relative_margin=0.1), 0.4), (Measure("a"), math.nan)],
)
def test_a_margin_is_a_number_or_a_share_of_the_real_prints(measure, margin):
    assert measure.find_margin(-4.0) == pytest.approx(margin, nan_ok=True)


def test_a_measure_of_no_family_is_compared_with_all_real_prints():
    assert families.find_baseline("poetry", "warmth") == REAL_PRINTS


def create_family(*measures, **fields):
    return Family("warmth", "Warmth", "How warm.", measures, lambda study, tools: None, **fields)


def test_a_familys_row_has_the_measures_unit_and_direction(collection):
    warmth = Measure("warmth", "deg", "real")
    row = create_family(warmth).summarize(
        warmth, collection, np.array([1.0, 2.0, 6.0, math.nan]), note="note"
    )
    # The print without a value takes its person along.
    assert (row.family, row.measure, row.unit, row.better) == ("warmth", "warmth", "deg", "real")
    assert (row.value, row.num_images, row.num_persons) == (3, 3, 2)
    assert row.note.startswith("note; ")


def test_without_any_value_a_measure_is_refused(collection):
    warmth = Measure("warmth", "deg", "real")
    row = create_family(warmth).summarize(warmth, collection, np.full(4, math.nan))
    assert (row.status, row.note, row.unit, row.num_images) == ("refused", "no print has a value", "deg", 4)


def test_a_measure_that_the_family_does_not_list_makes_no_row(collection):
    with pytest.raises(ValueError, match="cold: not among the measures of the family warmth"):
        create_family(Measure("warmth")).refuse(Measure("cold"), collection, "it is cold")


def test_a_matcher_that_fails_is_named_in_its_row():
    matchers = {name: Matcher(TableTool({}), num_workers=0) for name in MATCHERS}

    def measure(study, data_config, matcher):
        if matcher is matchers["fingerprint_recognition"]:
            raise ToolError("its process ended")
        return Findings()

    (row,) = leakage.FAMILY.compute_by_each(measure, None, Tools(None, matchers)).measures
    assert (row.measure, row.note) == (
        "fingerprint_recognition_leak_rate_at_far_0.01",
        "its process ended",
    )


@pytest.mark.parametrize(
    ("family", "reason", "name", "status"),
    [
        (leakage.FAMILY, ToolError("none"), "fingerprint_recognition_leak_rate_at_far_0.01", "skipped"),
        (variation.FAMILY, NoScaleError("none"), "impression_turn", "refused"),
    ],
)
def test_a_skipped_family_is_named_after_its_headline_or_its_first_measure(family, reason, name, status):
    (row,) = family.skip(reason, matcher="fingerprint_recognition").measures
    assert (row.measure, row.collection, row.status, row.note) == (name, "all", status, "none")
