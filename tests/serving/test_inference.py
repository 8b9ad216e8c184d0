"""One image from Python: the program of docs/python.md, and the same numbers as the scripts'."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data import preprocessing
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.procedural.impressions import SIZES
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.scoring import similarity
from fpgan_jax.serving import inference
from fpgan_jax.synthesis import drawing, manifest
from tests.serving.test_formats import PERSONS, create_weights, save_checkpoint
from tests.training import tiny

# A batch of another size may be summed in another order; see tests/serving/test_formats.py.
PROBABILITY_TOLERANCE = 1e-4


def save_generator(workdir, config):
    weights = create_weights(factory.create_generator(config), config, 0)
    pairs = [[person, replica] for person in PERSONS for replica in range(2)]
    save_checkpoint(workdir, config, {"generator": weights}, pairs=pairs, pair_names=[])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save untrained networks: runs/quickstart/{gan, classifier} of 80x80 pixels, and tiny of 16x16."""
    folder = tmp_path_factory.mktemp("inference")
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 80
    config.generator.form, config.generator.num_levels = "ronneberger", 0
    save_generator(folder / "runs" / "quickstart" / "gan", config)
    classifier = create_weights(factory.create_classifier(config, num_classes=len(PERSONS)), config, 1)
    save_checkpoint(
        folder / "runs" / "quickstart" / "classifier", config, {"classifier": classifier}, persons=PERSONS
    )
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5
    save_generator(folder / "tiny", config)
    return folder


@pytest.fixture(scope="module")
def draw(folder):
    return inference.restore_generator(str(folder / "tiny"))


@pytest.fixture(scope="module")
def score(folder):
    return inference.restore_classifier(str(folder / "runs" / "quickstart" / "classifier"))


def create_image(size):
    return np.random.default_rng(0).integers(0, 256, (size, size, 1), np.uint8)


def test_the_documented_program_draws_and_scores(folder, tmp_path, monkeypatch):
    text = pathlib.Path("docs/python.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[1].split("```")[0]
    (tmp_path / "runs").symlink_to(folder / "runs")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(program, names)
    assert names["synthetic_image"].dtype == np.uint8 and names["synthetic_image"].std() > 1
    scorer = similarity.Scorer("runs/quickstart/classifier")
    expected = scorer.compute_probabilities(names["synthetic_image"][None])[0][PERSONS.index(2)]
    assert names["similarity_score"] == pytest.approx(expected, rel=PROBABILITY_TOLERANCE)


@pytest.mark.parametrize("noise", ["training", "new"])
def test_a_manifests_row_is_drawn_again(folder, draw, tmp_path, noise):
    drawing.synthesize(str(folder / "tiny"), str(tmp_path), overrides={"noise": noise})
    for row in manifest.read_manifest(str(tmp_path))[2:4]:
        np.testing.assert_array_equal(draw.draw_row(row)[..., 0], np.asarray(Image.open(tmp_path / row.file)))


def test_a_row_of_other_settings_is_named(folder, draw, tmp_path):
    rows = drawing.synthesize(str(folder / "tiny"), str(tmp_path), overrides={"deterministic": True})
    with pytest.raises(UserError, match="was drawn otherwise .dropout is 'off' there and 'on' here"):
        draw.draw_row(rows[0])


def test_many_images_are_drawn_as_one_is(draw):
    images = np.random.default_rng(1).integers(0, 256, (18, 16, 16, 1), np.uint8)
    drawn = draw.draw_images(images)
    assert (drawn.shape, drawn.dtype) == ((18, 16, 16, 1), np.uint8)
    for index in (0, 15, 16, 17):
        np.testing.assert_array_equal(drawn[index], draw(images[index], (0, 0, index)))
    assert draw.draw_images([]).shape == (0, 16, 16, 1)
    with pytest.raises(UserError, match=r"dropout_seeds: 1 for 18 images"):
        draw.draw_images(images, [(0, 0, 0)])


def test_a_manifests_row_is_drawn_to_the_bit(folder, draw, tmp_path):
    row = drawing.synthesize(str(folder / "tiny"), str(tmp_path), overrides={"noise": "new"})[3]
    noise_image = create_noise_image(
        row.noise_seed, row.person, row.replica, shape=(16, 16, 1), distribution="uniform"
    )
    image = draw(noise_image, (row.seed, row.person, row.replica))
    np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(tmp_path / row.file)))


def test_the_dropout_seed_changes_the_image(draw):
    assert (draw(create_image(16)) != draw(create_image(16), (0, 0, 1))).any()


def test_an_array_without_channels_keeps_its_shape(draw):
    np.testing.assert_array_equal(draw(create_image(16)[..., 0]), draw(create_image(16))[..., 0])


def test_a_file_is_its_pixels(draw, tmp_path):
    Image.fromarray(create_image(16)[..., 0]).save(tmp_path / "noise.png")
    np.testing.assert_array_equal(draw(tmp_path / "noise.png"), draw(create_image(16)))


def test_settings_of_the_synthesis_may_be_overridden(folder, draw):
    other = inference.restore_generator(str(folder / "tiny"), overrides={"use_running_average": True})
    assert (draw(create_image(16)) != other(create_image(16))).any()


def test_every_persons_probability_is_given(score):
    probabilities = score.compute_probabilities(create_image(80))
    assert list(probabilities) == PERSONS and sum(probabilities.values()) == pytest.approx(1)
    assert score(create_image(80), 9) == probabilities[9]


def test_a_scan_is_preprocessed_as_the_training_prints_were(score, tmp_path):
    scan = np.random.default_rng(0).integers(0, 256, (103, 96), np.uint8)
    Image.fromarray(scan).save(tmp_path / "scan.bmp")
    pixels = preprocessing.preprocess_print(scan, score.config.data)
    assert score(tmp_path / "scan.bmp", 2) == score(pixels, 2)
    for array in (scan, scan[..., None], np.repeat(scan[..., None], 3, axis=2)):
        assert score(array, 2) == score(pixels, 2)


def test_a_scan_in_color_is_named(score):
    with pytest.raises(UserError, match="a scan in color"):
        score(np.random.default_rng(0).integers(0, 256, (103, 96, 3), np.uint8), 2)


@pytest.fixture(scope="module")
def score_at_a_scans_size(folder):
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size, config.data.image_width = 103, 96
    classifier = create_weights(factory.create_classifier(config, num_classes=len(PERSONS)), config, 1)
    save_checkpoint(folder / "at_size", config, {"classifier": classifier}, persons=PERSONS)
    return inference.restore_classifier(str(folder / "at_size"))


def test_a_file_that_may_be_a_scan_or_not_is_not_guessed(score_at_a_scans_size, tmp_path):
    score = score_at_a_scans_size
    scan = np.random.default_rng(0).integers(0, 256, (103, 96), np.uint8)
    path = tmp_path / "scan.bmp"
    Image.fromarray(scan).save(path)
    with pytest.raises(UserError, match=r"scan\.bmp: .* set is_scan=True or is_scan=False"):
        score(path, 2)
    assert score(path, 2, is_scan=False) == score(scan, 2)
    assert score(path, 2, is_scan=True) == score(preprocessing.preprocess_print(scan, score.config.data), 2)


def test_scans_have_the_sizes_of_the_procedural_ones():
    sizes = tuple((size.width, size.height) for size in SIZES.values())
    assert sizes == preprocessing.SCAN_SIZES


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((16, 16, 1)), "image: an array of float64; give uint8"),
        (np.zeros((100, 96, 1), np.uint8), "image: 100x96x1 .* trained on "),
        ("none.png", r"none\.png: cannot be read as an image"),
    ],
    ids=["floats", "size", "no file"],
)
def test_what_is_no_image_of_the_networks_is_named(draw, score, image, text):
    for function, arguments in ((draw, ()), (score, (5,))):
        with pytest.raises(UserError, match=text):
            function(image, *arguments)


def test_a_person_whom_the_classifier_does_not_know_is_named(score):
    with pytest.raises(UserError, match="person 7: the classifier knows 2, 5, 9"):
        score(create_image(80), person=7)


def test_a_folder_without_a_run_is_named(tmp_path):
    for restore in (inference.restore_generator, inference.restore_classifier):
        with pytest.raises(UserError, match="no checkpoints here"):
            restore(str(tmp_path))


def test_an_unknown_override_is_named(folder):
    with pytest.raises(UserError, match=r"config\.synthesis\.use_emma: no such field"):
        inference.restore_generator(str(folder / "tiny"), overrides={"use_emma": True})
