"""Owns the test of ridge maps: whether a matcher still accepts a map as the finger of its print."""

import dataclasses
import time
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data import preprocessing, print_loading
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.print_scale import find_sensor_period
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.experiments import impression_trial
from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, find_period, prepare_prints
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

# BOZORTH3's scores at which the false accept rate is 1% and 0.1% on sets of six sensors.
_THRESHOLDS = (27, 37)


@dataclasses.dataclass(frozen=True)
class Trial:
    """What the ridge maps of a set are worth, compared with the prints that they were made from."""

    shape: tuple[int, int]  # of the images, (height, width) pixels
    num_prints: int  # of all fingers
    period: float  # ridge period of the set, pixels
    seconds: float  # processor time per map
    num_minutiae: dict[str, float]  # collection ("real" or "ridge_maps") -> mean number of minutiae
    persons: np.ndarray  # int [g]; the finger of each genuine comparison
    # Collection -> float64 [g]; each print or map against another real print of its finger. If no finger has two,
    # only "ridge_maps", each map against its own print.
    genuine: dict[str, np.ndarray]
    impostors: dict[str, np.ndarray]  # collection -> float64 [k]; each against a real print of another finger


def try_ridge_maps(config: ConfigDict, *, max_persons: int, matcher: Matcher | None = None) -> Trial:
    """Match ridge maps with real prints, and real prints with one another in the same comparisons.

    Args:
      config: the experiment's config; its `data` selects and preprocesses the prints.
      max_persons: the first fingers take part.
      matcher: None for NIST's.

    Raises:
      UserError: there are no such prints, they show no ridges, or no matcher is installed.
    """
    persons = print_loading.list_persons(config)[:max_persons]
    prints = print_loading.load_prints(config, persons=persons, impressions=print_loading.EVERY)
    images, window = prints.images[..., 0], preprocessing.find_window(config.data)
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        period = find_sensor_period(config.data) or find_period(images[:, *window])
        start = time.process_time()
        maps = ridge_map.draw_maps(ridge_map.map_prints(images, period, window, config.data.ridge_filter))
        seconds = (time.process_time() - start) / len(images)
        sets = ("real", print_collection.REFERENCE, images), ("ridge_maps", print_collection.CONTROL, maps)
        collections = {
            name: PrintCollection(name, role, drawn, prints.persons, prints.filenames)
            for name, role, drawn in sets
        }
        prepared = prepare_prints(Study(collections, config.evaluation), config.data).images
        return Trial(
            shape=images.shape[1:],
            num_prints=len(images),
            period=period,
            seconds=seconds,
            num_minutiae={
                name: float(np.mean([len(minutiae.x) for minutiae in matcher.extract(drawn)]))
                for name, drawn in prepared.items()
            },
            **_compare(prepared, prints.persons, matcher),
        )
    except (ToolError, NoScaleError) as error:
        raise UserError(str(error)) from error


def _compare(prepared: Mapping[str, np.ndarray], persons: np.ndarray, matcher: Matcher) -> dict:
    pairs = impression_trial.choose_genuine(persons)
    genuine, names = np.concatenate([pairs, pairs[:, ::-1]]), tuple(prepared)
    if not len(genuine):
        genuine, names = np.repeat(np.arange(len(persons))[:, None], 2, axis=1), ("ridge_maps",)
    impostors = impression_trial.choose_impostors(persons)

    def compare(name: str, pairs: np.ndarray) -> np.ndarray:
        return matcher.compare(prepared[name], prepared["real"], pairs, name)

    return {
        "persons": persons[genuine[:, 0]],
        "genuine": {name: compare(name, genuine) for name in names},
        "impostors": {name: compare(name, impostors) for name in prepared},
    }


def describe_trial(trial: Trial) -> str:
    """Format a trial for a terminal."""
    height, width = trial.shape
    kind = "another print of the finger" if "real" in trial.genuine else "the print it was made of"
    num_fingers = len(np.unique(trial.persons))
    lines = [
        f"{trial.num_prints} prints of {num_fingers} fingers, {width}x{height} pixels, ridge period "
        f"{trial.period:.2f} px; {trial.seconds:.3f} s of one core a map",
        f"genuine: {len(trial.persons):,} comparisons with {kind}",
        "[ ]: 95% intervals for other fingers",
    ]
    for name, scores in trial.genuine.items():
        rates = [_describe_rate(scores >= threshold, trial.persons, threshold) for threshold in _THRESHOLDS]
        lines.append(f"  {name}: median score {np.median(scores):g}, {', '.join(rates)}")
    lines.append(f"impostors: {len(trial.impostors['real']):,} comparisons")
    for name, scores in trial.impostors.items():
        rates = [f"{np.mean(scores >= threshold):.2%} from {threshold}" for threshold in _THRESHOLDS]
        lines.append(
            f"  {name}: 1% score above {np.quantile(scores, 0.99):g}, the highest {scores.max():g}, {', '.join(rates)}"
        )
    minutiae = (f"{name} {number:.1f}" for name, number in trial.num_minutiae.items())
    return "\n".join([*lines, f"minutiae: {', '.join(minutiae)}"])


def _describe_rate(is_accepted: np.ndarray, persons: np.ndarray, threshold: float) -> str:
    interval = intervals.compute_rate_interval(is_accepted, persons)
    return f"{is_accepted.mean():.1%}{intervals.write_interval(interval, '.1%')} from {threshold}"
