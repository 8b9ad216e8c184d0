"""200 steps in every mode against the plain one: fast layers, scan, device feeding, recomputation, bfloat16.

Rounding grows in 200 steps of two networks that learn from one another. What rounding alone makes of it is
measured: the plain run again, from weights moved by one unit in the last place.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fpgan_jax.models import layers, norms
from fpgan_jax.models.convolutions.stride1 import conv_stride1_plain
from fpgan_jax.models.convolutions.strided_4x4 import (
    conv_4x4_stride2_plain,
    conv_transpose_4x4_stride2_plain,
)
from fpgan_jax.training import gan_trainer
from tests.training import tiny

pytestmark = [pytest.mark.slow, pytest.mark.optimized]

NUM_STEPS = 200


def train(workdir, **changes):
    """Train 16x16 pixels; return (all weights as one vector, the last row's L1 loss and D's loss)."""
    config = tiny.create_config()
    config.data.jitter = 0
    config.generator.dropout_rate = 0.5
    config.generator.num_features = config.discriminator.num_features = 4
    config.num_epochs = NUM_STEPS // 3  # of 12 pairs in batches of 4
    config.log_every_steps = 20
    config.checkpoint_every_steps = 0
    config.sample_epochs = ()
    config.update_from_flattened_dict(changes)
    state = gan_trainer.train_and_evaluate(config, str(workdir), tiny.create_source(config))
    assert int(state.step) == NUM_STEPS // 3 * 3
    leaves = jax.tree.leaves((state.generator.params, state.discriminator.params))
    names, *rows = (line.split(",") for line in (workdir / "metrics.csv").read_text().splitlines())
    last = dict(zip(names, map(float, rows[-1]), strict=True))
    vector = np.concatenate([np.ravel(leaf) for leaf in leaves])
    return vector, (last["l1_loss"], last["discriminator_loss"])


def distance(vector, expected):
    return np.linalg.norm(vector - expected) / np.linalg.norm(expected)


def use_plain_layers(monkeypatch):
    """Have every layer computed by lax alone and differentiated by JAX, and nothing compiled apart."""
    monkeypatch.setattr(lax, "platform_dependent", lambda *args, cpu, default: default(*args))
    monkeypatch.setattr(layers, "conv_4x4_stride2", conv_4x4_stride2_plain)
    monkeypatch.setattr(layers, "conv_transpose_4x4_stride2", conv_transpose_4x4_stride2_plain)
    monkeypatch.setattr(layers, "conv_stride1", conv_stride1_plain)

    def normalize(x, scale, bias, axes, epsilon):
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return (x - mean) / jnp.sqrt(var + epsilon) * scale + bias, mean, var

    monkeypatch.setattr(norms, "normalize_by_moments", normalize)


@pytest.fixture(scope="module", name="plain")
def _plain(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_plain_layers(monkeypatch)
        return train(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module", name="rounding")
def _rounding(tmp_path_factory, plain):
    """Measure how far the plain run ends from itself, started one unit in the last place away."""
    create_gan_state = gan_trainer.create_gan_state

    def create_moved_state(*args, **kwargs):
        state = create_gan_state(*args, **kwargs)
        networks = {
            name: network.replace(
                params=jax.tree.map(lambda leaf: jnp.nextafter(leaf, jnp.inf), network.params)
            )
            for name, network in (("generator", state.generator), ("discriminator", state.discriminator))
        }
        return state.replace(**networks)

    with pytest.MonkeyPatch.context() as monkeypatch:
        use_plain_layers(monkeypatch)
        monkeypatch.setattr(gan_trainer, "create_gan_state", create_moved_state)
        vector, _ = train(tmp_path_factory.mktemp("rounding"))
    moved = distance(vector, plain[0])
    print("relative distance from rounding alone:", moved)
    assert 0 < moved < 0.05  # else the comparison says nothing
    return moved


@pytest.fixture(scope="module", name="fast")
def _fast(tmp_path_factory):
    return train(tmp_path_factory.mktemp("fast"))


MODES = {
    "fast": {},
    "scan_8": {"steps_per_dispatch": 8},
    "device": {"data.feeding": "device"},
    "remat": {"remat": True},
    "device_and_scan_8": {"data.feeding": "device", "steps_per_dispatch": 8},
}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_ends_where_the_plain_one_does_but_for_rounding(tmp_path, plain, rounding, fast, mode):
    vector, _ = fast if mode == "fast" else train(tmp_path, **MODES[mode])
    moved = distance(vector, plain[0])
    print(mode, "relative distance to the plain run:", moved)
    # Every operation of every step is rounded in another order, not only the first weights.
    assert moved < 10 * rounding


def test_another_seed_ends_elsewhere(tmp_path, plain, rounding):
    vector, _ = train(tmp_path, **{"data.shuffle_seed": 1})
    assert distance(vector, plain[0]) > 20 * rounding


def test_device_feeding_is_the_same_bits(tmp_path, fast):
    vector, _ = train(tmp_path, **{"data.feeding": "device"})
    np.testing.assert_array_equal(vector, fast[0])


def test_bfloat16_ends_with_the_same_losses(tmp_path, plain):
    changes = {"generator.dtype": "bfloat16", "discriminator.dtype": "bfloat16"}
    _, losses = train(tmp_path, **changes)
    print("float32:", plain[1], "bfloat16:", losses)
    # Stated band: 5% of the mean of the last rows.
    np.testing.assert_allclose(losses, plain[1], rtol=0.05)
