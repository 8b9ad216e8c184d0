"""Owns the words and numbers of the report as people read them: titles of families, collections and measures.

Does not decide what is reported.
"""

import math
import re

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
        "Do the synthetic prints of two persons match each other? They should not.",
    ),
    "leakage": (
        "Leakage",
        "How near is each synthetic print to the prints of the training, as they are and mirrored? A print that "
        "matches one gives it away.",
    ),
    "minutiae": (
        "Minutiae",
        "The ridges' endings and bifurcations: how many, of which kind, where and in which direction, and which "
        "were added or lost against the person's real print.",
    ),
    "quality": (
        "Quality",
        "What a quality measure made for real prints says. It does not know whether a print is real.",
    ),
    "ridges": (
        "Ridges",
        "The ridges' period and how well their directions agree, from the spectrum of small windows.",
    ),
    "distribution": (
        "Distribution",
        "How alike two sets of prints are as sets, in the features of a network.",
    ),
    "pixels": (
        "Pixels",
        "Grey by grey against the person's real print.",
    ),
}

# As in the tables' heads; what is not here is spelt from its name.
COLLECTIONS = {
    "real": "Real",
    "real_others": "Other persons, real",
    "altered_easy": "Altered, easy",
    "altered_medium": "Altered, medium",
    "altered_hard": "Altered, hard",
    "synthetic_training": "Training noise",
    "synthetic_new": "New noise",
    "control_other_person": "Another person's",
    "control_low_pass_noise": "Low-pass noise",
    "control_average_of_two": "Average of two",
    "control_mosaic": "Mosaic of two",
    "control_bare_frame": "Bare frame",
}

_WORDS = {
    word.lower(): word
    for word in ("EER", "FAR", "TAR", "FRR", "KID", "FID", "SSIM", "PSNR", "L1", "MAE", "NBIS", "ROC", "ppi")
} | {"nfiq2": "NFIQ 2", "nfiq": "NFIQ", "bozorth3": "Bozorth3", "mindtct": "MINDTCT", "std": "SD"}
_RATE = re.compile(r"_?at_(far|frr|fmr)_([0-9.]+)(?=_|$)")

WORDS = (
    (
        "95% interval",
        "From the bootstrap, which draws whole persons: where the number would lie for other persons like these. "
        "Two numbers whose intervals overlap are not told apart by this sample.",
    ),
    (
        "Real against real",
        "The same measure on other impressions of the same fingers. The best that a synthetic print can be asked for.",
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
    ("NFIQ 2", "NIST's quality of a print, 0 to 100. The reference implementation, or nothing."),
    (
        "KID, Fréchet distance",
        "Distances between two sets of prints in a network's features; 0 for equal sets.",
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
    return _capitalise(name.removeprefix("control_").replace("_", " "))


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
    if unit and unit != "score":
        name = name.removesuffix(f"_{unit}")
    rates: list[str] = []

    def keep(match: re.Match) -> str:
        rates.append(f"at {match[1].upper()} {_format_percent(float(match[2].rstrip('.')))}")
        return f"_\0{len(rates) - 1}"

    words = [_WORDS.get(word, word) for word in _RATE.sub(keep, name).split("_") if word]
    words = [rates[int(word[1:])] if word.startswith("\0") else word for word in words]
    return _capitalise(" ".join(words))


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def format_value(value: float, unit: str = "") -> str:
    """Format a number for reading: about four digits, fractions as per cent.

    Args:
      value: any; NaN is a dash.
      unit: as in `MeasureRow.unit`.

    Returns:
      The number with its unit.
    """
    if math.isnan(value):
        return NO_VALUE
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if unit == "fraction":
        return _format_percent(value).replace("-", _MINUS)
    number = _format_number(value).replace("-", _MINUS)
    return number if unit in ("", "score") else f"{number}\u00a0{unit}"


def format_difference(value: float, unit: str = "") -> str:
    """Format a difference, with its sign; of fractions as percentage points."""
    if math.isnan(value):
        return NO_VALUE
    sign = "+" if value > 0 else ""
    if unit == "fraction":
        points = f"{value * 100:.1f}".replace("-", _MINUS)
        return f"{sign}{points} points"
    return sign + format_value(value, unit)


def format_interval(low: float, high: float, unit: str = "") -> str:
    """Format an interval, "" where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    low_text, high_text = format_value(low, unit), format_value(high, unit)
    if unit == "fraction":
        low_text = low_text.removesuffix("%")
    elif unit not in ("", "score"):
        low_text = low_text.split("\u00a0")[0]
    return f"{low_text} to {high_text}"


def _format_percent(value: float) -> str:
    percent = value * 100
    if 99.95 <= percent < 100:  # not all
        return f"{math.floor(percent * 100) / 100:.2f}%"
    if abs(percent) >= 1 or percent == 0:
        return f"{percent:.1f}".removesuffix(".0") + "%"
    return f"{percent:.2g}%" if abs(percent) >= 0.001 else f"{percent:.1e}%"


def _format_number(value: float) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3:
        return f"{value:.1e}"
    if size >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.{max(0, min(4, 3 - math.floor(math.log10(size))))}f}"
