"""What holds for all tests: compiled programs are let go of after each file.

XLA:CPU keeps each program in memory maps of its own. A process that runs thousands of tests comes to the system's limit
on their number (`vm.max_map_count`), and ends in a segmentation fault.
"""

import gc
import sys

import pytest


@pytest.fixture(scope="module", autouse=True)
def _let_go_of_compiled_programs():
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()
        gc.collect()
