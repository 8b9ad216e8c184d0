"""Owns small fake SOCOFing folders, in the real one's layout, formats and frame.

Does not hold or need any real print.
"""

import struct

import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.data import pairs, print_loading
from fpgan_jax.data.prints import PrintSet

# Ids whose numeric order differs from their order as text.
RIGHT_INDEX_PERSONS = (2, 3, 10, 12)
PAIR_SIZE = 16
_V5_HEADER_REST = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(64)


def make_print_pixels(seed: int, height: int = 103, width: int = 96) -> np.ndarray:
    """Draw smooth random ridges inside SOCOFing's frame: [height, width], uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / height
    bends = sum(
        rng.normal() * np.cos(rng.uniform(1, 9) * rows + rng.uniform(1, 9) * columns) for _ in range(4)
    )
    pixels = np.uint8(127.5 * (1 + np.sin(60 * rows + 8 * bends)))
    for depth, gray in ((0, 160), (1, 105)):
        pixels[depth, depth:] = pixels[depth:, depth] = gray
    pixels[-4:] = pixels[:, -4:] = 0
    return pixels


def write_bmp(path, pixels: np.ndarray, pixel_format: str) -> None:
    """Write [height, width] gray values as SOCOFing's "rgba", "rgb" or "gray" BMP.

    rgba: 32 bits with bit fields, alpha 0 in the last four rows and columns. rgb: 24 bits. gray: 8 bits
    with a palette.
    """
    height, width = pixels.shape
    bits, header_size, compression = {"rgba": (32, 124, 3), "rgb": (24, 124, 0), "gray": (8, 40, 0)}[
        pixel_format
    ]
    if pixel_format == "rgba":
        alpha = np.full_like(pixels, 255)
        alpha[-4:] = alpha[:, -4:] = 0
        pixels = np.stack([pixels, pixels, pixels, alpha], axis=2)
    elif pixel_format == "rgb":
        pixels = np.stack([pixels] * 3, axis=2)
    rows = pixels[::-1].reshape(height, -1)
    body = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    palette = b"".join(bytes([v, v, v, 255]) for v in range(256)) if bits == 8 else b""
    rest = (_V5_HEADER_REST if header_size == 124 else b"") + palette
    offset = 14 + 40 + len(rest)
    sizes = (header_size, width, height, 1, bits, compression, len(body))
    info = struct.pack("<IiiHHIIiiII", *sizes, 3780, 3780, len(palette) // 4, 0)
    path.write_bytes(struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + info + rest + body)


def write_socofing_folder(folder) -> None:
    """Write right index fingers of `RIGHT_INDEX_PERSONS`, other fingers, and an easy altered set."""
    real, easy = folder / "Real", folder / "Altered" / "Altered-Easy"
    real.mkdir(parents=True)
    easy.mkdir(parents=True)
    write_bmp(real / "2__F_Right_index_finger.BMP", make_print_pixels(2), "rgba")
    write_bmp(real / "3__M_Right_index_finger.BMP", make_print_pixels(3, 298, 241), "rgb")
    write_bmp(real / "10__M_Right_index_finger.BMP", make_print_pixels(10), "rgba")
    write_bmp(real / "12__M_Right_index_finger.BMP", make_print_pixels(12), "rgba")
    write_bmp(real / "1__M_Left_index_finger.BMP", make_print_pixels(101), "rgba")
    write_bmp(real / "2__F_Right_thumb_finger.BMP", make_print_pixels(102), "rgba")
    for person, alteration in ((2, "CR"), (2, "Zcut"), (10, "Obl")):
        gender = "F" if person == 2 else "M"
        name = f"{person}__{gender}_Right_index_finger_{alteration}.BMP"
        write_bmp(easy / name, make_print_pixels(1000 + person), "gray")


def assert_same_batches(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


@pytest.fixture(scope="session")
def socofing_folder(tmp_path_factory):
    """Return a fake SOCOFing folder that no test changes."""
    folder = tmp_path_factory.mktemp("SOCOFing")
    write_socofing_folder(folder)
    return folder


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory):
    """Return where TFDS keeps what the tests prepare."""
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture
def config(socofing_folder, tfds_dir):
    """Return a small config on the fake folder: 3 persons, 4 replicas, 32 x 32 pixels."""
    config = pix2pix_socofing.get_config()
    config.data.socofing_dir = str(socofing_folder)
    config.data.tfds_dir = str(tfds_dir)
    config.data.num_persons = 3
    config.data.num_replicas = 4
    config.data.image_size = 32
    config.global_batch_size = 4
    config.classifier.global_batch_size = 4
    return config


@pytest.fixture(scope="session")
def archive(socofing_folder, tfds_dir, tmp_path_factory):
    """Return the path of an .npz file of the fake folder's right index fingers, at 32 x 32 pixels."""
    config = pix2pix_socofing.get_config()
    config.data.socofing_dir, config.data.tfds_dir = str(socofing_folder), str(tfds_dir)
    config.data.image_size = 32
    path = tmp_path_factory.mktemp("archive") / "prints.npz"
    print_loading.write_archive(config, path)
    return str(path)


@pytest.fixture
def data_config():
    data_config = pix2pix_socofing.get_config().data
    data_config.image_size = PAIR_SIZE
    data_config.num_replicas = 3
    return data_config


@pytest.fixture
def prints():
    images = np.random.default_rng(0).integers(0, 256, (2, PAIR_SIZE, PAIR_SIZE, 1), np.uint8)
    return PrintSet(images, np.array([4, 11], np.int32), ("four", "eleven"))


@pytest.fixture
def replicated(prints, data_config):
    return pairs.ReplicatedPrints(prints, data_config)
