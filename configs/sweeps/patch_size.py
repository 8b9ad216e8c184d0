r"""How large a patch the discriminator judges: 5 receptive fields x 5 seeds.

Isola et al. 2017 (section 4.4) compare 1, 16, 70 and 286 pixels. 286 is left out: it covers the twins' 128 pixels
more than twice.
Command: python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/patch_size.py --workdir=runs/patch_size
"""

from fpgan_jax.sweeps.axes import axis, grid, seeds


def get_sweep():
    """Return one dict per run."""
    return grid(axis("discriminator.receptive_field", (1, 16, 34, 70, 142)), seeds(5))
