"""Owns the layouts of Keras's weight files: which arrays of which layers lie where in HDF5 and .keras files.

Does not know which layers a network has, nor rename or reshape a thing: `weights` does. Nothing that a file
holds is ever executed or unpickled, and no link out of it is followed.
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

# Written to legacy files, which Keras reads by the rules of the version that is named there.
KERAS_VERSION = "3.15.1"
SUFFIXES = (".weights.h5", ".h5")

_ARCHIVE_WEIGHTS = "model.weights.h5"
_ARCHIVE_CONFIG = "config.json"
# Xception has 92 MB of weights in float32; with an optimiser's moments and in float64 six times as many.
_MAX_ARCHIVE_BYTES = 1 << 31
# Before Keras 3, layers lay in the second.
_LAYER_GROUPS = ("layers", "_layer_checkpoint_dependencies")
# A model's layers may be models; groups that hold each other have no end.
_MAX_DEPTH = 16
# What h5py and zipfile raise on damaged files, TypeError for types and encodings that there are not.
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

    Attributes:
      path: of the file.
      name: Keras's, without its layer's and ":0"; None where the file has none.
      shape: the array's.
      dataset: the array.
    """

    path: pathlib.Path
    name: str | None
    shape: tuple[int, ...]
    dataset: h5py.Dataset

    def read(self) -> np.ndarray:
        """Read the array as float32.

        Raises:
          UserError: the array is damaged, or does not hold floating-point numbers.
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
      key: its place in the file, for messages.
      name: Keras's name of the layer; None where the file has none.
      kind: Keras's class in snake case, "separable_conv2d"; None in legacy files.
      weights: in Keras's order; at least one.
      model: the place of the model that it is a layer of; models may be layers of others.
    """

    key: str
    name: str | None
    kind: str | None
    weights: tuple[StoredWeight, ...]
    model: str


@contextlib.contextmanager
def open_layers(path: str | os.PathLike) -> Iterator[list[StoredLayer]]:
    """Open a file of Keras and list its layers that have weights.

    The layout is told by the file's content and not by its name: Keras 3's .weights.h5, the same within a
    .keras archive, the legacy .h5 of `save_weights`, and that of `save`, which has it in "model_weights".

    Args:
      path: of the file.

    Yields:
      The layers in the network's order, as far as the file tells: Keras 3 counts them class by class. Those of a model
      that is itself a layer are among them.

    Raises:
      UserError: the file is missing, in none of these layouts, or damaged.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(
            f"{path} is {'a folder' if path.is_dir() else 'missing'}; name a weights file of Keras"
        )
    with contextlib.ExitStack() as stack:
        with _damage_as_user_error(path):
            source, names = _open_archive(path) if zipfile.is_zipfile(path) else (path, {})
            if source is path and not h5py.is_hdf5(path):
                raise UserError(f"{path} is neither an HDF5 file nor a .keras archive")
            file = stack.enter_context(h5py.File(source, "r"))
            layers = _list_layers(path, file, names)
        yield layers


def write_layers(
    path: str | os.PathLike, layers: Sequence[tuple[str, str, Iterable[tuple[str, np.ndarray]]]]
) -> None:
    """Write layers as Keras does; the file appears whole or not at all.

    Args:
      path: ends in .weights.h5 (Keras 3's layout) or else in .h5 (the legacy one).
      layers: (Keras's name, class in snake case, [(weight's name, array), ..]), in the order of
        `keras.Model.layers`.

    Raises:
      UserError: another ending, or the file cannot be written.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path} ends in none of {', '.join(SUFFIXES)}, the formats that are written")
    write = _write_keras3 if path.name.endswith(".weights.h5") else _write_legacy
    try:
        # By its name: of an open file HDF5 wants to read too.
        with write_whole(path, "wb") as whole, h5py.File(whole.name, "w") as file:
            write(file, layers)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {_one_line(error)}") from error


def _open_archive(path: pathlib.Path) -> tuple[io.BytesIO, dict[str, str]]:
    """Return a .keras archive's weights file, and the layers' names by their groups' in it."""
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
    """Yield each layer's place in the weights file and its name, those of models within a model too."""
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
    """Yield the groups of layers of all models in a group, a model's own before those of models within it."""
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
        layers.append(StoredLayer(f"{group.name}/{key}", _decode(name), kind, tuple(weights), group.name))
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
        # The weights of a model that is a layer lie in one group, with its layers' names.
        is_model = len(by_layer) > 1
        for layer, weights in by_layer.items():
            key, own_name = (
                (f"{stored.name}/{layer}", layer.rpartition("/")[2]) if is_model else (stored.name, name)
            )
            model = stored.name if is_model else group.name
            layers.append(StoredLayer(key, own_name, None, tuple(weights), model))
    return layers


def _write_keras3(file: h5py.File, layers) -> None:
    counts: dict[str, int] = {}
    for name, kind, weights in layers:
        count = counts[kind] = counts.get(kind, -1) + 1
        group = file.create_group(f"layers/{count_name(kind, count)}/vars")
        group.attrs["name"] = name
        for index, (_, array) in enumerate(weights):
            group[str(index)] = array


def _write_legacy(file: h5py.File, layers) -> None:
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
    """Read a list of names, which Keras cuts into several attributes where it is too long for one."""
    if attribute in group.attrs:
        return [_decode(name) for name in np.atleast_1d(group.attrs[attribute])]
    names = []
    while (part := f"{attribute}{len(names)}") in group.attrs:
        names.append(group.attrs[part])
    return [_decode(name) for part in names for name in np.atleast_1d(part)]


def _list_keys(path: pathlib.Path, group: h5py.Group) -> list[str]:
    keys = list(group)
    # h5py leaves as bytes what is no text.
    if not all(isinstance(key, str) for key in keys):
        raise UserError(f"{path} is damaged: {group.name} holds a name that is not UTF-8")
    return keys


def _get(path: pathlib.Path, group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset | None:
    """Return what a group holds, or None; links to elsewhere, even to other files, are refused."""
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
    # An empty dataspace has no shape.
    return StoredWeight(path, name, dataset.shape or (), dataset)


def _split_count(key: str) -> tuple[str, int]:
    """Split "conv2d_5" into ("conv2d", 5); the first of a class has no number."""
    match = re.fullmatch(r"(.+?)_(\d+)", key)
    return (match[1], int(match[2])) if match else (key, 0)


def count_name(kind: str, count: int) -> str:
    """Return what Keras calls the layer of a class after so many of it: "conv2d", "conv2d_1", .."""
    return f"{kind}_{count}" if count else kind


def _to_index(key: str) -> tuple[int, str]:
    return (int(key), key) if key.isdecimal() else (1 << 31, key)


def _to_snake_case(name: str) -> str:
    """Turn "SeparableConv2D" into "separable_conv2d"."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _decode(name) -> str | None:
    return name.decode(errors="replace") if isinstance(name, bytes) else None if name is None else str(name)


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
