"""What several tests of sweeps make."""

import pathlib
import sys

import pytest

from configs import test_size
from fpgan_jax.sweeps.runs import Run

FAKE_RUN = str(pathlib.Path(__file__).with_name("fake_run.py"))


@pytest.fixture
def create_run(tmp_path):
    """Return a function that creates a fake run in `tmp_path`, with options of fake_run.py and with overrides."""

    def create(name, num_steps=3, *options, **overrides):
        config = test_size.get_config()
        config.update_from_flattened_dict(overrides)
        workdir = str(tmp_path / name)
        command = [sys.executable, "-S", FAKE_RUN, workdir, str(num_steps), *options]
        return Run(name, workdir, overrides, config, {"metrics.csv": num_steps}, command)

    return create
