"""The ridge map on ridges that are drawn by formula, so that every number is known beforehand."""

import numpy as np
import pytest
from scipy import ndimage

from configs import pix2pix_socofing
from fpgan_jax.config.fields import RIDGE_FILTERS
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.impressions import create_empty_scan
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.errors import UserError

SIDE, PERIOD = 128, 4.5
ROWS, COLS = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2  # from the center, down and to the right
INNER = (slice(12, -12), slice(12, -12))


def create_phase(degrees=0.0, period=PERIOD):
    """Phase of ridges that run at an angle, counter-clockwise from the row's direction; a ridge at every 2 pi."""
    angle = np.radians(degrees)
    return 2 * np.pi / period * (COLS * np.sin(angle) + ROWS * np.cos(angle))


def wind(row, col):
    """Phase that has one ridge more on one side of a point: a minutia."""
    return np.arctan2(ROWS - row, COLS - col)


def ink(phase, *, ridge=40, valley=230, duty=0.5):
    """Print ridges as dark as `ridge`, uint8; `duty` is their share of a period."""
    level = np.cos(phase) - np.cos(np.pi * duty)
    return np.rint(valley + (ridge - valley) / (1 + np.exp(-6 * level))).astype(np.uint8)


def touch(image, half_height=50, half_width=40, background=250):
    """Keep what is inside an ellipse; also return each pixel's distance from its center, 1 at its edge."""
    distance = np.hypot(ROWS / half_height, COLS / half_width)
    return np.where(distance < 1, image, background).astype(np.uint8), distance


def correlate(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def find_windings(ridges, period=PERIOD):
    """Turns of the phase around each pixel of the inside, on the four corners of a square two pixels wide."""
    carrier = np.exp(-1j * create_phase(90, period))
    spectrum = np.fft.fft2(ridges * carrier)
    down, across = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    phase = np.angle(np.fft.ifft2(spectrum * (np.hypot(down, across) < 0.7 / period)))
    corners = [phase[:-2, :-2], phase[:-2, 2:], phase[2:, 2:], phase[2:, :-2]]
    steps = [np.angle(np.exp(1j * (corners[i - 3] - corners[i]))) for i in range(4)]
    return np.rint(np.sum(steps, axis=0) / (2 * np.pi)).astype(int)[10:-10, 10:-10]


def find_minutiae(ridges):
    """Centers of the places with a winding, (turns, row, col) from the image's center, in order of rows."""
    windings = find_windings(ridges)
    found = []
    for sign in (-1, 1):
        labels, count = ndimage.label(windings == sign, np.ones((3, 3)))
        for row, col in ndimage.center_of_mass(labels > 0, labels, range(1, count + 1)):
            found.append((sign, row + 11 - (SIDE - 1) / 2, col + 11 - (SIDE - 1) / 2))
    return sorted(found, key=lambda minutia: minutia[1])


@pytest.mark.parametrize(("ridge_filter", "least"), [("narrow", 0.97), ("wide", 0.96)])
@pytest.mark.parametrize("degrees", [0, 20, 45, 78, 90, 131])
def test_ridges_stay_in_their_place(degrees, ridge_filter, least):
    phase = create_phase(degrees)
    ridges = ridge_map.map_ridges(ink(phase), PERIOD, ridge_filter=ridge_filter).ridges[INNER]
    assert correlate(ridges, np.cos(phase)[INNER]) > least
    shift = np.angle(np.sum(ridges * np.exp(1j * phase[INNER])))
    assert abs(shift) / (2 * np.pi) * PERIOD < 0.05  # pixels


@pytest.mark.parametrize("ridge_filter", RIDGE_FILTERS)
@pytest.mark.parametrize("period", [3.8, 4.5, 5.4])
def test_ridges_keep_their_own_period(period, ridge_filter):
    """They are mapped with the set's, of which a finger's differs."""
    ridges = ridge_map.map_ridges(ink(create_phase(90, period)), PERIOD, ridge_filter=ridge_filter).ridges
    power = np.abs(np.fft.rfft(ridges[64] * np.hanning(SIDE), 16 * SIDE))
    assert 16 * SIDE / np.argmax(power) == pytest.approx(period, rel=0.01)


def test_fine_ridges_are_found_in_noise():
    phase = create_phase(90, 3.4)
    noise = np.random.default_rng(0).normal(0, 200, phase.shape)
    image = np.clip(ink(phase) + noise, 0, 255).astype(np.uint8)
    ridges = ridge_map.map_ridges(image, PERIOD, ridge_filter="narrow").ridges[INNER]
    # 0.78 with filters of one period, 0.64 with wide ones.
    assert correlate(ridges, np.cos(phase)[INNER]) > 0.81


@pytest.mark.parametrize("degrees", [0, 15, 60, 90, 120, 175])
def test_the_orientation_is_that_of_the_ridges(degrees):
    ridges = ridge_map.map_ridges(ink(create_phase(degrees)), PERIOD).ridges
    difference = np.degrees(ridge_map.estimate_orientation(ridges, PERIOD)[INNER]) - degrees
    assert np.abs((difference + 90) % 180 - 90).max() < 1


def test_unclear_ridges_run_as_the_clear_ones_around_them():
    noise = np.random.default_rng(0).normal(0, 90, (SIDE, SIDE))
    is_noisy = np.hypot(ROWS, COLS) < 2 * PERIOD
    image = np.clip(np.where(is_noisy, 128 + noise, ink(create_phase(30))), 0, 255).astype(np.float32)
    difference = np.degrees(ridge_map.estimate_orientation(image, PERIOD)) - 30
    assert np.abs((difference + 90) % 180 - 90)[is_noisy].max() < 7  # 8.4 without the second smoothing


@pytest.mark.parametrize("ridge_filter", RIDGE_FILTERS)
@pytest.mark.parametrize("turns", [1, -1])
def test_a_minutia_stays_where_it_is(turns, ridge_filter):
    """One turn is a ridge that ends, or one that forks: of which kind, half a period decides."""
    for offset in (0, np.pi):
        image = ink(create_phase(90) + turns * wind(8, -5) + offset)
        ridges = ridge_map.map_ridges(image, PERIOD, ridge_filter=ridge_filter).ridges
        ((found, row, col),) = find_minutiae(ridges)
        assert found == turns
        assert np.hypot(row - 8, col + 5) < PERIOD / 2


def find_minutiae_apart(periods, ridge_filter):
    """Map two minutiae of opposite turns, so many periods apart, and find them."""
    half = periods / 2 * PERIOD
    image = ink(create_phase(90) + wind(-half, 0) - wind(half, 0))
    return find_minutiae(ridge_map.map_ridges(image, PERIOD, ridge_filter=ridge_filter).ridges)


@pytest.mark.parametrize(("periods", "ridge_filter"), [(1.5, "narrow"), (1.5, "wide"), (1, "wide")])
def test_a_short_ridge_is_not_healed_away(periods, ridge_filter):
    """Filtering twice removes both minutiae, even the pair that is one and a half periods apart."""
    minutiae = find_minutiae_apart(periods, ridge_filter)
    assert [turns for turns, _, _ in minutiae] == [1, -1]
    assert minutiae[1][1] - minutiae[0][1] == pytest.approx(periods * PERIOD, abs=PERIOD)


def test_narrow_filters_heal_what_wide_ones_keep():
    assert not find_minutiae_apart(1, "narrow")
    broken = ink(create_phase(90))
    gap = slice(SIDE // 2 - 2, SIDE // 2 + 2)  # 0.9 periods
    broken[gap] = 240
    ridges = {name: ridge_map.map_ridges(broken, PERIOD, ridge_filter=name).ridges for name in RIDGE_FILTERS}
    middle = (slice(SIDE // 2 - 1, SIDE // 2 + 1), slice(40, -40))
    assert ridges["narrow"][middle].max() > 0.4  # the ridges go on
    assert ridges["wide"][middle].max() < 0


@pytest.mark.parametrize("ridge_filter", RIDGE_FILTERS)
def test_how_a_print_looks_is_not_in_its_map(ridge_filter):
    phase = create_phase(30) + wind(0, 0)
    plain, pale, uneven, thin = (
        ridge_map.map_ridges(image, PERIOD, ridge_filter=ridge_filter).ridges[INNER]
        for image in (
            ink(phase),
            ink(phase, ridge=190, valley=240),
            (ink(phase) * (0.6 + 0.4 * np.tanh(COLS / 40))).astype(np.uint8),
            ink(phase, duty=0.3),
        )
    )
    for other, least in ((pale, 0.995), (uneven, 0.98), (thin, 0.98)):
        assert correlate(plain, other) > least


def test_the_map_is_neutral_where_the_skin_did_not_touch():
    image, distance = touch(ink(create_phase(50)))
    noise = np.random.default_rng(1).normal(0, 2, image.shape)
    ridges, contact = ridge_map.map_ridges(np.clip(image + noise, 0, 255).astype(np.uint8), PERIOD)
    # 40 px is the shorter radius.
    outside, inside = distance > 1 + 2.5 * PERIOD / 40, distance < 1 - PERIOD / 40
    assert np.abs(ridges[outside]).max() < 0.01
    assert contact[outside].max() < 0.01
    assert contact[inside].min() > 0.95
    assert contact.sum() == pytest.approx(np.pi * 50 * 40, rel=0.1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_print_has_no_contact(level):
    ridges, contact = ridge_map.map_ridges(np.full((SIDE, SIDE), level, np.uint8), PERIOD)
    assert not ridges.any()
    assert not contact.any()


def test_the_contact_has_a_soft_edge():
    image = ink(create_phase(0))
    image[:, SIDE // 2 :] = 250
    contact = ridge_map.map_ridges(image, PERIOD).contact[SIDE // 2]
    # 10% to 90% of a Gaussian's edge is 2.56 deviations, of half a period here.
    assert np.interp(0.9, contact[::-1], np.arange(SIDE)) - np.interp(
        0.1, contact[::-1], np.arange(SIDE)
    ) == (pytest.approx(2.56 * PERIOD / 2, abs=0.5))


def test_wet_skin_without_ridges_has_touched_but_has_no_ridges():
    image, distance = touch(ink(create_phase(20)))
    is_wet = (ROWS > 5) & (np.abs(COLS) < 20) & (distance < 1)
    image[is_wet] = 40 + np.random.default_rng(0).normal(0, 1, is_wet.sum())
    ridges, contact = ridge_map.map_ridges(image, PERIOD)
    middle = (slice(SIDE // 2 + 18, SIDE // 2 + 34), slice(SIDE // 2 - 8, SIDE // 2 + 8))
    assert contact[middle].min() > 0.99
    assert ridges[middle].std() < 0.2  # of clear ridges 0.7


def test_a_dry_spot_inside_is_part_of_the_contact():
    image, _ = touch(ink(create_phase(20)))
    image[np.hypot(ROWS, COLS) < 3 * PERIOD] = 250
    assert ridge_map.map_ridges(image, PERIOD).contact[SIDE // 2, SIDE // 2] == pytest.approx(1)


def test_a_crease_does_not_divide_the_contact():
    image, distance = touch(ink(create_phase(20)))
    image[np.abs(ROWS) < 1.75 * PERIOD] = 250
    assert ridge_map.map_ridges(image, PERIOD).contact[distance < 0.7].min() > 0.95


def test_a_smudge_beside_the_print_is_not_part_of_it():
    image, distance = touch(ink(create_phase(20)), half_width=22)
    smudge = (slice(50, 80), slice(106, 128))
    image[smudge] = ink(create_phase(70))[smudge]
    ridges, contact = ridge_map.map_ridges(image, PERIOD)
    assert contact[distance < 0.8].min() > 0.95
    assert np.abs(ridges[smudge]).max() < 0.01


def create_data_config(size, interpolation):
    data = pix2pix_socofing.get_config().data
    data.image_size, data.interpolation, data.frame = size, interpolation, "keep"
    return data


@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
def test_the_scanners_frame_does_not_come_back(size, interpolation):
    data = create_data_config(size, interpolation)
    empty = preprocessing.preprocess_print(create_empty_scan(), data)[..., 0]
    found = ridge_map.map_ridges(empty, PERIOD * size / 128, preprocessing.find_window(data))
    assert not found.ridges.any()
    assert not found.contact.any()


def test_the_frame_changes_no_ridge_beside_it():
    data = create_data_config(SIDE, "bicubic")
    framed = create_empty_scan()
    inside = framed == 255
    rows, cols = np.mgrid[: framed.shape[0], : framed.shape[1]]
    bare = np.rint(135 - 95 * np.cos(2 * np.pi / 3.3 * (0.6 * cols + 0.8 * rows))).astype(np.uint8)
    framed[inside] = bare[inside]
    maps = [
        ridge_map.map_ridges(
            preprocessing.preprocess_print(scan, data)[..., 0], PERIOD, preprocessing.find_window(data)
        )
        for scan in (framed, bare)
    ]
    assert maps[0].contact.sum() > 0.8 * SIDE**2
    assert np.abs(maps[0].ridges - maps[1].ridges).max() < 0.1


def test_many_prints_are_mapped_as_each_alone():
    images = np.stack([touch(ink(create_phase(degrees)))[0] for degrees in (10, 100)])[:, :90]
    ridges, contact = ridge_map.map_prints(images, PERIOD)
    assert ridges.shape == contact.shape == (2, 90, SIDE)
    for index, image in enumerate(images):
        alone = ridge_map.map_ridges(image, PERIOD)
        np.testing.assert_array_equal(ridges[index], alone.ridges)
        np.testing.assert_array_equal(contact[index], alone.contact)


def test_a_drawn_map_has_dark_ridges_and_is_white_around():
    ridges, contact = np.array([[1, -1, 0, 0, 0.25]], np.float32), np.array([[1, 1, 1, 0, 0.5]], np.float32)
    drawn = ridge_map.draw_maps(ridge_map.RidgeMap(ridges, contact))
    assert drawn.dtype == np.uint8
    # 255 - 127.5 * 0.75 is 159.4.
    assert drawn.tolist() == [[0, 255, 128, 255, 159]]


def test_values_are_of_the_documented_type_and_range():
    image = np.random.default_rng(2).integers(0, 256, (60, 80), np.uint8)
    ridges, contact = ridge_map.map_ridges(image, PERIOD)
    assert ridges.dtype == contact.dtype == np.float32
    assert np.abs(ridges).max() <= 1
    assert contact.min() >= 0
    assert contact.max() <= 1


@pytest.mark.parametrize(
    ("image", "period", "message"),
    [
        (np.zeros((64, 64), np.float32), 9, "image: give a NumPy array of uint8"),
        (np.zeros((64, 64, 1), np.uint8), 9, "image: give a NumPy array of uint8"),
        (np.zeros((64, 64), np.uint8), 2.4, "period 2.4: ridges are mapped from 2.5 pixels"),
        (np.zeros((64, 64), np.uint8), float("nan"), "period nan"),
    ],
)
def test_what_cannot_be_mapped_is_refused(image, period, message):
    with pytest.raises(UserError, match=message):
        ridge_map.map_ridges(image, period)
