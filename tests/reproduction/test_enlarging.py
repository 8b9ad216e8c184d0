"""The chain from a config to an enlarged database, on prints of stripes and without a matcher."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.reproduction import enlarging as reproduction_enlarging
from fpgan_jax.reproduction.enlarging import Sizes
from tests.enlarging.test_enlarging import SIDE, write_prints
from tests.launch.scripts import run
from tests.training import tiny

SIZES = Sizes(num_given=2, num_new=1, num_impressions=2, num_training=2, num_strangers=1, num_rows=2)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Return a config of six fingers, three of them held out, on a machine without a matcher."""

    def find_no_tool():
        raise nist_tools.ToolError("no matcher here")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find_no_tool)
    monkeypatch.setattr(reproduction_enlarging, "FAMILIES", ("identity", "variation"))
    write_prints(tmp_path / "prints", (1, 2, 3, 4, 5, 6))
    config = tiny.create_ridge_config()
    config.data.update(
        impressions_dir=str(tmp_path / "prints"),
        sensor_ppi=333.0,  # six pixels a period
        num_persons=0,
        num_held_out_persons=3,
        num_impressions=1,
        num_replicas=2,
        image_size=SIDE,
    )
    config.update(num_epochs=1, sample_epochs=(), global_batch_size=2)
    return config


@pytest.mark.seconds(30)
def test_the_chain_ends_with_pictures_and_a_table_and_is_not_run_again(config, tmp_path, capsys):
    workdir = tmp_path / "run"
    text = reproduction_enlarging.enlarge_database(config, str(workdir), SIZES)
    folders = ("more_impressions", "new_fingers")
    names = {name: sorted(path.name for path in (workdir / name).glob("*.png")) for name in folders}
    # Of the fingers held out, 4 to 6, the first two; the third is the stranger.
    assert names == {
        "more_impressions": ["4_01.png", "4_02.png", "5_01.png", "5_02.png"],
        "new_fingers": ["100001_01.png", "100001_02.png"],
    }
    # Print, ridge map and two impressions of 1.6 inches each at 120 dots; three rows and a title.
    assert Image.open(workdir / "enlarged.png").size == (768, 612)
    assert "more_impressions" in text and "new_fingers" in text and str(workdir) in text
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*.png")}
    capsys.readouterr()
    assert reproduction_enlarging.enlarge_database(config, str(workdir), SIZES) == text
    assert capsys.readouterr().out.count("done before") == 5
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob("*.png")}


def test_what_is_judged_is_told_apart_from_what_it_is_judged_by(config, tmp_path, monkeypatch):
    blank = print_collection.PrintCollection(
        "synthetic",
        print_collection.SYNTHETIC,
        np.zeros((1, SIDE, SIDE), np.uint8),
        np.array([4]),
        ("4_01.png",),
    )
    monkeypatch.setattr(reproduction_enlarging.loading, "load_print_folder", lambda folder, config: blank)
    judged = reproduction_enlarging.create_study(config, str(tmp_path), SIZES)
    persons = {name: collection.persons.tolist() for name, collection in judged.collections.items()}
    # Two of the training, 1 and 2, beside those that impressions were drawn of.
    assert persons == {
        "real": [1, 2, 4, 5],
        "real_held_out": [1, 2, 4, 5],
        "real_others": [6, 6],
        "more_impressions": [4],
        "new_fingers": [4],
    }
    assert judged.settings.num_gallery_fingers == 5


def test_prints_are_made_where_no_folder_is_given(config, tmp_path, monkeypatch):
    made = {}
    monkeypatch.setattr(
        reproduction_enlarging,
        "write_prints",
        lambda folder, **settings: made.update(settings, folder=folder),
    )
    config.data.update(source="socofing", socofing_dir="", sensor_ppi=0.0, image_size=128)
    found = reproduction_enlarging.make_prints(config, str(tmp_path / "run"))
    assert found.data.socofing_dir == made["folder"] == str(tmp_path / "run" / "procedural_prints")
    assert (made["num_persons"], len(made["hands_and_fingers"])) == (40, 10)
    assert config.data.socofing_dir == ""


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.num_held_out_persons", 0, "config.data.num_held_out_persons=0: no person is left to judge by"),
        ("generator.num_levels", 12, "config.generator.num_levels=12"),
    ],
)
def test_what_cannot_be_enlarged_is_refused_first(config, tmp_path, field, value, message):
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=message):
        reproduction_enlarging.enlarge_database(config, str(tmp_path / "run"), SIZES)
    assert not pathlib.Path(tmp_path / "run").exists()


def test_the_script_refuses_a_generator_from_noise_in_a_line(tmp_path):
    result = run("enlarge", "--config=configs/test_size.py", f"--workdir={tmp_path / 'run'}")
    assert result.returncode == 1
    assert "config.data.condition='noise': a database is enlarged from maps" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_config_without_a_field_is_named_before_prints_are_made(config, tmp_path):
    del config.data.source
    with pytest.raises(UserError, match=r"config\.data\.source: missing; start from"):
        reproduction_enlarging.make_prints(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
