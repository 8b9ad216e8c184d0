"""Owns the experiments of one set under several seeds: every GAN is scored by every classifier.

Does not own the stages (`chain.py`), or how a spread is split (`evaluation/statistics/seed_spread.py`).
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.statistics.seed_spread import compute_spread
from fpgan_jax.reproduction import chain, stages
from fpgan_jax.scoring import table2
from fpgan_jax.scoring.similarity import KINDS, ScoreRow
from fpgan_jax.tables import formats
from fpgan_jax.tables.csv_rows import read_rows, write_rows

# The kinds of prints that a generator drew; the scores of all others depend on the classifier only.
_DRAWN_KINDS = ("synthetic", "new_noise")
_HEADER = (
    *("set", "scored", "GAN seeds", "classifier seeds", "mean", "95% low", "95% high"),
    *("std GAN", "std classifier", "std rest", "paper", "what it is"),
)
_EXPLANATION = """\
(mean: over images and seeds; 95%: the interval of that mean over new seeds, for these persons. std GAN, std classifier:
the spread of a mean due to the seed of either, by a two-way analysis of variance without repetition; rest: due to the
two together. Prints that no generator drew have no part of the GAN. -: one seed has no spread; one or two seeds, or
equal numbers, have no interval.)
"""


@dataclasses.dataclass(frozen=True)
class PairRow:
    """The scores of one kind of prints for one GAN and one classifier; one row of the CSV.

    Attributes:
      set: set_name of the config.
      kind: one of `similarity.KINDS`.
      mean: mean similarity score, in [0, 1].
      recognised: fraction of images whose most probable person is the one that they are scored as.
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

    Each network is trained once per seed, as `chain.reproduce` trains it with that config.seed. The noise and the
    prints are the same for all seeds. Seeds can be added later.

    Args:
      config: config of the experiment; its seed and classifier.seed are not used. Other seeds that it sets stay fixed.
      workdir: folder for gan_seed_N/ and classifier_seed_N/ with the files of `chain.reproduce`,
        gan_seed_N_classifier_seed_M/scores.csv, seed_pairs.csv and seeds.{txt,md,csv,tex}.

    Returns:
      The text to show: the means with their intervals and spreads.

    Raises:
      UserError: the seeds are not valid, or an error of `chain.check_experiment`.
    """
    gan_configs = _create_configs("gan_seeds", gan_seeds, config)
    classifier_configs = _create_configs("classifier_seeds", classifier_seeds, config)
    with stages.hold_experiment(config, workdir, chain.check_experiment(config, workdir)):
        _train(gan_configs, classifier_configs, workdir)
        rows = _score(config, gan_seeds, classifier_seeds, workdir)
        write_rows(os.path.join(workdir, "seed_pairs.csv"), rows)
        cells = _create_cells(rows)
        formats.write_table(workdir, "seeds", _HEADER, cells)
    return f"\n{formats.format_text(_HEADER, cells)}{_EXPLANATION}\nEverything is in {workdir}"


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
        *before_scores, draw = chain.create_gan_stages(config, folder)
        pattern = f"gan_seed_{seed}_classifier_seed_*"
        before_scores = [_discard_scores_before(stage, workdir, pattern) for stage in before_scores]
        stages.run_stages([*before_scores, draw], config, folder)
    for number, (seed, config) in enumerate(classifier_configs.items(), start=1):
        folder = os.path.join(workdir, f"classifier_seed_{seed}")
        print(f"classifier seed {seed} ({number} of {len(classifier_configs)}), in {folder}", flush=True)
        stage = chain.create_classifier_stage(config, folder)
        pattern = f"gan_seed_*_classifier_seed_{seed}"
        stages.run_stages([_discard_scores_before(stage, workdir, pattern)], config, folder)


def _discard_scores_before(stage: stages.Stage, workdir: str, pattern: str) -> stages.Stage:
    """Let a stage first remove the scores that depend on its old outputs, also those of seeds not in this run."""

    def run() -> None:
        for path in pathlib.Path(workdir).glob(f"{pattern}/scores.csv"):
            path.unlink()
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
            stages.run_stages([stage], config, folder)
            scores = read_rows(os.path.join(folder, "scores.csv"), ScoreRow, "score_similarity")
            rows += _average_kinds(scores, gan_seed, classifier_seed)
    return rows


def _average_kinds(scores: Sequence[ScoreRow], gan_seed: int, classifier_seed: int) -> list[PairRow]:
    rows = []
    for kind in KINDS:
        chosen = [score for score in scores if score.kind == kind]
        if chosen:
            mean = float(np.mean([score.similarity_score for score in chosen]))
            recognised = float(np.mean([score.top_person == score.person for score in chosen]))
            set_name = chosen[0].set
            rows.append(PairRow(set_name, gan_seed, classifier_seed, kind, len(chosen), mean, recognised))
    return rows


def _create_cells(rows: Sequence[PairRow]) -> list[tuple[str, ...]]:
    """Create the cells under `_HEADER`, one row per kind."""
    set_name = rows[0].set
    paper = table2.PAPER.get(set_name)
    paper_means = {"real": paper.real.mean, "synthetic": paper.synthetic.mean} if paper else {}
    num_gans, num_classifiers = (
        len({getattr(row, name) for row in rows}) for name in ("gan_seed", "classifier_seed")
    )
    cells = []
    for kind in KINDS:
        means = [row.mean for row in rows if row.kind == kind]
        if not means:
            continue
        # The rows have all classifiers of the first GAN, then those of the second, and so on.
        table = np.reshape(means, (num_gans, num_classifiers))
        is_drawn = kind in _DRAWN_KINDS
        spread = compute_spread(table if is_drawn else table.mean(0, keepdims=True))
        numbers = (*spread, paper_means.get(kind, np.nan))
        texts = ("-" if np.isnan(number) else f"{number:.4f}" for number in numbers)
        counts = str(num_gans) if is_drawn else "-", str(num_classifiers)
        cells.append((set_name, kind, *counts, *texts, KINDS[kind]))
    return cells
