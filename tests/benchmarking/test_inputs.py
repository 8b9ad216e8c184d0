"""The input feeds the training step."""

import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import cases, inputs


@pytest.mark.parametrize("name", cases.INPUT_CASES)
def test_an_input_feeds_the_step_beside_the_resident_batch(name, monkeypatch):
    if name == "input_tfdata":
        pytest.importorskip("tensorflow", reason="NOT RUN: TensorFlow cannot be imported here")
    case = cases.Case(name, 16, 2, 64, "float32")  # more than the config's own 50 pairs
    config = cases.create_config(pix2pix_socofing.get_config(), case)
    dispatched = []

    class Resident:
        class program:
            key = None
            step = create_state = staticmethod(dict)

        call = staticmethod(lambda: 0)

    def create_dispatch(step, examples):
        def dispatch(state, batches, key):
            dispatched.append((examples, *batches))
            return state, {}

        return dispatch

    monkeypatch.setattr(inputs.parallel, "create_dispatch", create_dispatch)
    turns = inputs.create_turns(case, config, Resident)
    assert set(turns) == {"input", "fed", "resident"}
    for turn in turns.values():
        assert len(turn(2, 0.0)) == 2
    examples, batch = dispatched[0]
    if name == "input_device":
        assert batch.shape == (64,) and examples["noise_image"].shape == (70, 16, 16, 1)
    else:
        assert examples is None and batch["noise_image"].shape == (64, 16, 16, 1)
        assert batch["real_image"].std() > 50
