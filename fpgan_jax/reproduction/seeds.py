"""Owns one set's experiments under several seeds: each GAN and each classifier trained once, every pair scored.

Does not own the stages (`chain.py`), nor how a spread is split (`evaluation/statistics/seed_spread.py`).
"""

import dataclasses
import glob
import os
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.statistics.seed_spread import Spread, compute_spread
from fpgan_jax.reproduction import chain
from fpgan_jax.scoring import table2
from fpgan_jax.scoring.similarity import KINDS, ScoreRow
from fpgan_jax.tables import formats
from fpgan_jax.tables.csv_rows import read_rows, write_rows

PAIRS_FILENAME = "seed_pairs.csv"
# The kinds of prints that a generator drew; every other score is of the classifier alone.
_DRAWN_KINDS = ("synthetic", "new_noise")
HEADER = (
    "set",
    "scored",
    "GAN seeds",
    "classifier seeds",
    "mean",
    "95% low",
    "95% high",
    "std GAN",
    "std classifier",
    "std rest",
    "paper",
    "what it is",
)
_EXPLANATION = """\
(mean: over images and seeds; 95%: the interval of that mean over new seeds, for these persons. std GAN, std classifier:
what the seed of either does to a mean, by a two-way analysis of variance without repetition; rest: what only the
two together do. Prints that no generator drew have no GAN's part. -: one seed has no spread; one or two seeds, or equal
numbers, have no interval.)
"""


@dataclasses.dataclass(frozen=True)
class PairRow:
    """What one classifier gives one kind of prints beside one GAN; one row of the CSV.

    Attributes:
      set: the config's set_name.
      gan_seed: of the GAN.
      classifier_seed: of the classifier.
      kind: one of `similarity.KINDS`.
      num_images: how many were scored.
      mean: of their similarity scores, in [0, 1].
      recognised: share of them whose most probable person is the one they are scored as.
    """

    set: str
    gan_seed: int
    classifier_seed: int
    kind: str
    num_images: int
    mean: float
    recognised: float


def reproduce_seeds(
    config: ConfigDict, workdir: str, *, gan_seeds: Sequence[int], classifier_seeds: Sequence[int]
) -> str:
    """Run both experiments for every pair of a GAN's and a classifier's seed; skip what is done.

    Each network is trained once a seed, as `chain.reproduce` trains it with that config.seed. The noise
    and the prints are the same for all seeds. Seeds may be added later.

    Args:
      config: the experiment's config; its seed and classifier.seed are not used. A stream that has a seed of its own
        keeps it under all seeds.
      workdir: gets gan_seed_N/ and classifier_seed_N/ with what `chain.reproduce` would put into its workdir,
        gan_seed_N_classifier_seed_M/scores.csv, `PAIRS_FILENAME` and seeds.{txt,md,csv,tex}.
      gan_seeds: each once.
      classifier_seeds: each once.

    Returns:
      The text to show: the means with their intervals and spreads, and where everything lies.

    Raises:
      UserError: a seed is given twice or none is, or as `chain.check_experiment`.
    """
    gan_configs = _create_configs("gan_seeds", gan_seeds, config)
    classifier_configs = _create_configs("classifier_seeds", classifier_seeds, config)
    with chain.hold_experiment(config, workdir):
        _train(gan_configs, classifier_configs, workdir)
        rows = _score(config, gan_seeds, classifier_seeds, workdir)
        write_rows(os.path.join(workdir, PAIRS_FILENAME), rows)
        cells = create_cells(rows)
        formats.write_table(workdir, "seeds", HEADER, cells)
    return f"\n{formats.format_text(HEADER, cells)}{_EXPLANATION}\nEverything lies in {workdir}"


def _create_configs(flag: str, seeds: Sequence[int], config: ConfigDict) -> dict[int, ConfigDict]:
    if not seeds:
        raise UserError(f"--{flag}: names no seed")
    validate_config(config)
    configs = {}
    for seed in seeds:
        if seed in configs:
            raise UserError(f"--{flag}: {seed} is named twice")
        configs[seed] = config.copy_and_resolve_references()
        configs[seed].seed = seed
        configs[seed].classifier.seed = -1
        validate_config(configs[seed])
    return configs


def _train(
    gan_configs: Mapping[int, ConfigDict], classifier_configs: Mapping[int, ConfigDict], workdir: str
) -> None:
    for number, (seed, config) in enumerate(gan_configs.items(), start=1):
        folder = os.path.join(workdir, f"gan_seed_{seed}")
        print(f"GAN seed {seed} ({number} of {len(gan_configs)}), in {folder}", flush=True)
        *stages, draw = chain.create_gan_stages(config, folder)
        pattern = f"gan_seed_{seed}_classifier_seed_*"
        stages = [_discard_scores_before(stage, workdir, pattern) for stage in stages]
        chain.run_stages([*stages, draw], config, folder)
    for number, (seed, config) in enumerate(classifier_configs.items(), start=1):
        folder = os.path.join(workdir, f"classifier_seed_{seed}")
        print(f"classifier seed {seed} ({number} of {len(classifier_configs)}), in {folder}", flush=True)
        stage = chain.create_classifier_stage(config, folder)
        pattern = f"gan_seed_*_classifier_seed_{seed}"
        chain.run_stages([_discard_scores_before(stage, workdir, pattern)], config, folder)


def _discard_scores_before(stage: chain.Stage, workdir: str, pattern: str) -> chain.Stage:
    """Let a stage first remove the scores that were made with what it makes anew, of whichever seeds."""

    def run() -> None:
        for path in glob.glob(os.path.join(glob.escape(workdir), pattern, "scores.csv")):
            os.remove(path)
        stage.run()

    return dataclasses.replace(stage, run=run)


def _score(
    config: ConfigDict, gan_seeds: Sequence[int], classifier_seeds: Sequence[int], workdir: str
) -> list[PairRow]:
    rows = []
    for gan_seed in gan_seeds:
        for classifier_seed in classifier_seeds:
            folder = os.path.join(workdir, f"gan_seed_{gan_seed}_classifier_seed_{classifier_seed}")
            print(f"GAN seed {gan_seed}, classifier seed {classifier_seed}, in {folder}", flush=True)
            stage = chain.create_score_stage(
                config,
                folder,
                gan_dir=os.path.join(workdir, f"gan_seed_{gan_seed}"),
                classifier_dir=os.path.join(workdir, f"classifier_seed_{classifier_seed}"),
            )
            chain.run_stages([stage], config, folder)
            scores = read_rows(os.path.join(folder, "scores.csv"), ScoreRow, "score_similarity")
            rows += compute_pair(scores, gan_seed, classifier_seed)
    return rows


def compute_pair(scores: Sequence[ScoreRow], gan_seed: int, classifier_seed: int) -> list[PairRow]:
    """Average one pair's scores by kind.

    Args:
      scores: of one set.
      gan_seed: of the GAN that drew the synthetic prints.
      classifier_seed: of the classifier that scored.

    Returns:
      A row for each of `similarity.KINDS` that was scored, in its order.
    """
    rows = []
    for kind in KINDS:
        chosen = [score for score in scores if score.kind == kind]
        if chosen:
            mean = float(np.mean([score.similarity_score for score in chosen]))
            recognised = float(np.mean([score.top_person == score.person for score in chosen]))
            set_name = chosen[0].set
            rows.append(PairRow(set_name, gan_seed, classifier_seed, kind, len(chosen), mean, recognised))
    return rows


def compute_kind_spread(rows: Sequence[PairRow], kind: str) -> Spread:
    """Split the spread of one kind's means into what each kind of seed does.

    Args:
      rows: of every pair of seeds.
      kind: one of `similarity.KINDS`.

    Returns:
      The spread over [GAN seeds, classifier seeds]; over the classifier's alone for what no generator drew.
    """
    chosen = [row for row in rows if row.kind == kind]
    places = [sorted({getattr(row, name) for row in chosen}) for name in ("gan_seed", "classifier_seed")]
    means = np.full([len(seeds) for seeds in places], np.nan)
    for row in chosen:
        means[places[0].index(row.gan_seed), places[1].index(row.classifier_seed)] = row.mean
    return compute_spread(means if kind in _DRAWN_KINDS else means.mean(0, keepdims=True))


def create_cells(rows: Sequence[PairRow]) -> list[tuple[str, ...]]:
    """Write the seeds' table as cells.

    Args:
      rows: of every pair of seeds, of one set.

    Returns:
      Rows of strings under `HEADER`, one for each kind that was scored.
    """
    set_name = rows[0].set
    paper = table2.PAPER.get(set_name)
    paper_means = {"real": paper.real.mean, "synthetic": paper.synthetic.mean} if paper else {}
    num_classifiers = str(len({row.classifier_seed for row in rows}))
    cells = []
    for kind in (kind for kind in KINDS if any(row.kind == kind for row in rows)):
        num_gans = str(len({row.gan_seed for row in rows})) if kind in _DRAWN_KINDS else "-"
        numbers = (*compute_kind_spread(rows, kind), paper_means.get(kind, np.nan))
        texts = ("-" if np.isnan(number) else f"{number:.4f}" for number in numbers)
        cells.append((set_name, kind, num_gans, num_classifiers, *texts, KINDS[kind]))
    return cells
