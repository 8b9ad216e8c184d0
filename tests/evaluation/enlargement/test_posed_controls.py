"""Controls in the pose of an impression: at which scale they are judged, and what the warped print is."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.data.ridges import distortion
from fpgan_jax.data.ridges.distortion import Pose
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.enlargement import posed_controls
from fpgan_jax.evaluation.enlargement.posed_controls import MAP, WARPED
from fpgan_jax.evaluation.enlargement.print_folders import Posed, Request, Window
from fpgan_jax.evaluation.recognition.print_sets import SetPlace
from fpgan_jax.evaluation.study.print_collection import SYNTHETIC, PrintCollection

REAL = SetPlace("a", "prints", (500.0, 500.0))
DRAWN = PrintCollection("ours", SYNTHETIC, np.zeros((1, 40, 40), np.uint8), np.array([1]), ("a/1_01.png",))


@pytest.fixture
def create(monkeypatch):
    def create_controls(ppi, noise="given_print"):
        image = np.full((20, 20), 255, np.uint8)
        image[5:15, 5:15] = 0
        row = types.SimpleNamespace(file="1_01.png", noise=noise, seed=0)
        enlargement = types.SimpleNamespace(resolution=(250.0, 250.0))
        monkeypatch.setattr(posed_controls, "read_rows", lambda *_: [row])
        monkeypatch.setattr(posed_controls.enlarging, "open_enlargement", lambda *_, **__: enlargement)
        monkeypatch.setattr(posed_controls, "_draw", lambda *_: {WARPED: [image], MAP: [image]})
        request = Request(real=[REAL], more_impressions=[Posed("a", SetPlace("ours", "drawn", ppi))])
        return posed_controls.create_posed_controls("gan", request, [DRAWN], Window((40, 40), 250.0), {})

    return create_controls


@pytest.mark.parametrize("ppi", [(250.0, 250.0), (230.0, 272.0)])
def test_controls_have_square_pixels_whatever_the_impressions_have(create, ppi):
    warped, drawn_map = create(ppi)
    assert (warped.name, drawn_map.name) == (WARPED, MAP)
    # 10 of 20 pixels at 250 per inch are 20 of 40 at 500, both ways.
    is_dark = warped.images[0] < 128
    assert (is_dark.any(1).sum(), is_dark.any(0).sum()) == (20, 20)


def test_new_fingers_have_no_controls_of_a_given_print(create):
    with pytest.raises(UserError, match="holds no impression of a given print"):
        create((250.0, 250.0), noise="new_finger")


def test_a_print_that_was_not_moved_comes_back_as_it_is(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (24, 20), np.uint8)
    still = Pose(jnp.float32(0), jnp.zeros(2), jnp.ones(2))
    monkeypatch.setattr(distortion, "sample_field", lambda key, shape, *_, **__: jnp.zeros((2, *shape)))
    source = types.SimpleNamespace(load_print=lambda _: image, period=8.0, stretch=1.0)
    row = types.SimpleNamespace(source="1_1.png", field_seed=1, variation=types.SimpleNamespace(pose=still))
    np.testing.assert_array_equal(posed_controls.warp_print(source, row, image.shape, 1.0), image)
