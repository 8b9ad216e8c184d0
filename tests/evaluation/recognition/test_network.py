"""The recognizer's network: embeddings of length 1, and CosFace's logits worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.evaluation.recognition import network

# The last is nobody's.
WEIGHTS = jnp.array([[2.0, 0.0], [1.8, 2.4], [0.0, 1.0]])


def test_the_own_class_loses_the_margin_and_nobodys_weights_take_no_part():
    embeddings = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    logits = network.compute_cosface_logits(
        embeddings, WEIGHTS, jnp.array([0, 1]), jnp.array(2), scale=10.0, margin=0.1
    )
    # Cosines 1 and 0.6 of the first, 0 and 0.8 of the second.
    np.testing.assert_allclose(logits, [[9, 6, -np.inf], [0, 7, -np.inf]], atol=1e-5)


def test_a_class_has_the_same_first_weights_however_many_follow():
    few, many = (network.draw_class_weights(jax.random.key(3), number, 4) for number in (2, 5))
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(many[0], many[1])


def test_embeddings_have_length_1_and_do_not_depend_on_the_batch():
    module = network.EmbeddingNetwork(widths=(8,), embedding_size=3)
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = jax.jit(module.init)(jax.random.key(1), images)
    embed = jax.jit(module.apply)
    together = embed(variables, images)
    np.testing.assert_allclose(jnp.linalg.norm(together, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embed(variables, images[1:]), together[1:], atol=1e-6)
