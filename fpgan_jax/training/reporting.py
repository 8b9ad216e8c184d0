"""Owns what a run writes for people: metrics as CSV and TensorBoard events, image grids, and warnings."""

import contextlib
import csv
import os
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole

METRICS_FILENAME = "metrics.csv"
WARNINGS_FILENAME = "warnings.csv"
VALIDATION_FILENAME = "validation.csv"


class Reporter:
    """Writes one run's metrics and pictures; a continued run appends to the same files.

    On a full disk the run continues: rows of metrics are written with the next one, a picture is left out.
    """

    def __init__(self, workdir: str, *, start_step: int, is_active: bool = True):
        """Open the files.

        Args:
          start_step: completed steps; rows of later steps, from an interrupted run, are removed.
          is_active: False makes every method do nothing, for processes other than the main one.
        """
        self.workdir = workdir
        self._is_active = is_active
        if not is_active:
            return
        os.makedirs(workdir, exist_ok=True)
        self._path = os.path.join(workdir, METRICS_FILENAME)
        self._names = _truncate_csv(self._path, start_step)
        self._warnings_path = os.path.join(workdir, WARNINGS_FILENAME)
        _truncate_csv(self._warnings_path, start_step)
        self._validation_path = os.path.join(workdir, VALIDATION_FILENAME)
        _truncate_csv(self._validation_path, start_step)
        self._warned = {row["warning"] for row in _read_rows(self._warnings_path) if "warning" in row}
        self._unwritten: list[list] = []
        self._events = _Events(os.path.join(workdir, "events"), start_step + 1)

    def write_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Write one row; the names in `values` are the same every time."""
        if not self._is_active:
            return
        if self._names is None:
            self._names = ["step", *sorted(values)]
            self._unwritten.append(self._names)
        self._unwritten.append([step, *(repr(float(values[name])) for name in self._names[1:])])
        try:
            self._append_unwritten()
        except OSError as error:
            logging.warning("%s: not written at step %d (%s); tried again", self._path, step, error.strerror)
        self._events.write_scalars(step, values)

    def _append_unwritten(self) -> None:
        size = os.path.getsize(self._path) if os.path.exists(self._path) else 0
        try:
            with open(self._path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(self._unwritten)
                file.flush()
                # The checkpoint that follows no longer holds these numbers.
                os.fsync(file.fileno())
        except OSError:
            # Otherwise the next try would write the first part again.
            with contextlib.suppress(OSError):
                os.truncate(self._path, size)
            raise
        self._unwritten = []

    def read_metrics(self) -> list[dict[str, float]]:
        """Read the written rows: "step" and the name of each column -> number."""
        rows = []
        for row in _read_rows(self._path) if self._is_active else ():
            with contextlib.suppress(ValueError):  # a damaged number
                rows.append({name: float(text) for name, text in row.items()})
        return rows

    def warn_once(self, step: int, name: str, text: str) -> None:
        """Warn, and add a row to `warnings.csv`, unless this run has had a warning of this name."""
        if not self._is_active or name in self._warned:
            return
        self._warned.add(name)
        logging.warning("%s: step %d: %s", self.workdir, step, text)
        _append_csv(self._warnings_path, {"step": step, "warning": name, "text": text})

    def write_validation(self, step: int, values: Mapping[str, float]) -> None:
        """Write one row of `validation.csv`, and to TensorBoard as `validation/NAME`; names and order stay the same."""
        if not self._is_active:
            return
        _append_csv(self._validation_path, {"step": step, **values})
        self._events.write_scalars(step, {f"validation/{name}": value for name, value in values.items()})

    def write_images(
        self, step: int, name: str, rows: Sequence[Sequence[np.ndarray]], *, tag: str = "samples"
    ) -> None:
        """Write rows of images uint8 [height, width, channels] as `samples/NAME.png`, and to TensorBoard."""
        if not self._is_active:
            return
        grid = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
        path = os.path.join(self.workdir, "samples", f"{name}.png")
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            save_png(path, grid)
        except OSError as error:
            logging.warning("%s: not written (%s); the run continues without it", path, error.strerror)
        self._events.write_image(step, tag, grid)

    def close(self) -> None:
        """Close the files.

        Raises:
          UserError: rows of metrics could not be written.
        """
        if not self._is_active:
            return
        self._events.close()
        if self._unwritten:
            try:
                self._append_unwritten()
            except OSError as error:
                raise UserError(
                    f"{self._path}: {len(self._unwritten)} lines could not be written ({error.strerror})"
                ) from error


class _Events:
    """TensorBoard's file of events, written at once.

    tensorboardX's own SummaryWriter writes in a thread, which a full disk ends; its queue then fills up and the
    training waits forever.
    """

    def __init__(self, folder: str, purge_step: int):
        tensorboardx = _import_tensorboardx()
        proto, event_file_writer = tensorboardx.proto, tensorboardx.event_file_writer
        self._event_type, self._summary = proto.event_pb2.Event, tensorboardx.summary
        self._writer = None
        self._folder = folder
        with self._tell_of_failure():
            os.makedirs(folder, exist_ok=True)
            self._writer = event_file_writer.EventsWriter(os.path.join(folder, "events"))
            # TensorBoard hides what an interrupted run wrote about these steps.
            session = proto.event_pb2.SessionLog(status=proto.event_pb2.SessionLog.START)
            self._write(step=purge_step, file_version="brain.Event:2")
            self._write(step=purge_step, session_log=session)

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        with self._tell_of_failure():
            for name, value in values.items():
                self._write(step=step, summary=self._summary.scalar(name, value))
            if self._writer is not None:
                self._writer.flush()

    def write_image(self, step: int, name: str, image: np.ndarray) -> None:
        with self._tell_of_failure():
            self._write(step=step, summary=self._summary.image(name, image, dataformats="HWC"))

    def close(self) -> None:
        with self._tell_of_failure():
            if self._writer is not None:
                self._writer.close()

    def _write(self, **fields: Any) -> None:
        if self._writer is not None:
            self._writer.write_event(self._event_type(wall_time=time.time(), **fields))

    @contextlib.contextmanager
    def _tell_of_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            logging.warning("%s: events not written (%s)", self._folder, error.strerror)


def _import_tensorboardx() -> types.ModuleType:
    """Import tensorboardX without PyTorch, which it imports if it can: 2 s, for types that are not used here."""
    is_hidden = "torch" not in sys.modules
    if is_hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import tensorboardX
        from tensorboardX import event_file_writer, proto, summary  # noqa: F401
    finally:
        if is_hidden:
            del sys.modules["torch"]
    return tensorboardX


def save_png(path: str, image: np.ndarray) -> None:
    """Write an image, uint8 [height, width, 1 or 3], as a PNG file that appears whole or not at all."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    with write_whole(path, "wb") as file:
        picture.save(file, format="PNG")


def _append_csv(path: str, row: Mapping[str, Any]) -> None:
    """Append a row, after the names if the file is new; on a full disk warn."""
    header = [] if os.path.exists(path) else [row.keys()]
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([*header, row.values()])
    except OSError as error:
        logging.warning("%s: not written at step %d (%s)", path, row["step"], error.strerror)


def _read_rows(path: str) -> list[dict[str, str]]:
    """Read a file that `_truncate_csv` has left whole."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _truncate_csv(path: str, last_step: int) -> list[str] | None:
    """Drop the rows beyond `last_step`; return the column names, or None for a new file."""
    if not os.path.exists(path):
        return None
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = file.read().splitlines(keepends=True)
    # A run that is killed while it writes leaves a line without an end, whose last number may be cut even if all commas
    # are there. A power failure can leave zeros.
    whole = [line for line in lines if line.endswith("\n") and "\0" not in line]
    rows = [row for row in csv.reader(whole) if row]
    if not rows or rows[0][0] != "step":
        if lines:
            os.replace(path, f"{path}.damaged")
            logging.warning("%s: damaged (no first line of names); moved to %s.damaged", path, path)
        return None
    names = rows[0]
    kept = [
        row for row in rows[1:] if len(row) == len(names) and row[0].isdigit() and int(row[0]) <= last_step
    ]
    with write_whole(path) as file:
        csv.writer(file, lineterminator="\n").writerows([names, *kept])
    return names
