"""Tests of decoding, cropping, resizing and value ranges."""

import struct
import zlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from configs import pix2pix_socofing
from fpgan_jax.data import image_files, preprocessing
from fpgan_jax.errors import UserError
from tests.data.conftest import make_print_pixels, write_bmp


@pytest.fixture
def data_config():
    return pix2pix_socofing.get_config().data


@pytest.mark.parametrize("pixel_format", ["rgba", "rgb", "gray"])
@pytest.mark.parametrize("shape", [(103, 96), (298, 241)])
def test_every_format_decodes_to_the_same_gray_values(tmp_path, pixel_format, shape):
    pixels = make_print_pixels(0, *shape)
    write_bmp(tmp_path / "print.bmp", pixels, pixel_format)
    np.testing.assert_array_equal(image_files.read_image(tmp_path / "print.bmp", 1)[:, :, 0], pixels)


def test_decodes_to_three_channels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(image_files.read_image(tmp_path / "image.png", 3), pixels)


def write_truncated(path):
    write_bmp(path, make_print_pixels(0), "rgba")
    path.write_bytes(path.read_bytes()[:20000])


def write_text(path):
    path.write_text("not an image")


def write_nothing(path):
    path.touch()


def write_bomb(path):
    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    end = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + end
    )


def write_float(path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path, format="TIFF")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_truncated, "cannot be read as an image"),
        (write_text, "cannot be read as an image"),
        (write_nothing, "cannot be read as an image"),
        (write_bomb, "9000 x 9000 pixels"),
        (write_float, "more than 8 bits"),
        (lambda path: None, "cannot be read as an image"),
    ],
)
def test_refuses_a_bad_file_by_name(tmp_path, write, reason):
    write(tmp_path / "bad.BMP")
    with pytest.raises(UserError, match=rf"bad\.BMP: .*{reason}"):
        image_files.read_image(tmp_path / "bad.BMP", 1)


def test_crops_exactly_the_frame_of_the_small_files():
    rows, columns = np.mgrid[:103, :96].astype(np.uint8)
    cropped = preprocessing.crop_frame(np.stack([rows, columns], axis=2))
    assert cropped.shape == (97, 90, 2)
    assert (cropped[0, 0].tolist(), cropped[-1, -1].tolist()) == ([2, 2], [98, 91])


def test_crops_exactly_the_frame_of_the_large_files():
    rows, columns = np.mgrid[:298, :241].astype(np.int64)
    cropped = preprocessing.crop_frame(np.stack([rows, columns], axis=2))
    assert (cropped[0, 0].tolist(), cropped[-1, -1].tolist()) == ([2, 2], [293, 236])


def test_resizes_to_nearest():
    image = np.array([[1, 2], [3, 4]], np.uint8)[:, :, None]
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    np.testing.assert_array_equal(preprocessing.resize(image, (4, 4), "nearest")[:, :, 0], expected)


def test_resizes_bilinearly():
    image = np.array([[0, 255], [0, 255]], np.uint8)[:, :, None]
    # Pixel centers at -1/4, 1/4, 3/4 and 5/4 of the way: 0, 63.75, 191.25 and 255, rounded.
    expected = np.tile([0, 64, 191, 255], (4, 1))
    np.testing.assert_array_equal(preprocessing.resize(image, (4, 4), "bilinear")[:, :, 0], expected)


def test_resizes_by_area():
    image = np.array([[0, 90], [90, 180]], np.uint8)[:, :, None]
    # The middle third lies half in each pixel.
    expected = [[0, 45, 90], [45, 90, 135], [90, 135, 180]]
    np.testing.assert_array_equal(preprocessing.resize(image, (3, 3), "area")[:, :, 0], expected)


def test_resizes_by_area_to_a_smaller_size():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    # Means 2.5, 4.5, 10.5 and 12.5; halves go up.
    np.testing.assert_array_equal(preprocessing.resize(image, (2, 2), "area")[:, :, 0], [[3, 5], [11, 13]])


def test_interpolations_differ():
    image = make_print_pixels(0)[:, :, None]
    resized = [preprocessing.resize(image, (64, 64), name).tobytes() for name in preprocessing.INTERPOLATIONS]
    assert len(set(resized)) == 4


def test_resizes_channels_apart():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    resized = preprocessing.resize(image, (16, 16), "bicubic")
    for channel in range(3):
        alone = preprocessing.resize(image[:, :, channel, None], (16, 16), "bicubic")
        np.testing.assert_array_equal(resized[:, :, channel], alone[:, :, 0])


def test_preprocesses_a_print_without_its_frame(data_config):
    data_config.frame = "crop"
    data_config.image_size = 64
    data_config.interpolation = "nearest"
    image = np.zeros((103, 96), np.uint8)
    image[2:99, 2:92] = 200
    assert (preprocessing.preprocess_print(image, data_config) == 200).all()


def test_preprocesses_a_print_with_its_frame(data_config):
    data_config.image_size = 64
    preprocessed = preprocessing.preprocess_print(make_print_pixels(0), data_config)
    assert (preprocessed[-1] == 0).all()


def test_repeats_the_gray_channel(data_config):
    data_config.num_channels = 3
    preprocessed = preprocessing.preprocess_print(make_print_pixels(0), data_config)
    assert preprocessed.shape == (256, 256, 3)
    np.testing.assert_array_equal(preprocessed, np.repeat(preprocessed[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("library", [np, jnp])
def test_scales_to_the_unit_range(library):
    scaled = preprocessing.scale_to_unit(library.array([0, 51, 255], library.uint8))
    assert scaled.dtype == np.float32
    # 51 / 127.5 - 1 = -0.6; one rounding to 24 bits in each of the two steps.
    np.testing.assert_allclose(np.asarray(scaled), [-1, -0.6, 1], atol=2**-24 + 2**-25)


def test_pixels_survive_the_way_there_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(preprocessing.to_uint8(preprocessing.scale_to_unit(pixels)), pixels)


def test_rounds_and_clips_to_pixels():
    # 0 is 127.5, which rounds to the even 128; 0.5 is 191.25.
    np.testing.assert_array_equal(preprocessing.to_uint8(np.array([-1.5, 0, 0.5, 7])), [0, 128, 191, 255])


@pytest.mark.parametrize(
    ("frame", "source", "rows", "columns"),
    [
        # 2 and 99 of 103 rows, 2 and 92 of 96 columns: 4.97 and 246.06, 5.33 and 245.33 of 256.
        ("keep", "socofing", (5, 246), (6, 245)),
        ("crop", "socofing", (0, 256), (0, 256)),
        ("keep", "paired_folder", (0, 256), (0, 256)),
    ],
)
def test_the_window_within_the_frame(frame, source, rows, columns):
    data = pix2pix_socofing.get_config().data
    data.frame, data.source = frame, source
    assert preprocessing.find_window(data) == (slice(*rows), slice(*columns))


def test_the_window_of_a_scan_in_its_own_size_is_what_cropping_leaves():
    data = pix2pix_socofing.get_config().data
    data.image_size, data.image_width = 103, 96
    assert preprocessing.find_window(data) == (slice(2, 99), slice(2, 92))


@pytest.mark.parametrize("interpolation", preprocessing.INTERPOLATIONS)
def test_a_scan_in_its_own_size_is_left_as_it_is(interpolation):
    data = pix2pix_socofing.get_config().data
    data.image_size, data.image_width, data.interpolation = 103, 96, interpolation
    scan = np.random.default_rng(0).integers(0, 256, (103, 96), np.uint8)
    np.testing.assert_array_equal(preprocessing.preprocess_print(scan, data)[..., 0], scan)


@pytest.mark.parametrize("interpolation", [*preprocessing.INTERPOLATIONS, "area"])
def test_height_and_width_are_resized_apart(interpolation):
    # Rows alike and columns alike: what is done to rows can be told from what is done to columns.
    row = np.arange(0, 240, 20, dtype=np.uint8)
    wide = np.tile(row, (6, 1))[..., None]
    resized = preprocessing.resize(wide, (9, 24), interpolation)
    assert resized.shape == (9, 24, 1)
    assert (resized == resized[:1]).all() and (np.diff(resized[0, :, 0].astype(int)) >= 0).all()
