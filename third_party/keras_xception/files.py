"""Owns the layouts of Keras's weight files: where HDF5 and .keras files keep the arrays of each layer.

Content of a file is never executed or unpickled, and links to other files are not followed.
"""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import h5py
import numpy as np

from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole

# Written to legacy files; Keras reads a file by the rules of the version in it.
KERAS_VERSION = "3.15.1"
SUFFIXES = (".weights.h5", ".h5")

_ARCHIVE_WEIGHTS = "model.weights.h5"
_ARCHIVE_CONFIG = "config.json"
# Xception has 92 MB of weights in float32, and six times as much in float64 with the moments of an optimizer.
_MAX_ARCHIVE_BYTES = 1 << 31
# The second one is from before Keras 3.
_LAYER_GROUPS = ("layers", "_layer_checkpoint_dependencies")
# Models can contain models, but a damaged file can contain an endless chain of groups.
_MAX_DEPTH = 16
# Errors of h5py and zipfile on damaged files; TypeError for unknown types and encodings.
_DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
)


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """One array in an open file, not read yet.

    Its name is that in Keras, without the name of the layer and ":0"; None if the file has no names.
    """

    path: pathlib.Path
    name: str | None
    shape: tuple[int, ...]
    dataset: h5py.Dataset

    def read(self) -> np.ndarray:
        """Read the array as float32.

        Raises:
          UserError: the array is damaged, or its dtype is not floating-point.
        """
        with _damage_as_user_error(self.path):
            if self.dataset.dtype.kind != "f":
                raise UserError(
                    f"{self.path}: {self.dataset.name} holds {self.dataset.dtype}, not floating-point numbers;"
                    " save the model in float32"
                )
            return self.dataset[()].astype(np.float32)


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """One layer in an open file.

    Attributes:
      key: path in the file, for messages.
      kind: Keras's class in snake case, such as "separable_conv2d"; None in legacy files.
      weights: in Keras's order; at least one.
      model: path in the file of the model that contains the layer. Models can contain models.
    """

    key: str
    name: str | None
    kind: str | None
    weights: tuple[StoredWeight, ...]
    model: str


@contextlib.contextmanager
def open_layers(path: str | os.PathLike) -> Iterator[list[StoredLayer]]:
    """Open a file of Keras and list its layers that have weights.

    The content of the file, not its name, determines the layout: Keras 3's .weights.h5, the same within a .keras
    archive, the legacy .h5 of `save_weights`, or the one of `save`, which has the weights in "model_weights".

    Yields:
      All layers, including those of models within the model. Legacy files keep the order of the network; Keras 3 keeps
      the order within each class only.

    Raises:
      UserError: the file is missing, damaged, or in none of these layouts.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"{path} is {'a folder' if path.is_dir() else 'missing'}; name a weights file of Keras"
        )
    with contextlib.ExitStack() as stack:
        with _damage_as_user_error(path):
            is_archive = zipfile.is_zipfile(path)
            if not is_archive and not h5py.is_hdf5(path):
                raise UserError(f"{path} is neither an HDF5 file nor a .keras archive")
            source, names = _open_archive(path) if is_archive else (path, {})
            file = stack.enter_context(h5py.File(source, "r"))
            layers = _list_layers(path, file, names)
        yield layers


def write_layers(
    path: str | os.PathLike, layers: Sequence[tuple[str, str, Iterable[tuple[str, np.ndarray]]]]
) -> None:
    """Write layers in Keras's format; the file appears as a whole or not at all.

    Args:
      path: ends in .weights.h5 (layout of Keras 3) or otherwise in .h5 (legacy layout).
      layers: (name in Keras, class in snake case, [(name of the weight, array), ..]), in the order of
        `keras.Model.layers`.

    Raises:
      UserError: the ending is another one, or the file cannot be written.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path}: unknown ending; use one of {', '.join(SUFFIXES)}")
    write = _write_keras3 if path.name.endswith(".weights.h5") else _write_legacy
    try:
        # By name, because HDF5 also needs to read from an open file.
        with write_whole(path, "wb") as whole, h5py.File(whole.name, "w") as file:
            write(file, layers)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {_one_line(error)}") from error


def _open_archive(path: pathlib.Path) -> tuple[io.BytesIO, dict[str, str]]:
    """Return the weights file in a .keras archive, and path of a layer's group in it -> name of the layer."""
    with zipfile.ZipFile(path) as archive:
        if _ARCHIVE_WEIGHTS not in archive.namelist():
            raise UserError(
                f"{path} is an archive without {_ARCHIVE_WEIGHTS}: not a .keras file with HDF5 weights"
            )
        if archive.getinfo(_ARCHIVE_WEIGHTS).file_size > _MAX_ARCHIVE_BYTES:
            raise UserError(f"{path}: {_ARCHIVE_WEIGHTS} is larger than any Xception")
        weights = io.BytesIO(archive.read(_ARCHIVE_WEIGHTS))
        if _ARCHIVE_CONFIG not in archive.namelist():
            return weights, {}
        return weights, _read_config_names(path, archive.read(_ARCHIVE_CONFIG))


def _read_config_names(path: pathlib.Path, text: bytes) -> dict[str, str]:
    try:
        return dict(_list_config_names(json.loads(text)["config"]["layers"], "/layers"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: {_ARCHIVE_CONFIG} does not list a functional model's layers") from error


def _list_config_names(layers: Sequence[Mapping], group: str) -> Iterator[tuple[str, str]]:
    """Yield (path of the group in the weights file, name) of each layer, including models within the model."""
    counts: dict[str, int] = {}
    for layer in layers:
        kind = _to_snake_case(str(layer["class_name"]))
        count = counts[kind] = counts.get(kind, -1) + 1
        key = f"{group}/{count_name(kind, count)}"
        yield key, str(layer["config"]["name"])
        yield from _list_config_names(layer["config"].get("layers", ()), f"{key}/layers")


def _list_layers(path: pathlib.Path, file: h5py.File, names: dict[str, str]) -> list[StoredLayer]:
    for group in (file, _get(path, file, "model_weights")):
        if isinstance(group, h5py.Group) and _read_names(group, "layer_names"):
            return _list_legacy(path, group)
    groups = list(_find_layer_groups(path, file))
    if not groups:
        raise UserError(f"{path} is an HDF5 file, but lists no layers as Keras does")
    return [layer for group in groups for layer in _list_keras3(path, group, names)]


def _find_layer_groups(path: pathlib.Path, group: h5py.Group, depth: int = 0) -> Iterator[h5py.Group]:
    """Yield the groups of layers of all models in a group, outer models first."""
    if depth > _MAX_DEPTH:
        raise UserError(f"{path} is damaged: {group.name} is nested too deeply")
    children = {key: _get(path, group, key) for key in _list_keys(path, group)}
    own = next((key for key in _LAYER_GROUPS if isinstance(children.get(key), h5py.Group)), None)
    if own:
        yield children[own]
    for key, child in children.items():
        if isinstance(child, h5py.Group) and (key == own or key not in (*_LAYER_GROUPS, "vars")):
            yield from _find_layer_groups(path, child, depth + 1)


def _list_keras3(path: pathlib.Path, group: h5py.Group, names: dict[str, str]) -> list[StoredLayer]:
    layers = []
    for key in sorted(_list_keys(path, group), key=_split_count):
        stored = _get(path, group, f"{key}/vars")
        if not isinstance(stored, h5py.Group) or not len(stored):
            continue
        name = stored.attrs.get("name", names.get(f"{group.name}/{key}"))
        weights = (
            _describe_weight(path, stored, index, None)
            for index in sorted(_list_keys(path, stored), key=_to_index)
        )
        kind = _split_count(key)[0]
        name = None if name is None else _decode(name)
        layers.append(StoredLayer(f"{group.name}/{key}", name, kind, tuple(weights), group.name))
    return layers


def _list_legacy(path: pathlib.Path, group: h5py.Group) -> list[StoredLayer]:
    layers = []
    for name in _read_names(group, "layer_names"):
        stored = _get(path, group, name)
        if not isinstance(stored, h5py.Group):
            raise UserError(f"{path}: layer {name} is listed, but is not there")
        by_layer: dict[str, list[StoredWeight]] = {}
        for weight in _read_names(stored, "weight_names"):
            layer, _, own_name = weight.rpartition("/")
            described = _describe_weight(path, stored, weight, own_name.removesuffix(":0"))
            by_layer.setdefault(layer, []).append(described)
        # A model within the model has one group, in which weights have the names of its layers.
        is_model = len(by_layer) > 1
        for layer, weights in by_layer.items():
            key, own_name = (
                (f"{stored.name}/{layer}", layer.rpartition("/")[2]) if is_model else (stored.name, name)
            )
            model = stored.name if is_model else group.name
            layers.append(StoredLayer(key, own_name, None, tuple(weights), model))
    return layers


def _write_keras3(file: h5py.File, layers: Sequence[tuple[str, str, Iterable]]) -> None:
    counts: dict[str, int] = {}
    for name, kind, weights in layers:
        count = counts[kind] = counts.get(kind, -1) + 1
        group = file.create_group(f"layers/{count_name(kind, count)}/vars")
        group.attrs["name"] = name
        for index, (_, array) in enumerate(weights):
            group[str(index)] = array


def _write_legacy(file: h5py.File, layers: Sequence[tuple[str, str, Iterable]]) -> None:
    file.attrs["layer_names"] = np.array([name.encode() for name, _, _ in layers])
    file.attrs["backend"] = b"tensorflow"
    file.attrs["keras_version"] = KERAS_VERSION.encode()
    for name, _, weights in layers:
        group = file.create_group(name)
        paths = []
        for weight, array in weights:
            paths.append(f"{name}/{weight}")
            group[paths[-1]] = array
        group.attrs["weight_names"] = np.array([path.encode() for path in paths])


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names, which Keras splits over several attributes if it is too long for one."""
    if attribute in group.attrs:
        return [_decode(name) for name in np.atleast_1d(group.attrs[attribute])]
    parts: list[np.ndarray] = []
    while (key := f"{attribute}{len(parts)}") in group.attrs:
        parts.append(np.atleast_1d(group.attrs[key]))
    return [_decode(name) for part in parts for name in part]


def _list_keys(path: pathlib.Path, group: h5py.Group) -> list[str]:
    keys = list(group)
    # h5py returns a name that is not UTF-8 as bytes.
    if not all(isinstance(key, str) for key in keys):
        raise UserError(f"{path} is damaged: {group.name} holds a name that is not UTF-8")
    return keys


def _get(path: pathlib.Path, group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset | None:
    """Return the member of a group, or None; links to elsewhere, even to other files, are refused."""
    for part in key.split("/"):
        if not isinstance(group, h5py.Group) or not part or part not in group:
            return None
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise UserError(f"{path}: {group.name}/{part} is a link, which Keras never writes")
        group = group[part]
    return group


def _describe_weight(path: pathlib.Path, group: h5py.Group, key: str, name: str | None) -> StoredWeight:
    dataset = _get(path, group, key)
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"{path}: {group.name} lists the weight {key}, which is not there")
    if dataset.is_virtual or dataset.external:
        raise UserError(f"{path}: {dataset.name} lies in other files, which Keras never writes")
    # The shape of an empty dataspace is None.
    return StoredWeight(path, name, dataset.shape or (), dataset)


def _split_count(key: str) -> tuple[str, int]:
    """Split "conv2d_5" into ("conv2d", 5); the first of a class has no number."""
    match = re.fullmatch(r"(.+?)_(\d+)", key)
    return (match[1], int(match[2])) if match else (key, 0)


def count_name(kind: str, count: int) -> str:
    """Return Keras's name of a layer after `count` layers of its class: "conv2d", "conv2d_1", .."""
    return f"{kind}_{count}" if count else kind


def _to_index(key: str) -> tuple[int, str]:
    return (int(key), key) if key.isdecimal() else (1 << 31, key)


def _to_snake_case(name: str) -> str:
    """Turn "SeparableConv2D" into "separable_conv2d"."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _decode(name: object) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


@contextlib.contextmanager
def _damage_as_user_error(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged or cannot be read: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
