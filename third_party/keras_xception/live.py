"""Owns Keras's own Xception, of any width, with given weights: its forward and backward pass.

Only tests and `make_reference` import it, because Keras and TensorFlow are slow to start.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from third_party.keras_xception import layout


def build(
    *,
    num_classes: int,
    input_shape: tuple[int, int, int],
    width: float = 1.0,
    dtype: str = "float32",
    include_top: bool = True,
) -> keras.Model:
    """Build `keras.applications.Xception` without softmax, with scaled numbers of features and initial weights.

    A narrow model is a clone of Keras's own network with other numbers of features, not a second implementation.

    Args:
      input_shape: (height, width, channels) of the images.
      dtype: "float32" or "float64", of weights and computation.
    """

    def narrow(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Conv2D | keras.layers.SeparableConv2D):
            config["filters"] = max(1, round(config["filters"] * width))
        return layer.__class__.from_config(config)

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    # The policy ignores later changes of floatx.
    keras.config.set_dtype_policy(dtype)
    try:
        model = keras.applications.Xception(
            weights=None,
            classes=num_classes,
            input_shape=input_shape,
            classifier_activation=None,
            include_top=include_top,
        )
        return model if width == 1 else keras.models.clone_model(model, clone_function=narrow)
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def assign(model: keras.Model, variables: Mapping[str, Any]) -> None:
    """Set the weights of a model directly, without a file, to variables of `fpgan_jax.models.xception.Xception`."""
    for layer, keras_layer in _pair_layers(model):
        keras_layer.set_weights(
            [
                layout.swap_depthwise(
                    weight, np.asarray(variables[weight.collection][layer.name][weight.name])
                )
                for weight in layer.weights
            ]
        )


def run(model: keras.Model, images: np.ndarray, cotangent: np.ndarray, *, training: bool) -> dict[str, Any]:
    """Run the forward and backward pass of a model; training updates its running statistics.

    Args:
      images: [batch, height, width, channels], float.
      cotangent: [batch, num_classes]; gradients are those of its inner product with the logits.

    Returns:
      {"logits": array, "batch_stats": tree after the run, "gradients": {"images": array, "params": tree}}. Trees have
      the structure of `Xception`'s variables; all arrays have the dtype of the model.
    """
    images = tf.constant(images, model.inputs[0].dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = model(images, training=training)
        loss = tf.reduce_sum(logits * tf.constant(cotangent, logits.dtype))
    variables = [variable.value for variable in model.trainable_variables]
    image_gradient, *gradients = tape.gradient(loss, [images, *variables])
    by_path = {v.path: g.numpy() for v, g in zip(model.trainable_variables, gradients, strict=True)}
    moved = {v.path: v.numpy() for v in model.non_trainable_variables}
    return {
        "logits": logits.numpy(),
        "batch_stats": _collect(model, "batch_stats", moved),
        "gradients": {"images": image_gradient.numpy(), "params": _collect(model, "params", by_path)},
    }


def _collect(model: keras.Model, collection: str, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Convert variable path -> value to the tree of one collection."""
    tree: dict[str, Any] = {}
    for layer, keras_layer in _pair_layers(model):
        for weight, variable in zip(layer.weights, keras_layer.weights, strict=True):
            if weight.collection == collection:
                value = layout.swap_depthwise(weight, values[variable.path])
                tree.setdefault(layer.name, {})[weight.name] = value
    return tree


def _pair_layers(model: keras.Model) -> Iterable[tuple[layout.Layer, Any]]:
    ours = layout.list_layers(num_channels=1, num_classes=1)
    return zip(ours, [layer for layer in model.layers if layer.weights], strict=True)
