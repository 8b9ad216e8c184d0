"""The comparison of recognizers: who trains on what, what is done once, and what is refused."""

import dataclasses

import numpy as np
import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.recognition import experiment
from fpgan_jax.evaluation.recognition.experiment import Request, choose_few, measure_recognition
from fpgan_jax.evaluation.recognition.print_sets import FingerPrints, SetPlace
from fpgan_jax.evaluation.recognition.training import Settings

# Set -> finger of each print.
FINGERS = {
    "real": [1, 1, 1, 2, 2, 3],
    "more": [1, 2, 2, 3],
    "new": [1, 1, 2],
    "sensor": [1, 1, 2, 2],
    "sensor2": [1, 1, 2, 2],
}


def create_prints(name, *, value=1):
    images = np.zeros((len(FINGERS[name]), 128, 128), np.int8)
    images[:, 0, 0] = np.arange(len(images)) + 20 * list(FINGERS).index(name)
    images[:, 0, 1] = value
    return FingerPrints(name, images, np.array(FINGERS[name], np.int64))


class FakeTrainer:
    """Trains nothing, notes what it was to train, and tells prints by their finger's place."""

    trained: list = []  # noqa: RUF012
    loss = 1.0

    def __init__(self, settings, max_classes):
        self.max_classes = max_classes

    def train(self, sources, *, strength, seed, show):
        FakeTrainer.trained.append(([s.name for s in sources], strength, seed, self.max_classes))
        show(FakeTrainer.loss)

    def embed(self, variables, images):
        return np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """Return the sets that are loaded, by name."""
    sets = {name: create_prints(name) for name in FINGERS}
    monkeypatch.setattr(experiment, "load_prints", lambda place, flag, cache_dir: sets[place.name])
    monkeypatch.setattr(experiment, "Trainer", FakeTrainer)
    monkeypatch.setattr(experiment.table, "draw", lambda rows, path: None)
    FakeTrainer.trained = []
    return sets


@pytest.fixture
def request_(tmp_path):
    place = {name: SetPlace(name, str(tmp_path), (500.0, 500.0)) for name in FINGERS}
    return Request(
        real=place["real"],
        tests=[place["sensor"]],
        num_fingers=2,
        num_impressions=2,
        more_impressions=[place["more"]],
        more_fingers=[place["new"]],
        together=[["more", "new"]],
        num_procedural=0,
        procedural_impressions=1,
        seeds=(0, 1),
    )


def run(request, tmp_path, **settings):
    return measure_recognition(request, str(tmp_path / "out"), Settings(num_steps=1, **settings))


def test_every_arm_is_trained_with_every_seed(request_, tmp_path):
    run(request_, tmp_path)
    arms = [
        (["real"], 0.0),
        (["real"], 1.0),
        (["real", "more"], 1.0),
        (["real", "new"], 1.0),
        (["real", "more", "new"], 1.0),
        (["real"], 1.0),
    ]
    # Two fingers train and two are new; the last arm has three.
    assert FakeTrainer.trained == [(*arm, seed, 4) for seed in (0, 1) for arm in arms]


def test_arms_have_the_prints_that_they_say(request_, tmp_path):
    arms = {arm.name: arm.sources for arm in experiment.load_arms(request_, str(tmp_path))}
    assert list(arms) == ["real", "augmentation", "more", "new", "more+new", "every_real_finger"]
    assert arms["real"][0].fingers.tolist() == [1, 1, 2, 2]
    assert arms["more"][1].fingers.tolist() == [1, 2, 2]  # finger 3 does not train
    assert not set(arms["new"][1].fingers.tolist()) & set(FINGERS["real"])
    assert arms["every_real_finger"][0].fingers.tolist() == FINGERS["real"]


def test_the_first_impressions_of_the_first_fingers_are_the_few():
    few = choose_few(create_prints("real"), 2, 1)
    assert few.fingers.tolist() == [1, 2] and few.images[:, 0, 0].tolist() == [0, 3]
    with pytest.raises(UserError, match=r"--num_fingers=4: real has 3"):
        choose_few(create_prints("real"), 4, 1)


def test_what_was_trained_is_not_trained_again(request_, tmp_path):
    first = run(request_, tmp_path)
    FakeTrainer.trained.clear()
    assert run(request_, tmp_path) == first
    assert FakeTrainer.trained == []


def test_one_more_set_and_seed_leave_the_others_as_they_are(request_, tmp_path):
    run(dataclasses.replace(request_, more_fingers=[], together=[]), tmp_path)
    FakeTrainer.trained.clear()
    run(dataclasses.replace(request_, together=[], seeds=(0, 1, 2)), tmp_path)
    assert sorted(trained[2] for trained in FakeTrainer.trained) == [0, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(("changed", "num_trained"), [("more", 4), ("new", 4), ("sensor", 12)])
def test_what_depends_on_changed_prints_is_trained_again(request_, tmp_path, loaded, changed, num_trained):
    run(request_, tmp_path)
    FakeTrainer.trained.clear()
    loaded[changed] = create_prints(changed, value=2)
    run(request_, tmp_path)
    assert len(FakeTrainer.trained) == num_trained


def test_other_settings_train_everything_again(request_, tmp_path):
    run(request_, tmp_path)
    FakeTrainer.trained.clear()
    run(request_, tmp_path, learning_rate=0.1)
    assert len(FakeTrainer.trained) == 12


def test_several_tests_are_also_pooled(request_, tmp_path):
    tests = [*request_.tests, request_.tests[0]._replace(name="sensor2")]
    run(dataclasses.replace(request_, tests=tests), tmp_path)
    rows = (tmp_path / "out" / "results.csv").read_text().splitlines()[1:]
    # Six arms, two seeds; two fingers of each set, and four of both.
    assert len(rows) == 6 * 2 * (2 + 2 + 4)


def test_a_test_that_shares_a_print_with_the_training_is_refused(request_, tmp_path, loaded):
    loaded["sensor"].images[2] = loaded["new"].images[0]
    with pytest.raises(UserError, match="--tests: sensor shares a print with new"):
        run(request_, tmp_path)


def test_further_prints_must_be_of_the_fingers_that_train(request_, tmp_path, loaded):
    loaded["more"].fingers[0] = 8
    with pytest.raises(UserError, match="--more_impressions: more has no print of finger 1"):
        run(request_, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tests": []}, "--tests: none given"),
        ({"together": [["more", "sfinge"]]}, "--together: no set is called 'sfinge'"),
        ({"seeds": (1, 1)}, "--seeds=1,1: give each seed once"),
        ({"real": SetPlace("real", "/nowhere", (500.0, 500.0))}, "--real: '/nowhere' is not a folder"),
    ],
)
def test_a_mistake_is_named_and_leaves_no_trace(request_, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        run(dataclasses.replace(request_, **changes), tmp_path)
    assert not (tmp_path / "out").exists()


def test_names_of_arms_are_not_for_sets(request_, tmp_path):
    place = request_.more_fingers[0]
    with pytest.raises(UserError, match="'augmentation' has a meaning of its own"):
        run(dataclasses.replace(request_, more_fingers=[place._replace(name="augmentation")]), tmp_path)
    with pytest.raises(UserError, match="two sets are called 'more'"):
        run(dataclasses.replace(request_, more_fingers=[place._replace(name="more")]), tmp_path)


def test_a_batch_holds_every_kind(request_, tmp_path):
    with pytest.raises(UserError, match="--batch_size=2: an arm has prints of 3 kinds"):
        run(request_, tmp_path, batch_size=2)


def test_a_test_needs_several_prints_of_a_finger(request_, tmp_path, loaded):
    loaded["sensor"] = FingerPrints("sensor", loaded["sensor"].images[1:3], np.array([1, 2]))
    with pytest.raises(UserError, match="--tests: sensor needs two fingers or more"):
        run(request_, tmp_path)


def test_a_training_that_diverged_is_named(request_, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeTrainer, "loss", float("nan"))
    with pytest.raises(UserError, match=r"real, seed 0: the training diverged .*--learning_rate"):
        run(request_, tmp_path)
