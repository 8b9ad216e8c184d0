"""Owns the matchers that a config may name, and access to the second one, the package fingerprint-recognition.

It is of another kind than NIST's (`nist_tools.py`): it enhances ridges by Gabor filters, takes minutiae of the thinned
ridges, aligns prints by descriptors of the ridges around them, and counts the minutiae that then coincide. It takes
half a second per print.
"""

import functools
import importlib.util
from collections.abc import Sequence

import numpy as np

from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import MatchingTool, Minutiae, Template, ToolError

MATCHER_TITLES = {"nbis": "NBIS", "fingerprint_recognition": "Fingerprint recognition"}


class FingerprintRecognition:
    """The package fingerprint-recognition."""

    name = "fingerprint_recognition"

    def extract(self, image: np.ndarray) -> Template:
        """Find the minutiae of a print, uint8 [height, width], at 500 ppi."""
        package = _import_package()
        # The package divides by the standard deviation, which is 0 in a blank print.
        features = package.extract_features(np.ascontiguousarray(image)) if np.ptp(image) else None
        found = features.minutiae if features else ()
        minutiae = Minutiae(
            np.array([minutia.x for minutia in found], np.int32),
            np.array([minutia.y for minutia in found], np.int32),
            np.array([-minutia.angle for minutia in found], np.float64) % (2 * np.pi),
            np.array([minutia.kind == package.MinutiaKind.ENDING for minutia in found], bool),
            np.ones(len(found)),
        )
        return Template(minutiae, features)

    def compare(self, first: Template, second: Template) -> float:
        """Count the minutiae that coincide once the prints are aligned; the lower of both directions."""
        if first.handle is None or second.handle is None:
            return 0.0
        return float(_import_package().match_features(first.handle, second.handle).score)


def find_tool(name: str) -> MatchingTool:
    """Find the matcher with a name of `config.fields.MATCHERS`.

    Raises:
      ToolError: it is not installed.
    """
    if name == FingerprintRecognition.name:
        _import_package()
        return FingerprintRecognition()
    return nist_tools.find_matching_tool()


def find_matchers(names: Sequence[str]) -> dict[str, Matcher | ToolError]:
    """Find the matchers of config.evaluation.matchers: name -> the matcher, or why it is missing."""
    found: dict[str, Matcher | ToolError] = {}
    for name in names:
        try:
            found[name] = Matcher(find_tool(name))
        except ToolError as error:
            found[name] = error
    return found


@functools.cache
def _import_package():
    if importlib.util.find_spec("fingerprint_recognition") is None:
        raise ToolError("fingerprint-recognition is not installed; pip install -e '.[second-matcher]'")
    import fingerprint_recognition

    return fingerprint_recognition
