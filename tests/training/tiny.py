"""Owns the tiny experiment that the training tests share: 16x16 pixels, two features, prints of noise.

Run as a script it trains in a process of its own, for tests of several devices and processes:
python -m tests.training.tiny WORKDIR [COORDINATOR PROCESS_INDEX NUM_PROCESSES]
"""

import sys

import numpy as np
from ml_collections import ConfigDict

from configs import pix2pix_socofing
from fpgan_jax.data import feeding
from fpgan_jax.data.prints import PrintSet


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


def create_source(config: ConfigDict) -> feeding.GanSource:
    """Create the source of three persons' prints, which are noise too."""
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), np.uint8)
    prints = PrintSet(images, np.array([1, 2, 3], np.int32), ("1", "2", "3"))
    return feeding.create_gan_source_from_prints(config, prints)


def main(workdir: str, *distributed: str) -> None:
    """Train the tiny experiment and save the final weights as `PROCESS_INDEX.npz`."""
    import jax

    if distributed:
        coordinator, process_index, num_processes = distributed
        jax.distributed.initialize(coordinator, int(num_processes), int(process_index))
    from fpgan_jax.training import gan_trainer

    config = create_config()
    state = gan_trainer.train_and_evaluate(config, workdir, create_source(config))
    leaves = jax.tree.leaves((state.generator.params, state.discriminator.params))
    np.savez(f"{workdir}/{jax.process_index()}.npz", *leaves)
    print(f"devices: {jax.device_count()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
