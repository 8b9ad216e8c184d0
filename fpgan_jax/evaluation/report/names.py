"""The words and numbers of the report: titles of families, collections and measures, and formats of numbers."""

import math
from collections.abc import Sequence

from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.measure import capitalize
from fpgan_jax.evaluation.report.html import make_printable

NO_VALUE = "\u2013"
_MINUS = "\u2212"

# Other collections are spelled from their names.
_COLLECTIONS = {
    "real_held_out": "Held out",
    "real_others": "Other persons",
    "all": "All prints",
    "synthetic_training": "Training noise",
    "synthetic_new": "New noise",
    "control_other_person": "Another person's",
    "control_low_pass_noise": "Low-pass noise",
    "control_mosaic": "Mosaic of two",
}
_DECIMALS = ((100, 0), (10, 1), (1, 2), (0.99, 4), (0.1, 3), (1e-3, 4), (0, 5))
_UNITS = {"fraction": "", "probability": "", "score": "", "grey levels (0-255)": "gray levels"}


def describe_collection(name: str) -> str:
    """Return a collection's title."""
    if name in _COLLECTIONS:
        return _COLLECTIONS[name]
    return make_printable(capitalize(name.removeprefix("control_").replace("_", " ")))


def describe_family(name: str) -> str:
    """Return a family's title."""
    return FAMILIES[name].title if name in FAMILIES else capitalize(name.replace("_", " "))


def describe_measure(name: str) -> str:
    """Return a measure's title, such as "NBIS EER" for "nbis_eer"; the words of its name if no family has it."""
    measure = find_measure(name)
    return measure.title if measure else make_printable(capitalize(" ".join(name.replace("_", " ").split())))


def describe_unit(unit: str) -> str:
    """Return a unit as it is written after a number; "" if none is."""
    return _UNITS.get(unit, unit)


def describe_counts(num_images: int, num_persons: int) -> str:
    """Say from how many prints of how many persons a number is."""
    return f"n = {num_images:,}, {num_persons:,} person{'s' * (num_persons != 1)}"


def lower(title: str) -> str:
    """Lower the first letter for use in a sentence, except in abbreviations."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def format_value(value: float, unit: str = "") -> str:
    """Format a number with its unit: three or four digits, fractions as percentages, NaN as a dash."""
    if math.isnan(value):
        return NO_VALUE
    number = _format_percent(value) if unit == "fraction" else _format_number(value)
    unit = describe_unit(unit)
    return f"{number}\u00a0{unit}" if unit else number


def format_difference(value: float, unit: str = "") -> str:
    """Format a difference with its sign; differences of fractions are in percentage points."""
    if math.isnan(value):
        return NO_VALUE
    if unit == "fraction":
        number = _format_number(round(value * 100, 1))
        return f"{_sign(value)}{number}\u00a0point{'s' * (number not in ('1', f'{_MINUS}1'))}"
    return _sign(value) + format_value(value, unit)


def format_interval(low: float, high: float, unit: str = "") -> str:
    """Format an interval; "" if an end is NaN.

    Args:
      low: its lower end.
      high: its upper end.
      unit: as in `MeasureRow.unit`, or "points" for differences of fractions, which get signs.
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    if unit == "points":
        return " to ".join(f"{_sign(end)}{_format_number(round(end * 100, 1))}" for end in (low, high))
    if unit == "fraction":
        return f"{_format_percent(low).removesuffix('%')} to {_format_percent(high)}"
    return f"{_format_number(low)} to {_format_number(high)}"


def format_range(values: Sequence[float], unit: str = "") -> str:
    """Format the smallest and the largest value with their unit once; one number if both look the same."""
    low, high = (format_value(value, unit) for value in (min(values), max(values)))
    if low == high:
        return high
    unit = "%" if unit == "fraction" else f"\u00a0{describe_unit(unit)}"
    return f"{low.removesuffix(unit)} to {high}"


def _sign(value: float) -> str:
    return "+" if value > 0 else ""


def _format_percent(value: float) -> str:
    percent = value * 100
    if 99.95 <= percent < 100:  # not all
        return f"{math.floor(percent * 100) / 100:.2f}%"
    if abs(percent) >= 1:
        return f"{_format_number(round(percent, 1))}%"
    return f"{_format_number(float(f'{percent:.2g}'))}%"


def _format_number(value: float) -> str:
    if math.isinf(value):
        return "\u221e" if value > 0 else f"{_MINUS}\u221e"
    size = abs(value)
    if size == 0:
        return "0"
    if 0.99995 <= value < 1:  # a probability that is not 1
        return ">0.9999"
    if size < 1e-4:
        return f"{value:.1e}".replace("-", _MINUS)
    # Near 1 a probability's distance from it is what counts.
    decimals = next(number for least, number in _DECIMALS if size >= least)
    text = f"{value:,.{decimals}f}"
    if decimals:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", _MINUS)
