"""Several devices and several processes train the same weights as one."""

import csv
import functools
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

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
# level of XLA's optimization) is 6e-6 of a leaf's norm, a tenth of this.
MAX_RELATIVE_DIFFERENCE = 2**-14


def start(workdir, *arguments, num_devices=1):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(num_devices),
        # The programs run six steps; compiling them is what takes the time.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, "-m", "tests.training.tiny", str(workdir), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def start_processes(workdir, num_processes, *arguments):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    members = (("--member", coordinator, index, num_processes) for index in range(num_processes))
    return [start(workdir, *member, *arguments) for member in members]


def finish(process, *, num_devices, code=0):
    output, _ = process.communicate(timeout=900)
    assert process.returncode == code, output
    assert f"devices: {num_devices}" in output


def load(workdir, process_index=0):
    """Return part -> leaves, as `tiny.main` saved them."""
    parts = {}
    with np.load(workdir / f"{process_index}.npz") as file:
        for name in file.files:
            parts.setdefault(name.partition("[")[0], []).append(file[name])
    return parts


def read_metrics(workdir):
    with open(workdir / "metrics.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def one_workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    finish(start(workdir), num_devices=1)
    return workdir


@pytest.fixture(scope="module")
def one_device(one_workdir):
    return load(one_workdir)


def train_on_four_devices(workdir):
    finish(start(workdir, num_devices=4), num_devices=4)
    return [load(workdir)]


def train_in_processes(workdir, num_processes):
    for process in start_processes(workdir, num_processes):
        finish(process, num_devices=num_processes)
    return [load(workdir, index) for index in range(num_processes)]


WAYS = {
    "four devices": train_on_four_devices,
    "two processes": functools.partial(train_in_processes, num_processes=2),
    "four processes": functools.partial(train_in_processes, num_processes=4),
}


@pytest.fixture(
    scope="module",
    params=[
        "four devices",
        pytest.param("two processes", marks=pytest.mark.slow),
        pytest.param("four processes", marks=pytest.mark.extended),
    ],
)
def divided_workdir(request, tmp_path_factory):
    """Train on several devices; return (workdir, what each process ends with)."""
    workdir = tmp_path_factory.mktemp("divided")
    return workdir, WAYS[request.param](workdir)


@pytest.fixture(scope="module")
def divided(divided_workdir):
    """Return what each process ends with when the batch is divided."""
    return divided_workdir[1]


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


def test_the_metrics_are_those_of_the_whole_batch(divided_workdir, one_workdir):
    rows, expected = read_metrics(divided_workdir[0]), read_metrics(one_workdir)
    assert [row["step"] for row in rows] == [2, 4, 6]
    for row, expected_row in zip(rows, expected, strict=True):
        # The weights of later steps differ by rounding, see above; each loss is a mean over 2**10 pixels or logits.
        assert row == pytest.approx(expected_row, rel=1e-4)


@pytest.mark.parametrize("name", ["epoch_0001.png", "epoch_0002.png"])
def test_the_samples_are_those_of_one_device(divided_workdir, one_workdir, name):
    images = [
        np.asarray(Image.open(workdir / "samples" / name)).astype(int)
        for workdir in (divided_workdir[0], one_workdir)
    ]
    assert np.abs(images[0] - images[1]).max() <= 1


def test_what_is_shared_is_written_once(divided_workdir):
    workdir, parts = divided_workdir
    saved = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert saved == {"3", "6"}
    assert len(list((workdir / "events").iterdir())) == 1
    assert len(list(workdir.glob("*.npz"))) == len(parts)


@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_processes(tmp_path):
    """One process to the checkpoint of step 3, two from there to that of step 6, four to the end at step 9."""
    for num_processes, stop_at in ((1, 4), (2, 8), (4, None)):
        arguments = ["--num_epochs=3", *([f"--stop_at={stop_at}"] if stop_at else [])]
        for process in start_processes(tmp_path / "moved", num_processes, *arguments):
            finish(process, num_devices=num_processes, code=1 if stop_at else 0)
        saved = max(int(path.name) for path in (tmp_path / "moved" / "checkpoints").iterdir())
        assert saved == {1: 3, 2: 6, 4: 9}[num_processes]
    (tmp_path / "whole").mkdir()
    finish(start(tmp_path / "whole", "--num_epochs=3"), num_devices=1)
    moved, whole = load(tmp_path / "moved"), load(tmp_path / "whole")
    for new, old in zip(moved["params"], whole["params"], strict=True):
        assert np.abs(new - old).mean() < MAX_MEAN_DIFFERENCE
    rows, expected = read_metrics(tmp_path / "moved"), read_metrics(tmp_path / "whole")
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 9]
    for row, expected_row in zip(rows, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-4)
