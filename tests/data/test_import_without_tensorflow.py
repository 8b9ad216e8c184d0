"""Tests that a host without TensorFlow can import what it needs to train from its own arrays."""

import subprocess
import sys

import pytest

NEED_TENSORFLOW = (
    "fpgan_jax.data.input_pipeline",
    "fpgan_jax.data.socofing.socofing_dataset_builder",
    "fpgan_jax.data.socofing.socofing_reader",
)

IMPORT_ALL = f"""
import importlib, pkgutil, sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
import fpgan_jax.data
names = [module.name for module in pkgutil.walk_packages(fpgan_jax.data.__path__, "fpgan_jax.data.")]
for name in set(names) - set({NEED_TENSORFLOW!r}):
    importlib.import_module(name)
"""

TRAIN_FROM_ARRAYS = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None
import numpy as np
from configs import pix2pix_socofing
from fpgan_jax.data import feeding, prints
config = pix2pix_socofing.get_config()
config.data.image_size = 8
own = prints.PrintSet(np.arange(128, dtype=np.uint8).reshape(2, 8, 8, 1), np.array([1, 2], np.int32), ("a", "b"))
batches = list(feeding.create_gan_source_from_prints(config, own).create_batches(0, 3))
assert batches[2]["noise_image"].shape == (1, 8, 8, 1)
"""


@pytest.mark.parametrize("program", [IMPORT_ALL, TRAIN_FROM_ARRAYS], ids=["import", "train"])
def test_tensorflow_is_not_needed(program):
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
