"""Owns the map between the tensors of the PyTorch pix2pix and ours, and their layouts.

Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, the nesting of `UnetSkipConnectionBlock` and the
order of layers in `NLayerDiscriminator` and `PixelDiscriminator`; differs in: nothing.
"""

import dataclasses

import numpy as np

_NORM_LEAVES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tensor on both sides.

    Attributes:
      key: key in the state dict.
      path: path in our variables: collection, layer, leaf.
    """

    key: str
    path: tuple[str, str, str]

    @property
    def is_kernel(self) -> bool:
        """Whether it is the kernel of a convolution: there [out, in, h, w], or [in, out, h, w] if transposed."""
        return self.path[2] == "kernel"


def to_ours(entry: Entry, tensor: np.ndarray) -> np.ndarray:
    """Convert a tensor from their layout to ours.

    Returns:
      float32, contiguous; kernels are [h, w, in, out], those of transposed convolutions [h, w, out, in].
    """
    tensor = tensor.transpose(2, 3, 1, 0) if entry.is_kernel else tensor
    return np.ascontiguousarray(tensor, np.float32)


def to_theirs(entry: Entry, array: np.ndarray) -> np.ndarray:
    """Convert an array from our layout to theirs; the inverse of `to_ours`."""
    array = array.transpose(3, 2, 0, 1) if entry.is_kernel else array
    return np.ascontiguousarray(array, np.float32)


def list_generator_entries(num_levels: int, norm: str) -> list[Entry]:
    """List the tensors of `UnetGenerator` in the order of a state dict; level 0 is the outermost.

    unet_128 has 7 levels and unet_256 8. The norm is "batch" or "instance".
    """
    return _list_level(0, "model.model", num_levels, norm)


def _list_level(level: int, prefix: str, num_levels: int, norm: str) -> list[Entry]:
    """List a `UnetSkipConnectionBlock`: its downsampling layers, the inner block, its upsampling layers."""
    is_outermost, is_innermost = level == 0, level == num_levels - 1
    # Indices of the layers in its Sequential. Activations take one each, and the innermost has no inner block.
    down = 0 if is_outermost else 1
    block = down + (1 if is_outermost else 2)
    up = 3 if is_outermost or is_innermost else block + 2
    entries = _list_conv(f"{prefix}.{down}", f"down{level}_conv", has_bias=norm == "instance")
    if not is_outermost and not is_innermost:
        entries += _list_norm(f"{prefix}.{down + 1}", f"down{level}_norm", norm)
    if not is_innermost:
        entries += _list_level(level + 1, f"{prefix}.{block}.model", num_levels, norm)
    entries += _list_conv(f"{prefix}.{up}", f"up{level}_conv", has_bias=is_outermost or norm == "instance")
    if not is_outermost:
        entries += _list_norm(f"{prefix}.{up + 1}", f"up{level}_norm", norm)
    return entries


def list_discriminator_entries(num_strided: int, norm: str) -> list[Entry]:
    """List the tensors of `NLayerDiscriminator` or `PixelDiscriminator` in the order of a state dict.

    The number of strided convolutions is `n_layers`, 3 for "basic", or 0 for "pixel". The norm is "batch" or
    "instance".
    """
    has_bias = norm == "instance"
    if num_strided == 0:
        return [
            *_list_conv("net.0", "conv0", has_bias=True),
            *_list_conv("net.2", "conv1", has_bias=has_bias),
            *_list_norm("net.3", "norm1", norm),
            *_list_conv("net.5", "conv2", has_bias=has_bias),
        ]
    entries = _list_conv("model.0", "conv0", has_bias=True)
    for i in range(1, num_strided + 1):
        # Three layers each: convolution, norm and activation. The first convolution has no norm.
        entries += _list_conv(f"model.{3 * i - 1}", f"conv{i}", has_bias=has_bias)
        entries += _list_norm(f"model.{3 * i}", f"norm{i}", norm)
    return [*entries, *_list_conv(f"model.{3 * num_strided + 2}", f"conv{num_strided + 1}", has_bias=True)]


def _list_conv(key: str, layer: str, *, has_bias: bool) -> list[Entry]:
    entries = [Entry(f"{key}.weight", ("params", layer, "kernel"))]
    return [*entries, Entry(f"{key}.bias", ("params", layer, "bias"))] if has_bias else entries


def _list_norm(key: str, layer: str, norm: str) -> list[Entry]:
    if norm == "instance":
        return []
    return [Entry(f"{key}.{name}", (leaf[0], layer, leaf[1])) for name, leaf in _NORM_LEAVES.items()]
