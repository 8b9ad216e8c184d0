"""Other people's folders of pairs: which layouts are taken, what is made of them, and what is said of the others."""

import os

import numpy as np
import pytest
from PIL import Image

from configs import pairs as pairs_config
from fpgan_jax.config.checks import validate_config
from fpgan_jax.data import pair_folder, pair_layouts, pairs, print_loading
from fpgan_jax.errors import UserError

SIZE = 16


def write_image(path, value=0, *, color=False, size=(SIZE, SIZE)):
    """Write a ramp that begins at `value`; the red of a colored one is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.repeat((value + np.arange(size[0] * size[1]) % 7).reshape(*size[::-1], 1), 3, axis=2)
    if color:
        pixels[..., 0] = 0
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_pair(path, value=0, **options):
    """Write A, which begins at `value`, left of B, which begins at 100 more."""
    parts = [path.parent / f"part{side}.bmp" for side in "AB"]
    for part, begin in zip(parts, (value, value + 100), strict=True):
        write_image(part, begin, **options)
    Image.fromarray(np.concatenate([np.asarray(Image.open(part)) for part in parts], axis=1)).save(path)
    for part in parts:
        part.unlink()


def write_two(left, right, name="1.png", value=0, **options):
    write_image(left / name, value, **options)
    write_image(right / name, value + 100, **options)


@pytest.fixture
def config(tmp_path):
    config = pairs_config.get_config()
    config.data.paired_dir = str(tmp_path)
    config.data.image_size = SIZE
    return config


def open_folder(config, **options):
    return pair_folder.PairFolder(config.data.paired_dir, config.data, **options)


LAYOUTS = {
    "files": ((".", "."), None),
    "train": (("train", "train"), ("val", "val")),
    "A and B": (("A", "B"), None),
    "A/train": (("A/train", "B/train"), ("A/val", "B/val")),
    "train/A": (("train/A", "train/B"), ("test/A", "test/B")),
    "trainA": (("trainA", "trainB"), ("testA", "testB")),
}


def write_layout(root, sides, value):
    left, right = (root / side for side in sides)
    left.mkdir(parents=True, exist_ok=True)
    if left == right:
        write_pair(left / "1.png", value)
    else:
        write_two(left, right, value=value)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_its_pairs(config, tmp_path, layout, direction):
    training, validation = LAYOUTS[layout]
    write_layout(tmp_path, training, 10)
    if validation:
        write_layout(tmp_path, validation, 50)
    config.data.direction = direction
    folder, watched = open_folder(config), open_folder(config, is_validation=True)
    assert (len(folder), len(watched)) == (1, int(validation is not None))
    for source, first in ((folder, 10), (watched, 50)):
        for index in range(len(source)):
            condition, target = source[index]["noise_image"], source[index]["real_image"]
            wanted = (first, first + 100) if direction == "AtoB" else (first + 100, first)
            assert (condition.min(), target.min()) == wanted


def test_val_comes_before_test(config, tmp_path):
    for split, value in (("train", 0), ("test", 20), ("val", 40)):
        (tmp_path / split).mkdir()
        write_pair(tmp_path / split / "1.png", value)
    assert open_folder(config, is_validation=True)[0]["noise_image"].min() == 40


def test_validation_pairs_are_spread_over_all(config, tmp_path):
    write_two(tmp_path / "trainA", tmp_path / "trainB")
    for number in range(10):
        write_two(tmp_path / "valA", tmp_path / "valB", f"{number}.png")
    config.num_validation_pairs = 4
    assert print_loading.create_validation_pairs(config).names == ("0.png", "2.png", "5.png", "7.png")
    config.num_validation_pairs = 0
    assert print_loading.create_validation_pairs(config) is None


def test_endings_and_sides_in_the_names_do_not_matter(config, tmp_path):
    write_image(tmp_path / "trainA" / "1_A.jpg")
    write_image(tmp_path / "trainB" / "1_B.png", 100)
    assert open_folder(config).names == ("1.jpg",)


def test_files_of_pairs_keep_the_hash_that_they_had(config, tmp_path):
    # Of SHA-256 over "1.png\0" and the SHA-256 of the file.
    import hashlib

    write_pair(tmp_path / "1.png")
    content = hashlib.sha256((tmp_path / "1.png").read_bytes()).digest()
    assert (
        open_folder(config).data_hash
        == f"files-{hashlib.sha256(b'1.png' + bytes(1) + content).hexdigest()[:12]}"
    )


@pytest.mark.parametrize(("color", "num_channels"), [(True, 3), (False, 1)])
@pytest.mark.parametrize("layout", ["files", "A and B"])
def test_color_is_found_out_and_said(config, tmp_path, layout, color, num_channels):
    if layout == "files":
        write_pair(tmp_path / "1.png")
        write_pair(tmp_path / "2.png", color=color)
    else:
        write_two(tmp_path / "A", tmp_path / "B")
        write_image(tmp_path / "A" / "2.png")
        write_image(tmp_path / "B" / "2.png", color=color)
    assert print_loading.resolve_num_channels(config).data.num_channels == num_channels
    folder = open_folder(config)
    assert folder[0]["noise_image"].shape == (SIZE, SIZE, num_channels)
    assert folder.description.endswith("in color" if color else "in gray")


def test_what_the_config_says_of_color_is_kept(config, tmp_path):
    config.data.num_channels = 1
    assert print_loading.resolve_num_channels(config) is config


def test_unpaired_folders_are_named_and_refused(config, tmp_path):
    write_image(tmp_path / "trainA" / "n02381460_2.jpg")
    write_image(tmp_path / "trainB" / "n02391049_2.jpg")
    with pytest.raises(UserError, match=r"no image in \S*trainA has a counterpart in \S*trainB .*CycleGAN"):
        open_folder(config)


def test_an_image_without_its_other_half_is_named(config, tmp_path, caplog):
    write_two(tmp_path / "A", tmp_path / "B")
    write_image(tmp_path / "B" / "2.png")
    with pytest.raises(UserError, match=r"1 image has no counterpart of the same name in \S*A: 2\.png"):
        open_folder(config)
    config.data.on_bad_file = "skip"
    assert open_folder(config).names == ("1.png",)
    assert "2.png" in caplog.text


def test_two_files_of_one_half_are_named(config, tmp_path):
    write_two(tmp_path / "A", tmp_path / "B")
    write_image(tmp_path / "A" / "1.jpg")
    with pytest.raises(UserError, match=r"A holds 1\.jpg and 1\.png, but only one of them"):
        open_folder(config)


def test_images_of_two_shapes_are_no_pair(config, tmp_path):
    write_image(tmp_path / "A" / "1.png")
    write_image(tmp_path / "B" / "1.png", size=(2 * SIZE, SIZE))
    with pytest.raises(UserError, match=r"1\.png: 16 x 16 pixels, but \S*B/1\.png has 32 x 16"):
        open_folder(config)


def test_a_larger_target_of_the_same_shape_is_a_pair(config, tmp_path):
    write_image(tmp_path / "A" / "1.png")
    write_image(tmp_path / "B" / "1.png", size=(2 * SIZE, 2 * SIZE))
    assert open_folder(config)[0]["real_image"].shape == (SIZE, SIZE, 1)


def write_single(root):
    write_image(root / "1.png")


def write_lower_case(root):
    write_two(root / "a", root / "b")


def write_one_level_down(root):
    write_two(root / "facades" / "A", root / "facades" / "B")


def write_other_names(root):
    write_two(root / "inputs", root / "targets")


def write_archive(root):
    (root / "facades.tar.gz").touch()


def write_webp(root):
    (root / "1.webp").touch()


def write_only_a(root):
    write_image(root / "A" / "1.png")


def write_empty_train(root):
    (root / "train").mkdir()


def write_training(root):
    (root / "training").mkdir()
    write_pair(root / "training" / "1.png")


@pytest.mark.parametrize(
    ("write", "hint"),
    [
        (write_single, r"one image's shape.* put the conditions into a folder A"),
        (write_lower_case, r"rename its folder a to A$"),
        (write_one_level_down, r"did you mean \S*/facades\?$"),
        (write_other_names, r"inputs and targets hold files of the same names: rename the conditions' to A"),
        (write_archive, r"unpack facades\.tar\.gz$"),
        (write_webp, r"holds \.webp files, .*convert them to PNG$"),
        (write_only_a, r"one of the folders A and B, and both are needed"),
        (write_empty_train, r"its folder train is empty$"),
        (write_training, r"did you mean \S*/training\?$"),
        (os.listdir, r"files of A and B side by side"),
    ],
)
def test_a_folder_that_is_nearly_right_gets_a_hint(config, tmp_path, write, hint):
    write(tmp_path)
    with pytest.raises(UserError, match=hint):
        open_folder(config)


def test_hints_look_one_level_deep(config, tmp_path):
    write_two(tmp_path / "home" / "deep" / "A", tmp_path / "home" / "deep" / "B")
    (tmp_path / "home" / "itself").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"files of A and B side by side, in itself"):
        open_folder(config)


@pytest.mark.parametrize(
    ("name", "hint"), [("pairs.zip", "unpack it"), ("1.png", "the folder that it is in")]
)
def test_a_file_is_no_folder(tmp_path, name, hint):
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=rf"is not a folder of paired image files; .*{hint}"):
        pair_layouts.find_training_pairs(tmp_path / name)


def test_a_direction_is_of_pairs_only(config):
    config.data.direction = "BtoA"
    config.data.source, config.data.num_channels = "socofing", 1
    with pytest.raises(UserError, match=r"config\.data\.direction='BtoA'"):
        validate_config(config, needs_data=False)


def test_colors_are_found_out_of_pairs_only(config):
    config.data.source = "socofing"
    with pytest.raises(UserError, match=r"config\.data\.num_channels=0"):
        validate_config(config, needs_data=False)


def test_arrays_are_pairs(config):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, SIZE, SIZE, 3), np.uint8)
    own = pairs.ArrayPairs(images[0], images[1])
    batch = pairs.create_batch(own, [2, 0])
    np.testing.assert_array_equal(batch["noise_image"], images[0][[2, 0]])
    np.testing.assert_array_equal(batch["real_image"], images[1][[2, 0]])
    assert own.data_hash != pairs.ArrayPairs(images[1], images[0]).data_hash


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (np.zeros((3, SIZE, SIZE, 1)), "real_images: float64"),
        (np.zeros((2, SIZE, SIZE, 1), np.uint8), "give two arrays of the same shape"),
        ([1], "real_images: <class 'list'>"),
    ],
)
def test_arrays_that_are_no_pairs_are_named(targets, text):
    with pytest.raises(UserError, match=text):
        pairs.ArrayPairs(np.zeros((3, SIZE, SIZE, 1), np.uint8), targets)
