"""Sets of prints: how they are named, read in order, and kept."""

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.recognition import alignment, print_sets
from fpgan_jax.evaluation.recognition.print_sets import SetPlace, load_prints, parse_places


def test_a_place_has_a_name_a_folder_and_a_resolution():
    places = parse_places(["uareu=prints/u=1@2@512,lindex=a,b@500", "c=d@248.5x230"], "tests")
    assert places == [
        ("uareu", "prints/u=1@2", (512.0, 512.0)),
        ("lindex", "a,b", (500.0, 500.0)),
        ("c", "d", (230.0, 248.5)),  # down, across
    ]


@pytest.mark.parametrize(
    "text",
    [
        "prints@500",
        "a=prints",
        "a=@500",
        "a=prints@high",
        "a=prints@nan",
        "a=prints@5",
        "a=prints@500x",
        "a=prints@500x500x500",
        "a/b=p@500",
        "a+b=p@500",
    ],
)
def test_another_form_is_refused(text):
    with pytest.raises(UserError, match=r"^--tests="):
        parse_places([text], "tests")


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "prints"
    folder.mkdir()
    for number, name in enumerate(("7_10", "7_2", "3_1")):
        image = np.full((40, 40), 200, np.uint8)
        image[0, 0] = number
        Image.fromarray(image).save(folder / f"{name}.png")
    monkeypatch.setattr(
        alignment, "align_print", lambda image, ppi: np.full((128, 128), image[0, 0], np.int8)
    )
    return SetPlace("set", str(folder), (500.0, 500.0))


def test_prints_come_in_order_of_finger_and_impression(place, tmp_path):
    prints = load_prints(place, "tests", str(tmp_path / "kept"))
    assert prints.fingers.tolist() == [3, 7, 7]
    assert prints.images[:, 5, 5].tolist() == [2, 1, 0]


def test_aligned_prints_are_kept_by_their_contents(place, tmp_path, monkeypatch):
    kept = str(tmp_path / "kept")
    first = load_prints(place, "tests", kept)

    def fail(image, ppi):
        raise AssertionError("aligned again")

    monkeypatch.setattr(alignment, "align_print", fail)
    np.testing.assert_array_equal(load_prints(place, "tests", kept).images, first.images)
    with pytest.raises(AssertionError, match="aligned again"):
        load_prints(place._replace(ppi=(512.0, 500.0)), "tests", kept)
    Image.fromarray(np.eye(40, dtype=np.uint8)).save(f"{place.folder}/3_1.png")
    with pytest.raises(AssertionError, match="aligned again"):
        load_prints(place, "tests", kept)


def test_a_file_that_was_cut_short_is_made_anew(place, tmp_path):
    kept = tmp_path / "kept"
    first = load_prints(place, "tests", str(kept))
    (path,) = kept.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(load_prints(place, "tests", str(kept)).images, first.images)


def test_procedural_fingers_have_their_impressions(monkeypatch, tmp_path):
    taken = []
    monkeypatch.setattr(print_sets, "create_finger", lambda seed, finger: (seed, finger))

    def create_impression(finger, impression, *, size):
        taken.append((*finger, impression))
        return np.zeros((298, 241), np.uint8)

    monkeypatch.setattr(print_sets, "create_impression", create_impression)
    monkeypatch.setattr(alignment, "align_print", lambda image, ppi: np.zeros((128, 128), np.int8))
    prints = print_sets.grow_prints("procedural", 2, 2, 5, str(tmp_path))
    assert prints.fingers.tolist() == [1, 1, 2, 2]
    assert taken == [(5, 1, 0), (5, 1, 1), (5, 2, 0), (5, 2, 1)]
