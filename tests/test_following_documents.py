"""The documents' commands and snippets, run as they are written and in their order, with configs of test size.

All pages share one folder, which looks like a checkout: later pages use what earlier ones wrote. A block that is not
run says why on the line before it: `<!-- not run: REASON -->`.
"""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from configs import pairs
from fpgan_jax.data.procedural.files import write_prints
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import create_impression
from fpgan_jax.training import gan_trainer
from tests import documents
from tests.documents import ROOT
from tests.launch.scripts import run
from tests.small_configs import shrink
from third_party.pytorch_pix2pix import runs

# Instead of the config that is written: that one at test size, by a file of the same name.
_CONFIG = """
import runpy

from tests.small_configs import shrink


def get_config():
    return shrink(runpy.run_path({path!r})["get_config"]())
"""
# (what is written, what is run in its place)
_SHRUNK = (
    ("--num_images=1000000", "--num_images=6"),
    ("--num_images=1000", "--num_images=6"),
    ("--num_identities=24", "--num_identities=1 --nocheck_fingers"),
    ("--num_impressions=6", "--num_impressions=2"),
    ("--num_persons=30", "--num_persons=3"),
    ("--config.data.num_persons=40", "--config.data.num_persons=2"),
    ("--config.num_epochs=200", "--config.num_epochs=3"),
    ("launch.sweep --config", "launch.sweep --dry_run --config"),
)
# Shell commands that are not `python -m launch.NAME`.
_LEFT_OUT = {"source .venv/bin/activate", "bash launch/test.sh", "bash launch/setup_biometrics.sh"}
_LINKED = ("fpgan_jax", "launch", "tests", "third_party", "docs", "setup.cfg", "pyproject.toml")


@pytest.mark.extended
def test_every_command_of_the_documents_runs_in_its_order(tmp_path, monkeypatch):
    make_checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("FPGAN_JAX_VENV", str(tmp_path / "venv"))
    for page in documents.list_pages():
        for block in documents.read_blocks(page):
            if block.exemption is None and block.language != "text":
                follow(block)


def follow(block):
    if block.language == "python":
        exec(compile(block.text, str(block), "exec"), {"__name__": "__document__"})
        return
    text = block.text
    for written, shrunk in _SHRUNK:
        text = re.sub(rf"{re.escape(written)}(?!\w)", shrunk, text)
    for words in documents.list_commands(text):
        if " ".join(words) in _LEFT_OUT:
            continue
        if words[:2] == ["python", "-m"]:
            result = run(words[2].removeprefix("launch."), *words[3:])
        else:
            assert words[:2] == ["bash", "launch/quickstart.sh"], f"{block}: what is {' '.join(words)!r}?"
            result = subprocess.run(words, check=False, capture_output=True, text=True)
        assert result.returncode == 0, f"{block}: {' '.join(words)}\n{result.stdout}\n{result.stderr}"


def make_checkout(folder):
    """Make what a reader has: a checkout with an environment, prints, pairs, and a PyTorch pix2pix's files."""
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "configs").mkdir()
    for path in (ROOT / "configs").iterdir():
        if path.suffix == ".py" and path.name != "__init__.py":
            (folder / "configs" / path.name).write_text(_CONFIG.format(path=str(path)))
        elif path.name != "__pycache__":
            (folder / "configs" / path.name).symlink_to(path)
    make_environment(folder / "venv")
    for name in ("SOCOFING_FOLDER", "OTHER_PRINTS"):
        write_prints(folder / name, num_persons=4, altered=False)
    make_impressions(folder / "FOLDER")
    for split in ("train", "test"):
        make_pairs(folder / "datasets" / "facades" / split)
    make_pytorch_files(folder)


def make_environment(folder):
    """Make what setup_environment.sh takes for an environment that is up to date."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    wanted = subprocess.run(
        "cat setup.cfg pyproject.toml | cksum", shell=True, cwd=ROOT, capture_output=True, text=True
    )
    (folder / ".fpgan_jax_installed_").write_text(f"{wanted.stdout.strip()} \n")


def make_impressions(folder):
    folder.mkdir()
    for person in (1, 2):
        finger = create_finger(0, person)
        for impression in (1, 2):
            image = create_impression(finger, impression, size="241x298")
            Image.fromarray(image).save(folder / f"{person}_{impression}.png")


def make_pairs(folder):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (128, 256, 3), np.uint8)).save(folder / f"{number}.png")


def make_pytorch_files(folder):
    config = shrink(pairs.get_config())
    config.data.paired_dir = str(folder / "datasets" / "facades")
    gan_trainer.train_and_evaluate(config, str(folder / "pytorch"))
    runs.export_run(str(folder / "pytorch"), str(folder))
