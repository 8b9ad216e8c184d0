"""Owns the inputs of the comparisons with Keras, drawn from seeds, and how far apart two results are.

Does not run a network, neither Keras's (`live`) nor ours.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from third_party.keras_xception import layout

# Of the stored reference. Rows of an even and columns of an odd size, so that both of TensorFlow's paddings
# are met; the narrowest network whose layers are not all of one feature.
WIDTH = 1 / 32
NUM_CLASSES = 5
IMAGES_SHAPE = (2, 96, 71, 1)


def draw_variables(
    *, num_channels: int, num_classes: int, width: float = 1.0, seed: int = 0
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Draw an Xception's variables; none is left at a first value such as zero or one.

    Kernels keep the size of what passes through them. Every value is a float32 number, so that it is the same
    in float64.

    Args:
      num_channels: of the images.
      num_classes: of the last layer.
      width: multiplies every feature count.
      seed: of the draw.

    Returns:
      {"params": .., "batch_stats": ..}, each layer -> name -> float32 array.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for layer in layout.list_layers(num_channels=num_channels, num_classes=num_classes, width=width):
        for weight in layer.weights:
            shape = weight.shape
            if weight.keras_name == "depthwise_kernel":
                shape = (3, 3, 1, shape[2])
            # Uniform numbers alone: NumPy may change how it makes normal ones of them.
            values = 2 * random.random(shape) - 1
            if "kernel" in weight.name:
                # A ReLU, which there is none of between the two kernels, halves the squares.
                values *= np.sqrt((3 if "depthwise" in weight.name else 6) / np.prod(shape[:-1]))
            elif weight.name in ("scale", "var"):
                values = 1 + values / 2
            else:
                values *= 0.4
            tree[weight.collection].setdefault(layer.name, {})[weight.name] = values.astype(np.float32)
    return tree


def draw_inputs(
    images_shape: tuple[int, int, int, int], num_classes: int, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Draw images in [-1, 1] and the cotangent of the logits in [-1, 1], float32.

    Args:
      images_shape: [batch, height, width, channels].
      num_classes: of the logits.
      seed: of the draw.

    Returns:
      (images, cotangent [batch, num_classes]).
    """
    random = np.random.Generator(np.random.PCG64(seed))
    shapes = (images_shape, (images_shape[0], num_classes))
    images, cotangent = ((2 * random.random(shape) - 1).astype(np.float32) for shape in shapes)
    return images, cotangent


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield ("gradients/params/predictions/bias", array) and so on of a tree of dicts."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", np.asarray(value)


def measure_error(found: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return the distance of two trees: each array's |found - truth| / |truth| (2-norms), their root mean square.

    Args:
      found: tree of arrays.
      truth: tree of as many arrays of the same names and shapes, none all zero.

    Raises:
      ValueError: the trees' names or shapes differ.
    """
    found, truth = dict(flatten(found)), dict(flatten(truth))
    if {name: value.shape for name, value in found.items()} != {n: v.shape for n, v in truth.items()}:
        raise ValueError("the two results have other names or shapes")
    errors = [
        np.linalg.norm(np.float64(found[name]) - value) / np.linalg.norm(value)
        for name, value in truth.items()
    ]
    return float(np.sqrt(np.mean(np.square(errors))))


def group(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what is compared of a result, by name: logits, moved statistics and the two kinds of gradients."""
    gradients = result["gradients"]
    return {
        "logits": {"logits": result["logits"]},
        "batch_stats": result["batch_stats"],
        "image gradient": {"images": gradients["images"]},
        "parameter gradients": gradients["params"],
    }
