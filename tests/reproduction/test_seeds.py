"""Several seeds of GAN and classifier: what is trained, what is scored again, and the table of the spread."""

import csv
import pathlib

import pytest

from configs import test_size
from fpgan_jax.config.derived import resolve_seed
from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.reproduction import chain, seeds
from fpgan_jax.reproduction.stages import Stage
from fpgan_jax.scoring.similarity import ScoreRow
from fpgan_jax.tables.csv_rows import write_rows


@pytest.fixture
def config():
    config = test_size.get_config()
    config.set_name = "P50"
    config.data.socofing_dir = "prints"
    return config


@pytest.fixture
def ran(monkeypatch):
    """Let every stage only note that it ran, with its seed, and write its file; return the notes."""
    ran = []

    def create_stage(name, note, file, folder):
        def run():
            ran.append(note)
            pathlib.Path(folder, file).write_text("")

        return Stage(name, run, (file,))

    def create_gan_stages(config, folder):
        return [
            create_stage("train the GAN", f"train G{config.seed}", "gan", folder),
            create_stage("draw the figures", f"draw G{config.seed}", "figure", folder),
        ]

    def create_classifier_stage(config, folder):
        seed = resolve_seed(config, "classifier.seed")
        return create_stage("train the classifier", f"train C{seed}", "classifier", folder)

    def create_score_stage(config, folder, *, gan_dir, classifier_dir):
        gan, classifier = int(gan_dir[-1]), int(classifier_dir[-1])

        def score():
            ran.append(f"score G{gan} C{classifier}")
            # Synthetic prints' scores depend on both, the real ones' on the classifier alone.
            values = {"real": 0.9 + classifier / 100, "synthetic": 0.5 + gan / 10 + classifier / 100}
            rows = [ScoreRow("P50", kind, 1, 0, "a", value, 1 + gan, 0.5) for kind, value in values.items()]
            write_rows(f"{folder}/scores.csv", rows)

        return Stage("score the similarity", score, ("scores.csv",), fields=("evaluation.num_",))

    source = type("Source", (), {"data_hash": "0123"})
    monkeypatch.setattr(feeding, "create_classifier_source", lambda config: source)
    for create in (create_gan_stages, create_classifier_stage, create_score_stage):
        monkeypatch.setattr(chain, create.__name__, create)
    return ran


def reproduce(config, workdir, gan_seeds=(0, 3), classifier_seeds=(1, 2)):
    return seeds.reproduce_seeds(config, str(workdir), gan_seeds=gan_seeds, classifier_seeds=classifier_seeds)


def test_each_network_is_trained_once_a_seed_and_every_pair_scored(config, ran, tmp_path):
    reproduce(config, tmp_path)
    assert ran == [
        *("train G0", "draw G0", "train G3", "draw G3", "train C1", "train C2"),
        *("score G0 C1", "score G0 C2", "score G3 C1", "score G3 C2"),
    ]
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    pairs = {f"gan_seed_{gan}_classifier_seed_{classifier}" for gan in (0, 3) for classifier in (1, 2)}
    assert folders == {"gan_seed_0", "gan_seed_3", "classifier_seed_1", "classifier_seed_2"} | pairs


def test_the_seeds_of_the_config_decide_nothing(config, ran, tmp_path):
    config.seed, config.classifier.seed = 8, 9
    reproduce(config, tmp_path, (0,), (1,))
    assert ran == ["train G0", "draw G0", "train C1", "score G0 C1"]


def test_what_is_done_is_not_done_again(config, ran, tmp_path):
    text = reproduce(config, tmp_path)
    ran.clear()
    assert reproduce(config, tmp_path) == text and ran == []


def test_seeds_may_be_added(config, ran, tmp_path):
    reproduce(config, tmp_path, (0,), (1,))
    ran.clear()
    reproduce(config, tmp_path, (3, 0), (1, 2))
    assert ran == ["train G3", "draw G3", "train C2", "score G3 C1", "score G3 C2", "score G0 C2"]


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("gan_seed_3/gan", ["train G3", "draw G3", "score G3 C1", "score G3 C2"]),
        ("gan_seed_3/figure", ["draw G3"]),
        ("classifier_seed_2/classifier", ["train C2", "score G0 C2", "score G3 C2"]),
        ("gan_seed_0_classifier_seed_2/scores.csv", ["score G0 C2"]),
    ],
)
def test_what_was_made_from_a_lost_file_is_made_again(config, ran, tmp_path, lost, again):
    reproduce(config, tmp_path)
    ran.clear()
    (tmp_path / lost).unlink()
    reproduce(config, tmp_path)
    assert ran == again


def test_a_lost_network_outdates_the_scores_of_seeds_that_are_not_asked_for(config, ran, tmp_path):
    reproduce(config, tmp_path)
    (tmp_path / "gan_seed_3" / "gan").unlink()
    reproduce(config, tmp_path, (3,), (1,))
    ran.clear()
    reproduce(config, tmp_path)
    assert ran == ["score G3 C2"]


def test_a_changed_number_of_test_persons_scores_again_and_trains_nothing(config, ran, tmp_path):
    reproduce(config, tmp_path, (0,), (1,))
    ran.clear()
    config.evaluation.num_unseen_persons = 2
    reproduce(config, tmp_path, (0,), (1,))
    assert ran == ["score G0 C1"]


@pytest.mark.parametrize(
    ("gan_seeds", "classifier_seeds", "message"),
    [
        ((), (0,), "--gan_seeds: names no seed"),
        ((0,), (), "--classifier_seeds: names no seed"),
        ((0, 1, 0), (0,), "--gan_seeds: 0 is named twice"),
        ((-1,), (0,), r"config\.seed=-1: must be at least 0"),
    ],
)
def test_seeds_that_cannot_be_are_refused(config, ran, tmp_path, gan_seeds, classifier_seeds, message):
    with pytest.raises(UserError, match=message):
        reproduce(config, tmp_path / "run", gan_seeds, classifier_seeds)
    assert ran == [] and not (tmp_path / "run").exists()


def test_the_table_has_each_mean_with_the_spread_of_either_seed(config, ran, tmp_path):
    reproduce(config, tmp_path)
    with open(tmp_path / "seeds.csv", newline="") as file:
        rows = {row["scored"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["real", "synthetic"]
    row = rows["synthetic"]
    # 0.51, 0.52 and 0.81, 0.82: GANs differ by 0.3, classifiers by 0.01, and nothing is left.
    assert (row["mean"], row["paper"]) == ("0.6650", "0.8794")
    assert (row["std GAN"], row["std classifier"]) == (f"{0.3 / 2**0.5:.4f}", f"{0.01 / 2**0.5:.4f}")
    assert float(row["std rest"]) == 0


def test_what_no_gan_drew_is_counted_once_a_classifier(config, ran, tmp_path):
    reproduce(config, tmp_path)
    with open(tmp_path / "seeds.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["GAN seeds"], row["classifier seeds"], row["std GAN"]) == ("-", "2", "-")
    # 0.91 and 0.92; two seeds have no interval.
    assert (row["mean"], row["95% low"], row["95% high"]) == ("0.9150", "-", "-")


def test_one_pair_of_seeds_has_a_mean_and_no_spread(config, ran, tmp_path):
    reproduce(config, tmp_path, (0,), (1,))
    with open(tmp_path / "seeds.csv", newline="") as file:
        row = list(csv.DictReader(file))[1]
    names = ("mean", "95% low", "95% high", "std GAN", "std classifier", "std rest")
    assert [row[name] for name in names] == ["0.5100", "-", "-", "-", "-", "-"]


def test_every_pair_stands_in_a_file_of_its_own(config, ran, tmp_path):
    reproduce(config, tmp_path)
    with open(tmp_path / "seed_pairs.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "synthetic"]
    found = [
        (row["gan_seed"], row["classifier_seed"], round(float(row["mean"]), 9), row["recognised"])
        for row in rows
    ]
    # Only beside GAN seed 0 is the most probable person the one it is scored as.
    assert found == [
        ("0", "1", 0.51, "1.0"),
        ("0", "2", 0.52, "1.0"),
        ("3", "1", 0.81, "0.0"),
        ("3", "2", 0.82, "0.0"),
    ]


def test_a_config_without_a_group_of_fields_is_named(config, tmp_path):
    del config.classifier
    with pytest.raises(UserError, match=r"config\.classifier\.[a-z_.]+: missing; start from"):
        seeds.reproduce_seeds(config, str(tmp_path), gan_seeds=(0,), classifier_seeds=(0,))
