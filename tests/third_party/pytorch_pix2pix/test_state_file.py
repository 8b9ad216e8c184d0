"""Files of `torch.save`, read and written without PyTorch; nothing in them is executed."""

import collections
import io
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from fpgan_jax.errors import UserError
from third_party.pytorch_pix2pix import state_file

ARRAYS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b.num_batches_tracked": np.array(7, np.int64),
    "c.half": np.array([1.5, -2.0], np.float16),
    "d.bfloat16": np.array([1.5, -2.0], ml_dtypes.bfloat16),
    "e.empty": np.zeros((0, 3), np.float32),
}


def assert_same(arrays, expected):
    assert list(arrays) == list(expected)
    for key, value in expected.items():
        assert (arrays[key].dtype, arrays[key].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(arrays[key], value)


@pytest.fixture(name="path")
def _path(tmp_path):
    path = tmp_path / "net.pth"
    state_file.write_state_file(path, ARRAYS)
    return path


def test_what_was_written_is_read(path):
    assert_same(state_file.read_state_file(path), ARRAYS)
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "_fsdp_wrapped_module.module."],
)
def test_what_wrappers_put_before_all_keys_is_taken_off(tmp_path, prefix):
    wrapped = {f"{prefix}{key}": value for key, value in ARRAYS.items()}
    state_file.write_state_file(tmp_path / "net.pth", wrapped)
    assert_same(state_file.read_state_file(tmp_path / "net.pth"), ARRAYS)


def test_what_only_some_keys_begin_with_stays(tmp_path):
    arrays = {f"module.{key}": value for key, value in ARRAYS.items()} | {"other": np.ones(1, np.float32)}
    state_file.write_state_file(tmp_path / "net.pth", arrays)
    assert_same(state_file.read_state_file(tmp_path / "net.pth"), arrays)


def write_zip(path, pickled, storages=(), *, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", pickled)
        for index, storage in enumerate(storages):
            archive.writestr(f"net/data/{index}", storage)


class Execute:
    def __reduce__(self):
        return open, ("executed", "w")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Execute(), "io.open"),
        ({"a": Execute()}, "io.open"),
        ([1, 2], "list"),
        ({"epoch": 3}, "'epoch', which is no tensor"),
        ({}, "nothing"),
    ],
    ids=["code", "code within", "list", "number", "empty"],
)
def test_what_is_no_tensor_is_refused_and_not_executed(tmp_path, monkeypatch, value, text):
    monkeypatch.chdir(tmp_path)
    write_zip("net.pth", pickle.dumps(value, protocol=2))
    with pytest.raises(UserError, match=text) as caught:
        state_file.read_state_file("net.pth")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_named(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"net\.pth: not a file of torch\.save, or damaged"):
        state_file.read_state_file(path)


def test_a_flipped_bit_is_seen(path):
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["a.weight"].tobytes()) + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        state_file.read_state_file(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.pth: no such file"):
        state_file.read_state_file(tmp_path / "none.pth")


def rebuild(shape, strides, *, count, offset=0):
    """Pickle one tensor of a float32 storage, with PyTorch's names."""

    def text(value):
        return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()

    def number(value):
        return pickle.LONG1 + bytes([9]) + value.to_bytes(9, "little", signed=True)

    def group(*items):
        return pickle.MARK + b"".join(items) + pickle.TUPLE

    storage = group(text("storage"), b"ctorch\nFloatStorage\n", text("0"), text("cpu"), number(count))
    tensor = group(
        storage + pickle.BINPERSID,
        number(offset),
        group(*map(number, shape)),
        group(*map(number, strides)),
        pickle.NEWFALSE,
        b"ccollections\nOrderedDict\n)R",
    )
    items = text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + pickle.REDUCE
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


def test_a_view_of_a_storage_is_read_by_its_strides(tmp_path):
    storage = np.arange(10, dtype=np.float32)
    write_zip(tmp_path / "net.pth", rebuild((3, 2), (1, 3), count=10, offset=2), [storage.tobytes()])
    arrays = state_file.read_state_file(tmp_path / "net.pth")
    np.testing.assert_array_equal(arrays["a"], [[2, 5], [3, 6], [4, 7]])


@pytest.mark.parametrize(
    ("shape", "strides", "count", "offset"),
    [
        ((11,), (1,), 10, 0),
        ((5,), (1,), 10, 6),
        ((2,), (-1,), 10, 5),
        ((2**40,), (0,), 10, 0),
        ((2, 2), (1,), 10, 0),
        ((10,), (1,), 11, 0),
        ((10,), (1,), 2**60, 0),
    ],
    ids=["long", "offset", "backward", "huge", "strides", "storage", "huge storage"],
)
def test_a_tensor_that_its_storage_does_not_hold_is_refused(tmp_path, shape, strides, count, offset):
    pickled = rebuild(shape, strides, count=count, offset=offset)
    write_zip(tmp_path / "net.pth", pickled, [np.zeros(10, np.float32).tobytes()])
    with pytest.raises(UserError, match="damaged"):
        state_file.read_state_file(tmp_path / "net.pth")


def test_a_compressed_file_is_not_unpacked(tmp_path):
    write_zip(
        tmp_path / "net.pth", rebuild((1,), (1,), count=1), [bytes(4)], compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(UserError, match="damaged"):
        state_file.read_state_file(tmp_path / "net.pth")


def test_the_format_before_pytorch_1_6_is_read(tmp_path):
    """Its parts, as PyTorch 0.4 wrote them one after another."""
    view_metadata = pickle.NONE + pickle.TUPLE + pickle.BINPERSID
    content = rebuild((2, 2), (2, 1), count=4).replace(pickle.TUPLE + pickle.BINPERSID, view_metadata, 1)
    file = io.BytesIO()
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    for part in (0x1950A86A20F9469CFC6C, 1001, machine):
        pickle.dump(part, file, protocol=2)
    file.write(content)
    pickle.dump(["0"], file, protocol=2)
    file.write(struct.pack("<q", 4) + np.arange(4, dtype=np.float32).tobytes())
    (tmp_path / "net.pth").write_bytes(file.getvalue())
    np.testing.assert_array_equal(state_file.read_state_file(tmp_path / "net.pth")["a"], [[0, 1], [2, 3]])


@pytest.mark.compare
def test_pytorch_reads_what_we_write(path):
    import torch

    state = torch.load(path, weights_only=True)
    assert isinstance(state, collections.OrderedDict)
    assert {key: (value.dtype, tuple(value.shape)) for key, value in state.items()} == {
        "a.weight": (torch.float32, (2, 3, 4)),
        "b.num_batches_tracked": (torch.int64, ()),
        "c.half": (torch.float16, (2,)),
        "d.bfloat16": (torch.bfloat16, (2,)),
        "e.empty": (torch.float32, (0, 3)),
    }
    np.testing.assert_array_equal(state["a.weight"].numpy(), ARRAYS["a.weight"])
    np.testing.assert_array_equal(state["d.bfloat16"].float().numpy(), [1.5, -2.0])


@pytest.mark.compare
@pytest.mark.parametrize("is_zip", [True, False])
def test_we_read_what_pytorch_writes(tmp_path, is_zip):
    import torch

    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 4), torch.nn.BatchNorm2d(3))
    state = network.state_dict()
    state["transposed"] = torch.arange(6.0).reshape(2, 3).T  # not contiguous
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=is_zip)
    arrays = state_file.read_state_file(tmp_path / "net.pth")
    assert_same(arrays, {key: value.detach().numpy() for key, value in state.items()})
