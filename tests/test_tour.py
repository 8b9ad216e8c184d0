"""The notebook runs from its first cell to its last, as it is, in a fresh kernel (extra `docs`)."""

import os
import pathlib

import pytest

_TOUR = pathlib.Path(__file__).parents[1] / "docs" / "tour.ipynb"


@pytest.mark.slow
def test_the_tour_runs_and_shows_its_pictures():
    nbclient = pytest.importorskip("nbclient", reason="pip install -e '.[docs]'")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(_TOUR, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(_TOUR.parent)}}
    )
    client.execute(env=os.environ)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert any("unseen_person" in output.get("text", "") for output in outputs)
