"""That each print is read once and each pair compared once, whatever divides the work."""

import os

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import matching
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, Template, ToolError


class FakeTool:
    """A print is its first pixel; a score the product of two. Keeps what it was asked, in this process."""

    name = "fake"

    def __init__(self):
        self.read, self.compared = [], []

    def extract(self, image):
        self.read.append(int(image[0, 0]))
        empty = np.zeros(0)
        return Template(Minutiae(np.array([image[0, 0]]), empty, empty, empty, empty), int(image[0, 0]))

    def compare(self, first, second):
        self.compared.append((first.handle, second.handle))
        return float(first.handle * second.handle)


class CrashingTool(FakeTool):
    """Ends its process."""

    def extract(self, image):
        os._exit(11)


def create_prints(*values):
    return np.array([np.full((2, 2), value, np.uint8) for value in values])


@pytest.fixture(autouse=True)
def forget_templates():
    matching._templates.clear()


def test_scores_of_pairs():
    matcher = Matcher(FakeTool(), num_workers=0)
    scores = matcher.compare(create_prints(2, 3), create_prints(5, 7), np.array([[0, 0], [0, 1], [1, 1]]))
    np.testing.assert_array_equal(scores, [10, 14, 21])


def test_equal_prints_are_read_once():
    tool = FakeTool()
    matcher = Matcher(tool, num_workers=0)
    matcher.extract(create_prints(4, 4, 9, 4))
    matcher.compare(create_prints(4, 4), create_prints(9), np.array([[0, 0], [1, 0]]))
    assert sorted(tool.read) == [4, 9]


def test_a_pair_is_compared_once_in_either_order():
    tool = FakeTool()
    matcher = Matcher(tool, num_workers=0)
    first = matcher.compare(create_prints(4, 4), create_prints(9), np.array([[0, 0], [1, 0]]))
    second = matcher.compare(create_prints(9), create_prints(4), np.array([[0, 0]]))
    assert len(tool.compared) == 1
    np.testing.assert_array_equal([*first, *second], [36, 36, 36])


def test_prints_of_other_shapes_are_other_prints():
    matcher = Matcher(FakeTool(), num_workers=0)
    wide = matcher.extract(np.full((1, 1, 4), 8, np.uint8))
    assert wide[0].x[0] == matcher.extract(np.full((1, 4, 1), 8, np.uint8))[0].x[0]
    assert len(matcher._minutiae) == 2


def test_many_pairs_come_back_in_their_order():
    matcher = Matcher(FakeTool(), num_workers=0)
    prints = create_prints(*range(30))
    pairs = np.random.default_rng(0).permutation(np.stack(np.indices((30, 30)), -1).reshape(-1, 2))
    scores = matcher.compare(prints, prints, pairs)
    np.testing.assert_array_equal(scores, pairs[:, 0] * pairs[:, 1])


def test_no_pairs_give_no_scores():
    assert Matcher(FakeTool()).compare(create_prints(1), create_prints(2), np.zeros((0, 2), int)).shape == (
        0,
    )


def test_processes_give_the_scores_of_one():
    prints = create_prints(*range(20))
    pairs = np.stack(np.indices((20, 20)), -1).reshape(-1, 2)
    scores = Matcher(FakeTool(), num_workers=2).compare(prints, prints, pairs)
    np.testing.assert_array_equal(scores, pairs[:, 0] * pairs[:, 1])


def test_a_tool_that_ends_its_process_does_not_end_ours():
    with pytest.raises(ToolError, match="ended abnormally"):
        Matcher(CrashingTool(), num_workers=1).extract(create_prints(1))


def test_distinct_prints_and_whose_each_is():
    distinct, inverse = matching.find_distinct(create_prints(7, 3, 7, 5, 3))
    np.testing.assert_array_equal(distinct, [0, 1, 3])
    np.testing.assert_array_equal(inverse, [0, 1, 0, 2, 1])
