"""Owns the random inputs of the comparisons with Keras, and the distance between two results."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from third_party.keras_xception import layout

# Of the stored reference. An even and an odd image size test both paddings of TensorFlow. This is the narrowest network
# in which layers have more than one feature.
WIDTH = 1 / 32
NUM_CLASSES = 5
IMAGES_SHAPE = (2, 96, 71, 1)


def draw_variables(
    *, num_channels: int, num_classes: int, width: float = 1.0, seed: int = 0
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Draw the variables of an Xception at random; none keeps an initial value such as zero or one.

    Kernels preserve the scale of their inputs. All values are exact in float32, so that float64 uses the same.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for layer in layout.list_layers(num_channels=num_channels, num_classes=num_classes, width=width):
        for weight in layer.weights:
            shape = weight.shape
            if weight.keras_name == "depthwise_kernel":
                shape = (3, 3, 1, shape[2])
            # Uniform numbers only, because NumPy may change how it derives normal ones from them.
            values = 2 * random.random(shape) - 1
            if "kernel" in weight.name:
                # A ReLU halves the mean square; there is none between the depthwise and the pointwise kernel.
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
    """Draw images of a shape [batch, height, width, channels] and the cotangent of their logits, float32 in [-1, 1]."""
    random = np.random.Generator(np.random.PCG64(seed))
    shapes = (images_shape, (images_shape[0], num_classes))
    images, cotangent = ((2 * random.random(shape) - 1).astype(np.float32) for shape in shapes)
    return images, cotangent


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the leaves of nested dicts with their paths, such as "gradients/params/predictions/bias"."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", np.asarray(value)


def measure_error(found: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return the distance of two trees: the root mean square over arrays of |found - truth| / |truth| (2-norms).

    No array of `truth` may be all zero.

    Raises:
      ValueError: the names or shapes differ.
    """
    found_arrays, true_arrays = dict(flatten(found)), dict(flatten(truth))
    if {n: v.shape for n, v in found_arrays.items()} != {n: v.shape for n, v in true_arrays.items()}:
        raise ValueError("the two results differ in names or shapes")
    errors = [
        np.linalg.norm(np.float64(found_arrays[name]) - value) / np.linalg.norm(value)
        for name, value in true_arrays.items()
    ]
    return float(np.sqrt(np.mean(np.square(errors))))


def group(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the compared parts of a result by name: logits, running statistics and both kinds of gradients."""
    gradients = result["gradients"]
    return {
        "logits": {"logits": result["logits"]},
        "batch_stats": result["batch_stats"],
        "image gradient": {"images": gradients["images"]},
        "parameter gradients": gradients["params"],
    }
