"""New fingers beside what is known of real ones."""

import numpy as np
import pytest
from scipy import ndimage

from fpgan_jax.data.procedural import new_fingers
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.core import measure_core_offset
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.ridge_spectrum import measure_ridges


@pytest.fixture(scope="module")
def fingers():
    return [new_fingers.create_new_finger(0, number) for number in range(1, 13)]


@pytest.fixture(scope="module")
def windows(fingers):
    """Cut 256 x 256 pixels out of the middle of usual impressions."""
    height, width = fingers[0].usual.shape
    rows, columns = (slice(side // 2 - 128, side // 2 + 128) for side in (height, width))
    return np.stack([finger.usual[rows, columns] for finger in fingers])


def test_a_finger_is_that_of_its_seed_and_number(fingers):
    again = new_fingers.create_new_finger(0, 2)
    assert (again.image == fingers[1].image).all() and (again.contact == fingers[1].contact).all()
    assert len({finger.image.tobytes() for finger in [*fingers, new_fingers.create_new_finger(1, 2)]}) == 13


def test_ridges_are_as_far_apart_as_real_ones_at_500_pixels_per_inch(windows):
    # 9.0 on average; a finger's deviates by 9%, so that the mean of twelve is known to 3%.
    assert measure_ridges(windows).period.mean() == pytest.approx(9.0, rel=0.1)


def test_they_have_nearly_as_many_minutiae_as_real_prints(windows):
    """Real prints have 36 in such a window, the fingers of `make_prints` 25."""
    try:
        tool = nist_tools.find_matching_tool()
    except nist_tools.ToolError as error:
        pytest.skip(f"NOT RUN: {error}")
    counts = [len(tool.extract(np.ascontiguousarray(window)).minutiae.x) for window in windows]
    assert 29 <= np.mean(counts) <= 42


def test_the_contact_is_round_above_and_leaves_the_sides_free(fingers):
    for finger in fingers:
        height, width = finger.usual.shape
        assert (
            finger.contact[height // 2 - 60 : height // 2 + 60, width // 2 - 60 : width // 2 + 60] == 1
        ).all()
        assert (finger.contact[:20, :60] == 0).all() and (finger.contact[:, [0, -1]] == 0).all()


def test_the_core_is_where_recognizers_find_it(fingers):
    """A pattern's center is between its core and what is below, by 28 pixels on average."""
    offsets = []
    for finger in fingers:
        top = round(finger.center[0]) - 150
        row, _ = measure_core_offset(finger.image[top : top + 300, 50:310], 9.0)
        offsets.append(9 * row)
    # They vary by 18 pixels, so the mean of twelve is known to 5.
    assert np.mean(offsets) == pytest.approx(-new_fingers.CORE_ABOVE_CENTER, abs=15)


def test_the_contacts_edge_is_soft(fingers):
    # 0.5 +- depth / 9.2: from 0 to 1 within 9.2 pixels, where the edge runs straight across the row.
    row = fingers[0].contact[fingers[0].usual.shape[0] // 2]
    assert 8 <= ((row > 0) & (row < 1)).sum() <= 40


def test_wear_interrupts_ridges(fingers, monkeypatch):
    """The ridge map of a worn finger has weak places; that of whole ridges hardly has any."""
    monkeypatch.setattr(new_fingers, "_draw_wear", lambda finger: np.zeros_like(finger.ridges))
    worn, whole = (
        np.mean([measure_weak_share(finger) for finger in some])
        for some in (fingers, [new_fingers.create_new_finger(0, number) for number in range(1, 7)])
    )
    # In SOCOFing's prints it is 12%.
    assert worn == pytest.approx(0.12, abs=0.04) and whole < worn / 2


def test_ridges_are_as_rough_as_real_ones(fingers, monkeypatch):
    """Real ridges have frequencies around their own, from pores, breaks and rough edges; smooth ridges have fewer."""
    monkeypatch.setattr(new_fingers, "_draw_roughness", lambda rng, shape: np.zeros(shape))
    rough, smooth = (
        np.mean([measure_bands(finger) for finger in some], axis=0)
        for some in (fingers, [new_fingers.create_new_finger(0, number) for number in range(1, 7)])
    )
    # In the middle of 29 of SOCOFing's prints at 128 pixels, whose contact fills it, they are 4.2% and 4.8%.
    np.testing.assert_allclose(rough, (0.042, 0.048), atol=0.016)
    assert (smooth < 0.75 * rough).all()


def measure_bands(finger):
    """Measure which shares of a map's power are at 0.3 to 0.65 and 1.35 to 1.8 times the ridges' usual frequency."""
    middle = tuple(slice(side // 2 - 80, side // 2 + 81) for side in finger.usual.shape)
    ridges = ridge_map.map_ridges(finger.usual[middle], 9.0, ridge_filter="wide").ridges[15:-15, 15:-15]
    window, sides = np.outer(np.hanning(131), np.hanning(131)), np.fft.fftfreq(131)
    power = np.abs(np.fft.fft2(window * ridges)) ** 2
    frequency = 9.0 * np.hypot(sides[:, None], sides)
    total = power[frequency > 0.1].sum()
    return [
        power[(frequency > low) & (frequency <= high)].sum() / total
        for low, high in ((0.3, 0.65), (1.35, 1.8))
    ]


def measure_weak_share(finger):
    """Measure in how much of the middle the local amplitude of the ridge map is below 0.6 (a full wave's is 0.7)."""
    image = finger.usual[finger.usual.shape[0] // 2 - 100 : finger.usual.shape[0] // 2 + 100, 80:-80]
    ridges = ridge_map.map_ridges(image, 9.0).ridges
    amplitude = np.sqrt(ndimage.gaussian_filter(ridges**2, 4.5))
    return (amplitude[9:-9, 9:-9] < 0.6).mean()
