"""Folders of procedural prints, with SOCOFing's own names and headers, so that everything downstream reads both."""

import dataclasses
import json
import multiprocessing
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from fpgan_jax.data.procedural.alterations import DIFFICULTIES, alter_impression
from fpgan_jax.data.procedural.finger import SYNTHESIS_VERSION, choose_gender, create_finger
from fpgan_jax.data.procedural.impressions import BAND_WIDTH, SIZES, PrintSize, create_impression
from fpgan_jax.data.socofing.filenames import ALTERATIONS, FINGERS, HANDS, PrintName, parse_filename
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.progress import create_progress
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole

MANIFEST_NAME = "MANIFEST.json"


def _encode_real(image: np.ndarray, print_size: PrintSize) -> bytes:
    """Encode a BMP with SOCOFing's header of real files: BITMAPV5, sRGB; 32-bit bit fields or 24-bit."""
    channels = print_size.bits_per_pixel // 8
    pixels = np.repeat(image[::-1, :, None], channels, axis=2)
    if channels == 4:
        pixels[..., 3] = 0
        # The black band is transparent in SOCOFing's files.
        pixels[BAND_WIDTH:, : print_size.width - BAND_WIDTH, 3] = 255
    rows = pixels.reshape(print_size.height, -1)
    data = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    offset = 14 + 124
    header = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    size, resolution = (print_size.width, print_size.height), [print_size.pixels_per_meter] * 2
    pixel_format = (1, print_size.bits_per_pixel, 3 if channels == 4 else 0)
    header += struct.pack("<IiiHHIIiiII", 124, *size, *pixel_format, len(data), *resolution, 0, 0)
    header += struct.pack("<IIII4s", 0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000, b"BGRs")
    # The end points of sRGB in 2.30 fixed point, as the program that wrote SOCOFing's files rounds them.
    header += struct.pack(
        "<9I",
        *(0x28F5C280, 0x151EB860, 0x01EB8520, 0x13333340, 0x26666680),
        *(0x06666640, 0x099999A0, 0x03D70A3C, 0x328F5C24),
    )
    header += struct.pack("<3I4I", 0, 0, 0, 4, 0, 0, 0)
    return header + data


def _encode_altered(image: np.ndarray, print_size: PrintSize) -> bytes:
    """Encode a BMP with SOCOFing's header of altered files: 8-bit indices into a gray palette."""
    data = np.pad(image[::-1], ((0, 0), (0, -print_size.width % 4))).tobytes()
    offset = 14 + 40 + 1024
    header = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    size, resolution = (print_size.width, print_size.height), (3780, 3780)
    header += struct.pack("<IiiHHIIiiII", 40, *size, 1, 8, 0, 0, *resolution, 256, 256)
    levels = np.arange(256, dtype=np.uint8)
    palette = np.stack([levels, levels, levels, np.full(256, 255, np.uint8)], axis=1).tobytes()
    return header + palette + data


def _file_bytes(print_size: PrintSize, is_altered: bool) -> int:
    bits, offset = (8, 1078) if is_altered else (print_size.bits_per_pixel, 138)
    return offset + print_size.height * ((print_size.width * bits // 8 + 3) // 4 * 4)


@dataclasses.dataclass(frozen=True)
class _FingerJob:
    """What a worker needs to write one finger's files."""

    out_dir: str
    person: int
    hand: str
    finger: str
    seed: int
    size: str
    num_impressions: int
    altered: bool

    def files(self) -> list[tuple[str, str, int, str, str]]:
        """Folder, file name, impression, alteration and difficulty of each file; "" if not altered."""
        name = PrintName(self.person, self.hand, self.finger, choose_gender(self.seed, self.person))
        files = [("Real", name.to_filename(), 0, "", "")]
        for impression in range(1, self.num_impressions):
            files.append((f"Impressions/Impression-{impression + 1}", name.to_filename(), impression, "", ""))
        for difficulty in DIFFICULTIES if self.altered else ():
            for alteration in ALTERATIONS[1:]:
                altered_name = dataclasses.replace(name, alteration=alteration).to_filename()
                files.append((f"Altered/Altered-{difficulty}", altered_name, 0, alteration, difficulty))
        return files


def _write_finger(job: _FingerJob) -> int:
    """Write the finger's missing files; return how many."""
    print_size = SIZES[job.size]
    missing = []
    for file in job.files():
        path = pathlib.Path(job.out_dir, file[0], file[1])
        if not path.is_file() or path.stat().st_size != _file_bytes(print_size, bool(file[3])):
            missing.append((path, *file[2:]))
    if not missing:
        return 0
    finger = create_finger(job.seed, job.person, hand=job.hand, finger=job.finger)
    impressions = {
        impression: create_impression(finger, impression, size=job.size)
        for impression in {impression for _, impression, _, _ in missing}
    }
    for path, impression, alteration, difficulty in missing:
        image = impressions[impression]
        if alteration:
            content = _encode_altered(alter_impression(image, finger, alteration, difficulty), print_size)
        else:
            content = _encode_real(image, print_size)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path, "wb") as opened:
            opened.write(content)
    return len(missing)


def _claim_folder(out_dir: pathlib.Path, seed: int, size: str) -> None:
    """Check that the folder is empty or holds prints of this seed, size and version, and write its manifest."""
    manifest = {
        "made_by": "fpgan_jax procedural prints",
        "version": SYNTHESIS_VERSION,
        "seed": seed,
        "size": size,
    }
    if out_dir.exists() and not out_dir.is_dir():
        raise UserError(f"{out_dir}: is a file; name a folder")
    manifest_path = out_dir / MANIFEST_NAME
    if manifest_path.is_file():
        found = read_json(manifest_path)
        if found != manifest:
            raise UserError(
                f"{manifest_path}: the folder was made with {found}, not {manifest}; use another folder"
            )
    for path in sorted(out_dir.rglob("*")) if out_dir.is_dir() else ():
        is_foreign = not path.is_dir() and not any(map(is_leftover, path.relative_to(out_dir).parts))
        if is_foreign and not _is_own_file(path.relative_to(out_dir), seed, manifest_path.is_file()):
            raise UserError(f"{path}: was not written by this command; use an empty folder")
    out_dir.mkdir(parents=True, exist_ok=True)
    with write_whole(manifest_path) as file:
        file.write(json.dumps(manifest, indent=2) + "\n")


def _is_own_file(path: pathlib.PurePath, seed: int, has_manifest: bool) -> bool:
    filename = path.name.removesuffix(TEMPORARY_ENDING)
    folder = path.parent.as_posix()
    if folder == ".":
        return filename == MANIFEST_NAME
    try:
        name = parse_filename(filename)
    except UserError:
        return False
    is_altered = folder in {f"Altered/Altered-{difficulty}" for difficulty in DIFFICULTIES}
    if not (is_altered or folder == "Real" or folder.startswith("Impressions/Impression-")):
        return False
    return (
        has_manifest
        and is_altered == (name.alteration != "none")
        and name.gender == choose_gender(seed, name.person)
    )


def parse_fingers(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Parse names `<hand>_<finger>`, for example "Right_index", into (hand, finger); "all" alone means all ten.

    Raises:
      UserError: a name is not of that form.
    """
    if tuple(names) == ("all",):
        return tuple((hand, finger) for hand in HANDS for finger in FINGERS)
    fingers = []
    for name in names:
        hand, _, finger = name.partition("_")
        if hand not in HANDS or finger not in FINGERS:
            raise UserError(f"finger {name!r}: must be <hand>_<finger> of {HANDS} and {FINGERS}, or all")
        fingers.append((hand, finger))
    return tuple(fingers)


def write_prints(
    out_dir: str | os.PathLike,
    *,
    num_persons: int,
    hands_and_fingers: Sequence[tuple[str, str]] = (("Right", "index"),),
    num_impressions: int = 1,
    altered: bool = True,
    seed: int = 0,
    size: str = "96x103",
    num_workers: int = 1,
) -> int:
    """Write procedural prints in SOCOFing's folders, names, sizes and BMP form.

    Existing files are kept, so an interrupted call continues where it was, and a larger `num_persons` adds persons.

    Args:
      out_dir: folder; new, empty, or written by this function with the same seed and size.
      num_persons: persons 1 to this.
      hands_and_fingers: (hand, finger) pairs of each person.
      num_impressions: impressions of each finger; the first goes to `Real/`, others, which SOCOFing does not have, to
        `Impressions/Impression-2/` and so on.
      altered: whether to write the three altered versions of the first impression in three difficulties.
      seed: of the whole set, not negative.
      size: one of `SIZES`.
      num_workers: processes.

    Returns:
      Number of files written.

    Raises:
      UserError: an argument is out of range, or the folder holds files with another origin or other settings.

    Source: file layout of Shehu et al. 2018, arXiv:1807.10609, section 3; differs in: every finger has every
    alteration in every difficulty.
    """
    fingers = parse_fingers([f"{hand}_{finger}" for hand, finger in hands_and_fingers])
    if size not in SIZES:
        raise UserError(f"size {size!r}: must be one of {tuple(SIZES)}")
    for name, value, least in (
        ("num_persons", num_persons, 1),
        ("num_impressions", num_impressions, 1),
        ("seed", seed, 0),
        ("num_workers", num_workers, 1),
        ("number of fingers", len(fingers), 1),
    ):
        if value < least:
            raise UserError(f"{name} {value}: must be at least {least}")
    out_dir = pathlib.Path(out_dir)
    _claim_folder(out_dir, seed, size)
    jobs = [
        _FingerJob(str(out_dir), person, hand, finger, seed, size, num_impressions, altered)
        for person in range(1, num_persons + 1)
        for hand, finger in fingers
    ]
    num_written = 0
    with create_progress(len(jobs), "making prints", "fingers") as progress:
        for count in _write_fingers(jobs, num_workers):
            num_written += count
            progress.update()
    return num_written


def _write_fingers(jobs: Sequence[_FingerJob], num_workers: int) -> Iterator[int]:
    if num_workers == 1:
        yield from map(_write_finger, jobs)
        return
    # Fork is unsafe beside the threads that JAX or TensorFlow may have started in this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        yield from pool.map(_write_finger, jobs)
