"""Owns the recogniser's network: from an aligned print to an embedding, and from embeddings to a class's logits.

Does not train it (`training.py`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp


class EmbeddingNetwork(nn.Module):
    """Small residual network whose embedding keeps places, as aligned prints allow.

    Every norm is an example's own, so that an embedding does not depend on the prints beside it in a batch, which
    differ from arm to arm.

    Attributes:
      widths: features at a half, a quarter, an eighth ... of the image's size.
      embedding_size: length of the embedding.
    """

    widths: tuple[int, ...] = (16, 24, 48, 64)
    embedding_size: int = 128

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Embed prints.

        Args:
          images: float32 [batch, height, width, 1].

        Returns:
          float32 [batch, embedding_size], of length 1.
        """
        x = nn.relu(_normalize(nn.Conv(self.widths[0], (7, 7), strides=2, use_bias=False)(images)))
        for width in self.widths[1:]:
            x = nn.relu(_normalize(nn.Conv(width, (3, 3), strides=2, use_bias=False)(x)))
            x = x + nn.relu(_normalize(nn.Conv(width, (3, 3), use_bias=False)(x)))
        x = nn.Dense(self.embedding_size)(x.reshape(len(x), -1))
        return normalize_length(x)


def _normalize(x: jax.Array) -> jax.Array:
    return nn.GroupNorm(num_groups=8)(x)


def normalize_length(vectors: jax.Array) -> jax.Array:
    """Bring vectors [..., n] to length 1."""
    return vectors * jax.lax.rsqrt(jnp.sum(vectors**2, -1, keepdims=True) + 1e-12)


def draw_class_weights(key: jax.Array, num_classes: int, embedding_size: int) -> jax.Array:
    """Draw a weight for each class, which does not depend on how many classes follow.

    Args:
      key: of `jax.random`.
      num_classes: how many.
      embedding_size: of the embeddings.

    Returns:
      float32 [num_classes, embedding_size].
    """
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
    """Compute logits of which the own class's cosine must exceed the others' by a margin.

    Args:
      embeddings: float32 [batch, n], of length 1.
      class_weights: float32 [max_classes, n], of any length.
      labels: int32 [batch], in [0, num_classes).
      num_classes: int32 []; the weights that follow are nobody's, their logits -inf.
      scale: of the cosines.
      margin: taken from the own class's cosine.

    Returns:
      float32 [batch, max_classes].

    Source: Wang et al. 2018 (CosFace), equation 4; differs in: nothing.
    """
    cosines = embeddings @ normalize_length(class_weights).T
    classes = jnp.arange(len(class_weights))
    logits = scale * (cosines - margin * (classes == labels[:, None]))
    return jnp.where(classes < num_classes, logits, -jnp.inf)
