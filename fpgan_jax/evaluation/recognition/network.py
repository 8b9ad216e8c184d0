"""Owns the recognizer's network: from an aligned print to an embedding, and from embeddings to logits of classes."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class EmbeddingNetwork(nn.Module):
    """Small residual network whose embedding depends on position, since prints are aligned.

    Normalization is per example, so that an embedding does not depend on the other prints of a batch, which differ from
    arm to arm.
    """

    widths: tuple[int, ...] = (16, 24, 48, 64)  # features at 1/2, 1/4, 1/8 ... of the image's size
    embedding_size: int = 128

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Embed prints: float32 [batch, height, width, 1] to [batch, embedding_size], of length 1."""
        x = nn.relu(_normalize(nn.Conv(self.widths[0], (7, 7), strides=2, use_bias=False)(images)))
        for width in self.widths[1:]:
            x = nn.relu(_normalize(nn.Conv(width, (3, 3), strides=2, use_bias=False)(x)))
            x = x + nn.relu(_normalize(nn.Conv(width, (3, 3), use_bias=False)(x)))
        x = nn.Dense(self.embedding_size)(x.reshape(len(x), -1))
        return normalize_length(x)


def _normalize(x: jax.Array) -> jax.Array:
    return nn.GroupNorm(num_groups=8)(x)


def normalize_length(vectors: jax.Array) -> jax.Array:
    """Scale vectors [..., n] to length 1."""
    return vectors * jax.lax.rsqrt(jnp.sum(vectors**2, -1, keepdims=True) + 1e-12)


def draw_class_weights(key: jax.Array, num_classes: int, embedding_size: int) -> jax.Array:
    """Draw float32 [num_classes, embedding_size]; a class's weights do not depend on the number of classes."""
    keys = jax.vmap(lambda label: jax.random.fold_in(key, label))(jnp.arange(num_classes))
    return 0.1 * jax.vmap(lambda one: jax.random.normal(one, (embedding_size,)))(keys)


def compute_cosface_logits(
    embeddings: jax.Array,
    class_weights: jax.Array,
    labels: jax.Array,
    num_classes: jax.Array,
    *,
    scale: float,
    margin: float,
) -> jax.Array:
    """Compute logits in which the right class's cosine must exceed the others' by a margin.

    Args:
      embeddings: float32 [batch, n], of length 1.
      class_weights: float32 [max_classes, n], of any length.
      labels: int32 [batch], in [0, num_classes).
      num_classes: int32 []; further classes are unused, their logits -inf.
      scale: of the cosines.
      margin: subtracted from the right class's cosine.

    Returns:
      float32 [batch, max_classes].

    Source: Wang et al. 2018 (CosFace), equation 4; differs in: nothing.
    """
    cosines = embeddings @ normalize_length(class_weights).T
    classes = jnp.arange(len(class_weights))
    logits = scale * (cosines - margin * (classes == labels[:, None]))
    return jnp.where(classes < num_classes, logits, -jnp.inf)
