"""The trial of ridge maps: which comparisons it makes and what it prints, and once with NIST's programs."""

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data import print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import SIZES, create_impression
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import ridge_map_trial
from fpgan_jax.evaluation.experiments.ridge_map_trial import Trial
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from tests.evaluation.measures.scored_study import TableTool


def archive_prints(path, images, persons, ppi):
    """Write prints [n, height, width] as an archive; return a config that reads it."""
    config = test_size.get_config()
    config.data.image_size, config.data.image_width = images.shape[1:]
    config.data.image_ppi = ppi
    config.data.source, config.data.npz_file = "npz", str(path)
    names = tuple(f"{person}_{number}.png" for number, person in enumerate(persons))
    empty = PrintSet(np.zeros((0, *images.shape[1:], 1), np.uint8), np.zeros(0, np.int32), ())
    sets = dict.fromkeys(SPLITS, empty)
    sets["real"] = PrintSet(images[..., None], np.array(persons, np.int32), names)
    print_archive.write_archive(path, sets, config.data)
    return config


def draw_waves(number):
    """Draw straight ridges, each print of another period: uint8 [number, 64, 64]."""
    places = np.arange(64)
    waves = [128 - 100 * np.cos(2 * np.pi * places / (8 + print_ / 2)) for print_ in range(number)]
    return np.repeat(np.array(waves)[:, None].astype(np.uint8), 64, axis=1)


def try_waves(tmp_path, persons):
    config = archive_prints(tmp_path / "prints.npz", draw_waves(len(persons)), persons, 500)
    return ridge_map_trial.try_ridge_maps(
        config, max_persons=60, matcher=Matcher(TableTool({}), num_workers=0)
    )


def test_a_map_is_matched_with_the_fingers_other_prints_both_ways(tmp_path):
    trial = try_waves(tmp_path, [1, 1, 1, 2, 2])
    assert trial.persons.tolist() == [1, 1, 1, 2, 1, 1, 1, 2]
    assert {name: len(scores) for name, scores in trial.genuine.items()} == {"real": 8, "ridge_maps": 8}
    assert {name: len(scores) for name, scores in trial.impostors.items()} == {"real": 6, "ridge_maps": 6}
    assert (trial.shape, trial.num_prints, trial.period) == ((64, 64), 5, 9.0)


def test_a_map_is_matched_with_its_own_print_where_there_is_no_other(tmp_path):
    trial = try_waves(tmp_path, [1, 2, 3])
    assert trial.persons.tolist() == [1, 2, 3]
    assert list(trial.genuine) == ["ridge_maps"]


def test_what_is_printed():
    scores = np.array([20.0, 27, 36, 37])
    trial = Trial(
        shape=(128, 96),
        num_prints=8,
        period=4.5,
        seconds=0.0204,
        num_minutiae={"real": 40.04, "ridge_maps": 38.0},
        persons=np.array([1, 1, 2, 2]),
        genuine={"real": scores, "ridge_maps": scores - 1},
        impostors={"real": np.arange(101.0), "ridge_maps": np.zeros(101)},
    )
    assert ridge_map_trial.describe_trial(trial).splitlines() == [
        "8 prints of 2 fingers, 96x128 pixels, ridge period 4.50 px; 0.020 s of one core a map",
        "genuine: 4 comparisons with another print of the finger",
        "[ ]: 95% intervals for other fingers",
        "  real: median score 31.5, 75.0% from 27, 25.0% from 37",
        "  ridge_maps: median score 30.5, 50.0% from 27, 0.0% from 37",
        "impostors: 101 comparisons",
        "  real: 1% score above 99, the highest 100, 73.27% from 27, 63.37% from 37",
        "  ridge_maps: 1% score above 0, the highest 0, 0.00% from 27, 0.00% from 37",
        "minutiae: real 40.0, ridge_maps 38.0",
    ]


def test_without_a_matcher_the_reason_is_named(tmp_path, monkeypatch):
    def find():
        raise ToolError("no matcher here")

    monkeypatch.setattr(nist_tools, "find_matching_tool", find)
    config = archive_prints(tmp_path / "prints.npz", draw_waves(2), [1, 2], 500)
    with pytest.raises(UserError, match="no matcher here"):
        ridge_map_trial.try_ridge_maps(config, max_persons=60)


@pytest.mark.seconds(15)
@pytest.mark.biometrics
def test_maps_of_procedural_impressions_are_told_apart_as_the_prints_are(tmp_path):
    """Two impressions of two fingers each; their periods differ, the map's is one."""
    try:
        matcher = Matcher(nist_tools.find_matching_tool(), num_workers=0)
    except ToolError as error:
        pytest.skip(f"NOT RUN: {error}")
    persons = (2, 3)
    window = SIZES["241x298"].window
    images = [
        create_impression(finger, impression, size="241x298")[window]
        for finger in (create_finger(0, person) for person in persons)
        for impression in (0, 1)
    ]
    config = archive_prints(tmp_path / "prints.npz", np.stack(images), np.repeat(persons, 2).tolist(), 500)
    trial = ridge_map_trial.try_ridge_maps(config, max_persons=60, matcher=matcher)
    assert np.median(trial.genuine["ridge_maps"]) > trial.impostors["ridge_maps"].max()
    assert np.median(trial.genuine["ridge_maps"]) > 0.7 * np.median(trial.genuine["real"])
