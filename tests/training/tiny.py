"""Owns the tiny experiment that the training tests share: 16x16 pixels, two features, prints of noise.

Run as a script it trains in a process of its own, for tests of several devices and processes:
python -m tests.training.tiny WORKDIR [COORDINATOR PROCESS_INDEX NUM_PROCESSES]
"""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from configs import pix2pix_socofing
from fpgan_jax import parallel
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.training import classifier_step, classifier_trainer, gan_trainer
from fpgan_jax.training.random_streams import StepKeys
from fpgan_jax.training.state import create_classifier_state


def create_config() -> ConfigDict:
    """Create a config whose numbers do not depend on how a batch is divided over devices."""
    config = pix2pix_socofing.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 16
    config.data.num_persons = 3
    config.data.num_replicas = 4
    config.data.jitter = 2
    config.generator.num_features = 2
    config.generator.norm = "batch_per_example"
    config.generator.dropout_outputs = (4,)
    config.generator.dropout_rate = 0.0
    config.discriminator.num_features = 2
    config.discriminator.receptive_field = 16
    # Not "instance": the biases before it have no effect, so that their gradients are rounding alone.
    config.discriminator.norm = "batch_per_example"
    config.global_batch_size = 4
    config.num_epochs = 2  # 6 steps
    config.log_every_steps = 2
    config.checkpoint_every_steps = 3
    config.sample_epochs = (1, 2)
    config.num_samples = 2
    return config


def create_prints() -> PrintSet:
    """Create three persons' prints, which are noise too."""
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
    return PrintSet(images, np.array([1, 2, 3], np.int32), ("1", "2", "3"))


def create_source(config: ConfigDict) -> feeding.GanSource:
    """Create the source of these prints."""
    return feeding.create_gan_source_from_prints(config, create_prints())


class TinyClassifier(nn.Module):
    """One convolution and a dense layer; no norm and no dropout, so that no example sees another.

    Its statistic, the batch's mean square, is one whose average over devices is that of the whole batch.
    """

    @nn.compact
    def __call__(self, images, *, deterministic, use_running_average):
        """Return logits [batch, 3]."""
        self.variable("batch_stats", "mean_square", lambda: jnp.zeros(())).value = jnp.square(images).mean()
        features = nn.tanh(nn.Conv(4, (4, 4), strides=4, name="conv")(images))
        return nn.Dense(3, name="logits")(features.reshape(len(images), -1))


def train_gan(workdir: str, **changes) -> dict[str, Any]:
    """Train the tiny experiment with changed fields; return both networks' weights, moments and statistics."""
    config = create_config()
    config.update_from_flattened_dict(changes)
    state = gan_trainer.train_and_evaluate(config, workdir, create_source(config))
    networks = (state.generator, state.discriminator)
    return {
        "params": [network.params for network in networks],
        "mu": [optax.tree_utils.tree_get(network.opt_state, "mu") for network in networks],
        "nu": [optax.tree_utils.tree_get(network.opt_state, "nu") for network in networks],
        "batch_stats": [network.batch_stats for network in networks],
    }


def train_classifier() -> dict[str, Any]:
    """Take three steps of a classifier with the config's own augmentation.

    Plain gradient descent: unlike Adam it does not forgive a constant factor on the gradient.
    """
    config = create_config()
    classifier, tx = TinyClassifier(), optax.sgd(0.1)
    state = create_classifier_state(jax.random.key(0), classifier=classifier, tx=tx, image_shape=(16, 16, 1))
    step = parallel.pmap_step(
        functools.partial(
            classifier_step.train_step,
            classifier=classifier,
            tx=tx,
            prepare_batch=functools.partial(
                classifier_trainer.prepare_batch, augmentation_config=config.classifier.augmentation
            ),
            axis_name=parallel.DEVICE_AXIS,
        )
    )
    batch = {
        "image": np.random.default_rng(1).integers(0, 256, (4, 16, 16, 1), np.uint8),
        "label": np.array([0, 1, 2, 0], np.int32),
    }
    rows = np.split(np.arange(4), jax.process_count())[jax.process_index()]
    batch = parallel.shard_batch({name: values[rows] for name, values in batch.items()})
    state = parallel.replicate(state)
    for _ in range(3):
        state, metrics = step(state, batch, StepKeys(*jax.random.split(jax.random.key(2))))
    state, metrics = parallel.unreplicate((state, metrics))
    return {
        "params": state.classifier.params,
        "batch_stats": state.classifier.batch_stats,
        "last_metrics": metrics,
    }


def main(workdir: str, *distributed: str) -> None:
    """Train the GAN and the classifier and save what they end with as `PROCESS_INDEX.npz`."""
    if distributed:
        coordinator, process_index, num_processes = distributed
        jax.distributed.initialize(coordinator, int(num_processes), int(process_index))
    parts = train_gan(workdir) | {"classifier": train_classifier()}
    if jax.device_count() > 1:
        on_device = train_gan(f"{workdir}/on_device", **{"data.feeding": "device", "steps_per_dispatch": 2})
        parts |= {f"on_device_{part}": tree for part, tree in on_device.items()}
    leaves = {
        f"{part}{jax.tree_util.keystr(path)}": leaf
        for part, tree in parts.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    np.savez(f"{workdir}/{jax.process_index()}.npz", **leaves)
    print(f"devices: {jax.device_count()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
