"""Owns the conversion of whole networks between files of the PyTorch pix2pix and our variables."""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS
from third_party.pytorch_pix2pix import names, state_file

GENERATOR_FILE = "latest_net_G.pth"
DISCRIMINATOR_FILE = "latest_net_D.pth"

_NORMS = ("batch", "instance")
# Values without an option in the PyTorch code. A file does not show them.
_FIXED = {
    "generator.bottleneck_norm": False,
    "generator.skip": "before_activation",
    "generator.upsampling": "transposed",
    **{
        f"{network}.{name}": value
        for network in ("generator", "discriminator")
        for name, value in (
            ("conv_bias", "auto"),
            ("leaky_slope", 0.2),
            ("norm_epsilon", 1e-5),
            ("norm_momentum", 0.9),
        )
    },
}
_RECEPTIVE_FIELDS = {num_strided: field for field, num_strided in NUM_STRIDED_CONVS.items()}
_FIRST_OF_GENERATOR = "model.model.0.weight"
_COUNTER = "num_batches_tracked"
# Kept by networks with instance norm before PyTorch 0.4; the loader of the reference code drops them.
_STALE = ("running_mean", "running_var", _COUNTER)


def import_generator(path: str | os.PathLike, config: ConfigDict) -> dict:
    """Read a `unet_128`, `unet_256`, or a generator of another depth, from a file such as `latest_net_G.pth`.

    Args:
      config: the config; its generator must be that of the file.

    Returns:
      {"params": .., "batch_stats": ..} of the generator, float32; "batch_stats" is empty with instance norm.

    Raises:
      UserError: the file cannot be read, or holds another network; the message names the fields that differ, or the
        tensor.
    """
    arrays = state_file.read_state_file(path)
    _check_fields(path, _describe_generator(path, arrays, config), config)
    _warn_of_dropout(path, config)
    expected = factory.shape_generator(config)
    return _import(path, arrays, _list_generator(config), expected)


def import_discriminator(path: str | os.PathLike, config: ConfigDict) -> dict:
    """Read a `basic`, `n_layers` or `pixel` discriminator, as `import_generator` reads a generator."""
    arrays = state_file.read_state_file(path)
    _check_fields(path, _describe_discriminator(path, arrays, config), config)
    expected = factory.shape_discriminator(config)
    return _import(path, arrays, _list_discriminator(config), expected)


def export_generator(variables: Mapping, config: ConfigDict, path: str | os.PathLike) -> None:
    """Write a generator, {"params": .., "batch_stats": ..}, for `load_state_dict(strict=True)` of the PyTorch code.

    Raises:
      UserError: the PyTorch code has no such network, or the file cannot be written.
    """
    if config.generator.form != "isola":
        raise UserError(
            f"config.generator.form={config.generator.form!r}: the PyTorch pix2pix has no such generator; "
            "only 'isola' can be exported"
        )
    _export(path, variables, _list_generator(config))


def export_discriminator(variables: Mapping, config: ConfigDict, path: str | os.PathLike) -> None:
    """Write a discriminator, see `export_generator`."""
    _export(path, variables, _list_discriminator(config))


def describe_options(config: ConfigDict) -> str:
    """Return the options with which the PyTorch code builds the networks of a config: "--netG unet_256 ..."."""
    num_strided = NUM_STRIDED_CONVS[config.discriminator.receptive_field]
    net_d = {0: "pixel", 3: "basic"}.get(num_strided, f"n_layers --n_layers_D {num_strided}")
    channels = image_shape(config.data)[2]
    condition_channels = condition_shape(config.data)[2]
    has_dropout = bool(config.generator.dropout_outputs) and config.generator.dropout_rate > 0
    dropout = "" if has_dropout else " --no_dropout"
    norms = [_checked_norm(config[network].norm, network) for network in ("generator", "discriminator")]
    if norms[0] != norms[1]:
        logging.warning(
            "the PyTorch pix2pix has one --norm for both networks: a discriminator with %s norm cannot be loaded "
            "together with this generator",
            norms[1],
        )
    if has_dropout and config.generator.dropout_rate != 0.5:
        logging.warning(
            "the PyTorch pix2pix draws with dropout rate 0.5, but this generator was trained with %g",
            config.generator.dropout_rate,
        )
    num_levels = factory.find_num_levels(config)
    if num_levels not in (7, 8):
        logging.warning(
            "the PyTorch pix2pix has no --netG unet_%d: build UnetGenerator(..., num_downs=%d)",
            2**num_levels,
            num_levels,
        )
    return (
        f"--netG unet_{2**num_levels} --ngf {config.generator.num_features} --netD {net_d} "
        f"--ndf {config.discriminator.num_features} --norm {norms[0]} "
        f"--input_nc {condition_channels} --output_nc {channels}{dropout}"
    )


def _check_fixed(config: ConfigDict, network: str) -> None:
    for name, value in _FIXED.items():
        if name.startswith(network) and _get(config, name) != value:
            raise UserError(
                f"config.{name}={_get(config, name)!r}: the PyTorch pix2pix has {value!r} and no option for it"
            )


def _list_generator(config: ConfigDict) -> list[names.Entry]:
    _check_fixed(config, "generator")
    norm = _checked_norm(config.generator.norm, "generator")
    return names.list_generator_entries(factory.find_num_levels(config), norm)


def _list_discriminator(config: ConfigDict) -> list[names.Entry]:
    _check_fixed(config, "discriminator")
    norm = _checked_norm(config.discriminator.norm, "discriminator")
    return names.list_discriminator_entries(NUM_STRIDED_CONVS[config.discriminator.receptive_field], norm)


def _checked_norm(norm: str, network: str) -> str:
    # The same layers with statistics per example, as in the PyTorch code at batch size 1.
    norm = "batch" if norm == "batch_per_example" else norm
    if norm not in _NORMS:
        raise UserError(
            f"config.{network}.norm={norm!r}: the PyTorch pix2pix has other biases there; use one of {_NORMS}"
        )
    return norm


def _import(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    entries: Sequence[names.Entry],
    expected: Mapping,
) -> dict:
    keys = {entry.key for entry in entries}
    known = keys | {f"{key.rpartition('.')[0]}.{_COUNTER}" for key in keys if key.endswith("running_mean")}
    if not known > keys:  # instance norm
        arrays = {key: array for key, array in arrays.items() if not key.endswith(_STALE)}
    missing = [entry.key for entry in entries if entry.key not in arrays]
    unknown = sorted(arrays.keys() - known)
    if missing:
        hint = f"; it has {unknown[0]}, which is unknown" if unknown else ""
        raise UserError(f"{path}: {missing[0]} is missing ({len(missing)} of {len(entries)} are){hint}")
    if unknown:
        raise UserError(f"{path}: {unknown[0]} belongs to no layer of this network")
    variables: dict[str, dict[str, dict[str, np.ndarray]]] = {"params": {}, "batch_stats": {}}
    for entry in entries:
        collection, layer, leaf = entry.path
        array, wanted = arrays[entry.key], expected[collection][layer][leaf].shape
        wanted = tuple(wanted[axis] for axis in (3, 2, 0, 1)) if entry.is_kernel else wanted
        if array.shape != wanted:
            raise UserError(f"{path}: {entry.key} has the shape {array.shape}; this network needs {wanted}")
        variables[collection].setdefault(layer, {})[leaf] = names.to_ours(entry, array)
    return variables


def _export(path: str | os.PathLike, variables: Mapping, entries: Sequence[names.Entry]) -> None:
    arrays = {}
    for entry in entries:
        collection, layer, leaf = entry.path
        arrays[entry.key] = names.to_theirs(entry, np.asarray(variables[collection][layer][leaf]))
        if entry.key.endswith("running_var"):
            # The number of batches is for an average that the PyTorch code does not use; 0 stands for unknown.
            arrays[f"{entry.key.rpartition('.')[0]}.{_COUNTER}"] = np.array(0, np.int64)
    state_file.write_state_file(path, arrays)


def _check_fields(path: str | os.PathLike, found: Mapping, config: ConfigDict) -> None:
    """Compare the fields that a file shows with a config, before single tensors are compared."""
    # "batch_per_example" has the layers of "batch".
    given = {name: _get(config, name) for name in found}
    wrong = {
        name: value
        for name, value in found.items()
        if value != given[name] and (value, given[name]) != ("batch", "batch_per_example")
    }
    if wrong:
        was = ", ".join(f"config.{name}={given[name]!r}" for name in wrong)
        flags = " ".join(f"--config.{name}={value}" for name, value in wrong.items())
        raise UserError(f"{path}: not a network of {was}; set {flags}")


def _get(config: ConfigDict, name: str) -> Any:
    section, _, field = name.partition(".")
    return config[section][field]


def _describe_generator(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], config: ConfigDict
) -> dict:
    """Infer fields of the config from the shapes, as far as the expected tensors are there."""
    kernels = {key: array.shape for key, array in arrays.items() if array.ndim == 4}
    first, last = kernels.get(_FIRST_OF_GENERATOR), kernels.get("model.model.3.weight")
    if first is None:
        _check_prefix(path, arrays, _FIRST_OF_GENERATOR)
        raise UserError(
            f"{path}: model.model.0.weight is missing; not a unet generator of the PyTorch pix2pix (there are "
            f"{', '.join(list(arrays)[:3])}, ...)"
        )
    num_channels = first[1] if last is None else last[1]
    fields = {
        "generator.form": "isola",
        "generator.num_features": first[0],
        "data.num_channels": num_channels,
    }
    if first[1] != _count_condition_channels(config, num_channels):
        raise UserError(
            f"{path}: the generator has {first[1]} input and {num_channels} output channels (model.model.0.weight, "
            f"model.model.3.weight); config.data.condition={config.data.condition!r} needs "
            f"{_count_condition_channels(config, num_channels)} input channels"
        )
    num_levels = len(kernels) // 2
    is_isola = config.generator.form == "isola"
    if is_isola and len(kernels) % 2 == 0 and factory.find_num_levels(config) != num_levels:
        # The PyTorch code names networks by image size; the config may set the number of levels directly.
        fields |= (
            {"generator.num_levels": num_levels}
            if config.generator.num_levels
            else {"data.image_size": 2**num_levels}
        )
    return fields | {"generator.norm": _describe_norm(arrays, "model.model.0.bias")}


def _count_condition_channels(config: ConfigDict, num_channels: int) -> int:
    is_noise = config.data.condition == "noise"
    return num_channels if is_noise else condition_shape(config.data)[2]


def _describe_discriminator(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], config: ConfigDict
) -> dict:
    kernels = {key: array.shape for key, array in arrays.items() if array.ndim == 4}
    field: int | None
    if "net.0.weight" in kernels:
        first, field, second_bias = kernels["net.0.weight"], 1, "net.2.bias"
    elif "model.0.weight" in kernels:
        first, field = kernels["model.0.weight"], _RECEPTIVE_FIELDS.get(len(kernels) - 2)
        second_bias = "model.2.bias"
    else:
        # The key of a generator also ends with "model.0.weight".
        others = [key for key in arrays if not key.endswith(_FIRST_OF_GENERATOR)]
        _check_prefix(path, others, "net.0.weight", "model.0.weight")
        raise UserError(
            f"{path}: model.0.weight and net.0.weight are missing; not a discriminator of the PyTorch pix2pix "
            f"(there are {', '.join(list(arrays)[:3])}, ...)"
        )
    num_channels = first[1] // 2
    if config.data.condition != "noise":
        num_channels = first[1] - condition_shape(config.data)[2]
    elif first[1] % 2:
        raise UserError(
            f"{path}: {first[1]} input channels are not two images of the same number of channels"
        )
    fields = {"discriminator.num_features": first[0], "data.num_channels": num_channels}
    if field is not None:
        fields["discriminator.receptive_field"] = field
    return fields | {"discriminator.norm": _describe_norm(arrays, second_bias)}


def _check_prefix(path: str | os.PathLike, keys: Iterable[str], *first_keys: str) -> None:
    """Raise a `UserError` that names the prefix if the keys have one."""
    for key, first in itertools.product(keys, first_keys):
        if key.endswith(f".{first}"):
            raise UserError(
                f"{path}: its keys start with {key.removesuffix(first)!r}; save the state_dict() of the network alone"
            )


def _describe_norm(arrays: Mapping[str, np.ndarray], conv_bias: str) -> str:
    # Only convolutions before instance norm have biases. Running statistics do not tell, since old files have them too.
    return "instance" if conv_bias in arrays else "batch"


def _warn_of_dropout(path: str | os.PathLike, config: ConfigDict) -> None:
    theirs = tuple(size for size in (4, 8, 16) if 16 * size <= 2 ** factory.find_num_levels(config))
    if tuple(sorted(config.generator.dropout_outputs)) != theirs:
        logging.warning(
            "%s: does not show its dropout; config.generator.dropout_outputs=%s, but the PyTorch code has %s unless "
            "--no_dropout was set",
            path,
            config.generator.dropout_outputs,
            theirs,
        )
