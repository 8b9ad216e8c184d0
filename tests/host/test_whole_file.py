"""Files that appear whole or not at all."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from fpgan_jax.host.whole_file import write_whole


def read_folder(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_replaced_only_at_the_end(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    with write_whole(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert read_folder(tmp_path) == {"rows.csv": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "rows.csv").write_text("old")
    with pytest.raises(error), write_whole(tmp_path / "rows.csv") as file:
        file.write("new")
        raise error
    assert read_folder(tmp_path) == {"rows.csv": b"old"}


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "rows.csv").write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        # Buffered: the system refuses it only when the file is closed.
        with pytest.raises(OSError, match="File too large"), write_whole(tmp_path / "rows.csv") as file:
            file.write("new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_folder(tmp_path) == {"rows.csv": b"old"}


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    program = (
        "import os, signal, sys\nfrom fpgan_jax.host.whole_file import write_whole\n"
        "with write_whole(sys.argv[1]) as file:\n"
        "    file.write('longer than what follows')\n    file.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "rows.csv"
    result = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert read_folder(tmp_path) == {"rows.csv.tmp": b"longer than what follows"}
    with write_whole(path) as file:
        file.write("new")
    assert read_folder(tmp_path) == {"rows.csv": b"new"}


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.tmp"])
def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(outside)
    with write_whole(tmp_path / "run" / "rows.csv") as file:
        file.write("new")
    assert outside.read_text() == "mine"
    assert not (tmp_path / "run" / "rows.csv").is_symlink()
    assert read_folder(tmp_path / "run") == {"rows.csv": b"new"}


def test_text_is_utf_8_with_its_line_ends_as_written(tmp_path):
    with write_whole(os.fspath(tmp_path / "rows.csv")) as file:
        file.write("é\n\r\n")
    assert read_folder(tmp_path) == {"rows.csv": b"\xc3\xa9\n\r\n"}


def test_bytes_are_taken(tmp_path):
    with write_whole(tmp_path / "image", "wb") as file:
        file.write(b"\xff\x00")
    assert read_folder(tmp_path) == {"image": b"\xff\x00"}


def test_a_missing_folder_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "none" / "rows.csv"):
        pass
