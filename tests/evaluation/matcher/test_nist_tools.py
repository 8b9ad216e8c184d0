"""NIST's programs: that a missing one is told in a line, and, where they are installed, what they say of prints."""

import sys

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.alterations import alter_impression
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import create_impression
from fpgan_jax.data.ridges import print_scale
from fpgan_jax.evaluation.matcher import matching, nist_tools, resolution
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import CompiledNbis, PackagedNbis, ToolError


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    nist_tools._import_nbis.cache_clear()
    nist_tools._load_library.cache_clear()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("AFIS_LFS_LIB", raising=False)
    monkeypatch.setattr(nist_tools.importlib.util, "find_spec", lambda name: None)
    yield
    nist_tools._import_nbis.cache_clear()
    nist_tools._load_library.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_matcher_is_told_with_what_to_do():
    with pytest.raises(ToolError, match="nbis-python is not installed; .* is not built; run bash launch/"):
        nist_tools.find_matching_tool()


@pytest.mark.usefixtures("nothing_installed")
def test_a_missing_nfiq_2_is_told_with_what_to_do():
    with pytest.raises(ToolError, match="no NFIQ 2: nbis-python is not installed; run bash launch/"):
        nist_tools.find_quality_tool()


@pytest.mark.usefixtures("nothing_installed")
def test_what_is_missing_is_listed():
    assert len(nist_tools.describe_tools().splitlines()) == 2


@pytest.mark.usefixtures("nothing_installed")
def test_a_library_that_is_none_is_told(monkeypatch, tmp_path):
    path = tmp_path / "library.so"
    path.write_bytes(b"not a library")
    monkeypatch.setenv("AFIS_LFS_LIB", str(path))
    with pytest.raises(ToolError, match=r"library\.so does not run here"):
        nist_tools.find_matching_tool()


@pytest.mark.usefixtures("nothing_installed")
def test_a_package_that_does_not_run_is_told(monkeypatch, tmp_path):
    (tmp_path / "nbis.py").write_text("raise OSError('GLIBC_2.38 not found')")
    monkeypatch.setattr(nist_tools.importlib.util, "find_spec", lambda name: name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nbis", raising=False)
    with pytest.raises(ToolError, match=r"does not run here \(GLIBC_2.38 not found\)"):
        nist_tools.find_quality_tool()


def require(find, *wanted):
    """Skip a test loudly unless a tool is here."""
    try:
        tool = find()
    except ToolError as error:
        pytest.skip(f"NOT RUN: {error}")
    if wanted and type(tool) not in wanted:
        pytest.skip(f"NOT RUN: only {type(tool).__name__} is here")
    return tool


@pytest.fixture(scope="module")
def prints():
    """Return 500 ppi prints of three procedural fingers, each with its altered copy: uint8 [6, height, width]."""
    require(nist_tools.find_matching_tool)  # before the seconds that prints take
    data = test_size.get_config().data
    data.image_size, data.frame = 256, "crop"
    images = []
    # Person 1 pressed so little that too few minutiae are seen.
    for person in (2, 3, 4):
        finger = create_finger(0, person)
        real = create_impression(finger)
        for image in (real, alter_impression(real, finger, "CR", "Easy")):
            images.append(preprocessing.preprocess_print(image, data)[..., 0])
    images = np.stack(images)
    factor = print_scale.PERIOD_AT_500_PPI / resolution.find_period(images)
    return print_scale.scale_images(images, factor, print_scale.find_stretch(data))


@pytest.fixture
def matcher():
    matching._templates.clear()
    return Matcher(require(nist_tools.find_matching_tool), num_workers=0)


@pytest.mark.biometrics
def test_impressions_of_one_finger_match_and_those_of_two_do_not(matcher, prints):
    pairs = np.stack(np.triu_indices(6, 1), axis=1)
    scores = matcher.compare(prints, prints, pairs)
    is_genuine = pairs[:, 0] // 2 == pairs[:, 1] // 2
    assert scores[is_genuine].min() > scores[~is_genuine].max()


@pytest.mark.biometrics
def test_a_mirrored_print_is_less_like_its_original_than_an_altered_one(matcher, prints):
    mirrored = np.ascontiguousarray(prints[:, :, ::-1])
    pairs = np.stack([np.arange(0, 6, 2), np.arange(0, 6, 2)], axis=1)
    with_mirrored = matcher.compare(mirrored, prints, pairs)
    with_altered = matcher.compare(prints[1::2], prints[::2], pairs // 2)
    assert with_mirrored.max() < with_altered.min()


@pytest.mark.biometrics
def test_a_shifted_print_has_its_minutiae_shifted(matcher, prints):
    original, shifted = matcher.extract(np.stack([prints[0], np.roll(prints[0], (8, 16), (0, 1))]))
    found = set(zip(shifted.x, shifted.y, strict=True))
    moved = {(x + 16, y + 8) for x, y in zip(original.x, original.y, strict=True)}
    # MINDTCT works in blocks from the image's corner, so that some come and go.
    assert len(found & moved) > len(original.x) / 2


@pytest.mark.biometrics
def test_a_print_turned_left_has_its_minutiae_turned_left(matcher, prints):
    image = prints[0]
    (original,), (turned,) = (
        matcher.extract(np.ascontiguousarray(each)[None]) for each in (image, np.rot90(image))
    )
    # What was at the right edge is now on top.
    x, y = original.y, image.shape[1] - 1 - original.x
    num_found = 0
    for place in range(len(x)):
        is_near = np.hypot(turned.x - float(x[place]), turned.y - float(y[place])) <= 6
        turns = np.degrees(turned.direction[is_near] - original.direction[place] - np.pi / 2)
        num_found += bool((np.abs((turns + 180) % 360 - 180) <= 22.5).any())
    assert num_found > len(x) / 2


@pytest.mark.biometrics
def test_a_blank_print_has_no_minutiae_and_matches_nothing(matcher, prints):
    blank = np.full_like(prints[:1], 255)
    assert len(matcher.extract(blank)[0].x) == 0
    assert matcher.compare(blank, prints[:1], np.array([[0, 0]]))[0] == 0


@pytest.mark.biometrics
def test_the_package_and_the_compiled_library_agree_to_the_last(prints):
    require(nist_tools.find_matching_tool, PackagedNbis)
    try:
        nist_tools._load_library()
    except ToolError as error:
        pytest.skip(f"NOT RUN: {error}")
    templates = [[tool.extract(image) for image in prints] for tool in (PackagedNbis(), CompiledNbis())]
    for one, other in zip(*templates, strict=True):
        for values, others in zip(one.minutiae, other.minutiae, strict=True):
            np.testing.assert_allclose(values, others, rtol=1e-12)
    scores = [
        [tool.compare(first, second) for first in made for second in made]
        for tool, made in zip((PackagedNbis(), CompiledNbis()), templates, strict=True)
    ]
    assert scores[0] == scores[1]


@pytest.mark.biometrics
def test_nfiq_2_is_in_its_range_and_has_none_for_a_blank_print(prints):
    tool = require(nist_tools.find_quality_tool)
    assert all(0 <= tool.measure(image) <= 100 for image in prints)
    assert np.isnan(tool.measure(np.full_like(prints[0], 255)))


@pytest.mark.biometrics
def test_processes_give_the_scores_of_one(matcher, prints):
    pairs = np.stack(np.triu_indices(6, 1), axis=1)
    alone = matcher.compare(prints, prints, pairs)
    together = Matcher(nist_tools.find_matching_tool(), num_workers=2).compare(prints, prints, pairs)
    np.testing.assert_array_equal(alone, together)
