"""When is it time?"""

import pytest

from fpgan_jax.training.cadence import is_time, last_step_of_epoch


def test_every_third_of_eight_steps_and_the_last():
    assert [step for step in range(1, 9) if is_time(step, 3, 8)] == [3, 6, 8]


def test_the_last_step_is_not_counted_twice_when_it_is_a_multiple():
    assert [step for step in range(1, 7) if is_time(step, 3, 6)] == [3, 6]


def test_zero_is_the_end_only():
    assert [step for step in range(1, 9) if is_time(step, 0, 8)] == [8]


@pytest.mark.parametrize(
    ("epoch", "num_examples", "batch_size", "step"),
    [
        (1, 50, 10, 5),
        (160, 50, 1, 8000),
        (1, 50, 8, 7),  # 6 batches use 48, the 7th the last 2
        (2, 50, 8, 13),  # 100 / 8 = 12.5
        (4, 50, 8, 25),
        (1, 3, 8, 1),
    ],
)
def test_last_step_of_epoch(epoch, num_examples, batch_size, step):
    assert last_step_of_epoch(epoch, num_examples, batch_size) == step
