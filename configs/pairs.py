r"""Any folder of pairs of images, trained as the reference PyTorch code does by default (pix2pix's facades, maps, ...).

Reproduces: that code's networks, losses, order of updates, rate and jitter of `--model pix2pix --no_flip`, for
    files of A and B side by side, or folders A and B; docs/data.md lists the layouts. No published number: the
    tests use stand-ins with the layouts of pix2pix's public sets, not the sets themselves.
Takes: 200 epochs, which are 80,000 steps of batch 1 for the 400 facades; meant for a GPU; not measured here.
Command: python -m launch.train_gan --config=configs/pairs.py --config.data.paired_dir=FOLDER --workdir=runs/pairs
"""

from ml_collections import ConfigDict

from configs import pix2pix_pytorch


def get_config() -> ConfigDict:
    """Return the config; what it does not set is as in `pix2pix_pytorch.py`."""
    config = pix2pix_pytorch.get_config()
    config.set_name = "pairs"
    config.data.source = "paired_folder"
    config.data.num_channels = 0  # that of the files
    config.checkpoint_every_steps = 5000
    config.sample_epochs = (1, *range(5, 201, 5))  # the pairs of val/, or of test/, are measured then too
    return config
