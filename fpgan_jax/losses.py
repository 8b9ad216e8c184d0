"""Owns the loss functions of both experiments, as pure functions of logits and images."""

import jax
import jax.numpy as jnp
import optax

GAN_OBJECTIVES = ("vanilla", "lsgan", "hinge")


def compute_discriminator_loss(
    real_logits: jax.Array, fake_logits: jax.Array, objective: str
) -> tuple[jax.Array, jax.Array]:
    """Compute the discriminator's two loss terms, before they are weighted and added.

    Args:
      real_logits: [batch, height, width, 1], any float dtype; D's logits on real prints.
      fake_logits: the same shape; D's logits on generated prints.

    Returns:
      (real_loss, fake_loss), float32 scalars in nats ("vanilla") or without a unit, each a mean over all patches.

    Raises:
      ValueError: the objective is unknown.

    Source: vanilla, Goodfellow et al. 2014, equation 1; lsgan, Mao et al. 2017, equation 9 with a = 0, b = 1 but
      without its factors of 1/2, as the reference pix2pix code; hinge, Miyato et al. 2018, equation 16; differs in:
      nothing.
    """
    real_logits = real_logits.astype(jnp.float32)
    fake_logits = fake_logits.astype(jnp.float32)
    if objective == "vanilla":
        return jax.nn.softplus(-real_logits).mean(), jax.nn.softplus(fake_logits).mean()
    if objective == "lsgan":
        return jnp.square(real_logits - 1).mean(), jnp.square(fake_logits).mean()
    if objective == "hinge":
        return jax.nn.relu(1 - real_logits).mean(), jax.nn.relu(1 + fake_logits).mean()
    raise ValueError(f"unknown GAN objective {objective!r}; one of {GAN_OBJECTIVES}")


def compute_adversarial_loss(fake_logits: jax.Array, objective: str) -> jax.Array:
    """Compute the generator's adversarial loss, in its non-saturating form; see `compute_discriminator_loss`.

    Returns:
      A float32 scalar, the mean over all patches.

    Raises:
      ValueError: the objective is unknown.

    Source: Isola et al. 2017, section 3.3 (maximize log D instead of minimizing log(1 - D)); differs in: nothing.
    """
    fake_logits = fake_logits.astype(jnp.float32)
    if objective == "vanilla":
        return jax.nn.softplus(-fake_logits).mean()
    if objective == "lsgan":
        return jnp.square(fake_logits - 1).mean()
    if objective == "hinge":
        return -fake_logits.mean()
    raise ValueError(f"unknown GAN objective {objective!r}; one of {GAN_OBJECTIVES}")


def compute_l1_loss(fake_image: jax.Array, real_image: jax.Array) -> jax.Array:
    """Compute the mean absolute difference of two batches of images in [-1, 1], a float32 scalar in [0, 2].

    Source: Isola et al. 2017, equation 3; differs in: the mean over pixels instead of the sum, as in the reference
      code, for which the usual lambda of 100 is meant.
    """
    return jnp.abs(fake_image.astype(jnp.float32) - real_image.astype(jnp.float32)).mean()


def compute_classification_loss(
    logits: jax.Array, labels: jax.Array, label_smoothing: float = 0.0
) -> jax.Array:
    """Compute the mean softmax cross-entropy of logits [batch, num_classes] and int labels [batch], in nats, float32.

    `label_smoothing`, in [0, 1), is the probability that is spread over all classes.

    Source: Szegedy et al. 2016, section 7 for the smoothing; differs in: nothing.
    """
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), label_smoothing)
    return optax.softmax_cross_entropy(logits.astype(jnp.float32), targets).mean()
