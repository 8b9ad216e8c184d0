"""Owns which comparisons of fingers x impressions try a matcher: genuine ones, and impostors of each two fingers.

Does not compare (`matching.py`) or say what the scores are worth (`calibration.py`).
"""

import itertools
import math

import numpy as np

# Impostor comparisons; more cost time and change little.
MAX_IMPOSTORS = 5000


def choose_genuine(fingers: np.ndarray) -> np.ndarray:
    """Choose every two impressions of one finger: int [n] to places int64 [p, 2]."""
    first, second = np.triu_indices(len(fingers), 1)
    is_one = fingers[first] == fingers[second]
    return np.stack([first[is_one], second[is_one]], axis=1)


def choose_impostors(fingers: np.ndarray, max_pairs: int = MAX_IMPOSTORS) -> np.ndarray:
    """Choose impostor comparisons, as many of each two fingers, from every impression in turn.

    Args:
      fingers: int [n]; of each print, whose it is.
      max_pairs: comparisons; each two fingers have one at least.

    Returns:
      Places int64 [p, 2].
    """
    groups = [np.flatnonzero(fingers == finger) for finger in np.unique(fingers)]
    num_finger_pairs = math.comb(len(groups), 2)
    num_each = max(1, max_pairs // max(1, num_finger_pairs))
    pairs = []
    for number, (first, second) in enumerate(itertools.combinations(groups, 2)):
        # Impression i against impression i + k: each two once, and other ones for the next two fingers.
        every = [
            (first[i], second[(i + k) % len(second)]) for k in range(len(second)) for i in range(len(first))
        ]
        chosen = [(number + step) % len(every) for step in range(min(num_each, len(every)))]
        pairs += [every[place] for place in chosen]
    return np.array(pairs, np.int64).reshape(-1, 2)
