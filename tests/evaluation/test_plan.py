"""Finding what an evaluation is to judge."""

import json

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.plan import create_plan


@pytest.fixture
def config(tmp_path):
    config = test_size.get_config()
    config.data.socofing_dir = str(tmp_path)
    return config


@pytest.fixture
def experiment(tmp_path, config):
    """Create a folder as `launch.reproduce --gan_seeds=0,10 --classifier_seeds=3` leaves it."""
    folder = tmp_path / "experiment"
    for seed in (0, 10):
        for noise in ("training", "new"):
            place = folder / f"gan_seed_{seed}" / f"synthetic_{noise}"
            place.mkdir(parents=True)
            (place / "manifest.csv").write_text("")
    (folder / "classifier_seed_3" / "classifier" / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return folder


def create_print_folder(path):
    path.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path / "1_0.png")
    return str(path)


def test_an_experiment_gives_its_seeds(experiment):
    plan = create_plan(config=None, experiment=str(experiment))
    assert (plan.gan_seeds, plan.classifier_seeds) == (("0", "10"), ("3",))
    assert plan.synthetic_dirs[1] == tuple(
        str(experiment / "gan_seed_10" / f"synthetic_{noise}") for noise in ("training", "new")
    )
    assert plan.gan_workdir == str(experiment / "gan_seed_0" / "gan")


def test_seeds_are_chosen(experiment):
    plan = create_plan(config=None, experiment=str(experiment), gan_seeds=["10"])
    assert plan.gan_seeds == ("10",)


def test_a_seed_that_is_not_there_is_named(experiment):
    with pytest.raises(UserError, match=r"--classifier_seeds: .* has no seed 4; it has 3"):
        create_plan(config=None, experiment=str(experiment), classifier_seeds=["4"])


def test_an_experiment_of_one_seed_is_named_by_it(tmp_path, config):
    place = tmp_path / "synthetic_training"
    place.mkdir()
    (place / "manifest.csv").write_text("")
    config.seed = 7
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    plan = create_plan(config=None, experiment=str(tmp_path))
    assert (plan.gan_seeds, plan.synthetic_dirs) == (("7",), ((str(place),),))


def test_an_experiment_without_prints_says_what_to_run(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(UserError, match="run python -m launch.reproduce first"):
        create_plan(config=None, experiment=str(tmp_path))


def test_a_config_of_other_prints_is_refused(experiment, config):
    config.data.frame = "keep"
    with pytest.raises(UserError, match=r"config\.data\.frame was 'crop', is 'keep'"):
        create_plan(config=config, experiment=str(experiment))


def test_a_second_folder_of_the_same_noise_is_another_seed(tmp_path, config):
    folders = [create_print_folder(tmp_path / name) for name in ("a", "b")]
    plan = create_plan(config=config, experiment=None, synthetic_dirs=folders)
    assert plan.synthetic_dirs == ((folders[0],), (folders[1],))


def test_a_classifier_without_checkpoints_is_named(tmp_path, config):
    folder = create_print_folder(tmp_path / "a")
    with pytest.raises(UserError, match=r"nowhere: no checkpoints here"):
        create_plan(config=config, experiment=None, synthetic_dirs=[folder], classifier_workdirs=["nowhere"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"experiment": None, "config": None}, "--config or --experiment"),
        ({"experiment": None}, "--synthetic_dirs: names no folder"),
        ({"experiment": None, "synthetic_dirs": ["a"], "gan_seeds": ["0"]}, "--gan_seeds"),
        ({"experiment": "e", "synthetic_dirs": ["a"]}, "--synthetic_dirs: not with --experiment"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(config, arguments, message):
    with pytest.raises(UserError, match=message):
        create_plan(**{"config": config} | arguments)
