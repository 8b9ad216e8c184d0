"""Owns the family "checkerboard": the pattern of a generator's strided transposed convolutions, by its frequencies.

Resizing after drawing moves the pattern to other frequencies, where it is not seen. Anything with the same period
counts.
"""

import math

import numpy as np
from ml_collections import ConfigDict
from scipy import fft, signal

from fpgan_jax.data import preprocessing
from fpgan_jax.evaluation.measures.family import Family, track_collections
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.study.findings import Findings, merge_findings
from fpgan_jax.evaluation.study.print_collection import Study

# Pixels: of the last convolution of stride 2 and of the one before. Eight is about the ridges' own period.
PERIODS = (2, 4)
MEASURES = {
    period: Measure(f"checkerboard_{period}px", "dB", "real", f"Checkerboard of {period}\u00a0px", margin=1)
    for period in PERIODS
}
# Pixels of an image; a quarter of them, the distance of two lines, must exceed the reach of a line's surroundings.
MIN_SIDE = 32
# Power of rounding to whole gray levels, gray levels^2 per pixel: anything fainter is not there.
FLOOR = 1 / 12
_REACH = 5
_DISTANCE = np.abs(np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]).max(0)
_IS_LINE = _DISTANCE <= 1  # the Hann window's main lobe has all of a pattern
_IS_AROUND = _DISTANCE >= 3
_CHUNK = 16


def measure(study: Study, data_config: ConfigDict) -> Findings:
    """Measure every collection, within the scanner's frame.

    Returns:
      `checkerboard_2px` and `checkerboard_4px` (dB): the mean of a collection and the value of each print. Refused if
      the prints are smaller than `MIN_SIDE`.
    """
    rows, columns = preprocessing.find_window(data_config)
    findings = []
    for collection in track_collections(study, "checkerboards"):
        images = collection.images[:, rows, columns]
        if min(images.shape[1:]) < MIN_SIDE:
            height, width = images.shape[1:]
            reason = (
                f"prints of {width}x{height} pixels are too small for a pattern; {MIN_SIDE} a side are needed"
            )
            findings.append(FAMILY.refuse_all(collection, reason))
            continue
        for period, values in measure_checkerboards(images).items():
            num_blank = int(np.isnan(values).sum())
            note = f"blank prints: {num_blank}" if num_blank else ""
            findings.append(FAMILY.describe(MEASURES[period], collection, values, note=note))
    return merge_findings(findings)


def measure_checkerboards(images: np.ndarray) -> dict[int, np.ndarray]:
    """Measure how far the power at a pattern's frequencies exceeds that around them.

    A pattern that repeats after p pixels in both directions has its power at the frequencies (i / p, j / p) cycles per
    pixel, its lines; those of a shorter period belong to that period. A print's power spectrum is that of its largest
    part with sides divisible by 4, so that every line is an entry, with a Hann window. A line's power is the mean of
    the 3x3 entries around it, its surroundings those at 3 to 5 entries from it. The excess is the mean over the lines
    of their ratio, so that a pattern in any line counts, and ridges near one of them do not outweigh the rest.

    The spectrum falls steeply for a smooth print, and a plain mean of the surroundings is then too high, by up to
    1.5 dB. The geometric means of opposite entries are averaged instead, in which a slope cancels. For two independent
    entries of noise that is pi / 4 of their power, which is corrected.

    Args:
      images: uint8 [n, height, width], each side at least `MIN_SIDE` pixels.

    Returns:
      A period of `PERIODS`, pixels -> float64 [n], dB; NaN for a print of one gray level. 0 is no excess: white noise
      has a mean of 0 and a standard deviation of 2 (1 for 4 pixels), smoothed noise a mean within 1 of it. A
      checkerboard of amplitude a, in a print of s^2 gray levels^2 per pixel at its lines, has about
      10 log10(1 + a^2 height width / (27 (s^2 + 1/12))) if its squares are of one pixel. If they are of two, the
      pattern of 4 pixels, 27 becomes 108: it has 4 of 12 lines instead of one of three, and a quarter of its power in
      each. In a print of 128x128 pixels an amplitude of 4 is about 5 dB.

    Source: Odena, Dumoulin & Olah 2016, "Deconvolution and checkerboard artifacts" (the pattern); Zhang, Karaman &
      Chang 2019, "Detecting and simulating artifacts in GAN fake images", and Durall, Keuper & Keuper 2020, "Watch
      your up-convolution" (upsampling repeats the spectrum); differs in: a number, of the repeated mean and of what
      varies slowly with it, instead of a classifier of spectra.
    """
    parts = map(_measure_chunk, np.split(images, range(_CHUNK, len(images), _CHUNK)))
    return dict(zip(PERIODS, map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _measure_chunk(images: np.ndarray) -> list[np.ndarray]:
    """Return an array [n] for each period."""
    power = _compute_power(images)
    is_blank = images.min((1, 2)) == images.max((1, 2))
    found = []
    for period in PERIODS:
        near = np.stack([_cut_out(power, *line) for line in _list_lines(period)], axis=1)
        opposite = near[..., ::-1, ::-1]
        around = np.sqrt(near * opposite)[..., _IS_AROUND].mean(-1)
        # Around a line of period 2, which is its own mirror image, opposite entries are the same entry.
        around *= 1 if period == 2 else 4 / np.pi
        excess = (near[..., _IS_LINE].mean(-1) + FLOOR) / (around + FLOOR)
        found.append(np.where(is_blank, np.nan, 10 * np.log10(excess.mean(1))))
    return found


def _compute_power(images: np.ndarray) -> np.ndarray:
    """Return the power spectra, gray levels^2 per pixel: white noise has its variance everywhere."""
    height, width = (side - side % math.lcm(*PERIODS) for side in images.shape[1:])
    window = np.outer(*(signal.windows.hann(side, sym=False) for side in (height, width)))
    # The mean stays in the entries next to frequency 0, far from any line.
    return np.abs(fft.fft2(images[:, :height, :width] * window)) ** 2 / np.sum(window**2)


def _list_lines(period: int) -> list[tuple[float, float]]:
    """List the frequencies (down, across), cycles per pixel, of patterns of this period but of no shorter one."""
    return [
        (down / period, across / period)
        for down in range(period)
        for across in range(period)
        if math.gcd(down, across, period) == 1
    ]


def _cut_out(power: np.ndarray, down: float, across: float) -> np.ndarray:
    """Cut out the surroundings of a line of spectra [n, height, width], which are periodic: [n, 11, 11]."""
    steps = np.arange(-_REACH, _REACH + 1)
    rows, columns = (
        (round(frequency * side) + steps) % side
        for frequency, side in zip((down, across), power.shape[1:], strict=True)
    )
    return power[:, rows[:, None], columns]


FAMILY = Family(
    "checkerboard",
    "Checkerboard",
    "Excess power at the frequencies of a pattern that repeats every 2 or 4 pixels, as strided transposed "
    "convolutions leave it, over the power around them; 0 dB is no pattern.",
    measures=tuple(MEASURES.values()),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(
        Headline(
            tuple(MEASURES.values()),
            "Do they show the generator's checkerboard?",
            "The mean excess of power at the pattern's frequencies",
        ),
    ),
)
