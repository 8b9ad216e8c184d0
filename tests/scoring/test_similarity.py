"""Scoring: which images are scored as whom, and the numbers in a row."""

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data import print_archive, print_loading
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis.manifest import ManifestRow
from fpgan_jax.tables.csv_rows import write_rows


class FakeScorer:
    """Knows persons 4 and 7, and gives person 7 the image's mean gray level as its probability."""

    persons = (4, 7)
    data_hash = "0123"

    def __init__(self):
        self.config = test_size.get_config()

    def compute_probabilities(self, images):
        share = images.reshape(len(images), -1).mean(1) / 255
        return np.stack([1 - share, share], axis=1)


@pytest.fixture
def config():
    return test_size.get_config()


def create_candidate(person, level):
    return similarity.Candidate("synthetic", person, 1, "a.png", np.full((2, 2, 1), level, np.uint8))


def test_the_score_is_the_probability_of_the_own_person():
    scorer = FakeScorer()
    candidate = create_candidate(4, 51)  # 51 / 255 = 0.2
    row = similarity._create_row(scorer, candidate, scorer.compute_probabilities(candidate.image[None])[0])
    assert (row.person, row.similarity_score, row.top_person, row.top_score) == (4, 0.8, 4, 0.8)


def test_the_most_probable_person_may_be_another():
    scorer = FakeScorer()
    candidate = create_candidate(7, 51)
    row = similarity._create_row(scorer, candidate, scorer.compute_probabilities(candidate.image[None])[0])
    assert (row.similarity_score, row.top_person, row.top_score) == (0.2, 4, 0.8)


def test_prints_are_scored_as_themselves_as_others_and_as_strangers(config, monkeypatch):
    def load_prints(config, *, split, persons):
        chosen = [person for person in (4, 7, 9) if person in persons]
        if split == "altered_hard":
            chosen = []
        return PrintSet(
            np.zeros((len(chosen), 2, 2, 1), np.uint8),
            np.array(chosen, np.int32),
            tuple(f"{split} {person}" for person in chosen),
        )

    monkeypatch.setattr(print_loading, "load_prints", load_prints)
    monkeypatch.setattr(print_loading, "list_persons", lambda config: (4, 7, 9))
    scorer = FakeScorer()
    scorer.data_hash = load_prints(config, split="real", persons=(4, 7)).data_hash
    candidates = similarity._load_candidates_of_prints(scorer, persons=(4,))
    found = [(candidate.kind, candidate.person, candidate.file) for candidate in candidates]
    assert found == [
        ("real", 4, "real 4"),
        ("real", 4, "real 4"),  # two replicas
        ("other_person", 4, "real 7"),
        ("unseen_person", 4, "real 9"),
        ("altered_easy", 4, "altered_easy 4"),
        ("altered_medium", 4, "altered_medium 4"),
    ]


def test_impressions_that_were_held_out_are_a_control_of_their_own(config, tmp_path):
    # Finger 4 has three impressions, whose first rows are of gray 10, 20 and 30, of which one trains; finger 7 has one.
    images = np.zeros((4, 128, 128, 1), np.uint8)
    # The other rows are black: a blank print is refused.
    images[:, 0] = np.array([10, 20, 30, 40]).reshape(4, 1, 1)
    names = ("4_1.png", "4_2.png", "4_3.png", "7_1.png")
    everyone = PrintSet(images, np.array([4, 4, 4, 7], np.int32), names)
    config.data.update(source="npz", npz_file=str(tmp_path / "prints.npz"), num_impressions=1)
    print_archive.write_archive(config.data.npz_file, dict.fromkeys(SPLITS, everyone), config.data)
    scorer = FakeScorer()
    scorer.config = config
    scorer.data_hash = print_loading.load_prints(config, persons=(4, 7)).data_hash
    candidates = similarity._load_candidates_of_prints(scorer, persons=(4,))
    found = [(c.person, c.file, c.image[0, 0, 0]) for c in candidates if c.kind == "real_held_out"]
    assert found == [(4, "4_2.png", 20), (4, "4_3.png", 30)]


def test_bare_frame_is_white_where_the_frame_is_cropped(config):
    frames = [c for c in similarity._create_artificial(config, [4]) if c.kind == "bare_frame"]
    assert [(frame.image == 255).all() for frame in frames] == [True]


def test_bare_frame_shows_the_frame_where_it_is_kept(config):
    config.data.frame = "keep"
    (frame,) = [c for c in similarity._create_artificial(config, [4]) if c.kind == "bare_frame"]
    # The black band is four of 103 rows: five of the 128 that they are enlarged to.
    assert (frame.image[-3:] < 10).all() and (frame.image[10:100, 10:100] == 255).all()


def test_noise_control_is_the_training_noise(config):
    from fpgan_jax.data.noise import create_noise_image

    noises = [c for c in similarity._create_artificial(config, [4]) if c.kind == "pure_noise"]
    expected = create_noise_image(0, 4, 1, shape=(128, 128, 1), distribution="uniform")
    assert len(noises) == 2
    np.testing.assert_array_equal(noises[1].image, expected)


def test_other_prints_than_the_classifiers_are_refused(monkeypatch):
    other = PrintSet(np.ones((2, 2, 2, 1), np.uint8), np.array([4, 7], np.int32), ("a", "b"))
    monkeypatch.setattr(print_loading, "load_prints", lambda config, split, persons: other)
    with pytest.raises(UserError, match=r"config\.data\.socofing_dir=.*not the prints that the classifier"):
        list(similarity._load_candidates_of_prints(FakeScorer(), persons=(4,)))


def write_synthetic(folder, *, size=128, **fields):
    folder.mkdir()
    Image.fromarray(np.zeros((size, size), np.uint8)).save(folder / "004_00.png")
    values = {
        "file": "004_00.png",
        "set": "test_size",
        "person": 4,
        "replica": 0,
        "noise": "training",
        "noise_seed": 0,
        "seed": 0,
        "dropout": "on",
        "statistics": "own",
        "weights": "last",
        "checkpoint_step": 6,
        "config_hash": "4567",
        "data_hash": "0123",
    }
    write_rows(str(folder / "manifest.csv"), [ManifestRow(**values | fields)])
    return str(folder)


def test_training_noise_and_new_noise_are_different_kinds(tmp_path):
    folders = [write_synthetic(tmp_path / "a"), write_synthetic(tmp_path / "b", noise="new")]
    candidates = list(similarity._load_synthetic(FakeScorer(), folders, [4]))
    assert [candidate.kind for candidate in candidates] == ["synthetic", "new_noise"]


def test_synthetic_prints_of_another_size_are_named(tmp_path):
    folder = write_synthetic(tmp_path / "a", size=64)
    with pytest.raises(
        UserError, match=r"004_00\.png: 64x64 pixels; .*128x128 \(config\.data\.image_size, image_width\)"
    ):
        list(similarity._load_synthetic(FakeScorer(), [folder], [4]))


def test_an_image_that_would_count_twice_is_refused(tmp_path):
    folders = [write_synthetic(tmp_path / "a"), write_synthetic(tmp_path / "b")]
    with pytest.raises(UserError, match=r"b/004_00\.png: would count twice, since .*a/004_00\.png"):
        list(similarity._load_synthetic(FakeScorer(), folders, [4]))


def test_a_folder_of_nobody_who_is_scored_is_named(tmp_path):
    folder = write_synthetic(tmp_path / "a", person=-1)
    with pytest.raises(UserError, match=r"a: none of its prints is of a person who is scored \(4\)"):
        list(similarity._load_synthetic(FakeScorer(), [folder], [4]))


def test_a_generator_of_other_prints_is_refused(tmp_path):
    folder = write_synthetic(tmp_path / "a", data_hash="ffff")
    with pytest.raises(UserError, match=r"a: drawn by a generator that was trained on other prints"):
        list(similarity._load_synthetic(FakeScorer(), [folder], [4]))


def test_a_generator_of_pair_files_is_scored_with_a_warning(tmp_path, caplog):
    folder = write_synthetic(tmp_path / "a", data_hash="files-ffff")
    assert len(list(similarity._load_synthetic(FakeScorer(), [folder], [4]))) == 1
    assert "may hold other prints" in caplog.text
