"""Owns the protocol's line 10: whether prints improve a recognizer, by results of `launch.measure_recognition`."""

import math

from fpgan_jax.evaluation.recognition.comparisons import FingerRow
from fpgan_jax.evaluation.recognition.table import AUGMENTATION, EVERY_FINGER, GOAL, Results
from fpgan_jax.evaluation.report import names, protocol
from fpgan_jax.evaluation.report.protocol import Found, Numbers, Question
from fpgan_jax.tables.csv_rows import read_rows

_MEASURE = "tar_1"
_GOOD = 0.08
_TEXT = "Use: what a recognizer gains over classical augmentation, TAR at FAR 1% on sensors never seen"
_NO_RESULTS = "give --recognition, the results.csv of launch.measure_recognition"


def create_question(results_csv: str) -> Question:
    """Create the question; without results it answers that there are none.

    Args:
      results_csv: of `launch.measure_recognition`, with arms named as the sets of prints; "" for none.

    Raises:
      UserError: the file is not one.
    """
    results = Results(read_rows(results_csv, FingerRow, "measure_recognition")) if results_csv else None

    def find(numbers: Numbers, collection: str) -> Found:
        del numbers
        if results is None:
            return Found(math.nan, names.NO_VALUE, reason=_NO_RESULTS)
        real_text = _write(results, EVERY_FINGER) if EVERY_FINGER in results.arms else ""
        if collection not in results.arms or AUGMENTATION not in results.arms:
            return Found(math.nan, names.NO_VALUE, real_text, f"no recognizer was trained on {collection}")
        found = results.compare(collection, AUGMENTATION, results.test_sets[-1], _MEASURE)
        return Found(found.mean, _write(results, collection), real_text, is_among_real=found.low > 0)

    return Question(
        _TEXT,
        (protocol.MORE_IMPRESSIONS, protocol.NEW_FINGERS),
        find,
        f"{100 * GOAL:g} points, interval above 0",
        f"{100 * _GOOD:g} points",
        lambda found: (
            found.value >= GOAL and found.is_among_real,
            found.value >= _GOOD and found.is_among_real,
        ),
        number=10,
    )


def _write(results: Results, arm: str) -> str:
    found = results.compare(arm, AUGMENTATION, results.test_sets[-1], _MEASURE)
    if math.isnan(found.mean):
        return names.NO_VALUE
    return f"{100 * found.mean:+.1f} points ({100 * found.low:.1f} to {100 * found.high:.1f})"
