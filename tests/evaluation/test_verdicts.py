"""Which real prints a measure is judged beside."""

import pytest

from fpgan_jax.evaluation import verdicts
from fpgan_jax.evaluation.measurements import MeasureRow
from tests.evaluation.scored_study import BASELINE, HELD_OUT, POPULATION, REFERENCE, create_study

COLLECTIONS = {
    "real": (REFERENCE, [1], [1]),
    "real_held_out": (HELD_OUT, [2], [1]),
    "real_others": (POPULATION, [3], [2]),
    "altered_easy": (BASELINE, [4], [1]),
}


@pytest.mark.parametrize(
    ("family", "measure", "expected"),
    [
        ("identity", "nbis_match_rate_at_far_0.01", ["real_held_out"]),
        ("identity", "nbis_failure_to_enrol", ["real", "real_held_out", "real_others"]),
        ("identity", "fingerprint_recognition_failure_to_enrol", ["real", "real_held_out", "real_others"]),
        ("leakage", "nbis_leak_rate_at_far_0.01", ["real_others"]),
        ("leakage", "nbis_copy_rate", ["real_held_out"]),
        ("pixels", "ssim_to_reference", ["real_held_out"]),
        ("quality", "nfiq2", ["real", "real_held_out", "real_others"]),
    ],
)
def test_held_out_impressions_are_real_against_real(family, measure, expected):
    rows = [MeasureRow(family, measure, name, 1.0, 0.5, 1.5, 1, 1) for name in COLLECTIONS]
    assert [row.collection for row in verdicts.choose_real(create_study(**COLLECTIONS), rows)] == expected
