"""Owns the map between Keras's Xception and `fpgan_jax.models.xception`: layers in Keras's order, names, shapes."""

import dataclasses
from collections.abc import Iterator

import numpy as np

# Kind of layer, as Keras 3 names its group in a file -> (name in Keras, collection here, name here) of its weights, in
# Keras's order.
_WEIGHTS = {
    "conv2d": (("kernel", "params", "kernel"),),
    "separable_conv2d": (
        ("depthwise_kernel", "params", "depthwise_kernel"),
        ("pointwise_kernel", "params", "pointwise_kernel"),
    ),
    "batch_normalization": (
        ("gamma", "params", "scale"),
        ("beta", "params", "bias"),
        ("moving_mean", "batch_stats", "mean"),
        ("moving_variance", "batch_stats", "var"),
    ),
    "dense": (("kernel", "params", "kernel"), ("bias", "params", "bias")),
}
# Blocks 1 to 4 and the first block of the exit flow.
_NUM_OUTER_BLOCKS = 5
# Separable convolutions outside the middle flow, and in each of its blocks.
_NUM_OUTER_SEPARABLE = 10
_NUM_MIDDLE_SEPARABLE = 3


@dataclasses.dataclass(frozen=True)
class Weight:
    """One array of a layer.

    Attributes:
      keras_name: name in Keras, such as "gamma".
      collection: "params" or "batch_stats".
      name: name here, such as "scale".
      shape: in Keras's layout; the last two axes of a depthwise kernel are swapped here.
    """

    keras_name: str
    collection: str
    name: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer with weights.

    Attributes:
      name: name here; the same as in Keras except for the shortcuts.
      kind: "conv2d", "separable_conv2d", "batch_normalization" or "dense".
    """

    name: str
    kind: str
    weights: tuple[Weight, ...]

    @property
    def is_shortcut(self) -> bool:
        """Whether Keras names the layer by a counter."""
        return "_shortcut_" in self.name


def list_layers(
    *, num_channels: int, num_classes: int | None, width: float = 1.0, num_middle_blocks: int = 8
) -> list[Layer]:
    """List the layers of Xception that have weights, in the order of `keras.Model.layers`.

    Args:
      num_classes: classes of the last layer; None leaves it out.
    """

    def scale(features: int) -> int:
        return max(1, round(features * width))

    def convolution(name: str, size: int, in_features: int, features: int) -> Iterator[Layer]:
        yield _create_layer(name, "conv2d", ((size, size, in_features, scale(features)),))
        # `block1_conv1` has the norm `block1_conv1_bn`, but `block2_shortcut_conv` `block2_shortcut_bn`.
        norm = f"{name.removesuffix('_conv')}_bn"
        yield _create_layer(norm, "batch_normalization", ((scale(features),),) * 4)

    def separable(name: str, in_features: int, features: int) -> Iterator[Layer]:
        shapes = ((3, 3, scale(in_features), 1), (1, 1, scale(in_features), scale(features)))
        yield _create_layer(name, "separable_conv2d", shapes)
        yield _create_layer(f"{name}_bn", "batch_normalization", ((scale(features),),) * 4)

    def reducing_block(block: int, in_features: int, features: tuple[int, int]) -> Iterator[Layer]:
        yield from separable(f"block{block}_sepconv1", in_features, features[0])
        yield from separable(f"block{block}_sepconv2", *features)
        yield from convolution(f"block{block}_shortcut_conv", 1, scale(in_features), features[1])

    def network() -> Iterator[Layer]:
        yield from convolution("block1_conv1", 3, num_channels, 32)
        yield from convolution("block1_conv2", 3, scale(32), 64)
        yield from reducing_block(2, 64, (128, 128))
        yield from reducing_block(3, 128, (256, 256))
        yield from reducing_block(4, 256, (728, 728))
        exit_block = _NUM_OUTER_BLOCKS + num_middle_blocks
        for block in range(5, exit_block):
            for i in (1, 2, 3):
                yield from separable(f"block{block}_sepconv{i}", 728, 728)
        yield from reducing_block(exit_block, 728, (728, 1024))
        yield from separable(f"block{exit_block + 1}_sepconv1", 1024, 1536)
        yield from separable(f"block{exit_block + 1}_sepconv2", 1536, 2048)
        if num_classes is not None:
            yield _create_layer("predictions", "dense", ((scale(2048), num_classes), (num_classes,)))

    return list(network())


def count_middle_blocks(num_separable: int) -> int | None:
    """Return the number of middle blocks for a number of separable convolutions; None if no network has that many."""
    blocks, rest = divmod(num_separable - _NUM_OUTER_SEPARABLE, _NUM_MIDDLE_SEPARABLE)
    return blocks if blocks >= 0 and rest == 0 else None


def swap_depthwise(weight: Weight, array: np.ndarray) -> np.ndarray:
    """Convert a depthwise kernel between Keras's (3, 3, C, 1) and our (3, 3, 1, C); other weights stay."""
    return array.swapaxes(2, 3) if weight.keras_name == "depthwise_kernel" else array


def _create_layer(name: str, kind: str, shapes: tuple[tuple[int, ...], ...]) -> Layer:
    weights = zip(_WEIGHTS[kind], shapes, strict=True)
    return Layer(name, kind, tuple(Weight(*names, shape) for names, shape in weights))
