"""Owns which versions run: this package's, its commit, Python's and those of what it uses."""

import configparser
import contextlib
import importlib.metadata
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]
# Written by `launch/gpu_check.sh prepare` for a copy of the checkout without git's files.
_COMMIT_FILE = _ROOT / ".gpu" / "commit"
NOT_INSTALLED = "not installed"
# Packages that decide numbers, in the order of the output.
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow", "tensorflow-cpu")


def find_version() -> str:
    """Return this package's version: of the checkout that it runs from, else of the installation."""
    setup = configparser.ConfigParser()
    setup.read(_ROOT / "setup.cfg", encoding="utf-8")
    if setup.get("metadata", "name", fallback="") == "fpgan_jax":
        return setup["metadata"]["version"]
    return find_package("fpgan_jax")


def find_package(name: str) -> str:
    """Return an installed package's version, or `NOT_INSTALLED`."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED


def find_commit() -> str:
    """Return the commit of the running code, with "-dirty" if it was changed since, or "not a checkout"."""
    # If installed into an environment inside another project's checkout, git would name that project's commit.
    if (_ROOT / "setup.cfg").exists() and (_ROOT / ".git").exists():
        command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return _COMMIT_FILE.read_text().strip() if _COMMIT_FILE.exists() else "not a checkout"


def describe_versions() -> str:
    """Write two lines: this package and its commit; Python and the packages that decide numbers."""
    others = ", ".join(f"{name} {find_package(name)}" for name in PACKAGES)
    return f"fpgan_jax {find_version()}, commit: {find_commit()}\nPython {sys.version.split()[0]}, {others}"
