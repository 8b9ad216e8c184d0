"""A discriminator that has won and a generator that ignores its input are reported, once, with the measure."""

import jax
import numpy as np
import pytest

from fpgan_jax.training import gan_watch
from fpgan_jax.training.gan_watch import compute_response, watch_discriminator, watch_generator
from fpgan_jax.training.state import GanTrainState, NetworkState
from tests.training import test_resume, tiny

# The best that a discriminator can do which gives every patch the same logit l: softplus(-l) + softplus(l) is least
# at 0, (l - 1)^2 + l^2 at 1/2, and relu(1 - l) + relu(1 + l) is 2 from -1 to 1.
BLIND_LOSSES = {"vanilla": 2 * np.log(2), "lsgan": 0.5, "hinge": 2.0}


class Warnings(list):
    """Stands for the reporter."""

    def warn_once(self, step, name, text):
        self.append((step, name, text))


def watch_losses(losses, *, every=10, num_steps=1000, objective="vanilla", weight=0.5):
    """Show D's losses, a row every ten steps; return the step of the first warning and its text."""
    config = tiny.create_config()
    config.gan_objective, config.discriminator_loss_weight = objective, weight
    watch, warnings = watch_discriminator(config, num_steps), Warnings()
    for row, loss in enumerate(losses, start=1):
        watch(row * every, {"discriminator_loss": loss, "l1_loss": 0.3}, warnings)
    return warnings[0] if warnings else None


@pytest.mark.parametrize("objective", BLIND_LOSSES)
@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_near_zero_is_a_share_of_a_blind_discriminators_loss(objective, weight):
    limit = gan_watch.MAX_WON_SHARE * weight * BLIND_LOSSES[objective]
    options = {"objective": objective, "weight": weight}
    assert watch_losses([1.001 * limit] * 99, **options) is None
    step, name, _ = watch_losses([0.999 * limit] * 99, **options)
    assert (step, name) == (50, "discriminator_won")  # five rows; a twentieth of the training


def test_the_warning_states_the_measure_and_its_value():
    _, _, text = watch_losses([1.0, 1.0] + [2e-5] * 9)
    expected = (
        "has won: its loss has been below 1.0% of that of one answer for every patch (0.693) since step 20"
    )
    assert expected in text and "and is 2e-05 now" in text


@pytest.mark.parametrize(
    ("num_steps", "every", "expected"), [(1000, 10, 80), (4000, 10, 230), (1000, 50, 400)]
)
def test_it_must_last_for_a_part_of_the_training_and_for_some_rows(num_steps, every, expected):
    # From the fourth row on: five rows are 50 and 250 steps, and a twentieth of 4000 steps is 200.
    assert watch_losses([1.0] * 3 + [1e-6] * 90, every=every, num_steps=num_steps)[0] == expected


def test_a_discriminator_that_recovers_has_not_won():
    assert watch_losses(([1e-6] * 4 + [0.1]) * 20) is None


@pytest.mark.parametrize("objective", BLIND_LOSSES)
@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_discriminator_that_tells_nothing_apart_for_long_is_blind(objective, weight):
    limit = 0.99 * weight * BLIND_LOSSES[objective]
    options = {"objective": objective, "weight": weight}
    assert watch_losses([0.999 * limit] * 99, **options) is None
    step, name, text = watch_losses([0.5 * limit] * 3 + [1.001 * limit] * 90, **options)
    assert (step, name) == (180, "discriminator_blind")  # 15% of 1,000 steps after step 30
    assert "is blind: its loss has been above 99% of that of one answer for every patch" in text
    assert "since step 30, and is" in text


def test_a_discriminator_that_sees_again_is_not_blind():
    assert watch_losses(([0.25] * 14 + [0.24]) * 6, objective="lsgan") is None


def test_a_discriminator_that_is_not_trained_has_not_won():
    assert watch_losses([0.0] * 99, weight=0.0) is None


def test_response_is_the_slope_of_drawn_differences_on_true_ones():
    real = np.array([[0.0, 1.0], [4.0, 3.0]]).reshape(2, 1, 2, 1)  # from their means: -2, -1 and 2, 1
    # From their means -1, 1 and 1, -1: (2 - 1 + 2 - 1) / (4 + 1 + 4 + 1).
    fake = np.array([[0.0, 2.0], [2.0, 0.0]]).reshape(2, 1, 2, 1)
    assert compute_response(fake, real) == pytest.approx(0.2, rel=1e-12)
    assert compute_response(0.3 * real + 7, real) == pytest.approx(0.3, rel=1e-12)
    assert compute_response(np.full((2, 1, 2, 1), 0.7), real) == 0


def test_noise_that_shines_through_is_no_response():
    rng = np.random.default_rng(0)
    real, noise = rng.normal(size=(2, 5, 64, 64, 1))
    # The slope on independent differences has a standard deviation of 1 / sqrt(4 * 64 * 64) = 0.008.
    assert abs(compute_response(noise, real)) < 0.04


REAL = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)  # -1 and 1


def look_at(fake, real=REAL, *, step=250):
    """Return the warnings about a generator that draws `fake` for two noise images, after so many of 1000 steps."""
    drawn, warnings = [], Warnings()

    def generate(variables, noise_image, keys):
        drawn.append(jax.random.key_data(keys))
        return np.float32(fake).reshape(2, 1, 1, 1)

    pairs = {"noise_image": np.zeros_like(real), "real_image": real}
    state = GanTrainState(step, NetworkState({}, {}, ()), NetworkState({}, {}, ()))
    watch_generator(generate, pairs, 1000)(step, state, warnings)
    for keys in drawn:
        np.testing.assert_array_equal(keys[0], keys[1])  # the same dropout
    return list(warnings)


def test_a_generator_that_draws_the_same_from_all_noise_is_reported_with_the_measure():
    ((step, name, text),) = look_at([0.5, 0.56])
    assert (step, name) == (250, "generator_ignores_input")
    # -0.03 and 0.03 about their mean, where the prints are -1 and 1.
    assert "from 2 inputs it draws 3.0% of the differences between their targets (below 10%)" in text


@pytest.mark.parametrize("fake", [[0.149, -0.149], [0.0001, -0.0001], [-0.0, 0.0]])
def test_what_goes_against_the_prints_is_told_as_none_of_their_differences(fake):
    ((_, _, text),) = look_at(fake)
    assert " it draws 0.0% of the differences " in text


@pytest.mark.parametrize("fake", [[-0.11, 0.11], [-1, 1]])
def test_a_generator_that_draws_different_images_is_not_reported(fake):
    assert look_at(fake) == []


def test_a_generator_is_not_reported_before_it_has_learned_for_a_quarter_of_the_training():
    assert look_at([0, 0], step=249) == [] != look_at([0, 0], step=250)


def test_prints_that_are_all_the_same_ask_for_no_variation():
    assert look_at([0, 0], real=np.full_like(REAL, 255)) == []


def train(workdir, **stopped):
    with pytest.MonkeyPatch.context() as patch:
        # Everything is reported, but not that D, which has won, is blind too.
        patch.setattr(gan_watch, "MAX_WON_SHARE", 1e9)
        patch.setattr(gan_watch, "MIN_BLIND_SHARE", 1e9)
        patch.setattr(gan_watch, "MIN_ROWS", 2)
        patch.setattr(gan_watch, "MIN_RESPONSE", 1e9)
        test_resume.train(workdir, **stopped)


@pytest.mark.usefixtures("shared_programs")
@pytest.mark.seconds(10)
def test_a_run_warns_once_also_when_it_was_stopped(tmp_path, caplog):
    train(tmp_path / "whole")
    assert caplog.text.count("the discriminator has won") == caplog.text.count("ignores its input") == 1
    with pytest.raises(test_resume.Killed):
        train(tmp_path / "stopped", killed_before_step=5)
    train(tmp_path / "stopped")
    rows = [(tmp_path / name / "warnings.csv").read_text() for name in ("whole", "stopped")]
    assert rows[0] == rows[1]
    # Rows of metrics after 2, 4 and 6 steps, checkpoints after 3 and 6.
    assert [line.split(",")[:2] for line in rows[0].splitlines()] == [
        ["step", "warning"],
        ["3", "generator_ignores_input"],
        ["4", "discriminator_won"],
    ]
