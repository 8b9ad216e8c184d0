"""Timing with a clock that only moves when it is told to."""

import numpy as np
import pytest

from fpgan_jax.benchmarking import timing


class Clock:
    """Moves by what is waited for; a program's work is done only when it is blocked on."""

    def __init__(self):
        self.now = 0.0
        self.pending = 0.0
        self.num_calls = 0

    def __call__(self):
        return self.now

    def create_program(self, *durations):
        durations = iter(durations)
        last = [0.0]

        def call():
            last[0] = next(durations, last[0])
            self.pending += last[0]
            self.num_calls += 1
            return self.num_calls

        def block(result):
            assert result == self.num_calls  # the last call's
            self.now += self.pending
            self.pending = 0.0

        return timing.create_turn(call, block, clock=self)


def test_the_first_call_is_not_timed():
    turn = Clock().create_program(50.0, 1.0, 2.0, 3.0)
    assert turn(3, 0.0) == [1.0, 2.0, 3.0]


def test_a_turn_lasts_for_the_seconds_and_for_the_repeats():
    assert len(Clock().create_program(1.0)(2, 10.0)) == 10
    assert len(Clock().create_program(1.0)(12, 10.0)) == 12


def test_short_calls_share_a_sample_and_are_blocked_on_once():
    clock = Clock()
    samples = clock.create_program(timing.SAMPLE_SECONDS / 4)(3, 0.0)
    assert clock.num_calls == 1 + 3 * 4
    np.testing.assert_allclose(samples, timing.SAMPLE_SECONDS / 4)


def test_a_program_that_takes_no_time_ends():
    assert timing.create_turn(lambda: None, lambda result: None)(2, 0.0)


def test_rounds_are_interleaved_and_change_their_order():
    order = []

    def create(name):
        def turn(min_repeats, min_seconds):
            order.append((name, min_repeats, min_seconds))
            return [1.0] * min_repeats

        return turn

    settings = timing.Settings(min_repeats=5, min_seconds=6.0, rounds=3)
    samples = timing.run_rounds({name: create(name) for name in "ab"}, settings)
    assert "".join(name for name, *_ in order) == "abbaab"
    assert {rest for _, *rest in map(tuple, order) for rest in [tuple(rest)]} == {(2, 2.0)}
    assert samples == {"a": [[1.0, 1.0]] * 3, "b": [[1.0, 1.0]] * 3}


@pytest.mark.parametrize("count", [1, 2, 3, 10, 11])
def test_statistics_are_numpys(count):
    samples = np.random.default_rng(count).exponential(size=count)
    summary = timing.summarize([samples[:1].tolist(), samples[1:].tolist()])
    wanted = [*np.percentile(samples, [50, 25, 75]), samples.min(), count]
    np.testing.assert_allclose(
        [summary.median, summary.q1, summary.q3, summary.minimum, summary.count], wanted
    )


def test_milliseconds():
    fields = timing.to_milliseconds(timing.Summary(0.002, 0.001, 0.003, 0.0005, 7))
    assert fields == {"ms_median": 2, "ms_q1": 1, "ms_q3": 3, "ms_minimum": 0.5, "ms_count": 7}


def test_the_ratio_is_theirs_over_ours_with_the_spread_of_the_rounds():
    ours, theirs = [[1.0, 1.0], [2.0, 2.0]], [[3.0], [4.0]]
    ratio = timing.compute_ratio(theirs, ours)
    assert ratio == {"median": pytest.approx(3.5 / 1.5), "low": 2.0, "high": 3.0}


def test_no_round_follows_the_one_at_whose_end_it_is_over():
    turns = {"ours": lambda min_repeats, min_seconds: [1.0], "theirs": lambda min_repeats, min_seconds: [2.0]}
    answers = iter([False, True])
    rounds = timing.run_rounds(turns, timing.Settings(rounds=5), is_over=lambda: next(answers))
    assert rounds == {"ours": [[1.0], [1.0]], "theirs": [[2.0], [2.0]]}
