"""Owns the files that a served network is written as, which are read without this package.

Does not know what a network computes (`networks.py`). A folder holds the model and `model.json`, which tells
its inputs, its output and its origin; it appears whole or not at all.

StableHLO is what `jax.export` writes; JAX promises to read what a JAX up to six months older or three weeks
newer wrote. A SavedModel holds the same program, which TensorFlow compiles. Either compiler sums in its own
order: where a value lies on the edge between two greys, a pixel may differ by one.

ONNX is not among them. jax2onnx 0.17, which is kept up, cannot be installed beside this package (it wants
orbax-checkpoint below 0.11.37), knows no `lax.platform_dependent` (the layers' choice of convolution) and no vmap
of Flax's dropout (each image's own statistics); tf2onnx 1.17 does not convert a SavedModel of StableHLO.
"""

import importlib.metadata
import json
import os
import re
import shutil
from collections.abc import Mapping

import jax
import numpy as np
from jax import export

from fpgan_jax.data import tensorflow_setup
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import is_utf8
from fpgan_jax.serving.networks import ArraySpec, ServedNetwork, restore_network

FORMATS = ("stablehlo", "saved_model")
PLATFORMS = ("cpu", "cuda")

STABLEHLO_FILENAME = "model.stablehlo"
DESCRIPTION_FILENAME = "model.json"


def export_model(
    workdir: str,
    out_dir: str,
    file_format: str,
    *,
    network: str | None = None,
    step: int | str | None = None,
    overrides: Mapping[str, bool] | None = None,
) -> dict:
    """Write a trained network as files that need neither this package nor its checkpoint.

    Args:
      workdir: of `launch.train_gan` or `launch.train_classifier`.
      out_dir: the folder to make.
      file_format: one of `FORMATS`.
      network: see `restore_network`.
      step: see `restore_network`.
      overrides: see `restore_network`.

    Returns:
      What `model.json` holds.

    Raises:
      UserError: no such format, out_dir exists, the format's package is missing, or as `restore_network`.
    """
    if file_format not in FORMATS:
        raise UserError(f"--format={file_format}: use one of {', '.join(FORMATS)}")
    out_dir = os.path.abspath(out_dir)
    if os.path.lexists(out_dir):
        raise UserError(f"--out={out_dir}: exists; name a new folder")
    if file_format == "saved_model" and (not is_utf8(out_dir) or re.search(r"[\[\\]", out_dir)):
        raise UserError(
            f"--out={out_dir}: TensorFlow cannot load from a path with [ or \\ or a byte that is no UTF-8; use another"
        )
    served = restore_network(workdir, network, step=step, overrides=overrides)
    program = export_program(served)
    description = describe(served, program, file_format)
    partial = f"{out_dir}.{os.getpid()}.tmp"
    os.makedirs(partial)
    try:
        if file_format == "saved_model":
            _write_saved_model(partial, served)
        else:
            with open(os.path.join(partial, STABLEHLO_FILENAME), "wb") as file:
                file.write(program.serialize())
        with open(os.path.join(partial, DESCRIPTION_FILENAME), "w", encoding="utf-8") as file:
            json.dump(description, file, indent=2)
        os.replace(partial, out_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return description


def export_program(served: ServedNetwork) -> export.Exported:
    """Lower a network for CPU and CUDA, for batches of any size.

    Args:
      served: the network.

    Returns:
      The program, its weights in it.
    """
    (batch,) = export.symbolic_shape("batch")
    arguments = [jax.ShapeDtypeStruct((batch, *spec.shape), np.dtype(spec.dtype)) for spec in served.inputs]
    return export.export(jax.jit(served.function), platforms=PLATFORMS)(*arguments)


def describe(served: ServedNetwork, program: export.Exported, file_format: str) -> dict:
    """Tell what a file holds.

    Args:
      served: the network.
      program: what `export_program` made of it.
      file_format: one of `FORMATS`.

    Returns:
      What `model.json` holds; a shape's "batch" is free.
    """
    return {
        "format": file_format,
        **served.description,
        "inputs": [_describe_array(spec) for spec in served.inputs],
        "output": _describe_array(served.output),
        "platforms": list(program.platforms),
        "calling_convention_version": program.calling_convention_version,
        "jax_version": importlib.metadata.version("jax"),
    }


def _describe_array(spec: ArraySpec) -> dict:
    return {
        "name": spec.name,
        "shape": ["batch", *spec.shape],
        "dtype": spec.dtype,
        "meaning": spec.meaning,
    }


def _write_saved_model(folder: str, served: ServedNetwork) -> None:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise UserError(
            f"--format=saved_model: TensorFlow cannot be imported here ({error}); install tensorflow-cpu"
        ) from error
    tensorflow_setup.keep_off_gpus()
    from jax.experimental import jax2tf

    call = jax2tf.convert(
        jax.jit(served.function),
        polymorphic_shapes=["(batch, ...)"] * len(served.inputs),
        with_gradient=False,
        native_serialization_platforms=PLATFORMS,
    )
    module = tf.Module()
    module.call = tf.function(
        lambda *arguments: {served.output.name: call(*arguments)},
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, *spec.shape), tf.as_dtype(spec.dtype), name=spec.name)
            for spec in served.inputs
        ],
    )
    tf.saved_model.save(module, folder, signatures=module.call)
