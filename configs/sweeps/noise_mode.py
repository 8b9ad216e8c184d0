r"""What the paper leaves open about its noise: 3 distributions, one noise image per replica or person, 3 seeds.

The seed of the noise changes with the run's, so that the intervals are for other noise images too.
Command: python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/noise_mode.py --workdir=runs/noise_mode
"""

from fpgan_jax.sweeps.axes import axis, grid, seeds, zip_axes


def get_sweep():
    """Return one dict per run."""
    return grid(
        axis("data.noise_distribution", ("uniform", "gaussian", "salt_and_pepper")),
        axis("data.noise_per", ("replica", "person")),
        zip_axes(seeds(3), axis("data.noise_seed", range(3))),
    )
