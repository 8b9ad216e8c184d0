"""Distances of distributions against loops, closed forms and SciPy; neighborhoods of points worked out by hand."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import linalg

from fpgan_jax.evaluation.measures import distances, distribution
from fpgan_jax.evaluation.measures.features import HAND_MADE, FeatureExtractor
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import MEASURED, REFUSED
from fpgan_jax.evaluation.study.print_collection import BASELINE, CONTROL, SYNTHETIC
from tests.evaluation.measures import ridge_study
from tests.evaluation.measures.ridge_study import create_collection


def kernel(x, y):
    return (np.dot(x, y) / len(x) + 1) ** 3


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 3)), rng.normal(0.5, 1, size=(9, 3))


def test_kid_of_single_prints_is_the_unbiased_estimate(samples):
    x, y = samples
    within = [kernel(a, b) for a, b in itertools.permutations(x, 2)]
    others = [kernel(a, b) for a, b in itertools.permutations(y, 2)]
    across = [kernel(a, b) for a, b in itertools.product(x, y)]
    expected = np.mean(within) + np.mean(others) - 2 * np.mean(across)
    assert distances.compute_kid(x, np.arange(7), y, np.arange(9))[0] == pytest.approx(expected)


def test_kid_does_not_change_when_each_print_is_there_ten_times(samples):
    x, y = samples
    once = distances.compute_kid(x, np.arange(7), y, np.arange(9))
    many = distances.compute_kid(np.repeat(x, 10, axis=0), np.repeat(np.arange(7), 10), y, np.arange(9))
    np.testing.assert_allclose(many, once)


def test_kid_of_far_samples_has_a_narrow_interval_around_it(samples):
    x, y = samples
    value, low, high = distances.compute_kid(x + 30, np.arange(7), y, np.arange(9))
    assert 0 < low < value < high < 1.2 * value


def test_kid_is_zero_on_average_for_one_distribution():
    rng = np.random.default_rng(1)
    values = [
        distances.compute_kid(rng.normal(size=(8, 2)), np.arange(8), rng.normal(size=(20, 2)), np.arange(20))[
            0
        ]
        for _ in range(300)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)


def test_kids_interval_leaves_out_persons_of_either_sample(samples):
    x, y = samples
    value, *interval = distances.compute_kid(x, np.arange(7), y, np.arange(9))
    left_out = (
        [distances.compute_kid(np.delete(x, i, 0), np.arange(6), y, np.arange(9))[0] for i in range(7)],
        [distances.compute_kid(x, np.arange(7), np.delete(y, i, 0), np.arange(8))[0] for i in range(9)],
    )
    np.testing.assert_allclose(interval, intervals.find_skewed_interval(value, *map(np.array, left_out)))


def test_frechet_distance_is_scipys(samples):
    x, y = samples
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected += np.trace(cov_x + cov_y - 2 * linalg.sqrtm(cov_x @ cov_y).real)
    assert distances.compute_frechet_distance(x, y) == pytest.approx(expected)


def test_frechet_distance_on_a_line_by_hand():
    # Means 2 and 7, variances 4 and 16: 25 + (2 - 4)^2.
    x, y = np.array([[0.0], [2], [4]]), np.array([[3.0], [7], [11]])
    assert distances.compute_frechet_distance(x, y) == pytest.approx(29)


def test_frechet_distance_of_a_shifted_sample_is_the_shift(samples):
    x, _ = samples
    assert distances.compute_frechet_distance(x, x + np.array([1, 2, 2])) == pytest.approx(9)


def test_frechet_distances_of_several_samples_at_once(samples):
    x, y = samples
    together = distances.compute_frechet_distance(np.stack([x, 2 * x]), np.stack([y, y]))
    expected = [distances.compute_frechet_distance(x, y), distances.compute_frechet_distance(2 * x, y)]
    np.testing.assert_allclose(together, expected)


# On a line. Second-nearest neighbors of the reference are 2, 1, 2, 9 away: balls [-2, 2], [0, 2], [0, 4], [1, 19].
REFERENCE = np.array([[0.0], [1], [2], [10]])
POINTS = np.array([[1.5], [5], [5.5], [26]])


@pytest.fixture(scope="module")
def neighborhoods():
    return distances.compute_neighborhoods(POINTS, REFERENCE, 2)


def test_precision_by_hand(neighborhoods):
    np.testing.assert_array_equal(neighborhoods.precision, [True, True, True, False])


def test_density_by_hand(neighborhoods):
    # 1.5 is in all four balls, 5 and 5.5 in the last.
    np.testing.assert_array_equal(neighborhoods.density, [2, 0.5, 0.5, 0])


def test_coverage_by_hand(neighborhoods):
    np.testing.assert_array_equal(neighborhoods.coverage, [True, True, True, True])


def test_an_uncovered_reference_print():
    found = distances.compute_neighborhoods(POINTS[1:], REFERENCE, 2)
    np.testing.assert_array_equal(found.coverage, [False, False, False, True])


def test_recall_by_hand():
    # Second-nearest of 1.5, 2.5, 3.5 are 2, 1, 2 away: balls [-0.5, 3.5], [1.5, 3.5], [1.5, 5.5].
    found = distances.compute_neighborhoods(np.array([[1.5], [2.5], [3.5]]), REFERENCE, 2)
    np.testing.assert_array_equal(found.recall, [True, True, True, False])


@pytest.fixture(scope="module")
def study():
    plain = ridge_study.create_study()
    real = plain.reference
    replicas = create_collection(
        "synthetic_training", SYNTHETIC, np.repeat(real.images, 3, axis=0), np.repeat(real.persons, 3)
    )
    few = create_collection("few", BASELINE, real.images[:4], real.persons[:4])
    some = create_collection("some", BASELINE, real.images[:9], real.persons[:9])
    return ridge_study.replace(plain, replicas, few, some)


def measure(study, extractor=HAND_MADE):
    return distribution.measure(study, extractor)


@pytest.fixture(scope="module")
def findings(study):
    return measure(study)


def find(findings, measure, collection):
    (row,) = [r for r in findings.measures if (r.measure, r.collection) == (measure, collection)]
    return row


def test_every_measure_has_a_row_of_every_collection(study, findings):
    names = {(row.measure, row.collection) for row in findings.measures}
    assert len(names) == len(findings.measures) == 7 * len(study.collections)


def test_replicas_of_the_reference_score_as_the_reference(findings):
    for measure in ("kid", "frechet_distance", "precision", "recall", "density", "coverage"):
        replicas, real = (find(findings, measure, name) for name in ("synthetic_training", "real"))
        np.testing.assert_allclose(
            (replicas.value, replicas.low, replicas.high), (real.value, real.low, real.high), err_msg=measure
        )


def test_real_prints_are_near_to_real_prints(findings):
    # Of 12 persons held out, as many as the reference has; 36 are left to compare with.
    row = find(findings, "kid", "real_others")
    assert row.low < 0 < row.high and row.num_persons == 12
    assert row.note.startswith("12 of its persons, held out, in hand-made features")
    assert "against 36 of the 48 persons" in row.note


def test_white_noise_is_far(findings):
    assert find(findings, "kid", "control_white_noise").low > find(findings, "kid", "real").high
    assert find(findings, "precision", "control_white_noise").value == 0
    assert find(findings, "coverage", "control_white_noise").value == 0


def test_frechet_distance_has_a_dimension_for_five_persons(findings):
    row = find(findings, "frechet_distance", "real")
    assert row.note.startswith("2 principal components, in ")
    assert 0 <= row.low <= row.value <= row.high


def test_the_full_frechet_distance_is_refused(findings):
    row = find(findings, "frechet_distance_all_features", "synthetic_training")
    assert row.status == REFUSED and np.isnan(row.value)
    assert row.note == "12 persons give a covariance of 74 features a rank of at most 11; 370 are needed"


def test_four_persons_are_too_few_for_kid(findings):
    assert find(findings, "kid", "few").note == "4 persons; at least 5 are needed"


def test_nine_persons_are_enough_for_kid_alone(findings):
    statuses = {row.measure: row.status for row in findings.measures if row.collection == "some"}
    assert [measure for measure, status in statuses.items() if status == MEASURED] == ["kid"]
    assert find(findings, "recall", "some").note == "9 persons; at least 10 are needed"
    assert find(findings, "frechet_distance", "some").note == "9 persons; at least 10 are needed"


def test_prints_that_lie_in_both_are_left_out(study, findings):
    note = find(findings, "kid", "control_other_person").note
    shared = int(note.split("without ")[1].split(" ")[0])
    assert 0 < shared <= 12 and f"against {36 - shared} of the 48 persons" in note


def test_a_collection_that_is_the_population_leaves_nothing_to_compare_with(study):
    others = study.collections["real_others"]
    same = dataclasses.replace(others, name="same", role=CONTROL)
    found = measure(ridge_study.replace(ridge_study.create_study(with_controls=False), same))
    assert find(found, "kid", "same").note == "all but 0 of the 36 prints to compare with lie in it"


def test_without_other_persons_everything_is_refused():
    study = ridge_study.create_study(with_controls=False, num_others=29)
    found = measure(study)
    assert {row.status for row in found.measures} == {REFUSED}
    reasons = {row.note for row in found.measures}
    assert reasons == {"needs real prints of 30 persons outside the reference; there are 29"}


def test_of_a_person_of_the_population_one_print_counts():
    study = ridge_study.create_study(with_controls=False, num_others=30)
    others = study.collections["real_others"]
    twice = dataclasses.replace(
        others,
        images=np.repeat(others.images, 2, axis=0),
        persons=np.repeat(others.persons, 2),
        filenames=tuple(f"{name}_{i}" for name in others.filenames for i in range(2)),
    )
    once, again = (measure(s) for s in (study, ridge_study.replace(study, twice)))
    assert find(once, "kid", "real") == find(again, "kid", "real")


def test_features_may_come_from_elsewhere():
    study = ridge_study.create_study(with_controls=False, num_others=30)
    extractor = FeatureExtractor("two corners", lambda images: images[:, [0, 64], [0, 64]].astype(float))
    found = measure(study, extractor)
    assert "in two corners; against" in find(found, "kid", "real").note
    full = find(found, "frechet_distance_all_features", "real")
    low = find(found, "frechet_distance", "real")
    # Two features are two principal components, turned.
    assert full.value == pytest.approx(low.value)


def test_features_that_do_not_vary_are_left_out():
    study = ridge_study.create_study(with_controls=False, num_others=30)

    def compute(images):
        varying = images[:, [0, 64], [0, 64]].astype(float)
        return np.concatenate([varying, np.full((len(images), 1), 7.0)], axis=1)

    plain = FeatureExtractor("two corners", lambda images: compute(images)[:, :2])
    found, expected = (
        measure(study, extractor) for extractor in (FeatureExtractor("two corners", compute), plain)
    )
    assert find(found, "kid", "real") == find(expected, "kid", "real")


def test_a_layers_feature_that_the_reference_hardly_has_does_not_outweigh_all_others():
    study = ridge_study.create_study(with_controls=False, num_others=30)
    own = {image.tobytes() for image in study.reference.images}

    def compute(images):
        corners = images[:, [0, 64], [0, 64]].astype(float)
        # As of a rectified layer: next to nothing for any stranger, and as much as another feature for one's own.
        rare = [100.0 if image.tobytes() in own else 1e-4 * image[0, 0] for image in images]
        return np.concatenate([corners, np.array(rare)[:, None]], axis=1)

    def measure_kid(have_one_unit, factor=1.0):
        extractor = FeatureExtractor("a layer", lambda images: factor * compute(images), have_one_unit)
        return find(measure(study, extractor), "kid", "real").value

    assert measure_kid(False) > 1e9 and measure_kid(True) < 1e3
    assert measure_kid(True, factor=10) == pytest.approx(measure_kid(True))
