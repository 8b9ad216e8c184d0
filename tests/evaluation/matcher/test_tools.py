"""Matchers on impressions of procedural fingers: several of each, from files to error rates."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data import print_loading
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import SIZES, create_impression
from fpgan_jax.evaluation.experiments import calibration
from fpgan_jax.evaluation.matcher import nist_tools, tools
from fpgan_jax.evaluation.matcher.matching import Matcher

NUM_FINGERS, NUM_IMPRESSIONS = 3, 3
needs_second = pytest.mark.skipif(
    importlib.util.find_spec("fingerprint_recognition") is None,
    reason="NOT RUN: fingerprint-recognition is not installed (the extra second-matcher)",
)


def needs_nist():
    try:
        nist_tools.find_matching_tool()
    except nist_tools.ToolError as error:
        pytest.skip(f"NOT RUN: {error}")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("impressions")
    rows, columns = SIZES["241x298"].window
    for person in range(1, NUM_FINGERS + 1):
        finger = create_finger(3, person)
        for impression in range(NUM_IMPRESSIONS):
            scan = create_impression(finger, impression, size="241x298")
            Image.fromarray(scan[rows, columns]).save(folder / f"{person:03d}_{impression + 1}.png")
    config = test_size.get_config()
    config.data.source, config.data.impressions_dir, config.data.sensor_ppi = (
        "impressions",
        str(folder),
        500.0,
    )
    config.data.num_persons = NUM_FINGERS
    config.data.image_size, config.data.image_width = rows.stop - rows.start, columns.stop - columns.start
    return config


@pytest.mark.biometrics
def test_impressions_of_one_finger_score_above_those_of_two(config, tmp_path):
    needs_nist()
    matcher = Matcher(tools.find_tool("nbis"), num_workers=0)
    found = calibration.calibrate_matcher(config, str(tmp_path / "scores.csv"), matcher=matcher)
    assert (found.matcher, found.num_persons, found.num_prints, found.factor) == ("nbis", 3, 9, 1)
    assert (len(found.genuine_scores), len(found.unaltered_impostors.scores)) == (3 * 3, 3 * 9)
    assert found.failure_to_enroll == 0
    is_higher = found.genuine_scores[:, None] > found.unaltered_impostors.scores[None, :]
    assert is_higher.mean() > 0.9


@needs_second
def test_the_second_matcher_knows_a_print_that_was_turned(config):
    tool, images = (
        tools.find_tool("fingerprint_recognition"),
        print_loading.load_prints(config).images[..., 0],
    )
    turned = np.asarray(Image.fromarray(images[0]).rotate(10, Image.Resampling.BICUBIC, fillcolor=255))
    first, again, other = (tool.extract(image) for image in (images[0], turned, images[NUM_IMPRESSIONS]))
    # The package's own threshold is 12.
    assert tool.compare(first, again) > 20 and tool.compare(first, other) < 12


@needs_second
def test_the_second_matcher_finds_nothing_in_a_blank_print():
    tool = tools.find_tool("fingerprint_recognition")
    blank, noise = (
        np.full((200, 200), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8),
    )
    templates = [tool.extract(image) for image in (blank, noise)]
    assert len(templates[0].minutiae.x) == 0
    assert tool.compare(templates[0], templates[0]) == tool.compare(*templates) == 0
