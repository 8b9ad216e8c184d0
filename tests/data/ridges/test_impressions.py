"""What moves an impression's ridges and contact, on shapes whose places are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.data.ridges import appearance, impressions
from fpgan_jax.data.ridges.appearance import Appearance
from fpgan_jax.data.ridges.distortion import Pose
from fpgan_jax.data.ridges.impressions import Variation

PERIOD = 4.0
SHAPE, CANVAS = (64, 64), (104, 104)
# The skin's distortion moves a place by 0.24 periods on average, and a disk's middle by less.
TOLERANCE = 1.0
RIDGES, CONTACT, MEAN, CONTRAST, NOISE = range(5)


def draw_disk(shape, middle, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.where(np.hypot(rows - middle[0], columns - middle[1]) <= radius, 255, 0).astype(np.uint8)


def create_variation(*, rotation=0.0, shift=(0, 0), stretch=(1, 1), contact_shift=(0, 0)):
    pose = Pose(*(np.array(values, np.float32) for values in (rotation, shift, stretch)))
    return Variation(pose, np.array(contact_shift, np.float32), np.uint32(5), np.uint32(0), np.uint32(0))


@functools.partial(jax.jit, static_argnames=("follows_contact", "pixel_stretch"))
def create(*arguments, **options):
    return impressions.create_condition(*arguments, PERIOD, **options)


def create_condition(
    *, ridges=None, contact=None, other_contact=None, follows_contact=False, pixel_stretch=1.0, **variation
):
    look = Appearance(np.full((16, 16), 60, np.float32), np.full((16, 16), 20, np.float32))
    return np.asarray(
        create(
            np.full(CANVAS, 255, np.uint8) if ridges is None else ridges,
            np.full(CANVAS, 255, np.uint8) if contact is None else contact,
            np.full(SHAPE, 255, np.uint8) if other_contact is None else other_contact,
            look,
            np.arange(64 * 64, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 1),
            create_variation(**variation),
            follows_contact=follows_contact,
            pixel_stretch=pixel_stretch,
        )
    )


def find_middle(plane):
    weights = plane.astype(float)
    return [(weights * places).sum() / weights.sum() for places in np.mgrid[:64, :64]]


def test_the_finger_moves_down_and_right_by_its_shift():
    # The canvas's middle, 51.5, shows at the image's, 31.5.
    contact = draw_disk(CANVAS, (51.5, 56.5), 10)
    condition = create_condition(contact=contact, shift=(7, -9))
    np.testing.assert_allclose(find_middle(condition[..., CONTACT]), (38.5, 27.5), atol=TOLERANCE)


def test_the_other_contact_comes_to_the_middle_of_the_fingers_own_as_large_as_it():
    corner = draw_disk(SHAPE, (12, 50), 10)
    condition = create_condition(other_contact=corner, shift=(4, -6), contact_shift=(3, 2))
    # 31.5 + 4 + 3 and 31.5 - 6 + 2; the finger touches everywhere, so that the disk grows by its limit, 1.5.
    np.testing.assert_allclose(find_middle(condition[..., CONTACT]), (38.5, 27.5), atol=0.05)
    assert condition[..., CONTACT].sum() / 255 == pytest.approx(np.pi * 15**2, rel=0.05)


def test_the_other_contact_turns_and_stretches_along_with_the_fingers_middle():
    # 16 right of the middle, a quarter turn counter-clockwise puts it 16 * 1.25 above: stretched across, then turned.
    contact = draw_disk(CANVAS, (51.5, 67.5), 12)
    condition = create_condition(
        contact=contact, other_contact=draw_disk(SHAPE, (20, 20), 6), rotation=np.pi / 2, stretch=(1, 1.25)
    )
    np.testing.assert_allclose(find_middle(condition[..., CONTACT]), (11.5, 31.5), atol=0.05)
    # The finger's own disk is there too, or it would have cut the other, of 6 * 1.5 pixels.
    assert condition[..., CONTACT].sum() / 255 == pytest.approx(np.pi * 9**2, rel=0.05)


def test_a_larger_contact_stays_as_it_is():
    contact = draw_disk(CANVAS, (51.5, 51.5), 12)
    condition = create_condition(
        contact=contact, other_contact=draw_disk(SHAPE, (31.5, 31.5), 14), contact_shift=(10, 0)
    )
    common = draw_disk(SHAPE, (31.5, 31.5), 12) & draw_disk(SHAPE, (41.5, 31.5), 14)
    # 272 pixels; enlarged by half, the other would leave 440.
    assert condition[..., CONTACT].sum() / 255 == pytest.approx(common.sum() / 255, rel=0.08)


def test_there_is_neither_ridge_nor_look_where_one_of_both_did_not_touch():
    half = np.zeros(SHAPE, np.uint8)
    half[:, 32:] = 255
    # It stays where it is and, 32 wide, becomes 48: from 16 * 1.5 left of its middle, 47.5, on.
    condition = create_condition(other_contact=half, contact_shift=(0, 16))
    assert condition[..., :4][:, :22].tolist() == [[[128, 0, 128, 0]] * 22] * 64
    # The ridge of 255, and 60, and twice 20.
    assert condition[..., :4][:, 26:].tolist() == [[[255, 255, 60, 40]] * 38] * 64


def test_ridges_from_beyond_the_image_come_in():
    ridges = np.full(CANVAS, 128, np.uint8)
    ridges[:18] = 255  # above the image's first row, which is 20
    condition = create_condition(ridges=ridges, shift=(10, 0))
    assert condition[:6, :, RIDGES].min() >= 250 and condition[12:, :, RIDGES].max() <= 130


def test_the_noise_plane_is_the_given_one():
    assert create_condition()[..., NOISE].ravel().tolist() == [*range(256)] * 16


def test_a_new_finger_comes_to_the_other_contact_which_stays_where_it_is():
    corner = draw_disk(SHAPE, (44, 20), 12)
    # In the canvas's middle.
    contact = draw_disk(CANVAS, (51.5, 51.5), 4)
    condition = create_condition(
        contact=contact,
        other_contact=corner,
        shift=(3, -2),
        contact_shift=(9, 9),
        follows_contact=True,
    )
    np.testing.assert_allclose(find_middle(condition[..., CONTACT]), (47, 18), atol=2 * TOLERANCE)
    everywhere = create_condition(other_contact=corner, shift=(3, -2), follows_contact=True)
    np.testing.assert_allclose(everywhere[..., CONTACT], corner, atol=1)


def test_a_new_finger_comes_to_the_other_contact_in_pixels_that_are_not_square_too():
    corner = draw_disk(SHAPE, (44, 20), 12)
    contact = draw_disk(CANVAS, (51.5, 51.5), 4)
    condition = create_condition(
        contact=contact, other_contact=corner, follows_contact=True, pixel_stretch=1.69
    )
    np.testing.assert_allclose(find_middle(condition[..., CONTACT]), (44, 20), atol=2 * TOLERANCE)


def test_a_variation_is_that_of_its_three_numbers():
    def sample(*numbers):
        return np.concatenate(
            [
                np.ravel(leaf).astype(float)
                for leaf in jax.tree.leaves(impressions.sample_variation(*numbers, PERIOD))
            ]
        )

    first = sample(1, 2, 3)
    assert (first == sample(1, 2, 3)).all()
    for others in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert (first != sample(*others)).all()


def test_the_middles_of_contacts_are_apart_by_one_and_a_half_periods_an_axis():
    shifts = jax.vmap(lambda i: impressions.sample_variation(0, 1, i, PERIOD).contact_shift)(jnp.arange(4000))
    # Of 8,000 numbers a standard deviation is known to 0.8%.
    assert np.std(shifts) == pytest.approx(6, rel=0.03)


def create_look(mean, contrast):
    return Appearance(*(np.full((16, 16), each, np.float32) for each in (mean, contrast)))


def test_an_impressions_look_is_its_fingers_and_a_share_of_anothers():
    varied = impressions.vary_appearance(create_look(120, 20), create_look(60, 40), create_look(80, 25))
    # 80 + sqrt(1 - 0.45^2) * 40 - 0.45 * 20 and 25 - sqrt(1 - 0.65^2) * 5 + 0.65 * 15.
    np.testing.assert_allclose(varied.mean, 80 + 0.893029 * 40 - 9, rtol=1e-5)
    np.testing.assert_allclose(varied.contrast, 25 - 0.759934 * 5 + 9.75, rtol=1e-5)


def test_looks_of_impressions_vary_as_much_as_prints_and_within_a_finger_by_a_share():
    rng = np.random.default_rng(0)
    own, other, another = (
        [create_look(*rng.normal((130, 40), (20, 6))) for _ in range(2000)] for _ in range(3)
    )
    average = appearance.average_appearances([*own, *other])
    first, second = (
        np.array([impressions.vary_appearance(*looks, average) for looks in zip(own, others, strict=True)])
        for others in (other, another)
    )
    first, second = first[..., 0, 0], second[..., 0, 0]
    # Of 2,000 numbers a standard deviation is known to 1.6%.
    np.testing.assert_allclose(first.std(0), (20, 6), rtol=0.06)
    np.testing.assert_allclose((first - second).std(0) / np.sqrt(2), (0.45 * 20, 0.65 * 6), rtol=0.06)


def test_a_look_stays_within_what_an_image_can_show():
    varied = impressions.vary_appearance(create_look(250, 2), create_look(250, 2), create_look(100, 30))
    assert (varied.mean == 255).all() and (varied.contrast == 0).all()
