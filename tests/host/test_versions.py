"""The commit of the code that runs."""

import subprocess

import pytest

from fpgan_jax.host import versions


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return the folder of a copy of the checkout without git's files, with the commit that `prepare` wrote."""
    monkeypatch.setattr(versions, "_ROOT", tmp_path)
    monkeypatch.setattr(versions, "_COMMIT_FILE", tmp_path / ".gpu" / "commit")
    (tmp_path / "setup.cfg").touch()
    (tmp_path / ".gpu").mkdir()
    (tmp_path / ".gpu" / "commit").write_text("0123-dirty\n")
    return tmp_path


def test_the_commit_of_a_copy_without_git_is_read_from_its_file(root):
    assert versions.find_commit() == "0123-dirty"
    # A worktree's file that points to a folder of another machine.
    (root / ".git").write_text("gitdir: /nowhere\n")
    assert versions.find_commit() == "0123-dirty"
    (root / ".gpu" / "commit").unlink()
    assert versions.find_commit() == "not a checkout"


def test_the_commit_of_a_checkout_is_gits(root):
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "setup.cfg"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert versions.find_commit() == commit[:12]
    (root / "setup.cfg").write_text("changed")
    assert versions.find_commit() == f"{commit[:12]}-dirty"
