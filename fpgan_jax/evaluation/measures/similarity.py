"""Owns the paper's similarity as one of a study's measures: with the scanner's frame and without.

The paper's own table is `scoring/table2.py`.
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
from fpgan_jax.evaluation.measures.family import Family, create_image_rows
from fpgan_jax.evaluation.measures.measure import FRAMES, OTHER_IMPRESSIONS, Headline, Measure
from fpgan_jax.evaluation.study.findings import Findings, MeasureRow, merge_findings
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
RECOGNIZED = Measure("recognised_frame_{frame}", "fraction", "higher", "Recognized, {frame}", margin=0.05)
_WORDS = {"keep": "with the scanner's frame", "crop": "without the scanner's frame"}


def measure(study: Study, data_config: ConfigDict) -> Findings:
    """Score every print of a study as its own person, by classifiers of either kind of frame.

    Prints are converted to the classifier's kind by `change_frame`. Those of persons whom it does not know have no
    score.

    Returns:
      `similarity_frame_KIND` (probability of the own person, in [0, 1]), its standard deviations over persons' means
      and over images, and `recognised_frame_KIND` (share of prints whose own person is the most probable). A kind
      without a classifier is skipped.

    Raises:
      UserError: a workdir has no classifier, or one that knows none of the study's persons or takes another size, or
        two classifiers are of one kind.

    Source: Cordeiro & Saito, section 4, experiment 2; differs in: controls, intervals, and scores without the frame.
    """
    scorers = _load_scorers(study, data_config)
    findings = []
    for frame in FRAMES:
        if frame not in scorers:
            reason = (
                f"no classifier given that was trained {_WORDS[frame]}: train one with python -m "
                f"launch.train_classifier --config.data.frame={frame}, and add it to --classifier_workdirs"
            )
            findings.append(Findings([FAMILY.skip_measure(SIMILARITY.at(frame=frame), reason)]))
            continue
        num_images = sum(map(len, study.collections.values()))
        with create_progress(num_images, f"similarity, {frame}", "images") as progress:
            for collection in study.collections.values():
                own, is_top = _score(scorers[frame], collection, data_config, frame)
                findings.append(_describe_scores(study, collection, frame, own, is_top))
                progress.update(len(collection))
    return merge_findings(findings)


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


def change_frame(images: np.ndarray, data_config: ConfigDict, frame: str) -> np.ndarray:
    """Convert prints, uint8 [n, height, width], of the study's kind of frame to another kind, "keep" or "crop".

    The frame's rows and columns are cut away, or the print is put into an empty scan. Prints of other sensors have no
    frame and stay the same.
    """
    if frame == data_config.frame or not is_socofing(data_config):
        return images
    size = image_shape(data_config)[:2]
    scan = create_empty_scan()
    if frame == "crop":
        (top, bottom), (left, right) = (
            (preprocessing.FRAME_BEFORE / length * side, (length - preprocessing.FRAME_AFTER) / length * side)
            for side, length in zip(size, scan.shape, strict=True)
        )
        return np.stack([_resize_to(image, size, (left, top, right, bottom)) for image in images])
    # Enlarged, so that the print does not become coarser in between.
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
    """Resize a box of an image; its edges need not be on whole pixels."""
    return np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.BICUBIC, box=box))


def _score(
    scorer: Scorer, collection: PrintCollection, data_config: ConfigDict, frame: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return (probability of the own person [n], whether it is the largest [n], as 0 or 1); NaN if unknown."""
    images = change_frame(collection.images, data_config, frame)
    places = {person: place for place, person in enumerate(scorer.persons)}
    channels = np.repeat(images[..., None], scorer.config.data.num_channels, axis=-1)
    probabilities = scorer.compute_probabilities(channels)
    labels = np.array([places.get(int(person), -1) for person in collection.persons])
    own = np.take_along_axis(probabilities, np.maximum(labels, 0)[:, None], axis=1)[:, 0]
    is_top = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return np.where(labels < 0, np.nan, own), np.where(labels < 0, np.nan, is_top)


def _describe_scores(
    study: Study, collection: PrintCollection, frame: str, own: np.ndarray, is_top: np.ndarray
) -> Findings:
    is_known = ~np.isnan(own)
    if not is_known.any():
        return Findings()
    similarity = SIMILARITY.at(frame=frame)
    images = create_image_rows(similarity, collection, own)
    persons, scores = collection.persons[is_known], own[is_known]
    means = [np.mean(scores[persons == person]) for person in np.unique(persons)]

    def create_std(taken: Measure, kind: str, values: np.ndarray) -> MeasureRow:
        taken = taken.at(frame=frame)
        std = table2.compute_std(values, study.settings.std_ddof)
        if np.isnan(std):
            reason = f"one of the {kind} has no deviation divided by n - 1 (config.evaluation.std_ddof)"
            return FAMILY.refuse(taken, collection, reason)
        return FAMILY.create_row(taken, collection, std, (len(scores), len(means)))

    measures = [
        FAMILY.summarize(similarity, collection, own),
        create_std(STD_OVER_IMAGES, "images", scores),
        create_std(STD_OVER_PERSONS, "persons", np.array(means)),
        FAMILY.summarize(RECOGNIZED.at(frame=frame), collection, is_top),
    ]
    return Findings(measures, [row for row in images if not np.isnan(row.value)])


FAMILY = Family(
    "similarity",
    "The paper's similarity",
    "The probability that an Xception, trained to distinguish these persons, gives to the print's own person. It must "
    "choose one of them, so it can be certain about an image that is not a print: see the controls.",
    measures=(SIMILARITY, STD_OVER_IMAGES, STD_OVER_PERSONS, RECOGNIZED),
    compute=lambda study, tools: measure(study, tools.data_config),
    headlines=(Headline((SIMILARITY,), "What does the paper's score say?", "The mean score"),),
    rank=2,
    # The classifier was trained on the reference itself.
    baseline=OTHER_IMPRESSIONS,
    list_networks=lambda study: study.classifier_workdirs,
    is_by_classifier_seed=True,
)
