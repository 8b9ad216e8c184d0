"""Tests of the set of prints."""

import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError


def test_refuses_parts_of_different_length():
    with pytest.raises(ValueError, match="2 images, 3 persons and 2 filenames"):
        PrintSet(np.zeros((2, 4, 4, 1), np.uint8), np.arange(3, dtype=np.int32), ("a", "b"))


@pytest.mark.parametrize(
    ("num_prints", "count", "places"), [(10, 4, [0, 2, 5, 7]), (3, 5, [0, 1, 2]), (0, 5, [])]
)
def test_a_sample_is_spread_over_the_set(num_prints, count, places):
    images = np.zeros((num_prints, 4, 4, 1), np.uint8)
    prints = PrintSet(images, np.ones(num_prints, int), ("print.png",) * num_prints)
    assert prints.list_sample(count).tolist() == places


def test_the_hash_sees_pixels_and_persons_but_not_names():
    def create(gray, person, name):
        return PrintSet(np.full((1, 2, 2, 1), gray, np.uint8), np.array([person], np.int32), (name,))

    first = create(5, 1, "a").data_hash
    assert create(5, 1, "b").data_hash == first
    assert len({first, create(6, 1, "a").data_hash, create(5, 2, "a").data_hash}) == 3


def create_arrays(**changes):
    """Return the parts of two sound prints of 4 x 3 pixels, some of them changed."""
    images = np.arange(24, dtype=np.uint8).reshape(2, 4, 3, 1)
    return {"images": images, "persons": np.array([4, 7]), "filenames": ("four", "seven")} | changes


IMAGES = create_arrays()["images"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": IMAGES / np.float32(255)},
            r"prints\.images: an array of float32 .*give uint8 .* from 0 to 255",
        ),
        ({"images": IMAGES / np.float32(12) - 1}, r"prints\.images: an array of float32"),
        ({"images": IMAGES.astype(np.uint16)}, r"prints\.images: an array of uint16"),
        ({"images": IMAGES.astype(np.int8)}, r"prints\.images: an array of int8"),
        ({"images": IMAGES > 0}, r"prints\.images: an array of bool"),
        (
            {"images": IMAGES[..., 0]},
            r"prints\.images: an array of uint8 \(2, 4, 3\); give uint8 \[n, height, width",
        ),
        ({"images": list(IMAGES)}, r"prints\.images: a list; give a NumPy array"),
        ({"images": np.uint8(1)}, r"prints\.images: a uint8; give a NumPy array"),
        ({"persons": [4, 7]}, r"prints\.persons: a list; give a NumPy array of integers"),
        ({"persons": np.array([4.0, 7.0])}, r"prints\.persons: an array of float64"),
        ({"persons": np.array(["4", "7"])}, r"prints\.persons: an array of <U1"),
        ({"persons": np.array([[4, 7]])}, r"prints\.persons: an array of int64 \(1, 2\)"),
    ],
)
def test_arrays_of_another_kind_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        PrintSet(**create_arrays(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"images": IMAGES[:0], "persons": np.zeros(0, int), "filenames": ()}, "prints: there is none"),
        (
            {"images": IMAGES.repeat(3, 3)},
            r"prints\.images: 4x3x3 .* config has 4x3x1; .*config\.data\.image_size",
        ),
        ({"images": IMAGES.transpose(0, 2, 1, 3)}, r"prints\.images: 3x4x1"),
        ({"images": IMAGES * np.uint8([1, 0]).reshape(2, 1, 1, 1)}, "prints: seven is blank"),
        ({"persons": np.array([-1, 7])}, r"prints\.persons: -1, of four"),
        ({"persons": np.array([4, 10**9])}, r"prints\.persons: 1000000000, of seven"),
    ],
)
@pytest.mark.parametrize(
    "create", [feeding.create_gan_source_from_prints, feeding.create_classifier_source_from_prints]
)
def test_prints_given_as_arrays_are_checked(create, changes, message):
    config = pix2pix_socofing.get_config()
    config.data.image_size, config.data.image_width = 4, 3
    given = PrintSet(**create_arrays(**changes))
    if message is None:
        assert create(config, given).num_examples > 0
    else:
        with pytest.raises(UserError, match=message):
            create(config, given)


def test_two_prints_of_a_person_are_a_classifiers_only():
    config = pix2pix_socofing.get_config()
    config.data.image_size, config.data.image_width = 4, 3
    given = PrintSet(**create_arrays(persons=np.array([4, 4])))
    assert feeding.create_classifier_source_from_prints(config, given).persons == (4,)
    with pytest.raises(UserError, match=r"prints\.persons: four and seven are both of 4"):
        feeding.create_gan_source_from_prints(config, given)
