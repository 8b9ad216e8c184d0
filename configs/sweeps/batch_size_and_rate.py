r"""Batch size and learning rate of the GAN together: 4 x 4, with 3 seeds each.

The epochs stay, so that a larger batch takes fewer steps; the plots show whether the rate must grow with it.
Command: python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/batch_size_and_rate.py --workdir=runs/batch_size_and_rate
"""

from fpgan_jax.sweeps.axes import axis, grid, seeds


def get_sweep():
    """Return one dict per run."""
    return grid(
        axis("global_batch_size", (1, 4, 10, 20)),
        axis("learning_rate", (1e-4, 2e-4, 5e-4, 1e-3)),
        seeds(3),
    )
