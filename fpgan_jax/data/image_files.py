"""Reading image files: which ones are accepted, and that those come out whole.

One damage goes unnoticed: a JPEG that was cut short and closed again, which its library fills up with gray.
"""

import contextlib
import hashlib
import io
import os
import pathlib
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from fpgan_jax.errors import UserError

# Prints and pairs come in these. Pillow reads 40 more formats, one of them (EPS) by starting another program.
FORMATS = ("BMP", "PNG", "JPEG", "TIFF")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# A hundred times SOCOFing's larger files. A file that claims more is damaged or hostile: decoding it could take all
# memory.
MAX_PIXELS = 100 * 241 * 298
MAX_BYTES = 4 * MAX_PIXELS + 2**20  # uncompressed, with metadata

_MODES = {1: "L", 3: "RGB"}
# Pillow's modes of one channel of 12 or 16 bits; "I" is what it may make of such a PNG.
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_GRAY_MODES = ("1", "L", "LA", *_DEEP_MODES)
_TAKEN_MODES = (*_GRAY_MODES, "P", "RGB", "RGBA")
# A 16-bit image that uses no more of its range than this holds 14, 12 or 10 bits in 16: scaled to 8 it would be black.
_MIN_USED_RANGE = 0.25
# Their decoders report missing data. TIFF's others fill it up, or come with several kinds of pixels.
_TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits")
_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262
# Where the parts of a TIFF's pixels are, and how long they are: in strips, or in tiles.
_TIFF_PARTS = ((273, 279), (324, 325))
# Samples per pixel, by PNG's color type.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Each pass of Adam7 over a PNG: first column and row, and the steps to the next ones.
_PNG_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)

# Pillow warns from twelve times as many pixels as are refused here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of damaged TIFFs, which are refused or read rightly all the same.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL.TiffImagePlugin")


def read_image(path: str | os.PathLike, num_channels: int) -> np.ndarray:
    """Decode a whole image file, turned as its EXIF orientation says.

    Gamma and color profiles are ignored: they are for screens, and the field's loaders take the stored values. An alpha
    channel is dropped, even if it is zero everywhere: SOCOFing's is zero in the frame, many programs leave the fourth
    byte of a BMP's pixels at zero, and the colors are there all the same. Gray of 12 or 16 bits is scaled from its
    range, 0 to 4095 or 65535, to 0 to 255.

    Args:
      path: of a file in one of `FORMATS`, whatever its extension. A link is followed, wherever it leads:
        content-addressed stores keep data sets as links.
      num_channels: 1 for gray (luminance, which equals each of three equal channels exactly), 3 for RGB.

    Returns:
      [height, width, num_channels], uint8.

    Raises:
      UserError: the file cannot be read, has another format, is cut short, holds several images, has colors of more
        than 8 bits per channel, gray of 16 bits of which it uses less than a quarter, damaged EXIF metadata, or more
        than `MAX_PIXELS`.
    """
    try:
        data = _read_bytes(path)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image, data)
            num_colors = _count_colors(image, data)
            depth = _find_depth(image)
            image.load()
            if num_colors is not None and np.asarray(image).max() >= num_colors:
                raise UserError(f"a pixel's color is not among the {num_colors} of its palette")
            image.info.pop("transparency", None)
            upright = _turn_upright(image)
            if depth is not None:
                upright = _scale_to_bytes(upright, *depth)
            pixels = np.asarray(upright.convert(_MODES[num_channels]))
    except UserError as error:
        raise UserError(f"{os.fspath(path)}: {error}") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(
            f"{os.fspath(path)}: cannot be read as an image (neither {', '.join(FORMATS[:-1])} nor {FORMATS[-1]})"
        ) from error
    except Exception as error:
        # What a decoder raises depends on the bytes: IndexError, struct.error, AssertionError and others.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(
            f"{os.fspath(path)}: cannot be read as an image ({reason or type(error).__name__})"
        ) from error
    return pixels.reshape(*pixels.shape[:2], num_channels)


def is_colored(path: str | os.PathLike) -> bool:
    """Return whether a file loses colors if it is read as gray."""
    with contextlib.suppress(OSError), Image.open(path, formats=FORMATS) as image:
        if image.mode in _GRAY_MODES:
            return False
    pixels = read_image(path, 3)
    return bool((pixels != pixels[..., :1]).any())


def list_images(folder: str | os.PathLike[str]) -> list[str]:
    """List the names of a folder's image files, sorted, without hidden ones."""
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.name.lower().endswith(EXTENSIONS) and entry.name[0] != "."
    )


def hash_contents(path: str | os.PathLike) -> bytes:
    """Compute the SHA-256 of a file's bytes; zeros for what is not a file, or too large for `read_image`."""
    try:
        return hashlib.sha256(_read_bytes(path)).digest()
    except (OSError, UserError):
        return bytes(32)


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:
        # What damaged metadata raise depends on their bytes.
        raise UserError(
            "its EXIF metadata, which may say how it is turned, is damaged; save it without"
        ) from error


def _read_bytes(path: str | os.PathLike) -> bytes:
    status = os.stat(path)
    # Reading a pipe or a device may block, or never end.
    if not stat.S_ISREG(status.st_mode):
        raise UserError("cannot be read as an image (not a file)")
    if status.st_size > MAX_BYTES:
        raise UserError(f"{status.st_size:,} bytes are more than {MAX_BYTES:,}; make it smaller")
    return pathlib.Path(path).read_bytes()


def _check_header(image: ImageFile.ImageFile, data: bytes) -> None:
    """Refuse an opened image, before memory is taken for its pixels."""
    if image.width * image.height > MAX_PIXELS:
        raise UserError(
            f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}; the file is damaged, or make "
            "it smaller"
        )
    num_images = getattr(image, "n_frames", 1)
    if num_images > 1:
        raise UserError(f"holds {num_images} images; keep one of them")
    # Pillow itself cuts the lower 8 bits of colors off.
    is_cut = image.format in ("PNG", "TIFF") and ";16" in str(image.tile[0].args)
    if not _is_deep(image) and (image.mode.startswith(("I", "F")) or is_cut):
        raise UserError("more than 8 bits per channel, and not plain gray of 16; convert it to 8 bits")
    if image.mode not in _TAKEN_MODES and not _is_deep(image):
        raise UserError(f"has {image.mode} colors; convert it to gray or RGB")
    if image.format == "BMP":
        _check_bmp(image, data)
    elif image.format == "PNG":
        _check_png(image, data)
    elif isinstance(image, TiffImageFile):
        _check_tiff(image, data)


def _is_deep(image: Image.Image) -> bool:
    """Return whether an opened image is gray of 12 or 16 bits."""
    return image.mode in _DEEP_MODES or (image.mode == "I" and image.format == "PNG")


def _find_depth(image: ImageFile.ImageFile) -> tuple[int, bool] | None:
    """Return the highest value of an image of 12 or 16 bits, and whether it is black; None for other images."""
    if not _is_deep(image):
        return None
    highest = 2**12 - 1 if "I;12" in str(image.tile[0].args) else 2**16 - 1
    return highest, isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _scale_to_bytes(image: Image.Image, highest: int, is_inverted: bool) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if 0 < values.max() <= _MIN_USED_RANGE * highest:
        raise UserError(
            f"its values end at {values.max()}, but their range goes to {highest}; scale them to that range, or "
            "save 8 bits"
        )
    values = highest - values if is_inverted else values
    return Image.fromarray(((values * 255 + highest // 2) // highest).astype(np.uint8))


def _check_tiff(image: TiffImageFile, data: bytes) -> None:
    """Refuse a TIFF with missing pixels, or with a compression whose decoder would not notice."""
    compression = image.info.get("compression")
    if compression not in _TIFF_COMPRESSIONS:
        raise UserError(f"a TIFF compressed by {compression}; save it with LZW, deflate or no compression")
    for offsets_tag, lengths_tag in _TIFF_PARTS:
        offsets, lengths = (image.tag_v2.get(tag, ()) for tag in (offsets_tag, lengths_tag))
        if len(offsets) != len(lengths) or any(
            offset + length > len(data) for offset, length in zip(offsets, lengths, strict=True)
        ):
            raise UserError("cannot be read as an image (its rows end early)")


def _check_bmp(image: ImageFile.ImageFile, data: bytes) -> None:
    """Refuse what Pillow decodes to other pixels than the file's."""
    bits, num_colors, end = _parse_bmp_header(data)
    if image.tile[0].offset < end:
        raise UserError("damaged: its pixels start inside its header")
    # Pillow derives the bits per pixel from a palette of black and white, or of grays.
    if bits != {"1": 1, "L": 8}.get(image.mode, bits):
        raise UserError(
            f"has a palette of {num_colors} grays at {bits} bits per pixel; save it as 8-bit gray"
        )


def _parse_bmp_header(data: bytes) -> tuple[int, int, int]:
    """Return bits per pixel, entries of the palette (or 0), and where the pixels may start."""
    header_size = struct.unpack_from("<I", data, 14)[0]
    if header_size == 12:
        bits = struct.unpack_from("<H", data, 24)[0]
        num_colors = 1 << bits if bits <= 8 else 0
        return bits, num_colors, 14 + header_size + 3 * num_colors
    bits, compression = struct.unpack_from("<HI", data, 28)
    num_colors = (struct.unpack_from("<I", data, 46)[0] or 1 << bits) if bits <= 8 else 0
    masks_size = 12 if header_size == 40 and compression == 3 else 0
    return bits, num_colors, 14 + header_size + masks_size + 4 * num_colors


def _check_png(image: Image.Image, data: bytes) -> None:
    """Refuse a PNG whose rows end early, which Pillow fills up with black."""
    chunks = _split_png(data)
    name, header = next(chunks, (b"", b""))
    if name != b"IHDR" or struct.unpack_from(">II", header) != image.size:
        raise UserError("damaged: its header is not its first chunk")
    stream = zlib.decompressobj()
    num_missing = _count_png_bytes(header)
    for name, content in chunks:
        if name == b"IDAT" and num_missing >= 0 and not stream.eof:
            # One more than needed, to reach the checksum at the end.
            num_missing -= len(stream.decompress(content, num_missing + 1))
    if num_missing > 0 or (num_missing == 0 and not stream.eof):
        raise UserError("cannot be read as an image (its rows end early)")


def _split_png(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        yield name, data[position + 8 : position + 8 + length]
        position += 12 + length


def _count_png_bytes(header: bytes) -> int:
    """Return the uncompressed length of a PNG's rows, each with its filter byte."""
    width, height, depth, color_type, _, _, is_interlaced = struct.unpack_from(">IIBBBBB", header)
    total = 0
    for left, top, across, down in _PNG_PASSES if is_interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * depth * _PNG_SAMPLES[color_type] // 8))
    return total


def _count_colors(image: Image.Image, data: bytes) -> int | None:
    """Return how many entries a palette has, beyond which Pillow takes black; None without a palette."""
    if image.format == "BMP":
        return _parse_bmp_header(data)[1] or None
    if image.mode != "P" or image.format != "PNG":
        return None
    return next((len(content) // 3 for name, content in _split_png(data) if name == b"PLTE"), 0)
