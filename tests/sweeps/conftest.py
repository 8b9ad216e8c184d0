"""What several tests of sweeps make."""

import pathlib
import sys

import pytest

from configs import test_size
from fpgan_jax.sweeps.runs import Run

FAKE_RUN = str(pathlib.Path(__file__).with_name("fake_run.py"))


@pytest.fixture
def create_run(tmp_path):
    """Return a function that makes a run in `tmp_path`, named and with overrides."""

    def create(name, num_steps=3, **overrides):
        config = test_size.get_config()
        config.update_from_flattened_dict(overrides)
        return Run(name, str(tmp_path / name), overrides, config, {"metrics.csv": num_steps})

    return create


@pytest.fixture
def command_of():
    """Return a function that makes the command of a fake run."""

    def create(run, *options):
        num_steps = str(sum(run.num_steps.values()))
        return [sys.executable, "-S", FAKE_RUN, run.workdir, num_steps, *options]

    return create
