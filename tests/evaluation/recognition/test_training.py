"""A recognizer's training: the same steps, first weights and real prints in every arm."""

import jax
import numpy as np
import pytest

from fpgan_jax.evaluation.recognition.print_sets import FingerPrints
from fpgan_jax.evaluation.recognition.training import Settings, Trainer, choose_batch, label_fingers

SETTINGS = Settings(num_steps=4, batch_size=5, widths=(8,), embedding_size=4)


def create_prints(name, fingers, first_value):
    images = np.zeros((len(fingers), 128, 128), np.int8)
    # The first pixel tells the print.
    images[:, 0, 0] = first_value + np.arange(len(fingers))
    return FingerPrints(name, images, np.array(fingers, np.int64))


REAL = create_prints("real", [4, 4, 9], 1)
OTHERS = create_prints("others", [1000, 1001, 1001, 1002], 11)


@pytest.fixture
def trainer(monkeypatch):
    """Return a trainer whose steps are noted in `calls` and change nothing."""
    trainer = Trainer(SETTINGS, max_classes=5)
    trainer.calls = []

    def note(params, opt_state, key, images, classes, num_classes, strength):
        trainer.calls.append((images[:, 0, 0].tolist(), classes.tolist(), num_classes, strength))
        return params, opt_state, 0.5

    monkeypatch.setattr(trainer, "_step", note)
    return trainer


def test_every_arm_takes_the_same_number_of_steps(trainer):
    losses = []
    for sources in ([REAL], [REAL, OTHERS]):
        trainer.train(sources, strength=0.0, seed=0, show=losses.append)
    assert losses == [0.5] * 8


def test_with_and_without_augmentation_the_batches_are_the_same(trainer):
    for strength in (0.0, 1.0):
        trainer.train([REAL], strength=strength, seed=3)
    plain, augmented = trainer.calls[:4], trainer.calls[4:]
    assert [call[:3] for call in plain] == [call[:3] for call in augmented]
    assert {call[3] for call in plain} == {0.0} and {call[3] for call in augmented} == {1.0}


def test_prints_come_with_their_fingers_labels(trainer):
    trainer.train([REAL, OTHERS], strength=0.0, seed=0)
    labels = {1: 0, 2: 0, 3: 1, 11: 2, 12: 3, 13: 3, 14: 4}
    for values, classes, num_classes, _ in trainer.calls:
        assert classes == [labels[value] for value in values] and num_classes == 5


def test_every_source_has_its_share_of_a_batch_and_real_prints_keep_their_order():
    alone = np.concatenate([choose_batch(step, [7], 3, seed=2)[0] for step in range(4)])
    mixed = [choose_batch(step, [7, 900], 5, seed=2) for step in range(4)]
    assert [list(map(len, batch)) for batch in mixed] == [[3, 2]] * 4
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in mixed]), alone)
    assert [len(part) for part in choose_batch(0, [7, 900, 900], 48, seed=0)] == [16, 16, 16]


def test_more_prints_of_a_finger_are_of_its_class():
    more = create_prints("more", [9, 4], 21)
    assert [part.tolist() for part in label_fingers([REAL, more, OTHERS])] == [
        [0, 0, 1],
        [1, 0],
        [2, 3, 3, 4],
    ]


def test_first_weights_are_the_seeds_whatever_the_number_of_classes():
    few, many = (Trainer(SETTINGS, max_classes=number).create_params(1) for number in (2, 5))
    jax.tree.map(np.testing.assert_array_equal, few["network"], many["network"])
    np.testing.assert_array_equal(few["classes"], many["classes"][:2])
    other = Trainer(SETTINGS, max_classes=2).create_params(2)
    assert not np.array_equal(other["classes"], few["classes"])


@pytest.mark.seconds(20)
def test_two_fingers_are_learned():
    rows, columns = np.mgrid[:128, :128]
    images = np.stack([60 * np.sin(axis / 2) for axis in (rows, columns)]).astype(np.int8)
    settings = Settings(num_steps=12, batch_size=4, widths=(8,), embedding_size=4, learning_rate=1e-2)
    losses = []
    trainer = Trainer(settings, max_classes=2)
    variables = trainer.train(
        [FingerPrints("real", images, np.array([1, 2]))], strength=0.0, seed=0, show=losses.append
    )
    assert losses[-1] < 0.5 * losses[0]
    cosines = trainer.embed(variables, images, batch_size=2)
    assert cosines.shape == (2, 4) and cosines[0] @ cosines[1] < 0.5
