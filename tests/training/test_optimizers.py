"""Schedules and optimizers against the reference's formulas, worked out by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import pix2pix_socofing
from fpgan_jax.training import optimizers


def create_schedule(num_decay_epochs):
    return optimizers.create_constant_then_linear_schedule(
        2e-4, num_epochs=200, num_decay_epochs=num_decay_epochs, num_examples=50, global_batch_size=10
    )


@pytest.mark.parametrize(
    ("epoch", "factor"),
    # lambda_rule of the reference: 1 - max(0, epoch + 1 - 100) / 101, the scheduler stepped first.
    [(1, 1.0), (99, 1.0), (100, 100 / 101), (101, 99 / 101), (150, 50 / 101), (199, 1 / 101), (200, 0.0)],
)
def test_rate_of_the_reference_by_epoch(epoch, factor):
    schedule = create_schedule(num_decay_epochs=100)
    first, last = (epoch - 1) * 5, epoch * 5 - 1
    found = [float(schedule(first)), float(schedule(last))]
    np.testing.assert_allclose(found, [2e-4 * factor] * 2, rtol=1e-6, atol=1e-11)


def test_rate_stays_constant_without_decay():
    schedule = create_schedule(num_decay_epochs=0)
    np.testing.assert_array_equal([schedule(0), schedule(10**6)], [2e-4, 2e-4])


def test_adam_update_is_the_formula_of_the_paper():
    config = pix2pix_socofing.get_config()
    tx = optimizers.create_gan_optimizer(config, num_examples=50)
    params, gradients = {"w": jnp.array([1.0])}, [0.5, -0.25]
    state = tx.init(params)
    weight, first, second = 1.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        updates, state = tx.update({"w": jnp.array([gradient])}, state, params)
        params = optax.apply_updates(params, updates)
        first = 0.5 * first + 0.5 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = (first / (1 - 0.5**step), second / (1 - 0.999**step))
        weight -= 2e-4 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    np.testing.assert_allclose(params["w"], [weight], rtol=2e-7)


def test_classifier_decays_kernels_only():
    config = pix2pix_socofing.get_config()
    tx = optimizers.create_classifier_optimizer(config)
    params = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    zeros = {"dense": {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}}
    updates, _ = tx.update(zeros, tx.init(params), params)
    # Without a gradient only the decay is left: rate 1e-3 x decay 1e-4 x weight 1.
    np.testing.assert_allclose(updates["dense"]["kernel"], np.full((2, 2), -1e-7), rtol=1e-6)
    np.testing.assert_array_equal(updates["dense"]["bias"], np.zeros(2))
