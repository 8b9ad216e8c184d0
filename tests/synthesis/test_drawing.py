"""Synthesis from a checkpoint of the tiny experiment."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.synthesis import drawing, manifest
from fpgan_jax.training import gan_trainer
from tests.training import tiny


@pytest.fixture(scope="module")
def gan_workdir(tmp_path_factory):
    workdir = str(tmp_path_factory.mktemp("gan"))
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5
    config.num_epochs = 1
    config.ema_decay = 0.9
    config.sample_epochs = ()
    gan_trainer.train_and_evaluate(config, workdir, tiny.create_source(config))
    return workdir


def draw(gan_workdir, folder, **overrides):
    rows = drawing.synthesize(gan_workdir, str(folder), overrides=overrides)
    return rows, {row.file: np.asarray(Image.open(folder / row.file)) for row in rows}


def test_there_is_one_image_for_every_training_pair(gan_workdir, tmp_path):
    rows, images = draw(gan_workdir, tmp_path)
    assert [(row.person, row.replica) for row in rows] == [(p, r) for p in (1, 2, 3) for r in range(4)]
    assert {(image.shape, image.dtype) for image in images.values()} == {((16, 16), np.dtype(np.uint8))}


def test_a_folder_that_another_process_fills_is_left_alone(gan_workdir, tmp_path):
    with hold_folder(str(tmp_path)), pytest.raises(UserError, match="another process .* is at work"):
        draw(gan_workdir, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batch_size", [1, 5])
def test_an_image_does_not_depend_on_the_batch_size(gan_workdir, tmp_path, batch_size):
    _, expected = draw(gan_workdir, tmp_path / "a", batch_size=12)
    _, images = draw(gan_workdir, tmp_path / "b", batch_size=batch_size)
    for name, image in images.items():
        np.testing.assert_array_equal(image, expected[name])


@pytest.mark.parametrize(
    "overrides",
    [
        {"noise": "new"},
        {"seed": 1},
        {"deterministic": True},
        {"use_running_average": True},
        {"use_ema": True},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_every_setting_changes_the_images(gan_workdir, tmp_path, overrides):
    _, images = draw(gan_workdir, tmp_path / "a")
    _, others = draw(gan_workdir, tmp_path / "b", **overrides)
    assert any((images[name] != others[name]).any() for name in images)


def test_the_manifest_comes_back_from_disk(gan_workdir, tmp_path):
    rows, _ = draw(gan_workdir, tmp_path, noise="new", deterministic=True)
    assert manifest.read_manifest(str(tmp_path)) == rows
    assert (rows[0].noise, rows[0].dropout, rows[0].statistics, rows[0].checkpoint_step) == (
        "new",
        "off",
        "own",
        3,
    )


def test_an_interrupted_folder_is_completed(gan_workdir, tmp_path):
    rows, expected = draw(gan_workdir, tmp_path)
    (tmp_path / rows[3].file).unlink()
    _, images = draw(gan_workdir, tmp_path)
    np.testing.assert_array_equal(images[rows[3].file], expected[rows[3].file])


def test_a_finished_folder_is_left_as_it_is(gan_workdir, tmp_path):
    rows, _ = draw(gan_workdir, tmp_path)
    before = (tmp_path / rows[0].file).stat().st_mtime_ns
    draw(gan_workdir, tmp_path)
    assert (tmp_path / rows[0].file).stat().st_mtime_ns == before


def test_a_folder_of_images_made_otherwise_is_refused(gan_workdir, tmp_path):
    draw(gan_workdir, tmp_path)
    with pytest.raises(UserError, match=r"synthesis\.json: this folder holds images made otherwise"):
        draw(gan_workdir, tmp_path, seed=1)


def test_a_folder_of_other_weights_of_the_same_config_is_refused(gan_workdir, tmp_path, monkeypatch):
    draw(gan_workdir, tmp_path)
    restore = drawing.restore_variables

    def restore_others(*args):
        return jax.tree.map(lambda leaf: leaf + 1, restore(*args))

    monkeypatch.setattr(drawing, "restore_variables", restore_others)
    with pytest.raises(UserError, match=r"synthesis\.json: this folder holds images made otherwise"):
        draw(gan_workdir, tmp_path)


def test_a_folder_begun_before_weights_were_hashed_is_completed(gan_workdir, tmp_path):
    rows, _ = draw(gan_workdir, tmp_path)
    settings = json.loads((tmp_path / "synthesis.json").read_text())
    assert settings.pop("weights_hash")
    (tmp_path / "synthesis.json").write_text(json.dumps(settings))
    (tmp_path / rows[3].file).unlink()
    assert len(draw(gan_workdir, tmp_path)[1]) == 12


def test_a_folder_that_a_file_manager_has_shown_is_empty(gan_workdir, tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert len(draw(gan_workdir, tmp_path)[1]) == 12


def test_a_folder_begun_before_noise_had_a_seed_of_its_own_is_completed(gan_workdir, tmp_path):
    draw(gan_workdir, tmp_path)
    assert "noise_seed" not in json.loads((tmp_path / "synthesis.json").read_text())["synthesis"]
    with pytest.raises(UserError, match=r"synthesis\.json: this folder holds images made otherwise"):
        draw(gan_workdir, tmp_path, noise_seed=1)


def test_new_noise_is_never_a_trainings(gan_workdir, tmp_path):
    rows, _ = draw(gan_workdir, tmp_path, noise="new", seed=2**32 - 2)
    assert all(2**32 <= row.noise_seed < 2**64 for row in rows)


def test_a_damaged_settings_file_is_named(gan_workdir, tmp_path):
    draw(gan_workdir, tmp_path)
    (tmp_path / "synthesis.json").write_text("{")
    with pytest.raises(UserError, match=r"synthesis\.json: not JSON \(line 1, .* use another --out_dir"):
        draw(gan_workdir, tmp_path)


def test_the_best_checkpoint_may_be_asked_for(gan_workdir, tmp_path):
    rows = drawing.synthesize(gan_workdir, str(tmp_path), step="best")
    assert rows[0].checkpoint_step == 3


def test_a_folder_of_other_files_is_refused_and_left_alone(gan_workdir, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        draw(gan_workdir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_unknown_setting_is_named(gan_workdir, tmp_path):
    with pytest.raises(UserError, match=r"config\.synthesis\.noise='pink': use one of"):
        draw(gan_workdir, tmp_path, noise="pink")


def test_a_manifest_that_names_a_file_outside_its_folder_is_refused(gan_workdir, tmp_path):
    rows, _ = draw(gan_workdir, tmp_path)
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text().replace(rows[0].file, "../secret.png"))
    with pytest.raises(UserError, match=r"names a file outside its folder, '\.\./secret\.png'"):
        manifest.read_manifest(str(tmp_path))


def test_a_foreign_manifest_is_named(tmp_path):
    (tmp_path / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"manifest\.csv: not a file of launch.synthesize"):
        manifest.read_manifest(str(tmp_path))


def test_a_manifest_without_persons_is_named(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,condition,condition_hash\n1.png,1.png,0\n")
    with pytest.raises(UserError, match=r"manifest\.csv: of launch.synthesize --condition_dir, .* no person"):
        manifest.read_manifest(str(tmp_path))


@pytest.fixture(name="change_metadata")
def _change_metadata(gan_workdir, monkeypatch):
    """Return a function that has the checkpoint hold other metadata."""

    def change(update):
        step, trees, metadata = drawing.restore_for_evaluation(gan_workdir, ("generator",))
        metadata = json.loads(json.dumps(metadata))
        update(metadata)
        monkeypatch.setattr(drawing, "restore_for_evaluation", lambda *args: (step, trees, metadata))

    return change


@pytest.mark.parametrize(
    "changes",
    [
        {"pairs": [["../../outside", 0]]},
        {"pairs": [[1, "0/../../outside"]]},
        {"pairs": [[1, 0, 0]]},
        {"pairs": [[True, 0]]},
        {"pairs": []},
        {"pairs": None},
        {"pair_names": ["../outside.png"]},
        {"pair_names": [3] * 12},
    ],
    ids=str,
)
def test_a_checkpoint_that_lists_no_pairs_has_nothing_written(
    gan_workdir, tmp_path, change_metadata, changes
):
    change_metadata(lambda metadata: metadata.update(changes))
    with pytest.raises(UserError, match="lists no training pairs; name the workdir of launch.train_gan"):
        draw(gan_workdir, tmp_path / "new" / "images")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_whose_config_was_changed_is_refused(gan_workdir, tmp_path, change_metadata):
    change_metadata(lambda metadata: metadata["config"]["generator"].update({"num_features": 4}))
    with pytest.raises(
        UserError, match=r"generator: .* in the checkpoint and .* in the network of this config"
    ):
        draw(gan_workdir, tmp_path)
