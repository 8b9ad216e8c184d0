"""The sweep's script: what it checks and lists, and whole sweeps of real trainings (slow)."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet
from tests.launch.scripts import run, run_well
from tests.launch.test_mistakes import assert_one_line
from tests.launch.test_scripts import read_csv

SWEEP = """
from fpgan_jax.sweeps.axes import axis, grid, seeds

def get_sweep():
    return grid(axis("lambda_l1", (1.0, 100.0)), seeds(2))
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Write two persons' prints, which are noise, and a sweep of four runs; the flags that go with them."""
    folder = tmp_path_factory.mktemp("sweep")
    data = test_size.get_config().data
    data.image_size = 16
    images = np.random.default_rng(0).integers(0, 256, (2, data.image_size, data.image_size, 1), np.uint8)
    prints = PrintSet(images, np.array([1, 2], np.int32), ("1.BMP", "2.BMP"))
    nobody = PrintSet(images[:0], np.zeros(0, np.int32), ())
    sets = dict.fromkeys(SPLITS, nobody) | {"real": prints}
    print_archive.write_archive(folder / "prints.npz", sets, data)
    (folder / "four.py").write_text(SWEEP)
    return [
        "--config=configs/test_size.py",
        "--config.data.source=npz",
        f"--config.data.npz_file={folder / 'prints.npz'}",
        "--config.data.feeding=device",
        "--config.data.image_size=16",
        "--config.generator.dropout_outputs=(4,)",
        f"--sweep={folder / 'four.py'}",
        "--what=train_gan",
    ]


def test_a_dry_run_lists_the_runs_and_writes_nothing(arguments, tmp_path):
    result = run_well("sweep", *arguments, "--dry_run", f"--workdir={tmp_path / 'runs'}")
    assert [line.split() for line in result.stdout.splitlines()[2:]] == [
        *([f"lambda_l1={weight},seed={seed}", "waiting", "0/6"] for weight in (1, 100) for seed in (0, 1)),
        ["4", "runs:", "4", "waiting"],
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("platforms", [None, pytest.param("cuda", marks=pytest.mark.slow)])
def test_a_job_of_slurms_may_use_the_gpu_that_the_checks_must_not(
    arguments, tmp_path, monkeypatch, platforms
):
    # sbatch gives its own environment to the job.
    programs = {
        "sbatch": f"env > {tmp_path / 'environment'}; echo Submitted batch job 7",
        "squeue": "for i in 0 1 2 3; do echo 7_$i PENDING; done",
        "srun": "",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("JAX_PLATFORMS", platforms) if platforms else monkeypatch.delenv(
        "JAX_PLATFORMS", False
    )
    command = [*arguments, "--slurm", "--gpus=1", f"--workdir={tmp_path / 'runs'}"]
    result = subprocess.run(
        [sys.executable, "-m", "launch.sweep", *command], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0 and "4 runs: 4 queued" in result.stdout, result.stderr
    lines = (tmp_path / "environment").read_text().splitlines()
    expected = [f"JAX_PLATFORMS={platforms}"] if platforms else []
    assert [line for line in lines if line.startswith("JAX_PLATFORMS=")] == expected


def test_a_mistake_in_the_last_run_is_named_before_the_first_starts(arguments, tmp_path):
    (tmp_path / "bad.py").write_text("def get_sweep(): return [{'seed': 0}, {'lambda_l1': -1}]")
    sweep = [f"--sweep={tmp_path / 'bad.py'}", f"--workdir={tmp_path / 'runs'}"]
    assert_one_line(run("sweep", *arguments, *sweep), "run 2 (lambda_l1=-1)", "config.lambda_l1=-1.0")
    assert not (tmp_path / "runs").exists()


@pytest.mark.extended
def test_a_sweep_that_was_stopped_goes_on_and_ends_as_one_that_was_not(arguments, tmp_path):
    command = [*arguments, "--num_workers=2", "--config.num_epochs=60"]
    workdir = tmp_path / "stopped"
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "launch.sweep", *command, f"--workdir={workdir}"],
            stderr=err,
            env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        )
        while not list(workdir.glob("*/metrics.csv")):
            assert process.poll() is None, (tmp_path / "err").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 75
    assert re.search(r"INTERRUPTED: 4 runs: .*the same command goes on", (tmp_path / "err").read_text())
    assert "4 finished" in run_well("sweep", *command, f"--workdir={workdir}").stdout
    assert "4 finished" in run_well("sweep", *command, f"--workdir={tmp_path / 'alone'}").stdout
    rows, expected = (read_csv(folder / "results.csv") for folder in (workdir, tmp_path / "alone"))
    assert [row["lambda_l1"] for row in rows] == ["1.0", "1.0", "100.0", "100.0"]
    own = ("seconds", "folder")
    assert [{k: v for k, v in row.items() if k not in own} for row in rows] == [
        {k: v for k, v in row.items() if k not in own} for row in expected
    ]
    assert "Over lambda_l1" in (workdir / "results.html").read_text()
