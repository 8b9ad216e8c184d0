"""Owns the ridge period and the local coherence of ridges, both from spectra of blocks."""

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage, signal

# A print that fills its image has about 28 ridges across: 4.7 in a block.
BLOCKS_PER_SIDE = 6
MIN_SIDE = 8 * BLOCKS_PER_SIDE  # pixels of an image
MIN_PERIOD = 2.5  # pixels, just above two samples a ridge
# Share of a block's width; the Hann window smears longer periods into the block's mean.
_MAX_PERIOD = 0.4
_PADDING = 2
# Share of a ring's power density; smaller peaks are chance.
_MIN_PROMINENCE = 0.03
# Frequencies that count as ridges, as multiples of the print's ridge frequency.
_RING = (0.7, 1.4)
# Blocks with a smaller share of the median block's contrast have no ridges.
_MIN_CONTRAST = 0.5
_CHUNK = 16


class Ridges(NamedTuple):
    """Each print's ridges."""

    # float64 [n], pixels; NaN if no period stands out, as in a blank image or in white noise
    period: np.ndarray
    # float64 [n], mean over blocks: 1 if all ridges of a block are parallel, near 0 if they run in all directions;
    # NaN for a blank image
    coherence: np.ndarray


def measure_ridges(images: np.ndarray) -> Ridges:
    """Measure the ridges of prints.

    A print's spectrum is the mean of its blocks' power spectra, each of power 1. The ridge frequency is the strongest
    maximum of power density times frequency, over rings of equal frequency, between `MIN_PERIOD` and two fifths of a
    block. A block's coherence is the length of the mean of exp(2i angle), weighted by power, near that frequency (or in
    the whole range if there is none).

    Args:
      images: uint8 [n, height, width], each side at least `MIN_SIDE` pixels.

    Returns:
      The ridges. Blur removes more of the narrow ridges than of the wide ones, so that a blurred print seems wider: at
      a period of 4.4 pixels by 5 to 15% with a Gaussian of 1 pixel; with 1.6 pixels hardly any print has a period left.

    Raises:
      ValueError: a side is shorter.

    Source: mean of windowed periodograms, Welch 1967; coherence of directions, Kass & Witkin 1987, in the spectrum;
      differs in: all blocks have equal weight, whatever their contrast.
    """
    if min(images.shape[1:]) < MIN_SIDE:
        raise ValueError(describe_small(images))
    parts = [_measure_chunk(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
    periods, coherences = zip(*parts, strict=True) if parts else ((), ())
    return Ridges(np.concatenate([np.zeros(0), *periods]), np.concatenate([np.zeros(0), *coherences]))


def describe_small(images: np.ndarray) -> str:
    """Say that prints [n, height, width] are too small."""
    height, width = images.shape[1:]
    return f"prints of {width}x{height} pixels are too small to find ridges in; {MIN_SIDE} a side are needed"


def _measure_chunk(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blocks, is_ridged = _cut_blocks(images)
    rings = _Rings(blocks.shape[-1])
    power = np.abs(fft.rfft2(blocks, (rings.side, rings.side))) ** 2 * rings.multiplicity
    power /= np.maximum(power[..., rings.is_in_range].sum(-1), 1e-12)[..., None, None]
    num_blocks = is_ridged.sum(1)
    mean_power = np.einsum("nbyx,nb->nyx", power, is_ridged) / np.maximum(num_blocks, 1)[:, None, None]
    frequencies = np.array([rings.find_peak(spectrum) for spectrum in mean_power])
    coherences = np.full(len(images), np.nan)
    for place in np.flatnonzero(num_blocks):
        near = rings.select(frequencies[place])
        chosen = power[place, is_ridged[place]][:, near]
        total = np.abs((chosen * np.exp(2j * rings.angle[near])).sum(1))
        coherences[place] = np.mean(total / np.maximum(chosen.sum(1), 1e-12))
    periods = np.where(num_blocks > 0, rings.side / frequencies, np.nan)
    return periods, coherences


def _cut_blocks(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return windowed blocks without their mean, [n, blocks, side, side], and which have contrast, bool [n, blocks]."""
    side = min(images.shape[1:]) // BLOCKS_PER_SIDE
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), (1, 2))
    blocks = windows[:, :: side // 2, :: side // 2].reshape(len(images), -1, side, side).astype(np.float64)
    taper = np.hanning(side + 2)[1:-1]
    weights = np.outer(taper, taper) / taper.sum() ** 2
    blocks -= np.einsum("nbyx,yx->nb", blocks, weights)[..., None, None]
    contrasts = np.sqrt(np.einsum("nbyx,yx->nb", blocks**2, weights))
    is_ridged = np.zeros(contrasts.shape, bool)
    for place, contrast in enumerate(contrasts):
        # Less than one gray level is rounding.
        if (seen := contrast[contrast >= 1]).size:
            is_ridged[place] = contrast >= max(1, _MIN_CONTRAST * np.median(seen))
    return blocks * weights, is_ridged


class _Rings:
    """The rings of a block's spectrum, one step of the padded transform wide; arrays are [side, side // 2 + 1]."""

    def __init__(self, block_side: int):
        self.side = _PADDING * block_side  # of the padded transform
        down, across = fft.fftfreq(self.side)[:, None], fft.rfftfreq(self.side)[None, :]
        self._radius = np.hypot(down, across) * self.side
        self.angle = np.arctan2(down, across)  # direction of the frequency, radians
        # 2 where the half-spectrum leaves out a mirrored entry.
        self.multiplicity = np.where((across > 0) & (across < 0.5), 2.0, 1.0) * np.ones_like(self._radius)
        self._low, self._high = self.side / (_MAX_PERIOD * block_side), self.side / MIN_PERIOD
        # Frequencies that ridges may have.
        self.is_in_range = (self._radius >= self._low) & (self._radius <= self._high)
        self._number = np.rint(self._radius).astype(int).ravel()
        self._size = np.bincount(self._number, self.multiplicity.ravel())

    def find_peak(self, power: np.ndarray) -> float:
        """Return the frequency of the strongest ring that stands out, in steps of the transform; NaN if none does."""
        density = np.bincount(self._number, power.ravel()) / self._size
        weighted = ndimage.gaussian_filter1d(density * np.arange(len(density)), _PADDING / 2)
        peaks, shapes = signal.find_peaks(weighted, prominence=0)
        is_ridge = (peaks >= self._low) & (peaks <= self._high)
        is_ridge &= shapes["prominences"] > _MIN_PROMINENCE * weighted[peaks]
        if not is_ridge.any():
            return float("nan")
        peak = max(peaks[is_ridge], key=lambda place: weighted[place])
        before, at, after = np.log(weighted[peak - 1 : peak + 2])
        return float(peak + (before - after) / (before - 2 * at + after) / 2)

    def select(self, frequency: float) -> np.ndarray:
        """Return which entries of the spectrum are near a frequency, or in range if it is NaN."""
        if np.isnan(frequency):
            return self.is_in_range
        return (self._radius >= _RING[0] * frequency) & (self._radius <= _RING[1] * frequency)
