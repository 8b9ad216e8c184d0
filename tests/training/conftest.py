"""What several tests of trainings look at."""

import pytest

from fpgan_jax import parallel


@pytest.fixture
def dispatched(monkeypatch):
    """Return a list that gets the number of steps of every dispatch."""
    numbers, create_dispatch = [], parallel.create_dispatch

    def create_recording_dispatch(*args):
        dispatch = create_dispatch(*args)

        def record(state, batches, base_keys):
            numbers.append(len(batches))
            return dispatch(state, batches, base_keys)

        return record

    monkeypatch.setattr(parallel, "create_dispatch", create_recording_dispatch)
    return numbers
