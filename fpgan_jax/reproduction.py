"""Owns the chain of stages from a config to table 2; each stage is skipped once it is done.

Does not own what a stage does. A stage's outputs are files; the next one reads nothing else.
"""

import dataclasses
import os
import time
from collections.abc import Callable

from ml_collections import ConfigDict

from fpgan_jax import configuration
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import figures, similarity, synthesis, table
from fpgan_jax.training import classifier_trainer, gan_trainer


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of the chain.

    Attributes:
      name: what the user reads.
      run: does it; continues what an interrupted run left.
      output: the file or folder that it makes, relative to the workdir.
    """

    name: str
    run: Callable[[], object]
    output: str


def create_stages(config: ConfigDict, workdir: str) -> list[Stage]:
    """List the stages of both experiments.

    Args:
      config: the experiment's config.
      workdir: holds one folder or file a stage.

    Returns:
      The stages in order.
    """

    def path(name: str) -> str:
        return os.path.join(workdir, name)

    def synthesize(noise: str) -> None:
        overrides = ConfigDict(config.synthesis.to_dict() | {"noise": noise})
        synthesis.synthesize(path("gan"), path(f"synthetic_{noise}"), overrides=overrides)

    def score() -> None:
        similarity.score_similarity(
            path("classifier"),
            [path("synthetic_training"), path("synthetic_new")],
            path("scores.csv"),
            data_overrides={name: config.data[name] for name in ("socofing_dir", "tfds_dir")},
        )

    def draw() -> None:
        figures.draw_losses(path("gan"), path("losses.png"))
        figures.draw_epochs(path("gan"), path("figure3.png"))

    def make_table() -> None:
        evaluation = config.evaluation
        table.write_tables(
            [path("scores.csv")], workdir, std_over=evaluation.std_over, std_ddof=evaluation.std_ddof
        )

    return [
        Stage("train the GAN", lambda: gan_trainer.train_and_evaluate(config, path("gan")), "gan"),
        Stage(
            "train the classifier",
            lambda: classifier_trainer.train_and_evaluate(config, path("classifier")),
            "classifier",
        ),
        Stage("synthesize from the training noise", lambda: synthesize("training"), "synthetic_training"),
        Stage("synthesize from new noise", lambda: synthesize("new"), "synthetic_new"),
        Stage("score the similarity", score, "scores.csv"),
        Stage("draw the figures", draw, "figure3.png"),
        Stage("make the table", make_table, "table2.txt"),
    ]


def reproduce(config: ConfigDict, workdir: str) -> str:
    """Run every stage that is not done yet.

    Args:
      config: the experiment's config.
      workdir: where everything goes.

    Returns:
      The text to show: table 2's row beside the paper's, the controls, and where everything lies.

    Raises:
      UserError: the config, the data or the workdir is not as it must be.
    """
    configuration.validate_config(config)
    if config.data.source != "socofing":
        raise UserError(
            f"config.data.source={config.data.source!r}: table 2 needs to know each print's person; "
            'use "socofing", or train alone with python -m launch.train_gan'
        )
    configuration.claim_workdir(workdir, config)
    stages = create_stages(config, workdir)
    marks = os.path.join(workdir, "done")
    os.makedirs(marks, exist_ok=True)
    for number, stage in enumerate(stages, start=1):
        mark = os.path.join(marks, f"{number}_{stage.output}")
        output = os.path.join(workdir, stage.output)
        header = f"[{number}/{len(stages)}] {stage.name}"
        if os.path.exists(mark) and os.path.exists(output):
            print(f"{header}: done before", flush=True)
            continue
        print(header, flush=True)
        start = time.monotonic()
        stage.run()
        with open(mark, "w", encoding="utf-8") as file:
            file.write(f"{time.monotonic() - start:.1f} s\n")
        # What follows was made from the old output.
        for later in range(number, len(stages)):
            later_mark = os.path.join(marks, f"{later + 1}_{stages[later].output}")
            if os.path.exists(later_mark):
                os.remove(later_mark)
    return _describe(config, workdir, stages)


def _describe(config: ConfigDict, workdir: str, stages: list[Stage]) -> str:
    def read(name: str) -> str:
        with open(os.path.join(workdir, name), encoding="utf-8") as file:
            return file.read()

    evaluation = config.evaluation
    places = {
        "figure3.png": "the prints after each sampled epoch (the paper's figure 3)",
        "losses.png": "the loss curves",
        "table2.{txt,md,csv,tex}": "the table, and controls.* beside it",
        "scores.csv": "one row a scored image",
        "synthetic_training/": "the synthetic prints with their manifest",
        "synthetic_new/": "the same from new noise",
        "gan/, classifier/": "config, metrics, TensorBoard events, samples, checkpoints",
    }
    width = max(map(len, places))
    lines = [f"  {name.ljust(width)}  {meaning}" for name, meaning in places.items()]
    deviation = table.describe_std(evaluation.std_over, evaluation.std_ddof)
    return "\n".join(
        [
            "",
            "Table 2",
            read("table2.txt") + f"({deviation})",
            "",
            "Controls, scored by the same classifier",
            read("controls.txt"),
            f"Everything lies in {workdir}:",
            *lines,
        ]
    )
