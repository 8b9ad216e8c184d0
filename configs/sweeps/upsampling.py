r"""Whether resizing and a convolution leave fewer checkerboards than the transposed one: 2 upsamplings x 3 seeds.

Odena et al. 2016 propose it. `launch.evaluate --experiment=FOLDER_OF_A_RUN --out_dir=...` measures the
checkerboards, with its family "checkerboard".
Command: python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/upsampling.py --workdir=runs/upsampling
"""

from fpgan_jax.sweeps.axes import axis, grid, seeds


def get_sweep():
    """Return one dict per run."""
    return grid(axis("generator.upsampling", ("transposed", "resize")), seeds(3))
