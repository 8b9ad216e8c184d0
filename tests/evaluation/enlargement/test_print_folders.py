"""Folders of several sensors as studies: who is whose finger, at which scale, and what is refused."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.enlargement import print_folders
from fpgan_jax.evaluation.enlargement.print_folders import Posed, Request
from fpgan_jax.evaluation.recognition.print_sets import SetPlace
from tests.training import tiny

WINDOW = print_folders.Window((20, 10), 1000.0)


@pytest.fixture
def write(tmp_path):
    def write_folder(name, levels, size=(10, 20), called=""):
        folder = tmp_path / name
        folder.mkdir()
        for filename, level in levels.items():
            image = np.full(size[::-1], level, np.uint8)
            image[0, 0] = 0  # not blank
            Image.fromarray(image).save(folder / filename)
        return SetPlace(called or name, str(folder), (500.0, 500.0))

    return write_folder


@pytest.fixture
def request_(write):
    first = write(
        "a", {"1_1.png": 11, "1_2.png": 12, "1_3.png": 13, "2_1.png": 21, "2_2.png": 22, "3_1.png": 31}
    )
    second = write("b", {"1_1.png": 111, "1_2.png": 112, "2_1.png": 121, "2_2.png": 122})
    drawn = [
        Posed("a", write("drawn_a", {"1_01.png": 51, "2_01.png": 52, "3_01.png": 53}, called="ours")),
        Posed("b", write("drawn_b", {"1_01.png": 61, "1_02.png": 62}, called="ours")),
    ]
    return Request(real=(first, second), more_impressions=drawn, num_impressions=2, num_synthetic=1)


def read_levels(collection):
    return {
        (int(person), int(image[10, 5]))
        for person, image in zip(collection.persons, collection.images, strict=True)
    }


def test_fingers_of_two_sets_are_different_fingers_and_a_single_impression_is_none(request_):
    made = {one.name: one for one in print_folders.load_more_impressions(request_, WINDOW)}
    assert read_levels(made["real"]) == {(1, 11), (2, 21), (3, 111), (4, 121)}
    assert read_levels(made["real_held_out"]) == {(1, 12), (2, 22), (3, 112), (4, 122)}


def test_synthetic_prints_are_counted_under_the_finger_of_their_set(request_):
    made = {one.name: one for one in print_folders.load_more_impressions(request_, WINDOW)}
    # Finger 3 of the first set has no second impression, and one synthetic impression of each is judged.
    assert read_levels(made["ours"]) == {(1, 51), (2, 52), (3, 61)}


def test_controls_are_the_own_print_and_another_finger_s_of_the_same_sensor(request_):
    made = {one.name: one for one in print_folders.load_more_impressions(request_, WINDOW)}
    assert read_levels(made["control_copy"]) == read_levels(made["real"])
    assert read_levels(made["control_stranger"]) == {(1, 21), (2, 11), (3, 121), (4, 111)}


def test_the_window_is_that_of_the_first_synthetic_prints(request_, write):
    half = write("half", {"1_01.png": 51}, size=(8, 6))._replace(ppi=(250.0, 200.0))
    request = Request(real=request_.real, more_impressions=[Posed("a", half)])
    # 6 pixels down at 250 per inch, 8 across at 200.
    assert print_folders.find_window(request) == ((12, 20), 250)
    assert print_folders.find_window(dataclasses.replace(request, max_ppi=400.0)).max_ppi == 400


def test_sharper_prints_are_reduced_to_the_windows_resolution():
    # Stripes of two pixels at 500 per inch cannot be seen at 240, stripes of eight can.
    fine, coarse = (np.where(np.arange(40) % period < period // 2, 0, 255) for period in (2, 8))
    images = [np.tile(stripes.astype(np.uint8), (40, 1))[..., None] for stripes in (fine, coarse)]
    window = print_folders.Window((40, 40), 240.0)
    spreads = [
        print_folders.scale_to_window(image, (500.0, 500.0), window)[8:-8, 8:-8].std() for image in images
    ]
    assert spreads[0] < 5 and spreads[1] > 80
    for sharp_enough in (500.0, 498.0):
        same = print_folders.scale_to_window(images[0], (500.0, 500.0), window._replace(max_ppi=sharp_enough))
        np.testing.assert_array_equal(same, images[0][..., 0])


def test_prints_are_scaled_cut_and_filled_up_with_white():
    image = np.zeros((10, 30, 1), np.uint8)
    scaled = print_folders.scale_to_window(image, (1000.0, 500.0), WINDOW)
    # 5 pixels high in the middle of 20; the middle 10 across.
    assert (scaled == 0).all(1).sum() == 5 and (scaled[:7] == 255).all()


@pytest.mark.parametrize(("max_ppi", "is_reduced"), [(240.0, True), (498.0, False)])
def test_prints_of_the_trainings_sensor_are_reduced_too(write, max_ppi, is_reduced):
    folder = write("stripes", {})
    fine = np.tile(np.where(np.arange(40) % 2, 0, 255).astype(np.uint8), (40, 1))
    for finger in (1, 2, 3):
        Image.fromarray(fine).save(f"{folder.folder}/{finger}_1.png")
    real = write("real", {"1_1.png": 11, "1_2.png": 12})
    config = tiny.create_config()
    config.data.update(
        source="impressions", impressions_dir=folder.folder, sensor_ppi=500.0, image_ppi=500.0, image_size=40
    )
    config.data.update(num_persons=0, num_held_out_persons=1, num_impressions=1, frame="crop")
    request = Request(real=[real], num_procedural=0)
    made = print_folders.load_new_fingers(request, config, print_folders.Window((40, 40), max_ppi))
    spreads = {one.name: one.images[:, 8:-8, 8:-8].std() for one in made if one.name != "real_held_out"}
    assert set(spreads) == {"real", "real_others", "control_copy"}
    assert all((spread < 10) == is_reduced for spread in spreads.values()), spreads


def test_a_set_must_say_whose_fingers_it_has(write):
    place = SetPlace("ours", "nobody:folder", (500.0, 500.0))
    message = r"--more_impressions=ours=nobody:folder: say whose .*ours=a:FOLDER@PPI; .* a, b"
    with pytest.raises(UserError, match=message):
        print_folders.parse_posed([place], ["a", "b"])
    (found,) = print_folders.parse_posed([place._replace(folder="b:runs/x")], ["a", "b"])
    assert (found.real, found.place.folder) == ("b", "runs/x")


def test_impressions_of_nobody_chosen_are_refused(request_, write):
    stray = Posed("a", write("stray", {"9_01.png": 1}, called="ours"))
    request = Request(real=request_.real, more_impressions=[stray])
    with pytest.raises(UserError, match="--more_impressions=ours: none of its prints"):
        print_folders.load_more_impressions(request, WINDOW)


def test_one_impression_a_finger_is_refused(write):
    single = write("single", {"1_1.png": 1, "2_1.png": 2})
    with pytest.raises(UserError, match="--real=single: .* no two fingers with two impressions"):
        print_folders.load_more_impressions(Request(real=[single]), WINDOW)


def test_nothing_to_judge_is_refused(request_):
    with pytest.raises(UserError, match="give one at least"):
        print_folders.find_window(Request(real=request_.real))


@pytest.mark.parametrize("max_ppi", [0.5, 99.0, 2001.0])
def test_a_resolution_that_no_print_has_is_refused(request_, max_ppi):
    with pytest.raises(UserError, match=f"--max_ppi={max_ppi:g}: .* from 100 to 2000"):
        print_folders.find_window(dataclasses.replace(request_, max_ppi=max_ppi))


@pytest.mark.parametrize("name", ["real", "real_others", "procedural", "control_copy"])
def test_a_set_cannot_have_the_name_of_another_collection(request_, name):
    place = SetPlace(name, "folder", (500.0, 500.0))
    with pytest.raises(UserError, match=f"--more_fingers: '{name}' has a meaning of its own"):
        print_folders.check_request(Request(real=request_.real, more_fingers=[place]))


def test_two_sets_of_one_name_are_refused_and_one_set_of_two_sensors_is_not(request_):
    print_folders.check_request(request_)
    place = SetPlace("new", "folder", (500.0, 500.0))
    for flag, twice in (
        ("more_fingers", Request(real=request_.real, more_fingers=[place, place])),
        ("real", Request(real=request_.real * 2)),
    ):
        with pytest.raises(UserError, match=f"--{flag}: two sets are called"):
            print_folders.check_request(twice)
    drawn = [*request_.more_impressions, request_.more_impressions[0]]
    with pytest.raises(UserError, match="two folders of 'ours' are of fingers of 'a'"):
        print_folders.check_request(Request(real=request_.real, more_impressions=drawn))


def test_a_resolution_other_than_the_manifest_s_is_refused(request_, write):
    place = write("new", {"1_01.png": 51})
    with open(f"{place.folder}/manifest.csv", "w", encoding="utf-8") as file:
        file.write("file,ppi\n1_01.png,238.7\n")
    known = Request(real=request_.real, more_fingers=[place._replace(ppi=(238.0, 238.0))])
    print_folders.check_request(known)
    with pytest.raises(UserError, match=r"--more_fingers: new: .*manifest.csv says 238.7 pixels per inch"):
        print_folders.check_request(Request(real=request_.real, more_fingers=[place]))
