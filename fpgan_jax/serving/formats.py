"""Owns the file formats of exported networks, which other programs read without this package."""

import dataclasses
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

# Not ONNX: jax2onnx 0.17 cannot be installed beside this package (it needs orbax-checkpoint below 0.11.37) and does not
# support `lax.platform_dependent` (the choice of convolution in the layers) or vmap of Flax's dropout (statistics per
# image). tf2onnx 1.17 does not convert a SavedModel of StableHLO.
FORMATS = ("stablehlo", "saved_model")
PLATFORMS = ("cpu", "cuda")


def export_model(
    workdir: str,
    out_dir: str,
    file_format: str,
    *,
    network: str | None = None,
    step: int | str | None = None,
    overrides: Mapping[str, bool] | None = None,
) -> dict:
    """Export a trained network as files that need nothing else, and return the content of `model.json`.

    Args:
      workdir: workdir of `launch.train_gan` or `launch.train_classifier`.
      out_dir: folder to create; it appears complete or not at all.
      file_format: one of `FORMATS`.
      network: for this, `step` and `overrides` see `restore_network`.

    Raises:
      UserError: the format is unknown, out_dir exists, TensorFlow is missing, or an error of `restore_network`.
    """
    if file_format not in FORMATS:
        raise UserError(f"--format={file_format}: use one of {', '.join(FORMATS)}")
    out_dir = os.path.abspath(out_dir)
    if os.path.lexists(out_dir):
        raise UserError(f"--out={out_dir}: exists; name a new folder")
    if file_format == "saved_model" and (not is_utf8(out_dir) or re.search(r"[\[\\]", out_dir)):
        raise UserError(
            f"--out={out_dir}: TensorFlow cannot load from a path with [ or \\ or a byte that is not UTF-8; use another"
        )
    served = restore_network(workdir, network, step=step, overrides=overrides)
    program = export_program(served)
    description = _describe(served, program, file_format)
    partial = f"{out_dir}.{os.getpid()}.tmp"
    os.makedirs(partial)
    try:
        if file_format == "saved_model":
            _write_saved_model(partial, served)
        else:
            with open(os.path.join(partial, "model.stablehlo"), "wb") as file:
                file.write(program.serialize())
        with open(os.path.join(partial, "model.json"), "w", encoding="utf-8") as file:
            json.dump(description, file, indent=2)
        os.replace(partial, out_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return description


def export_program(served: ServedNetwork) -> export.Exported:
    """Lower a network with its weights for CPU and CUDA, for any batch size."""
    (batch,) = export.symbolic_shape("batch")
    arguments = [jax.ShapeDtypeStruct((batch, *spec.shape), np.dtype(spec.dtype)) for spec in served.inputs]
    return export.export(jax.jit(served.function), platforms=PLATFORMS)(*arguments)


def _describe(served: ServedNetwork, program: export.Exported, file_format: str) -> dict:
    """Create the content of `model.json`; "batch" in a shape means any size."""
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
    return dataclasses.asdict(spec) | {"shape": ["batch", *spec.shape]}


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
    signature = [
        tf.TensorSpec((None, *spec.shape), tf.as_dtype(spec.dtype), name=spec.name) for spec in served.inputs
    ]
    module = tf.Module()
    module.call = tf.function(
        lambda *arguments: {served.output.name: call(*arguments)},
        autograph=False,
        input_signature=signature,
    )
    tf.saved_model.save(module, folder, signatures=module.call)
