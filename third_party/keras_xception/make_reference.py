"""Owns the making of the stored reference: what Keras computes with a narrow Xception, forwards and backwards.

Does not compare it with anything: `tests/third_party/keras_xception/test_reference.py` does, without Keras.

Usage: python -m third_party.keras_xception.make_reference --output=FILE.npz
"""

import io

import numpy as np
from absl import app, flags

from third_party.keras_xception import live, reference

_OUTPUT = flags.DEFINE_string("output", None, "the .npz file to write", required=True)


def make_reference() -> dict[str, np.ndarray]:
    """Compute the reference in float64, and how far Keras's own float32 is from it.

    Returns:
      "running/logits", normalised by the running statistics; "batch/logits", "batch/batch_stats/..",
      "batch/gradients/..", by the batch's; "float32_error/.." of each, as `reference.measure_error` has it;
      "drawn", the sum of all drawn numbers, which tells whether NumPy still draws the same.
    """
    variables = reference.draw_variables(
        num_channels=reference.IMAGES_SHAPE[-1], num_classes=reference.NUM_CLASSES, width=reference.WIDTH
    )
    inputs = reference.draw_inputs(reference.IMAGES_SHAPE, reference.NUM_CLASSES)
    results = {}
    for dtype in ("float64", "float32"):
        model = live.build(
            num_classes=reference.NUM_CLASSES,
            input_shape=reference.IMAGES_SHAPE[1:],
            width=reference.WIDTH,
            dtype=dtype,
        )
        live.assign(model, variables)
        # In this order: training moves the statistics.
        results[dtype] = {
            mode: live.run(model, *inputs, training=mode == "batch") for mode in ("running", "batch")
        }
    truth = results["float64"]
    kept = {"running": {"logits": truth["running"]["logits"]}, "batch": truth["batch"]}
    arrays = dict(reference.flatten(kept))
    for mode, result in results["float32"].items():
        for name, values in reference.group(result).items():
            error = reference.measure_error(values, reference.group(truth[mode])[name])
            arrays[f"float32_error/{mode}/{name}"] = np.array(error)
    drawn = [variables, {"images": inputs[0], "cotangent": inputs[1]}]
    arrays["drawn"] = np.array(sum(np.float64(v).sum() for tree in drawn for _, v in reference.flatten(tree)))
    return arrays


def main(_) -> None:
    """Write the reference."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **make_reference())
    with open(_OUTPUT.value, "wb") as file:
        file.write(buffer.getvalue())


if __name__ == "__main__":
    app.run(main)
