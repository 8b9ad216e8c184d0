"""Image files that are odd, damaged or hostile, and what must come of each.

Every file is written byte by byte, except for JPEGs, so that its pixels are known without a decoder.
"""

import dataclasses
import io
import os
import pathlib
import socket
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

# SOCOFing's; each half of a pair is 48 columns.
HEIGHT, WIDTH = 103, 96

# One column too many for `image_files.MAX_PIXELS`, which is written out here to stay what it is.
LARGE_WIDTH, LARGE_HEIGHT = 7_181_801, 1

SMOOTH = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)
_ROUGH = ((np.outer(np.arange(HEIGHT), np.arange(WIDTH)) // 16 + 7 * SMOOTH) % 256).astype(np.uint8)
_ROUGH_RGB = _ROUGH * np.uint32(0x010101)
# Of 32-bit BMPs with bit fields.
_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)

READ, REFUSED, EITHER = "read", "refused", "either"


@dataclasses.dataclass(frozen=True)
class Case:
    """One file and what must come of it."""

    kind: str  # what is odd about it
    label: str  # unique within the kind
    create: Callable[[pathlib.Path], None]  # makes it at a path
    pixels: np.ndarray | None  # [height, width], uint8, gray; what it shows, if it may be read
    outcome: str  # as a print: `READ`, `REFUSED`, or `EITHER` if no pixel is missing
    pair_outcome: str  # as a pair
    tolerance: int = 0  # of a pixel


def _show(kind, label, data, pixels, *, tolerance=0, outcome=READ, pair_outcome=None) -> Case:
    return Case(
        kind, label, lambda path: path.write_bytes(data), pixels, outcome, pair_outcome or outcome, tolerance
    )


def _refuse(kind, label, data) -> Case:
    return _show(kind, label, data, None, outcome=REFUSED)


def create_cases() -> list[Case]:
    """Create all cases that do not depend on a file's name, always the same ones in the same order."""
    makers = (
        _create_bmps,
        _create_pngs,
        _create_jpegs,
        _create_tiffs,
        _create_turned,
        _create_truncated,
        _create_foreign,
        _create_bombs,
        _create_damaged_bmps,
        _create_damaged_pngs,
        _create_blank,
        _create_entries,
    )
    return [case for maker in makers for case in maker()]


# Names in SOCOFing's folder of real prints that are none.
BAD_PRINT_NAMES = (
    "1_M_Right_index_finger.BMP",
    "1__M_Right_index_finger.BMP ",
    " 1__M_Right_index_finger.BMP",
    "1__M_Right_index_finger.BMP\n",
    "1__M_Right_index\n_finger.BMP",
    "1__M_Right_index_finger.BMP\u2028",
    "1__M_Right_index_finger .BMP",
    "1__M_Right_index_finger.Bmp",
    "1__M_Right_index_finger.PNG",
    "1__M_Right_index_finger.BMP.BMP",
    "1__M_Right_index_finger",
    "1__M_Right_index_finger_.BMP",
    "1__M_Right_index_finger_CR_CR.BMP",
    "1__M_Right_index_finger_cr.BMP",
    "1__M_Right_index_finger_CR.BMP",
    "1__M_Right_index.BMP",
    "1__M_right_index_finger.BMP",
    "1__m_Right_index_finger.BMP",
    "1__MF_Right_index_finger.BMP",
    "1__M_Right_pinky_finger.BMP",
    "1__M_Right_índex_finger.BMP",
    "1__M_Right_index_finger (1).BMP",
    "0__M_Right_index_finger.BMP",
    "01__M_Right_index_finger.BMP",
    "-1__M_Right_index_finger.BMP",
    "+1__M_Right_index_finger.BMP",
    "1.0__M_Right_index_finger.BMP",
    "1_000__M_Right_index_finger.BMP",
    "\u0661__M_Right_index_finger.BMP",
    "\uff11__M_Right_index_finger.BMP",
    "1\u00b2__M_Right_index_finger.BMP",
    "1234567890__M_Right_index_finger.BMP",
    "9" * 200 + "__M_Right_index_finger.BMP",
    "~1__M_Right_index_finger.BMP",
    "\x1b[31m1__M_Right_index_finger.BMP",
    "\u202e1__M_Right_index_finger.BMP",
    os.fsdecode(b"1__M_Right_index_\xff_finger.BMP"),
)
# Names of pairs that are read, and the person and replica that they tell.
PAIR_NAMES = {
    "1_2.png": (1, 2),
    "003_04.PNG": (3, 4),
    "5_6.JpEg": (5, 6),
    "with spaces .png": (-1, -1),
    "été à Zürich.png": (-1, -1),
    "e\u0301te\u0301.png": (-1, -1),
    "two\nlines.png": (-1, -1),
    "7_8\n.png": (-1, -1),
    "\t9_1.png": (-1, -1),
    "\u0661_\u0662.png": (-1, -1),
    "指紋.bmp": (-1, -1),
    "-1_-1.png": (-1, -1),
    "1_2_3.png": (-1, -1),
    "1__2.png": (-1, -1),
    "1234567890_1.png": (-1, -1),
    "%s %d {0}.png": (-1, -1),
    "--flag.png": (-1, -1),
    "a" * 251 + ".png": (-1, -1),
}
BAD_PAIR_NAMES = (os.fsdecode(b"\xff\xfe.png"), os.fsdecode(b"1_2\xe9.png"))


# BMP


def write_bmp(
    bits,
    indices,
    *,
    palette=None,
    is_top_down=False,
    header_size=40,
    compression=0,
    masks=None,
    num_colors=None,
    gap=0,
    body=None,
    size=None,
    **fields,
) -> bytes:
    """Write a BMP of [height, width] pixel values (palette entries, or whole pixels of 16 to 32 bits)."""
    height, width = indices.shape if size is None else size
    rows = indices if is_top_down else indices[::-1]
    if body is None:
        body = b"".join(_pack_bmp_row(row, bits) for row in rows)
    entries = b"".join(struct.pack("<I", entry) for entry in palette or ())
    if header_size == 12:
        entries = b"".join(struct.pack("<I", entry)[:3] for entry in palette or ())
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        sizes = (fields.get("stated_header_size", header_size), width, -height if is_top_down else height)
        pixel_format = (1, fields.get("stated_bits", bits), compression)
        num_colors = len(palette or ()) if num_colors is None else num_colors
        header = struct.pack("<IiiHHIIiiII", *sizes, *pixel_format, len(body), 0, 0, num_colors, 0)
        packed_masks = struct.pack(f"<{len(masks or ())}I", *(masks or ()))
        header += (
            (packed_masks + bytes(header_size))[: header_size - 40] if header_size > 40 else packed_masks
        )
    offset = fields.get("offset", 14 + len(header) + len(entries) + gap)
    total = 14 + len(header) + len(entries) + gap + len(body)
    return struct.pack("<2sIHHI", b"BM", total, 0, 0, offset) + header + entries + bytes(gap) + body


def write_gray_bmp(**options) -> bytes:
    """Write `_ROUGH` with 8 bits and a palette of all grays."""
    return write_bmp(8, _ROUGH, **{"palette": create_palette(8)} | options)


def _pack_bmp_row(row, bits) -> bytes:
    if bits < 8:
        packed = np.packbits((row[:, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8)).tobytes()
    else:
        packed = row.astype("<u4")[:, None].view(np.uint8)[:, : bits // 8].tobytes()
    return packed + bytes(-len(packed) % 4)


def create_palette(bits) -> list[int]:
    """Return all grays of a depth, each 0x00RRGGBB."""
    return [value * 255 // (2**bits - 1) * 0x010101 for value in range(2**bits)]


def _to_gray(red, green, blue) -> np.ndarray:
    return np.uint8((299 * red.astype(int) + 587 * green.astype(int) + 114 * blue.astype(int)) // 1000)


def _create_bmps() -> Iterator[Case]:
    kind = "BMP that is read"
    for is_top_down in (False, True):
        way = "top-down" if is_top_down else "bottom-up"
        for bits in (1, 4, 8):
            indices = _ROUGH >> 8 - bits
            grays = indices * np.uint8(255 // (2**bits - 1))
            palette = create_palette(bits)
            for size in (40, 108, 124):
                data = write_bmp(bits, indices, palette=palette, is_top_down=is_top_down, header_size=size)
                yield _show(kind, f"{bits} bits, {way}, header of {size}", data, grays)
            data = write_bmp(bits, indices, palette=palette[::-1], is_top_down=is_top_down)
            yield _show(kind, f"{bits} bits, {way}, palette inverted", data, 255 - grays)
        for bits in (24, 32):
            for size in (40, 108, 124):
                data = write_bmp(bits, _ROUGH_RGB, is_top_down=is_top_down, header_size=size)
                yield _show(kind, f"{bits} bits, {way}, header of {size}", data, _ROUGH)
        fives = (_ROUGH >> 3).astype(np.uint32)
        data = write_bmp(16, fives * 0x0421, is_top_down=is_top_down)
        yield _show(kind, f"16 bits, {way}", data, np.uint8(fives * 255 // 31), tolerance=1)
        pixels, masks = fives << 11 | (fives << 1 | fives >> 4) << 5 | fives, (0xF800, 0x7E0, 0x1F)
        data = write_bmp(16, pixels, is_top_down=is_top_down, compression=3, masks=masks)
        yield _show(kind, f"16 bits with masks, {way}", data, np.uint8(fives * 255 // 31), tolerance=4)
        fields = {"is_top_down": is_top_down, "header_size": 124, "compression": 3, "masks": _MASKS}
        for alpha in (0, 1, 255):
            data = write_bmp(32, _ROUGH_RGB | np.uint32(alpha << 24), **fields)
            yield _show("alpha", f"BMP, {way}, {alpha} everywhere", data, _ROUGH)
    red, green, blue = _ROUGH, SMOOTH, 255 - _ROUGH
    pixels = red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue
    yield _show(kind, "24 bits in color", write_bmp(24, pixels), _to_gray(red, green, blue), tolerance=1)
    palette = [(value << 16 | (255 - value) << 8 | value) for value in range(256)]
    grays = _to_gray(_ROUGH, 255 - _ROUGH, _ROUGH)
    yield _show(kind, "8 bits in color", write_bmp(8, _ROUGH, palette=palette), grays, tolerance=1)
    for bits in (1, 4, 8):
        data = write_bmp(bits, _ROUGH >> 8 - bits, palette=create_palette(bits), header_size=12)
        grays = (_ROUGH >> 8 - bits) * np.uint8(255 // (2**bits - 1))
        yield _show(kind, f"{bits} bits of OS/2", data, grays)
    yield _show(kind, "24 bits of OS/2", write_bmp(24, _ROUGH_RGB, header_size=12), _ROUGH)
    yield _show(kind, "a gap", write_gray_bmp(gap=10), _ROUGH)
    yield _show(kind, "no count of colors", write_gray_bmp(num_colors=0), _ROUGH)
    data = write_bmp(8, _ROUGH // 2, palette=create_palette(8)[:128])
    yield _show(kind, "128 colors", data, _ROUGH // 2)
    yield _show(kind, "bytes after the end", write_gray_bmp() + b"more", _ROUGH)
    body = _compress_bmp(_ROUGH[::-1])
    yield _show(kind, "RLE8", write_gray_bmp(compression=1, body=body), _ROUGH)


def _compress_bmp(rows) -> bytes:
    """Write rows as runs of one pixel each, as RLE8 allows."""
    return b"".join(b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in rows) + b"\0\1"


# PNG


def _chunk(name, content) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _pack_png_rows(samples, depth, filter_type=0) -> bytes:
    """Pack [height, width, samples], 8 or 16 bits or less."""
    packed = []
    for row in samples:
        if depth < 8:
            bits = row.reshape(-1)[:, None] >> np.arange(depth)[::-1] & 1
            packed.append(np.packbits(bits.astype(np.uint8)))
        else:
            packed.append(np.frombuffer(row.astype(f">u{depth // 8}").tobytes(), np.uint8))
    step = max(1, samples.shape[2] * depth // 8)
    above = np.zeros_like(packed[0])
    lines = []
    for row in packed:
        lines.append(bytes([filter_type]) + _filter_png_row(row, above, step, filter_type).tobytes())
        above = row
    return b"".join(lines)


def _filter_png_row(row, above, step, filter_type) -> np.ndarray:
    left, corner = (np.concatenate([np.zeros(step, np.uint8), line])[: len(line)] for line in (row, above))
    left_int, above_int, corner_int = (line.astype(int) for line in (left, above, corner))
    predictions = {
        0: 0 * left_int,
        1: left_int,
        2: above_int,
        3: (left_int + above_int) // 2,
        4: _predict_paeth(left_int, above_int, corner_int),
    }
    return ((row - predictions[filter_type]) % 256).astype(np.uint8)


def _predict_paeth(left, above, corner) -> np.ndarray:
    from_left, from_above, from_corner = (abs(left + above - corner - near) for near in (left, above, corner))
    is_left = (from_left <= from_above) & (from_left <= from_corner)
    return np.where(is_left, left, np.where(from_above <= from_corner, above, corner))


_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def write_png(
    depth,
    color_type,
    samples,
    *,
    is_interlaced=False,
    before=b"",
    filter_type=0,
    stream=None,
    num_parts=1,
    **header,
) -> bytes:
    """Write a PNG of [height, width, samples]."""
    height, width = samples.shape[:2]
    if stream is None:
        passes = _PASSES if is_interlaced else ((0, 0, 1, 1),)
        rows = b"".join(
            _pack_png_rows(samples[top::down, left::across], depth, filter_type)
            for left, top, across, down in passes
        )
        stream = zlib.compress(rows[: header.get("num_bytes", len(rows))])
    length = -(-len(stream) // num_parts) or 1
    parts = [stream[start : start + length] for start in range(0, len(stream), length)]
    size = header.get("width", width), header.get("height", height)
    methods = (header.get(name, 0) for name in ("compression", "filtering"))
    interlacing = header.get("interlacing", int(is_interlaced))
    start = struct.pack(">IIBBBBB", *size, depth, color_type, *methods, interlacing)
    rest = b"".join(_chunk(b"IDAT", part) for part in parts) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", start) + before + rest


def write_gray_png(**options) -> bytes:
    """Write `_ROUGH` with 8 bits."""
    return write_png(8, 0, _ROUGH[:, :, None], **options)


def create_palette_chunk(bits) -> bytes:
    """Return all grays of a depth as a PNG's chunk."""
    return _chunk(b"PLTE", b"".join(struct.pack("<I", entry)[:3] for entry in create_palette(bits)))


def _stack(*channels) -> np.ndarray:
    return np.stack(np.broadcast_arrays(*channels), axis=2)


def _create_pngs() -> Iterator[Case]:
    kind = "PNG that is read"
    gray = _ROUGH[:, :, None]
    for is_interlaced in (False, True):
        way = "interlaced" if is_interlaced else "plain"
        for bits in (1, 2, 4, 8):
            samples = gray >> 8 - bits
            grays = samples[:, :, 0] * np.uint8(255 // (2**bits - 1))
            data = write_png(bits, 0, samples, is_interlaced=is_interlaced)
            yield _show(kind, f"gray, {bits} bits, {way}", data, grays)
            data = write_png(bits, 3, samples, is_interlaced=is_interlaced, before=create_palette_chunk(bits))
            yield _show(kind, f"palette, {bits} bits, {way}", data, grays)
        color = _stack(_ROUGH, _ROUGH, _ROUGH)
        yield _show(kind, f"RGB, {way}", write_png(8, 2, color, is_interlaced=is_interlaced), _ROUGH)
        for alpha in (0, 128, 255):
            for color_type, num_equal in ((4, 1), (6, 3)):
                samples = _stack(*[_ROUGH] * num_equal, alpha)
                data = write_png(8, color_type, samples, is_interlaced=is_interlaced)
                yield _show("alpha", f"PNG of type {color_type}, {way}, {alpha} everywhere", data, _ROUGH)
        for color_type, num_samples in ((0, 1), (2, 3), (4, 2), (6, 4)):
            samples = _stack(*[_ROUGH] * num_samples).astype(np.uint16) * 257
            data = write_png(16, color_type, samples, is_interlaced=is_interlaced)
            label = f"type {color_type}, {way}"
            if color_type == 0:
                yield _show("PNG of 16 bits", label, data, _ROUGH)
            else:
                yield _refuse("PNG of 16 bits", label, data)
    for filter_type in range(5):
        yield _show(kind, f"filter {filter_type}", write_gray_png(filter_type=filter_type), _ROUGH)
        data = write_png(8, 2, color, filter_type=filter_type)
        yield _show(kind, f"filter {filter_type} in RGB", data, _ROUGH)
    for num_parts in (2, 100):
        yield _show(kind, f"{num_parts} parts", write_gray_png(num_parts=num_parts), _ROUGH)
    for label, transparency in (("all of", bytes(256)), ("one of", b"\xff\0")):
        before = create_palette_chunk(8) + _chunk(b"tRNS", transparency)
        yield _show("alpha", f"{label} a palette clear", write_png(8, 3, gray, before=before), _ROUGH)
    for color_type, samples, size in ((0, gray, 1), (2, color, 3)):
        data = write_png(8, color_type, samples, before=_chunk(b"tRNS", b"\0\x14" * size))
        yield _show("alpha", f"one color of type {color_type} clear", data, _ROUGH)
    samples = _stack(0, 0, 0, _ROUGH).astype(np.uint8)
    yield _refuse("alpha", "all content in it", write_png(8, 6, samples))
    for name, content in (
        (b"tEXt", b"Title\0print"),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"pHYs", struct.pack(">IIB", 19685, 19685, 1)),
        (b"teSt", b"unknown"),
    ):
        data = write_gray_png(before=_chunk(name, content))
        yield _show(kind, f"with {name.decode()}", data, _ROUGH)
    yield _show(kind, "bytes after the end", write_gray_png() + b"more", _ROUGH)
    rows = _pack_png_rows(gray, 8)
    yield _show(kind, "stored", write_gray_png(stream=zlib.compress(rows, 0)), _ROUGH)
    red, green, blue = _ROUGH, SMOOTH, 255 - _ROUGH
    data = write_png(8, 2, _stack(red, green, blue))
    yield _show(kind, "in color", data, _to_gray(red, green, blue), tolerance=1)
    control = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    before = _chunk(b"acTL", struct.pack(">II", 1, 0)) + _chunk(b"fcTL", control)
    yield _show("animated", "PNG of one frame", write_gray_png(before=before), _ROUGH)
    for num_frames in (2, 50):
        yield _refuse("animated", f"PNG of {num_frames} frames", _write_animation(num_frames))


def _write_animation(num_frames) -> bytes:
    control = struct.pack(">IIIIHHBB", WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    before = _chunk(b"acTL", struct.pack(">II", num_frames, 0)) + _chunk(b"fcTL", bytes(4) + control)
    still = write_gray_png(before=before)
    stream = zlib.compress(_pack_png_rows(255 - _ROUGH[:, :, None], 8))
    frames = b""
    for index in range(1, num_frames):
        frames += _chunk(b"fcTL", struct.pack(">I", 2 * index - 1) + control)
        frames += _chunk(b"fdAT", struct.pack(">I", 2 * index) + stream)
    return still[:-12] + frames + still[-12:]


# JPEG, for which Pillow encodes: what comes back is near what went in.


def save(pixels, extension, mode="L", **kwargs) -> bytes:
    """Write [height, width] with Pillow."""
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, extension, **kwargs)
    return stream.getvalue()


def _create_jpegs() -> Iterator[Case]:
    kind = "JPEG that is read"
    for mode in ("L", "RGB"):
        for is_progressive in (False, True):
            for quality in (90, 100):
                data = save(SMOOTH, "JPEG", mode, quality=quality, progressive=is_progressive)
                label = f"{mode}, {'progressive' if is_progressive else 'plain'}, quality {quality}"
                yield _show(kind, label, data, SMOOTH, tolerance=8)
    yield _show(kind, "with a comment", save(SMOOTH, "JPEG", comment=b"\xff\0x"), SMOOTH, tolerance=8)
    for quality in (75, 95):
        yield _refuse("CMYK", f"quality {quality}", save(SMOOTH, "JPEG", "CMYK", quality=quality))
    data = save(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(255 - SMOOTH)])
    yield _refuse("animated", "JPEG of two images", data)


# TIFF

_TIFF_GRAYS = (0, 1)  # white is zero, black is zero


def write_tiff(pixels, *, bits=8, photometric=1, is_big_endian=False, orientation=1, num_strips=1) -> bytes:
    """Write [height, width] values of 8, 12 or 16 bits, uncompressed."""
    order = ">" if is_big_endian else "<"
    height, width = pixels.shape
    if bits == 12:
        pairs = pixels.reshape(-1, 2).astype(np.uint32)
        packed = pairs[:, 0] << 12 | pairs[:, 1]
        body = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8).tobytes()
    else:
        body = pixels.astype(f"{order}u{bits // 8}").tobytes()
    rows = -(-height // num_strips)
    length = rows * width * bits // 8
    lengths = [min(length, len(body) - start) for start in range(0, len(body), length)]
    starts = [8 + start for start in range(0, len(body), length)]
    directory = 8 + len(body) + 8 * len(starts)
    lists = struct.pack(f"{order}{2 * len(starts)}I", *starts, *lengths)
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 274: orientation, 277: 1, 278: rows}
    entries = [(tag, 4, 1, value) for tag, value in tags.items()]
    for tag, values, place in ((273, starts, 8 + len(body)), (279, lengths, 8 + len(body) + 4 * len(starts))):
        entries.append((tag, 4, len(values), values[0] if len(values) == 1 else place))
    content = b"".join(struct.pack(f"{order}HHII", *entry) for entry in sorted(entries))
    head = (b"MM\0*" if is_big_endian else b"II*\0") + struct.pack(f"{order}I", directory)
    return head + body + lists + struct.pack(f"{order}H", len(entries)) + content + bytes(4)


def _create_tiffs() -> Iterator[Case]:
    kind = "TIFF"
    for is_big_endian in (False, True):
        way = "big-endian" if is_big_endian else "little-endian"
        for photometric in _TIFF_GRAYS:
            stored = _ROUGH if photometric else 255 - _ROUGH
            for bits, values in ((8, stored), (16, stored.astype(np.uint16) * 257)):
                data = write_tiff(values, bits=bits, photometric=photometric, is_big_endian=is_big_endian)
                # What Pillow does not know by a table of its own is refused.
                is_unknown = is_big_endian and (bits, photometric) == (16, 0)
                label = f"{bits} bits, {way}, {'black' if photometric else 'white'} is zero"
                yield _refuse(kind, label, data) if is_unknown else _show(kind, label, data, _ROUGH)
    twelve = (_ROUGH.astype(np.uint32) * 4095 + 127) // 255
    yield _show(kind, "12 bits", write_tiff(twelve, bits=12), _ROUGH)
    yield _show(kind, "3 strips", write_tiff(_ROUGH, num_strips=3), _ROUGH)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield _show(kind, compression, save(_ROUGH, "TIFF", compression=compression), _ROUGH)
        data = save(np.stack([_ROUGH] * 3, axis=2), "TIFF", "RGB", compression=compression)
        yield _show(kind, f"{compression} in RGB", data, _ROUGH)
        data = save(_ROUGH.astype(np.uint16) * 257, "TIFF", "I;16", compression=compression)
        yield _show(kind, f"{compression} of 16 bits", data, _ROUGH)
    for orientation in range(1, 9):
        stored = np.ascontiguousarray(turn(_ROUGH, orientation))
        data = write_tiff(stored, orientation=orientation)
        yield _show("turned by EXIF", f"TIFF, {orientation}", data, _ROUGH)
        deep = write_tiff(stored.astype(np.uint16) * 257, bits=16, orientation=orientation)
        yield _show("turned by EXIF", f"TIFF of 16 bits, {orientation}", deep, _ROUGH)
    for most in (4095, 16383):
        values = _ROUGH.astype(np.uint32) * most // int(_ROUGH.max())
        yield _refuse(kind, f"16 bits that end at {most}", write_tiff(values, bits=16))
    yield _refuse(kind, "floats", save(_ROUGH.astype(np.float32), "TIFF", "F"))
    yield _refuse(kind, "32 bits", save(_ROUGH.astype(np.int32), "TIFF", "I"))
    yield _refuse(kind, "JPEG inside", save(_ROUGH, "TIFF", compression="jpeg"))
    data = write_tiff(_ROUGH, num_strips=3)
    for end in (4, 8, 100, 8 + HEIGHT * WIDTH, len(data) - 40):
        yield _refuse("truncated", f"TIFF to {end}", data[:end])
    far = bytearray(write_tiff(_ROUGH))
    place = far.index(struct.pack("<HHI", 273, 4, 1)) + 8
    far[place : place + 4] = struct.pack("<I", len(far) - HEIGHT * WIDTH + 1)
    yield _refuse("truncated", "TIFF whose pixels end behind it", bytes(far))


# What is stored in another direction than it is shown, by EXIF

_EXIF_DAMAGED = b"Exif\0\0no TIFF header"


def write_exif(orientation) -> bytes:
    """Write a block of EXIF whose one tag is the orientation, as it is in PNG's eXIf chunk."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def turn(shown, orientation) -> np.ndarray:
    """Return what is stored of a shown [height, width]: EXIF says where its first row and its first column are."""
    return {
        2: shown[:, ::-1],  # top, right
        3: shown[::-1, ::-1],  # bottom, right
        4: shown[::-1],  # bottom, left
        5: shown.T,  # left, top
        6: shown.T[::-1],  # right, top
        7: shown.T[::-1, ::-1],  # right, bottom
        8: shown.T[:, ::-1],  # left, bottom
    }.get(orientation, shown)


def _create_turned() -> Iterator[Case]:
    for orientation in range(10):
        exif = write_exif(orientation)
        stored = turn(_ROUGH, orientation)
        data = write_png(8, 0, stored[:, :, None], before=_chunk(b"eXIf", exif))
        yield _show("turned by EXIF", f"PNG, {orientation}", data, _ROUGH)
        stored = Image.fromarray(np.ascontiguousarray(turn(SMOOTH, orientation)))
        stream = io.BytesIO()
        stored.save(stream, "JPEG", quality=95, exif=b"Exif\0\0" + exif)
        yield _show("turned by EXIF", f"JPEG, {orientation}", stream.getvalue(), SMOOTH, tolerance=8)
    data = write_gray_png(before=_chunk(b"eXIf", _EXIF_DAMAGED))
    yield _refuse("turned by EXIF", "PNG, damaged", data)


# What is cut off


def _create_truncated() -> Iterator[Case]:
    pixels = _ROUGH * np.uint32(0x01010101)
    bmps = {
        "8-bit BMP": write_gray_bmp(),
        "24-bit BMP": write_bmp(24, _ROUGH_RGB),
        "32-bit BMP": write_bmp(32, pixels, header_size=124, compression=3, masks=_MASKS),
        "RLE8 BMP": write_gray_bmp(compression=1, body=_compress_bmp(_ROUGH[::-1])),
    }
    for label, data in bmps.items():
        start = struct.unpack_from("<I", data, 10)[0]
        ends = {start - 1, start, start + 1, (start + len(data)) // 2, len(data) - 5}
        for end in sorted(ends | {1, 2, 10, 14, 18, 26, 30, 34, 53, 54}):
            yield _refuse("truncated", f"{label} to {end}", data[:end])
    pngs = {
        "gray PNG": write_gray_png(num_parts=3),
        "palette PNG": write_png(8, 3, _ROUGH[:, :, None], before=create_palette_chunk(8)),
        "interlaced PNG": write_gray_png(is_interlaced=True),
    }
    for label, data in pngs.items():
        for end, is_whole in _list_png_boundaries(data):
            outcome = EITHER if is_whole else REFUSED
            yield _show("truncated", f"{label} to {end}", data[:end], _ROUGH, outcome=outcome)
    for label, is_progressive in (("JPEG", False), ("progressive JPEG", True)):
        data = save(SMOOTH, "JPEG", progressive=is_progressive)
        for end in _list_jpeg_boundaries(data):
            yield _refuse("truncated", f"{label} to {end}", data[:end])
    yield _refuse("truncated", "to nothing", b"")


def _list_png_boundaries(data) -> Iterator[tuple[int, bool]]:
    """Yield every place where a chunk or a part of one starts, and whether all rows lie before it."""
    yield from ((1, False), (8, False))
    position, last = 8, data.rindex(b"IDAT") - 4
    rows_end = last + 8 + struct.unpack_from(">I", data, last)[0]
    while position < len(data):
        length = struct.unpack_from(">I", data, position)[0]
        ends = {position + offset for offset in (4, 8, 8 + length // 2, 8 + length, 12 + length)}
        yield from ((end, end >= rows_end) for end in sorted(ends) if end < len(data))
        position += 12 + length


def _list_jpeg_boundaries(data) -> list[int]:
    ends, position = [1, 2], 2
    while data[position + 1] != 0xDA:
        length = struct.unpack_from(">H", data, position + 2)[0]
        ends += [position + 2, position + 4, position + 2 + length]
        position += 2 + length
    return [*ends, position + 2, position + 10, (position + len(data)) // 2, len(data) - 40]


# What is no such image


def _create_foreign() -> Iterator[Case]:
    kind = "wrong magic"
    for label, data in (
        ("BMP", write_gray_bmp()),
        ("PNG", write_gray_png()),
        ("JPEG", save(SMOOTH, "JPEG")),
    ):
        yield _refuse(kind, f"first byte of a {label}", bytes([data[0] ^ 1]) + data[1:])
        yield _refuse(kind, f"first two bytes of a {label} swapped", data[1::-1] + data[2:])
        yield _refuse(kind, f"a byte before a {label}", b"\0" + data)
    yield _refuse(kind, "PNG through a text mode", write_gray_png().replace(b"\r\n", b"\n"))
    yield _refuse(kind, "BMP without its file header", write_gray_bmp()[14:])
    for extension in ["GIF", "WEBP", "PPM", "ICO", "EPS", "PDF", "TGA", "PCX", "SGI", "JPEG2000", "DIB"]:
        yield _refuse(kind, extension, save(SMOOTH, extension))
    second = Image.fromarray(255 - SMOOTH)
    for extension in ("GIF", "TIFF", "WEBP"):
        data = save(SMOOTH, extension, save_all=True, append_images=[second])
        yield _refuse("animated", extension, data)
    for label, data in (
        ("text", b"not an image"),
        ("text in UTF-16", "not an image".encode("utf-16")),
        ("HTML", b"<!DOCTYPE html><title>404</title>"),
        ("zip", b"PK\x03\x04" + bytes(40)),
        ("program", b"\x7fELF" + bytes(60)),
        ("zeros", bytes(10_000)),
        ("ones", b"\xff" * 10_000),
        ("newlines", b"\n" * 100),
        ("noise", np.random.default_rng(0).bytes(10_000)),
        ("pointer of git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 39158\n"),
    ):
        yield _refuse(kind, label, data)


# Headers that claim more than there is


def _create_bombs() -> Iterator[Case]:
    kind = "huge size in the header"
    sizes = (
        (LARGE_HEIGHT, LARGE_WIDTH),
        (LARGE_WIDTH, LARGE_HEIGHT),
        (10_000, 10_000),
        (30_000, 30_000),
        (2**31 - 1, 2**31 - 1),
    )
    for size in sizes:
        for bits in (1, 8, 24, 32):
            palette = create_palette(8)[: 2**bits] if bits < 9 else None
            data = write_bmp(bits, _ROUGH, size=size, body=bytes(1000), palette=palette)
            yield _refuse(kind, f"BMP of {bits} bits, {size[1]} x {size[0]}", data)
        for color_type, num_samples in ((0, 1), (6, 4)):
            samples = np.repeat(_ROUGH[:, :, None], num_samples, axis=2)
            data = write_png(8, color_type, samples, height=size[0], width=size[1])
            yield _refuse(kind, f"PNG of type {color_type}, {size[1]} x {size[0]}", data)
    jpeg = save(SMOOTH, "JPEG")
    for size in ((65535, 65535), (10_000, 10_000)):
        start = jpeg.index(b"\xff\xc0") + 5
        data = jpeg[:start] + struct.pack(">HH", *size) + jpeg[start + 4 :]
        yield _refuse(kind, f"JPEG, {size[1]} x {size[0]}", data)
    for label, size in (
        ("no width", (HEIGHT, 0)),
        ("no height", (0, WIDTH)),
        ("a negative width", (HEIGHT, -WIDTH)),
        ("the most negative height", (-(2**31), WIDTH)),
        ("the most negative width", (HEIGHT, -(2**31))),
    ):
        yield _refuse("impossible size", f"BMP of {label}", write_gray_bmp(size=size))
    for label, header in (
        ("no width", {"width": 0}),
        ("no height", {"height": 0}),
        ("2**32", {"width": 2**32 - 1}),
    ):
        yield _refuse("impossible size", f"PNG of {label}", write_gray_png(**header))
    for by in (1, 100):
        data = write_gray_png(height=HEIGHT + by)
        yield _refuse("impossible size", f"PNG of {by} rows too few", data)
    rows = _pack_png_rows(_ROUGH[:, :, None], 8)
    data = write_gray_png(stream=zlib.compress(rows + bytes(30_000_000)))
    yield _show("compressed bomb", "rows", data, _ROUGH, outcome=EITHER)
    zeros = zlib.compress(bytes(30_000_000))
    for name in (b"zTXt", b"iCCP"):
        data = write_gray_png(before=_chunk(name, b"Title\0\0" + zeros))
        yield _show("compressed bomb", name.decode(), data, _ROUGH, outcome=EITHER)


# What contradicts itself


def _create_damaged_bmps() -> Iterator[Case]:
    kind = "damaged BMP"
    for offset in (1, 13, 14, 53, 55, 100, 1077, 2000, 20_000, 2**32 - 1):
        yield _refuse(kind, f"pixels at {offset}", write_gray_bmp(offset=offset))
    for bits in (0, 2, 3, 5, 7, 9, 12, 48, 64, 65535):
        yield _refuse(kind, f"{bits} bits", write_gray_bmp(stated_bits=bits))
    for compression in (3, 4, 5, 6, 11, 99, 2**32 - 1):
        yield _refuse(kind, f"compression {compression}", write_gray_bmp(compression=compression))
    for header_size in (0, 3, 13, 39, 41, 200, 2**31, 2**32 - 1):
        yield _refuse(kind, f"header of {header_size}", write_gray_bmp(stated_header_size=header_size))
    for num_colors in (3, 100):
        data = write_gray_bmp(palette=create_palette(8)[:num_colors])
        yield _refuse(kind, f"{num_colors} of 256 colors", data)
    colors = [index * 0x010203 & 0xFFFFFF for index in range(100)]
    yield _refuse(kind, "100 of 256 colors, not gray", write_gray_bmp(palette=colors))
    for num_colors in (70_000, 2**31):
        yield _refuse(kind, f"{num_colors} colors", write_gray_bmp(num_colors=num_colors))
    for bits in (4, 8):
        data = write_bmp(bits, _ROUGH & 1, palette=[0, 0xFFFFFF])
        yield _refuse("BMP that Pillow reads wrongly", f"two colors at {bits} bits", data)
    data = write_bmp(4, _ROUGH >> 4, palette=[0x010101 * value for value in range(16)])
    yield _refuse("BMP that Pillow reads wrongly", "dark grays at 4 bits", data)
    masks = (0xFF0, 0xFF000, 0xFF00000)
    data = write_bmp(32, _ROUGH_RGB, compression=3, masks=masks, header_size=108)
    yield _refuse(kind, "other masks", data)


def _create_damaged_pngs() -> Iterator[Case]:
    kind = "damaged PNG"
    gray = _ROUGH[:, :, None]
    for is_interlaced in (False, True):
        way = "interlaced" if is_interlaced else "plain"
        for num_bytes in (0, 1, 50, 97, 98, 2000, 97 * 50, 97 * 102, 9900):
            data = write_gray_png(is_interlaced=is_interlaced, num_bytes=num_bytes)
            yield _refuse(kind, f"{num_bytes} bytes of rows, {way}", data)
    whole = write_gray_png()
    bad_depths = {0: (0, 3, 32), 2: (1, 4), 3: (16,), 4: (1,), 6: (2,), 1: (8,), 5: (8,), 7: (8,)}
    for color_type, depths in bad_depths.items():
        for depth in depths:
            header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color_type, 0, 0, 0)
            data = whole[:8] + _chunk(b"IHDR", header) + whole[33:]
            yield _refuse(kind, f"{depth} bits of type {color_type}", data)
    yield _refuse(kind, "no palette", write_png(8, 3, gray))
    for bits in (1, 4):
        data = write_png(8, 3, gray, before=create_palette_chunk(bits))
        yield _refuse(kind, f"{2**bits} of 256 colors", data)
    yield _refuse(kind, "interlacing 2", write_gray_png(interlacing=2))
    yield _refuse(kind, "filtering 1", write_gray_png(filtering=1))
    yield _show(kind, "compression 1", write_gray_png(compression=1), _ROUGH, outcome=EITHER)
    rows = bytearray(_pack_png_rows(gray, 8))
    rows[97 * 50] = 9
    yield _refuse(kind, "filter 9", write_gray_png(stream=zlib.compress(bytes(rows))))
    yield _refuse(kind, "no zlib", write_gray_png(stream=b"not compressed"))
    yield _refuse(kind, "no header", whole[:8] + whole[33:])
    second = _chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 50, 8, 0, 0, 0, 0))
    yield _refuse(kind, "two headers", whole[:33] + second + whole[33:])
    yield _refuse(kind, "header of 5 bytes", whole[:8] + _chunk(b"IHDR", bytes(5)) + whole[33:])
    yield _refuse(kind, "a chunk of 2 GiB", whole[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + whole[33:])
    yield _refuse(kind, "no rows", whole[:33] + _chunk(b"IEND", b""))
    generator = np.random.default_rng(0)
    for position in sorted(generator.choice(len(whole), 40, replace=False).tolist()):
        data = whole[:position] + bytes([whole[position] ^ (1 << position % 8)]) + whole[position + 1 :]
        yield _show("PNG with a flipped bit", f"in byte {position}", data, _ROUGH, outcome=EITHER)


# What shows nothing


def _create_blank() -> Iterator[Case]:
    for value in (0, 160, 255):
        pixels = np.full((HEIGHT, WIDTH), value, np.uint8)
        data = write_bmp(8, pixels, palette=create_palette(8))
        yield _refuse("blank", f"BMP of {value}", data)
        yield _refuse("blank", f"PNG of {value}", write_png(8, 0, pixels[:, :, None]))
    framed = np.zeros((HEIGHT, WIDTH), np.uint8)
    framed[0], framed[1] = 160, 105
    data = write_png(8, 0, framed[:, :, None])
    yield _show("blank", "frame around nothing", data, framed, outcome=REFUSED, pair_outcome=READ)
    for side, columns in (("left", slice(None, WIDTH // 2)), ("right", slice(WIDTH // 2, None))):
        pixels = _ROUGH.copy()
        pixels[:, columns] = 0
        data = write_png(8, 0, pixels[:, :, None])
        yield _show("blank", f"{side} half", data, pixels, outcome=READ, pair_outcome=REFUSED)
    for height, width in ((1, 1), (1, 2), (2, 2), (6, 6), (6, 100)):
        pixels = _ROUGH[:height, -width:] if width <= WIDTH else np.tile(_ROUGH, 2)[:height, :width]
        pair_outcome = READ if height > 1 and width % 2 == 0 else REFUSED
        data = write_png(8, 0, np.ascontiguousarray(pixels)[:, :, None])
        label = f"{width} x {height}"
        yield _show("small", label, data, pixels, outcome=REFUSED, pair_outcome=pair_outcome)
    for height, width in ((8, 8), (7, 97), (97, 9), (103, 95)):
        pixels = np.ascontiguousarray(np.tile(_ROUGH, 2)[:height, :width])
        data = write_png(8, 0, pixels[:, :, None])
        outcome = REFUSED if width % 2 else READ
        yield _show("small", f"{width} x {height}", data, pixels, pair_outcome=outcome)


# What is no plain file


def _create_entries() -> Iterator[Case]:
    data = write_gray_png()

    def link(target):
        return lambda path: path.symlink_to(target)

    def link_out(path):
        outside = path.parent.parent / f"outside of {path.parent.name}"
        outside.mkdir(exist_ok=True)
        (outside / "image").write_bytes(data)
        path.symlink_to(outside / "image")

    def link_to_hidden(path):
        (path.parent / ".hidden").write_bytes(data)
        path.symlink_to(".hidden")

    def make_socket(path):
        with socket.socket(socket.AF_UNIX) as server:
            # A socket's name is short; its folder is not.
            before = os.getcwd()
            os.chdir(path.parent)
            try:
                server.bind(path.name[:100])
            finally:
                os.chdir(before)

    def make_sparse(path):
        path.write_bytes(data)
        os.truncate(path, 2**40)

    yield Case("link", "out of the folder", link_out, _ROUGH, READ, READ)
    yield Case("link", "inside the folder", link_to_hidden, _ROUGH, READ, READ)
    for label, target in (
        ("to nowhere", "nowhere"),
        ("to itself", "."),
        ("to the folder above", ".."),
        ("to a device without end", "/dev/zero"),
        ("to a device without content", "/dev/null"),
        ("to a terminal", "/dev/tty"),
        ("to a system file", "/proc/self/environ"),
    ):
        yield Case("link", label, link(target), None, REFUSED, REFUSED)
    yield Case("link", "in a ring", lambda path: path.symlink_to(path.name), None, REFUSED, REFUSED)
    yield Case("no file", "folder", lambda path: path.mkdir(), None, REFUSED, REFUSED)
    yield Case("no file", "pipe", os.mkfifo, None, REFUSED, REFUSED)
    yield Case("no file", "socket", make_socket, None, REFUSED, REFUSED)
    yield Case("huge file", "sparse", make_sparse, None, REFUSED, REFUSED)


def write_corpus(folder: pathlib.Path, name_file: Callable[[int, Case], str]) -> dict[str, Case]:
    """Write all cases into one folder.

    Args:
      folder: an empty folder, with room beside it for what links lead to.
      name_file: (number from 0, case) -> name in the folder.

    Returns:
      Name -> case.
    """
    corpus = {name_file(index, case): case for index, case in enumerate(create_cases())}
    for name, case in corpus.items():
        case.create(folder / name)
    return corpus
