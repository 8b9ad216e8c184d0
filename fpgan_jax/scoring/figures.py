"""The pictures of a finished run: prints by epoch, and the loss curves."""

import csv
import glob
import os

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.training.reporting import METRICS_FILENAME

matplotlib.use("Agg")

_CURVES = (
    ("l1_loss", "L1 loss"),
    ("adversarial_loss", "adversarial loss of G (nats)"),
    ("discriminator_loss", "loss of D (nats)"),
)


def draw_epochs(gan_workdir: str, path: str, tile_size: tuple[int, int], condition: str = "noise") -> None:
    """Draw the conditions, the prints generated after each sampled epoch, and the real prints; a row per pair.

    Args:
      gan_workdir: the workdir of `launch.train_gan`.
      path: the PNG to write.
      tile_size: (height, width) of the run's images, pixels.
      condition: config.data.condition of the run, the title of its column.

    Raises:
      UserError: the workdir has no sample grids.

    Source: Cordeiro & Saito, figure 3; differs in: several persons in place of one.
    """
    grids = {}
    for file in sorted(glob.glob(os.path.join(glob.escape(gan_workdir), "samples", "epoch_*.png"))):
        grids[int(file.rpartition("_")[2].removesuffix(".png"))] = _split_grid(file, tile_size)
    if not grids:
        raise UserError(f"{gan_workdir}: no sample grids; set config.sample_epochs and config.num_samples")
    first = next(iter(grids.values()))
    columns = {condition: first[0]} | {f"epoch {epoch}": grid[1] for epoch, grid in grids.items()}
    draw_columns(columns | {"real": first[2]}, path)


def _split_grid(file: str, tile_size: tuple[int, int]) -> list[list[np.ndarray]]:
    """Split a grid of three tiles per row into its three columns."""
    picture = np.asarray(Image.open(file))
    height, width = tile_size
    columns = (picture[:, left : left + width] for left in range(0, 3 * width, width))
    return [[column[top : top + height] for top in range(0, len(picture), height)] for column in columns]


def draw_columns(columns: dict[str, list[np.ndarray]], path: str) -> None:
    """Draw columns of gray tiles, title -> uint8 [height, width] of each row, as a PNG."""
    num_rows = len(next(iter(columns.values())))
    figure = Figure(figsize=(1.6 * len(columns), 1.6 * num_rows + 0.3), layout="constrained")
    axes = figure.subplots(num_rows, len(columns), squeeze=False)
    for column, (title, tiles) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=10)
        for row, tile in enumerate(tiles):
            axes[row, column].imshow(tile, cmap="gray", vmin=0, vmax=255)
    for axis in axes.flat:
        axis.set_axis_off()
    save_figure(figure, path)


def draw_losses(gan_workdir: str, path: str) -> None:
    """Draw the losses of a workdir of `launch.train_gan` over the steps, as a PNG.

    Raises:
      UserError: the workdir has no metrics.
    """
    source = os.path.join(gan_workdir, METRICS_FILENAME)
    try:
        with open(source, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows]
        figure = Figure(figsize=(10, 2.8), layout="constrained")
        for axis, (name, label) in zip(figure.subplots(1, len(_CURVES)), _CURVES, strict=True):
            axis.plot(steps, [float(row[name]) for row in rows])
            axis.set(xlabel="step", title=label)
            axis.grid(alpha=0.3)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source}: not a metrics file of launch.train_gan; train first") from error
    save_figure(figure, path)


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as a PNG, which appears whole or not at all."""
    with write_whole(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)
