"""Verdicts from rows made by hand, and the table of the measures that need no further tool."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import twin_p50
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.alterations import DIFFICULTIES, alter_impression
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import create_impression
from fpgan_jax.evaluation.controls import control_table
from fpgan_jax.evaluation.controls.control_images import DESCRIPTIONS, create_controls
from fpgan_jax.evaluation.measures import checkerboard, distribution, features, pixels
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import REFUSED, SKIPPED, Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import Study
from tests.evaluation.measures import ridge_study
from tests.evaluation.measures.ridge_study import create_collection

NAN = float("nan")
ROLES = {
    "real": print_collection.REFERENCE,
    "real_others": print_collection.POPULATION,
    "altered": print_collection.BASELINE,
    "synthetic": print_collection.SYNTHETIC,
    "control_a": print_collection.CONTROL,
}


@pytest.fixture(scope="module")
def study():
    blank = np.zeros((1, 2, 2), np.uint8)
    return Study(
        {name: create_collection(name, role, blank, [1]) for name, role in ROLES.items()}, ConfigDict()
    )


def create_row(collection, value, low, high, *, better="lower", family="ridges", measure="m", **fields):
    return MeasureRow(family, measure, collection, value, low, high, 5, 5, better=better, **fields)


def decide(study, *rows, images=()):
    rows = [create_row(*row) if isinstance(row, tuple) else row for row in rows]
    return control_table.create_control_table(study, Findings(rows, images))


def decide_one(study, better, control, *baseline, **options):
    rows = [create_row(*row, better=better, **options) for row in [*baseline, ("control_a", *control)]]
    return decide(study, *rows)[0].caught


@pytest.mark.parametrize(
    ("better", "interval", "caught"),
    [
        # From 2 +- 1: 1.5 -+ sqrt(0.5^2 + 1), 1 -+ sqrt(1^2 + 1), -1.5 -+ sqrt(0.5^2 + 1).
        ("lower", (3, 4), True),
        ("lower", (2, 4), False),
        ("lower", (0, 1), False),
        ("higher", (0, 1), True),
        ("higher", (3, 4), False),
        ("real", (3, 4), True),
        ("real", (0, 1), True),
        ("real", (0, 2), False),
    ],
)
def test_a_difference_on_the_worse_side_is_caught(study, better, interval, caught):
    assert decide_one(study, better, (np.mean(interval), *interval), ("real", 2, 1, 3)) is caught


def test_a_difference_that_counts_as_none_is_not_caught(study):
    # Minutiae: 5 either way.
    control, real = (42, 41.5, 42.5), ("real", 40, 39.5, 40.5)
    assert decide_one(study, "real", control, real, measure="minutiae_count") is False
    assert decide_one(study, "real", control, real) is True


def test_all_real_collections_must_be_passed(study):
    baseline = ("real", 2, 1, 3), ("real_others", 4, 3.5, 5)
    assert decide_one(study, "lower", (4.5, 4, 4.8), *baseline) is False
    assert decide_one(study, "lower", (6, 5.1, 7), *baseline) is True


def test_altered_prints_count_where_there_is_nothing_else(study):
    assert decide_one(study, "lower", (6, 5.1, 7), ("altered", 2, 1, 3)) is True
    assert decide_one(study, "lower", (6, 5.1, 7), ("altered", 20, 10, 30), ("real", 2, 1, 3)) is True


@pytest.mark.parametrize("family", ["similarity", "identity"])
def test_the_reference_is_no_baseline_of_itself(study, family):
    baseline = ("real", 1, 1, 1), ("altered", 0.8, 0.6, 0.9)
    assert decide_one(study, "higher", (0.7, 0.65, 0.75), *baseline, family=family) is False


def test_only_unseen_prints_are_no_leak(study):
    baseline = ("altered", 1, 1, 1), ("real", 1, 1, 1), ("real_others", 0, 0, 0.1)
    assert decide_one(study, "lower", (1, 0.9, 1), *baseline, family="leakage") is True


def test_without_a_baseline_nothing_is_decided(study):
    rows = [
        create_row("altered", 1, 1, 1, family="leakage"),
        create_row("control_a", 1, 0.9, 1, family="leakage"),
        create_row("real", 1, 0.9, 1, measure="other"),
        create_row("control_a", 2, 1.5, 2, measure="other"),
    ]
    assert [(verdict.measure, verdict.caught) for verdict in decide(study, *rows)] == [("other", True)]


def test_the_verdict_says_what_it_is_from(study):
    # 4 below by sqrt(0.9^2 + 1^2), above by sqrt(1^2 + 1^2).
    (verdict,) = decide(study, ("real", 2.0, 1.0, 3.0), ("control_a", 6.0, 5.1, 7.0))
    assert verdict == ("control_a", "m", True, "6; +4 from real [+2.655, +5.414]; worse")


def create_images(collection, values):
    """Create a print of each person from 1."""
    return [
        ImageRow("m", collection, person, str(person), value) for person, value in enumerate(values, start=1)
    ]


@pytest.mark.parametrize(
    ("own", "share", "caught"), [((3.1, 4.2, 5.1, 6.2), "94%", True), ((1.1, 2.2, 3.1, 4.2), "62%", False)]
)
def test_a_difference_of_few_pairs_is_not_caught(study, own, share, caught):
    # Every person's is above the person's own; of all 16 pairs 15 and 10 are.
    images = [*create_images("real", (1, 2, 3, 4)), *create_images("control_a", own)]
    rows = ("real", 2.5, 0, 5), ("control_a", np.mean(own), 0, 9)
    (verdict,) = decide(study, *rows, images=images)
    assert verdict.caught is caught
    assert verdict.note.endswith(f"4 persons paired; worse in {share} of the pairs")


def test_worse_below_is_counted_below(study):
    images = [*create_images("real", [5, 6, 8]), *create_images("control_a", [1, 2, 3])]
    rows = [create_row("real", 6.3, 4, 8, better="real"), create_row("control_a", 2, 0, 4, better="real")]
    (verdict,) = decide(study, *rows, images=images)
    assert verdict.caught is True and verdict.note.endswith("worse in 100% of the pairs")


def test_persons_whose_prints_are_their_real_ones_are_not_caught(study):
    images = [*create_images("real", [5, 6, 8]), *create_images("control_a", [5, 6, 8])]
    (verdict,) = decide(study, ("real", 6.3, 2, 9), ("control_a", 6.3, 2, 9), images=images)
    assert verdict.caught is False and verdict.note.endswith("no interval")


def test_a_number_of_one_image_for_everyone_is_known(study):
    blank = np.zeros((4, 2, 2), np.uint8)
    control = create_collection("control_a", print_collection.CONTROL, blank, [1] * 4)
    found = decide(ridge_study.replace(study, control), ("real", 2, 1, 3), ("control_a", 6, NAN, NAN))
    assert found[0].caught is True and "[+3, +5]" in found[0].note


@pytest.mark.parametrize(
    ("better", "value", "caught"),
    [
        ("real", 1.9, False),
        ("real", 2.6, True),
        ("real", 0.04, True),
        ("lower", 0.04, False),
        ("higher", 0.04, True),
    ],
)
def test_a_control_of_one_image_is_judged_as_a_single_print(better, value, caught):
    # Of these 102 values the 2.5% quantile is 0.0505, at place 2.525, and the 97.5% quantile 1.9695.
    blank = np.zeros((4, 2, 2), np.uint8)
    real = [*np.linspace(0, 2, 101), 3]
    study = Study(
        {name: create_collection(name, role, blank, [1] * 4) for name, role in ROLES.items()}, ConfigDict()
    )
    images = [*create_images("real", real), *create_images("control_a", [value] * 4)]
    rows = [
        create_row("real", 1, 0.9, 1.1, better=better),
        create_row("control_a", value, value, value, better=better),
    ]
    (verdict,) = decide(study, *rows, images=images)
    assert verdict.caught is caught and verdict.note.endswith("are 95% of the prints of real")


def test_prints_without_a_value_are_caught(study):
    images = [*create_images("real", [1] * 20), *create_images("control_a", [NAN, NAN, 1])]
    rows = [
        ("real", 1, 0, 2),
        create_row("control_a", NAN, NAN, NAN, status=REFUSED, note="no print has a value"),
    ]
    (verdict,) = decide(study, *rows, images=images)
    assert (verdict.caught, verdict.note) == (True, "2 of 3 prints have no value; of real prints 0%")


def test_prints_without_a_value_are_not_caught_where_real_ones_lack_it_too(study):
    images = [*create_images("real", [1, NAN]), *create_images("control_a", [NAN, NAN])]
    rows = [
        ("real", 1, 0, 2),
        create_row("real", 1, 0, 2, measure="other"),
        create_row("control_a", NAN, NAN, NAN, status=REFUSED, note="no print has a value"),
        create_row("control_a", 1, 0, 2, measure="other"),
    ]
    # Nothing is decided of the first measure, which is left out.
    assert [verdict.measure for verdict in decide(study, *rows, images=images)] == ["other"]


@pytest.mark.parametrize("status", [REFUSED, SKIPPED])
def test_a_measure_that_no_control_has_is_left_out(study, status):
    assert decide(study, ("real", 1, 0, 2), create_row("control_a", NAN, NAN, NAN, status=status)) == []


def test_a_measure_without_a_better_direction_is_left_out(study):
    rows = [create_row("real", 1, 0, 2, better=""), create_row("control_a", 9, 8, 10, better="")]
    assert decide(study, *rows) == []


def test_a_control_without_an_interval_is_not_decided(study):
    other = create_collection("control_b", print_collection.CONTROL, np.zeros((1, 2, 2), np.uint8), [1])
    rows = [
        ("real", 1, 0, 2),
        create_row("control_a", 9, NAN, NAN, note="no interval: 2 persons"),
        ("control_b", 9, 8, 10),
    ]
    first, second = decide(ridge_study.replace(study, other), *rows)
    assert (first.caught, first.note) == (None, "9; +8 from real, no interval")
    assert second.caught is True


def test_synthetic_prints_are_neither_judged_nor_a_baseline(study):
    assert decide(study, ("synthetic", 1, 0, 2), ("control_a", 9, 8, 10)) == []


# X caught, . missed, ~ either: near the line, where a rounding might decide.
# Of other, white, low-pass, blurred, mean, average, mosaic, mirrored, bare, copy, checkered.
ORDER = tuple(DESCRIPTIONS)
PINNED = {
    "kid": ".XXXXX~XX..",
    "kid of radial spectra": ".XXXXX~.X.~",
    # What blurring takes away varies little among real prints, and so is in neither of the two components.
    "frechet_distance": ".XX~X~~XX..",
    "precision": ".XXXXX~XX..",
    "recall": ".XXXXX~XX..",
    "density": ".XXXXX~XX..",
    "coverage": ".XXXXX~XX..",
    "l1_to_reference": "XXXXXXXXX..",
    "psnr_to_reference": "XXXXXXXXX..",
    "ssim_to_reference": "XXXXXXXXX..",
    "l1_to_nearest_reference": "...XXXX..XX",
    "l1_between_persons": ".XXXXX..X..",
    "ssim_between_persons": ".XXXXX..X..",
    # The mean print is one image, whose number has no spread: chance decides.
    "checkerboard_2px": "........X.X",
    "checkerboard_4px": "....X...X..",
}


# The same on procedural fingerprints, 13 persons among 60. They lean to no side, so that mirrored ones are as good.
PINNED_PROCEDURAL = {
    "kid": ".XXXXX..X..",
    "kid of radial spectra": ".XXXXX..X..",
    "frechet_distance": ".XXXX~..X..",
    "precision": ".XXXX...X..",
    "recall": ".XXXX~..X..",
    "density": ".XXXX~..X..",
    "coverage": ".XXXX~..X..",
    "l1_to_reference": "XXXXXXXXX..",
    "psnr_to_reference": "XXX~XXXXX..",
    "ssim_to_reference": "XXXXXXXXX..",
    "l1_to_nearest_reference": "...XXXX..XX",
    "l1_between_persons": "..XXXX..X..",
    "ssim_between_persons": ".XXXX~..X..",
    "checkerboard_2px": "....~...X.X",
    "checkerboard_4px": "........X..",
}


def create_table(study):
    data = twin_p50.get_config().data
    found = [
        distribution.measure(study, features.HAND_MADE),
        pixels.measure(study),
        checkerboard.measure(study, data),
    ]
    spectra = distribution.measure(
        study, extractor=features.FeatureExtractor("radial spectra", features.compute_radial_spectrum)
    )
    rows = [row for findings in found for row in findings.measures]
    images = [row for findings in found for row in findings.images]
    table = {}
    for verdict in control_table.create_control_table(study, Findings(rows, images)):
        table[verdict.measure, verdict.control] = verdict.caught
    for verdict in control_table.create_control_table(study, spectra):
        table[f"{verdict.measure} of radial spectra", verdict.control] = verdict.caught
    return table


def find_differences(table, pinned):
    signs = {True: "X", False: ".", None: "?"}
    found = {
        measure: "".join(
            "~" if sign == "~" else signs[table[measure, control]]
            for sign, control in zip(line, ORDER, strict=True)
        )
        for measure, line in pinned.items()
    }
    return {measure: line for measure, line in found.items() if line != pinned[measure]}


@pytest.fixture(scope="module")
def table():
    return create_table(ridge_study.create_study())


def test_which_measure_catches_which_control(table):
    assert find_differences(table, PINNED) == {}


def test_an_exact_copy_is_caught_as_a_leak_only(table):
    caught = {
        measure
        for (measure, control), is_caught in table.items()
        if control == "control_exact_copy" and is_caught
    }
    assert caught == {"l1_to_nearest_reference"}


def test_every_control_but_another_persons_print_is_caught_without_the_reference(table):
    # Pixel distances to the reference tell another person's print; nothing else here does.
    caught = {
        control
        for (measure, control), is_caught in table.items()
        if is_caught and not measure.endswith("_to_reference")
    }
    assert caught == set(ORDER) - {"control_other_person"}


def create_procedural_study():
    """Grow 60 fingers, of which 13 are the reference."""
    data = twin_p50.get_config().data
    own, others = np.arange(1, 14), np.arange(14, 61)
    fingers = [create_finger(0, person) for person in range(1, 61)]
    scans = [create_impression(finger) for finger in fingers]

    def load(scans):
        return [preprocessing.preprocess_print(scan, data)[..., 0] for scan in scans]

    collections = [
        create_collection("real", print_collection.REFERENCE, load(scans[:13]), own),
        create_collection("real_others", print_collection.POPULATION, load(scans[13:]), others),
    ]
    for difficulty in DIFFICULTIES:
        altered = [
            alter_impression(scan, finger, alteration, difficulty)
            for scan, finger in zip(scans[:13], fingers, strict=False)
            for alteration in ("Obl", "CR", "Zcut")
        ]
        name = f"altered_{difficulty.lower()}"
        collections.append(
            create_collection(name, print_collection.BASELINE, load(altered), np.repeat(own, 3))
        )
    collections += create_controls(collections[0], collections[1], data, seed=0)
    return Study({collection.name: collection for collection in collections}, ridge_study.SETTINGS)


@pytest.mark.slow
def test_which_measure_catches_which_control_of_procedural_fingerprints():
    assert find_differences(create_table(create_procedural_study()), PINNED_PROCEDURAL) == {}
