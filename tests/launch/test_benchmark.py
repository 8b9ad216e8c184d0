"""launch.benchmark, run as a user runs it."""

import json
import subprocess
import sys

import pytest

from fpgan_jax.benchmarking import options
from tests.launch.scripts import run, run_as_process


def read_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_smallest_cases_leave_rows_and_tables(tmp_path):
    out = tmp_path / "rows.jsonl"
    result = run_as_process(
        "benchmark", "--smallest", "--cases=synthesis,discriminator,gan_step,input_device", f"--out={out}"
    )
    assert result.returncode == 0, result.stderr
    rows = {row["name"]: row for row in read_rows(out)}
    assert rows.pop("ceiling")["per_second"] > 1e6
    assert list(rows) == ["synthesis", "discriminator", "gan_step", "input_device"]
    step = rows["gan_step"]
    for name in ("ms_median", "images_per_second", "flop", "percent_of_flop_ceiling", "peak_memory_bytes"):
        assert step[name] > 0
    assert step["ms_minimum"] <= step["ms_q1"] <= step["ms_median"] <= step["ms_q3"]
    assert step["machine"]["versions"]["jax"] and not step["is_optimized"]
    assert rows["input_device"]["wait_fraction"] < 1
    for name in ("device_images_per_second", "encoder_images_per_second", "images_per_second"):
        assert rows["synthesis"][name] > 0
    assert rows["synthesis"]["bytes_per_image"] > 200 and rows["synthesis"]["percent_of_possible"] > 0
    assert result.stdout.count("gan_step") == 1
    assert (tmp_path / "rows.md").read_text().startswith("| case ")


@pytest.mark.slow
@pytest.mark.compare
def test_everything_at_its_smallest_beside_torch(tmp_path):
    out = tmp_path / "rows.jsonl"
    result = run_as_process("benchmark", "--smallest", "--peers", "--steps_per_dispatch=2", f"--out={out}")
    assert result.returncode == 0, result.stderr
    rows = read_rows(out)
    assert {row["name"] for row in rows} == {*options.CASE_NAMES, "ceiling"} - {"cpu_parity"}
    assert all(row["agrees"] for row in rows if row["kind"] == "parity")
    assert not [row for row in rows if "error" in row]
    programs = [row for row in rows if row["kind"] == "program"]
    assert len(programs) == 5 and all(row["ratios"]["eager"]["median"] > 0 for row in programs)
    assert {row["steps_per_dispatch"] for row in programs} == {1, 2}
    first_steps = [row["seconds"] for row in rows if row.get("compilation_cache")]
    assert len(first_steps) == 2 and min(first_steps) > 0


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--cases=gan"], "--cases: 'gan'"),
        (["--sizes=big"], "--sizes: 'big' is not an integer"),
        (["--sizes=3", "--cases=gan_step"], "--sizes=3"),
        (["--rounds=0"], "rounds"),
        (["--config.lambda_l2=3"], "'lambda_l2'"),
        (["--goals", "--config.generator.norm=instance"], "config.generator.norm='batch'"),
    ],
)
def test_a_mistake_gets_one_line(flags, text):
    result = run("benchmark", *flags)
    errors = [line for line in result.stderr.splitlines() if line]
    assert result.returncode == 1 and len(errors) == 1, result.stderr
    assert errors[0].startswith("ERROR: ") and text in errors[0]


def test_help_is_printed_without_jax():
    program = (
        "import runpy, sys; sys.argv = ['benchmark', '--helpshort']\n"
        "try:\n    runpy.run_module('launch.benchmark', run_name='__main__')\n"
        "except SystemExit:\n    print([n for n in ('jax', 'tensorflow', 'torch') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr
