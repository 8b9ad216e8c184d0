"""Experiment 3: what each classifier is trained on and tested on, what is skipped, and what is refused."""

import csv
import types

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.config.derived import resolve_seed
from fpgan_jax.data import print_loading
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import utility, utility_table
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis.manifest import ManifestRow
from fpgan_jax.tables.csv_rows import write_rows
from fpgan_jax.training import classifier_trainer

PERSONS = (4, 7)
# Person 7's probability is the image's gray of 255; the training prints are of gray 0 and 255.
GRAYS = {
    "real": {4: [0], 7: [255]},
    "altered_easy": {4: [51], 7: [204]},
    "altered_hard": {4: [153], 7: [102]},
}


class Killed(Exception):
    """Stands for the moment at which a process ends."""


def create_prints(split):
    pairs = [(person, gray) for person, grays in GRAYS.get(split, {}).items() for gray in grays]
    images = [np.full((128, 128, 1), gray, np.uint8) for _, gray in pairs]
    for image in images if split == "real" else ():
        image[-1, -1] ^= 1  # what trains is not blank
    return PrintSet(
        np.array(images, np.uint8).reshape(-1, 128, 128, 1),
        np.array([person for person, _ in pairs], np.int32),
        tuple(f"{split}_{person}.bmp" for person, _ in pairs),
    )


def write_folder(folder, *, persons=PERSONS, noises=("training", "training"), gray=77, size=128, **fields):
    """Write a folder of synthetic prints, one a person."""
    folder.mkdir()
    values = {
        "set": "test_size",
        "replica": 0,
        "noise_seed": 0,
        "seed": 0,
        "dropout": "on",
        "statistics": "own",
        "weights": "last",
        "checkpoint_step": 6,
        "config_hash": "4567",
        "data_hash": create_prints("real").data_hash,
    } | fields
    rows = [
        ManifestRow(file=f"{person:03d}_00.png", person=person, noise=noise, **values)
        for person, noise in zip(persons, noises, strict=True)
    ]
    for row in rows:
        Image.fromarray(np.full((size, size), gray, np.uint8)).save(folder / row.file)
    write_rows(str(folder / "manifest.csv"), rows)
    return str(folder)


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setattr(
        print_loading, "load_prints", lambda config, split="real", persons=None: create_prints(split)
    )
    config = test_size.get_config()
    config.data.socofing_dir = "prints"
    config.classifier.global_batch_size = 4
    return config


class Trainings:
    """Stands for the trainer, and notes what it was asked for."""

    def __init__(self):
        self.notes = []
        self.stop_after = None

    def train_and_evaluate(self, config, workdir, source):
        if len(self.notes) == self.stop_after:
            raise Killed
        (batch,) = source.create_batches(0, 1)
        note = types.SimpleNamespace(config=config, workdir=workdir, grays=batch["image"][:, 0, 0, 0])
        self.notes.append(note)
        return types.SimpleNamespace(classifier=types.SimpleNamespace(params={}, batch_stats={}))

    @property
    def names(self):
        return ["/".join(note.workdir.split("/")[-2:]) for note in self.notes]


def compute_probabilities(variables, images):
    share = images[:, 0, 0, 0] / 255
    return np.stack([1 - share, share], axis=1)


@pytest.fixture
def trained(monkeypatch):
    """Let every training only be noted, and every print be scored by its gray; return the notes."""
    trainings = Trainings()
    monkeypatch.setattr(classifier_trainer, "train_and_evaluate", trainings.train_and_evaluate)
    monkeypatch.setattr(similarity, "bind_classifier", lambda *args: (compute_probabilities, {}))
    monkeypatch.setattr(utility_table, "draw", lambda rows, path: None)
    return trainings


def measure(config, folders, tmp_path, seeds=(0, 1, 2)):
    return utility.measure_utility(config, folders, str(tmp_path / "out"), seeds=seeds)


def read_results(tmp_path):
    with open(tmp_path / "out" / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_condition_is_trained_once_a_seed(config, trained, tmp_path):
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    conditions = ("real", "real_augmentation", "real_synthetic", "all")
    assert trained.names == [f"{condition}/seed_{seed}" for seed in (0, 1, 2) for condition in conditions]
    assert [(note.config.seed, note.config.data.shuffle_seed) for note in trained.notes] == [
        (seed, seed) for seed in (0, 1, 2) for _ in conditions
    ]


def test_the_seeds_of_the_config_decide_nothing(config, trained, tmp_path):
    config.seed, config.classifier.seed = 8, 9
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    streams = ("weights_seed", "dropout_seed", "augmentation_seed")
    found = [
        {resolve_seed(note.config, f"classifier.{stream}") for stream in streams} for note in trained.notes
    ]
    assert found == [{0}] * 4 + [{1}] * 4 + [{2}] * 4


def test_conditions_differ_in_augmentation_and_in_half_of_the_batch(config, trained, tmp_path):
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    augmentations = [set(note.config.classifier.augmentation.values()) for note in trained.notes[:4]]
    own = set(config.classifier.augmentation.values())
    assert augmentations == [{0.0}, own, {0.0}, own]
    num_synthetic = [int((note.grays == 77).sum()) for note in trained.notes[:4]]
    assert num_synthetic == [0, 0, 2, 2]


def test_conditions_differ_in_no_other_field(config, trained, tmp_path):
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    rest = []
    for note in trained.notes[:4]:
        values = note.config.to_dict()
        del values["classifier"]["augmentation"]
        rest.append(values)
    assert rest[1:] == rest[:1] * 3


def test_a_training_has_one_checkpoint(config, trained, tmp_path):
    config.classifier.num_steps = 40
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    assert {note.config.classifier.checkpoint_every_steps for note in trained.notes} == {40}


def test_seeds_take_the_gans_in_turn(config, trained, tmp_path):
    folders = [write_folder(tmp_path / "a", gray=70), write_folder(tmp_path / "b", gray=80)]
    measure(config, folders, tmp_path, seeds=(5, 3, 9))
    grays = [int(note.grays[1]) for note in trained.notes if "real_synthetic" in note.workdir]
    assert grays == [70, 80, 70]
    found = {
        row["seed"]: row["synthetic_dir"][-1] for row in read_results(tmp_path) if row["condition"] == "all"
    }
    assert found == {"5": "a", "3": "b", "9": "a"}


def test_prints_of_new_noise_make_a_condition_more(config, trained, tmp_path):
    folders = [write_folder(tmp_path / "a"), write_folder(tmp_path / "b", noises=("new", "new"), gray=88)]
    measure(config, folders, tmp_path)
    assert trained.names[4] == "real_synthetic_new/seed_0" and len(trained.names) == 15
    assert [int((note.grays == 88).sum()) for note in trained.notes[:5]] == [0, 0, 0, 0, 2]


def test_every_test_set_is_scored_apart(config, trained, tmp_path):
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    rows = [row for row in read_results(tmp_path) if (row["condition"], row["seed"]) == ("all", "1")]
    # Grays 51 and 204: each is given 0.8 as itself. 153 and 102: 0.4, and the other person 0.6.
    assert [(row["test_set"], float(row["accuracy"]), float(row["own_probability"])) for row in rows] == [
        ("real", 1.0, 1.0),
        ("altered_easy", 1.0, 0.8),
        ("altered_hard", 0.0, 0.4),
    ]
    assert {(row["num_images"], row["num_persons"]) for row in rows} == {("2", "2")}


def test_a_test_set_that_is_missing_is_named(config, trained, tmp_path, caplog):
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    assert "no altered_medium prints" in caplog.text and "no altered_hard prints" not in caplog.text


def test_a_finished_experiment_trains_nothing_and_says_the_same(config, trained, tmp_path):
    folders = [write_folder(tmp_path / "a")]
    text = measure(config, folders, tmp_path)
    trained.stop_after = len(trained.notes)
    assert measure(config, folders, tmp_path) == text


def test_a_stopped_experiment_goes_on_with_what_is_missing(config, trained, tmp_path):
    folders = [write_folder(tmp_path / "a")]
    trained.stop_after = 3
    with pytest.raises(Killed):
        measure(config, folders, tmp_path)
    trained.stop_after = None
    measure(config, folders, tmp_path)
    assert len(trained.names) == len(set(trained.names)) == 12


def test_seeds_may_be_added(config, trained, tmp_path):
    folders = [write_folder(tmp_path / "a")]
    measure(config, folders, tmp_path)
    measure(config, folders, tmp_path, seeds=(0, 1, 2, 3))
    assert [name.split("/")[1] for name in trained.names[12:]] == ["seed_3"] * 4


def test_other_synthetic_prints_in_the_same_folder_are_refused(config, trained, tmp_path):
    measure(config, [write_folder(tmp_path / "a")], tmp_path)
    with pytest.raises(UserError, match=r"real_synthetic/seed_0/scores\.csv: made from other prints"):
        measure(config, [write_folder(tmp_path / "b", gray=78)], tmp_path)


def test_another_config_in_the_same_folder_is_refused(config, trained, tmp_path):
    folders = [write_folder(tmp_path / "a")]
    measure(config, folders, tmp_path)
    config.classifier.num_steps = 5
    with pytest.raises(UserError, match=r"config\.classifier\.num_steps was 4, is 5"):
        measure(config, folders, tmp_path)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (
            {"persons": (4, 8)},
            r"a: holds synthetic prints of the persons 4, 8, but the training prints are of 4, 7",
        ),
        ({"data_hash": "ffff"}, r"a: drawn by a generator that was trained on other prints"),
        (
            {"noises": ("training", "new")},
            r"a: its noise is new and training; must be all training or all new",
        ),
        ({"noises": ("new", "new")}, r"--synthetic_dirs: names no folder of training noise"),
        ({"size": 64}, r"004_00\.png: 64x64 pixels"),
    ],
    ids=["persons", "prints", "noise", "no training noise", "size"],
)
def test_a_folder_that_does_not_fit_is_refused(config, trained, tmp_path, folder, message):
    with pytest.raises(UserError, match=message):
        measure(config, [write_folder(tmp_path / "a", **folder)], tmp_path)
    assert trained.notes == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "seeds", "message"),
    [
        ({}, (0, 1), r"--seeds: 2 given; an interval needs 3"),
        ({}, (1, 2, 1), r"--seeds=1,2,1: a seed is named twice"),
        ({"classifier.global_batch_size": 1}, (0, 1), r"config\.classifier\.global_batch_size=1: half of"),
        (
            {"data.source": "paired_folder", "data.paired_dir": "x"},
            (0, 1),
            r"config\.data\.source='paired_folder'",
        ),
        ({"data.image_size": 32}, (0, 1, 2), r"config\.data\.image_size=32: Xception"),
    ],
    ids=["two seeds", "seed twice", "batch", "source", "size"],
)
def test_settings_that_do_not_fit_are_refused(config, trained, tmp_path, changes, seeds, message):
    folder = write_folder(tmp_path / "a", size=changes.get("data.image_size", 128))
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        measure(config, [folder], tmp_path, seeds=seeds)
    assert trained.notes == [] and not (tmp_path / "out").exists()


def test_augmentation_that_changes_nothing_is_refused(config, trained, tmp_path):
    for field in config.classifier.augmentation:
        config.classifier.augmentation[field] = 0.0
    with pytest.raises(UserError, match=r"config\.classifier\.augmentation: every field is 0"):
        measure(config, [write_folder(tmp_path / "a")], tmp_path)


@pytest.mark.parametrize(("num_seeds", "is_warned"), [(4, True), (5, False)])
def test_few_seeds_are_warned_of(config, trained, tmp_path, caplog, num_seeds, is_warned):
    measure(config, [write_folder(tmp_path / "a")], tmp_path, seeds=range(num_seeds))
    assert (f"--seeds: only {num_seeds}" in caplog.text) == is_warned


def test_a_set_without_altered_prints_is_refused(config, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(
        print_loading,
        "load_prints",
        lambda config, split="real", persons=None: create_prints(split if split == "real" else "none"),
    )
    with pytest.raises(UserError, match=r"config\.data\.socofing_dir=prints: holds no altered prints"):
        measure(config, [write_folder(tmp_path / "a")], tmp_path)
