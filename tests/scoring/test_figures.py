"""The pictures of a finished run."""

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.scoring import figures
from fpgan_jax.training.reporting import Reporter


def write_run(folder):
    reporter = Reporter(str(folder), start_step=0)
    for epoch in (2, 28):
        tiles = [
            [np.full((8, 6, 1), 100 * column + row, np.uint8) for column in range(3)] for row in range(2)
        ]
        reporter.write_images(epoch, f"epoch_{epoch:04d}", tiles)
        names = ("l1_loss", "adversarial_loss", "discriminator_loss")
        reporter.write_metrics(epoch, {name: 1.0 / epoch for name in names})
    reporter.close()


def test_grid_splits_into_noise_fake_and_real(tmp_path):
    write_run(tmp_path)
    columns = figures._split_grid(str(tmp_path / "samples" / "epoch_0002.png"), (8, 6))
    assert [[int(tile[0, 0]) for tile in column] for column in columns] == [[0, 1], [100, 101], [200, 201]]


def test_figure_of_the_epochs_has_a_column_for_each(tmp_path, monkeypatch):
    write_run(tmp_path)
    drawn = {}
    monkeypatch.setattr(figures, "draw_columns", lambda columns, path: drawn.update(columns))
    figures.draw_epochs(str(tmp_path), "unused", (8, 6))
    assert list(drawn) == ["noise", "epoch 2", "epoch 28", "real"]


@pytest.mark.parametrize(
    "draw",
    [lambda *paths: figures.draw_epochs(*paths, (8, 6)), figures.draw_losses],
    ids=["epochs", "losses"],
)
def test_a_picture_is_written(tmp_path, draw):
    write_run(tmp_path)
    draw(str(tmp_path), str(tmp_path / "figure.png"))
    assert np.asarray(Image.open(tmp_path / "figure.png").convert("L")).std() > 10


def test_missing_samples_are_named(tmp_path):
    with pytest.raises(UserError, match="no sample grids"):
        figures.draw_epochs(str(tmp_path), str(tmp_path / "figure.png"), (8, 6))


def test_missing_metrics_are_named(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.csv: not a metrics file"):
        figures.draw_losses(str(tmp_path), str(tmp_path / "figure.png"))
