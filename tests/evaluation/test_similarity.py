"""Scoring: which images are scored as whom, and the numbers in a row."""

import numpy as np
import pytest

from configs import test_size
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation import similarity


class FakeScorer:
    """Knows persons 4 and 7, and gives person 7 the image's mean grey as its probability."""

    persons = (4, 7)

    def __init__(self):
        self.config = test_size.get_config()

    def compute_probabilities(self, images):
        share = images.reshape(len(images), -1).mean(1) / 255
        return np.stack([1 - share, share], axis=1)


@pytest.fixture
def config():
    return test_size.get_config()


def create_candidate(person, grey):
    return similarity.Candidate("synthetic", person, 1, "a.png", np.full((2, 2, 1), grey, np.uint8))


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
    from fpgan_jax.data import input_pipeline

    def load_prints(config, *, split, persons):
        chosen = [person for person in (4, 7, 9) if person in persons]
        if split == "altered_hard":
            chosen = []
        return PrintSet(
            np.zeros((len(chosen), 2, 2, 1), np.uint8),
            np.array(chosen, np.int32),
            tuple(f"{split} {person}" for person in chosen),
        )

    monkeypatch.setattr(input_pipeline, "load_prints", load_prints)
    monkeypatch.setattr(input_pipeline, "list_persons", lambda config: (4, 7, 9))
    candidates = similarity._load_candidates_of_prints(config, known=(4, 7), persons=(4,))
    found = [(candidate.kind, candidate.person, candidate.file) for candidate in candidates]
    assert found == [
        ("real", 4, "real 4"),
        ("real", 4, "real 4"),  # two replicas
        ("other_person", 4, "real 7"),
        ("unseen_person", 4, "real 9"),
        ("altered_easy", 4, "altered_easy 4"),
        ("altered_medium", 4, "altered_medium 4"),
    ]


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
    expected = create_noise_image(0, 4, 1, size=128, num_channels=1, distribution="uniform")
    assert len(noises) == 2
    np.testing.assert_array_equal(noises[1].image, expected)


def test_synthetic_prints_of_another_size_are_named(config, tmp_path, monkeypatch):
    from PIL import Image

    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "004_00.png")
    row = type("Row", (), {"file": "004_00.png", "person": 4, "replica": 0, "noise": "new"})
    monkeypatch.setattr(similarity, "read_manifest", lambda folder: [row])
    with pytest.raises(UserError, match=r"004_00\.png: 64x64 pixels; .*config\.data\.image_size=128"):
        list(similarity._load_synthetic(config, [str(tmp_path)], [4]))
