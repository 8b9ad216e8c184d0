"""Owns what a run writes for people: metrics as CSV and TensorBoard events, and image grids.

Does not own when it is time (`cadence.py`) or checkpoints (`checkpointing.py`).
"""

import csv
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

METRICS_FILENAME = "metrics.csv"


class Reporter:
    """Writes one run's metrics and pictures; a continued run goes on in the same files.

    Attributes:
      workdir: the run's folder.
    """

    def __init__(self, workdir: str, *, start_step: int, is_active: bool = True):
        """Open the files.

        Args:
          workdir: the run's folder.
          start_step: completed steps; what an interrupted run wrote beyond them is taken away.
          is_active: False makes every method do nothing, for processes other than the main one.
        """
        self.workdir = workdir
        self._is_active = is_active
        if not is_active:
            return
        os.makedirs(workdir, exist_ok=True)
        self._path = os.path.join(workdir, METRICS_FILENAME)
        self._names = _truncate_csv(self._path, start_step)
        from tensorboardX import SummaryWriter  # slow to import: it imports PyTorch where there is one

        self._events = SummaryWriter(os.path.join(workdir, "events"), purge_step=start_step + 1)

    def write_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Write one row.

        Args:
          step: completed steps.
          values: name -> number; the same names every time.
        """
        if not self._is_active:
            return
        if self._names is None:
            self._names = ["step", *sorted(values)]
            _append_row(self._path, self._names)
        _append_row(self._path, [step, *(repr(float(values[name])) for name in self._names[1:])])
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()

    def write_images(self, step: int, name: str, rows: Sequence[Sequence[np.ndarray]]) -> None:
        """Write a grid of images as `samples/NAME.png` and to TensorBoard.

        Args:
          step: completed steps.
          name: the file's name without its ending.
          rows: images uint8 [height, width, channels], all of one shape.
        """
        if not self._is_active:
            return
        grid = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
        folder = os.path.join(self.workdir, "samples")
        os.makedirs(folder, exist_ok=True)
        save_png(os.path.join(folder, f"{name}.png"), grid)
        self._events.add_image("samples", grid, step, dataformats="HWC")

    def close(self) -> None:
        """Close the files."""
        if self._is_active:
            self._events.close()


def save_png(path: str, image: np.ndarray) -> None:
    """Write a PNG file, which appears whole or not at all.

    Args:
      path: where to.
      image: uint8 [height, width, 1 or 3].
    """
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(f"{path}.tmp", format="PNG")
    os.replace(f"{path}.tmp", path)


def _append_row(path: str, row: Sequence) -> None:
    with open(path, "a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(row)


def _truncate_csv(path: str, last_step: int) -> list[str] | None:
    """Drop the rows beyond `last_step`; return the column names, or None for a new file."""
    if not os.path.exists(path):
        return None
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        return None
    names = rows[0]
    # A row that was being written when the run was killed is short.
    kept = [row for row in rows[1:] if len(row) == len(names) and int(row[0]) <= last_step]
    with open(f"{path}.tmp", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *kept])
    os.replace(f"{path}.tmp", path)
    return names
