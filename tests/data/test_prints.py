"""Tests of the set of prints."""

import numpy as np
import pytest

from fpgan_jax.data.prints import PrintSet


def test_refuses_parts_of_different_length():
    with pytest.raises(ValueError, match="2 images, 3 persons and 2 filenames"):
        PrintSet(np.zeros((2, 4, 4, 1), np.uint8), np.arange(3, dtype=np.int32), ("a", "b"))


def test_the_hash_sees_pixels_and_persons_but_not_names():
    def create(grey, person, name):
        return PrintSet(np.full((1, 2, 2, 1), grey, np.uint8), np.array([person], np.int32), (name,))

    first = create(5, 1, "a").data_hash
    assert create(5, 1, "b").data_hash == first
    assert len({first, create(6, 1, "a").data_hash, create(5, 2, "a").data_hash}) == 3
