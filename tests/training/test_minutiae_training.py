"""Training from minutiae maps: what holds for ridge maps holds for them."""

import jax
import numpy as np
import pytest
from PIL import Image

from fpgan_jax.data.ridges import ridge_pairs
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, Template
from fpgan_jax.serving import inference
from fpgan_jax.synthesis import drawing
from tests.training import test_resume, tiny


class FakeTool:
    """Finds one minutia, as far right and down as the print is bright."""

    name = "fake"

    def extract(self, image):
        place = np.array([24 + image[24:-24, 24:-24].mean() / 10])
        return Template(Minutiae(place, place, np.zeros(1), np.ones(1, bool), np.ones(1)), None)


@pytest.fixture(autouse=True)
def fake_tool(monkeypatch):
    monkeypatch.setattr(nist_tools, "find_matching_tool", FakeTool)


def create_config(folder):
    config = tiny.create_ridge_config()
    config.data.condition, config.data.impressions_dir = "minutiae", str(folder)
    config.ridge_loss_weight = 0.0
    return config


@pytest.fixture
def prints_dir(tmp_path):
    folder = tmp_path / "prints"
    folder.mkdir()
    prints = tiny.create_prints()
    for person, image in zip(prints.persons, prints.images, strict=True):
        Image.fromarray(image[..., 0]).save(folder / f"{person}_1.png")
    return folder


@pytest.mark.usefixtures("shared_programs")
@pytest.mark.seconds(30)
def test_a_stopped_run_goes_on_bit_for_bit_and_draws_from_its_maps(prints_dir, tmp_path):
    config = create_config(prints_dir)
    whole = test_resume.train(tmp_path / "whole", config)
    with pytest.raises(test_resume.Killed):
        test_resume.train(tmp_path / "stopped", config, killed_before_step=5)
    jax.tree.map(np.testing.assert_array_equal, test_resume.train(tmp_path / "stopped", config), whole)
    # The grid's first column is the map itself.
    grid = np.asarray(Image.open(tmp_path / "whole" / "samples" / "epoch_0001.png"))
    pair = tiny.create_source(config)._pairs[0]
    np.testing.assert_array_equal(grid[:16, :16], pair["noise_image"][..., 0])
    rows = drawing.synthesize(str(tmp_path / "whole"), str(tmp_path / "drawn"))
    assert len(rows) == 12
    draw = inference.restore_generator(str(tmp_path / "whole"))
    condition = draw.map_print(prints_dir / "1_1.png")
    np.testing.assert_array_equal(condition, pair["noise_image"])
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "001_00.png"))
    np.testing.assert_allclose(drawn, draw(condition, (0, 1, 0))[..., 0].astype(int), atol=1)


def test_the_warp_s_neutral_value_is_the_map_s_background():
    assert ridge_pairs.NEUTRALS["minutiae"] == (0.0,)
