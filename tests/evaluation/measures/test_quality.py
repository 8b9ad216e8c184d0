"""What becomes of NFIQ 2's scores; NFIQ 2 itself is in test_nist_tools.py."""

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.measures import quality
from fpgan_jax.evaluation.measures.family import Tools
from tests.evaluation.measures.scored_study import CONTROL, REFERENCE, create_study, prepare_unscaled


class FakeTool:
    """A print's quality is its first pixel; 0 is none."""

    def __init__(self):
        self.measured = []

    def measure(self, image):
        self.measured.append(int(image[0, 0]))
        return float(image[0, 0]) or float("nan")


@pytest.fixture
def tool(monkeypatch):
    tool = FakeTool()
    monkeypatch.setattr(nist_tools, "find_quality_tool", lambda: tool)
    monkeypatch.setattr(quality, "prepare_prints", prepare_unscaled)
    return tool


STUDY = {
    "real": (REFERENCE, [40, 50, 60], [1, 2, 3]),
    "control_mixed": (CONTROL, [40, 0, 40], [1, 2, 3]),
    "control_bare_frame": (CONTROL, [0, 0, 0], [1, 2, 3]),
}


def test_means_and_what_has_none(tool):
    found = quality.measure(create_study(**STUDY), None, num_workers=0)
    rows = {row.collection: row for row in found.measures}
    assert rows["real"].value == 50
    assert (rows["control_mixed"].value, rows["control_mixed"].num_images) == (40, 2)
    assert "1 prints have none" in rows["control_mixed"].note
    assert rows["control_bare_frame"].status == "refused"


def test_each_print_has_its_own(tool):
    found = quality.measure(create_study(**STUDY), None, num_workers=0)
    values = [row.value for row in found.images]
    np.testing.assert_array_equal(values, [40, 50, 60, 40, np.nan, 40, np.nan, np.nan, np.nan])


def test_equal_prints_are_measured_once(tool):
    quality.measure(create_study(**STUDY), None, num_workers=0)
    assert sorted(tool.measured) == [0, 40, 50, 60]


def test_without_nfiq_2_one_row_says_why(monkeypatch):
    def find():
        raise ToolError("no NFIQ 2: nbis-python is not installed")

    monkeypatch.setattr(nist_tools, "find_quality_tool", find)
    (row,) = quality.FAMILY.compute(create_study(**STUDY), Tools(None)).measures
    assert (row.measure, row.status, row.note) == (
        "nfiq2",
        "skipped",
        "no NFIQ 2: nbis-python is not installed",
    )
