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

# By the same division Adam's weights do not see a constant factor on the gradient, such as a sum over
# devices in place of a mean. Its moments do, and what else is linear in gradients or images. These differ
# only by the order in which sums over the batch are taken. The longest have 4 examples x 16 x 16 pixels =
# 2**10 terms; float32 rounds each partial sum by 2**-24 of the terms' summed size at most: 2**-14 in all.
# That is a bound for one sum, and a leaf whose terms cancel is smaller than they are; but roundings cancel
# too, 2**5 of them standing for 2**10: the largest difference measured (four devices, two, and another
# level of XLA's optimisation) is 6e-6 of a leaf's norm, a tenth of this.
MAX_RELATIVE_DIFFERENCE = 2**-14


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
    """Return part -> leaves, as `tiny.main` saved them."""
    parts = {}
    with np.load(workdir / f"{process_index}.npz") as file:
        for name in file.files:
            parts.setdefault(name.partition("[")[0], []).append(file[name])
    return parts


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    finish(start(workdir), num_devices=1)
    return load(workdir)


def train_on_four_devices(workdir):
    finish(start(workdir, num_devices=4), num_devices=4)
    return [load(workdir)]


def train_in_two_processes(workdir):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    processes = [start(workdir, coordinator, index, 2) for index in range(2)]
    for process in processes:
        finish(process, num_devices=2)
    return [load(workdir, index) for index in range(2)]


@pytest.fixture(scope="module", params=[train_on_four_devices, train_in_two_processes])
def divided(request, tmp_path_factory):
    """Return what each process ends with when the batch is divided."""
    return request.param(tmp_path_factory.mktemp("divided"))


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
    kernels = [(new, old) for new, old in zip(one_device["params"], first, strict=True) if new.ndim == 4]
    assert min(np.abs(new - old).mean() for new, old in kernels) > 50 * MAX_MEAN_DIFFERENCE


def test_the_weights_are_those_of_one_device(divided, one_device):
    for parts in divided:
        for new, old in zip(parts["params"], one_device["params"], strict=True):
            assert np.abs(new - old).mean() < MAX_MEAN_DIFFERENCE


@pytest.mark.parametrize("part", ["mu", "nu", "batch_stats", "classifier"])
def test_what_follows_the_gradients_size_is_that_of_one_device(divided, one_device, part):
    for parts in divided:
        for new, old in zip(parts[part], one_device[part], strict=True):
            assert np.linalg.norm(new - old) <= MAX_RELATIVE_DIFFERENCE * np.linalg.norm(old)


# Fed from the devices, two steps a dispatch where two fit: the same batches, in programs that round otherwise.
def test_the_weights_of_examples_on_the_devices_are_those_of_one_device(divided, one_device):
    for parts in divided:
        for new, old in zip(parts["on_device_params"], one_device["params"], strict=True):
            assert np.abs(new - old).mean() < MAX_MEAN_DIFFERENCE


@pytest.mark.parametrize("part", ["mu", "nu", "batch_stats"])
def test_the_moments_of_examples_on_the_devices_are_those_of_one_device(divided, one_device, part):
    for parts in divided:
        for new, old in zip(parts[f"on_device_{part}"], one_device[part], strict=True):
            assert np.linalg.norm(new - old) <= MAX_RELATIVE_DIFFERENCE * np.linalg.norm(old)
