"""What a run keeps of its changes, as somebody may have edited it."""

import json

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.training.starting.history import HISTORY_FILENAME, find_origin, read_history


@pytest.mark.parametrize("values", [{}, 3, [3], [{"changes": {}}], [{"step": 0, "init_from": "run"}]])
def test_a_file_that_is_no_history_is_named(tmp_path, values):
    (tmp_path / HISTORY_FILENAME).write_text(json.dumps(values))
    with pytest.raises(UserError, match=f"{HISTORY_FILENAME}: not the history of a run; fix it"):
        read_history(str(tmp_path))


def test_the_origin_is_found_in_it(tmp_path):
    assert find_origin(str(tmp_path)) is None
    entries = [{"step": 0, "init_from": {"workdir": "/other"}}, {"step": 3, "changes": {}}]
    (tmp_path / HISTORY_FILENAME).write_text(json.dumps(entries))
    assert find_origin(str(tmp_path)) == "/other"
