"""The paper's similarity: the probability that the classifier assigns to a print's own person."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import image_shape
from fpgan_jax.config.files import restore_config
from fpgan_jax.data import pairs, print_loading
from fpgan_jax.data.image_files import read_image
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.data.procedural.impressions import create_empty_print
from fpgan_jax.errors import UserError
from fpgan_jax.host.progress import create_progress
from fpgan_jax.models import factory
from fpgan_jax.synthesis.manifest import ManifestRow, read_manifest
from fpgan_jax.tables.csv_rows import write_rows
from fpgan_jax.training.checkpoints.restore import check_variables, restore_for_evaluation

# The kinds of rows in the order of the table. All but the first two are controls.
KINDS = {
    "real": "the set's real prints, which the classifier was trained on",
    "synthetic": "drawn from the training noise",
    "new_noise": "drawn from noise that the generator never saw",
    "real_held_out": "other real impressions of the person's finger, which the classifier never saw",
    "altered_easy": "the person's altered prints, which the classifier never saw, easy",
    "altered_medium": "the same, medium",
    "altered_hard": "the same, hard",
    "other_person": "real prints of the set's other persons, scored as this person",
    "unseen_person": "real prints of persons outside the set, scored as this person",
    "pure_noise": "the noise images themselves",
    "bare_frame": "an empty scan: the frame, if it was kept, around white",
}


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """One scored image; one row of the CSV.

    Attributes:
      set: the config's set_name.
      kind: one of `KINDS`.
      person: the person whom the image is scored as.
      replica: number of the replica, or 0.
      file: where the image came from.
      similarity_score: probability of `person`.
      top_person: the most probable person.
      top_score: that person's probability.
    """

    set: str
    kind: str
    person: int
    replica: int
    file: str
    similarity_score: float
    top_person: int
    top_score: float


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An image to be scored, uint8 [height, width, channels]; the other fields are as in `ScoreRow`."""

    kind: str
    person: int
    replica: int
    file: str
    image: np.ndarray


class Scorer:
    """A trained classifier, ready to score.

    Attributes:
      config: the checkpoint's config.
      persons: the persons it knows, in the order of its classes.
      data_hash: of the prints that it was trained on.
    """

    def __init__(self, classifier_workdir: str, *, step: int | str | None = None):
        """Restore a classifier without its optimizer.

        Args:
          classifier_workdir: the workdir of `launch.train_classifier`.
          step: of the checkpoint; the last one by default.

        Raises:
          UserError: there is no such checkpoint, or its weights do not fit its config.
        """
        step, trees, metadata = restore_for_evaluation(classifier_workdir, ("classifier",), step)
        self.data_hash = metadata["data_hash"]
        self.config = restore_config(metadata, classifier_workdir)
        self.persons = tuple(metadata["persons"])
        self._compute_probabilities, self._variables = bind_classifier(
            self.config, trees["classifier"], len(self.persons), f"{classifier_workdir} step {step}"
        )

    def compute_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Compute probabilities, float32 [n, len(persons)], of images as in `compute_in_batches`."""
        batch_size = self.config.evaluation.batch_size
        return compute_in_batches(self._compute_probabilities, self._variables, images, batch_size)


def compute_in_batches(
    compute_probabilities: Callable, variables: Mapping, images: np.ndarray, batch_size: int
) -> np.ndarray:
    """Compute the probabilities of any number of images with one compiled program.

    Args:
      compute_probabilities: from `bind_classifier`.
      variables: from `bind_classifier`.
      images: uint8 [n > 0, height, width, channels], preprocessed like the training prints.
      batch_size: images per call.

    Returns:
      float32 [n, num_classes]; each row adds up to 1.
    """
    results = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        # Another size of the last batch would be another program.
        padded = np.concatenate([batch, np.repeat(batch[-1:], batch_size - len(batch), axis=0)])
        results.append(np.asarray(compute_probabilities(variables, padded))[: len(batch)])
    return np.concatenate(results)


def bind_classifier(
    config: ConfigDict, variables: Mapping, num_classes: int, origin: str
) -> tuple[Callable, dict]:
    """Bind a checkpoint's "classifier" to its config's network.

    Args:
      config: the checkpoint's config.
      variables: the weights.
      num_classes: number of persons.
      origin: where the weights came from, for the message.

    Returns:
      (a compiled function of (variables, uint8 [n, height, width, channels]) that returns probabilities, float32
      [n, num_classes]; its variables on the device).

    Raises:
      UserError: the weights do not fit the config.
    """
    classifier = factory.create_classifier(config, num_classes=num_classes)
    images = np.zeros((1, *image_shape(config.data)), np.float32)
    mode: dict[str, Any] = {"deterministic": True, "use_running_average": True}
    expected = jax.eval_shape(lambda: classifier.init(jax.random.key(0), images, **mode))
    check_variables(variables, dict(expected), origin)

    def compute_probabilities(variables: Mapping, images: jax.Array) -> jax.Array:
        logits: Any = classifier.apply(variables, scale_to_unit(images), **mode)
        return jax.nn.softmax(logits.astype(np.float32))

    return jax.jit(compute_probabilities), jax.device_put(variables)


def score_similarity(
    classifier_workdir: str,
    synthetic_dirs: Sequence[str],
    scores_path: str,
    *,
    data_overrides: Mapping | None = None,
    evaluation_overrides: Mapping | None = None,
    step: int | str | None = None,
) -> list[ScoreRow]:
    """Score real prints, synthetic prints and controls, and write one CSV row per image.

    Args:
      classifier_workdir: the workdir of `launch.train_classifier`.
      synthetic_dirs: folders of `launch.synthesize`, from training noise, new noise or both.
      scores_path: the CSV to write, which appears when it is complete.
      data_overrides: fields of `config.data` to use instead of the checkpoint's, for a dataset that has moved.
      evaluation_overrides: fields of `config.evaluation`.
      step: of the classifier's checkpoint; the last one by default, "best" by the run's own metric.

    Raises:
      UserError: a folder or checkpoint is missing or does not fit the classifier, the prints are not
        those that the classifier or a generator was trained on, or an image would count twice.

    Source: Cordeiro & Saito, section 4, experiment 2; differs in: the controls are ours.
    """
    scorer = Scorer(classifier_workdir, step=step)
    scorer.config.data.update(data_overrides or {})
    scorer.config.evaluation.update(evaluation_overrides or {})
    validate_config(scorer.config)
    # A path that cannot be written to fails here, before the work.
    os.makedirs(os.path.dirname(os.path.abspath(scores_path)), exist_ok=True)
    if os.path.isdir(scores_path):
        raise UserError(f"--scores={scores_path}: is a folder; name a file in it")
    persons = scorer.persons[: scorer.config.evaluation.num_test_persons]
    candidates = [
        *_load_candidates_of_prints(scorer, persons),
        *_load_synthetic(scorer, synthetic_dirs, persons),
        *_create_artificial(scorer.config, persons),
    ]
    rows = []
    with create_progress(len(candidates), "scoring", "images") as progress:
        chunk_size = 4 * scorer.config.evaluation.batch_size
        for start in range(0, len(candidates), chunk_size):
            chunk = candidates[start : start + chunk_size]
            probabilities = scorer.compute_probabilities(np.stack([candidate.image for candidate in chunk]))
            pairs_of_chunk = zip(chunk, probabilities, strict=True)
            rows += [_create_row(scorer, candidate, values) for candidate, values in pairs_of_chunk]
            progress.update(len(chunk))
    write_rows(scores_path, rows)
    return rows


def _create_row(scorer: Scorer, candidate: Candidate, probabilities: np.ndarray) -> ScoreRow:
    top = int(probabilities.argmax())
    return ScoreRow(
        set=scorer.config.set_name,
        kind=candidate.kind,
        person=candidate.person,
        replica=candidate.replica,
        file=candidate.file,
        similarity_score=float(probabilities[scorer.persons.index(candidate.person)]),
        top_person=scorer.persons[top],
        top_score=float(probabilities[top]),
    )


def _load_candidates_of_prints(scorer: Scorer, persons: Sequence[int]) -> Iterator[Candidate]:
    """Load the dataset's prints: real, held-out, other, unseen and altered ones."""
    config, known = scorer.config, scorer.persons
    real = print_loading.load_prints(config, split="real", persons=known)
    if real.data_hash != scorer.data_hash:
        raise UserError(
            f"{print_loading.describe_origin(config.data)}: these are not the prints that the classifier was "
            "trained on; name where those are"
        )
    for image, owner, name in zip(real.images, real.persons, real.filenames, strict=True):
        for person in persons:
            if person == owner:
                # The replicas of a print are one image; the rows repeat to give the paper's counts.
                for replica in range(config.data.num_replicas):
                    yield Candidate("real", person, replica, name, image)
            else:
                yield Candidate("other_person", person, 0, name, image)
    if config.data.num_impressions:
        held_out = print_loading.load_prints(config, persons=persons, impressions=print_loading.HELD_OUT)
        for image, person, name in zip(held_out.images, held_out.persons, held_out.filenames, strict=True):
            yield Candidate("real_held_out", int(person), 0, name, image)
    everyone = print_loading.list_persons(config)
    unseen = [person for person in everyone if person not in known][: config.evaluation.num_unseen_persons]
    if unseen:
        prints = print_loading.load_prints(config, split="real", persons=unseen)
        for image, name in zip(prints.images, prints.filenames, strict=True):
            yield from (Candidate("unseen_person", person, 0, name, image) for person in persons)
    for split in ("altered_easy", "altered_medium", "altered_hard"):
        prints = print_loading.load_prints(config, split=split, persons=persons)
        for image, person, name in zip(prints.images, prints.persons, prints.filenames, strict=True):
            yield Candidate(split, int(person), 0, name, image)


def _load_synthetic(scorer: Scorer, folders: Sequence[str], persons: Sequence[int]) -> Iterator[Candidate]:
    config = scorer.config
    paths: dict[Any, str] = {}
    for folder in folders:
        rows = read_manifest(folder)
        check_origin(folder, rows, scorer.data_hash)
        if not any(row.person in persons for row in rows):
            raise UserError(
                f"{folder}: none of its prints is of a person who is scored ({', '.join(map(str, persons))}); "
                "launch.evaluate judges prints that are nobody's"
            )
        for row in (row for row in rows if row.person in persons):
            path = os.path.join(folder, row.file)
            kind = "synthetic" if row.noise == "training" else "new_noise"
            first = paths.setdefault((kind, row.person, row.replica), path)
            if first != path:
                raise UserError(
                    f"{path}: would count twice, since {first} is of the same pair; give one of them"
                )
            yield Candidate(kind, row.person, row.replica, row.file, read_synthetic_image(path, config.data))


def read_synthetic_image(path: str, data_config: ConfigDict) -> np.ndarray:
    """Read a synthetic print, uint8 [height, width, channels], for a classifier with this config.data.

    Raises:
      UserError: it cannot be read or has another size.
    """
    image = read_image(path, data_config.num_channels)
    height, width, _ = image_shape(data_config)
    if image.shape[:2] != (height, width):
        raise UserError(
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels; the classifier was trained on {width}x{height} "
            "(config.data.image_size, image_width)"
        )
    return image


def check_origin(folder: str, rows: Sequence[ManifestRow], data_hash: str) -> None:
    """Check that a folder's generator was trained on the classifier's prints; warn if that is unknown.

    Raises:
      UserError: the generator was trained on other prints.
    """
    origin = rows[0].data_hash
    if origin.startswith(pairs.FILES_PREFIX):
        logging.warning(
            "%s: drawn by a generator of pair files, which may hold other prints than this classifier's",
            folder,
        )
    elif origin != data_hash:
        raise UserError(
            f"{folder}: drawn by a generator that was trained on other prints than the classifier; "
            "train both with the same config.data"
        )


def _create_artificial(config: ConfigDict, persons: Sequence[int]) -> Iterator[Candidate]:
    """Create images that are not prints: the noise images, and an empty scan."""
    data = config.data
    empty_scan = create_empty_print(data)
    for person in persons:
        for replica in range(data.num_replicas):
            number = replica if data.noise_per == "replica" else 0
            settings = {"shape": image_shape(data), "distribution": data.noise_distribution}
            image = create_noise_image(data.noise_seed, person, number, **settings)
            yield Candidate("pure_noise", person, replica, "noise", image)
        yield Candidate("bare_frame", person, 0, "empty scan", empty_scan)
