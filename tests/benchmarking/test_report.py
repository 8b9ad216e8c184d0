"""Rows and tables."""

import json
import re

import pytest

from fpgan_jax.benchmarking import report

ROW = {
    "kind": "program",
    "name": "gan_step",
    "image_size": 128,
    "num_features": 32,
    "batch_size": 8,
    "dtype": "float32",
    "ms_median": 512.34,
    "ms_q1": 500.0,
    "ms_q3": 520.0,
    "images_per_second": 15.6,
    "flop": 4.5e10,
    "ratios": {"eager": {"median": 1.234, "low": 1.1, "high": 1.3}},
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(None, None), (0, "0"), (0.000123456, "0.000123"), (1.5, "1.50"), (99.96, "100")],
        *[(-2.345, "-2.35"), (123.4, "123"), (1234567, "1234567"), (0.9999, "1.00")],
    ],
)
def test_a_number_has_three_digits(value, text):
    assert report.format_number(value) == text


def test_a_table_is_aligned():
    assert report.format_table(["a", "long"], [["name", "1"]]) == "a     long\nname     1"


def test_a_markdown_table():
    lines = report.format_table(["a", "long"], [["name", "1"]], markdown=True).splitlines()
    assert lines == ["| a    | long |", "| ---- | ---: |", "| name |    1 |"]


def test_rows_become_a_table_a_kind_without_empty_columns():
    start = {"kind": "start_up", "name": "start_up", "what": "python", "seconds": 0.05, "count": 3}
    text = report.format_rows([ROW, start])
    programs, starts = text.split("\n\n")
    assert re.split(r"  +", programs.splitlines()[0]) == (
        ["case", "size", "features", "batch", "dtype", "ms", "quartiles", "images/s", "GFLOP", "eager / ours"]
    )
    assert re.split(r"  +", programs.splitlines()[1])[5:] == (
        ["512", "500-520", "15.6", "45.0", "1.23 (1.10-1.30)"]
    )
    assert starts.splitlines()[1].split() == ["python", "0.0500", "3"]


def test_a_peer_that_failed_says_so():
    row = ROW | {"ratios": {}, "peers": {"compile": {"error": "no compiler"}}}
    assert "failed" in report.format_rows([row]).splitlines()[1]


def test_rows_are_appended_and_flushed(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    for _ in range(2):
        writer = report.RowWriter(str(path))
        writer.write(ROW)
        assert json.loads(path.read_text().splitlines()[-1]) == ROW
    assert len(path.read_text().splitlines()) == 2


def test_a_line_that_was_cut_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + '\n{"kind": "progr')
    assert report.read_rows(path) == [ROW]


def read_cells(rows):
    return [re.split(r"  +", line) for line in report.format_rows(rows).splitlines() if line]


def test_steps_a_call_and_what_the_cache_gave_are_in_the_table():
    row = ROW | {"steps_per_dispatch": 8, "compile_seconds": 0.52, "is_compile_cached": True}
    header, cells = read_cells([row])
    assert cells[header.index("steps a call")] == "8"
    assert cells[header.index("compile s")] == "0.520 (cached)"
    _, fresh = read_cells([row | {"is_compile_cached": False}])
    assert fresh[header.index("compile s")] == "0.520"


def test_a_profile_becomes_tables_of_its_own():
    kernel = {
        "kernel": "gemm",
        "operation": "dot.1",
        "us_per_step": 2.5,
        "percent": 40.0,
        "runs_per_step": 1.0,
    }
    profile = {"us_per_step": 9.0, "busy_us_per_step": 6.25, "kernels_per_step": 3.0, "largest": [kernel]}
    tables = report.format_rows([ROW | {"profile": profile}]).split("\n\n")
    assert len(tables) == 3 and tables[1].splitlines()[1].split()[-3:] == ["9.00", "6.25", "3.00"]
    assert tables[2].splitlines()[1].split()[-5:] == ["2.50", "40.0", "1.00", "dot.1", "gemm"]
    failed = report.format_rows([ROW | {"profile": {"error": "no profiler"}}])
    assert "--profile: no profiler" in failed


def test_other_kinds_have_their_tables():
    rows = [
        {"kind": "ceiling", "ceiling": "copy", "per_second": 3e12},
        {
            "kind": "parity",
            "name": "gan_step",
            "largest_difference": 2e-5,
            "agrees": True,
            "metric": "l1_loss",
        },
        {"kind": "start_up", "what": "import tensorflow", "error": "no module"},
        {"kind": "failed", "name": "weak_scaling", "error": "no memory"},
    ]
    text = report.format_rows(rows)
    assert "3000 GB/s" in text and "0.002%" in text and "yes" in text
    assert "no module" in text and "no memory" in text
