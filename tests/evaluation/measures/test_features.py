"""Features against waves and stripes whose frequency and direction are known, and against the classifier's own head."""

import jax
import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.measures import features
from fpgan_jax.models import factory
from fpgan_jax.scoring import similarity
from tests.evaluation.measures import ridge_study
from tests.serving.test_formats import PERSONS, create_weights, save_checkpoint

SIZE = 96


def draw_wave(cycles_down, cycles_across, size=SIZE):
    rows, columns = np.mgrid[:size, :size] / size
    wave = np.cos(2 * np.pi * (cycles_down * rows + cycles_across * columns))
    return np.rint(128 + 100 * wave).astype(np.uint8)[None]


@pytest.mark.parametrize("cycles", [(0, 12), (24, 0), (18, 24)])
def test_a_waves_power_is_in_its_ring(cycles):
    spectrum = features.compute_radial_spectrum(draw_wave(*cycles))[0]
    # 23 rings from 3 to 48 cycles.
    assert spectrum.argmax() == int((np.hypot(*cycles) - 3) / 45 * 23)


@pytest.mark.parametrize("size", [64, 96, 128])
def test_a_checkerboard_is_in_the_last_ring(size):
    board = (np.indices((size, size)).sum(0) % 2 * 100).astype(np.uint8)[None]
    assert features.compute_radial_spectrum(board)[0].argmax() == 23


def test_faint_noise_in_an_enlarged_print_shows_in_the_last_ring_only():
    print_ = ridge_study.draw_ridges(1, size=64, period=2.3)
    enlarged = np.asarray(Image.fromarray(print_).resize((256, 256), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).normal(0, 4, enlarged.shape)
    noisy = np.clip(np.rint(enlarged + noise), 0, 255)
    spectra = features.compute_radial_spectrum(np.stack([enlarged, noisy]).astype(np.uint8))
    difference = np.abs(spectra[1] - spectra[0])
    assert difference[:-1].max() < 0.5 < 2 < difference[-1]


def test_white_noise_has_its_variance_everywhere():
    images = np.random.default_rng(0).integers(0, 256, (400, 64, 64), np.uint8)
    spectrum = np.expm1(features.compute_radial_spectrum(images)).mean(0)
    # The lowest ring's 15 frequencies, which the window correlates, have a standard error of about 2%.
    np.testing.assert_allclose(spectrum, (256**2 - 1) / 12, rtol=0.08)


def test_a_blank_image_has_no_power():
    assert not features.compute_radial_spectrum(np.full((1, SIZE, SIZE), 255, np.uint8)).any()


def test_a_mirrored_print_has_the_same_spectrum():
    image = ridge_study.draw_ridges(1)[None]
    np.testing.assert_allclose(
        features.compute_radial_spectrum(image[:, :, ::-1]), features.compute_radial_spectrum(image)
    )


@pytest.mark.parametrize(
    ("cycles", "vector"), [((0, 12), (1, 0)), ((12, 0), (-1, 0)), ((12, 12), (0, 1)), ((12, -12), (0, -1))]
)
def test_parallel_ridges_have_a_vector_of_length_one(cycles, vector):
    orientation = features.compute_orientation(draw_wave(*cycles))
    np.testing.assert_allclose(orientation, np.broadcast_to(vector, (1, 16, 2)), atol=0.02)


def test_crossed_ridges_have_no_direction():
    crossed = (draw_wave(0, 12).astype(float) + draw_wave(12, 0)) / 2
    # Not quite at the image's edge, where differences are one-sided.
    np.testing.assert_allclose(features.compute_orientation(crossed.astype(np.uint8)), 0, atol=0.03)


def test_a_blank_cell_has_no_direction():
    assert not features.compute_orientation(np.zeros((1, SIZE, SIZE), np.uint8)).any()


def test_hand_made_features_of_many_images_are_those_of_each():
    images = np.random.default_rng(0).integers(0, 256, (33, 64, 64), np.uint8)
    compute = features.HAND_MADE.compute
    together = compute(images)
    assert together.shape == (33, 24 + 3 * 16 + 2)
    np.testing.assert_allclose(together[[0, 32]], np.concatenate([compute(images[:1]), compute(images[32:])]))


def test_hand_made_features_end_with_mean_and_deviation():
    image = np.full((1, 64, 64), 10, np.uint8)
    image[:, :32] = 30
    np.testing.assert_allclose(features.HAND_MADE.compute(image)[0, -2:], (20, 10))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Save an untrained classifier of 80x80 pixels; return (its workdir, its weights)."""
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 80
    weights = create_weights(factory.create_classifier(config, num_classes=len(PERSONS)), config, 1)
    workdir = tmp_path_factory.mktemp("features") / "classifier"
    save_checkpoint(workdir, config, {"classifier": weights}, persons=PERSONS)
    return str(workdir), weights


def test_a_classifiers_features_times_its_last_layer_are_its_probabilities(classifier):
    workdir, weights = classifier
    images = np.random.default_rng(0).integers(0, 256, (6, 80, 80), np.uint8)
    extractor = features.create_classifier_extractor(workdir, [1, 3])
    head = weights["params"]["predictions"]
    logits = extractor.compute(images) @ head["kernel"] + head["bias"]
    expected = similarity.Scorer(workdir).compute_probabilities(images[..., None])
    np.testing.assert_allclose(jax.nn.softmax(logits), expected, rtol=1e-3)


def test_a_classifier_of_the_studys_persons_is_refused(classifier):
    # PERSONS are 2, 5 and 9.
    with pytest.raises(UserError, match="trained on 2 of the study's persons \\(the first is 5\\)"):
        features.create_classifier_extractor(classifier[0], [9, 5, 1])


def test_the_name_says_whose_other_finger_the_classifier_knows(classifier):
    extractor = features.create_classifier_extractor(classifier[0], [], shared_persons=[1, 5, 9])
    assert extractor.name == (
        "features of an Xception trained on another finger of 3 persons, of whom 2 have prints here too"
    )
    assert features.create_classifier_extractor(classifier[0], []).name.endswith("3 other persons")


def test_prints_of_another_size_than_the_classifiers_are_refused(classifier):
    extractor = features.create_classifier_extractor(classifier[0], [])
    with pytest.raises(UserError, match="trained on images of 80x80 pixels; the prints have 96x64"):
        extractor.compute(np.zeros((1, 64, 96), np.uint8))


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match="no checkpoints here; train first"):
        features.create_classifier_extractor(str(tmp_path), [])


def test_weights_of_another_width_are_refused(classifier, tmp_path):
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 80
    config.classifier.width = 0.1
    save_checkpoint(tmp_path / "classifier", config, {"classifier": classifier[1]}, persons=PERSONS)
    with pytest.raises(UserError, match="classifier step "):
        features.create_classifier_extractor(str(tmp_path / "classifier"), [])
