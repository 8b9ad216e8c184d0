"""Who is compared with whom, where fingers have several impressions."""

import numpy as np
import pytest

from fpgan_jax.evaluation.matcher import gallery
from tests.evaluation.measures.scored_study import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    create_study,
    prepare_unscaled,
)

STUDY = {
    "real": (REFERENCE, [11, 12, 13], [1, 1, 2]),
    "real_held_out": (HELD_OUT, [14, 15], [1, 1]),
    "real_others": (POPULATION, [21, 22, 23, 24], [4, 5, 4, 6]),
    "altered_easy": (BASELINE, [31], [1]),
    "synthetic": (SYNTHETIC, [41, 42, 43], [1, 2, -1]),
    "control_other": (CONTROL, [51], [4]),
}


@pytest.fixture
def study():
    return create_study(**STUDY)


@pytest.fixture
def made(study):
    return gallery.create_gallery(study, prepare_unscaled(study, None))


def find_genuine(made, study, name):
    """Return the first pixels of what each print of a collection is compared with as its own."""
    values = made.images[:, 0, 0]
    return [values[row].tolist() for row in made.find_genuine(study.collections[name])]


def test_every_impression_is_there_the_references_first(made):
    assert made.images[:, 0, 0].tolist() == [11, 12, 13, 14, 15, 21, 22, 23, 24]
    assert (made.num_reference, np.flatnonzero(made.is_held_out).tolist()) == (3, [3, 4])


def test_a_large_population_is_cut_by_fingers_not_by_prints(study):
    # Two fingers are the reference's, so one more has room, with both its impressions.
    study.settings.num_gallery_fingers = 3
    made = gallery.create_gallery(study, prepare_unscaled(study, None))
    assert made.images[5:, 0, 0].tolist() == [21, 23]


def test_a_real_print_is_compared_with_all_others_of_its_finger(made, study):
    assert find_genuine(made, study, "real") == [[12, 14, 15], [11, 14, 15], []]
    assert find_genuine(made, study, "real_held_out") == [[11, 12, 15], [11, 12, 14]]
    assert find_genuine(made, study, "real_others") == [[23], [], [21], []]


def test_any_other_print_is_compared_with_held_out_impressions_where_there_are_some(made, study):
    assert find_genuine(made, study, "synthetic") == [[14, 15], [13], []]
    assert find_genuine(made, study, "altered_easy") == [[14, 15]]
    assert find_genuine(made, study, "control_other") == [[21, 23]]


def test_impostors_are_of_two_known_fingers(made, study):
    values = made.images[:, 0, 0]
    found = [values[row].tolist() for row in made.find_impostors(study.collections["synthetic"])]
    assert found == [[13, 21, 22, 23, 24], [11, 12, 14, 15, 21, 22, 23, 24], []]


def test_an_average_leaves_out_what_was_not_compared():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(gallery.average_comparisons(values), [2, np.nan])
