"""When is it time?"""

import pytest

from fpgan_jax.training.cadence import Schedule, is_time, last_step_of_epoch


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


def list_due(is_due, num_steps=12):
    return [step for step in range(1, num_steps + 1) if is_due(step)]


def test_a_schedule_says_what_is_due_after_each_step():
    schedule = Schedule(
        num_steps=12,
        log_every_steps=5,
        checkpoint_every_steps=0,
        keep_steps=frozenset({7}),
        sample_epochs={4: 1, 8: 2},
    )
    assert list_due(schedule.is_log) == [5, 10, 12]
    assert list_due(schedule.is_checkpoint) == [7, 12]
    assert list_due(schedule.is_sample) == [4, 8]


def test_steps_are_dispatched_together_where_nothing_is_due_between_them():
    schedule = Schedule(12, log_every_steps=6, checkpoint_every_steps=5, steps_per_dispatch=3)
    # Due after 5, 6, 10 and 12: three steps from 0, 6 and 7 end before the next of these, or at it.
    assert [schedule.count_next_steps(step) for step in range(12)] == [3, 3, 3, 1, 1, 1, 3, 3, 1, 1, 1, 1]


@pytest.mark.parametrize(("log", "checkpoint", "expected"), [(6, 5, 5), (6, 0, 6), (0, 0, 12)])
def test_the_shortest_interval(log, checkpoint, expected):
    schedule = Schedule(12, log_every_steps=log, checkpoint_every_steps=checkpoint)
    assert schedule.shortest_interval == expected
