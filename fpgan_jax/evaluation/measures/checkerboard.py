"""Owns the family "checkerboard": the pattern of a generator's strided transposed convolutions, by its frequencies.

Does not see the pattern where prints were resized after they were drawn, which moves it to other frequencies, and
does not say whose it is: whatever repeats after so many pixels counts.
"""

import math

import numpy as np
from ml_collections import ConfigDict
from scipy import fft, signal

from fpgan_jax.data import preprocessing
from fpgan_jax.evaluation.measures.family import Family, Headline, Measure, create_image_rows
from fpgan_jax.evaluation.study.findings import Findings
from fpgan_jax.evaluation.study.print_collection import Study
from fpgan_jax.host.progress import create_progress

# Pixels: of the last convolution of stride 2 and of the last but one. Eight is about the ridges' own period.
PERIODS = (2, 4)
MEASURES = {
    period: Measure(f"checkerboard_{period}px", "dB", "real", f"Checkerboard of {period}\u00a0px", margin=1)
    for period in PERIODS
}
# A quarter of it, from one line to the next, is more than from a line to the end of its surroundings.
MIN_SIDE = 32  # pixels of an image
# The power of rounding to whole grey levels, grey levels^2 a pixel: what is fainter is not there.
FLOOR = 1 / 12
_REACH = 5
_DISTANCE = np.abs(np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]).max(0)
_IS_LINE = _DISTANCE <= 1  # the Hann window's main lobe holds all of a pattern
_IS_AROUND = _DISTANCE >= 3
_CHUNK = 16


def measure(study: Study, data_config: ConfigDict) -> Findings:
    """Measure every collection, within the scanner's frame.

    Args:
      study: what to measure.
      data_config: config.data of its prints.

    Returns:
      `checkerboard_2px` and `checkerboard_4px` (dB), a mean a collection and a value a print; refused where the prints
      are smaller than `MIN_SIDE`.
    """
    rows, columns = preprocessing.find_window(data_config)
    measures, images = [], []
    with create_progress(len(study.collections), "checkerboards", "collections") as progress:
        for collection in study.collections.values():
            images_within = collection.images[:, rows, columns]
            is_small = min(images_within.shape[1:]) < MIN_SIDE
            found = {} if is_small else measure_checkerboards(images_within)
            for period, taken in MEASURES.items():
                if is_small:
                    measures.append(FAMILY.refuse(taken, collection, describe_small(images_within)))
                    continue
                values = found[period]
                num_blank = int(np.isnan(values).sum())
                note = f"blank prints: {num_blank}" if num_blank else ""
                measures.append(FAMILY.summarize(taken, collection, values, note=note))
                images += create_image_rows(taken, collection, values)
            progress.update()
    return Findings(measures, images)


def measure_checkerboards(images: np.ndarray) -> dict[int, np.ndarray]:
    """Measure how far the power at a pattern's frequencies exceeds that around them.

    A pattern that repeats after p pixels both ways has its power at the frequencies (i / p, j / p) cycles a pixel, its
    lines; those of a shorter period are that period's. A print's power spectrum is that of its largest part with sides
    divisible by 4, so that every line is an entry, under a Hann window. A line's power is the mean of the 3x3 entries
    about it, its surroundings those at 3 to 5 entries from it. The excess is the mean over the lines of the one over
    the other, so that a pattern in any of them counts, and ridges near one of them do not outweigh the rest.

    The spectrum falls steeply where a print is smooth, and a plain mean of the surroundings is then too high, by up to
    1.5 dB. Therefore it is that of the geometric means of entries opposite each other, in which a slope cancels. Of
    two independent entries of noise that is pi / 4 of their power, which is made good.

    Args:
      images: uint8 [n, height, width], each side at least `MIN_SIDE` pixels.

    Returns:
      A period of `PERIODS`, pixels -> float64 [n], dB; NaN for a print of one grey. 0 is no more than around: white
      noise has a mean of 0 and a standard deviation of 2 (1 for 4 pixels), smoothed noise a mean within 1 of it. A
      checkerboard of amplitude a, in a print of s^2 grey levels^2 a pixel at its lines, has about
      10 log10(1 + a^2 height width / (27 (s^2 + 1/12))) where its squares are of one pixel. Where they are of two, the
      pattern of 4 pixels, 108 takes the place of 27: it has 4 of 12 lines in place of one of three, and a quarter of
      its power in each. In a print of 128x128 pixels an amplitude of 4 is some 5 dB.

    Raises:
      ValueError: a side is shorter.

    Source: Odena, Dumoulin & Olah 2016, "Deconvolution and checkerboard artifacts" (the pattern); Zhang, Karaman &
      Chang 2019, "Detecting and simulating artifacts in GAN fake images", and Durall, Keuper & Keuper 2020, "Watch
      your up-convolution" (upsampling repeats the spectrum); differs in: a number, of the repeated mean and of what
      varies slowly with it, instead of a classifier of spectra.
    """
    if min(images.shape[1:]) < MIN_SIDE:
        raise ValueError(describe_small(images))
    parts = [_measure_chunk(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
    return {
        period: np.concatenate([np.zeros(0), *(part[place] for part in parts)])
        for place, period in enumerate(PERIODS)
    }


def describe_small(images: np.ndarray) -> str:
    """Say that prints [n, height, width] are too small."""
    height, width = images.shape[1:]
    return f"prints of {width}x{height} pixels are too small for a pattern; {MIN_SIDE} a side are needed"


def _measure_chunk(images: np.ndarray) -> list[np.ndarray]:
    """Return an array [n] a period."""
    power = _compute_power(images)
    is_blank = images.min((1, 2)) == images.max((1, 2))
    found = []
    for period in PERIODS:
        near = np.stack([_cut_out(power, *line) for line in _list_lines(period)], axis=1)
        opposite = near[..., ::-1, ::-1]
        around = np.sqrt(near * opposite)[..., _IS_AROUND].mean(-1)
        # About a line of period 2, which is its own mirror image, opposite entries are one and the same.
        around *= 1 if period == 2 else 4 / np.pi
        excess = (near[..., _IS_LINE].mean(-1) + FLOOR) / (around + FLOOR)
        found.append(np.where(is_blank, np.nan, 10 * np.log10(excess.mean(1))))
    return found


def _compute_power(images: np.ndarray) -> np.ndarray:
    """Return the power spectra, grey levels^2 a pixel: white noise has its variance everywhere."""
    height, width = (side - side % math.lcm(*PERIODS) for side in images.shape[1:])
    window = np.outer(*(signal.windows.hann(side, sym=False) for side in (height, width)))
    # The mean stays in the entries next to frequency 0, far from any line.
    return np.abs(fft.fft2(images[:, :height, :width] * window)) ** 2 / np.sum(window**2)


def _list_lines(period: int) -> list[tuple[float, float]]:
    """List the frequencies (down, across), cycles a pixel, that patterns of this period have and no shorter ones."""
    return [
        (down / period, across / period)
        for down in range(period)
        for across in range(period)
        if math.gcd(down, across, period) == 1
    ]


def _cut_out(power: np.ndarray, down: float, across: float) -> np.ndarray:
    """Cut what is near a line out of spectra [n, height, width], which go on at their ends: [n, 11, 11]."""
    steps = np.arange(-_REACH, _REACH + 1)
    rows, columns = (
        (round(frequency * side) + steps) % side
        for frequency, side in zip((down, across), power.shape[1:], strict=True)
    )
    return power[:, rows[:, None], columns]


FAMILY = Family(
    "checkerboard",
    "Checkerboard",
    "How far the power at the frequencies of a pattern that repeats every 2 or 4 pixels, as strided transposed "
    "convolutions leave it, exceeds the power around them; 0 dB is no pattern.",
    measures=tuple(MEASURES.values()),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(
        Headline(
            tuple(MEASURES.values()),
            "Have they the generator's checkerboard?",
            "The mean excess of power at the pattern's frequencies",
        ),
    ),
)
