"""Words and numbers as people read them."""

import pytest

from fpgan_jax.evaluation.report import names

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nbis_match_rate_at_far_0.001", "NBIS match rate at FAR 0.1%"),
        ("nbis_eer", "NBIS EER"),
        ("similarity_frame_keep_std_over_images", "Similarity SD over images, with the frame"),
        ("ridge_period", "Ridge period"),
        ("nfiq2", "NFIQ 2"),
        ("checkerboard_2px", "Checkerboard of 2\u00a0px"),
        ("nbis_genuine_score", "NBIS genuine score"),
        ("a\x00b_warmth", "A\ufffdb warmth"),
    ],
)
def test_a_measures_name_becomes_words(name, expected):
    assert names.describe_measure(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("synthetic_new", "New noise"),
        ("control_white_noise", "White noise"),
        ("my_own_folder", "My own folder"),
    ],
)
def test_a_collections_name_becomes_words(name, expected):
    assert names.describe_collection(name) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.969, "fraction", "96.9%"),
        (1.0, "fraction", "100%"),
        (0.9996, "fraction", "99.96%"),
        (0.00043, "fraction", "0.043%"),
        (0.0, "fraction", "0%"),
        (41.24, "", "41.2"),
        (212.4, "score", "212"),
        (1234.0, "", "1,234"),
        (0.2384, "probability", "0.238"),
        (0.9997, "probability", "0.9997"),
        (0.99999, "probability", ">0.9999"),
        (4.514, "px", "4.51\u00a0px"),
        (7.0, "grey levels (0-255)", "7\u00a0gray levels"),
        (0.000031, "", f"3.1e{MINUS}05"),
        (-2.5, "", f"{MINUS}2.5"),
        (float("inf"), "dB", "\N{INFINITY}\u00a0dB"),
        (float("nan"), "dB", names.NO_VALUE),
    ],
)
def test_a_number_has_as_many_digits_as_can_be_read(value, unit, expected):
    assert names.format_value(value, unit) == expected


@pytest.mark.parametrize(
    ("low", "high", "unit", "expected"),
    [
        (0.931, 0.992, "fraction", "93.1 to 99.2%"),
        (4.4, 4.6, "px", "4.4 to 4.6"),
        (-0.03, 0.006, "points", f"{MINUS}3 to +0.6"),
        (float("nan"), float("nan"), "px", ""),
    ],
)
def test_an_interval_names_its_unit_once_or_not(low, high, unit, expected):
    assert names.format_interval(low, high, unit) == expected


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([4.48, 4.4], "px", "4.4 to 4.48\u00a0px"),
        ([0.92, 1.0, 0.96], "fraction", "92 to 100%"),
        ([1.0], "fraction", "100%"),
        ([-0.475, 0.306], "", f"{MINUS}0.475 to 0.306"),
    ],
)
def test_a_range_names_its_unit_once(values, unit, expected):
    assert names.format_range(values, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (-0.012, "fraction", f"{MINUS}1.2\u00a0points"),
        (-0.01, "fraction", f"{MINUS}1\u00a0point"),
        (0.5, "px", "+0.5\u00a0px"),
        (0.0, "", "0"),
    ],
)
def test_a_difference_has_a_sign(value, unit, expected):
    assert names.format_difference(value, unit) == expected


@pytest.mark.parametrize(("title", "expected"), [("Altered easy", "altered easy"), ("NFIQ 2", "NFIQ 2")])
def test_a_title_within_a_sentence_is_small_but_for_abbreviations(title, expected):
    assert names.lower(title) == expected
