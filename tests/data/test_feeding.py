"""Tests of the batches that a training loop asks for."""

import sys
import threading
import time

import numpy as np
import pytest

from fpgan_jax.data import feeding, pair_writing, print_loading, prints
from fpgan_jax.errors import UserError
from tests.data.conftest import assert_same_batches


@pytest.mark.parametrize(
    ("create", "create_from_prints"),
    [
        (feeding.create_gan_source, feeding.create_gan_source_from_prints),
        (feeding.create_classifier_source, feeding.create_classifier_source_from_prints),
    ],
    ids=["gan", "classifier"],
)
@pytest.mark.parametrize("condition", ["noise", "ridges"])
def test_batches_from_prints_are_those_of_tensorflow(config, create, create_from_prints, condition):
    config.data.condition = condition
    config.data.image_size = 32 if condition == "noise" else 88  # ridges need some pixels
    processes = {"process_index": 1, "process_count": 2}
    expected = list(create(config).create_batches(2, 3, **processes))
    source = create_from_prints(config, print_loading.load_prints(config))
    assert_same_batches(source.create_batches(2, 3, **processes), expected)


@pytest.mark.parametrize(
    ("kind", "field"),
    [("gan", r"config\.global_batch_size"), ("classifier", r"config\.classifier\.global_batch_size")],
)
def test_a_batch_that_cannot_be_divided_is_refused(config, kind, field):
    prints = print_loading.load_prints(config)
    for source in (
        getattr(feeding, f"create_{kind}_source_from_prints")(config, prints),
        getattr(feeding, f"create_{kind}_source")(config),
    ):
        with pytest.raises(UserError, match=rf"{field}: 4 is not a positive multiple of 3"):
            source.create_batches(0, 1, process_count=3)


def test_a_source_tells_its_pairs_and_persons(config):
    assert feeding.create_gan_source(config).pair_ids == [(p, r) for p in (2, 3, 10) for r in range(4)]
    assert feeding.create_classifier_source(config).persons == (2, 3, 10)


def test_samples_are_of_different_persons(config):
    samples = feeding.create_gan_source(config).load_samples(2)
    assert (samples["person"].tolist(), samples["replica"].tolist()) == ([2, 3], [0, 0])


def test_samples_of_a_small_set_are_all_there_is(config):
    assert len(feeding.create_gan_source(config).load_samples(9)["person"]) == 3


def test_a_pair_that_vanishes_in_training_is_named(config, tmp_path):
    paths = pair_writing.write_pairs(print_loading.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    batches = feeding.create_gan_source(config).create_batches(0, 3)
    paths[5].unlink()
    with pytest.raises(UserError, match=rf"{paths[5].name}: cannot be read as an image"):
        list(batches)


def gather(source, *args, **processes):
    """Gather the batches of places, as a device does."""
    examples = source.load_examples()
    return [
        {name: leaf[indices] for name, leaf in examples.items()}
        for indices in source.create_index_batches(*args, **processes)
    ]


@pytest.mark.parametrize(
    "kind", ["gan", "classifier", "pairs on disk", "gan from an archive", "ridges from one"]
)
def test_batches_of_places_are_those_of_the_host(config, archive, tmp_path, kind):
    if kind == "ridges from one":
        config.data.condition, config.data.image_size, archive = "ridges", 88, str(tmp_path / "prints.npz")
        print_loading.write_archive(config, archive)
    config.global_batch_size = config.classifier.global_batch_size = 6  # batches straddle the epochs
    create = feeding.create_classifier_source if kind == "classifier" else feeding.create_gan_source
    if kind == "pairs on disk":
        pair_writing.write_pairs(print_loading.create_pairs(config), tmp_path)
        config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    processes = {"process_index": 1, "process_count": 2}
    expected = list(create(config).create_batches(2, 5, **processes))
    if kind in ("gan from an archive", "ridges from one"):
        config.data.source, config.data.npz_file = "npz", archive
    config.data.feeding = "device"
    batches = gather(create(config), 2, 5, **processes)
    assert_same_batches(batches, expected)
    for batch, other in zip(batches, expected, strict=True):
        assert {name: leaf.dtype for name, leaf in batch.items()} == {
            name: leaf.dtype for name, leaf in other.items()
        }


@pytest.mark.parametrize("create", [feeding.create_gan_source, feeding.create_classifier_source])
def test_an_archive_is_batched_without_tensorflow_as_with_it(config, archive, monkeypatch, create):
    num_steps = 2 * feeding._NUM_AHEAD
    expected = list(create(config).create_batches(2, num_steps))
    config.data.source, config.data.npz_file = "npz", archive
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delattr("fpgan_jax.data.input_pipeline", raising=False)
    monkeypatch.delitem(sys.modules, "fpgan_jax.data.input_pipeline", raising=False)
    batches = list(create(config).create_batches(2, num_steps))
    assert len(batches) == num_steps
    assert_same_batches(batches, expected)


def test_batches_are_made_ahead_in_order_and_not_too_many():
    started = []

    def create_batch(step):
        started.append(step)
        time.sleep(0.01 * (step % 2))  # every other one is overtaken
        return {"step": step}

    batches = feeding._make_ahead(create_batch, range(5, 50))
    assert not started
    for step in range(5, 30):
        assert next(batches) == {"step": step}
        assert len(started) <= step - 4 + feeding._NUM_AHEAD
    assert [batch["step"] for batch in batches] == list(range(30, 50))


def test_a_training_that_stops_early_leaves_no_batch_to_be_made(monkeypatch):
    monkeypatch.setattr(feeding, "count_cores", lambda: 2)
    started = []

    def create_batch(step):
        started.append(step)
        time.sleep(0.02)
        return {"step": step}

    batches = feeding._make_ahead(create_batch, range(100))
    next(batches)
    batches.close()
    for thread in threading.enumerate():
        if thread.name.startswith("batches"):
            thread.join(10)
    # The one that was asked for, and those in both threads.
    assert len(started) <= 5 < feeding._NUM_AHEAD


def test_an_error_in_a_thread_is_raised_as_it_is_and_ends_the_threads():
    def create_batch(step):
        if step == 3:
            raise UserError("no such file")
        return {"step": step}

    batches = feeding._make_ahead(create_batch, range(100))
    assert [next(batches)["step"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match="^no such file$"):
        next(batches)
    for thread in threading.enumerate():
        if thread.name.startswith("batches"):
            thread.join(10)
            assert not thread.is_alive()


def test_places_are_of_the_type_that_devices_index_with(config):
    (indices,) = feeding.create_gan_source(config).create_index_batches(0, 1)
    assert (indices.dtype, indices.shape) == (np.int32, (4,))


@pytest.mark.parametrize(
    ("create", "field", "num_bytes"),
    [
        (feeding.create_gan_source, r"config\.global_batch_size", 12 * 2 * 32 * 32),
        (feeding.create_classifier_source, r"config\.classifier\.global_batch_size", 3 * 32 * 32),
    ],
)
def test_a_set_on_the_devices_is_refused_by_its_batch_and_its_size(
    config, create, field, num_bytes, monkeypatch
):
    source = create(config)
    with pytest.raises(UserError, match=rf"{field}: 4 is not a positive multiple of 3"):
        source.create_index_batches(0, 1, process_count=3)
    monkeypatch.setattr(feeding, "MAX_DEVICE_BYTES", num_bytes)
    source.load_examples()
    monkeypatch.setattr(feeding, "MAX_DEVICE_BYTES", num_bytes - 1)
    with pytest.raises(
        UserError, match=r"config\.data\.feeding='device': the training set takes .*; use \"tfdata\""
    ):
        source.load_examples()


def create_mixed_source(config, *, batch_size=5):
    """Create a source of two persons: a real print each, of gray 1 and 2, and four synthetic ones, of 11 and 12."""

    def create_prints(kind, grays, persons):
        images = np.broadcast_to(np.array(grays, np.uint8)[:, None, None, None], (len(grays), 4, 4, 1))
        filenames = tuple(f"{kind} {number}" for number in range(len(grays)))
        return prints.PrintSet(images, np.array(persons, np.int32), filenames)

    config.classifier.global_batch_size = batch_size
    real = create_prints("real", [1, 2], [4, 7])
    synthetic = create_prints("synthetic", [11, 12, 12, 11, 11, 12, 11, 12], [4, 7, 7, 4, 4, 7, 4, 7])
    return feeding.MixedClassifierSource(real, synthetic, config)


def test_half_of_every_mixed_batch_is_synthetic_and_the_odd_one_real(config):
    grays = [batch["image"][:, 0, 0, 0] for batch in create_mixed_source(config).create_batches(0, 8)]
    assert (
        np.isin(np.stack(grays)[:, 0::2], (1, 2)).all() and np.isin(np.stack(grays)[:, 1::2], (11, 12)).all()
    )


def test_a_mixed_batch_labels_both_kinds_by_person(config):
    for batch in create_mixed_source(config).create_batches(0, 8):
        np.testing.assert_array_equal(batch["label"], (batch["image"][:, 0, 0, 0] - 1) % 10)


def test_each_kind_of_a_mixed_source_has_epochs_of_its_own(config):
    places = np.stack(list(create_mixed_source(config).create_index_batches(0, 8)))
    # Eight batches hold 24 real places, each of two prints 12 times, and 16 synthetic ones, each of eight twice.
    np.testing.assert_array_equal(np.bincount(places[:, 0::2].ravel()), [12, 12])
    np.testing.assert_array_equal(np.bincount(places[:, 1::2].ravel()), [0, 0, *[2] * 8])


def test_a_mixed_batch_depends_on_its_step_only(config):
    source = create_mixed_source(config)
    assert_same_batches(source.create_batches(3, 2), list(source.create_batches(0, 5))[3:])


def test_mixed_places_on_the_devices_give_the_same_batches(config):
    source = create_mixed_source(config)
    examples = source.load_examples()
    gathered = [
        {name: values[places] for name, values in examples.items()}
        for places in source.create_index_batches(1, 3)
    ]
    assert_same_batches(source.create_batches(1, 3), gathered)


def test_the_names_of_a_mixed_batch_are_those_of_its_prints(config):
    source = create_mixed_source(config)
    (places,) = source.create_index_batches(3, 1)
    filenames = [f"real {number}" for number in range(2)] + [f"synthetic {number}" for number in range(8)]
    assert source.name_examples(3) == [filenames[place] for place in places]


def test_every_process_gets_both_kinds_of_a_mixed_batch(config):
    source = create_mixed_source(config, batch_size=8)
    for index in range(2):
        (batch,) = source.create_batches(0, 1, process_index=index, process_count=2)
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0] > 10, [False, True, False, True])


def test_a_mixed_batch_that_cannot_be_divided_is_refused(config):
    with pytest.raises(UserError, match=r"config\.classifier\.global_batch_size"):
        create_mixed_source(config).create_batches(0, 1, process_count=2)


def test_prints_of_other_persons_are_not_mixed(config):
    one = prints.PrintSet(np.zeros((1, 4, 4, 1), np.uint8), np.array([4], np.int32), ("a",))
    other = prints.PrintSet(np.zeros((1, 4, 4, 1), np.uint8), np.array([5], np.int32), ("b",))
    with pytest.raises(ValueError, match="not of the same persons"):
        feeding.MixedClassifierSource(one, other, config)
