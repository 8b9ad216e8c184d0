"""Owns the words and numbers of the report as people read them: titles of families, collections and measures.

Does not decide what is reported.
"""

import math
from collections.abc import Sequence

from fpgan_jax.evaluation.measures.families import FAMILIES, find_measure
from fpgan_jax.evaluation.measures.measure import capitalize
from fpgan_jax.evaluation.report.html import make_printable

NO_VALUE = "\u2013"
_MINUS = "\u2212"

# As in the tables' heads; what is not here is spelt from its name.
COLLECTIONS = {
    "real": "Real",
    "real_held_out": "Held out",
    "real_others": "Other persons",
    "all": "All prints",
    "altered_easy": "Altered easy",
    "altered_medium": "Altered medium",
    "altered_hard": "Altered hard",
    "synthetic_training": "Training noise",
    "synthetic_new": "New noise",
    "control_other_person": "Another person's",
    "control_low_pass_noise": "Low-pass noise",
    "control_average_of_two": "Average of two",
    "control_mosaic": "Mosaic of two",
    "control_bare_frame": "Bare frame",
}

_DECIMALS = ((100, 0), (10, 1), (1, 2), (0.99, 4), (0.1, 3), (1e-3, 4), (0, 5))
_UNITS = {"fraction": "", "probability": "", "score": "", "grey levels (0-255)": "grey levels"}

WORDS = (
    (
        "95% interval",
        "Where the number would be for other persons like these, counted by persons and not by prints, since ten "
        "prints of one finger say little more than one. None is given where all persons agree, which proves nothing.",
    ),
    (
        "Better, worse, equivalent, undecided",
        "From the interval of the difference from real prints, each person compared with themself where both sets have "
        "the person. Better or worse than all sets of real prints; equivalent where no more than the stated difference "
        "from them is possible; undecided where this sample shows none of it, which is no proof of likeness.",
    ),
    (
        "Real against real",
        "The same measure on real impressions of the same fingers, those held out of training where there are some, or "
        "else altered copies. The best that a synthetic print can be asked for.",
    ),
    (
        "Training noise, new noise",
        "What the generator was given: a noise image that it was trained with, or one that it never saw.",
    ),
    (
        "FAR, TAR, EER",
        "False accept rate: the share of comparisons of different persons that pass. True accept rate: the share of "
        "comparisons of the same person that pass. Equal error rate: where as many of the first pass as of the "
        "second fail.",
    ),
    ("Impostor, genuine", "A comparison of two persons' prints; a comparison of two prints of one finger."),
    (
        "Failure to enrol",
        "The share of prints in which a matcher finds too little to compare: not even against itself does such a print "
        "pass. It matches nobody, which is not to be taken for uniqueness or for giving nobody away.",
    ),
    ("NFIQ 2", "NIST's quality of a print, 0 to 100. The reference implementation, or nothing."),
    (
        "KID, Fréchet distance",
        "Distances between two sets of prints in features of a print, hand-made ones or a network's, as the note "
        "beside the number says; 0 for equal sets.",
    ),
    (
        "Control",
        "A set of prints made by code of which it is known what is wrong with it. A measure that does not see it "
        "cannot vouch for the synthetic prints either.",
    ),
)


def describe_collection(name: str) -> str:
    """Spell a collection's name for people."""
    if name in COLLECTIONS:
        return COLLECTIONS[name]
    return make_printable(capitalize(name.removeprefix("control_").replace("_", " ")))


def describe_family(name: str) -> str:
    """Spell a family's name for people."""
    return FAMILIES[name].title if name in FAMILIES else capitalize(name.replace("_", " "))


def describe_measure(name: str) -> str:
    """Spell a measure's name for people: "nbis_eer" as "NBIS EER"; of no family's, by its words."""
    measure = find_measure(name)
    return measure.title if measure else make_printable(capitalize(" ".join(name.replace("_", " ").split())))


def describe_unit(unit: str) -> str:
    """Spell a unit for people; "" where a number needs none."""
    return _UNITS.get(unit, unit)


def lower(title: str) -> str:
    """Put a title into a sentence; an abbreviation keeps its capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def format_value(value: float, unit: str = "") -> str:
    """Format a number for reading: three or four digits, fractions as per cent.

    Args:
      value: any; NaN is a dash.
      unit: as in `MeasureRow.unit`.

    Returns:
      The number with its unit.
    """
    if math.isnan(value):
        return NO_VALUE
    number = _format_percent(value) if unit == "fraction" else _format_number(value)
    unit = describe_unit(unit)
    return f"{number}\u00a0{unit}" if unit else number


def format_difference(value: float, unit: str = "") -> str:
    """Format a difference, with its sign; of fractions as percentage points."""
    if math.isnan(value):
        return NO_VALUE
    if unit == "fraction":
        return f"{_sign(value)}{_format_number(round(value * 100, 1))}\u00a0points"
    return _sign(value) + format_value(value, unit)


def format_interval(low: float, high: float, unit: str = "") -> str:
    """Format an interval; "" where there is none.

    Args:
      low: its lower end; NaN where there is none.
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
    """Format from where to where some numbers lie; as one number where they look alike.

    Args:
      values: at least one; no NaN.
      unit: as in `MeasureRow.unit`.

    Returns:
      The numbers, the unit once.
    """
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
