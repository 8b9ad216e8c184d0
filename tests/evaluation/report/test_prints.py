"""The report's pictures of prints: which are shown, how large, and in which order."""

import dataclasses

import numpy as np
import pytest

from fpgan_jax.evaluation.report import measures
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.prints import PIXEL_BUDGET, Album
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from tests.evaluation.study import made_up_study

NAN = float("nan")
PERSONS = np.array([1, 1, 2, 2], np.int32)


def create_prints(name, role, persons):
    images = np.random.default_rng(len(name)).integers(0, 256, (len(persons), 16, 16), np.uint8)
    names = tuple(f"{name}{place}" for place in range(len(persons)))
    return PrintCollection(name, role, images, np.array(persons, np.int32), names)


def create_results(persons=PERSONS, reference=(1, 2), **parts):
    prints = [
        create_prints("real", print_collection.REFERENCE, reference),
        create_prints("synthetic_training", print_collection.SYNTHETIC, persons),
    ]
    study = Study({one.name: one for one in prints}, made_up_study.create_settings())
    return EvaluationResults(study, **parts)


def create_match(place, person, gallery, gallery_person, score):
    names = (f"synthetic_training{place}", f"real{gallery_person - 1}")
    return MatchRow("nbis", "synthetic_training", person, names[0], gallery, gallery_person, names[1], score)


MATCHES = [
    create_match(0, 1, "real", 1, 50.0),
    create_match(0, 1, "real", 2, 5.0),
    create_match(1, 1, "real", 1, 20.0),
    create_match(1, 1, "real_mirrored", 1, 30.0),
    create_match(2, 2, "real", 2, 90.0),
    create_match(2, 2, "real", 1, 60.0),
    create_match(3, 2, "real", 2, NAN),
]
THRESHOLD = MeasureRow("identity", "nbis_threshold_at_far_0.01", "real", 25.0, NAN, NAN, 100, 2, "score")


def find_cases(results, title):
    (found,) = [one for one in Album(results).find_worst_cases() if title in one.title]
    return [f"{case.value} {case.filename} {case.compared_with}".strip() for case in found.cases]


def test_the_print_least_like_its_own_person_comes_first():
    assert find_cases(create_results(matches=MATCHES), "least similar to their own") == [
        "20 synthetic_training1 next to person 1",
        "50 synthetic_training0 next to person 1",
        "90 synthetic_training2 next to person 2",
    ]


def test_the_nearest_to_another_training_print_or_a_mirrored_one_comes_first():
    assert find_cases(
        create_results(matches=MATCHES), "most similar to a training print other than their own"
    ) == [
        "60 synthetic_training2 next to person 1",
        "30 synthetic_training1 next to person 1, mirrored",
        "5 synthetic_training0 next to person 2",
    ]


def test_the_lowest_quality_comes_after_none_at_all():
    values = (30.0, NAN, 10.0, 20.0)
    rows = [
        ImageRow("nfiq2", "synthetic_training", 1, f"synthetic_training{place}", value)
        for place, value in enumerate(values)
    ]
    cases = find_cases(create_results(images=rows), "lowest NFIQ 2")
    assert [text.split(" synth")[0] for text in cases] == ["no value", "10", "20", "30"]


def test_without_scores_and_quality_there_is_no_worst_case():
    assert Album(create_results()).find_worst_cases() == []


def test_prints_that_do_not_pass_are_marked_and_counted():
    cards = Album(create_results(matches=MATCHES, measures=[THRESHOLD])).create_cards()
    prints = [one for card in cards for _, strip in card.strips for one in strip]
    assert [one.score for one in prints if one.fails] == ["20"]
    assert [(card.title, card.passing) for card in cards] == [
        ("Person 1", "match their own person: training noise 1 of 2"),
        ("Person 2", "match their own person: training noise 1 of 1"),
    ]


def test_a_mirrored_gallery_shows_the_mirrored_print():
    album = Album(create_results())
    image = album.results.study.reference.images[1]
    np.testing.assert_array_equal(album.find_image("real_mirrored", "real1"), image[:, ::-1])


@pytest.mark.parametrize("names", [("elsewhere", "real0"), ("real", "elsewhere")])
def test_a_print_that_is_not_there_has_no_picture(names):
    assert Album(create_results()).find_image(*names) is None


def test_prints_of_nobody_known_are_shown_too():
    (card,) = Album(create_results([-1, -1, 7])).create_cards()
    assert card.title == "Persons without a real print here"
    assert [len(strip) for _, strip in card.strips] == [3]


def test_few_prints_are_shown_large_and_all():
    album = Album(create_results())
    assert (album.side, album.num_per_strip) == (144, 10)


def test_many_prints_are_shown_smaller_and_fewer_of_each_person():
    persons = np.repeat(np.arange(1, 61), 20)
    album = Album(create_results(persons, range(1, 61)))
    # 60 persons: each the real print, the study's 2 collections, 48 worst cases.
    number = 60 + 2 + 48 + 60 * album.num_per_strip
    assert album.side >= 96 and number * album.side**2 <= PIXEL_BUDGET


def test_the_persons_who_are_left_out_are_counted():
    album = Album(create_results(range(1, 71), range(1, 71)))
    assert (len(album.persons), album.num_persons_left_out) == (60, 10)


def test_noise_stands_above_its_print():
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 16), np.uint8)
    results = create_results(noise_images={"synthetic_training": noise})
    (_, real), (_, drawn) = Album(results).create_cards()[0].strips
    assert (real[0].noise, real[0].picture.alt) == (None, "Real, person 1: real0")
    assert drawn[0].noise.alt == "Noise of synthetic_training0"
    assert drawn[0].picture.alt == "Training noise, person 1: synthetic_training0"


def test_scores_are_sorted_into_impostors_genuine_and_synthetic():
    others = [
        MatchRow("nbis", "real", 1, "real0", "real", 2, "real1", 4.0),
        MatchRow("nbis", "real", -1, "real0", "real", 2, "real1", 9.0),
        MatchRow("other", "real", 1, "real0", "real", 2, "real1", 8.0),
    ]
    results = create_results(matches=[*MATCHES, *others])
    groups = measures._group_scores(results, "nbis")
    assert {title: scores.tolist() for title, (_, scores) in groups.items()} == {
        "Impostor, real": [4.0],
        "Training noise, to their own": [50.0, 20.0, 90.0],
    }


def test_thresholds_are_a_matchers_own():
    other = dataclasses.replace(THRESHOLD, measure="afis_threshold_at_far_0.01", value=3.0)
    strict = dataclasses.replace(THRESHOLD, measure="nbis_threshold_at_far_0.001", value=41.0)
    found = create_results(measures=[strict, other, THRESHOLD]).find_thresholds("nbis")
    assert list(found.items()) == [("FAR 1%", 25.0), ("FAR 0.1%", 41.0)]


def test_a_picture_for_each_control():
    results = create_results()
    control = create_prints("control_white_noise", print_collection.CONTROL, [1, 2])
    study = dataclasses.replace(
        results.study, collections={**results.study.collections, control.name: control}
    )
    drawn = Album(EvaluationResults(study)).draw_controls()
    assert [picture.alt for _, picture in drawn] == ["Control: white noise"]
