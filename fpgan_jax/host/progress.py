"""Owns how long work shows that it goes on: a line with the rate and the time left.

Does not own what is logged to files; `training/reporting.py` does.
"""

import sys

from tqdm import tqdm


def create_progress(
    total: int, label: str, unit: str, *, initial: int = 0, unit_scale=False, is_shown: bool = True
) -> tqdm:
    """Create a progress line on standard error.

    Args:
      total: how many units make the work.
      label: what is being done.
      unit: the name of one unit, for the rate.
      initial: units done before.
      unit_scale: factor from units to what the rate counts, as tqdm's.
      is_shown: False shows nothing, for processes that work beside one that shows its own.

    Returns:
      A `tqdm` bar: call `update(n)` and `close()`, or use it as a context manager.
    """
    # In a log file each refresh is a line of its own: fewer of them.
    is_terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=label,
        unit=f" {unit}",
        initial=initial,
        unit_scale=unit_scale,
        mininterval=0.5 if is_terminal else 10.0,
        dynamic_ncols=is_terminal,
        disable=not is_shown or total == 0,
    )


def print_line(text: str) -> None:
    """Print a line on standard error, above the progress line if there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
