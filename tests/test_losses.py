"""The loss functions against numbers worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax import losses


@pytest.mark.parametrize(
    ("objective", "real_loss", "fake_loss", "adversarial_loss"),
    [
        # log 2 at logit 0; log(1 + e^-ln3) = log(4/3), log(1 + e^ln3) = log 4.
        (
            "vanilla",
            (np.log(2) + np.log(4 / 3)) / 2,
            (np.log(2) + np.log(4)) / 2,
            (np.log(2) + np.log(4 / 3)) / 2,
        ),
        # (0 - 1)^2 and (ln 3 - 1)^2; 0 and (ln 3)^2.
        ("lsgan", (1 + (np.log(3) - 1) ** 2) / 2, np.log(3) ** 2 / 2, (1 + (np.log(3) - 1) ** 2) / 2),
        # max(0, 1 - 0) and max(0, 1 - 1.0986) = 0; 1 and 1 + ln 3.
        ("hinge", 0.5, (2 + np.log(3)) / 2, -np.log(3) / 2),
    ],
)
def test_gan_objectives_at_two_logits(objective, real_loss, fake_loss, adversarial_loss):
    logits = jnp.array([0.0, np.log(3)]).reshape(1, 1, 2, 1)
    found_real, found_fake = losses.compute_discriminator_loss(logits, logits, objective)
    found = [found_real, found_fake, losses.compute_adversarial_loss(logits, objective)]
    # Three roundings of float32 near 1.
    np.testing.assert_allclose(found, [real_loss, fake_loss, adversarial_loss], rtol=4e-7, atol=1e-7)


def test_vanilla_objective_is_finite_at_extreme_logits():
    logits = jnp.array([-1e4, 1e4])
    real_loss, fake_loss = losses.compute_discriminator_loss(logits, logits, "vanilla")
    assert (float(real_loss), float(fake_loss)) == (5000.0, 5000.0)


@pytest.mark.parametrize("function", [losses.compute_adversarial_loss])
def test_unknown_objective_is_refused(function):
    with pytest.raises(ValueError, match="wgan"):
        function(jnp.zeros(1), "wgan")


def test_unknown_objective_is_refused_for_the_discriminator():
    with pytest.raises(ValueError, match="wgan"):
        losses.compute_discriminator_loss(jnp.zeros(1), jnp.zeros(1), "wgan")


def test_l1_loss_is_the_mean_over_all_values():
    fake = jnp.array([1.0, -1.0, 0.5, 0.0]).reshape(2, 2, 1, 1)
    real = jnp.array([-1.0, -1.0, 0.0, 0.25]).reshape(2, 2, 1, 1)
    assert float(losses.compute_l1_loss(fake, real)) == (2 + 0 + 0.5 + 0.25) / 4


def test_losses_are_float32_for_bfloat16_logits():
    logits = jnp.zeros((1, 2, 2, 1), jnp.bfloat16)
    found = [
        *losses.compute_discriminator_loss(logits, logits, "vanilla"),
        losses.compute_adversarial_loss(logits, "vanilla"),
        losses.compute_l1_loss(logits, logits),
        losses.compute_classification_loss(logits[0, :, :, 0], jnp.array([0, 1])),
    ]
    assert {loss.dtype for loss in found} == {jnp.dtype("float32")}


def test_classification_loss_of_uniform_logits_is_the_log_of_the_number_of_classes():
    loss = losses.compute_classification_loss(jnp.zeros((3, 5)), jnp.array([0, 2, 4]))
    np.testing.assert_allclose(loss, np.log(5), rtol=2e-7)


def test_label_smoothing_mixes_with_the_uniform_distribution():
    logits = jnp.array([[np.log(3), 0.0]])  # probabilities 3/4 and 1/4
    loss = losses.compute_classification_loss(logits, jnp.array([0]), label_smoothing=0.2)
    np.testing.assert_allclose(loss, -0.9 * np.log(3 / 4) - 0.1 * np.log(1 / 4), rtol=4e-7)
