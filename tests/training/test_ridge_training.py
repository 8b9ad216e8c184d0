"""Training from ridge maps: what holds for pairs of noise holds for them."""

import jax
import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.serving import inference, networks
from fpgan_jax.synthesis import drawing
from tests.training import test_resume, tiny
from tests.training.test_dispatch import measure_difference

pytestmark = pytest.mark.usefixtures("shared_programs")


@pytest.fixture(scope="module")
def prints_dir(tmp_path_factory):
    """Write the tiny experiment's prints as impressions of three fingers."""
    folder = tmp_path_factory.mktemp("prints")
    prints = tiny.create_prints()
    for person, image in zip(prints.persons, prints.images, strict=True):
        Image.fromarray(image[..., 0]).save(folder / f"{person}_1.png")
    return folder


def train(workdir, *, killed_before_step=None, **changes):
    config = tiny.create_ridge_config()
    config.update_from_flattened_dict(changes)
    return test_resume.train(workdir, config, killed_before_step=killed_before_step)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prints_dir):
    """Train without a stop; return (workdir, final state)."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir, **{"data.impressions_dir": str(prints_dir)})


@pytest.mark.seconds(20)
def test_a_stopped_run_goes_on_bit_for_bit(whole, tmp_path):
    with pytest.raises(test_resume.Killed):
        train(tmp_path, killed_before_step=5)
    jax.tree.map(np.testing.assert_array_equal, train(tmp_path), whole[1])


@pytest.mark.seconds(20)
def test_several_steps_a_dispatch_on_the_devices_examples_train_the_same(whole, tmp_path):
    changes = {"data.feeding": "device", "steps_per_dispatch": 3, "sample_epochs": ()}
    state = train(tmp_path, **changes)
    # Rounding, as in tests/training/test_dispatch.py; another batch or warp moves the weights a hundred times as far.
    assert measure_difference(state.generator.params, whole[1].generator.params) < 2e-6


def test_the_rows_have_the_ridge_loss_and_the_grids_the_map(whole):
    workdir, _ = whole
    names, *rows = (line.split(",") for line in (workdir / "metrics.csv").read_text().splitlines())
    assert 0 < float(rows[-1][names.index("ridge_loss")]) < 2
    # A map, a generated print and a real one of 16 pixels a row, and two rows.
    assert np.asarray(Image.open(workdir / "samples" / "epoch_0001.png")).shape == (32, 48)


def test_every_pair_is_drawn_from_its_prints_map(whole, tmp_path):
    rows = drawing.synthesize(str(whole[0]), str(tmp_path))
    assert [(row.person, row.replica) for row in rows] == [(p, r) for p in (1, 2, 3) for r in range(4)]
    pair = tiny.create_source(tiny.create_ridge_config())._pairs[5]
    image = inference.restore_generator(str(whole[0]))(pair["noise_image"], (0, 2, 1))
    drawn = np.asarray(Image.open(tmp_path / "002_01.png"))
    np.testing.assert_allclose(drawn, image[..., 0].astype(int), atol=1)


def test_other_prints_than_those_of_the_training_are_refused(whole, prints_dir, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in prints_dir.iterdir():
        Image.fromarray(255 - np.asarray(Image.open(file))).save(other / file.name)
    with pytest.raises(UserError, match=r"config\.data\.impressions_dir=.*: holds other prints"):
        drawing.synthesize(
            str(whole[0]), str(tmp_path / "out"), data_overrides={"impressions_dir": str(other)}
        )


def test_one_print_is_mapped_and_drawn(whole, prints_dir):
    draw = inference.restore_generator(str(whole[0]))
    condition = draw.map_print(prints_dir / "2_1.png")
    source = tiny.create_source(tiny.create_ridge_config())
    np.testing.assert_array_equal(condition[..., :4], source._pairs[4]["noise_image"][..., :4])
    assert draw(condition).shape == (16, 16, 1)
    with pytest.raises(UserError, match=r"condition: give a uint8 array \[16, 16, 5\]"):
        draw(condition[..., :1])


def test_the_served_function_takes_conditions(whole):
    network = networks.restore_network(str(whole[0]))
    assert (network.inputs[0].shape, network.output.shape) == ((16, 16, 5), (16, 16, 1))
    condition = tiny.create_source(tiny.create_ridge_config())._pairs[5]["noise_image"]
    image = network.function(condition[None])[0]
    expected = inference.restore_generator(str(whole[0]))(condition)
    np.testing.assert_allclose(np.asarray(image, int), expected, atol=1)
