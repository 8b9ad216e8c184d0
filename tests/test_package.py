"""What `pip install` of the repository brings: all modules of the package, and the files that they read."""

import configparser
import pathlib

from setuptools import find_packages

ROOT = pathlib.Path(__file__).parents[1]


def read_setup():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup


def list_packages():
    patterns = read_setup()["options.packages.find"]["include"].split()
    return set(find_packages(str(ROOT), include=patterns))


def test_every_module_is_in_a_package_that_is_installed():
    folders = {path.parent for path in (ROOT / "fpgan_jax").rglob("*.py")}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in folders} == list_packages()


def test_every_file_that_is_no_module_is_installed_with_its_package():
    installed = {
        path
        for name, patterns in read_setup()["options.package_data"].items()
        for pattern in patterns.split()
        for path in ROOT.joinpath(*name.split(".")).glob(pattern)
    }
    files = {path for path in (ROOT / "fpgan_jax").rglob("*") if path.is_file()}
    others = {path for path in files if path.suffix not in (".py", ".pyc")}
    assert others and others == installed


def test_nothing_but_the_package_is_installed():
    assert {name.partition(".")[0] for name in list_packages()} == {"fpgan_jax"}
