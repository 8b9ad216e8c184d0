"""One process at a time in a folder."""

import os
import signal
import subprocess
import sys

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder

HOLD = (
    "import sys\nfrom fpgan_jax.host.folder_lock import hold_folder\n"
    "with hold_folder(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


@pytest.fixture(name="holder")
def _holder(tmp_path):
    """Start a process that holds tmp_path."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_is_there(holder, tmp_path):
    message = rf"another process \({holder.pid} on .*\) is at work here"
    with pytest.raises(UserError, match=message), hold_folder(str(tmp_path)):
        pass
    assert holder.poll() is None


def test_a_killed_process_holds_nothing(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with hold_folder(str(tmp_path)):
        assert int((tmp_path / ".lock").read_text().split()[0]) == os.getpid()


def test_nothing_is_left_behind(tmp_path):
    folder = str(tmp_path / "new")
    with hold_folder(folder), pytest.raises(UserError, match="at work"), hold_folder(folder):
        pass
    assert list((tmp_path / "new").iterdir()) == []
    with hold_folder(str(tmp_path / "new")):
        pass


def test_one_that_works_beside_the_holder_is_not_kept_out(holder, tmp_path):
    with hold_folder(str(tmp_path), is_holder=False):
        assert holder.poll() is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written to"), hold_folder(str(tmp_path / "file")):
        pass
