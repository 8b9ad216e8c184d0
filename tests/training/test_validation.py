"""Validation pairs: the numbers that are written of them, and that the training does not notice."""

import csv

import jax
import numpy as np
import pytest

from fpgan_jax.data import feeding, pairs
from fpgan_jax.errors import UserError
from fpgan_jax.training import gan_trainer, validation
from fpgan_jax.training.reporting import Reporter
from tests.training import tiny

SIZE = 16


def create_images(num_pairs, seed=0):
    return np.random.default_rng(seed).integers(0, 200, (num_pairs, SIZE, SIZE, 1), np.uint8)


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]


def copy_condition(variables, noise_image, keys):
    """Draw the condition."""
    assert len(noise_image) == len(keys) == 4
    return noise_image.astype(np.float32) / 127.5 - 1


def measure(conditions, targets):
    batch = {"noise_image": conditions, "real_image": targets}
    own = validation.Validation(tiny.create_config(), copy_condition, batch, batch_size=4)
    return own.measure({})


def test_the_numbers_are_means_over_all_pairs():
    conditions = create_images(6)
    targets = conditions.copy()
    targets[:3] += 51  # 0.4 on the scale [-1, 1], of half of the pairs
    values, rows = measure(conditions, targets)
    assert values["num_pairs"] == 6 and values["l1"] == pytest.approx(0.2, abs=1e-12)
    assert 0.5 < values["ssim"] < 1  # three pairs are equal
    assert len(rows) == 2
    for images, expected in zip(rows[1], (conditions[1], conditions[1], targets[1]), strict=True):
        np.testing.assert_array_equal(images, expected)


def test_equal_images_have_an_ssim_of_one():
    images = create_images(2)
    assert measure(images, images)[0] == {"num_pairs": 2, "l1": 0, "ssim": 1}


def create_source(config, validation_pairs=None):
    return feeding.create_gan_source_from_pairs(
        config, pairs.ArrayPairs(create_images(4), create_images(4, 1)), validation_pairs
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train on arrays twice, with validation pairs and without."""
    config = tiny.create_config()
    config.num_epochs, config.sample_epochs = 4, (1, 3, 4)  # of a step each
    states, folders = {}, {}
    for name in ("watched", "alone"):
        own = pairs.ArrayPairs(create_images(3, 2), create_images(3, 3)) if name == "watched" else None
        folders[name] = tmp_path_factory.mktemp(name)
        states[name] = gan_trainer.train_and_evaluate(config, str(folders[name]), create_source(config, own))
    return states, folders


def test_the_training_does_not_notice(trained):
    states, folders = trained
    assert (folders["watched"] / "metrics.csv").read_bytes() == (
        folders["alone"] / "metrics.csv"
    ).read_bytes()
    jax.tree.map(np.testing.assert_array_equal, states["watched"], states["alone"])
    assert not (folders["alone"] / "validation.csv").exists()


def test_it_is_measured_with_the_samples(trained):
    _, folders = trained
    rows = read_rows(folders["watched"] / "validation.csv")
    assert [(row["step"], row["epoch"], row["num_pairs"]) for row in rows] == [
        (1, 1, 3),
        (3, 3, 3),
        (4, 4, 3),
    ]
    assert all(0 < row["l1"] < 2 and -1 < row["ssim"] < 1 for row in rows)
    names = {path.name for path in (folders["watched"] / "samples").iterdir()}
    assert names == {f"{kind}epoch_{epoch:04d}.png" for kind in ("", "validation_") for epoch in (1, 3, 4)}


def test_a_continued_run_drops_the_rows_that_it_will_write_again(trained, tmp_path):
    _, folders = trained
    lines = (folders["watched"] / "validation.csv").read_text().splitlines(keepends=True)
    (tmp_path / "validation.csv").write_text("".join(lines))
    Reporter(str(tmp_path), start_step=3).close()
    assert (tmp_path / "validation.csv").read_text() == "".join(lines[:3])


def test_arrays_of_another_shape_than_the_configs_are_named():
    config = tiny.create_config()
    config.data.image_size = 32
    with pytest.raises(UserError, match=r"noise_image: \(16, 16, 1\) .* config says \(32, 32, 1\)"):
        create_source(config)
