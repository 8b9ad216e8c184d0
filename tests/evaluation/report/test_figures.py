"""The report's pictures, against their own pixels and coordinates worked out by hand."""

import base64
import functools
import io
import pathlib
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.evaluation.report import figures
from fpgan_jax.evaluation.report.figures import Dot, Line

NAN = float("nan")


def decode(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


@functools.cache
def draw_all(title="a title", prefix="p"):
    epochs, values = np.array([1, 2]), np.array([0.1, 0.2])
    line = Line(title, "new", epochs, values, values - 0.05, values + 0.05)
    groups = {title: ("training", np.arange(5.0))}
    drawn = [
        figures.draw_scores(groups, {"FAR 1%": 2.0}, matcher="m", prefix=f"{prefix}0"),
        figures.draw_epochs(title, "fraction", [line], (0.9, 1.0), prefix=f"{prefix}1"),
        figures.draw_spreads(title, "px", groups, prefix=f"{prefix}2"),
    ]
    return list(map(ElementTree.fromstring, drawn))


def draw_dots(dots, real=None):
    return ElementTree.fromstring(figures.draw_dots(dots, real, description="x"))


def test_a_small_print_comes_back_to_the_bit():
    image = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    np.testing.assert_array_equal(decode(figures.encode_image(image, 48)), image)


def test_a_large_print_is_made_smaller():
    image = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[:, None], 200, 1)
    assert decode(figures.encode_image(image, 50)).shape == (25, 50)


def test_noise_is_cut_not_shrunk():
    noise = np.random.default_rng(0).integers(0, 256, (10, 20), np.uint8)
    np.testing.assert_array_equal(decode(figures.encode_noise(noise, 8)), noise[1:9, 6:14])


def test_dots_lie_where_their_numbers_are():
    # From 0 to 10 on 4 to 156 pixels: 2.5 is at 42.
    dots = [Dot("control", 0.0, NAN, NAN), Dot("new", 10.0, NAN, NAN), Dot("training", 2.5, 0.0, 5.0)]
    svg = draw_dots(dots)
    circles = [(mark.get("class"), mark.get("cx")) for mark in svg.iter("circle")]
    lines = [(mark.get("class"), mark.get("x1"), mark.get("x2")) for mark in svg.iter("line")]
    assert circles == [("new", "156.0"), ("training", "42.0")]
    assert lines == [("control", "4.0", "4.0"), ("training", "4.0", "80.0")]


def test_a_control_beyond_stands_at_the_end():
    dots = [Dot("control", 1e6, NAN, NAN), Dot("control", -5.0, NAN, NAN), Dot("new", 0.0, 0.0, 1.0)]
    svg = draw_dots(dots)
    assert [mark.get("x1") for mark in svg.iter("line")][:2] == ["156.0", "4.0"]


def test_real_prints_are_a_band():
    svg = draw_dots([Dot("training", 10.0, NAN, NAN)], (0.0, 5.0))
    (band,) = svg.iter("rect")
    assert (band.get("x"), band.get("width")) == ("4.0", "76.0")


def test_equal_numbers_lie_in_the_middle():
    svg = draw_dots([Dot("training", 3.0, NAN, NAN)], (3.0, 3.0))
    assert [mark.get("cx") for mark in svg.iter("circle")] == ["80.0"]


def test_figures_use_the_pages_own_colors_only():
    css = pathlib.Path("fpgan_jax/evaluation/report/templates/report.css").read_text()
    styles = [element.get("style", "") for svg in draw_all() for element in svg.iter()]
    used = {name for style in styles for name in re.findall(r"var\(--([a-z]+)\)", style)}
    assert used and all(f"--{name}:" in css for name in used)
    assert not [style for style in styles if re.search(r"#[0-9a-f]{3,}|font-family|font:", style)]


def test_the_light_pages_colors_are_those_drawn_with():
    css = pathlib.Path("fpgan_jax/evaluation/report/templates/report.css").read_text().split("@media")[0]
    assert all(f"--{name}: {color};" in css for name, color in figures.COLORS.items())


def test_figures_with_other_prefixes_share_no_id():
    first, second = (
        {element.get("id") for svg in drawn for element in svg.iter()} - {None}
        for drawn in (draw_all(), draw_all(prefix="q"))
    )
    assert first and not first & second


@pytest.mark.parametrize("title", ["$x_{ \\frac", "<b>& a\x00b\udcff"])
def test_a_title_is_taken_as_it_is(title):
    texts = [element.text for svg in draw_all(title) for element in svg.iter("text")]
    expected = re.sub("[\x00\ud800-\udfff]", "\ufffd", title)
    assert sum(expected in (text or "") for text in texts) >= 3


def test_the_same_figure_has_the_same_bytes():
    again = draw_all.__wrapped__()
    assert list(map(ElementTree.tostring, draw_all())) == list(map(ElementTree.tostring, again))


def test_the_spoken_text_has_the_medians():
    svg, *_ = draw_all()
    assert svg.find("title").text == "Histograms of the scores of m. a title: median 2."


def test_scores_below_zero_have_a_plain_scale():
    groups = {"a": ("real", np.array([-1.0, 1.0]))}
    svg = figures.draw_scores(groups, {}, matcher="m", prefix="p")
    assert "score" in [element.text for element in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize(
    ("top", "expected"), [(500.0, [0, 10, 50, 100, 200, 500]), (1.0, [0, 0.02, 0.1, 0.2, 0.5, 1])]
)
def test_ticks_are_round_and_apart(top, expected):
    np.testing.assert_allclose(figures._choose_ticks(top), expected)
