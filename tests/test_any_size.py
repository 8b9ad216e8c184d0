"""Prints of any height and width train, are drawn and are scored, and a folder of such pairs does."""

import jax
import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data import feeding, pair_folder
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.serving import inference
from fpgan_jax.synthesis import drawing
from fpgan_jax.training import classifier_trainer, gan_trainer
from tests.training import tiny

# Two halvings of 20x13: to multiples of 8 the width would grow by 3 of 13, of 16 the height by 12.
HEIGHT, WIDTH = 20, 13


def create_config(**changes):
    config = tiny.create_config()
    config.data.image_size, config.data.image_width = HEIGHT, WIDTH
    config.update_from_flattened_dict(changes)
    return config


def create_source(config):
    images = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 1), np.uint8)
    prints = PrintSet(images, np.array([1, 2, 3], np.int32), ("1", "2", "3"))
    return feeding.create_gan_source_from_prints(config, prints)


@pytest.fixture(scope="module")
def gan_workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("any_size") / "gan"
    config = create_config()
    gan_trainer.train_and_evaluate(config, str(workdir), create_source(config))
    return workdir


def test_sample_grids_have_tiles_of_the_size(gan_workdir):
    # Two rows of noise, drawn print and real print.
    assert Image.open(gan_workdir / "samples" / "epoch_0001.png").size == (3 * WIDTH, 2 * HEIGHT)


def test_prints_of_the_size_are_drawn(gan_workdir, tmp_path):
    rows = drawing.synthesize(str(gan_workdir), str(tmp_path))
    assert {Image.open(tmp_path / row.file).size for row in rows} == {(WIDTH, HEIGHT)}


def test_one_print_is_drawn_from_python(gan_workdir):
    draw = inference.restore_generator(str(gan_workdir))
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    assert draw(noise).shape == (HEIGHT, WIDTH)


def test_both_ways_of_feeding_train_alike(gan_workdir, tmp_path):
    config = create_config(**{"data.feeding": "device"})
    gan_trainer.train_and_evaluate(config, str(tmp_path), create_source(config))
    rows, expected = (
        np.loadtxt(workdir / "metrics.csv", delimiter=",", skiprows=1) for workdir in (tmp_path, gan_workdir)
    )
    # That optimized programs give the same bits is tested at another size.
    np.testing.assert_allclose(rows, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"generator.form": "ronneberger", "generator.norm": "none", "generator.num_levels": 0},
            marks=pytest.mark.slow,
        ),
        {"generator.upsampling": "resize"},
        pytest.param({"generator.num_levels": 4, "discriminator.receptive_field": 1}, marks=pytest.mark.slow),
    ],
    ids=["ronneberger", "resize", "levels"],
)
def test_other_networks_train_too(tmp_path, changes):
    config = create_config(**changes, num_epochs=1, sample_epochs=())
    state = gan_trainer.train_and_evaluate(config, str(tmp_path), create_source(config))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.generator.params))


def test_pairs_of_the_size_are_read_as_they_are(tmp_path):
    sides = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH), np.uint8)
    Image.fromarray(np.concatenate(sides, axis=1)).save(tmp_path / "001_00.png")
    config = create_config(**{"data.source": "paired_folder", "data.paired_dir": str(tmp_path)})
    pair = pair_folder.PairFolder(tmp_path, config.data)[0]
    np.testing.assert_array_equal(np.stack([pair["noise_image"], pair["real_image"]])[..., 0], sides)


@pytest.mark.slow
def test_a_classifier_learns_and_scores_prints_of_the_size(tmp_path):
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size, config.data.image_width = 75, 71
    images = np.random.default_rng(0).integers(0, 256, (3, 75, 71, 1), np.uint8)
    prints = PrintSet(images, np.array([2, 5, 9], np.int32), ("2", "5", "9"))
    source = feeding.create_classifier_source_from_prints(config, prints)
    classifier_trainer.train_and_evaluate(config, str(tmp_path), source)
    probabilities = inference.restore_classifier(str(tmp_path)).compute_probabilities(images[1])
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
