"""The report's pictures: prints as PNG, and figures as SVG with the page's colors and font."""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib import ticker
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from PIL import Image

from fpgan_jax.evaluation.report.html import make_printable
from fpgan_jax.evaluation.report.names import describe_unit, format_value
from fpgan_jax.evaluation.study.print_collection import BASELINE, REAL_ROLES, SYNTHETIC

# A color's name in report.css -> its value in the light theme, which Matplotlib draws with.
COLORS = {
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
_VARIABLES = {color: f"var(--{name})" for name, color in COLORS.items()}
# Independent of the user's matplotlibrc.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "text.color": COLORS["ink"],
    "axes.labelcolor": COLORS["muted"],
    "axes.edgecolor": COLORS["rule"],
    "xtick.color": COLORS["rule"],
    "ytick.color": COLORS["rule"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.labelcolor": COLORS["muted"],
    "grid.color": COLORS["rule"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
}


class Line(NamedTuple):
    """A measure over the epochs: arrays [n]; ends of intervals are NaN where there is none."""

    title: str
    color: str
    epochs: np.ndarray
    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


class Dot(NamedTuple):
    """A finite number with its interval, whose ends are NaN if there is none."""

    color: str
    value: float
    low: float
    high: float


def choose_color(collection: str, role: str) -> str:
    """Choose a collection's color: real prints, training noise, other synthetic prints and controls have one each."""
    if role in (*REAL_ROLES, BASELINE):
        return "real"
    if role == SYNTHETIC:
        return "new" if "new" in collection else "training"
    return "control"


def encode_image(image: np.ndarray, side: int) -> str:
    """Encode a print (uint8 [height, width]) as a PNG in a data URI, with at most `side` pixels a side."""
    picture = Image.fromarray(image)
    if max(picture.size) > side:
        factor = side / max(picture.size)
        size = [max(1, round(length * factor)) for length in picture.size]
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def encode_noise(image: np.ndarray, side: int) -> str:
    """Encode the center of a noise image, pixel for pixel, since it would turn gray if it were resized."""
    top, left = (max(0, (length - side) // 2) for length in image.shape)
    return encode_image(image[top : top + side, left : left + side], side)


def draw_scores(
    groups: Mapping[str, tuple[str, np.ndarray]],
    thresholds: Mapping[str, float],
    *,
    matcher: str,
    prefix: str,
) -> Markup:
    """Draw the histograms of a matcher's scores below one another, with the thresholds as lines.

    Args:
      groups: title -> (color, scores float [n > 0]).
      thresholds: title -> score.
      matcher: its name, for the label.
      prefix: of the ids in the SVG; unique in the page.
    """
    groups = {make_printable(name): group for name, group in groups.items()}
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH_INCHES, 0.72 * len(groups) + 0.95), layout="constrained")
        axes = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
        scores = [scores for _, scores in groups.values()]
        top = max([*(float(values.max()) for values in scores), *thresholds.values()])
        bottom = min(0.0, *(float(values.min()) for values in scores))
        top = top if top > bottom else bottom + 1
        # The impostor scores are close together at the low end, where the thresholds are.
        is_root = bottom == 0
        bins = np.linspace(0, top**0.5, 61) ** 2 if is_root else np.linspace(bottom, top, 61)
        for axis, (title, (color, values)) in zip(axes, groups.items(), strict=True):
            if is_root:
                axis.set_xscale("function", functions=(lambda x: np.maximum(x, 0) ** 0.5, np.square))
            weights = np.full(len(values), 1 / len(values))
            axis.hist(values, bins, weights=weights, color=COLORS[color], alpha=0.8, histtype="stepfilled")
            axis.set_title(f"{title} (n = {len(values):,})", loc="left", pad=2)
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
            for place, (name, threshold) in enumerate(thresholds.items()):
                style = {"color": COLORS["ink"], "lw": 1, "ls": ("--", ":", "-.")[place % 3]}
                axis.axvline(threshold, label=name if axis is axes[0] else None, **style)
        if thresholds:
            figure.legend(loc="outside upper right", ncols=len(thresholds), frameon=False, fontsize=9)
        if is_root:
            axes[-1].set_xticks(_choose_ticks(top))
        axes[-1].set_xlabel("score (square root scale)" if is_root else "score")
        description = ", ".join(f"{title}: median {np.median(v):.4g}" for title, (_, v) in groups.items())
        return _convert(figure, prefix, f"Histograms of the scores of {matcher}. {description}.")


def _choose_ticks(top: float) -> list[float]:
    """Choose round numbers from 0 to `top` that are not too close on a square root scale."""
    exponents = range(math.floor(math.log10(top)) - 3, math.floor(math.log10(top)) + 1)
    ticks = [0.0]
    for number in (digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)):
        if number <= top and (number / top) ** 0.5 - (ticks[-1] / top) ** 0.5 > 0.12:
            ticks.append(number)
    return ticks


def draw_epochs(
    title: str, unit: str, lines: Sequence[Line], real: tuple[float, float] | None, *, prefix: str
) -> Markup:
    """Draw a measure over the epochs of a training.

    Args:
      title: of the measure.
      unit: as in `MeasureRow.unit`.
      lines: at least one.
      real: lowest and highest value of real against real, drawn as a band.
      prefix: as in `draw_scores`.
    """
    title = make_printable(title)
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH_INCHES, 2.9), layout="constrained")
        axis = figure.subplots()
        if real:
            axis.axhspan(*real, color=COLORS["real"], alpha=0.15, lw=0)
            # The band may have no height.
            axis.axhline(sum(real) / 2, color=COLORS["real"], lw=1, label="Real against real")
        for line in lines:
            color = COLORS[line.color]
            axis.fill_between(line.epochs, line.lows, line.highs, color=color, alpha=0.18, lw=0)
            label = make_printable(line.title)
            axis.plot(line.epochs, line.values, color=color, marker="o", ms=4, label=label)
        _set_unit(axis.yaxis, unit)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axis.set_title(title, loc="left")
        axis.grid(axis="y", lw=0.6)
        axis.legend(frameon=False, fontsize=9)
        description = "; ".join(
            f"{line.title}: {format_value(line.values[0], unit)} after epoch {line.epochs[0]}, "
            f"{format_value(line.values[-1], unit)} after epoch {line.epochs[-1]}"
            for line in lines
        )
        return _convert(figure, prefix, f"{title} by epoch. {description}.")


def draw_spreads(
    title: str, unit: str, groups: Mapping[str, tuple[str, np.ndarray]], *, prefix: str
) -> Markup:
    """Draw how the values of single prints are distributed: 5%, quartiles, median, 95%.

    Args:
      title: of the measure.
      unit: as in `MeasureRow.unit`.
      groups: a collection's title -> (color, finite values float [n > 0]).
      prefix: as in `draw_scores`.
    """
    title, unit = make_printable(title), make_printable(unit)
    groups = {make_printable(name): group for name, group in groups.items()}
    with matplotlib.rc_context(_STYLE):
        figure = Figure((_WIDTH_INCHES, 0.26 * len(groups) + 0.85), layout="constrained")
        axis = figure.subplots()
        percentiles = {name: np.percentile(v, (5, 25, 50, 75, 95)) for name, (_, v) in groups.items()}
        for place, (name, (color, _)) in enumerate(groups.items()):
            low, first, median, third, high = percentiles[name]
            axis.plot((low, high), (place, place), color=COLORS[color], lw=1.5)
            axis.plot((first, third), (place, place), color=COLORS[color], lw=6, solid_capstyle="butt")
            axis.plot(median, place, color=COLORS["ink"], marker="|", ms=9, mew=2)
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set_ylim(len(groups) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", lw=0.6)
        axis.set_axisbelow(True)
        _set_unit(axis.xaxis, unit)
        axis.set_title(title, loc="left")
        description = "; ".join(
            f"{name}: median {format_value(p[2], unit)}" for name, p in percentiles.items()
        )
        return _convert(figure, prefix, f"{title} of single prints. {description}.")


def draw_dots(dots: Sequence[Dot], real: tuple[float, float] | None, *, description: str) -> Markup:
    """Draw numbers with their intervals on one scale, small enough for a table's cell.

    Args:
      dots: later ones are on top. Controls beyond the other numbers are drawn at the ends of the scale.
      real: lowest and highest end of real against real, drawn as a band.
      description: the picture in words.
    """
    # The scale leaves controls out: one far away would squeeze all other numbers.
    scaling = [dot for dot in dots if dot.color != "control"] or dots
    ends = [end for dot in scaling for end in (dot.value, dot.low, dot.high) if np.isfinite(end)]
    ends += [end for end in real or () if np.isfinite(end)]
    bottom, top = (min(ends), max(ends)) if ends else (0.0, 1.0)
    scale = 152 / (top - bottom) if top > bottom else 0.0

    def place(value: float) -> str:
        return f"{4 + (min(max(value, bottom), top) - bottom) * scale if scale else 80.0:.1f}"

    svg = ElementTree.Element(
        "svg", {"viewBox": "0 0 160 24", "width": "160", "height": "24", "role": "img", "class": "dots"}
    )

    def draw(tag: str, color: str, **places: str) -> None:
        ElementTree.SubElement(svg, tag, {**places, "class": color})

    if real and np.isfinite(real).all():
        width = max(2.0, (real[1] - real[0]) * scale)
        draw("rect", "band", x=place(real[0]), y="2", width=f"{width:.1f}", height="20")
    for dot in dots:
        x = place(dot.value)
        if dot.color == "control":
            draw("line", "control", x1=x, x2=x, y1="8", y2="16")
            continue
        y = {"training": "8", "new": "16"}.get(dot.color, "12")
        if np.isfinite((dot.low, dot.high)).all():
            draw("line", dot.color, x1=place(dot.low), x2=place(dot.high), y1=y, y2=y)
        draw("circle", dot.color, cx=x, cy=y, r="3.5")
    return _write(svg, description)


def _set_unit(axis: Axis, unit: str) -> None:
    if unit == "fraction":
        axis.set_major_formatter(ticker.PercentFormatter(1.0))
    elif unit not in ("", "score"):
        axis.set_label_text(describe_unit(unit) or unit)


def _convert(figure: Figure, prefix: str, description: str) -> Markup:
    """Convert a figure to an SVG with unique ids and the page's colors and font."""
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
    view = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": view, "role": "img", "class": "figure"})
    return _write(root, description)


def _write(svg: ElementTree.Element, description: str) -> Markup:
    title = ElementTree.Element("title")
    title.text = make_printable(description)
    svg.insert(0, title)
    return Markup(ElementTree.tostring(svg, encoding="unicode", method="html"))


def _restyle(style: str) -> str:
    """Replace a style's colors with the page's, and leave the font to the page."""
    style = re.sub(r"#[0-9a-f]{6}", lambda match: _VARIABLES.get(match[0], match[0]), style)
    style = re.sub(r"font: ([0-9.]+px)[^;]*", r"font-size: \1", style)
    return re.sub(r"font-family: [^;]*;? ?", "", style)
