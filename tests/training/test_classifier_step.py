"""The classifier's step, on a network so small that every number is worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from fpgan_jax.training import classifier_step
from fpgan_jax.training.finiteness import PROBES
from fpgan_jax.training.random_streams import StepKeys
from fpgan_jax.training.state import create_classifier_state


class LinearClassifier(nn.Module):
    """logits = w * mean of the image, with w = 0 at the start; counts its passes."""

    @nn.compact
    def __call__(self, images, *, deterministic, use_running_average):
        passes = self.variable("batch_stats", "passes", lambda: jnp.zeros(()))
        if not self.is_initializing():
            passes.value = passes.value + 1
        weights = self.param("w", nn.initializers.zeros, (2,))
        return images.mean((1, 2, 3))[:, None] * weights


KEYS = StepKeys(jax.random.key(1), jax.random.key(2))
BATCH = {"image": jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1), "label": jnp.array([0, 1])}


def create(factor=1):
    classifier, tx = LinearClassifier(), optax.sgd(1.0)
    state = create_classifier_state(jax.random.key(0), classifier=classifier, tx=tx, image_shape=(1, 1, 1))
    return state, functools.partial(
        classifier_step.train_step,
        settings=classifier_step.StepSettings(classifier, tx),
        prepare_batch=lambda key, batch, first_index: factor * batch["image"],
    )


@pytest.fixture
def after():
    state, step = create()
    return step(state, BATCH, KEYS)


def test_update_is_the_gradient_of_the_cross_entropy(after):
    # d loss / d w = mean over examples of (p - target) * mean: p = (1/2, 1/2) at w = 0, so
    # [(-1/2) * 1 + (1/2) * 3] / 2 = 1/2 for class 0, its negative for class 1.
    np.testing.assert_allclose(after[0].classifier.params["w"], [-0.5, 0.5], rtol=1e-6)


def test_metrics_are_of_the_weights_before_the_update(after):
    assert after[1][PROBES] == {"classifier": 0}
    averages = {name: float(after[1][name].total / after[1][name].count) for name in ("loss", "accuracy")}
    # Equal logits: the loss is log 2, and argmax takes the first class.
    np.testing.assert_allclose([averages["loss"], averages["accuracy"]], [np.log(2), 0.5], rtol=1e-6)


def test_statistics_and_step_move(after):
    assert (float(after[0].classifier.batch_stats["passes"]), int(after[0].step)) == (1.0, 1)


def test_images_are_prepared_before_they_are_seen():
    state, step = create(factor=2)
    after, _ = step(state, BATCH, KEYS)
    np.testing.assert_allclose(after.classifier.params["w"], [-1.0, 1.0], rtol=1e-6)
