"""Owns what the evaluation passes around: named collections of prints, and the study that compares them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

# The role of a collection in a study.
REFERENCE = "reference"  # the real prints that the generator was trained on
HELD_OUT = "held_out"  # other real impressions of the reference's fingers, which the generator never saw
POPULATION = "population"  # real prints of persons whom the generator never saw
BASELINE = "baseline"  # altered copies of the reference, used if there are no other impressions
SYNTHETIC = "synthetic"
CONTROL = "control"  # made by code, to show what each measure detects
ROLES = (REFERENCE, HELD_OUT, POPULATION, BASELINE, SYNTHETIC, CONTROL)
REAL_ROLES = (REFERENCE, HELD_OUT, POPULATION)  # unaltered impressions of real fingers


@dataclasses.dataclass(frozen=True)
class PrintCollection:
    """Prints that are judged together."""

    name: str  # as in tables and file names, such as "altered_easy" or "synthetic_new"
    role: str  # one of `ROLES`
    images: np.ndarray  # uint8 [n, height, width], gray, of the same size in all collections of a study
    # int32 [n], -1 if unknown. If a set has several fingers of a person, each finger counts as a person.
    persons: np.ndarray
    filenames: tuple[str, ...]  # n different names
    description: str = ""  # a line for people

    def __post_init__(self):
        """Refuse parts that do not fit."""
        if not len(self.images) == len(self.persons) == len(self.filenames):
            raise ValueError(
                f"{self.name}: {len(self.images)} images, {len(self.persons)} persons, "
                f"{len(self.filenames)} filenames"
            )
        if self.role not in ROLES or self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: role {self.role!r}, images {self.images.dtype} {self.images.shape}"
            )
        if len(set(self.filenames)) != len(self.filenames):
            raise ValueError(f"{self.name}: a filename is there twice")

    def __len__(self) -> int:
        """Return the number of prints."""
        return len(self.images)


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything that one evaluation compares."""

    # In the order of the tables. "real" is the one reference; "real_held_out" and "real_others" are the held-out
    # impressions and the population, if there are any.
    collections: Mapping[str, PrintCollection]
    settings: ConfigDict  # config.evaluation
    classifier_workdirs: tuple[str, ...] = ()  # of `launch.train_classifier`, for the paper's similarity
    # Workdir of the classifier whose features describe distributions, if there is one.
    feature_classifier: str = ""
    seed: int = 0  # of everything drawn at random
    ppi: float = 0.0  # pixels per inch of the images; 0 if config.data does not say

    @property
    def reference(self) -> PrintCollection:
        """The real prints that the generator was trained on."""
        return self.collections["real"]


def find_same_person(persons: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find which pairs of prints are of one known person: int [n] and int [m] to bool [n, m]."""
    return (persons[:, None] == others[None, :]) & (persons[:, None] >= 0)


def find_role(study: Study, collection: str) -> str:
    """Find a collection's role, "" for a name that is not in the study."""
    return study.collections[collection].role if collection in study.collections else ""
