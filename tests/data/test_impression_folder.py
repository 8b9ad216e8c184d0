"""A folder of several impressions of each finger, from names to training pairs."""

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.config.checks import validate_config
from fpgan_jax.data import impression_folder, print_loading
from fpgan_jax.errors import UserError

# Two fingers of person 12, one of 13, and one whose person is not told.
NAMES = ("012-7_1", "012-7_2", "012-7_10", "012-10_1", "013-7_1", "013-7_2", "101_1")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(NAMES):
        image = np.full((30, 20), 200, np.uint8)
        image[10:20, 5:15] = number
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    (tmp_path / "README.md").write_text("no print")
    return tmp_path


@pytest.fixture
def config(folder):
    config = test_size.get_config()
    config.data.source, config.data.impressions_dir, config.data.sensor_ppi = (
        "impressions",
        str(folder),
        500.0,
    )
    config.data.image_size, config.data.image_width, config.data.num_persons = 30, 20, 2
    return config


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("101_2.png", (101, 101, 2)),
        ("012-7_10.PNG", (12, 1207, 10)),
        ("012-10_1.bmp", (12, 1210, 1)),
        ("12__M_Right_index_finger.BMP", None),
        ("7.png", None),
        ("a_1.png", None),
        ("0_1.png", None),
    ],
)
def test_names_tell_person_finger_and_impression(name, expected):
    assert impression_folder.parse_filename(name) == expected


def test_all_impressions_are_read_by_finger_and_number(config):
    prints = print_loading.load_prints(config, persons=[101, 1207])
    assert prints.persons.tolist() == [101, 1207, 1207, 1207]
    assert prints.filenames == ("101_1.png", "012-7_1.png", "012-7_2.png", "012-7_10.png")
    assert prints.images[:, 15, 10, 0].tolist() == [6, 0, 1, 2]


def test_the_first_impressions_train_and_the_others_are_held_out(config):
    config.data.num_impressions, config.data.persons = 2, (1207, 1307)
    chosen = {
        which: print_loading.load_prints(config, impressions=which).filenames
        for which in (print_loading.TRAINING, print_loading.HELD_OUT, print_loading.EVERY)
    }
    assert chosen["training"] == ("012-7_1.png", "012-7_2.png", "013-7_1.png", "013-7_2.png")
    assert chosen["held_out"] == ("012-7_10.png",)
    assert len(chosen["every"]) == 5


def test_another_finger_of_a_trained_person_is_no_stranger(config):
    config.data.persons = (1207,)
    assert print_loading.list_persons(config) == (101, 1207, 1210, 1307)
    assert print_loading.list_strangers(config) == (101, 1307)


def test_two_impressions_have_noise_of_their_own(config):
    config.data.persons, config.data.num_replicas, config.data.noise_per = (1207, 1307), 2, "replica"
    pairs = print_loading.create_pairs(config)
    ids = [pairs.identify(index) for index in range(len(pairs))]
    assert ids == [(1207, n) for n in range(6)] + [(1307, n) for n in range(4)]
    noise = {pairs[index]["noise_image"].tobytes() for index in range(len(pairs))}
    assert len(noise) == 10


def test_prints_are_scaled_the_same_both_ways_and_placed_in_the_middle(config):
    # 30 x 20 at 500 ppi are 15 x 10 at 250; in 16 x 20 pixels there is white around them.
    config.data.image_ppi, config.data.image_size, config.data.image_width = 250.0, 16, 20
    image = print_loading.load_prints(config, persons=[101]).images[0, ..., 0]
    assert image.shape == (16, 20)
    rows, columns = np.nonzero(image < 255)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 14, 5, 14)
    # The inner square of 10 x 10 pixels, darker by 194, has a quarter of its area.
    assert (200 - image[:15, 5:15].astype(int)).sum() == pytest.approx(100 * 194 / 4, rel=0.02)


def test_larger_prints_are_cut_to_the_middle(config):
    config.data.image_size, config.data.image_width = 12, 12
    image = print_loading.load_prints(config, persons=[101]).images[0, ..., 0]
    assert image[0].tolist() == [200] * 12 and image[1].tolist() == [200] + [6] * 10 + [200]


def test_an_archive_holds_every_impression(config, tmp_path):
    config.data.num_impressions = 1
    assert print_loading.write_archive(config, tmp_path / "prints.npz") == 7
    expected = print_loading.load_prints(config, impressions=print_loading.HELD_OUT)
    config.data.source, config.data.npz_file = "npz", str(tmp_path / "prints.npz")
    found = print_loading.load_prints(config, impressions=print_loading.HELD_OUT)
    assert found.filenames == expected.filenames
    np.testing.assert_array_equal(found.images, expected.images)
    config.data.sensor_ppi = 512.0
    with pytest.raises(UserError, match="sensor_ppi=500"):
        print_loading.load_prints(config)


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("101_01.png", [[1, 2]], "101_1.png: the same finger and impression as 101_01.png"),
        ("left_1.png", [[1, 2]], "left_1.png: its name is not <finger>_<impression>"),
        ("200_1.png", [[7, 7]], "200_1.png: shows nothing"),
    ],
)
def test_a_bad_file_stops_or_is_skipped(config, folder, name, pixels, message):
    Image.fromarray(np.array(pixels, np.uint8)).save(folder / name)
    with pytest.raises(UserError, match=message):
        print_loading.list_persons(config)
    config.data.on_bad_file = "skip"
    assert print_loading.list_persons(config) == (101, 1207, 1210, 1307)


def test_an_unreadable_file_is_named(config, folder):
    (folder / "300_1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"300_1\.png: cannot be read"):
        print_loading.list_persons(config)


def test_a_folder_without_prints_is_named(config, tmp_path):
    config.data.impressions_dir = str(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"config\.data\.impressions_dir: .*nothing' is not a folder"):
        print_loading.list_persons(config)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="holds no <finger>_<impression>"):
        print_loading.list_persons(config)


def test_the_sensors_resolution_is_asked_for(config):
    validate_config(config)
    config.data.sensor_ppi = 0.0
    with pytest.raises(UserError, match=r"config\.data\.sensor_ppi: not given"):
        validate_config(config)


def test_socofings_scale_cannot_be_changed(config):
    config.data.source, config.data.socofing_dir = "socofing", "somewhere"
    with pytest.raises(UserError, match="the scale of SOCOFing's scans is known"):
        validate_config(config)
