"""Tests of the set of prints."""

import numpy as np
import pytest

from fpgan_jax.data.prints import PrintSet


def test_refuses_parts_of_different_length():
    with pytest.raises(ValueError, match="2 images, 3 persons and 2 filenames"):
        PrintSet(np.zeros((2, 4, 4, 1), np.uint8), np.arange(3, dtype=np.int32), ("a", "b"))
