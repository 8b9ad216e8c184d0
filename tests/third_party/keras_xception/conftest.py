"""What the tests of the bridge to Keras share."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def _quick_compilation():
    """Leave LLVM's optimisations out: these tests compile deep programs and run each once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
