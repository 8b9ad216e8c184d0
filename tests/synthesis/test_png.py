"""The PNG files: Pillow reads the same pixels from them, and their lines are filtered as the specification says."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.synthesis import png

# The last two are larger than the filter's memory: several images, and one alone.
SHAPES = [(3, 1, 1, 1), (1, 1, 9, 3), (5, 7, 3, 3), (2, 3, 8, 1), (19, 70, 256, 1), (2, 700, 450, 1)]


def draw_images(shape, seed=0):
    """Draw images with many, few and one gray level."""
    rng = np.random.default_rng(seed)
    num_levels = rng.choice([1, 3, 20, 255], (shape[0], 1, 1, 1))
    return (rng.integers(0, 2**16, shape) % (num_levels + 1) * (255 // num_levels)).astype(np.uint8)


def read_pixels(file):
    with Image.open(io.BytesIO(file)) as picture:
        picture.verify()  # every chunk's checksum
    with Image.open(io.BytesIO(file)) as picture:
        return picture.mode, np.asarray(picture)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pillow_reads_the_same_pixels(shape):
    images = draw_images(shape)
    for image, file in zip(images, png.encode_pngs(images), strict=True):
        mode, pixels = read_pixels(file)
        assert mode == ("L" if shape[-1] == 1 else "RGB")
        np.testing.assert_array_equal(pixels.reshape(image.shape), image)


def test_every_byte_is_the_difference_from_its_nearest_neighbor():
    # The last pixel's left + above - corner is 40, nearest to the left 30, and 20, which is the corner.
    images = np.array([[[10, 20], [30, 60]], [[20, 30], [10, 25]]], np.uint8)[..., None]
    first, second = (lines.copy().tolist() for lines in png.LineFilter(2, 2, 1)(images))
    assert first == [[4, 10, 10], [4, 20, 30]]
    assert second == [[4, 20, 10], [4, 246, 5]]


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_the_filter_is_the_specifications(levels):
    images = np.random.default_rng(levels).integers(0, levels, (6, 100, 50, 3), np.uint8)
    padded = np.pad(images.astype(int), ((0, 0), (1, 0), (1, 0), (0, 0)))
    a, b, c = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    pa, pb, pc = (abs(a + b - c - neighbor) for neighbor in (a, b, c))
    predicted = np.where((pa <= pb) & (pa <= pc), a, np.where(pb <= pc, b, c))
    expected = (images - predicted).astype(np.uint8).reshape(6, 100, 150)
    lines = np.stack([lines.copy() for lines in png.LineFilter(100, 50, 3)(images)])
    np.testing.assert_array_equal(lines[..., 1:], expected)
    assert (lines[..., 0] == 4).all()


def test_an_image_does_not_depend_on_the_others():
    images = draw_images((19, 70, 256, 1))
    together = png.encode_pngs(images)
    assert [png.encode_pngs(image[None])[0] for image in images[::-1]] == together[::-1]


def test_threads_do_not_disturb_one_another():
    batches = [draw_images(SHAPES[i % len(SHAPES)], seed=i) for i in range(60)]
    expected = [png.encode_pngs(images) for images in batches]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(png.encode_pngs, batches)) == expected


def test_ridges_take_no_more_bytes_than_pillow_needs():
    down, right = np.mgrid[:256, :256]
    ridges = np.sin(np.hypot(down - 300, right - 40) * 0.7) * 80 + 120
    image = (ridges + np.random.default_rng(0).normal(0, 4, ridges.shape)).clip(0, 255).astype(np.uint8)
    usual = io.BytesIO()
    Image.fromarray(image).save(usual, "PNG")
    [file] = png.encode_pngs(image[None, ..., None])
    assert len(file) < 1.02 * len(usual.getvalue()) < 55_000
