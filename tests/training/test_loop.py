"""The loop on a training of one number: what is dispatched together, measured and refused."""

import re
import signal
import sys

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.metrics import create_means
from fpgan_jax.training import loop
from fpgan_jax.training.cadence import Schedule
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from fpgan_jax.training.run import Training, Watch


@flax.struct.dataclass
class State:
    step: jax.Array
    value: jax.Array

    def to_trees(self):
        return {"all": {"step": self.step, "value": self.value}}

    @classmethod
    def from_trees(cls, trees):
        return cls(**trees["all"])


def take_step(state, batch, base_key):
    noise = jax.random.normal(jax.random.fold_in(base_key, state.step))
    value = 0.9 * state.value + noise + batch["x"].mean()
    metrics = create_means({"loss": jnp.where(batch["x"].sum() < 0, jnp.nan, value)}, len(batch["x"]))
    return State(state.step + 1, value), parallel.sum_over_devices(metrics, parallel.DEVICE_AXIS)


def create_batches(start_step, num_steps):
    for step in range(start_step, start_step + num_steps):
        yield {"x": np.arange(2, dtype=np.float32) + step}


class NumberFeed:
    """Stands for a `feed.Feed`."""

    data_hash, examples = "0123", None

    def __init__(self, create_batches=create_batches):
        self.create_batches = create_batches

    def name_examples(self, step):
        return ()


def create_training(workdir, *, schedule=None, **changes):
    """Create twelve steps, due after 3 (sample), 5, 6, 10 and 12."""
    due = {
        "num_steps": 12,
        "steps_per_dispatch": 3,
        "log_every_steps": 6,
        "checkpoint_every_steps": 5,
        "sample_epochs": {3: 1},
    }
    options = {
        "label": "number",
        "workdir": str(workdir),
        "config": ConfigDict({"rate": 0.9}),
        "config_fields": ("",),
        "schedule": Schedule(**due | (schedule or {})),
        "feed": NumberFeed(),
        "global_batch_size": 2,
        "step": take_step,
        "metric_names": ("loss",),
        "shown_metrics": ("loss",),
        "best_metric": "loss",
    }
    return Training(**options | changes)


def create_state():
    return State(jnp.int32(0), jnp.float32(0))


def train(workdir, *, schedule=None, **changes):
    training = create_training(workdir, schedule=schedule, **changes)
    return loop.run_training(training, create_state(), jax.random.key(0))


def test_a_dispatch_never_passes_what_is_due(tmp_path, dispatched):
    assert int(train(tmp_path).step) == 12
    # Steps 1-3; 4, 5 and 6 alone, since 5 and 6 are due; 7-9; 10, 11 and 12 alone.
    assert dispatched == [3, 1, 1, 1, 3, 1, 1, 1]


@pytest.mark.parametrize(("steps_per_dispatch", "is_warned"), [(5, False), (6, True)])
def test_a_dispatch_longer_than_the_shortest_interval_is_told(
    tmp_path, caplog, steps_per_dispatch, is_warned
):
    train(tmp_path, schedule={"steps_per_dispatch": steps_per_dispatch})
    assert (
        "steps_per_dispatch=6 has no effect: something is logged or saved every 5" in caplog.text
    ) == is_warned


@pytest.mark.parametrize(
    ("steps_per_dispatch", "num_steps", "expected"),
    [(1, 4, [1, 1, 1, 1]), (4, 4, [4]), (4, 5, [4, 1]), (4, 3, [1, 1, 1])],
)
def test_what_does_not_fill_a_dispatch_is_dispatched_alone(
    tmp_path, dispatched, steps_per_dispatch, num_steps, expected
):
    rare = {"log_every_steps": 20, "checkpoint_every_steps": 0, "sample_epochs": {}}
    train(tmp_path, schedule=rare | {"steps_per_dispatch": steps_per_dispatch, "num_steps": num_steps})
    assert dispatched == expected


def test_several_steps_a_dispatch_give_the_numbers_of_single_ones(tmp_path):
    states = [train(tmp_path / str(count), schedule={"steps_per_dispatch": count}) for count in (1, 3)]
    # Twelve roundings of float32, of values of less than 64, each by half of 2**-23 of them.
    assert abs(states[0].value - states[1].value) <= 12 * 64 * 2**-24
    assert states[0].value > 50
    rows = [(tmp_path / count / "metrics.csv").read_text().splitlines() for count in ("1", "3")]
    assert [[line.split(",")[0] for line in lines] for lines in rows] == [["step", "6", "12"]] * 2
    losses = [[float(line.split(",")[1]) for line in lines[1:]] for lines in rows]
    np.testing.assert_allclose(*losses, rtol=0, atol=12 * 64 * 2**-24)


def read_metric(workdir, step):
    _, _, metadata = restore_for_evaluation(str(workdir), (), step)
    return metadata["metric"]


def test_a_stop_that_is_not_due_does_not_change_which_checkpoint_is_the_best(tmp_path):
    def create_stopping_batches(start_step, num_steps):
        for step, batch in enumerate(create_batches(start_step, num_steps), start=start_step + 1):
            if step == 7:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    single = {"steps_per_dispatch": 1}
    train(tmp_path / "whole", schedule=single)
    with pytest.raises(Interrupted, match="after step 7 of 12"):
        train(tmp_path / "stopped", schedule=single, feed=NumberFeed(create_stopping_batches))
    assert read_metric(tmp_path / "stopped", 7) == sys.float_info.max
    train(tmp_path / "stopped", schedule=single)
    # That of step 10 has the average since step 5, of two steps before the stop and three after it.
    assert read_metric(tmp_path / "stopped", 10) == read_metric(tmp_path / "whole", 10)


def test_samples_are_drawn_at_their_steps_only(tmp_path):
    drawn = []

    class Drawing(Watch):
        def draw_samples(self, step, state, reporter):
            drawn.append((step, int(parallel.unreplicate(state.step))))

    train(tmp_path, schedule={"sample_epochs": {2: 1, 7: 3}}, watch=Drawing())
    assert drawn == [(2, 2), (7, 7)]


@pytest.mark.parametrize("bad", [7, 8, 9, 11])
def test_a_metric_that_is_not_finite_is_named_with_its_step_of_a_dispatch(tmp_path, bad):
    def create_bad_batches(start_step, num_steps):
        for step, batch in enumerate(create_batches(start_step, num_steps), start=start_step + 1):
            yield {"x": batch["x"] - 1000 * (step == bad)}

    kept = 5 if bad < 10 else 10
    with pytest.raises(
        UserError, match=f"loss of the number not finite at step {bad}; .* that of step {kept}"
    ):
        train(tmp_path, feed=NumberFeed(create_bad_batches))


def test_a_training_ends_with_a_line_on_its_speed_and_waiting(tmp_path, capsys):
    train(tmp_path)
    pattern = r"^number: 12 steps, [0-9.]+ images/s, waited for data [0-9.]+% of the time$"
    assert re.search(pattern, capsys.readouterr().err, re.MULTILINE)
    assert "waited" not in (tmp_path / "metrics.csv").read_text()
    train(tmp_path)  # nothing is left to do or to tell
    assert "waited" not in capsys.readouterr().err


def test_waiting_for_data_is_measured(monkeypatch, tmp_path):
    clock = iter(range(100))
    # Each look at the clock is a second later.
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    stopwatch = loop._Stopwatch()
    assert stopwatch.wait_for(iter("abc"), 2) == ["a", "b"]
    text = stopwatch.describe(create_training(tmp_path, global_batch_size=6), 2)
    assert text == "number: 2 steps, 4.0 images/s, waited for data 33.3% of the time"
