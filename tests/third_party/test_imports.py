"""The direction of imports between this project and what it has for others."""

import pathlib
import re


def test_nothing_in_the_package_imports_third_party():
    files = pathlib.Path("fpgan_jax").rglob("*.py")
    importing = re.compile(r"^\s*(from|import) third_party\b", re.MULTILINE)
    assert [path for path in files if importing.search(path.read_text())] == []
    assert importing.search("    from third_party.keras_xception import weights")
