"""Owns which comparisons of impressions test a matcher: genuine ones, and impostors of each pair of fingers."""

import itertools
import math

import numpy as np

MAX_IMPOSTORS = 5000  # more cost time and change little


def choose_genuine(fingers: np.ndarray) -> np.ndarray:
    """Choose every pair of impressions of one finger: int [n], each print's finger, to indices int64 [p, 2]."""
    first, second = np.triu_indices(len(fingers), 1)
    is_one = fingers[first] == fingers[second]
    return np.stack([first[is_one], second[is_one]], axis=1)


def choose_impostors(fingers: np.ndarray, max_pairs: int = MAX_IMPOSTORS) -> np.ndarray:
    """Choose impostor comparisons, equally many of each pair of fingers, from every impression in turn.

    Args:
      fingers: int [n]; each print's finger.
      max_pairs: of comparisons, though each pair of fingers has at least one.

    Returns:
      Indices int64 [p, 2].
    """
    groups = [np.flatnonzero(fingers == finger) for finger in np.unique(fingers)]
    num_finger_pairs = math.comb(len(groups), 2)
    num_each = max(1, max_pairs // max(1, num_finger_pairs))
    pairs = []
    for number, (first, second) in enumerate(itertools.combinations(groups, 2)):
        # Impression i against impression i + k: each pair once, and different ones for the next two fingers.
        every = [
            (first[i], second[(i + k) % len(second)]) for k in range(len(second)) for i in range(len(first))
        ]
        chosen = [(number + step) % len(every) for step in range(min(num_each, len(every)))]
        pairs += [every[place] for place in chosen]
    return np.array(pairs, np.int64).reshape(-1, 2)
