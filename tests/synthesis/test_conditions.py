"""Drawing from a folder of conditions: which images, under which names, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.serving import inference
from fpgan_jax.synthesis import conditions, image_folder
from fpgan_jax.tables.csv_rows import read_rows
from tests.launch.scripts import run_as_process

NAMES = ("b.jpg", "a.png", "c d.bmp")


def write_image(path, size=(16, 16), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "conditions"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        write_image(folder / name, seed=seed)
    (folder / "notes.txt").write_text("no image")
    return folder


def draw(gan_workdir, folder, out_dir, **options):
    return conditions.synthesize_conditions(gan_workdir, str(out_dir), str(folder), **options)


def list_images(out_dir):
    return sorted(path.name for path in out_dir.glob("*.png"))


def test_every_image_is_drawn_under_its_name(gan_workdir, folder, tmp_path):
    rows = draw(gan_workdir, folder, tmp_path / "out")
    assert [(row.condition, row.file) for row in rows] == [
        ("a.png", "a.png"),
        ("b.jpg", "b.png"),
        ("c d.bmp", "c d.png"),
    ]
    assert list_images(tmp_path / "out") == ["a.png", "b.png", "c d.png"]
    manifest = read_rows(str(tmp_path / "out" / "manifest.csv"), conditions.ConditionRow, "synthesize")
    assert manifest == rows


def test_arrays_give_the_same_images_in_python(gan_workdir, folder, tmp_path):
    rows = draw(gan_workdir, folder, tmp_path / "out", overrides={"seed": 3})
    generator = inference.restore_generator(gan_workdir)
    images = [conditions.load_condition(folder / row.condition, generator.config.data) for row in rows]
    seeds = [conditions.find_dropout_seed(row.condition, 3) for row in rows]
    assert seeds == [(row.seed, row.person, row.replica) for row in rows]
    drawn = generator.draw_images(images, seeds)
    for row, image in zip(rows, drawn, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(tmp_path / "out" / row.file)))


def test_what_is_there_is_left_and_new_conditions_are_drawn(gan_workdir, folder, tmp_path):
    out_dir = tmp_path / "out"
    draw(gan_workdir, folder, out_dir)
    before = {path.name: path.read_bytes() for path in out_dir.glob("*.png")}
    (out_dir / "a.png").write_bytes(b"mine")
    (out_dir / "b.png").unlink()  # as after an interruption
    write_image(folder / "e.png", seed=9)
    draw(gan_workdir, folder, out_dir)
    assert (out_dir / "a.png").read_bytes() == b"mine"
    assert (out_dir / "b.png").read_bytes() == before["b.png"]
    assert list_images(out_dir) == ["a.png", "b.png", "c d.png", "e.png"]


def test_an_image_does_not_depend_on_the_others(gan_workdir, folder, tmp_path):
    draw(gan_workdir, folder, tmp_path / "all")
    for name in ("b.jpg", "a.png"):
        (folder / name).unlink()
    draw(gan_workdir, folder, tmp_path / "one")
    name = "c d.png"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_a_condition_that_was_replaced_is_named(gan_workdir, folder, tmp_path):
    draw(gan_workdir, folder, tmp_path / "out")
    write_image(folder / "a.png", seed=7)
    with pytest.raises(UserError, match=r"conditions/a\.png: was changed since \S*out was drawn from it"):
        draw(gan_workdir, folder, tmp_path / "out")


def test_other_settings_are_named(gan_workdir, folder, tmp_path):
    draw(gan_workdir, folder, tmp_path / "out")
    with pytest.raises(UserError, match=r"made otherwise \(synthesis\.seed was 0, is 1\)"):
        draw(gan_workdir, folder, tmp_path / "out", overrides={"seed": 1})


def test_a_removed_condition_keeps_its_row(gan_workdir, folder, tmp_path):
    draw(gan_workdir, folder, tmp_path / "out")
    (folder / "a.png").unlink()
    assert len(draw(gan_workdir, folder, tmp_path / "out")) == 2
    manifest = read_rows(str(tmp_path / "out" / "manifest.csv"), conditions.ConditionRow, "synthesize")
    assert [row.file for row in manifest] == ["a.png", "b.png", "c d.png"]


def test_a_folder_of_other_files_is_left_alone(gan_workdir, folder):
    with pytest.raises(UserError, match="holds other files"):
        draw(gan_workdir, folder, folder)
    assert not (folder / "manifest.csv").exists()


@pytest.mark.parametrize(("part", "columns"), [("left", slice(0, 16)), ("right", slice(16, 32))])
def test_half_a_file_is_the_condition(gan_workdir, tmp_path, part, columns):
    pixels = write_image(tmp_path / "pair.png", (32, 16))
    config = inference.restore_generator(gan_workdir).config
    condition = conditions.load_condition(tmp_path / "pair.png", config.data, part)
    np.testing.assert_array_equal(condition[..., 0], pixels[:, columns])


def test_a_pair_is_not_taken_for_a_condition(gan_workdir, folder, tmp_path):
    write_image(folder / "pair.png", (32, 16))
    with pytest.raises(
        UserError, match=r"pair\.png: 32 x 16 pixels look like .* --condition_part=left or right"
    ):
        draw(gan_workdir, folder, tmp_path / "out")
    draw(gan_workdir, folder, tmp_path / "out", part="whole")


def test_images_of_other_sizes_are_resized(gan_workdir, tmp_path):
    write_image(tmp_path / "large.png", (40, 40))
    config = inference.restore_generator(gan_workdir).config
    assert conditions.load_condition(tmp_path / "large.png", config.data).shape == (16, 16, 1)


@pytest.mark.parametrize("names", [("a.png", "a.jpg"), ()])
def test_two_conditions_of_a_name_and_none_at_all_are_named(gan_workdir, tmp_path, names):
    folder = tmp_path / "conditions"
    folder.mkdir()
    for name in names:
        write_image(folder / name)
    match = r"a\.png: is drawn to the same file as a\.jpg" if names else r"holds no \.png"
    with pytest.raises(UserError, match=match):
        draw(gan_workdir, folder, tmp_path / "out")


@pytest.mark.parametrize("name", ["noise", "batch_size"])
def test_what_has_no_effect_is_refused(gan_workdir, folder, tmp_path, name):
    with pytest.raises(UserError, match=f"--{name}: does nothing beside"):
        draw(gan_workdir, folder, tmp_path / "out", overrides={name: {"noise": "new", "batch_size": 2}[name]})


def test_settings_hold_the_conditions_hashes(gan_workdir, folder, tmp_path):
    rows = draw(gan_workdir, folder, tmp_path / "out")
    settings = json.loads((tmp_path / "out" / image_folder.SETTINGS_FILENAME).read_text())
    assert settings["conditions"] == {row.condition: row.condition_hash for row in rows}


@pytest.mark.slow
def test_four_devices_draw_what_one_does(gan_workdir, tmp_path, monkeypatch):
    folder = tmp_path / "conditions"
    folder.mkdir()
    for seed in range(70):
        write_image(folder / f"{seed:02d}.png", seed=seed)
    images = {}
    for num_devices in (1, 4):
        monkeypatch.setenv("JAX_NUM_CPU_DEVICES", str(num_devices))
        out_dir = tmp_path / f"of_{num_devices}"
        result = run_as_process(
            "synthesize", f"--gan_workdir={gan_workdir}", f"--condition_dir={folder}", f"--out_dir={out_dir}"
        )
        assert result.returncode == 0, result.stderr
        images[num_devices] = {path.name: path.read_bytes() for path in out_dir.iterdir()}
    assert len(images[1]) == 72 and images[4] == images[1]
