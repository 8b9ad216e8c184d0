"""Owns a study of quickly drawn ridge patterns, for tests of measures; nothing in it is a person's print."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage

from configs import twin_p50
from fpgan_jax.evaluation.controls.control_images import create_controls
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

NUM_OWN, NUM_OTHERS = 12, 48
SETTINGS = ConfigDict({"num_resamples": 500})


def draw_ridges(seed: int, size: int = 128, period: float = 4.6) -> np.ndarray:
    """Draw bent arcs around a center low in an oval contact, uint8 [size, size]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    # Right-hand loops lean to one side, so that mirrored ones can be told from them.
    row, column = rng.normal([0.2, 0.0], 0.06)
    lean = rng.normal(0.5, 0.15)
    distance = np.hypot(1.2 * (columns - column) + lean * (rows - row), rows - row)
    bends = ndimage.gaussian_filter(rng.normal(size=(size, size)), size / 8, mode="wrap")
    phase = 2 * np.pi * distance * size / (period * rng.uniform(0.95, 1.05)) + 2 * bends / bends.std()
    ridges = ndimage.gaussian_filter(np.where(np.sin(phase) > rng.normal(0, 0.1), 255.0, 20.0), 0.7)
    is_contact = np.hypot(columns / rng.uniform(0.42, 0.5), (rows - 0.08) / rng.uniform(0.5, 0.58)) < 1
    dust = rng.normal(0, 6, (size, size))
    return np.clip(np.where(is_contact, ridges, 250) + dust, 0, 255).astype(np.uint8)


def alter(image: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Obliterate a disc, uint8 of the same shape."""
    rng = np.random.default_rng(seed)
    size = len(image)
    row, column = rng.uniform(0.35, 0.65, 2) * size
    rows, columns = np.mgrid[:size, :size]
    is_altered = np.hypot(rows - row, columns - column) < share * size
    return np.where(is_altered, rng.integers(0, 256, image.shape), image).astype(np.uint8)


def create_collection(name, role, images, persons) -> PrintCollection:
    """Create a collection whose file names are numbers."""
    names = tuple(f"{name}_{place}" for place in range(len(images)))
    return PrintCollection(name, role, np.asarray(images, np.uint8), np.asarray(persons, np.int32), names)


def create_study(*, with_controls: bool = True, num_others: int = NUM_OTHERS) -> Study:
    """Create the reference, the population, two altered collections and every control."""
    persons = np.arange(1, NUM_OWN + 1)
    own = [draw_ridges(person) for person in persons]
    others = 100 + np.arange(num_others)
    collections = [
        create_collection("real", print_collection.REFERENCE, own, persons),
        create_collection(
            "real_others", print_collection.POPULATION, [draw_ridges(other) for other in others], others
        ),
    ]
    for name, share in (("altered_easy", 0.06), ("altered_hard", 0.12)):
        images = [alter(image, seed, share) for seed, image in enumerate(own * 2)]
        collections.append(create_collection(name, print_collection.BASELINE, images, np.tile(persons, 2)))
    if with_controls:
        data = twin_p50.get_config().data
        collections += create_controls(collections[0], collections[1], data, seed=0)
    return Study({collection.name: collection for collection in collections}, SETTINGS)


def replace(study: Study, *collections: PrintCollection) -> Study:
    """Return the study with other or further collections."""
    added = {collection.name: collection for collection in collections}
    return dataclasses.replace(study, collections={**study.collections, **added})
