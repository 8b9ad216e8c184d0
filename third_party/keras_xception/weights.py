"""Owns the conversion of Keras's Xception weights to variables of `fpgan_jax.models.xception`, and back."""

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from fpgan_jax.errors import UserError
from third_party.keras_xception import files, layout

Variables = dict[str, dict[str, dict[str, np.ndarray]]]

_FIRST = "block1_conv1"
_HEAD = "predictions"
# Kinds of layers that Keras names with a counter, with the names of all versions since Keras 1.
_AUTOMATIC_NAMES = {
    "conv2d": re.compile(r"conv(olution)?2d(_\d+)?"),
    "batch_normalization": re.compile(r"batch_?normalization(_v\d)?(_\d+)?"),
}


def import_classifier(
    path: str | os.PathLike, *, num_classes: int, num_channels: int, seed: int = 0
) -> Variables:
    """Read the variables of an Xception from a file of Keras.

    The file determines the width and the number of middle blocks. If its last layer has another number of classes, is
    missing, or is a head of another form, a new one is initialized (Glorot's uniform kernel, zero bias) with a warning.
    For gray images a kernel for three channels is summed over them; the result is the same as with the gray image in
    all three channels.

    Args:
      path: a .weights.h5, legacy .h5 or .keras file, recognized by its content. The model is
        `keras.applications.Xception` with or without top, one with the same layers, or one that contains such a model.
      num_channels: channels of its images, 1 or 3.
      seed: of a newly initialized last layer.

    Returns:
      {"params": .., "batch_stats": ..}, each layer -> name -> float32 array, with the structure of
      `Xception(num_classes, width, num_middle_blocks).init`.

    Raises:
      UserError: the file is missing, damaged, or not of an Xception; or it is for gray images and `num_channels` is 3.
    """
    with files.open_layers(path) as stored:
        found, num_middle_blocks = _match_layers(path, stored)
        expected = _list_expected(found, num_middle_blocks)
        _check_shapes(path, found, expected)
        has_channels = expected[0].weights[0].shape[2]
        if has_channels != num_channels and (has_channels, num_channels) != (3, 1):
            raise UserError(
                f"{path}: layer {_FIRST} takes images of {has_channels} channels, not {num_channels}"
            )
        variables: Variables = {"params": {}, "batch_stats": {}}
        for layer in expected:
            for weight, source in zip(layer.weights, found[layer.name].weights, strict=True):
                layers = variables[weight.collection]
                array = np.ascontiguousarray(layout.swap_depthwise(weight, source.read()))
                layers.setdefault(layer.name, {})[weight.name] = array
    params = variables["params"]
    if has_channels > num_channels:
        kernel = params[_FIRST]["kernel"].sum(axis=2, keepdims=True, dtype=np.float64)
        params[_FIRST]["kernel"] = kernel.astype(np.float32)
    has = params[_HEAD]["bias"].size if _HEAD in params else 0
    if has != num_classes:
        logging.warning(
            "%s has %d classes instead of %d: the last layer is initialized at random", path, has, num_classes
        )
        last = params[f"block{6 + num_middle_blocks}_sepconv2"]["pointwise_kernel"]
        params[_HEAD] = _draw_head(last.shape[-1], num_classes, seed)
    return variables


def export_classifier(
    variables: Mapping[str, Any], path: str | os.PathLike, *, with_top: bool = True
) -> None:
    """Write the variables of an Xception to a file for `load_weights` of Keras; as a whole or not at all.

    Args:
      variables: {"params": .., "batch_stats": ..} of `fpgan_jax.models.xception.Xception`.
      path: ends in .weights.h5 (Keras 3) or otherwise in .h5 (Keras 2 and 3). A .keras file is not supported, because
        it needs Keras's own description of the model.
      with_top: False leaves the last layer out, for `include_top=False`.

    Raises:
      UserError: the ending is another one, or the file cannot be written.
      ValueError: the variables are not those of an Xception.
    """
    num_separable = sum("depthwise_kernel" in layer for layer in variables["params"].values())
    num_middle_blocks = layout.count_middle_blocks(num_separable)
    if num_middle_blocks is None:
        raise ValueError(f"no Xception has {num_separable} separable convolutions")
    counts: collections.Counter[str] = collections.Counter()
    layers = []
    for layer in layout.list_layers(
        num_channels=1, num_classes=1 if with_top else None, num_middle_blocks=num_middle_blocks
    ):
        name = layer.name
        if layer.is_shortcut:
            name = files.count_name(layer.kind, counts[layer.kind])
            counts[layer.kind] += 1
        try:
            values = [variables[weight.collection][layer.name][weight.name] for weight in layer.weights]
        except KeyError as error:
            raise ValueError(f"the variables have no {layer.name} with {error}: not an Xception") from error
        arrays = [
            (weight.keras_name, layout.swap_depthwise(weight, np.asarray(value, np.float32)))
            for weight, value in zip(layer.weights, values, strict=True)
        ]
        layers.append((name, layer.kind, arrays))
    files.write_layers(path, layers)


def _match_layers(
    path: str | os.PathLike, stored: Sequence[files.StoredLayer]
) -> tuple[dict[str, files.StoredLayer], int]:
    """Return (our name -> layer of the file with its weights in Keras's order, number of middle blocks)."""
    stored, dense = _choose_network(path, stored)
    if all(layer.name is None for layer in stored):
        found = _name_by_order(path, stored)
    else:
        found = _name_by_names(path, stored)
    num_middle_blocks = _find_last_block(found) - 6
    # The upper bound excludes huge numbers in the names of other networks.
    if not 0 <= num_middle_blocks <= len(stored):
        raise UserError(f"{path} is not an Xception: its layers are {_join_some([s.key for s in stored])}")
    expected = layout.list_layers(num_channels=1, num_classes=1, num_middle_blocks=num_middle_blocks)
    known = {layer.name: layer for layer in expected}
    last = found.get(f"block{6 + num_middle_blocks}_sepconv2")
    if last and len(dense) == 1 and dense[0].weights[0].shape[:1] == last.weights[-1].shape[-1:]:
        found[_HEAD] = dense[0]
    elif dense:
        # Several layers, or one on other features: a head of another form, which is replaced.
        names = _join_some([layer.name or layer.key for layer in dense])
        logging.warning(
            "%s: the head (%s) is not one layer on Xception's last features, and is left out", path, names
        )
    for name, layer in found.items():
        if name not in known:
            raise UserError(f"{path}: layer {name} ({layer.key}) does not belong to Xception")
    for name in known:
        if name not in found and name != _HEAD:
            raise UserError(f"{path}: layer {name} is missing")
    return {name: _sort_weights(path, known[name], layer) for name, layer in found.items()}, num_middle_blocks


def _choose_network(
    path: str | os.PathLike, stored: Sequence[files.StoredLayer]
) -> tuple[list[files.StoredLayer], list[files.StoredLayer]]:
    """Return (the layers of the Xception in a file, which may be inside another model; all Dense layers)."""
    dense = [layer for layer in stored if _is_dense(layer)]
    others = [layer for layer in stored if not _is_dense(layer)]
    counts = collections.Counter(layer.model for layer in others if _is_separable(layer))
    if len(counts) > 1:
        raise UserError(
            f"{path} holds several models with separable convolutions: {_join_some(list(counts))}"
        )
    for layer in others:
        if counts and layer.model not in counts:
            logging.warning(
                "%s: layer %s (%s) is outside the Xception and left out", path, layer.name, layer.key
            )
    return [layer for layer in others if not counts or layer.model in counts], dense


def _is_dense(layer: files.StoredLayer) -> bool:
    return layer.kind == "dense" or (layer.kind is None and len(layer.weights[0].shape) == 2)


def _is_separable(layer: files.StoredLayer) -> bool:
    return layer.kind == "separable_conv2d" or bool(_find_last_block([layer.name or ""]))


def _name_by_order(
    path: str | os.PathLike, stored: Sequence[files.StoredLayer]
) -> dict[str, files.StoredLayer]:
    """Name the layers of a file without names (early Keras 3) by their order in each class."""
    num_separable = sum(layer.kind == "separable_conv2d" for layer in stored)
    num_middle_blocks = layout.count_middle_blocks(num_separable)
    if num_middle_blocks is None:
        raise UserError(f"{path} is not an Xception: it has {num_separable} separable convolutions")
    names: dict[str | None, list[str]] = collections.defaultdict(list)
    for known in layout.list_layers(num_channels=1, num_classes=1, num_middle_blocks=num_middle_blocks):
        names[known.kind].append(known.name)
    return {names[layer.kind].pop(0) if names[layer.kind] else layer.key: layer for layer in stored}


def _name_by_names(
    path: str | os.PathLike, stored: Sequence[files.StoredLayer]
) -> dict[str, files.StoredLayer]:
    """Name the layers by their names in Keras; those with a counter in their name belong to the shortcuts."""
    found: dict[str, files.StoredLayer] = {}
    automatic: dict[str, list[files.StoredLayer]] = collections.defaultdict(list)
    for layer in stored:
        kinds = [kind for kind, names in _AUTOMATIC_NAMES.items() if names.fullmatch(layer.name or layer.key)]
        if kinds:
            automatic[kinds[0]].append(layer)
        elif found.setdefault(layer.name or layer.key, layer) is not layer:
            raise UserError(f"{path} has two layers {layer.name}")
    last_block = _find_last_block(found)
    blocks = (2, 3, 4, last_block - 1)
    ours = {
        "conv2d": [f"block{block}_shortcut_conv" for block in blocks],
        "batch_normalization": [f"block{block}_shortcut_bn" for block in blocks],
    }
    for kind, names in ours.items():
        # Deeper shortcuts have more features.
        layers = sorted(automatic[kind], key=lambda layer: layer.weights[0].shape[-1:])
        if last_block and len(layers) < len(names):
            raise UserError(
                f"{path} has {len(layers)} layers {kind}_N with automatic names, not the {len(names)} of Xception's"
                " shortcuts"
            )
        names = names + [layer.name or layer.key for layer in layers[len(names) :]]
        found.update(zip(names, layers, strict=False))
    return found


def _find_last_block(names: Iterable[str]) -> int:
    blocks = [re.fullmatch(r"block(\d{1,9})_sepconv\d", name) for name in names]
    return max((int(match[1]) for match in blocks if match), default=0)


def _sort_weights(
    path: str | os.PathLike, layer: layout.Layer, stored: files.StoredLayer
) -> files.StoredLayer:
    """Sort the weights of a layer by their names in Keras; without such names they are in Keras's order already."""
    names = [weight.keras_name for weight in layer.weights]
    if len(stored.weights) != len(names):
        raise UserError(
            f"{path}: layer {layer.name} ({stored.key}) has {len(stored.weights)} weights, not {len(names)}"
            f" ({', '.join(names)})"
        )
    if {weight.name for weight in stored.weights} != set(names):
        return stored
    by_name = {weight.name: weight for weight in stored.weights}
    return dataclasses.replace(stored, weights=tuple(by_name[name] for name in names))


def _list_expected(found: Mapping[str, files.StoredLayer], num_middle_blocks: int) -> list[layout.Layer]:
    """List the layers of the network whose shapes agree best with the file."""
    first, head = found[_FIRST].weights[0].shape, None
    if _HEAD in found:
        head = (found[_HEAD].weights[0].shape or (1,))[-1]
    nominal = layout.list_layers(num_channels=3, num_classes=None, num_middle_blocks=num_middle_blocks)

    def list_layers(width: float) -> list[layout.Layer]:
        return layout.list_layers(
            num_channels=first[2] if len(first) == 4 else 3,
            num_classes=head,
            width=width,
            num_middle_blocks=num_middle_blocks,
        )

    def count_agreeing(layers: Sequence[layout.Layer]) -> int:
        return sum(_shapes(layer) == _shapes(found[layer.name]) for layer in layers)

    # Numbers of features are rounded, so each layer allows a range of widths. Candidates are the middle of the
    # intersection of these ranges and, in case one layer of the file is wrong, the width of each layer alone.
    features = [
        ((found[layer.name].weights[-1].shape or (1,))[-1], layer.weights[-1].shape[-1])
        for layer in nominal
        if layer.kind == "separable_conv2d"
    ]
    low, high = (
        max((has - 0.5) / full for has, full in features),
        min((has + 0.5) / full for has, full in features),
    )
    widths = {has / full for has, full in features} | {(low + high) / 2, 1.0}
    return max(map(list_layers, sorted(widths, reverse=True)), key=count_agreeing)


def _check_shapes(
    path: str | os.PathLike, found: Mapping[str, files.StoredLayer], expected: Sequence[layout.Layer]
) -> None:
    for layer in expected:
        stored = found[layer.name]
        for weight, source in zip(layer.weights, stored.weights, strict=True):
            if source.shape != weight.shape:
                raise UserError(
                    f"{path}: {weight.keras_name} of layer {layer.name} ({stored.key}) is"
                    f" {source.shape}, not {weight.shape}"
                )


def _draw_head(in_features: int, num_classes: int, seed: int) -> dict[str, np.ndarray]:
    limit = np.sqrt(6 / (in_features + num_classes))
    kernel = np.random.default_rng(seed).uniform(-limit, limit, (in_features, num_classes))
    return {"kernel": kernel.astype(np.float32), "bias": np.zeros(num_classes, np.float32)}


def _shapes(layer: layout.Layer | files.StoredLayer) -> list[tuple[int, ...]]:
    return [weight.shape for weight in layer.weights]


def _join_some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", .." if len(names) > 3 else "") if names else "none"
