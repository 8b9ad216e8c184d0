"""Owns the way from numbers of prints to the row of their collection: mean, interval, sample sizes, or a refusal.

Does not compute the numbers.
"""

from collections.abc import Sequence

import numpy as np

from fpgan_jax.evaluation.statistics.intervals import (
    UNBOUNDED,
    compute_interval,
    compute_rate_interval,
    count_persons,
    describe_missing_interval,
)
from fpgan_jax.evaluation.study.findings import REFUSED, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection

# What a number of a unit cannot exceed.
_BOUNDS = {
    "fraction": (0.0, 1.0),
    "probability": (0.0, 1.0),
    "score": (0.0, np.inf),
    "px": (0.0, np.inf),
    "grey levels (0-255)": (0.0, 255.0),
}


def create_image_rows(measure: str, collection: PrintCollection, values: np.ndarray) -> list[ImageRow]:
    """Create a row a print.

    Args:
      measure: its name.
      collection: the prints.
      values: float [n]; NaN where a print has none.

    Returns:
      n rows.
    """
    return [
        ImageRow(measure, collection.name, int(person), filename, float(value))
        for person, filename, value in zip(collection.persons, collection.filenames, values, strict=True)
    ]


def find_interval(values: np.ndarray, persons: np.ndarray, unit: str) -> tuple[float, float]:
    """Find the 95% interval of a mean over prints.

    Args:
      values: float [n], without NaN.
      persons: int [n].
      unit: as in `MeasureRow`; fractions that are 0 or 1 for each print are a rate, whose interval is exact.

    Returns:
      (low, high), NaN as of `compute_interval`.
    """
    if unit == "fraction" and np.isin(values, (0, 1)).all():
        return compute_rate_interval(values, persons)
    return compute_interval(values, persons, bounds=_BOUNDS.get(unit, UNBOUNDED))


def summarise(
    family: str,
    measure: str,
    collection: PrintCollection,
    values: np.ndarray,
    *,
    unit: str = "",
    better: str = "",
    note: str = "",
) -> MeasureRow:
    """Create the row of a measure that is the mean over a collection's prints.

    Args:
      family: as in `MeasureRow`.
      measure: as in `MeasureRow`.
      collection: the prints.
      values: float [n]; NaN where a print has none.
      unit: as in `MeasureRow`.
      better: as in `MeasureRow`.
      note: what a reader must know.

    Returns:
      The row; refused where no print has a value. The prints counted are those with one.
    """
    has_value = ~np.isnan(values)
    persons = collection.persons[has_value]
    if not has_value.any():
        return refuse(family, measure, collection, "no print has a value", unit=unit, better=better)
    interval = find_interval(values[has_value], persons, unit)
    num_persons = count_persons(persons)
    return MeasureRow(
        family,
        measure,
        collection.name,
        float(np.mean(values[has_value])),
        *interval,
        int(has_value.sum()),
        num_persons,
        unit,
        better,
        note=join_notes(note, describe_missing_interval(num_persons, interval)),
    )


def refuse(
    family: str,
    measure: str,
    collection: PrintCollection,
    reason: str,
    *,
    unit: str = "",
    better: str = "",
    num_images: int | None = None,
) -> MeasureRow:
    """Create the row of a measure that the sample cannot carry.

    Args:
      family: as in `MeasureRow`.
      measure: as in `MeasureRow`.
      collection: what would have been measured.
      reason: why it is not.
      unit: as in `MeasureRow`.
      better: as in `MeasureRow`.
      num_images: prints that there are; None is the whole collection.

    Returns:
      The row, without a number.
    """
    nan = float("nan")
    return MeasureRow(
        family,
        measure,
        collection.name,
        nan,
        nan,
        nan,
        len(collection) if num_images is None else num_images,
        count_persons(collection.persons),
        unit,
        better,
        REFUSED,
        reason,
    )


def join_notes(*notes: str) -> str:
    """Join what there is to say; an empty note is none."""
    return "; ".join(note for note in notes if note)


def find_groups(persons: Sequence[int], *, max_prints: int) -> list[np.ndarray]:
    """Find the prints of each person who is known.

    Args:
      persons: [n]; -1 is nobody known.
      max_prints: a person's first prints that are taken.

    Returns:
      int64 places, an array a person, in the order of their ids.
    """
    persons = np.asarray(persons)
    return [np.flatnonzero(persons == person)[:max_prints] for person in np.unique(persons[persons >= 0])]
