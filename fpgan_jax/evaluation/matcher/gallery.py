"""Owns the gallery: the real impressions that probes are compared with, and which comparisons are of one finger."""

import dataclasses

import numpy as np

from fpgan_jax.evaluation.matcher.resolution import PreparedPrints
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study, find_same_person

ONE_IMPRESSION_REASON = "there is one real impression of each finger"


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Real prints, all impressions of each finger, for a probe to be compared with."""

    images: np.ndarray  # uint8 [m, height, width], at 500 ppi
    persons: np.ndarray  # int [m]; the reference's come first
    collections: tuple[str, ...]  # m names of collections
    filenames: tuple[str, ...]  # m names
    is_held_out: np.ndarray  # bool [m]; impressions of the reference's fingers that the generator never saw
    num_reference: int  # how many are the reference's

    def find_places(self, collection: PrintCollection) -> np.ndarray:
        """Find the indices of a collection's prints in the gallery: int64 [n], -1 for prints that are not in it."""
        names = zip(self.collections, self.filenames, strict=True)
        places = {name: place for place, name in enumerate(names)}
        return np.array([places.get((collection.name, name), -1) for name in collection.filenames], np.int64)

    def find_genuine(self, collection: PrintCollection) -> np.ndarray:
        """Find which comparisons say whether a print is its finger's: bool [n, m].

        A real print is compared with every other impression of its finger. Any other print is compared with impressions
        held out of training, if its finger has some: its score against a training print would not tell a kept identity
        from a copy.
        """
        is_own = find_same_person(collection.persons, self.persons)
        if collection.role in print_collection.REAL_ROLES:
            places = self.find_places(collection)
            is_own[np.flatnonzero(places >= 0), places[places >= 0]] = False
            return is_own
        has_held_out = (is_own & self.is_held_out).any(1, keepdims=True)
        return is_own & (self.is_held_out | ~has_held_out)

    def describe_genuine(self, collection: PrintCollection) -> str:
        """Say which genuine comparisons a collection's prints have."""
        if collection.role in print_collection.REAL_ROLES:
            return "against the finger's other real impressions"
        if self.is_held_out.any():
            return "against real impressions held out of training"
        return "against the prints of the training: no impression was held out, so a copy passes too"

    def find_impostors(self, collection: PrintCollection) -> np.ndarray:
        """Find which comparisons are of two different known persons: bool [n, m]."""
        is_known = (collection.persons >= 0)[:, None] & (self.persons >= 0)
        return is_known & ~find_same_person(collection.persons, self.persons)


def create_gallery(study: Study, prepared: PreparedPrints) -> Gallery:
    """Collect the real prints: all reference and held-out impressions, and as many of the population's fingers as fit.

    Args:
      study: its setting `num_gallery_fingers` limits the fingers.
      prepared: its prints at 500 ppi.
    """
    collections = [
        collection
        for role in (print_collection.REFERENCE, print_collection.HELD_OUT, print_collection.POPULATION)
        for collection in study.collections.values()
        if collection.role == role
    ]
    num_others = max(0, study.settings.num_gallery_fingers - len(np.unique(study.reference.persons)))
    kept = [_choose_places(collection, num_others) for collection in collections]
    chosen = list(zip(collections, kept, strict=True))
    return Gallery(
        np.concatenate([prepared.images[c.name][places] for c, places in chosen]),
        np.concatenate([c.persons[places] for c, places in chosen]),
        tuple(c.name for c, places in chosen for _ in places),
        tuple(c.filenames[place] for c, places in chosen for place in places),
        np.concatenate([np.full(len(places), c.role == print_collection.HELD_OUT) for c, places in chosen]),
        len(study.reference),
    )


def explain_no_genuine(collection: PrintCollection) -> str:
    """Say why no print of a collection has a genuine comparison."""
    if collection.role in print_collection.REAL_ROLES:
        return ONE_IMPRESSION_REASON
    return "none of its persons has another real print"


def average_comparisons(values: np.ndarray) -> np.ndarray:
    """Average each print's comparisons without NaN: [n, m] to [n]; NaN for a print that has none."""
    has_value = ~np.isnan(values)
    counts = has_value.sum(1)
    sums = np.where(has_value, values, 0).sum(1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def _choose_places(collection: PrintCollection, num_others: int) -> np.ndarray:
    if collection.role != print_collection.POPULATION:
        return np.arange(len(collection))
    fingers = list(dict.fromkeys(collection.persons.tolist()))[:num_others]
    return np.flatnonzero(np.isin(collection.persons, fingers))
