"""The paper's similarity as a measure, with the frame and without."""

import math

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import create_impression
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.measures import similarity
from fpgan_jax.evaluation.study.findings import REFUSED, SKIPPED
from fpgan_jax.evaluation.study.print_collection import REFERENCE, SYNTHETIC, PrintCollection, Study


def create_config(frame):
    config = test_size.get_config()
    config.data.frame, config.data.image_size = frame, 128
    return config


def create_scorer_class(frames):
    """Create a class whose scorers know persons 1 and 2 and take a print's first pixel for the second's probability."""

    class FakeScorer:
        persons = (1, 2)

        def __init__(self, workdir):
            self.config = create_config(frames[workdir])

        def compute_probabilities(self, images):
            second = images[:, 64, 64, 0] / 100
            return np.stack([1 - second, second], axis=1)

    return FakeScorer


def create_study(images, persons, workdirs=("crop",)):
    config = create_config("crop")
    config.evaluation.num_resamples = 200
    values = np.repeat(np.array(images, np.uint8), 128 * 128).reshape(-1, 128, 128)
    names = tuple(map(str, range(len(images))))
    collections = {
        "real": PrintCollection("real", REFERENCE, values[:2], np.array([1, 2]), ("r1", "r2")),
        "synthetic": PrintCollection("synthetic", SYNTHETIC, values, np.array(persons), names),
    }
    return Study(collections, config.evaluation, workdirs), config.data


@pytest.fixture
def measure(monkeypatch):
    def run(images, persons, frames=("crop",), std_ddof=0):
        monkeypatch.setattr(
            similarity, "Scorer", create_scorer_class({str(i): frame for i, frame in enumerate(frames)})
        )
        made, data_config = create_study(images, persons, tuple(map(str, range(len(frames)))))
        made.settings.std_ddof = std_ddof
        findings = similarity.measure(made, data_config)
        return {(row.measure, row.collection): row for row in findings.measures}, findings

    return run


def test_the_mean_is_of_the_own_persons_probability(measure):
    # Person 1 has 0.9 and 0.7, person 2 has 0.2; a print of nobody known has no score.
    rows, _ = measure([10, 30, 20, 50], [1, 1, 2, -1])
    row = rows["similarity_frame_crop", "synthetic"]
    assert row.value == pytest.approx((0.9 + 0.7 + 0.2) / 3)
    assert (row.num_images, row.num_persons) == (3, 2)


def test_deviations_are_over_images_and_over_the_persons_means(measure):
    rows, _ = measure([10, 30, 20], [1, 1, 2])
    over_images = rows["similarity_frame_crop_std_over_images", "synthetic"].value
    over_persons = rows["similarity_frame_crop_std_over_persons", "synthetic"].value
    assert over_images == pytest.approx(math.sqrt((0.3**2 + 0.1**2 + 0.4**2) / 3))
    assert over_persons == pytest.approx(0.3)  # means 0.8 and 0.2


def test_a_deviation_of_one_person_divided_by_n_minus_1_is_refused(measure):
    rows, _ = measure([10, 30], [1, 1], std_ddof=1)
    row = rows["similarity_frame_crop_std_over_persons", "synthetic"]
    assert row.status == REFUSED and np.isnan(row.value)
    assert row.note == "one of the persons has no deviation divided by n - 1 (config.evaluation.std_ddof)"
    assert rows["similarity_frame_crop_std_over_images", "synthetic"].value == pytest.approx(0.2 / 2**0.5)


def test_recognized_is_the_share_of_prints_whose_own_person_comes_first(measure):
    rows, _ = measure([10, 30, 20], [1, 1, 2])
    assert rows["recognised_frame_crop", "synthetic"].value == pytest.approx(2 / 3)


def test_every_scored_print_has_a_row(measure):
    _, findings = measure([10, 30, 20, 50], [1, 1, 2, -1])
    scores = {row.filename: row.value for row in findings.images if row.collection == "synthetic"}
    assert scores == pytest.approx({"0": 0.9, "1": 0.7, "2": 0.2})


def test_a_kind_of_frame_without_a_classifier_is_skipped_with_the_reason(measure):
    rows, _ = measure([10, 30], [1, 2])
    row = rows["similarity_frame_keep", "all"]
    assert row.status == SKIPPED and "--config.data.frame=keep" in row.note


def test_two_classifiers_of_a_kind_are_refused(measure):
    with pytest.raises(UserError, match="a second classifier with config.data.frame='crop'"):
        measure([10, 30], [1, 2], frames=("crop", "crop"))


def test_a_classifier_of_other_persons_is_refused(monkeypatch):
    scorer_class = create_scorer_class({"other": "crop"})
    scorer_class.persons = (8, 9)
    monkeypatch.setattr(similarity, "Scorer", scorer_class)
    with pytest.raises(UserError, match="knows persons 8, 9"):
        similarity.measure(*create_study([10, 30], [1, 2], ("other",)))


def test_a_classifier_of_another_finger_is_refused(monkeypatch):
    monkeypatch.setattr(similarity, "Scorer", create_scorer_class({"crop": "crop"}))
    judged, data = create_study([10, 30], [1, 2])
    data.hand = "Left"
    with pytest.raises(UserError, match="crop: trained on Right index fingers .* are of Left index ones"):
        similarity.measure(judged, data)


@pytest.fixture(scope="module")
def scan():
    return create_impression(create_finger(0, 3))


@pytest.mark.parametrize(("before", "after"), [("keep", "crop"), ("crop", "keep")])
def test_a_print_of_one_kind_is_brought_to_the_other(scan, before, after):
    given, wanted = (
        preprocessing.preprocess_print(scan, create_config(frame).data)[..., 0] for frame in (before, after)
    )
    changed = similarity.change_frame(given[None], create_config(before).data, after)[0]
    # Resampled twice: nearer to what it should be than to what it was by far, and the frame itself is exact.
    error = np.abs(changed.astype(float) - wanted).mean()
    assert error < 0.25 * np.abs(given.astype(float) - wanted).mean()
    if after == "keep":
        assert (changed[-4:] == 0).all() and (changed[:, -4:] == 0).all()
