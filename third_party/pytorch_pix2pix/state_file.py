"""Owns reading and writing of files that `torch.save` makes of a state dict, without PyTorch.

Does not know the meaning of the tensors (`names.py`). Nothing in a file is executed: its pickle may only name the few
constructors of a dict of tensors.

Source: the format of torch.save in PyTorch 1.6 and later (a zip of data.pkl and raw storages), and before (several
pickles, then raw storages); differs in: only dicts of dense tensors.
"""

import collections
import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole

_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_STORAGE_NAMES = {dtype: name for name, dtype in _STORAGES.items()}
# Names that wrappers give to the network inside: DataParallel and DistributedDataParallel, torch.compile, FSDP,
# Lightning and activation checkpointing. Wrappers can be nested.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_forward_module", "_checkpoint_wrapped_module")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Errors of reading a file that is not a state dict, or is damaged.
_DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, struct.error, OverflowError, MemoryError),
    *(KeyError, ValueError, TypeError, AttributeError, IndexError, NotImplementedError, RecursionError),
)


class _Refused(Exception):
    """The file contains something that a dict of tensors does not need."""


class _Storage:
    """An array of numbers. In the file its bytes may come after the tensors that are views of it."""

    def __init__(self, dtype: np.dtype, count: int):
        self.dtype, self.count = dtype, count
        self.values = np.empty(0, dtype)

    def fill(self, raw: bytes) -> None:
        if len(raw) != self.count * self.dtype.itemsize:
            raise ValueError("a storage is cut short")
        self.values = np.frombuffer(raw, self.dtype)


class _Tensor:
    """A view of a storage: offset, shape and strides in elements."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)

    def to_array(self) -> np.ndarray:
        values = self.storage.values
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("a tensor has no valid shape")
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))
        count = math.prod(self.shape)
        if count and max(last + 1, count) > len(values):
            raise ValueError("a tensor is larger than its storage")
        byte_strides = [stride * values.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, byte_strides)
        return np.array(view)


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *rest: Any
) -> _Tensor:
    del rest  # requires_grad and hooks
    return _Tensor(storage, offset, shape, strides)


_CONSTRUCTORS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *rest: tensor,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
}


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles dicts of tensors; any other constructor is refused before it is looked up."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _CONSTRUCTORS[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, *rest = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or any(rest):
            raise ValueError("a storage of an unknown kind")
        return self.storages.setdefault(key, _Storage(dtype, count))


def read_state_file(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a `.pth` file.

    Args:
      path: a file that `torch.save(network.state_dict(), path)` wrote, with PyTorch 0.4 or later.

    Returns:
      Key -> array, in the order and with the dtypes of the file. Prefixes of wrappers in all keys, such as
      "module._orig_mod.", are removed.

    Raises:
      UserError: the file is missing or truncated, or holds anything but a dict of tensors.
    """
    try:
        with open(path, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content = _read_zip(file) if is_zip else _read_legacy(file)
        if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
            raise _Refused(type(content).__name__)
        strange = [key for key, value in content.items() if not isinstance(value, _Tensor)]
        if strange or not content:
            raise _Refused(f"{strange[0]!r}, which is no tensor" if strange else "nothing")
        arrays = {key: tensor.to_array() for key, tensor in content.items()}
    except _Refused as error:
        raise UserError(
            f"{path}: holds {error}, and only dicts of tensors are read; save network.state_dict() with torch.save"
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except _DAMAGE as error:
        raise UserError(f"{path}: not a file of torch.save, or damaged; copy or download it again") from error
    while (wrapper := next(iter(arrays)).partition(".")[0]) in _WRAPPERS and all(
        key.startswith(f"{wrapper}.") for key in arrays
    ):
        arrays = {key.removeprefix(f"{wrapper}."): array for key, array in arrays.items()}
    return arrays


def _read_zip(file: BinaryIO) -> Any:
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            # torch.save never compresses, and compressed data could be of any size.
            raise ValueError("compressed")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise _Refused("numbers of a big-endian machine")
        unpickler = _TensorUnpickler(io.BytesIO(archive.read(pickles[0])))
        content = unpickler.load()
        for key, storage in unpickler.storages.items():
            storage.fill(archive.read(f"{folder}data/{key}"))
    return content


def _read_legacy(file: BinaryIO) -> Any:
    if _TensorUnpickler(file).load() != _LEGACY_MAGIC:
        raise ValueError("another kind of file")
    protocol, machine = _TensorUnpickler(file).load(), _TensorUnpickler(file).load()
    if protocol != 1001 or not machine["little_endian"]:
        raise ValueError("another version")
    unpickler = _TensorUnpickler(file)
    content = unpickler.load()
    for key in _TensorUnpickler(file).load():
        storage = unpickler.storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise ValueError("a storage of another size")
        storage.fill(file.read(count * storage.dtype.itemsize))
    return content


def write_state_file(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write tensors as `torch.save(state_dict, path)` does; `torch.load` reads the file, also with `weights_only`.

    Args:
      path: the file; replaced as a whole.
      arrays: key -> array, of a dtype that PyTorch has.

    Raises:
      UserError: the file cannot be written.
    """
    folder = os.path.splitext(os.path.basename(os.fspath(path)))[0]
    try:
        with write_whole(path, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(f"{folder}/data.pkl", _pickle_state(arrays))
            archive.writestr(f"{folder}/byteorder", "little")
            for index, array in enumerate(arrays.values()):
                archive.writestr(f"{folder}/data/{index}", np.ascontiguousarray(array).tobytes())
            archive.writestr(f"{folder}/version", "3\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def _pickle_state(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Pickle an OrderedDict of tensors opcode by opcode, since PyTorch's classes are not available."""
    ordered_dict = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    items = b""
    for index, (key, array) in enumerate(arrays.items()):
        storage = _tuple(
            _text("storage"),
            _global("torch", _STORAGE_NAMES[array.dtype]),
            _text(str(index)),
            _text("cpu"),
            _integer(array.size),
        )
        strides = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
        tensor = _tuple(
            storage + pickle.BINPERSID,
            _integer(0),
            _tuple(*map(_integer, array.shape)),
            _tuple(*map(_integer, strides)),
            pickle.NEWFALSE,
            ordered_dict,
        )
        items += _text(key) + _global("torch._utils", "_rebuild_tensor_v2") + tensor + pickle.REDUCE
    return pickle.PROTO + b"\x02" + ordered_dict + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(number: int) -> bytes:
    return pickle.BININT + struct.pack("<i", number)


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE
