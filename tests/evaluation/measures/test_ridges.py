"""The family "ridges": every collection has its rows, and what is too small is refused."""

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.evaluation.measures import ridges
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from tests.evaluation.matcher.test_ridge_spectrum import draw_wave


def create_study(frame):
    config = test_size.get_config()
    config.data.image_size, config.data.frame = 128, frame
    images = np.stack([draw_wave(128, 5, degrees) for degrees in (0, 40, 80)])
    blank = np.full_like(images, 255)
    # The frame of an empty scan, thicker than it is.
    blank[:, :3], blank[:, -4:] = 100, 0
    persons, names = np.array([1, 2, 3], np.int32), ("a", "b", "c")
    collections = {
        "real": PrintCollection("real", print_collection.REFERENCE, images, persons, names),
        "control_bare_frame": PrintCollection(
            "control_bare_frame", print_collection.CONTROL, blank, persons, names
        ),
    }
    return Study(collections, config.evaluation), config.data


def test_every_collection_is_measured():
    study, data_config = create_study("keep")
    found = ridges.measure(study, data_config)
    rows = {(row.measure, row.collection): row for row in found.measures}
    assert rows["ridge_period", "real"].value == pytest.approx(5, rel=0.02)
    assert rows["orientation_coherence", "real"].num_persons == 3
    assert len(found.images) == 12


def test_the_scanners_frame_has_no_ridges():
    study, data_config = create_study("keep")
    (row,) = [
        row
        for row in ridges.measure(study, data_config).measures
        if (row.measure, row.collection) == ("orientation_coherence", "control_bare_frame")
    ]
    assert row.status == "refused"


def test_prints_too_small_for_ridges_are_refused():
    study, data_config = create_study("crop")
    small = {
        name: PrintCollection(name, c.role, c.images[:, ::4, ::4], c.persons, c.filenames)
        for name, c in study.collections.items()
    }
    rows = ridges.measure(Study(small, study.settings), data_config).measures
    assert len(rows) == 4
    assert {row.status for row in rows} == {"refused"}
