"""Our Xception and its files against a live `keras.applications.Xception` of full size, its weights random.

Truth is Keras in float64. In float64 the two must agree to 1e-9, for both round at 1e-16 and the network
multiplies that by less than 1e5 (what its float32 errors show, which are of 1e-7 times as much), while any
difference of structure is many orders larger. In float32, ours may be four times as far from the truth as
Keras's own float32 is: two ways of rounding err alike. But where rounding switches a ReLU, of which there are
two million, a gradient jumps, on one side or the other.
"""

import functools

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from tests.third_party.keras_xception import ours
from third_party.keras_xception import live, make_reference, reference
from third_party.keras_xception.weights import export_classifier, import_classifier

# Keras's variables under NumPy 2, once for each.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

FLOAT64_TOLERANCE = 1e-9
FLOAT32_FACTOR = 4
# Of Keras's float32 gradients, four times the largest error that one switched ReLU was seen to make (7.3e-3).
# The narrow network of `test_reference`, with a fortieth of the ReLUs, has the sharp limit.
SWITCHED_TOLERANCE = 0.03
SIZE = (71, 71)
NUM_CLASSES = 7
# Of most tests of files, in which the numbers of features do not matter.
NARROW = 1 / 8


def _save_legacy_weights(model, path):
    # As Keras 2's `save_weights`; Keras 3 writes it within `save` only.
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


FORMATS = {
    ".weights.h5": lambda model, path: model.save_weights(path),
    ".legacy.h5": _save_legacy_weights,
    ".h5": lambda model, path: model.save(path),
    ".keras": lambda model, path: model.save(path),
}


def _assert_equal(found, expected):
    found, expected = (dict(reference.flatten(tree)) for tree in (found, expected))
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=True, err_msg=name)


def _report(case, found, truth):
    """Print a row of the table of differences: the largest, absolute and beside the array's largest value."""
    found, truth = dict(reference.flatten(found)), dict(reference.flatten(truth))
    differences = {name: np.abs(np.float64(found[name]) - value).max() for name, value in truth.items()}
    relative = max(differences[name] / np.abs(value).max() for name, value in truth.items())
    print(f"\n{case}: largest difference {max(differences.values()):.2e}, relative {relative:.2e}")


@pytest.fixture(name="width", scope="module")
def _width(request):
    return request.param


@pytest.fixture(name="drawn", scope="module")
def _drawn(request, width):
    """(variables, images, cotangent) of a width, for images of `request.param` channels."""
    variables = reference.draw_variables(num_channels=request.param, num_classes=NUM_CLASSES, width=width)
    return variables, *reference.draw_inputs((2, *SIZE, request.param), NUM_CLASSES)


def _build(images, **kwargs):
    # Names of an earlier model go on in those of the next.
    keras.backend.clear_session()
    return live.build(num_classes=NUM_CLASSES, input_shape=images.shape[1:], **kwargs)


def _predict(model, images):
    # `model.predict` would compile a program first.
    return np.asarray(model(images, training=False))


@pytest.fixture(name="run_keras", scope="module")
def _run_keras(drawn, width):
    """(dtype, training) -> Keras's result; each is computed once, when it is first asked for."""

    @functools.cache
    def run(dtype, training):
        model = _build(drawn[1], dtype=dtype, width=width)
        live.assign(model, drawn[0])
        return live.run(model, *drawn[1:], training=training)

    return run


# In color only what the number of channels can change: the shape of the first kernel.
@pytest.mark.parametrize("width", [1], indirect=True)
@pytest.mark.parametrize(
    ("drawn", "training", "dtype"),
    [(1, False, "float64"), (1, True, "float64"), (1, True, "float32"), (3, True, "float64")],
    indirect=["drawn"],
)
def test_forwards_and_backwards(drawn, run_keras, training, dtype):
    found = ours.run(*drawn, training=training, dtype=dtype)
    found["batch_stats"] = found["batch_stats"] or drawn[0]["batch_stats"]
    expected = reference.group(run_keras("float64", training))
    for name, values in reference.group(found).items():
        mode = "batch" if training else "running"
        _report(f"{dtype}, {mode} statistics, {drawn[1].shape[-1]} channels, {name}", values, expected[name])
        error = reference.measure_error(values, expected[name])
        print(f"    rms of relative 2-norms {error:.2e}")
        if dtype == "float64":
            assert error < FLOAT64_TOLERANCE, name
        else:
            keras32 = reference.group(run_keras("float32", training))
            keras_error = reference.measure_error(keras32[name], expected[name])
            print(f"    Keras's float32 {keras_error:.2e}")
            limit = FLOAT32_FACTOR * keras_error
            assert error <= (max(limit, SWITCHED_TOLERANCE) if "gradient" in name else limit), name


def test_the_moving_variance_is_of_the_biased_one():
    """At 18 values per feature the unbiased one is 6% larger."""
    layer = keras.layers.BatchNormalization(dtype="float64")
    values = np.random.default_rng(0).normal(0, 1, (2, 3, 3, 4))
    layer(values, training=True)
    expected = 0.99 + 0.01 * values.var((0, 1, 2))
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected, rtol=1e-14)


# Every format with its head, gray; what a missing head, color or the full size changes is the same in all of them.
@pytest.mark.parametrize(
    ("width", "drawn", "suffix", "include_top"),
    [
        *((NARROW, 1, suffix, True) for suffix in FORMATS),
        (NARROW, 1, ".weights.h5", False),
        (1, 3, ".keras", True),
        (NARROW, 3, ".legacy.h5", False),
    ],
    indirect=["width", "drawn"],
)
def test_import(width, drawn, run_keras, tmp_path, suffix, include_top):
    variables, images, cotangent = drawn
    model = _build(images, width=width)
    live.assign(model, variables)
    if not include_top:
        # The same weights by position, without going through our code.
        full, model = model, _build(images, include_top=False, width=width)
        model.set_weights(full.get_weights()[:-2])
    path = tmp_path / f"xception{suffix}"
    FORMATS[suffix](model, path)
    found = import_classifier(path, num_classes=NUM_CLASSES, num_channels=images.shape[-1], seed=5)
    head = found["params"]["predictions"]
    expected = {**variables, "params": {**variables["params"], "predictions": head}}
    _assert_equal(found, variables if include_top else expected)
    logits = ours.run(found, images, cotangent, training=False, width=width, with_gradients=False)["logits"]
    if include_top:
        keras_logits = _predict(model, images)
        expected = run_keras("float64", False)["logits"]
    else:
        features = _predict(model, images)
        keras_logits = features.mean((1, 2)) @ head["kernel"] + head["bias"]
        exact = _build(images, include_top=False, dtype="float64", width=width)
        exact.set_weights(model.get_weights())
        expected = _predict(exact, images).mean((1, 2)) @ np.float64(head["kernel"])
    errors = [reference.measure_error({"": values}, {"": expected}) for values in (logits, keras_logits)]
    _report(
        f"import of {suffix}, top {include_top}, {images.shape[-1]} channels", {"": logits}, {"": expected}
    )
    print(f"    relative 2-norm {errors[0]:.2e}; Keras's {errors[1]:.2e}")
    assert errors[0] <= FLOAT32_FACTOR * errors[1]


@pytest.mark.parametrize("suffix", FORMATS)
def test_import_of_a_network_that_is_a_layer_of_a_model(tmp_path, suffix):
    variables = reference.draw_variables(num_channels=3, num_classes=NUM_CLASSES, width=1 / 32)
    model = live.build(num_classes=NUM_CLASSES, input_shape=(*SIZE, 3), width=1 / 32)
    live.assign(model, variables)
    *_, pooling, head = model.layers
    images = keras.Input((*SIZE, 3))
    features = keras.Model(model.input, pooling.output)(keras.layers.Rescaling(1 / 127.5, offset=-1)(images))
    path = tmp_path / f"transfer{suffix}"
    FORMATS[suffix](keras.Model(images, head(keras.layers.Dropout(0.5)(features))), path)
    _assert_equal(import_classifier(path, num_classes=NUM_CLASSES, num_channels=3), variables)


def test_gray_import_of_color_weights(tmp_path):
    variables = reference.draw_variables(num_channels=3, num_classes=NUM_CLASSES)
    gray, cotangent = reference.draw_inputs((2, *SIZE, 1), NUM_CLASSES)
    export_classifier(variables, tmp_path / "color.h5")
    found = import_classifier(tmp_path / "color.h5", num_classes=NUM_CLASSES, num_channels=1)
    results = {}
    for dtype in ("float64", "float32"):
        model = _build(np.repeat(gray, 3, -1), dtype=dtype)
        live.assign(model, variables)
        results[dtype] = _predict(model, np.repeat(gray, 3, -1))
    logits = ours.run(found, gray, cotangent, training=False, with_gradients=False)["logits"]
    errors = [
        reference.measure_error({"": v}, {"": results["float64"]}) for v in (logits, results["float32"])
    ]
    assert errors[0] <= FLOAT32_FACTOR * errors[1]


@pytest.mark.parametrize(
    ("width", "drawn", "suffix", "with_top"),
    [
        (1, 1, ".weights.h5", True),
        (NARROW, 1, ".h5", False),
        (NARROW, 3, ".weights.h5", False),
        (NARROW, 3, ".h5", True),
    ],
    indirect=["width", "drawn"],
)
def test_keras_loads_what_is_exported(width, drawn, run_keras, tmp_path, suffix, with_top):
    variables, images, _ = drawn
    path = tmp_path / f"ours{suffix}"
    export_classifier(variables, path, with_top=with_top)
    model = _build(images, include_top=with_top, width=width)
    model.load_weights(path)
    if with_top:
        # The same program on the same weights; TensorFlow's threads may still add in another order.
        truth, keras32 = ({"": run_keras(dtype, False)["logits"]} for dtype in ("float64", "float32"))
        error = reference.measure_error({"": _predict(model, images)}, truth)
        assert error <= FLOAT32_FACTOR * reference.measure_error(keras32, truth)
    again = tmp_path / "keras.weights.h5"
    model.save_weights(again)
    found = import_classifier(again, num_classes=NUM_CLASSES, num_channels=images.shape[-1])
    head = (variables if with_top else found)["params"]["predictions"]
    _assert_equal(found, {**variables, "params": {**variables["params"], "predictions": head}})


def test_the_stored_reference_is_this_kerass(request):
    with np.load(request.path.with_name("reference.npz"), allow_pickle=False) as file:
        stored = dict(file)
    made = make_reference.make_reference()
    assert sorted(made) == sorted(stored)
    exact = [name for name in made if not name.startswith("float32_error/")]
    error = reference.measure_error({n: made[n] for n in exact}, {n: stored[n] for n in exact})
    assert error < FLOAT64_TOLERANCE
