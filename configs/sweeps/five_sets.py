r"""The paper's five sets by five seeds: how much of table 2 is chance.

Each set has the persons and test persons of configs/twin_*.py and configs/paper_*.py.
Command: python -m launch.sweep --config=configs/twin_p50.py --config.data.socofing_dir=SOCOFING_FOLDER \
    --sweep=configs/sweeps/five_sets.py --workdir=runs/five_sets
"""

from fpgan_jax.sweeps.axes import axis, grid, seeds, zip_axes


def get_sweep():
    """Return one dict per run."""
    sets = zip_axes(
        axis("set_name", ("P50", "P100", "P150", "P200", "P250")),
        axis("data.num_persons", (5, 10, 15, 20, 25)),
        axis("evaluation.num_test_persons", (3, 5, 8, 10, 13)),
    )
    return grid(sets, seeds(5))
