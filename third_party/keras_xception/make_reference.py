"""Owns the creation of the stored reference: outputs and gradients of a narrow Xception in Keras.

Usage: python -m third_party.keras_xception.make_reference --output=FILE.npz
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import app, flags

from third_party.keras_xception import live, reference


def make_reference() -> dict[str, np.ndarray]:
    """Compute the reference in float64, and the error of Keras's own float32.

    Returns:
      "running/logits", normalized with the running statistics; "batch/logits", "batch/batch_stats/..",
      "batch/gradients/..", normalized with those of the batch; "float32_error/.." of each, from
      `reference.measure_error`; "drawn": the sum of all random inputs, to detect a change in NumPy's generator.
    """
    variables = reference.draw_variables(
        num_channels=reference.IMAGES_SHAPE[-1], num_classes=reference.NUM_CLASSES, width=reference.WIDTH
    )
    inputs = reference.draw_inputs(reference.IMAGES_SHAPE, reference.NUM_CLASSES)
    results: dict[str, dict[str, Any]] = {}
    for dtype in ("float64", "float32"):
        model = live.build(
            num_classes=reference.NUM_CLASSES,
            input_shape=reference.IMAGES_SHAPE[1:],
            width=reference.WIDTH,
            dtype=dtype,
        )
        live.assign(model, variables)
        # In this order, because training changes the running statistics.
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
    drawn: list[Mapping[str, Any]] = [variables, {"images": inputs[0], "cotangent": inputs[1]}]
    values_drawn = (value for tree in drawn for _, value in reference.flatten(tree))
    arrays["drawn"] = np.array(sum(np.float64(value).sum() for value in values_drawn))
    return arrays


def write_reference(path: str) -> None:
    """Write the reference into a file."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = make_reference()
    np.savez_compressed(buffer, **arrays)
    with open(path, "wb") as file:
        file.write(buffer.getvalue())


if __name__ == "__main__":
    # Not at the top: tests import this module in a process that runs scripts, and each of them would need the flag.
    _OUTPUT = flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
    app.run(lambda _: write_reference(_OUTPUT.value))
