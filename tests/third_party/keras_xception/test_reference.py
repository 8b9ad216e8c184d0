"""Our Xception against numbers that Keras once computed, everywhere and without Keras."""

import pathlib

import numpy as np
import pytest

from tests.third_party.keras_xception import ours
from third_party.keras_xception import reference

# In float64 both sides round at 1e-16, and the network multiplies that by about 100 (Keras's float32 errors,
# stored beside the reference, are under 1e-5 = 100 * 1e-7): 1e-14. The least that another padding, epsilon,
# order or momentum changed, when each was tried, was 5e-3.
FLOAT64_TOLERANCE = 1e-9
# Two ways of rounding in float32 err alike; four times is a difference of another kind.
FLOAT32_FACTOR = 4


@pytest.fixture(name="stored", scope="module")
def _stored():
    with np.load(pathlib.Path(__file__).with_name("reference.npz"), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(name="drawn", scope="module")
def _drawn():
    variables = reference.draw_variables(
        num_channels=reference.IMAGES_SHAPE[-1], num_classes=reference.NUM_CLASSES, width=reference.WIDTH
    )
    return variables, *reference.draw_inputs(reference.IMAGES_SHAPE, reference.NUM_CLASSES)


def _take(stored, mode, result):
    """Return the stored values under a result's own tree of names."""

    def take(tree, prefix):
        return {
            name: take(value, f"{prefix}/{name}") if isinstance(value, dict) else stored[f"{prefix}/{name}"]
            for name, value in tree.items()
        }

    return take(result, mode)


def test_the_same_numbers_are_drawn(stored, drawn):
    values = [np.float64(v).sum() for tree in (drawn[0], dict(enumerate(drawn[1:]))) for _, v in
              reference.flatten(tree)]  # fmt: skip
    np.testing.assert_allclose(sum(values), stored["drawn"], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_running_statistics(stored, drawn, dtype):
    result = ours.run(*drawn, training=False, width=reference.WIDTH, dtype=dtype, with_gradients=False)
    error = reference.measure_error({"logits": result["logits"]}, {"logits": stored["running/logits"]})
    limit = FLOAT32_FACTOR * stored["float32_error/running/logits"]
    assert error < (FLOAT64_TOLERANCE if dtype == "float64" else limit)


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.seconds(15)
def test_batch_statistics_and_gradients(stored, drawn, dtype):
    result = ours.run(*drawn, training=True, width=reference.WIDTH, dtype=dtype)
    truth = reference.group(_take(stored, "batch", result))
    assert sum(name.startswith("batch/") for name in stored) == len(list(reference.flatten(result)))
    for name, values in reference.group(result).items():
        error = reference.measure_error(values, truth[name])
        limit = FLOAT32_FACTOR * stored[f"float32_error/batch/{name}"]
        assert error < (FLOAT64_TOLERANCE if dtype == "float64" else limit), name
