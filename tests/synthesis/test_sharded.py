"""Synthesis in shards: what image i is, however the work is divided, and what is on the disk at any moment."""

import importlib.util
import io
import os
import pathlib
import tarfile

import numpy as np
import pytest
from array_record.python import array_record_data_source
from PIL import Image

from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.errors import UserError
from fpgan_jax.serving import inference
from fpgan_jax.synthesis import manifest, sharded, shards
from fpgan_jax.synthesis.sharded import Request
from fpgan_jax.tables.csv_rows import read_rows
from tests.training.checkpoints.test_damage import limit_files


@pytest.fixture(scope="module")
def drawn(gan_workdir, tmp_path_factory):
    """Draw 40 images as shards of 32 and of 8; return (folder, the images)."""
    folder = tmp_path_factory.mktemp("drawn")
    sharded.synthesize_shards(gan_workdir, str(folder), Request(40, 32))
    return folder, read_tars(folder)


def read_tars(folder):
    """Read name -> image of all shards, with a program's own reader of tar files."""
    images = {}
    for path in sorted(pathlib.Path(folder).glob("shard-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                images[member.name] = np.asarray(Image.open(tar.extractfile(member)))
    return images


def assert_same_images(images, expected):
    assert images.keys() == expected.keys()
    for name, image in images.items():
        np.testing.assert_array_equal(image, expected[name])


def list_names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def test_the_images_are_numbered_and_all_different(drawn):
    _, images = drawn
    assert list(images) == [f"{i:010d}.png" for i in range(40)]
    assert len({image.tobytes() for image in images.values()}) == 40
    assert {(image.shape, image.dtype) for image in images.values()} == {((16, 16), np.dtype(np.uint8))}


def test_image_i_is_that_of_its_noise_and_seed(gan_workdir, drawn):
    draw = inference.restore_generator(gan_workdir)
    noise_image = create_noise_image(2**32, 2**31 + 35, 0, shape=(16, 16, 1), distribution="uniform")
    image = draw(noise_image, (0, 2**32 - 1, 35))
    np.testing.assert_array_equal(image[..., 0], drawn[1]["0000000035.png"])


def test_the_manifest_tells_each_image_of_its_shard(drawn):
    folder, _ = drawn
    rows = read_rows(str(folder / "shard-000001.csv"), manifest.ManifestRow, "synthesize")
    assert [(row.file, row.person, row.replica) for row in rows] == [
        (f"{i:010d}.png", -1, i) for i in range(32, 40)
    ]
    assert {(row.noise, row.noise_seed, row.seed, row.dropout) for row in rows} == {("new", 2**32, 0, "on")}


def test_the_seed_changes_every_image(gan_workdir, drawn, tmp_path):
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(16, 16), overrides={"seed": 1})
    assert all((image != drawn[1][name]).any() for name, image in read_tars(tmp_path).items())


@pytest.mark.parametrize("shard_size", [16, 48])
def test_an_image_does_not_depend_on_the_shards_size(gan_workdir, drawn, tmp_path, shard_size):
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, shard_size))
    assert_same_images(read_tars(tmp_path), drawn[1])


def test_array_records_are_the_same_files_in_the_manifests_order(gan_workdir, drawn, tmp_path):
    request = Request(40, 32, "array_record")
    sharded.synthesize_shards(gan_workdir, str(tmp_path), request)
    paths = sorted(map(str, tmp_path.glob("*.array_record")))
    with array_record_data_source.ArrayRecordDataSource(paths) as source:
        images = {f"{i:010d}.png": np.asarray(Image.open(io.BytesIO(source[i]))) for i in range(len(source))}
    assert_same_images(images, drawn[1])


def test_folders_hold_the_same_files_and_a_manifest(gan_workdir, drawn, tmp_path):
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, 32, "png"))
    rows = [
        row for name in ("shard-000000", "shard-000001") for row in manifest.read_manifest(tmp_path / name)
    ]
    folders = [tmp_path / f"shard-{row.replica // 32:06d}" for row in rows]
    images = {
        row.file: np.asarray(Image.open(folder / row.file)) for row, folder in zip(rows, folders, strict=True)
    }
    assert_same_images(images, drawn[1])


def test_fewer_images_of_a_folder_are_there_already(gan_workdir, tmp_path):
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, 16))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(20, 16))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_fewer_images_of_an_interrupted_folder_are_completed_as_they_were_to_be(gan_workdir, drawn, tmp_path):
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, 16))
    for index in (1, 2):
        shards.remove_shard(str(tmp_path), index, "tar")
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(20, 16))
    images = read_tars(tmp_path)
    assert_same_images(images, {name: drawn[1][name] for name in list(drawn[1])[:32]})


def test_what_a_folders_images_differ_in_is_named(gan_workdir, tmp_path):
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(16, 16))
    with pytest.raises(UserError, match=r"made otherwise \(shard_size was 16, is 32\)"):
        sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(32, 32))


def test_shards_that_are_there_are_left_and_missing_ones_made(gan_workdir, drawn, tmp_path):
    request = Request(40, 16)
    sharded.synthesize_shards(gan_workdir, str(tmp_path), request)
    before = (tmp_path / "shard-000000.tar").stat().st_mtime_ns
    expected = (tmp_path / "shard-000001.tar").read_bytes()
    # As a kill in the middle of a shard leaves it.
    (tmp_path / "shard-000001.tar").rename(tmp_path / "shard-000001.tar.tmp")
    sharded.synthesize_shards(gan_workdir, str(tmp_path), request)
    assert (tmp_path / "shard-000000.tar").stat().st_mtime_ns == before
    assert (tmp_path / "shard-000001.tar").read_bytes() == expected
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("file_format", shards.FORMATS)
def test_a_finished_folder_can_be_given_more_images(gan_workdir, tmp_path, file_format):
    for num_images in (24, 40):
        request = Request(num_images, 16, file_format)
        sharded.synthesize_shards(gan_workdir, str(tmp_path / "grown"), request)
    sharded.synthesize_shards(gan_workdir, str(tmp_path / "whole"), Request(40, 16, file_format))
    grown, whole = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "grown", tmp_path / "whole")
    )
    assert len(whole) > 5 and grown == whole


@pytest.mark.parametrize(
    ("request_of", "overrides"),
    [
        (Request(40, 16), {}),
        (Request(40, 32, "png"), {}),
        (Request(40, 32), {"seed": 1}),
    ],
    ids=["shards", "format", "seed"],
)
def test_a_folder_of_images_made_otherwise_is_left_alone(gan_workdir, drawn, request_of, overrides):
    folder, images = drawn
    with pytest.raises(UserError, match="holds images made otherwise"):
        sharded.synthesize_shards(gan_workdir, str(folder), request_of, overrides=overrides)
    assert_same_images(read_tars(folder), images)


@pytest.mark.parametrize(
    ("request_of", "overrides", "text"),
    [
        (Request(0), {}, "--num_images=0: must be from 1 to 2147483648"),
        (Request(2**31 + 1), {}, "--num_images=2147483649: must be"),
        (Request(40, 24), {}, "--shard_size=24: must be a multiple of 16"),
        (Request(40, 16, "zip"), {}, "--format=zip: use one of tar, array_record, png"),
        (Request(40), {"noise": "training"}, "--noise=training: there is one for each training pair"),
        (Request(40), {"batch_size": 8}, "--batch_size: does nothing beside --num_images"),
        (Request(40), {"seed": -1}, r"config\.synthesis\.seed=-1: must be at least 0"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(gan_workdir, tmp_path, request_of, overrides, text):
    with pytest.raises(UserError, match=text):
        sharded.synthesize_shards(gan_workdir, str(tmp_path / "out"), request_of, overrides=overrides)
    assert list(tmp_path.iterdir()) == []


def test_array_records_want_a_path_in_utf8(gan_workdir, tmp_path):
    out_dir = str(tmp_path / "a\udcff")
    with pytest.raises(UserError, match="array_record needs a path in UTF-8"):
        sharded.synthesize_shards(gan_workdir, out_dir, Request(40, 16, "array_record"))
    assert list(tmp_path.iterdir()) == []


def test_a_format_whose_package_is_not_installed_is_refused(gan_workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--format=array_record: the package array_record is not installed"):
        sharded.synthesize_shards(gan_workdir, str(tmp_path / "out"), Request(40, 16, "array_record"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file_format", shards.FORMATS)
def test_a_full_disk_costs_the_shard_in_progress(tmp_path, file_format):
    def write(index, size):
        with shards.write_shard(
            str(tmp_path), index, file_format, lambda path: pathlib.Path(path).write_text("rows")
        ) as add:
            for i in range(4):
                add(f"{i}.png", os.urandom(size))

    write(0, 10_000)
    before = list_names(tmp_path)
    with limit_files(200_000), pytest.raises(OSError, match="File too large"):
        write(1, 400_000)
    assert list_names(tmp_path) == before
    write(1, 10_000)
    assert len(list_names(tmp_path)) == 2 * len(before)


def test_a_full_disk_ends_the_synthesis_which_goes_on_later(gan_workdir, drawn, tmp_path, monkeypatch):
    add_file, added = tarfile.TarFile.addfile, []

    def fail_in_the_second_shard(tar, member, content):
        added.append(member.name)
        if len(added) == 20:
            raise OSError(28, "No space left on device")
        add_file(tar, member, content)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(tarfile.TarFile, "addfile", fail_in_the_second_shard)
        sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, 16))
    assert list_names(tmp_path) == ["shard-000000.csv", "shard-000000.tar", "synthesis.json"]
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, 16))
    assert_same_images(read_tars(tmp_path), drawn[1])


def test_a_mistake_of_the_drawing_ends_it(gan_workdir, tmp_path, monkeypatch):
    def fail(self, *_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sharded.Drawer, "draw", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(40, 16))
    assert list_names(tmp_path) == ["synthesis.json"]


def test_work_ahead_of_the_writing_is_bounded(gan_workdir, tmp_path, monkeypatch):
    begun, taken, most = [], [], []
    encode, make = sharded.encode_pngs, sharded.Drawer.create_inputs
    monkeypatch.setattr(
        sharded.Drawer, "create_inputs", lambda self, rows: begun.append(0) or make(self, rows)
    )

    class SlowShard:
        def __enter__(self):
            return lambda name, content: (taken.append(0), most.append(16 * len(begun) - len(taken)))

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(shards, "write_shard", lambda *_: SlowShard())
    monkeypatch.setattr(sharded, "encode_pngs", lambda images: [file[:1] for file in encode(images)])
    sharded.synthesize_shards(gan_workdir, str(tmp_path), Request(1600, 1600))
    num_threads = sharded.count_cores() + 2
    assert len(taken) == 1600 and max(most) <= 16 * 2 * num_threads
