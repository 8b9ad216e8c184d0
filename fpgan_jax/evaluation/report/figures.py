"""Owns the report's pictures: thumbnails of prints, and figures as SVG that take the page's colours and font.

Does not choose what is drawn.
"""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from PIL import Image

from fpgan_jax.evaluation.report.html import Element, create_element, make_printable
from fpgan_jax.evaluation.report.names import format_value
from fpgan_jax.evaluation.study.print_collection import BASELINE, REAL_ROLES, SYNTHETIC

# A colour of the page, by its name in report.css -> the grey or colour that stands for it while Matplotlib draws.
COLOURS = {
    "ink": "#1c1e21",
    "muted": "#5d6268",
    "rule": "#d9d5cb",
    "real": "#1a5fa8",
    "training": "#b34700",
    "new": "#00735a",
    "control": "#77736a",
}
_WIDTH_INCHES = 4.5
_SVG_NAMESPACE = re.compile(r"\{[^}]*\}")
_VARIABLES = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
# Matplotlib's figures by themselves, whatever the user's matplotlibrc says.
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["rule"],
    "xtick.color": COLOURS["rule"],
    "ytick.color": COLOURS["rule"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["muted"],
    "grid.color": COLOURS["rule"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
}


class Line(NamedTuple):
    """A measure over the epochs.

    Attributes:
      title: in the legend.
      colour: one of `COLOURS`.
      epochs: int [n].
      values: float [n].
      lows: float [n]; NaN where there is no interval.
      highs: float [n].
    """

    title: str
    colour: str
    epochs: np.ndarray
    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


class Dot(NamedTuple):
    """A number on a table's small picture.

    Attributes:
      colour: one of `COLOURS`.
      value: finite.
      low: NaN where there is no interval.
      high: as low.
    """

    colour: str
    value: float
    low: float
    high: float


def choose_colour(collection: str, role: str) -> str:
    """Choose a collection's colour: one each for real prints, training noise, other synthetic prints, controls."""
    if role in (*REAL_ROLES, BASELINE):
        return "real"
    if role == SYNTHETIC:
        return "new" if "new" in collection else "training"
    return "control"


def encode_image(image: np.ndarray, side: int) -> str:
    """Encode a print as a PNG within a URI, made smaller if it is larger than `side`.

    Args:
      image: uint8 [height, width].
      side: the longest side in pixels.

    Returns:
      A data URI.
    """
    picture = Image.fromarray(image)
    if max(picture.size) > side:
        factor = side / max(picture.size)
        size = [max(1, round(length * factor)) for length in picture.size]
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def encode_noise(image: np.ndarray, side: int) -> str:
    """Encode the middle of a noise image, pixel for pixel: made smaller it would turn grey."""
    top, left = (max(0, (length - side) // 2) for length in image.shape)
    return encode_image(image[top : top + side, left : left + side], side)


def draw_scores(
    groups: Mapping[str, tuple[str, np.ndarray]],
    thresholds: Mapping[str, float],
    *,
    matcher: str,
    prefix: str,
) -> Element:
    """Draw the distributions of a matcher's scores below one another, with the thresholds across.

    Args:
      groups: a title -> (colour, scores float [n]), at least one score each.
      thresholds: a title -> score.
      matcher: its name, for the label.
      prefix: of the ids within the SVG; no other figure of the page may have it.

    Returns:
      An "svg" element.
    """
    groups = {make_printable(name): group for name, group in groups.items()}
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH_INCHES, 0.72 * len(groups) + 0.95), layout="constrained")
        axes = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
        scores = [scores for _, scores in groups.values()]
        top = max([*(float(values.max()) for values in scores), *thresholds.values()])
        bottom = min(0.0, *(float(values.min()) for values in scores))
        top = top if top > bottom else bottom + 1
        # Impostors lie close together at the low end, where the thresholds are.
        is_root = bottom == 0
        bins = np.linspace(0, top**0.5, 61) ** 2 if is_root else np.linspace(bottom, top, 61)
        for axis, (title, (colour, values)) in zip(axes, groups.items(), strict=True):
            if is_root:
                axis.set_xscale("function", functions=(lambda x: np.maximum(x, 0) ** 0.5, np.square))
            weights = np.full(len(values), 1 / len(values))
            axis.hist(values, bins, weights=weights, color=COLOURS[colour], alpha=0.8, histtype="stepfilled")
            axis.set_title(f"{title} (n = {len(values):,})", loc="left", pad=2)
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
            for place, (name, threshold) in enumerate(thresholds.items()):
                style = {"color": COLOURS["ink"], "lw": 1, "ls": ("--", ":", "-.")[place % 3]}
                axis.axvline(threshold, label=name if axis is axes[0] else None, **style)
        if thresholds:
            figure.legend(loc="outside upper right", ncols=len(thresholds), frameon=False, fontsize=9)
        if is_root:
            axes[-1].set_xticks(_choose_ticks(top))
        axes[-1].set_xlabel("score, on a scale of square roots" if is_root else "score")
        spoken = ", ".join(f"{title}: median {np.median(v):.4g}" for title, (_, v) in groups.items())
        return _convert(figure, prefix, f"Histograms of the scores of {matcher}. {spoken}.")


def _choose_ticks(top: float) -> list[float]:
    """Choose round numbers from 0 to `top` that do not stand too close on a scale of square roots."""
    exponents = range(math.floor(math.log10(top)) - 3, math.floor(math.log10(top)) + 1)
    ticks = [0.0]
    for number in (digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)):
        if number <= top and (number / top) ** 0.5 - (ticks[-1] / top) ** 0.5 > 0.12:
            ticks.append(number)
    return ticks


def draw_epochs(
    title: str, unit: str, lines: Sequence[Line], real: tuple[float, float] | None, *, prefix: str
) -> Element:
    """Draw a measure over the epochs of a training.

    Args:
      title: of the measure.
      unit: as in `MeasureRow.unit`.
      lines: one or more.
      real: lowest and highest value of real against real, drawn as a band.
      prefix: as in `draw_scores`.

    Returns:
      An "svg" element.
    """
    title = make_printable(title)
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH_INCHES, 2.9), layout="constrained")
        axis = figure.subplots()
        if real:
            axis.axhspan(*real, color=COLOURS["real"], alpha=0.15, lw=0)
            # A band without height would not be seen.
            axis.axhline(np.mean(real), color=COLOURS["real"], lw=1, label="Real against real")
        for line in lines:
            axis.fill_between(
                line.epochs, line.lows, line.highs, color=COLOURS[line.colour], alpha=0.18, lw=0
            )
            axis.plot(
                line.epochs,
                line.values,
                color=COLOURS[line.colour],
                marker="o",
                ms=4,
                label=make_printable(line.title),
            )
        _set_unit(axis.yaxis, unit)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axis.set_title(title, loc="left")
        axis.grid(axis="y", lw=0.6)
        axis.legend(frameon=False, fontsize=9)
        spoken = "; ".join(
            f"{line.title}: {format_value(line.values[0], unit)} after epoch {line.epochs[0]}, "
            f"{format_value(line.values[-1], unit)} after epoch {line.epochs[-1]}"
            for line in lines
        )
        return _convert(figure, prefix, f"{title} by epoch. {spoken}.")


def draw_spreads(
    title: str, unit: str, groups: Mapping[str, tuple[str, np.ndarray]], *, prefix: str
) -> Element:
    """Draw how a value of single prints is spread in each collection: 5%, quartiles, median, 95%.

    Args:
      title: of the measure.
      unit: as in `MeasureRow.unit`.
      groups: a collection's title -> (colour, finite values float [n]), at least one value each.
      prefix: as in `draw_scores`.

    Returns:
      An "svg" element.
    """
    title, unit = make_printable(title), make_printable(unit)
    groups = {make_printable(name): group for name, group in groups.items()}
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH_INCHES, 0.26 * len(groups) + 0.85), layout="constrained")
        axis = figure.subplots()
        percentiles = {name: np.percentile(v, (5, 25, 50, 75, 95)) for name, (_, v) in groups.items()}
        for place, (name, (colour, _)) in enumerate(groups.items()):
            low, first, median, third, high = percentiles[name]
            axis.plot((low, high), (place, place), color=COLOURS[colour], lw=1.5)
            axis.plot((first, third), (place, place), color=COLOURS[colour], lw=6, solid_capstyle="butt")
            axis.plot(median, place, color=COLOURS["ink"], marker="|", ms=9, mew=2)
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set_ylim(len(groups) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", lw=0.6)
        axis.set_axisbelow(True)
        _set_unit(axis.xaxis, unit)
        axis.set_title(title, loc="left")
        spoken = "; ".join(f"{name}: median {format_value(p[2], unit)}" for name, p in percentiles.items())
        return _convert(figure, prefix, f"{title} of single prints. {spoken}.")


def draw_dots(dots: Sequence[Dot], real: tuple[float, float] | None, *, spoken: str) -> Element:
    """Draw a row's numbers with their intervals on one scale, small enough for a table's cell.

    Args:
      dots: the numbers; the last ones lie on top. Controls beyond the others stand at the ends of the scale.
      real: lowest and highest end of real against real, drawn as a band.
      spoken: what the picture says, in words.

    Returns:
      An "svg" element.
    """
    # A control far away would press everything else together.
    scaling = [dot for dot in dots if dot.colour != "control"] or dots
    ends = [end for dot in scaling for end in (dot.value, dot.low, dot.high) if np.isfinite(end)]
    ends += [end for end in real or () if np.isfinite(end)]
    bottom, top = (min(ends), max(ends)) if ends else (0.0, 1.0)
    scale = 152 / (top - bottom) if top > bottom else 0.0

    def place(value: float) -> str:
        return f"{4 + (min(max(value, bottom), top) - bottom) * scale if scale else 80.0:.1f}"

    marks = []
    if real and np.isfinite(real).all():
        width = max(2.0, (real[1] - real[0]) * scale)
        marks.append(
            create_element("rect", x=place(real[0]), y="2", width=f"{width:.1f}", height="20", class_="band")
        )
    for dot in dots:
        if dot.colour == "control":
            x = place(dot.value)
            marks.append(create_element("line", x1=x, x2=x, y1="8", y2="16", class_="control"))
            continue
        y = {"training": "8", "new": "16"}.get(dot.colour, "12")
        if np.isfinite((dot.low, dot.high)).all():
            marks.append(
                create_element("line", x1=place(dot.low), x2=place(dot.high), y1=y, y2=y, class_=dot.colour)
            )
        marks.append(create_element("circle", cx=place(dot.value), cy=y, r="3.5", class_=dot.colour))
    return create_element(
        "svg",
        create_element("title", spoken),
        marks,
        viewBox="0 0 160 24",
        width="160",
        height="24",
        role="img",
        class_="dots",
    )


def _set_unit(axis, unit: str) -> None:
    if unit == "fraction":
        axis.set_major_formatter(ticker.PercentFormatter(1.0))
    elif unit not in ("", "score"):
        axis.set_label_text(unit)


def _convert(figure: Figure, prefix: str, spoken: str) -> Element:
    """Convert a figure into an element whose ids are unique, whose colours and font are the page's."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": prefix, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _SVG_NAMESPACE.sub("", child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _SVG_NAMESPACE.sub("", element.tag)
        attributes = {_SVG_NAMESPACE.sub("", name): value for name, value in element.attrib.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "style":
                value = _restyle(value)
            elif name == "id":
                value = f"{prefix}-{value}"
            elif name == "href":
                value = value.replace("#", f"#{prefix}-")
            element.set(name, value.replace("url(#", f"url(#{prefix}-"))
    view = root.get("viewBox")
    root.attrib.clear()
    root.attrib.update(viewBox=view, role="img", **{"class": "figure"})
    root.insert(0, create_element("title", spoken))
    return root


def _restyle(style: str) -> str:
    """Replace a style's colours by the page's, and leave the font to the page."""
    style = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES.get(match[0], match[0]), style)
    style = re.sub(r"font: ([0-9.]+px)[^;]*", r"font-size: \1", style)
    return re.sub(r"font-family: [^;]*;? ?", "", style)
