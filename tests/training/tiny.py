r"""Owns the tiny experiment that the training tests share: 16x16 pixels, two features, prints of noise.

Run as a script it trains in a process of its own, for tests of several devices and processes:
python -m tests.training.tiny WORKDIR [--member COORDINATOR PROCESS_INDEX NUM_PROCESSES] \
    [--num_epochs=N [--stop_at=STEP]]
"""

import argparse
import functools
import traceback
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
from fpgan_jax.host import process_group
from fpgan_jax.training import classifier_step, classifier_trainer, gan_trainer, reporting
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
    config.generator.num_levels = 2  # few layers compile soon
    config.generator.norm = "batch_per_example"
    config.generator.dropout_outputs = (2,)
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


def create_ridge_config() -> ConfigDict:
    """Create a config of ridge maps; at 222 pixels per inch ridges are four pixels apart."""
    config = create_config()
    config.data.condition = "ridges"
    config.data.warp_strength = 1.0
    config.data.source, config.data.impressions_dir = "impressions", "unused"
    config.data.sensor_ppi = 222.0
    config.data.jitter = 0
    config.ridge_loss_weight = 5.0
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
            settings=classifier_step.StepSettings(classifier, tx),
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


def train_all(workdir: str) -> dict[str, Any]:
    """Train the GAN and the classifier, and on several devices also the GAN by their own feeding."""
    parts = train_gan(workdir) | {"classifier": train_classifier()}
    if jax.device_count() > 1:
        on_device = train_gan(f"{workdir}/on_device", **{"data.feeding": "device", "steps_per_dispatch": 2})
        parts |= {f"on_device_{part}": tree for part, tree in on_device.items()}
    return parts


def stop_at(step: int) -> None:
    """Have the training end at the row of a step, in all processes, as a mistake ends it."""
    write_metrics = reporting.Reporter.write_metrics

    def write_or_stop(self, current_step, values):
        if current_step >= step:
            raise SystemExit("stopped")
        write_metrics(self, current_step, values)

    reporting.Reporter.write_metrics = write_or_stop


def main() -> None:
    """Train what is asked for, everything by default, and save what it ends with as `PROCESS_INDEX.npz`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir")
    parser.add_argument("--member", nargs=3)
    parser.add_argument("--num_epochs", type=int)
    parser.add_argument("--stop_at", type=int)
    arguments = parser.parse_args()
    if arguments.member:
        coordinator, process_index, num_processes = arguments.member
        process_group.join_processes(coordinator, int(num_processes), int(process_index))
    print(f"devices: {jax.device_count()}", flush=True)
    if arguments.stop_at is not None:
        stop_at(arguments.stop_at)
    workdir, num_epochs = arguments.workdir, arguments.num_epochs
    try:
        parts = train_all(workdir) if num_epochs is None else train_gan(workdir, num_epochs=num_epochs)
    except Exception:
        # Whatever it was, the other processes wait for this one: they are told before it goes on.
        traceback.print_exc()
        process_group.end_processes("see its own error", 1)
        raise
    finally:
        process_group.leave_processes()
    leaves = {
        f"{part}{jax.tree_util.keystr(path)}": leaf
        for part, tree in parts.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    np.savez(f"{workdir}/{jax.process_index()}.npz", **leaves)


if __name__ == "__main__":
    main()
