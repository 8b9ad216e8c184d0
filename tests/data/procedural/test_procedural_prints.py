"""Owns the tests of `fpgan_jax.data.procedural.finger` and of its command's flags.

Does not compare with SOCOFing's images: what is expected of frame, header and period is written here as numbers
measured on them.
"""

import collections
import functools
import itertools
import math
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, signal

from fpgan_jax.data.procedural.alterations import alter_impression
from fpgan_jax.data.procedural.files import parse_fingers, write_prints
from fpgan_jax.data.procedural.finger import choose_gender, create_finger
from fpgan_jax.data.procedural.impressions import create_empty_scan, create_impression
from fpgan_jax.data.socofing.filenames import parse_filename
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher.ridge_spectrum import measure_ridges

# The period varies by 9% over a finger, and a displacement of 2 pixels that is smooth over 55 strains the skin by
# 3.6%, twice that at most.
_PERIOD_TOLERANCE = 1.09 * (1 + 2 * 0.036) - 1


@functools.cache
def _finger(person, seed=0):
    return create_finger(seed, person)


@functools.cache
def _impression(person, impression=0, seed=0):
    return create_impression(_finger(person, seed), impression)


def _flatten(image):
    """Ridges alone, at about equal contrast everywhere."""
    ridges = image[2:99, 2:92].astype(np.float64)
    ridges -= ndimage.gaussian_filter(ridges, 3)
    return ridges / (np.sqrt(ndimage.gaussian_filter(ridges**2, 4)) + 20)


def _match(first, second):
    """Mean over four 32x32 patches of the best correlation over all places and turns up to 20 degrees."""
    side, centers = 32, list(itertools.product((44, 72), (32, 58)))
    first, second = _flatten(first), _flatten(second)
    best = np.full(len(centers), -1.0)
    for degrees in range(-20, 21, 4):
        turned = ndimage.rotate(second, degrees, reshape=False, order=1)
        energy = signal.fftconvolve(turned**2, np.ones((side, side)), "valid")
        # Half-empty places would give large quotients of small numbers.
        norm = np.sqrt(np.maximum(energy, 0.05 * side**2))
        for index, (row, col) in enumerate(centers):
            patch = first[row - 16 : row + 16, col - 16 : col + 16]
            score = signal.fftconvolve(turned, patch[::-1, ::-1], "valid") / norm
            best[index] = max(best[index], score.max() / np.linalg.norm(patch))
    return best.mean()


# --- fingers and impressions -----------------------------------------------------------------------


def test_same_keys_give_the_same_print():
    again = create_impression(create_finger(0, 1))
    np.testing.assert_array_equal(again, _impression(1))


def test_print_does_not_depend_on_what_was_made_before():
    finger = create_finger(0, 1)
    create_impression(finger, 3)
    np.testing.assert_array_equal(create_impression(finger, 0), _impression(1))


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"person": 2}, {"hand": "Left"}, {"finger": "thumb"}],
    ids=lambda change: next(iter(change)),
)
def test_every_key_changes_the_finger(change):
    arguments = {"seed": 0, "person": 1, "hand": "Right", "finger": "index"} | change
    other = create_finger(
        arguments["seed"], arguments["person"], hand=arguments["hand"], finger=arguments["finger"]
    )
    # Two ridge patterns of unlike fingers are uncorrelated. A ridge stays coherent over about 10 of its periods
    # along and 3 across, so the 400 x 360 master holds about 65 independent patches: 4 / sqrt(65) is 0.5.
    correlation = np.corrcoef(other.ridges.ravel(), _finger(1).ridges.ravel())[0, 1]
    assert abs(correlation) < 0.5


def test_prints_of_different_persons_are_uncorrelated():
    flat = [_flatten(_impression(person)).ravel() for person in range(1, 7)]
    correlations = np.corrcoef(flat)[np.triu_indices(6, 1)]
    # The 97 x 90 window holds about (97 / 3.3 / 3) * (90 / 3.3 / 10) = 27 coherent patches: 3 / sqrt(27) is 0.58.
    assert np.abs(correlations).max() < 0.58


def test_second_impression_matches_its_own_finger_best():
    persons = range(1, 5)
    scores = np.array(
        [[_match(_impression(first), _impression(second, 1)) for second in persons] for first in persons]
    )
    np.testing.assert_array_equal(scores.argmax(axis=1), np.arange(4))


def test_impressions_of_one_finger_are_not_copies():
    assert (
        np.abs(np.corrcoef(_flatten(_impression(1)).ravel(), _flatten(_impression(1, 1)).ravel())[0, 1]) < 0.9
    )


def _measure_periods(images):
    return measure_ridges(np.stack(images)[:, 2:-4, 2:-4]).period  # without the frame


def test_median_ridge_period_is_socofings():
    periods = _measure_periods([_impression(person) for person in range(1, 21)])
    assert 3.1 <= np.median(periods) <= 3.4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_period_of_impression_is_the_fingers(seed):
    measured = 2.6 * _measure_periods([_impression(1, seed=seed)])[0]
    assert abs(measured / _finger(1, seed).ridge_period - 1) < _PERIOD_TOLERANCE


def test_large_print_has_the_same_ridges_at_scanner_resolution():
    large = create_impression(_finger(1), size="241x298")
    assert large.shape == (298, 241)
    measured = _measure_periods([large])[0]
    assert abs(measured / _finger(1).ridge_period - 1) < _PERIOD_TOLERANCE


@pytest.mark.parametrize("size,height,width", [("96x103", 103, 96), ("241x298", 298, 241)])
def test_frame_is_the_scanners(size, height, width):
    image = create_impression(_finger(1), size=size)
    expected = np.zeros((height, width), np.uint8)
    expected[: height - 4, : width - 4] = 160
    expected[1 : height - 4, 1 : width - 4] = 105
    expected[2 : height - 4, 2 : width - 4] = image[2 : height - 4, 2 : width - 4]
    np.testing.assert_array_equal(image, expected)


def test_upper_corners_are_white_and_ridges_are_black():
    window = _impression(1)[2:99, 2:92]
    assert window[:6, :6].min() == window[:6, -6:].min() == 255
    assert np.percentile(window[50:80, 30:60], 10) < 32


def test_gender_shares_are_socofings():
    men = sum(choose_gender(0, person) == "M" for person in range(1, 601))
    # Binomial with 600 draws of 477 / 600: standard deviation 9.9.
    assert abs(men - 477) < 3 * 9.9


# --- orientation -----------------------------------------------------------------------------------


def _find_singularities(orientation):
    """(row, col) of the cells with Poincare index +1/2 and those with -1/2."""

    def turn(after, before):
        return (after - before + np.pi / 2) % np.pi - np.pi / 2

    corners = [orientation[1:, :-1], orientation[1:, 1:], orientation[:-1, 1:], orientation[:-1, :-1]]
    total = sum(turn(corners[(index + 1) % 4], corners[index]) for index in range(4))
    half_turns = np.rint(total / np.pi).astype(int)
    return np.argwhere(half_turns == 1), np.argwhere(half_turns == -1)


@pytest.mark.parametrize(
    "pattern,num_pairs", [("arch", 0), ("tented_arch", 1), ("left_loop", 1), ("right_loop", 1), ("whorl", 2)]
)
def test_pattern_has_its_cores_and_deltas_and_no_others(pattern, num_pairs):
    finger = create_finger(0, 1, pattern=pattern)
    found = dict(zip(("core", "delta"), _find_singularities(finger.orientation), strict=True))
    for kind, cells in found.items():
        given = [(point.row, point.col) for point in finger.singularities if point.kind == kind]
        assert len(cells) == len(given) == num_pairs
        for point in given:
            # A cell's index names its upper left corner.
            assert np.abs(cells - np.array(point)).max(axis=1).min() <= 1


@pytest.mark.parametrize("pattern,sign", [("left_loop", -1), ("right_loop", 1)])
def test_loop_opens_to_its_side(pattern, sign):
    finger = create_finger(0, 1, pattern=pattern)
    core = next(point for point in finger.singularities if point.kind == "core")
    angles = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    rows, cols = core.row - 6 * np.sin(angles), core.col + 6 * np.cos(angles)
    along = finger.orientation[np.rint(rows).astype(int), np.rint(cols).astype(int)]
    # About a core exactly one direction runs along the ridges: the one in which the loop opens.
    opening = angles[np.abs(np.sin(along - angles)).argmin()]
    assert np.sign(np.cos(opening)) == sign
    assert np.sin(opening) < 0


def test_ridges_follow_the_orientation():
    finger = _finger(1)
    smooth = ndimage.gaussian_filter(finger.ridges, 1)
    down, right = np.gradient(smooth)
    # Doubled angles, averaged: the structure tensor's direction, turned by 90 degrees to run along the ridges.
    doubled = ndimage.gaussian_filter((right - 1j * down) ** 2, 5)
    measured = (np.angle(doubled) / 2 + np.pi / 2) % np.pi
    difference = np.abs((measured - finger.orientation + np.pi / 2) % np.pi - np.pi / 2)
    # 16 orientations are 11 degrees apart; singular points and minutiae are the rest.
    assert np.median(difference[40:-40, 40:-40]) < math.radians(180 / 16 / 2)


def test_unknown_pattern_is_refused():
    with pytest.raises(UserError, match="spiral"):
        create_finger(0, 1, pattern="spiral")


def test_unknown_finger_is_refused():
    with pytest.raises(UserError, match="toe"):
        create_finger(0, 1, finger="toe")


def test_person_zero_is_refused():
    with pytest.raises(UserError, match="person 0"):
        create_finger(0, 0)


def test_unknown_size_is_refused():
    with pytest.raises(UserError, match="10x10"):
        create_impression(_finger(1), size="10x10")


# --- alterations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alteration", ["Obl", "CR", "Zcut"])
@pytest.mark.parametrize("person", [1, 2, 3])
def test_alteration_grows_with_difficulty(alteration, person):
    image = _impression(person)
    changes = [
        np.abs(alter_impression(image, _finger(person), alteration, difficulty).astype(float) - image).sum()
        for difficulty in ("Easy", "Medium", "Hard")
    ]
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("alteration", ["Obl", "CR", "Zcut"])
def test_alteration_leaves_most_of_the_print(alteration):
    altered = alter_impression(_impression(1), _finger(1), alteration, "Easy")
    unchanged = altered == _impression(1)
    assert unchanged.mean() > 0.8
    outside = np.ones_like(unchanged)
    outside[2:99, 2:92] = False
    assert unchanged[outside].all()


def test_unknown_alteration_is_refused():
    with pytest.raises(UserError, match="Burn"):
        alter_impression(_impression(1), _finger(1), "Burn", "Easy")


def test_image_of_another_size_is_refused():
    with pytest.raises(UserError, match=r"\(64, 64\)"):
        alter_impression(np.zeros((64, 64), np.uint8), _finger(1), "CR", "Easy")


# --- files -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("prints")
    write_prints(out_dir, num_persons=2, num_impressions=2)
    return out_dir


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folders_hold_every_print_under_its_name(folder):
    found = collections.defaultdict(set)
    for path in folder.rglob("*.BMP"):
        name = parse_filename(path.name)
        assert (name.hand, name.finger) == ("Right", "index")
        assert name.gender == choose_gender(0, name.person)
        found[path.parent.relative_to(folder).as_posix()].add((name.person, name.alteration))
    altered = set(itertools.product((1, 2), ("Obl", "CR", "Zcut")))
    assert found == {
        "Real": {(1, "none"), (2, "none")},
        "Impressions/Impression-2": {(1, "none"), (2, "none")},
        "Altered/Altered-Easy": altered,
        "Altered/Altered-Medium": altered,
        "Altered/Altered-Hard": altered,
    }


def test_files_decode_to_the_prints(folder):
    for path in folder.rglob("*.BMP"):
        with Image.open(path) as image:
            decoded = np.asarray(image)
        name = parse_filename(path.name)
        expected = _impression(name.person, 1 if path.parent.name == "Impression-2" else 0)
        if name.alteration != "none":
            difficulty = path.parent.name.removeprefix("Altered-")
            expected = alter_impression(expected, _finger(name.person), name.alteration, difficulty)
        else:
            np.testing.assert_array_equal(decoded[..., 3][:99, :92], 255)
            assert decoded[99:, :, 3].max() == decoded[:, 92:, 3].max() == 0
            np.testing.assert_array_equal(decoded[..., 1:3], decoded[..., :2])
            decoded = decoded[..., 0]
        np.testing.assert_array_equal(decoded, expected)


def test_real_header_is_socofings(folder):
    content = next((folder / "Real").glob("1__*")).read_bytes()
    assert len(content) == 39690
    assert struct.unpack("<2sIHHI", content[:14]) == (b"BM", 39690, 0, 0, 138)
    # Size of the header, width, height, planes, bits, compression (bit fields), bytes, pixels per meter, colors.
    assert struct.unpack("<IiiHHIIiiII", content[14:54]) == (124, 96, 103, 1, 32, 3, 39552, 3779, 3779, 0, 0)
    assert struct.unpack("<4I", content[54:70]) == (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    assert content[70:74] == b"BGRs"
    # Red, green and blue end points of sRGB, x y z in 2.30 fixed point; 1e-3 is their rounding in the literature.
    end_points = np.array(struct.unpack("<9I", content[74:110])).reshape(3, 3) / 2**30
    np.testing.assert_allclose(end_points[:, :2], [[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]], atol=1e-3)
    assert struct.unpack("<7I", content[110:138]) == (0, 0, 0, 4, 0, 0, 0)


def test_altered_header_is_socofings(folder):
    content = next((folder / "Altered" / "Altered-Easy").glob("1__*_CR.BMP")).read_bytes()
    assert struct.unpack("<2sIHHI", content[:14]) == (b"BM", 10966, 0, 0, 1078)
    assert len(content) == 10966
    assert struct.unpack("<IiiHHIIiiII", content[14:54]) == (40, 96, 103, 1, 8, 0, 0, 3780, 3780, 256, 256)
    palette = np.frombuffer(content[54:1078], np.uint8).reshape(256, 4)
    np.testing.assert_array_equal(palette[:, :3], np.arange(256)[:, None].repeat(3, axis=1))
    assert (palette[:, 3] == 255).all()


def test_large_files_have_socofings_sizes_and_headers(tmp_path):
    write_prints(tmp_path, num_persons=1, size="241x298")
    real = next((tmp_path / "Real").iterdir())
    content = real.read_bytes()
    assert len(content) == 215890
    assert struct.unpack("<IiiHHIIii", content[14:46]) == (124, 241, 298, 1, 24, 0, 215752, 4724, 4724)
    altered = next((tmp_path / "Altered" / "Altered-Hard").iterdir())
    assert altered.stat().st_size == 73790
    for path, mode in ((real, "RGB"), (altered, "L")):
        with Image.open(path) as image:
            assert (image.mode, image.size) == (mode, (241, 298))
            assert np.asarray(image)[0, 0].max() == 160


def test_write_prints_adds_only_what_is_missing(folder, tmp_path, monkeypatch):
    assert write_prints(tmp_path, num_persons=1, num_impressions=2) == 11
    gone = next((tmp_path / "Altered" / "Altered-Hard").iterdir())
    gone.unlink()
    cut = next((tmp_path / "Real").iterdir())
    cut.write_bytes(cut.read_bytes()[:1000])
    assert write_prints(tmp_path, num_persons=2, num_impressions=2) == 2 + 11
    assert _files(tmp_path) == _files(folder)
    monkeypatch.setattr("fpgan_jax.data.procedural.files.create_finger", None)
    assert write_prints(tmp_path, num_persons=2, num_impressions=2) == 0


def test_left_over_temporary_file_is_replaced(tmp_path):
    write_prints(tmp_path, num_persons=1, altered=False)
    real = next((tmp_path / "Real").iterdir())
    content = real.read_bytes()
    real.rename(real.with_name(real.name + ".tmp")).write_bytes(b"half a file")
    assert write_prints(tmp_path, num_persons=1, altered=False) == 1
    assert [path.read_bytes() for path in (tmp_path / "Real").iterdir()] == [content]


def test_workers_write_the_same_files(folder, tmp_path):
    write_prints(tmp_path, num_persons=2, num_impressions=2, num_workers=2)
    assert _files(tmp_path) == _files(folder)


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="thesis.txt"):
        write_prints(tmp_path, num_persons=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_folder_that_a_file_manager_has_shown_is_empty(tmp_path):
    (tmp_path / "desktop.ini").write_text("")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "thumb.jpg").write_text("")
    assert write_prints(tmp_path, num_persons=1, altered=False) == 1


def test_socofing_itself_is_refused(tmp_path):
    (tmp_path / "Real").mkdir()
    (tmp_path / "Real" / "1__M_Right_index_finger.BMP").write_bytes(b"a real print")
    with pytest.raises(UserError, match="1__M_Right_index_finger"):
        write_prints(tmp_path, num_persons=1)


def test_folder_of_another_seed_is_refused(folder):
    with pytest.raises(UserError, match="'seed': 0"):
        write_prints(folder, num_persons=2, seed=1)


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UserError, match="is a file"):
        write_prints(path, num_persons=1)


def test_broken_manifest_is_refused(tmp_path):
    (tmp_path / "MANIFEST.json").write_text("{")
    with pytest.raises(UserError, match="MANIFEST.json"):
        write_prints(tmp_path, num_persons=1)


@pytest.mark.parametrize("field", ["num_persons", "num_impressions", "num_workers"])
def test_zero_is_refused(tmp_path, field):
    with pytest.raises(UserError, match=f"{field} 0"):
        write_prints(tmp_path, **({"num_persons": 1} | {field: 0}))


def test_parse_fingers():
    assert parse_fingers(["Left_thumb", "Right_index"]) == (
        ("Left", "thumb"),
        ("Right", "index"),
    )
    assert len(set(parse_fingers(["all"]))) == 10


@pytest.mark.parametrize("name", ["index", "Right_toe", "Up_index", "Right_index_finger"])
def test_unknown_finger_name_is_refused(name):
    with pytest.raises(UserError, match=name):
        parse_fingers([name])


def test_imports_neither_jax_nor_tensorflow():
    code = (
        "import sys; import fpgan_jax.data.procedural.files; "
        "print([name for name in ('jax', 'tensorflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_empty_scan_is_white_within_the_frame():
    scan = create_empty_scan()
    assert scan.shape == (103, 96)
    assert (scan[2:99, 2:92] == 255).all()
    # The bevel: 160 and 105 along the top and left edge; black at the bottom and right.
    assert set(np.unique(scan[:99, 0])) | set(np.unique(scan[0, :92])) <= {105, 160}
    assert (scan[99:] == 0).all() and (scan[:, 92:] == 0).all()
