"""Owns the words and numbers of the report as people read them: titles of families, collections and measures.

Does not decide what is reported.
"""

import math
import re
from collections.abc import Sequence

from fpgan_jax.evaluation.report.html import make_printable

NO_VALUE = "\u2013"
_MINUS = "\u2212"

# A family's title, and what its numbers tell.
FAMILIES = {
    "similarity": (
        "The paper's similarity",
        "The probability that an Xception, trained to tell these persons apart, gives to the person whom a print is "
        "counted under. It must name one of them, so it can be sure of what is no print at all: read the controls.",
    ),
    "identity": (
        "Identity",
        "Do independent matchers take a print for its own person's? A threshold is set on comparisons of different "
        "real persons (impostors), so that only a known share of them passes; then it is asked what else passes.",
    ),
    "uniqueness": (
        "Uniqueness",
        "Do the synthetic prints of two persons match each other? They should not. And those of one person? They "
        "should, as often as real impressions of one finger.",
    ),
    "leakage": (
        "Leakage",
        "How near is each synthetic print to the prints of the training, as they are and mirrored? A print that "
        "matches one gives it away; one that is nearer to it than a second impression of the finger comes is a copy.",
    ),
    "minutiae": (
        "Minutiae",
        "The ridges' endings and bifurcations: how many, of which kind, where and in which direction, and which "
        "were added or lost against real impressions of the finger, once the two are aligned.",
    ),
    "variation": (
        "Variation",
        "How far two impressions of one finger are apart: turned, shifted, distorted, cut off, lighter or darker. "
        "Synthetic ones should be distributed as real ones are. KS, the Kolmogorov-Smirnov distance, is 0 for the same "
        "distribution and 1 for two without overlap.",
    ),
    "quality": (
        "Quality",
        "What a quality measure made for real prints says. It does not know whether a print is real.",
    ),
    "ridges": (
        "Ridges",
        "The ridges' period and how well their directions agree, from the spectrum of small windows. A blurred print "
        "reads as having wider ridges, or none.",
    ),
    "checkerboard": (
        "Checkerboard",
        "How far the power at the frequencies of a pattern that repeats every 2 or 4 pixels, as strided transposed "
        "convolutions leave it, exceeds the power around them; 0 dB is no pattern.",
    ),
    "distribution": (
        "Distribution",
        "How alike two sets of prints are as sets, in features of a print that a network or a formula gives.",
    ),
    "pixels": (
        "Pixels",
        "Grey by grey, against the person's real print, the nearest real print, and one another.",
    ),
}

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

_SPELLINGS = {
    word.lower(): word
    for word in (
        "EER",
        "FAR",
        "TAR",
        "FRR",
        "KID",
        "KS",
        "SSIM",
        "PSNR",
        "L1",
        "NBIS",
        "MCC",
        "Bozorth3",
        "MINDTCT",
    )
} | {"nfiq2": "NFIQ 2", "std": "SD", "frechet": "Fr\u00e9chet", "2px": "of 2\u00a0px", "4px": "of 4\u00a0px"}
_RATE = re.compile(r"_?at_far_([0-9.]+)(?=_|$)")
_DECIMALS = ((100, 0), (10, 1), (1, 2), (0.99, 4), (0.1, 3), (1e-3, 4), (0, 5))
_FRAMES = {"_frame_keep": ", with the frame", "_frame_crop": ", without the frame"}
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
    return make_printable(_capitalise(name.removeprefix("control_").replace("_", " ")))


def describe_family(name: str) -> str:
    """Spell a family's name for people."""
    return FAMILIES[name][0] if name in FAMILIES else _capitalise(name.replace("_", " "))


def describe_measure(name: str, unit: str = "") -> str:
    """Spell a measure's name for people: "eer" as "EER", "at_far_0.01" as "at FAR 1%".

    Args:
      name: as in `MeasureRow.measure`.
      unit: cut from the name's end if it stands there.

    Returns:
      The words, a capital in front.
    """
    if describe_unit(unit):
        name = name.removesuffix(f"_{unit}")
    rates = [_format_percent(float(rate.rstrip("."))) for rate in _RATE.findall(name)]
    name = _RATE.sub("_\0", name)
    frame = next((part for part in _FRAMES if part in name), "")
    name = name.replace(frame, "")
    words = " ".join(_SPELLINGS.get(word, word) for word in re.split(r"[_ ]+", name) if word)
    for rate in rates:
        words = words.replace("\0", f"at FAR {rate}", 1)
    return make_printable(_capitalise(words) + _FRAMES.get(frame, ""))


def describe_unit(unit: str) -> str:
    """Spell a unit for people; "" where a number needs none."""
    return _UNITS.get(unit, unit)


def lower(title: str) -> str:
    """Put a title into a sentence; an abbreviation keeps its capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


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
