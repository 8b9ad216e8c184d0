"""The minutiae map, against minutiae drawn by hand, and the pairs that have it."""

import math

import numpy as np
import pytest

from configs import peer_minutiae
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import condition_shape
from fpgan_jax.data import pairs
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import minutiae_map, print_scale, ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, Template

PERIOD = 10.0  # a mark is 16 pixels long and 5 wide


def create_minutiae(*rows):
    x, y, direction, is_ending = (np.array(column) for column in zip(*rows, strict=True))
    return Minutiae(x, y, direction.astype(np.float64), is_ending, np.ones(len(rows)))


def draw(*rows, shape=(40, 60)):
    return minutiae_map.draw_minutiae(create_minutiae(*rows), shape, PERIOD)


class FakeTool:
    """Finds one bifurcation, 90 pixels from the left and 60 from the top of the scaled print, that points up."""

    name = "fake"

    def extract(self, image):
        self.image = image
        return Template(create_minutiae((90, 60, math.pi / 2, False)), None)


def test_a_mark_begins_at_the_minutia_and_points_its_way():
    level = draw((20, 20, 0.0, True))
    marked = np.argwhere(level < 64)
    assert marked[:, 0].min() == 18 and marked[:, 0].max() == 22
    # From 2.5 pixels before the minutia, since ends are round, to as far beyond 16.
    assert marked[:, 1].min() == 18 and marked[:, 1].max() == 38


def test_directions_count_from_the_right_toward_the_top():
    upright = draw((30, 30, math.pi / 2, True))
    rows = np.argwhere(upright < 64)[:, 0]
    assert rows.min() == 12 and rows.max() == 32


def test_endings_are_black_bifurcations_white_and_the_rest_gray():
    drawn = draw((10, 10, 0.0, True), (10, 30, 0.0, False))
    assert (drawn[10, 10], drawn[30, 10], drawn[20, 50]) == (0, 255, 128)


def test_a_mark_at_the_edge_is_cut():
    assert draw((58, 20, 0.0, True))[20, 56:].tolist() == [0, 0, 0, 0]


def test_a_print_without_minutiae_is_gray():
    none = Minutiae(*(np.zeros(0) for _ in range(3)), np.zeros(0, bool), np.zeros(0))
    assert (minutiae_map.draw_minutiae(none, (5, 6), PERIOD) == 128).all()


def test_minutiae_come_back_in_the_print_s_own_pixels():
    image = np.full((50, 70), 255, np.uint8)
    tool, window = FakeTool(), (slice(4, 44), slice(10, 70))
    # At 4.5 pixels a ridge everything is enlarged twice, and then has its margin.
    found = minutiae_map.find_minutiae(image, 4.5, 1.0, window, tool)
    assert tool.image.shape == (2 * 40 + 2 * print_scale.MARGIN, 2 * 60 + 2 * print_scale.MARGIN)
    assert found.x[0] == pytest.approx(10 + (90 - 24 + 0.5) / 2 - 0.5)
    assert found.y[0] == pytest.approx(4 + (60 - 24 + 0.5) / 2 - 0.5)
    assert found.direction[0] == pytest.approx(math.pi / 2)


def test_a_squeezed_print_s_directions_are_squeezed_too():
    class Slanted(FakeTool):
        def extract(self, image):
            return Template(create_minutiae((30, 30, math.pi / 4, False)), None)

    # A square of skin is 1.44 times as wide as high: 45 degrees of the skin are flatter in the image.
    image, window = np.zeros((100, 100), np.uint8), (slice(None), slice(None))
    found = minutiae_map.find_minutiae(image, 9.0, 1.44, window, Slanted())
    assert found.direction[0] == pytest.approx(math.atan(1 / 1.44), abs=0.01)


@pytest.fixture
def data_config():
    data_config = peer_minutiae.get_config().data
    data_config.source, data_config.sensor_ppi, data_config.image_size = "impressions", 250.0, 48
    return data_config


@pytest.fixture
def prints():
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), np.uint8)
    return PrintSet(images, np.array([4, 11], np.int32), ("four", "eleven"))


def test_pairs_have_the_map_and_no_noise(prints, data_config, monkeypatch):
    monkeypatch.setattr(nist_tools, "find_matching_tool", FakeTool)
    made = ridge_pairs.create_pairs(prints, data_config)
    batch = pairs.create_batch(made, [0, 1, 5])
    assert batch["noise_image"].shape == (3, *condition_shape(data_config))
    assert batch["noise_image"].shape[-1] == 1
    np.testing.assert_array_equal(batch["noise_image"][0], batch["noise_image"][1])
    # 33 pixels right and 18 down at twice the size, but for the margin.
    assert batch["noise_image"][0, 15, 33, 0] > 200


def test_without_nist_s_tools_the_error_says_how_to_get_them(prints, data_config, monkeypatch):
    def find():
        raise nist_tools.ToolError("no matcher of minutiae; run bash launch/setup_biometrics.sh")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find)
    with pytest.raises(UserError, match=r"config\.data\.condition='minutiae': no matcher .*setup_biometrics"):
        ridge_pairs.create_pairs(prints, data_config)


def test_a_print_on_which_the_tool_fails_is_a_user_s_error(prints, data_config, monkeypatch):
    class Failing(FakeTool):
        def extract(self, image):
            raise nist_tools.ToolError("MINDTCT failed on a print of (96, 96) pixels")

    monkeypatch.setattr(nist_tools, "find_matching_tool", Failing)
    with pytest.raises(UserError, match=r"config\.data\.condition='minutiae': MINDTCT failed on a print"):
        ridge_pairs.create_pairs(prints, data_config)[0]


def test_the_ridge_loss_needs_ridges():
    config = peer_minutiae.get_config()
    config.ridge_loss_weight = 5.0
    with pytest.raises(
        UserError, match=r"config\.ridge_loss_weight=5\.0: needs .*'ridges', which is 'minutiae'"
    ):
        validate_config(config, needs_data=False)
