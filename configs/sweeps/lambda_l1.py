r"""How much the L1 loss should weigh beside the discriminator's: 5 weights x 5 seeds.

Isola et al. 2017 (section 4.1) compare 0 (the GAN alone) and 100; 100 is the paper's assumed value here.
Command: python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/lambda_l1.py --workdir=runs/lambda_l1
"""

from fpgan_jax.sweeps.axes import axis, grid, seeds


def get_sweep():
    """Return one dict per run."""
    return grid(axis("lambda_l1", (0.0, 1.0, 10.0, 100.0, 1000.0)), seeds(5))
