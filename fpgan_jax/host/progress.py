"""Owns the display of progress: a line with the rate and the time left."""

import sys

from tqdm import tqdm


def create_progress(total: int, label: str, unit: str, *, initial: int = 0, is_shown: bool = True) -> tqdm:
    """Create a progress line on standard error.

    Args:
      unit: the name of one unit, for the rate.
      initial: units done before.
      is_shown: False shows nothing, for processes that work beside one that shows its own.
    """
    # In a log file each refresh is a new line, so refresh rarely.
    is_terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=label,
        unit=f" {unit}",
        initial=initial,
        mininterval=0.5 if is_terminal else 10.0,
        dynamic_ncols=is_terminal,
        disable=not is_shown or total == 0,
    )


def print_line(text: str) -> None:
    """Print a line on standard error, above the progress line if there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
