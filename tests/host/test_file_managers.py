"""What file managers leave, and what only looks like it."""

import pytest

from fpgan_jax.host.file_managers import is_leftover

LEFTOVERS = (
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "._005_03.png",
    "Icon\r",
    ".directory",
    "@eaDir",
    "__MACOSX",
)


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_a_file_manager_leaves(name):
    assert is_leftover(name)


@pytest.mark.parametrize("name", ["005_03.png", "thumbs.png", ".hidden.png", "_005.png", "Icon"])
def test_what_a_user_made(name):
    assert not is_leftover(name)
