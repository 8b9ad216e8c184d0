"""The notebook runs from its first cell to its last, with shorter trainings, in a fresh kernel (extra `docs`)."""

import os
import pathlib

import pytest

_TOUR = pathlib.Path(__file__).parents[1] / "docs" / "tour.ipynb"
# What is trained does not matter here.
_SHORTER = {
    "config.num_epochs = 100\n": "config.num_epochs = 5\nconfig.classifier.num_steps = 5\n",
    "config.sample_epochs = (5, 100)\n": "config.sample_epochs = (5,)\n",
    "epoch_0100.png": "epoch_0005.png",
    "config.num_epochs = 10\n": "config.num_epochs = 1\n",
}


@pytest.mark.slow
def test_the_tour_runs_and_shows_its_pictures():
    nbclient = pytest.importorskip("nbclient", reason="pip install -e '.[docs]'")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(_TOUR, as_version=4)
    for long, short in _SHORTER.items():
        (cell,) = [cell for cell in notebook.cells if long in cell.source]
        cell.source = cell.source.replace(long, short)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(_TOUR.parent)}}
    )
    client.execute(env=os.environ)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert any("unseen_person" in output.get("text", "") for output in outputs)
