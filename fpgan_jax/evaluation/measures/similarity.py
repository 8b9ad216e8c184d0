"""Owns the paper's similarity as one of a study's measures: with the scanner's frame and without.

Does not score (`similarity.Scorer` does), and is not the paper's table (`scoring/table2.py`).
"""

from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from fpgan_jax.config.derived import image_shape, is_socofing
from fpgan_jax.config.fields import PERSON_SOURCES
from fpgan_jax.data import preprocessing
from fpgan_jax.data.procedural.impressions import create_empty_scan
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.measures.family import (
    FRAMES,
    OTHER_IMPRESSIONS,
    Family,
    Headline,
    Measure,
    create_image_rows,
)
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from fpgan_jax.host.progress import create_progress
from fpgan_jax.scoring import table2
from fpgan_jax.scoring.similarity import Scorer

SIMILARITY = Measure("similarity_frame_{frame}", "probability", "higher", "Similarity, {frame}", margin=0.05)
STD_OVER_IMAGES = Measure(
    "similarity_frame_{frame}_std_over_images", "probability", title="Similarity SD over images, {frame}"
)
STD_OVER_PERSONS = Measure(
    "similarity_frame_{frame}_std_over_persons", "probability", title="Similarity SD over persons, {frame}"
)
RECOGNIZED = Measure("recognised_frame_{frame}", "fraction", "higher", "Recognised, {frame}", margin=0.05)
_WORDS = {"keep": "with the scanner's frame", "crop": "without the scanner's frame"}


def measure(study: Study, data_config: ConfigDict) -> Findings:
    """Score every print of a study as its own person, by classifiers of either kind of frame.

    A print of one kind is brought to the other: the frame's rows and columns are cut away, or the print is laid into
    an empty scan.

    Args:
      study: what is judged; prints of persons whom a classifier does not know have no score.
      data_config: config.data of the study's prints; its frame and interpolation are used.

    Returns:
      `similarity_frame_KIND` (probability of the own person, in [0, 1]), its standard deviations over persons' means
      and over images, and `recognised_frame_KIND` (share of prints whose own person is the most probable). A kind of
      which there is no classifier is skipped.

    Raises:
      UserError: a workdir holds no classifier, or one that knows none of the study's persons or takes another size, or
        two of a kind.

    Source: Cordeiro & Saito, section 4, experiment 2; differs in: controls, intervals, and scores without the frame.
    """
    scorers = _load_scorers(study, data_config)
    measures: list[MeasureRow] = []
    images: list[ImageRow] = []
    for frame in FRAMES:
        if frame not in scorers:
            measures.append(_create_skipped_row(frame))
            continue
        with create_progress(
            sum(map(len, study.collections.values())), f"similarity, {frame}", "images"
        ) as bar:
            for collection in study.collections.values():
                scores = _score(scorers[frame], collection, data_config, frame)
                image_rows, rows = _describe_scores(study, collection, frame, *scores)
                images += image_rows
                measures += rows
                bar.update(len(collection))
    return Findings(measures=measures, images=images)


def _load_scorers(study: Study, data_config: ConfigDict) -> Mapping[str, Scorer]:
    """Return the kind of frame -> its classifier."""
    scorers: dict[str, Scorer] = {}
    wanted = {int(person) for person in study.reference.persons}
    for workdir in study.classifier_workdirs:
        scorer = Scorer(workdir)
        data = scorer.config.data
        if not wanted & set(scorer.persons):
            raise UserError(
                f"{workdir}: this classifier knows persons {', '.join(map(str, scorer.persons))}, of whom none is in "
                "the study; give the one that was trained on the study's persons"
            )
        fingers = [(each.hand, each.finger) for each in (data, data_config)]
        if data.source in PERSON_SOURCES and fingers[0] != fingers[1]:
            raise UserError(
                f"{workdir}: trained on {' '.join(fingers[0])} fingers (config.data.hand, finger); the study's prints "
                f"are of {' '.join(fingers[1])} ones"
            )
        trained, studied = (image_shape(each)[:2] for each in (data, data_config))
        if trained != studied:
            raise UserError(
                f"{workdir}: trained on {trained[1]}x{trained[0]} pixels (config.data.image_size, image_width); the "
                f"study is at {studied[1]}x{studied[0]}"
            )
        if data.frame in scorers:
            raise UserError(
                f"{workdir}: a second classifier with config.data.frame={data.frame!r}; give one of each kind"
            )
        scorers[data.frame] = scorer
    return scorers


def _create_skipped_row(frame: str) -> MeasureRow:
    return FAMILY.skip_measure(
        SIMILARITY.at(frame=frame),
        f"no classifier given that was trained {_WORDS[frame]}: train one with python -m "
        f"launch.train_classifier --config.data.frame={frame}, and add it to --classifier_workdirs",
    )


def change_frame(images: np.ndarray, data_config: ConfigDict, frame: str) -> np.ndarray:
    """Bring prints of the study's kind of frame to another kind.

    Args:
      images: uint8 [n, height, width].
      data_config: config.data that they were made with.
      frame: "keep" or "crop", what is wanted.

    Returns:
      uint8 [n, height, width]; the same array where nothing changes, as of another sensor's prints, without a frame.
    """
    if frame == data_config.frame or not is_socofing(data_config):
        return images
    size = image_shape(data_config)[:2]
    scan = create_empty_scan()
    rows, columns = ((length, preprocessing.FRAME_BEFORE, preprocessing.FRAME_AFTER) for length in scan.shape)
    if frame == "crop":
        (top, bottom), (left, right) = (
            (before / length * side, (length - after) / length * side)
            for side, (length, before, after) in zip(size, (rows, columns), strict=True)
        )
        return np.stack([_resize_to(image, size, (left, top, right, bottom)) for image in images])
    # Enlarged, so that the print is not made coarser on the way.
    factor = -(-max(size) // min(scan.shape))
    large = np.kron(scan, np.ones((factor, factor), np.uint8))
    inside = preprocessing.crop_frame(scan[..., None]).shape[:2]
    before = preprocessing.FRAME_BEFORE * factor
    framed = []
    for image in images:
        scaled = _resize_to(image, (inside[0] * factor, inside[1] * factor))
        copy = large.copy()
        copy[before : before + scaled.shape[0], before : before + scaled.shape[1]] = scaled
        framed.append(preprocessing.resize(copy[..., None], size, "area")[..., 0])
    return np.stack(framed)


def _resize_to(image: np.ndarray, shape: tuple[int, int], box: tuple | None = None) -> np.ndarray:
    """Resize what lies within a box of an image; the box need not fall on whole pixels."""
    return np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.BICUBIC, box=box))


def _score(
    scorer: Scorer, collection: PrintCollection, data_config: ConfigDict, frame: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (probability of the own person [n], NaN where unknown; 1 where that is the largest, else 0 [n])."""
    images = change_frame(collection.images, data_config, frame)
    places = {person: place for place, person in enumerate(scorer.persons)}
    channels = np.repeat(images[..., None], scorer.config.data.num_channels, axis=-1)
    probabilities = scorer.compute_probabilities(channels)
    labels = np.array([places.get(int(person), -1) for person in collection.persons])
    own = np.take_along_axis(probabilities, np.maximum(labels, 0)[:, None], axis=1)[:, 0]
    is_top = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return np.where(labels < 0, np.nan, own), np.where(labels < 0, np.nan, is_top)


def _describe_scores(
    study: Study, collection: PrintCollection, frame: str, own: np.ndarray, top: np.ndarray
) -> tuple[list[ImageRow], list[MeasureRow]]:
    persons = collection.persons
    is_known = ~np.isnan(own)
    if not is_known.any():
        return [], []
    rows = [
        row
        for row in create_image_rows(SIMILARITY.at(frame=frame), collection, own)
        if not np.isnan(row.value)
    ]

    def create_std(taken: Measure, kind: str, values: np.ndarray) -> MeasureRow:
        taken = taken.at(frame=frame)
        std = table2.compute_std(values, study.settings.std_ddof)
        if np.isnan(std):
            reason = f"one of the {kind} has no deviation divided by n - 1 (config.evaluation.std_ddof)"
            return FAMILY.refuse(taken, collection, reason)
        num_images, num_persons = int(is_known.sum()), len(np.unique(persons[is_known]))
        return FAMILY.create_row(taken, collection.name, std, intervals.NO_INTERVAL, num_images, num_persons)

    means = [np.mean(own[is_known & (persons == person)]) for person in np.unique(persons[is_known])]
    return rows, [
        FAMILY.summarize(SIMILARITY.at(frame=frame), collection, own),
        create_std(STD_OVER_IMAGES, "images", own[is_known]),
        create_std(STD_OVER_PERSONS, "persons", np.array(means)),
        FAMILY.summarize(RECOGNIZED.at(frame=frame), collection, np.where(is_known, top, np.nan)),
    ]


FAMILY = Family(
    "similarity",
    "The paper's similarity",
    "The probability that an Xception, trained to tell these persons apart, gives to the person whom a print is "
    "counted under. It must name one of them, so it can be sure of what is no print at all: read the controls.",
    measures=(SIMILARITY, STD_OVER_IMAGES, STD_OVER_PERSONS, RECOGNIZED),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(Headline((SIMILARITY,), "What does the paper's score say?", "The mean score"),),
    rank=2,
    # The reference itself is what the classifier was trained on.
    baseline=OTHER_IMPRESSIONS,
    list_networks=lambda study: study.classifier_workdirs,
    is_by_classifier_seed=True,
)
