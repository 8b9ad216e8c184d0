"""Owns the import of files of the PyTorch pix2pix into a workdir, and the export of a workdir's networks."""

import os
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.files import restore_config
from fpgan_jax.data import print_loading
from fpgan_jax.errors import UserError
from fpgan_jax.training import gan_trainer
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from third_party.pytorch_pix2pix import weights


def import_run(
    config: ConfigDict,
    workdir: str,
    generator_path: str,
    discriminator_path: str | None = None,
    source: Any = None,
) -> None:
    """Start a run from the weights in files of the PyTorch code.

    Args:
      config: config of the run; its networks must be those of the files.
      workdir: folder of the run, without checkpoints; created if missing.
      generator_path: path of `latest_net_G.pth`.
      discriminator_path: path of `latest_net_D.pth`; None initializes D at random.

    Raises:
      UserError: a file cannot be read or holds another network, or an error of `gan_trainer.start_from_weights`.
    """
    validate_config(config, needs_data=source is None)
    if source is None:
        # The networks are compared with the files' before the training finds the pairs' colors out.
        config = print_loading.resolve_num_channels(config)
    variables = {"generator": weights.import_generator(generator_path, config)}
    if discriminator_path is not None:
        variables["discriminator"] = weights.import_discriminator(discriminator_path, config)
    gan_trainer.start_from_weights(config, workdir, variables, source)


def export_run(workdir: str, out_dir: str, *, step: int | str | None = None, use_ema: bool = False) -> str:
    """Export the networks of a run of `launch.train_gan` to files of the PyTorch code.

    Args:
      out_dir: folder for `latest_net_G.pth` and `latest_net_D.pth`; created if missing.
      step: step of the checkpoint, or "best" by the run's own metric; the last one by default.

    Returns:
      One line with the folder, and the options with which the PyTorch code builds the networks.

    Raises:
      UserError: there is no such checkpoint, the PyTorch code has no such network, or out_dir is not writable.
    """
    generator = "generator_ema" if use_ema else "generator"
    step, trees, metadata = restore_for_evaluation(workdir, (generator, "discriminator"), step)
    config = restore_config(metadata, workdir)
    try:
        os.makedirs(out_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out_dir={out_dir}: cannot be made ({error.strerror})") from error
    weights.export_generator(trees[generator], config, os.path.join(out_dir, weights.GENERATOR_FILE))
    weights.export_discriminator(
        trees["discriminator"], config, os.path.join(out_dir, weights.DISCRIMINATOR_FILE)
    )
    return f"{out_dir}: the networks of step {step}, for {weights.describe_options(config)}"
