"""Files of Keras's Xception read and written without Keras; `test_live` does it with Keras."""

import collections
import contextlib
import functools
import json
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import zipfile

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging

from fpgan_jax.errors import UserError
from fpgan_jax.models.xception import Xception
from third_party.keras_xception import files, layout, reference
from third_party.keras_xception.weights import export_classifier, import_classifier

WIDTH = 1 / 32
# Layers within the files below, as each layout names them.
NORM = {
    ".weights.h5": "layers/batch_normalization_2/vars/1",
    ".h5": "block2_sepconv1_bn/block2_sepconv1_bn/beta",
}


@pytest.fixture(name="variables", scope="module")
def _variables():
    return reference.draw_variables(num_channels=3, num_classes=5, width=WIDTH)


@pytest.fixture(name="written", scope="module")
def _written(variables, tmp_path_factory):
    """One file of each layout, not to be changed."""
    folder = tmp_path_factory.mktemp("written")
    paths = {suffix: folder / f"xception{suffix}" for suffix in files.SUFFIXES}
    for path in paths.values():
        export_classifier(variables, path)
    return paths


@pytest.fixture(name="copy")
def _copy(written, tmp_path):
    """Return a function that gives a file to change, and its path."""
    return lambda suffix=".weights.h5": pathlib.Path(shutil.copy(written[suffix], tmp_path))


def _read(path, num_channels=3, num_classes=5, **kwargs):
    return import_classifier(path, num_classes=num_classes, num_channels=num_channels, **kwargs)


def _assert_equal(found, expected):
    found, expected = (dict(reference.flatten(tree)) for tree in (found, expected))
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=True, err_msg=name)


def _error(path, **kwargs):
    """Return the one line that a file's user reads."""
    with pytest.raises(UserError) as caught:
        _read(path, **kwargs)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("width", "num_middle_blocks"), [(1, 8), (WIDTH, 1)])
def test_layout_is_our_networks(width, num_middle_blocks):
    model = Xception(7, width=width, num_middle_blocks=num_middle_blocks)
    images = jnp.zeros((1, 71, 71, 3))
    expected = jax.eval_shape(
        lambda: model.init(jax.random.key(0), images, deterministic=True, use_running_average=True)
    )
    found = {}
    sizes = {"width": width, "num_middle_blocks": num_middle_blocks}
    for layer in layout.list_layers(num_channels=3, num_classes=7, **sizes):
        for weight in layer.weights:
            swapped = (
                (*weight.shape[:2], weight.shape[3], weight.shape[2]) if "depth" in weight.name else None
            )
            found[weight.collection, layer.name, weight.name] = swapped or weight.shape
    paths = jax.tree_util.tree_leaves_with_path(expected)
    assert found == {tuple(key.key for key in path): leaf.shape for path, leaf in paths}


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_round_trip_is_bit_equal(variables, written, suffix):
    _assert_equal(_read(written[suffix]), variables)


def test_names_are_kerass(written):
    with h5py.File(written[".h5"]) as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        assert file["block2_sepconv1"].attrs["weight_names"][0] == b"block2_sepconv1/depthwise_kernel"
        assert file["block2_sepconv1/block2_sepconv1/depthwise_kernel"].shape == (3, 3, 2, 1)
    assert names[2:10] == [
        "block1_conv2", "block1_conv2_bn", "block2_sepconv1", "block2_sepconv1_bn", "block2_sepconv2",
        "block2_sepconv2_bn", "conv2d", "batch_normalization",
    ]  # fmt: skip
    assert "conv2d_3" in names
    with h5py.File(written[".weights.h5"]) as file:
        assert file["layers/separable_conv2d_1/vars"].attrs["name"] == "block2_sepconv2"
        assert file["layers/batch_normalization_4/vars"].attrs["name"] == "batch_normalization"


def _change_legacy_to_tf_keras(path):
    """Names end in ":0", counters go on from other models, and the whole lies in a saved model's group."""
    with h5py.File(path, "r") as old, h5py.File(f"{path}.new", "w") as new:
        group = new.create_group("model_weights")
        names = []
        for name in ["input_1", *(n.decode() for n in old.attrs["layer_names"])]:
            match = re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", name)
            renamed = f"{match[1]}_{int(match[2] or 0) + 9}" if match else name
            names.append(renamed.encode())
            layer = group.create_group(renamed)
            weights = old[name].attrs["weight_names"] if name in old else []
            layer.attrs["weight_names"] = np.array([weight + b":0" for weight in weights], "S")
            for weight in weights:
                layer[f"{weight.decode()}:0"] = old[name][weight.decode()][()]
        # As Keras cuts a list that is too long for one attribute.
        group.attrs["layer_names0"], group.attrs["layer_names1"] = np.array(names[:50]), np.array(names[50:])
    shutil.move(f"{path}.new", path)


def _change_legacy_to_keras1(path):
    """Weights bear other names, in Keras's order, and so do automatically named layers."""
    with h5py.File(path, "r") as old, h5py.File(f"{path}.new", "w") as new:
        names = []
        for name in (n.decode() for n in old.attrs["layer_names"]):
            renamed = name.replace("batch_normalization", "batchnormalization").replace(
                "conv2d", "convolution2d"
            )
            names.append(renamed.encode())
            weights = [weight.decode() for weight in old[name].attrs["weight_names"]]
            layer = new.create_group(renamed)
            layer.attrs["weight_names"] = np.array([f"{renamed}_{i}:0".encode() for i in range(len(weights))])
            for i, weight in enumerate(weights):
                layer[f"{renamed}_{i}:0"] = old[name][weight][()]
        new.attrs["layer_names"] = np.array(names)
    shutil.move(f"{path}.new", path)


def _drop_names(path):
    with h5py.File(path, "a") as file:
        for layer in file["layers"].values():
            del layer["vars"].attrs["name"]


def _move_to_old_group(path):
    with h5py.File(path, "a") as file:
        file.move("layers", "_layer_checkpoint_dependencies")


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        (".h5", _change_legacy_to_tf_keras),
        (".h5", _change_legacy_to_keras1),
        (".weights.h5", _drop_names),
        (".weights.h5", _move_to_old_group),
    ],
)
def test_older_layouts(variables, copy, suffix, change):
    path = copy(suffix)
    change(path)
    _assert_equal(_read(path), variables)


def _write_archive(path, written, names=None):
    """Write a .keras file, its config with these layers' names or none."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(written, "model.weights.h5")
        if names is not None:
            layers = [{"class_name": kind, "config": {"name": name}} for kind, name in names]
            archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))


def _list_kerass_names():
    classes = {"separable_conv2d": "SeparableConv2D", "conv2d": "Conv2D", "dense": "Dense",
               "batch_normalization": "BatchNormalization"}  # fmt: skip
    counts = collections.Counter()
    names = [("InputLayer", "input_layer")]
    for layer in layout.list_layers(num_channels=3, num_classes=5):
        counts[layer.kind] += layer.is_shortcut
        automatic = files.count_name(layer.kind, counts[layer.kind] + 3)
        names.append((classes[layer.kind], automatic if layer.is_shortcut else layer.name))
    return names


@pytest.mark.parametrize("with_config", [True, False])
def test_archive(variables, copy, tmp_path, with_config):
    weights = copy()
    _drop_names(weights)
    path = tmp_path / "xception.keras"
    _write_archive(path, weights, _list_kerass_names() if with_config else None)
    _assert_equal(_read(path), variables)


def test_a_config_may_name_layers_in_another_order(variables, copy, tmp_path):
    """Only the config tells that the second and third norm changed places."""
    weights = copy()
    _drop_names(weights)
    with h5py.File(weights, "a") as file:
        for old, new in (("1", "x"), ("2", "1"), ("x", "2")):
            file.move(f"layers/batch_normalization_{old}", f"layers/batch_normalization_{new}")
    names = _list_kerass_names()
    norms = [i for i, (kind, _) in enumerate(names) if kind == "BatchNormalization"]
    names[norms[1]], names[norms[2]] = names[norms[2]], names[norms[1]]
    path = tmp_path / "xception.keras"
    _write_archive(path, weights, names)
    _assert_equal(_read(path), variables)


def _nest(path, depth=1):
    """Make the network a layer of a model, of which the head is another, as Keras 3 does."""
    with h5py.File(path, "a") as file:
        for _ in range(depth):
            file.move("layers", "inner")
            file.move("inner", "layers/functional/layers")
        file.move(f"layers{'/functional/layers' * depth}/dense", "layers/dense")


def _nest_legacy(path):
    """Put all layers' weights but the head's in one group, as Keras does: first what is trained, then the rest."""
    with h5py.File(path, "a") as file:
        names = [name.decode() for name in file.attrs["layer_names"]]
        inner, weights = file.create_group("xception"), []
        for name in names[:-1]:
            weights += [weight.decode() for weight in file[name].attrs["weight_names"]]
            file.move(f"{name}/{name}", f"xception/{name}")
            del file[name]
        weights.sort(key=lambda weight: "moving_" in weight)
        inner.attrs["weight_names"] = np.array([weight.encode() for weight in weights])
        file.attrs["layer_names"] = np.array([b"xception", names[-1].encode()])


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        (".weights.h5", _nest),
        (".weights.h5", functools.partial(_nest, depth=3)),
        (".h5", _nest_legacy),
    ],
    ids=["keras3", "keras3-deep", "legacy"],
)
def test_a_network_that_is_a_layer_of_a_model(variables, copy, mocker_warning, suffix, change):
    path = copy(suffix)
    change(path)
    _assert_equal(_read(path), variables)
    assert mocker_warning == []


def test_an_archive_whose_network_is_a_layer_of_a_model(variables, copy, tmp_path):
    weights, path = copy(), tmp_path / "model.keras"
    _drop_names(weights)
    _nest(weights)
    *inner, (kind, name) = _list_kerass_names()
    layers = [{"class_name": kind, "config": {"name": name}} for kind, name in inner]
    outer = [
        {"class_name": "Functional", "config": {"name": "xception", "layers": layers}},
        {"class_name": kind, "config": {"name": name}},
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights, "model.weights.h5")
        archive.writestr("config.json", json.dumps({"config": {"layers": outer}}))
    _assert_equal(_read(path), variables)


def test_what_comes_before_the_network_is_left_out_with_a_notice(variables, copy, mocker_warning):
    path = copy()
    _nest(path)
    with h5py.File(path, "a") as file:
        file["layers/conv2d/vars/0"] = np.zeros((1, 1, 3, 3), np.float32)
        file["layers/conv2d/vars"].attrs["name"] = "colors"
    _assert_equal(_read(path), variables)
    assert mocker_warning == [f"{path}: layer colors (/layers/conv2d) is outside the Xception and left out"]


def test_two_networks_in_one_model_are_refused(copy):
    path = copy()
    _nest(path)
    with h5py.File(path, "a") as file:
        file.copy("layers/functional", "layers/functional_1")
    assert "holds several models with separable convolutions: /layers/functional/layers" in _error(path)


def test_groups_that_hold_each_other_are_refused(copy):
    path = copy()
    with h5py.File(path, "a") as file:
        file["layers/dense/again"] = file["layers"]
    assert "is nested too deeply" in _error(path)


@pytest.mark.parametrize("names", [("hidden", "output"), ("dense_7", "dense_8"), ("hidden", "predictions")])
def test_a_head_of_two_layers_is_replaced(variables, copy, mocker_warning, names):
    path = copy()
    with h5py.File(path, "a") as file:
        for key, name, shape in zip(("dense", "dense_1"), names, ((64, 7), (7, 5)), strict=True):
            file.require_group("layers").pop(key, None)
            file[f"layers/{key}/vars/0"] = np.zeros(shape, np.float32)
            file[f"layers/{key}/vars/1"] = np.zeros(shape[1], np.float32)
            file[f"layers/{key}/vars"].attrs["name"] = name
    found = _read(path)
    assert found["params"].pop("predictions")["kernel"].shape == (64, 5)
    params = {name: layer for name, layer in variables["params"].items() if name != "predictions"}
    _assert_equal(found, {**variables, "params": params})
    assert f"{path}: the head ({', '.join(names)}) is not one layer" in mocker_warning[0]


def test_three_channels_to_one(variables, written):
    gray = _read(written[".h5"], num_channels=1)
    kernel = variables["params"]["block1_conv1"]["kernel"]
    # Exact in float64; one rounding to float32.
    expected = np.float64(kernel).sum(2, keepdims=True).astype(np.float32)
    np.testing.assert_array_equal(gray["params"]["block1_conv1"]["kernel"], expected)
    del gray["params"]["block1_conv1"]
    others = {**variables, "params": {k: v for k, v in variables["params"].items() if k != "block1_conv1"}}
    _assert_equal(gray, others)


@pytest.mark.parametrize("with_top", [True, False])
def test_another_head_is_drawn_with_a_notice(variables, tmp_path, mocker_warning, with_top):
    path = tmp_path / "xception.weights.h5"
    export_classifier(variables, path, with_top=with_top)
    found = _read(path, num_classes=9, seed=3)
    head = found["params"].pop("predictions")
    assert not head["bias"].any()
    assert (head["kernel"].shape, head["kernel"].dtype) == ((64, 9), np.float32)
    limit = np.sqrt(6 / (64 + 9))
    assert 0.9 * limit < np.abs(head["kernel"]).max() <= np.float32(limit)
    # Five standard errors: a uniform square has the mean 1/3 and the standard deviation sqrt(4/45).
    mean = ((head["kernel"] / limit) ** 2).mean()
    assert abs(mean - 1 / 3) < 5 * np.sqrt(4 / 45 / head["kernel"].size)
    again, other = (_read(path, num_classes=9, seed=s)["params"]["predictions"]["kernel"] for s in (3, 4))
    np.testing.assert_array_equal(head["kernel"], again)
    assert (again != other).all()
    params = {name: layer for name, layer in variables["params"].items() if name != "predictions"}
    _assert_equal(found, {**variables, "params": params})
    assert mocker_warning[0] == (
        f"{path} has {5 * with_top} classes instead of 9: the last layer is initialized at random"
    )


@pytest.fixture(name="mocker_warning")
def _mocker_warning(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda line, *args: lines.append(line % args))
    return lines


def test_no_notice_of_a_fitting_head(written, mocker_warning):
    _read(written[".h5"])
    assert mocker_warning == []


def test_float16_is_read_and_integers_are_not(variables, copy):
    path = copy()
    with h5py.File(path, "a") as file:
        values = file[NORM[".weights.h5"]][()].astype(np.float16)
        del file[NORM[".weights.h5"]]
        file[NORM[".weights.h5"]] = values
    found = _read(path)["params"]["block2_sepconv1_bn"]["bias"]
    np.testing.assert_array_equal(found, values.astype(np.float32), strict=True)
    with h5py.File(path, "a") as file:
        del file[NORM[".weights.h5"]]
        file[NORM[".weights.h5"]] = values.astype(np.int32)
    assert "batch_normalization_2/vars/1 holds int32" in _error(path)


def test_missing_file_and_folder(tmp_path):
    assert _error(tmp_path / "no.h5").endswith("no.h5 is missing; name a weights file of Keras")
    assert "is a folder" in _error(tmp_path)


def test_pickles_and_archives_of_others_are_not_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib.Path(tmp_path / "sprung").touch, ())

    (tmp_path / "pickle.h5").write_bytes(pickle.dumps(Trap()))
    assert "neither an HDF5 file nor a .keras archive" in _error(tmp_path / "pickle.h5")
    np.savez(tmp_path / "model.keras", np.array([Trap()], object), allow_pickle=True)
    assert "without model.weights.h5" in _error(tmp_path / "model.keras.npz")
    assert not (tmp_path / "sprung").exists()
    (tmp_path / "empty.h5").write_bytes(b"")
    assert "neither an HDF5 file nor a .keras archive" in _error(tmp_path / "empty.h5")


@pytest.mark.parametrize("suffix", files.SUFFIXES)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_truncated_file(copy, suffix, kept):
    path = copy(suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "is damaged" in _error(path)


@pytest.mark.parametrize("suffix", files.SUFFIXES)
@pytest.mark.parametrize("num_bytes", [1, 8, 200])
def test_damaged_bytes_are_either_harmless_or_the_users_error(copy, suffix, num_bytes):
    path, random = copy(suffix), np.random.default_rng(num_bytes)
    content = path.read_bytes()
    for _ in range(10):
        damaged = bytearray(content)
        # The names and places of things come first; most of the rest is values, any of which is one.
        for position in random.integers(0, 20_000, num_bytes):
            damaged[position] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            _read(path)


def test_a_name_that_is_no_text(copy):
    path = copy()
    with h5py.File(path, "a") as file:
        file["layers"].id.move(b"dense", b"den\xffse")
    assert "/layers holds a name that is not UTF-8" in _error(path)


def test_damaged_archives(copy, tmp_path):
    path, weights = tmp_path / "xception.keras", copy()
    _write_archive(path, weights)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in _error(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights, "model.weights.h5")
        archive.writestr("config.json", "[" * 100_000)
    assert "config.json does not list" in _error(path)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("layers/separable_conv2d_20", "block9_sepconv3"),
        ("layers/batch_normalization_39", "block14_sepconv2_bn"),
    ],
)
def test_missing_layer(copy, key, name):
    path = copy()
    with h5py.File(path, "a") as file:
        del file[key]
    assert _error(path) == f"{path}: layer {name} is missing"


@pytest.mark.parametrize(
    ("key", "kind"), [("conv2d_4", "conv2d"), ("batch_normalization_7", "batch_normalization")]
)
def test_missing_shortcut(copy, key, kind):
    path = copy()
    with h5py.File(path, "a") as file:
        del file["layers"][key]
    message = f"{path} has 3 layers {kind}_N with automatic names, not the 4 of Xception's shortcuts"
    assert _error(path) == message


def test_missing_layers_without_names(copy):
    path = copy()
    _drop_names(path)
    with h5py.File(path, "a") as file:
        del file["layers/separable_conv2d_3"]
    assert _error(path).endswith("is not an Xception: it has 33 separable convolutions")
    with h5py.File(path, "a") as file:
        file.copy("layers/separable_conv2d_2", "layers/separable_conv2d_3")
        file.copy("layers/conv2d", "layers/conv2d_9")
    assert "/layers/conv2d_9) does not belong to Xception" in _error(path)


@pytest.mark.parametrize("name", ["attention", "dense_1", "conv2d_9", "block99999999_sepconv1"])
def test_unknown_layer(copy, name):
    path = copy()
    with h5py.File(path, "a") as file:
        group = file.create_group("layers/new_layer/vars")
        group.attrs["name"] = name
        group["0"] = np.zeros((1, 1, 4, 5000), np.float32)
    message = _error(path)
    assert (
        "is not an Xception" if "9999" in name else f"layer {name} (/layers/new_layer) does not belong"
    ) in message


def test_legacy_layer_or_weight_that_is_listed_only(copy):
    path = copy(".h5")
    with h5py.File(path, "a") as file:
        del file[NORM[".h5"]]
    assert "lists the weight block2_sepconv1_bn/beta, which is not there" in _error(path)
    with h5py.File(path, "a") as file:
        del file["block7_sepconv1"]
    assert "layer block7_sepconv1 is listed, but is not there" in _error(path) or "beta" in _error(path)


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_wrong_shape(copy, suffix):
    path = copy(suffix)
    with h5py.File(path, "a") as file:
        del file[NORM[suffix]]
        file[NORM[suffix]] = np.zeros(6, np.float32)
    message = _error(path)
    assert message.startswith(f"{path}: beta of layer block2_sepconv1_bn (")
    assert message.endswith("is (6,), not (4,)")


@pytest.mark.parametrize(("block", "features"), [(14, 64), (1, 1)])
def test_the_wrong_layer_is_blamed(copy, block, features):
    """Also where it is the one that tells the width best."""
    path = copy()
    key = f"layers/{'separable_conv2d_33' if block == 14 else 'conv2d'}/vars/{int(block == 14)}"
    with h5py.File(path, "a") as file:
        shape = file[key].shape
        del file[key]
        file[key] = np.zeros((*shape[:3], 100), np.float32)
    assert f"of layer block{block}_" in _error(path)
    assert _error(path).endswith(f"100), not {(*shape[:3], features)}")


def test_number_of_weights_and_odd_shapes(copy):
    path = copy()
    with h5py.File(path, "a") as file:
        file["layers/dense/vars/2"] = np.zeros(3, np.float32)
    assert "layer predictions (/layers/dense) has 3 weights, not 2 (kernel, bias)" in _error(path)
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/2"], file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = h5py.Empty("f")
    assert "kernel of layer block1_conv1 (/layers/conv2d) is (), not" in _error(path)


def test_channels_that_do_not_fit(written, tmp_path):
    gray = tmp_path / "gray.h5"
    export_classifier(reference.draw_variables(num_channels=1, num_classes=5, width=WIDTH), gray)
    assert "layer block1_conv1 takes images of 1 channels, not 3" in _error(gray)
    assert _read(gray, num_channels=1)["params"]["block1_conv1"]["kernel"].shape == (3, 3, 1, 1)
    assert "takes images of 3 channels, not 4" in _error(written[".h5"], num_channels=4)


def test_links_and_arrays_of_other_files_are_refused(copy, tmp_path):
    path, key = copy(), "layers/dense/vars/1"
    (tmp_path / "secret").write_bytes(bytes(20))
    with h5py.File(path, "a") as file:
        del file[key]
        file[key] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
    assert "/layers/dense/vars/1 is a link" in _error(path)
    with h5py.File(path, "a") as file:
        del file[key]
        file.create_dataset(key, (5,), np.float32, external=[(str(tmp_path / "secret"), 0, 20)])
    assert "/layers/dense/vars/1 lies in other files" in _error(path)


def test_other_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.zeros(3)
    assert "lists no layers as Keras does" in _error(tmp_path / "other.h5")
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 64))
        file["layers/conv2d/vars"].attrs["name"] = "block1_conv1"
    assert "is not an Xception: its layers are /layers/conv2d" in _error(tmp_path / "vgg.h5")


@pytest.mark.parametrize("name", ["xception.keras", "xception.npz", "missing/xception.h5"])
def test_where_nothing_can_be_written(variables, tmp_path, name):
    with pytest.raises(UserError, match=name):
        export_classifier(variables, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_or_stays(variables, copy):
    path = copy()
    before = path.read_bytes()
    params = {**variables["params"]}
    del params["block9_sepconv1_bn"]
    with pytest.raises(ValueError, match="no block9_sepconv1_bn with 'block9_sepconv1_bn'"):
        export_classifier({**variables, "params": params}, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    doubled = jax.tree.map(lambda x: 2 * x, variables)
    export_classifier(doubled, path)
    _assert_equal(_read(path), doubled)


def test_variables_of_another_network(tmp_path):
    with pytest.raises(ValueError, match="no Xception has 1 separable"):
        export_classifier({"params": {"a": {"depthwise_kernel": 0}}}, tmp_path / "x.h5")


def test_neither_keras_nor_tensorflow_is_imported(written):
    program = (
        "import sys\n"
        "sys.modules['keras'] = sys.modules['tensorflow'] = sys.modules['jax'] = None\n"
        "from third_party.keras_xception.weights import import_classifier\n"
        f"import_classifier({str(written['.h5'])!r}, num_classes=5, num_channels=3)"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
