"""Metrics files and image grids."""

import csv
import sys

import numpy as np
from PIL import Image
from tensorboardX.proto import event_pb2

from fpgan_jax.training import reporting
from fpgan_jax.training.reporting import Reporter


def read_csv(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.reader(file))


def test_rows_are_written_with_sorted_names(tmp_path):
    reporter = Reporter(str(tmp_path), start_step=0)
    reporter.write_metrics(10, {"loss": 0.5, "accuracy": 1.0})
    reporter.close()
    assert read_csv(tmp_path) == [["step", "accuracy", "loss"], ["10", "1.0", "0.5"]]


def test_floats_come_back_exactly(tmp_path):
    reporter = Reporter(str(tmp_path), start_step=0)
    reporter.write_metrics(1, {"loss": 1 / 3})
    assert float(read_csv(tmp_path)[1][1]) == 1 / 3


def test_rows_beyond_the_checkpoint_are_taken_away(tmp_path):
    reporter = Reporter(str(tmp_path), start_step=0)
    for step in (10, 20, 30):
        reporter.write_metrics(step, {"loss": float(step)})
    resumed = Reporter(str(tmp_path), start_step=20)
    resumed.write_metrics(30, {"loss": 3.0})
    assert read_csv(tmp_path)[1:] == [["10", "10.0"], ["20", "20.0"], ["30", "3.0"]]


def test_rows_that_a_spreadsheet_saved_are_kept(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss\n10,1.0\n", encoding="utf-8-sig")
    resumed = Reporter(str(tmp_path), start_step=10)
    resumed.write_metrics(20, {"loss": 2.0})
    assert read_csv(tmp_path) == [["step", "loss"], ["10", "1.0"], ["20", "2.0"]]
    assert resumed.read_metrics()[0] == {"step": 10.0, "loss": 1.0}


def test_a_half_written_row_is_taken_away(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,accuracy,loss\n10,1.0,0.5\n20,0.")
    Reporter(str(tmp_path), start_step=20)
    assert read_csv(tmp_path) == [["step", "accuracy", "loss"], ["10", "1.0", "0.5"]]


def test_an_inactive_reporter_writes_nothing(tmp_path):
    reporter = Reporter(str(tmp_path / "run"), start_step=0, is_active=False)
    reporter.write_metrics(1, {"loss": 1.0})
    reporter.write_images(1, "grid", [[np.zeros((2, 2, 1), np.uint8)]])
    reporter.warn_once(1, "won", "")
    assert reporter.read_metrics() == []
    reporter.close()
    assert not (tmp_path / "run").exists()


def test_rows_are_read_as_they_were_written(tmp_path):
    reporter = Reporter(str(tmp_path), start_step=0)
    assert reporter.read_metrics() == []
    reporter.write_metrics(1, {"loss": 1 / 3})
    assert reporter.read_metrics() == [{"step": 1, "loss": 1 / 3}]


def read_warnings(folder):
    with open(folder / "warnings.csv", newline="") as file:
        return list(csv.reader(file))


def test_a_warning_is_given_once_a_run(tmp_path, caplog):
    reporter = Reporter(str(tmp_path), start_step=0)
    for step, name in ((10, "won"), (20, "won"), (20, "ignores")):
        reporter.warn_once(step, name, f"{name}: 3%, or so")
    assert caplog.messages == [
        f"{tmp_path}: step 10: won: 3%, or so",
        f"{tmp_path}: step 20: ignores: 3%, or so",
    ]
    rows = [
        ["step", "warning", "text"],
        ["10", "won", "won: 3%, or so"],
        ["20", "ignores", "ignores: 3%, or so"],
    ]
    assert read_warnings(tmp_path) == rows
    Reporter(str(tmp_path), start_step=30).warn_once(40, "won", "")
    assert read_warnings(tmp_path) == rows


def test_a_warning_beyond_the_checkpoint_is_given_again(tmp_path):
    Reporter(str(tmp_path), start_step=0).warn_once(20, "won", "")
    Reporter(str(tmp_path), start_step=10).warn_once(30, "won", "again")
    assert read_warnings(tmp_path) == [["step", "warning", "text"], ["30", "won", "again"]]


def test_grid_puts_rows_below_each_other(tmp_path):
    tiles = [[np.full((2, 2, 1), 10 * row + column, np.uint8) for column in range(3)] for row in range(2)]
    Reporter(str(tmp_path), start_step=0).write_images(1, "epoch_0001", tiles)
    grid = np.asarray(Image.open(tmp_path / "samples" / "epoch_0001.png"))
    assert grid.shape == (4, 6)
    np.testing.assert_array_equal(grid[::2, ::2], [[0, 1, 2], [10, 11, 12]])


def test_tensorboard_events_hold_the_scalar(tmp_path):
    reporter = Reporter(str(tmp_path), start_step=0)
    reporter.write_metrics(7, {"loss": 0.5})
    reporter.close()
    (path,) = (tmp_path / "events").iterdir()
    data, events = path.read_bytes(), []
    while data:
        # TFRecord: length (8 bytes), its checksum (4), payload, its checksum (4).
        length = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    scalars = [
        (event.step, value.tag, value.simple_value) for event in events for value in event.summary.value
    ]
    assert scalars == [(7, "loss", 0.5)]


def test_pytorch_is_not_imported_where_it_is_installed(tmp_path, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] in ("torch", "tensorboardX"):
            monkeypatch.delitem(sys.modules, name)
    (tmp_path / "torch.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert reporting._import_tensorboardx().summary.scalar("loss", 0.5).value[0].simple_value == 0.5
    assert "torch" not in sys.modules
