"""Several devices and several processes train the same weights as one."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

# Adam divides each gradient by its own size, so that the rounding of a gradient that is nearly zero can
# turn its step by up to twice the rate. After six steps at a rate of 2e-4 a wrong gradient would show as
# differences of 1e-3; rounding alone touches few weights, and the mean difference stays far below one step.
RATE = 2e-4
MAX_MEAN_DIFFERENCE = RATE / 100


def start(workdir, *distributed, num_devices=1):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        # The programs run six steps; compiling them is what takes the time.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, "-m", "tests.training.tiny", str(workdir), *map(str, distributed)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process, *, num_devices):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert f"devices: {num_devices}" in output


def load(workdir, process_index=0):
    with np.load(workdir / f"{process_index}.npz") as file:
        return [file[name] for name in file.files]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    finish(start(workdir), num_devices=1)
    return load(workdir)


def assert_same_weights(weights, expected):
    for new, old in zip(weights, expected, strict=True):
        assert np.abs(new - old).mean() < MAX_MEAN_DIFFERENCE


def test_training_moves_the_weights_more_than_the_tolerance(one_device):
    import jax

    from fpgan_jax.models import factory
    from fpgan_jax.training.optimizers import create_gan_optimizer
    from fpgan_jax.training.state import create_gan_state
    from tests.training import tiny

    config = tiny.create_config()
    tx = create_gan_optimizer(config, 12)
    state = create_gan_state(
        jax.random.split(jax.random.key(config.seed))[0],
        generator=factory.create_generator(config),
        discriminator=factory.create_discriminator(config),
        generator_tx=tx,
        discriminator_tx=tx,
        image_shape=(16, 16, 1),
    )
    first = jax.tree.leaves((state.generator.params, state.discriminator.params))
    kernels = [(new, old) for new, old in zip(one_device, first, strict=True) if new.ndim == 4]
    assert min(np.abs(new - old).mean() for new, old in kernels) > 50 * MAX_MEAN_DIFFERENCE


def test_four_devices_train_the_weights_of_one(one_device, tmp_path):
    finish(start(tmp_path, num_devices=4), num_devices=4)
    assert_same_weights(load(tmp_path), one_device)


def test_two_processes_train_the_weights_of_one(one_device, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    processes = [start(tmp_path, coordinator, index, 2) for index in range(2)]
    for process in processes:
        finish(process, num_devices=2)
    for index in range(2):
        assert_same_weights(load(tmp_path, index), one_device)
