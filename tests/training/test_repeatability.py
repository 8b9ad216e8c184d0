"""The same config trains the same bits in another process, compiled anew; in one process, see `test_resume.py`."""

import hashlib
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import twin_p50
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.training import gan_trainer

pytestmark = pytest.mark.optimized


def train(workdir):
    """Train five steps of a size at which sums are divided among threads, and print a hash of the final state."""
    config = twin_p50.get_config()
    config.data.socofing_dir = "unused"
    config.num_epochs, config.sample_epochs = 1, ()
    images = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 1), np.uint8)
    prints = PrintSet(images, np.arange(1, 6, dtype=np.int32), tuple("12345"))
    source = feeding.create_gan_source_from_prints(config, prints)
    state = gan_trainer.train_and_evaluate(config, workdir, source)
    assert int(state.step) == 5
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        digest.update(np.asarray(leaf).tobytes())
    print(f"state {digest.hexdigest()}")


def start(workdir, hash_seed):
    program = f"from tests.training import test_repeatability as t; t.train({str(workdir)!r})"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": str(hash_seed)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )


def finish(process):
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    (line,) = [line for line in output.splitlines() if line.startswith("state ")]
    return line


@pytest.mark.slow
def test_two_processes_end_with_the_same_bits(tmp_path):
    first, second = map(finish, [start(tmp_path / str(seed), seed) for seed in (1, 2)])
    assert first == second
    files = [(tmp_path / seed / "metrics.csv").read_bytes() for seed in ("1", "2")]
    assert files[0] == files[1]
