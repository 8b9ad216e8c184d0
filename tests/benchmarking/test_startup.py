"""Starts that fail; tests/launch/test_benchmark.py times those that do not."""

import pytest

from fpgan_jax.benchmarking import startup


def test_a_start_that_fails_is_a_row_that_says_why(monkeypatch):
    def time_runs(arguments, num_runs, expected=(0,)):
        if "fpgan_jax.config.fields" in arguments[-1]:
            raise RuntimeError("No module named 'tensorflow'")
        return 0.5

    def time_first_step(folder, workdir, size):
        if workdir.name == "cold":
            raise RuntimeError("no metrics")
        return 3.0

    monkeypatch.setattr(startup, "_time_runs", time_runs)
    monkeypatch.setattr(startup, "_time_first_step", time_first_step)
    rows = {row["what"]: row for row in startup.measure_start_up(smallest=True)}
    assert rows["import fpgan_jax.config.fields"]["error"] == "No module named 'tensorflow'"
    assert rows["import fpgan_jax.training.gan_trainer"]["seconds"] == 0.0
    cold, warm = (rows[f"launch.train_gan at 16x16 to its first step, {kind}"] for kind in ("cold", "warm"))
    assert cold["error"] == "no metrics" and warm["seconds"] == 3.0


def test_a_process_that_fails_says_its_last_line():
    with pytest.raises(RuntimeError, match="no such thing"):
        startup._time_runs(["-c", "raise SystemExit('first\\nno such thing')"], 1)
