"""Owns a study whose scores are made by hand: a print is its first pixel, and a table has the scores of pairs.

It needs no matcher, and its images need not look like prints.
"""

import numpy as np

from configs import test_size
from fpgan_jax.evaluation.matcher.nist_tools import Minutiae, Template
from fpgan_jax.evaluation.matcher.resolution import PreparedPrints
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

NUM_GALLERY_FINGERS = 60


class TableTool:
    """Scores pairs by a table; what is not in it is 1, and of a print with itself 500."""

    name = "nbis"

    def __init__(self, scores):
        self._scores = {tuple(sorted(pair)): score for pair, score in scores.items()}

    def extract(self, image):
        empty = np.zeros(0)
        return Template(Minutiae(empty, empty, empty, empty, empty), int(image[0, 0]))

    def compare(self, first, second):
        pair = tuple(sorted((first.handle, second.handle)))
        return float(self._scores.get(pair, 500 if pair[0] == pair[1] else 1))


def create_collection(name, role, values, persons):
    images = np.zeros((len(values), 2, 2), np.uint8)
    # Both upper pixels, unless it is told from its mirror image.
    for image, value in zip(images, values, strict=True):
        image[0] = value
    filenames = tuple(f"{name}_{number}" for number in range(len(values)))
    return PrintCollection(name, role, images, np.array(persons, np.int32), filenames)


def create_study(**collections):
    """Create a study of name=(role, values, persons)."""
    settings = test_size.get_config().evaluation
    settings.num_resamples = 100
    settings.num_gallery_fingers = NUM_GALLERY_FINGERS
    made = {name: create_collection(name, *parts) for name, parts in collections.items()}
    return Study(made, settings)


def prepare_unscaled(study, data_config):
    """Stand in for `resolution.prepare_prints`."""
    return PreparedPrints({name: c.images for name, c in study.collections.items()}, 1.0, 9.0)


REFERENCE, HELD_OUT, POPULATION, BASELINE, SYNTHETIC, CONTROL = print_collection.ROLES
