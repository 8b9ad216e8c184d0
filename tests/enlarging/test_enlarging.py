"""Impressions of given prints and of new fingers: what an image depends on, and what is on the disk."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from fpgan_jax.data import impression_folder, print_loading
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import impressions, ridge_map
from fpgan_jax.data.ridges.core import measure_core_offset
from fpgan_jax.enlarging import enlarging, finger_sources, impression_drawing
from fpgan_jax.enlarging.enlarging import Request
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.study import loading
from fpgan_jax.models import factory
from fpgan_jax.synthesis import drawing, manifest, sharded
from fpgan_jax.tables.csv_rows import read_rows, write_rows
from tests.launch.scripts import run, run_well
from tests.serving.test_formats import create_weights, save_checkpoint
from tests.synthesis.test_sharded import assert_same_images, read_tars
from tests.training import tiny

SIDE = 32
DRAWN_AT = "step 3, 32x32 pixels, 333 pixels per inch"


def write_prints(folder, fingers):
    """Write stripes of six pixels in a disk, in a direction of each finger's own."""
    folder.mkdir()
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for finger in fingers:
        angle = finger * 0.7
        wave = np.cos(2 * np.pi / 6 * (np.sin(angle) * rows + np.cos(angle) * columns))
        image = np.where(np.hypot(rows, columns) < 14, 127 - 100 * wave, 255)
        for impression in (1, 2):
            Image.fromarray(np.roll(image, impression).astype(np.uint8)).save(
                folder / f"{finger}_{impression}.png"
            )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("enlarging")
    write_prints(folder / "training", (1, 2, 3, 4))
    write_prints(folder / "given", (3, 7))
    return folder


def save_generator(workdir, folder, **data):
    """Save an untrained generator from ridge maps."""
    config = tiny.create_config()
    config.data.update(
        source="impressions",
        impressions_dir=str(folder / "training"),
        sensor_ppi=333.0,  # six pixels a period
        num_persons=0,
        num_impressions=1,
        num_replicas=1,
        image_size=SIDE,
        condition="ridges",
        jitter=0,
    )
    config.data.update(data)
    weights = create_weights(factory.create_generator(config), config, 0)
    data_hash = print_loading.create_pairs(config).data_hash
    save_checkpoint(
        workdir, config, {"generator": weights}, pairs=[[1, 0]], pair_names=[], data_hash=data_hash
    )
    return str(workdir)


@pytest.fixture(scope="module")
def gan_workdir(folder):
    return save_generator(folder / "gan", folder)


@pytest.fixture(scope="module")
def request_of(folder):
    """Request the two given fingers."""

    def create(**changes):
        return Request(
            **{"identities": str(folder / "given"), "sensor_ppi": 333.0, "num_impressions": 3} | changes
        )

    return create


@pytest.fixture(scope="module")
def drawn(gan_workdir, request_of, folder):
    out_dir = folder / "drawn"
    line = enlarging.enlarge(gan_workdir, str(out_dir), request_of())
    return out_dir, line


def read_folder(folder):
    return {path.name: np.asarray(Image.open(path)) for path in pathlib.Path(folder).glob("*.png")}


def test_every_finger_has_its_impressions_as_its_own_files_are_named(drawn, folder):
    out_dir, line = drawn
    assert sorted(read_folder(out_dir)) == [f"{finger}_0{i}.png" for finger in (3, 7) for i in (1, 2, 3)]
    assert line == f"6 impressions of 2 fingers of {folder / 'given'}, {DRAWN_AT}"


def test_the_folder_is_read_as_impressions_of_its_fingers(drawn):
    config = tiny.create_config()
    config.data.update(source="impressions", impressions_dir=str(drawn[0]), sensor_ppi=333.0)
    records = impression_folder.read_records(config.data)
    assert [record.person for record in records] == [3, 3, 3, 7, 7, 7]
    collection = loading.load_print_folder(str(drawn[0]), config, data_hash="of other prints")
    assert (collection.name, collection.persons.tolist()) == ("synthetic", [3, 3, 3, 7, 7, 7])


def test_an_image_is_drawn_again_from_its_row_alone(gan_workdir, request_of, drawn):
    rows = read_rows(str(drawn[0] / "manifest.csv"), impression_drawing.ImpressionRow, "synthesize")
    enlargement = enlarging.open_enlargement(gan_workdir, request_of())
    images = read_folder(drawn[0])
    (image,) = impression_drawing.draw_rows(enlargement, [rows[4]])
    assert rows[4].source == "7_1.png"
    np.testing.assert_array_equal(image[..., 0], images["7_02.png"])
    assert len({each.tobytes() for each in images.values()}) == 6


def test_reading_a_folder_at_another_resolution_than_it_was_drawn_at_is_refused(drawn):
    config = tiny.create_config()
    config.data.update(source="impressions", impressions_dir=str(drawn[0]), sensor_ppi=500.0)
    with pytest.raises(UserError, match=r"config.data.sensor_ppi=500.0: .*manifest.csv says 333 pixels"):
        impression_folder.read_records(config.data)
    config.data.sensor_ppi = 334.0
    assert len(impression_folder.read_records(config.data)) == 6


def test_an_evaluation_brings_a_folder_to_its_own_resolution(drawn):
    config = tiny.create_config()
    config.data.update(
        source="impressions", impressions_dir="elsewhere", sensor_ppi=500.0, image_ppi=166.5, image_size=SIDE
    )
    images = loading.load_print_folder(str(drawn[0]), config).images
    # Half as many pixels an inch: 16 of 32, in the middle.
    assert (images[:, :8] == 255).all() and (images[:, :, 24:] == 255).all()
    assert (images[:, 8:24, 8:24] != 255).any()


def test_an_evaluation_of_squeezed_prints_squeezes_square_ones(gan_workdir, request_of, tmp_path):
    """133 rows and 123 columns of square pixels fill the 128x128 of SOCOFing's."""
    enlargement = enlarging.open_enlargement(gan_workdir, request_of())
    (row,) = enlargement.create_rows(enlargement.source.fingers[0], 1)
    write_rows(str(tmp_path / "manifest.csv"), [dataclasses.replace(row, ppi="238.7")])
    ramp = np.add.outer(np.arange(133) * 0.5, np.arange(123) * 1.5).round().astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / row.file)
    config = tiny.create_config()
    config.data.update(source="npz", frame="crop", image_size=128)
    (image,) = loading.load_print_folder(str(tmp_path), config).images
    assert image.shape == (128, 128)
    # From corner to corner, 66 + 183.
    assert abs(int(image[-1, -1]) - 249) <= 1 and image[0, 0] <= 1


def read_ridges(config, variables):
    """Stand for a generator: the ridges of its condition are its image."""
    return lambda variables, condition, keys: (condition[..., :1].astype(np.float32) - 128) / 127, {}


@pytest.mark.parametrize(("is_square", "shape"), [(True, (133, 123)), (False, (128, 128))])
def test_square_skin_comes_back_square_from_a_generator_of_squeezed_prints(monkeypatch, is_square, shape):
    """A turned disk of concentric ridges, on another sensor than SOCOFing's."""
    monkeypatch.setattr(drawing, "bind_generate", read_ridges)
    config = tiny.create_config()
    config.data.update(source="npz", frame="crop", image_size=128, condition="ridges")
    canvas = config.copy_and_resolve_references().data
    canvas.update(source="impressions", sensor_ppi=500.0, image_ppi=238.67)
    canvas.image_size, canvas.image_width = finger_sources.find_canvas_shape(config.data)
    radii = np.hypot(*(np.mgrid[: canvas.image_size, : canvas.image_width] - np.array([[[87.5]], [[82.5]]])))
    disk = np.where(radii < 45, 127 - 100 * np.cos(2 * np.pi / 4.296 * radii), 255).astype(np.uint8)
    given = PrintSet(disk[None, ..., None], np.array([7], np.int32), ("7_1.png",))
    whole = PrintSet(np.full((1, 128, 128, 1), 127, np.uint8), np.array([1], np.int32), ("1.BMP",))
    whole.images[0, ::2] = 60
    source = finger_sources.GivenPrints(given, None, canvas)
    metadata = {"pair_names": [], "config_hash": "", "data_hash": ""}
    enlargement = impression_drawing.Enlargement(config, 3, metadata, {}, source, whole, is_square)
    pose = {"rotation": 0.6, "stretch_down": 1, "stretch_right": 1}
    pose |= dict.fromkeys(("shift_down", "shift_right", "contact_down", "contact_right"), 0)
    rows = [dataclasses.replace(row, **pose) for row in enlargement.create_rows(source.fingers[0], 16)]
    images = np.stack(list(impression_drawing.draw_rows(enlargement, rows)))[..., 0]
    assert images.shape[1:] == shape == enlargement.image_shape
    assert rows[0].ppi == ("238.7" if is_square else "247.8x229.9")
    # The skin's distortion, which is small, is averaged over the impressions.
    ink = (images.astype(float) - 127.5) ** 2
    height, width = (np.sqrt(find_moment(ink, axis)) for axis in (1, 2))
    assert width / height == pytest.approx(1 if is_square else 1.078, rel=0.01)
    # Of a disk the root of the moment is half of the radius; the map's soft edge costs a pixel.
    assert np.sqrt(width * height) == pytest.approx(45 / 2, rel=0.04)


def find_moment(weights, axis):
    weights = weights.sum(axis=(0, 3 - axis))
    places = np.arange(len(weights))
    mean = (weights * places).sum() / weights.sum()
    return (weights * (places - mean) ** 2).sum() / weights.sum()


def test_the_noise_plane_is_that_of_the_rows_seed(gan_workdir, request_of):
    enlargement = enlarging.open_enlargement(gan_workdir, request_of(), overrides={"seed": 9})
    rows = enlargement.create_rows(enlargement.source.fingers[1], 2)
    drawer = impression_drawing.ImpressionDrawer(enlargement, rows[0])
    noise = create_noise_image(rows[1].field_seed, 7, 2, shape=(SIDE, SIDE, 1), distribution="uniform")
    np.testing.assert_array_equal(drawer.create_conditions(rows)[1, ..., 4:], noise)


def test_a_row_does_not_depend_on_how_many_are_drawn(gan_workdir, request_of):
    enlargement = enlarging.open_enlargement(gan_workdir, request_of())
    finger = enlargement.source.fingers[1]
    assert enlargement.create_rows(finger, 20)[:3] == enlargement.create_rows(finger, 3)
    assert [row.replica for row in enlargement.create_rows(finger, 20)] == list(range(1, 21))


def test_shards_hold_the_same_images(gan_workdir, request_of, drawn, tmp_path):
    division = sharded.Request(1, 16)
    enlarging.enlarge(gan_workdir, str(tmp_path), request_of(division=division))
    assert_same_images(read_tars(tmp_path), read_folder(drawn[0]))


def test_another_seed_makes_other_images(gan_workdir, request_of, drawn, tmp_path):
    enlarging.enlarge(gan_workdir, str(tmp_path), request_of(num_fingers=1), overrides={"seed": 1})
    images = read_folder(drawn[0])
    assert all((image != images[name]).any() for name, image in read_folder(tmp_path).items())


def test_what_is_missing_of_a_folder_is_drawn_again(gan_workdir, request_of, drawn, tmp_path):
    enlarging.enlarge(gan_workdir, str(tmp_path), request_of())
    kept = tmp_path / "3_01.png"
    kept.write_bytes(b"kept")
    (tmp_path / "7_03.png").unlink()
    enlarging.enlarge(gan_workdir, str(tmp_path), request_of())
    assert kept.read_bytes() == b"kept"
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "7_03.png")), read_folder(drawn[0])["7_03.png"]
    )


def test_a_finger_of_the_training_lends_neither_contact_nor_look_to_itself(gan_workdir):
    enlargement = enlarging.open_enlargement(gan_workdir, Request("training"))
    rows = [row for finger in enlargement.source.fingers for row in enlargement.create_rows(finger, 20)]
    lent = {(row.source, name) for row in rows for name in (row.contact, row.appearance)}
    files = [f"{finger}_1.png" for finger in (1, 2, 3, 4)]
    assert lent == {(source, name) for source in files for name in files if source != name}


def test_a_given_finger_looks_as_its_print_and_a_new_one_as_one_training_print(gan_workdir, request_of):
    given = enlarging.open_enlargement(gan_workdir, request_of())
    assert {row.finger_appearance for row in given.create_rows(given.source.fingers[1], 5)} == {"7_1.png"}
    new = enlarging.open_enlargement(gan_workdir, Request("new", 8))
    usual = [{row.finger_appearance for row in new.create_rows(finger, 5)} for finger in new.source.fingers]
    assert all(len(names) == 1 for names in usual) and len(set.union(*usual)) > 1


@pytest.mark.parametrize("row", [40, 90])
def test_a_sensor_shows_that_part_of_a_new_finger_that_its_prints_show(row):
    """A sensor's print has arcs around a place in a row, on a disk in the middle of 128 x 128 pixels."""
    config = tiny.create_config()
    config.data.update(source="impressions", sensor_ppi=238.0, image_ppi=238.0, frame="keep", image_size=128)
    rows, columns = np.mgrid[:128, :128] - np.array([[[row]], [[64]]])
    distance = np.where(rows < 0, np.hypot(rows, columns), np.abs(columns))
    skin = np.hypot(*(np.mgrid[:128, :128] - 64)) < 55
    image = np.where(skin, 128 - 100 * np.cos(2 * np.pi * distance / 4.284), 255).astype(np.uint8)
    prints = PrintSet(image[None, ..., None], np.array([1], np.int32), ("1.BMP",))
    source = finger_sources.NewFingers(8, 0, config.data, prints)
    cores = []
    for finger in source.fingers:
        drawn = source.load_print(finger.source)
        down, _ = measure_core_offset(drawn, source.period)
        contact = ridge_map.map_contact(drawn, source.period)
        middle = ndimage.center_of_mass(contact)[0]
        cores.append(middle + 4.284 * down - (drawn.shape[0] - 1) / 2)
    # The core is found three ridges above the place. Fingers differ by two, so the mean of eight is known to 3 pixels.
    assert np.mean(cores) == pytest.approx(row - 3 * 4.284 - 63.5, abs=7)


def test_new_fingers_are_numbered_apart_and_may_go_unchecked(gan_workdir, tmp_path):
    request = Request("new", 2, 1, is_checked=False)
    line = enlarging.enlarge(gan_workdir, str(tmp_path / "new"), request)
    assert line == f"2 impressions of 2 new fingers, not checked, {DRAWN_AT}"
    rows = manifest.read_manifest(str(tmp_path / "new"))
    assert [(row.file, row.noise) for row in rows] == [
        ("100001_01.png", "new_finger"),
        ("100002_01.png", "new_finger"),
    ]


class RefuseTheFirst:
    """A matcher to which the first new finger is a training print."""

    def compare(self, probes, gallery, pairs, label=""):
        is_training = gallery.shape != probes.shape
        return np.array([30.0 * (is_training and i == 0 and len(probes) == 2) for i, _ in pairs])


def test_a_refused_finger_is_counted_and_not_drawn(gan_workdir, tmp_path):
    line = enlarging.enlarge(gan_workdir, str(tmp_path), Request("new", 2, 1), matcher=RefuseTheFirst())
    assert line == f"2 impressions of 2 new fingers, 1 refused (1 by training), {DRAWN_AT}"
    assert sorted(read_folder(tmp_path)) == ["100002_01.png", "100003_01.png"]
    assert (tmp_path / "fingers.csv").read_text().splitlines()[1] == "100001,new:0:1,1,30.0,training,1_1.png"


def test_the_figure_has_a_row_a_finger(gan_workdir, request_of, drawn, tmp_path):
    enlarging.enlarge(gan_workdir, str(drawn[0]), request_of(), figure=str(tmp_path / "figure.png"))
    width, height = Image.open(tmp_path / "figure.png").size
    # Print, ridge map and three impressions, of 1.6 inches each at 120 dots; two rows and a title.
    assert (width, height) == (960, 420)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensor_ppi": 0.0}, "--identities_ppi: "),
        ({"num_fingers": 3}, "--num_identities: 3 are wanted"),
        ({"identities": "held_out"}, "--identities=held_out: .* keeps no person from the training"),
        ({"identities": "nowhere"}, "--identities: 'nowhere' is not a folder"),
        ({"identities": "new"}, "--num_identities: say how many"),
        ({"identities": "new", "num_fingers": 900_000}, "--num_identities=900000: must be from 1 to 899999"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_line(gan_workdir, request_of, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        enlarging.enlarge(gan_workdir, str(tmp_path), request_of(**changes))
    assert not os.listdir(tmp_path)


def test_the_script_draws_what_its_flags_say(gan_workdir, folder, drawn, tmp_path):
    result = run_well(
        "synthesize",
        f"--gan_workdir={gan_workdir}",
        f"--out_dir={tmp_path / 'out'}",
        f"--identities={folder / 'given'}",
        "--identities_ppi=333",
        "--num_identities=1",
        "--num_impressions=2",
        "--format=png",
        "--compilation_cache_dir=",
    )
    assert result.stdout == (
        f"2 impressions of 1 fingers of {folder / 'given'}, {DRAWN_AT}, in {tmp_path / 'out'}\n"
    )
    images = read_folder(drawn[0])
    assert_same_images(
        read_folder(tmp_path / "out" / "shard-000000"),
        {name: images[name] for name in ("3_01.png", "3_02.png")},
    )


def test_the_script_names_a_flag_that_needs_identities(gan_workdir, tmp_path):
    result = run("synthesize", f"--gan_workdir={gan_workdir}", f"--out_dir={tmp_path}", "--num_identities=2")
    assert result.returncode == 1 and "--num_identities: needs --identities" in result.stderr


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--num_images=4", "--num_images: does nothing beside --identities"),
        ("--condition_dir=x", "--condition_dir: does nothing beside --identities"),
        ("--identities_ppi=500", "--identities_ppi: is for the prints of a folder, not for"),
    ],
)
def test_the_script_names_a_flag_that_does_nothing_beside_identities(gan_workdir, tmp_path, flag, message):
    flags = [f"--gan_workdir={gan_workdir}", f"--out_dir={tmp_path}", "--identities=new", flag]
    result = run("synthesize", *flags)
    assert result.returncode == 1 and message in result.stderr


def test_a_wrong_resolution_of_given_prints_is_called_by_its_flag(gan_workdir, drawn, tmp_path):
    with pytest.raises(UserError, match=r"--identities_ppi=500.0: .*manifest.csv says 333 pixels"):
        enlarging.open_enlargement(gan_workdir, Request(str(drawn[0]), sensor_ppi=500.0))
    with pytest.raises(UserError, match=r"--identities_ppi=20000: "):
        enlarging.open_enlargement(gan_workdir, Request(str(drawn[0]), sensor_ppi=20000.0))


def test_a_generator_from_noise_is_refused(folder, request_of, tmp_path):
    workdir = save_generator(tmp_path / "noise", folder, condition="noise")
    with pytest.raises(UserError, match="draws from noise; train with config.data.condition=ridges"):
        enlarging.open_enlargement(workdir, request_of())


def test_other_prints_than_the_trainings_are_refused(gan_workdir, request_of, folder):
    overrides = {"impressions_dir": str(folder / "given")}
    with pytest.raises(UserError, match="holds other prints than the generator was trained on"):
        enlarging.open_enlargement(gan_workdir, request_of(), data_overrides=overrides)


def test_a_setting_of_noise_alone_is_refused(gan_workdir, request_of, tmp_path):
    with pytest.raises(UserError, match="--noise_seed: does nothing beside --identities"):
        enlarging.enlarge(gan_workdir, str(tmp_path), request_of(), overrides={"noise_seed": 1})


def test_a_folder_of_other_impressions_is_refused(gan_workdir, request_of, drawn):
    with pytest.raises(UserError, match="holds images made otherwise"):
        enlarging.enlarge(gan_workdir, str(drawn[0]), request_of(num_impressions=2))


def test_a_folder_of_an_older_way_to_make_impressions_is_refused(gan_workdir, request_of, drawn, monkeypatch):
    monkeypatch.setattr(impressions, "VERSION", impressions.VERSION + 1)
    with pytest.raises(UserError, match="impressions_version was 2, is 3"):
        enlarging.enlarge(gan_workdir, str(drawn[0]), request_of())
