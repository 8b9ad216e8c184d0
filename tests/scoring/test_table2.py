"""Table 2 from score rows, against numbers worked out by hand."""

import numpy as np
import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.scoring import table2
from fpgan_jax.scoring.similarity import ScoreRow


def create_row(kind, person, score, *, name="P50", top_person=None):
    return ScoreRow(
        name, kind, person, 0, "file.png", score, person if top_person is None else top_person, 0.5
    )


# Person 1's mean is 0.9, person 2's is 0.5.
SYNTHETIC = [
    create_row("synthetic", 1, 0.8),
    create_row("synthetic", 1, 1.0),
    create_row("synthetic", 2, 0.4),
    create_row("synthetic", 2, 0.6),
]
REAL = [create_row("real", 1, 1.0), create_row("real", 2, 1.0)]


def test_mean_and_deviation_over_persons():
    score = table2.compute_score(SYNTHETIC, std_over="persons", std_ddof=0)
    np.testing.assert_allclose([score.mean, score.std], [0.7, 0.2])
    assert (score.num_images, score.num_persons) == (4, 2)


def test_deviation_over_images():
    score = table2.compute_score(SYNTHETIC, std_over="images", std_ddof=0)
    # Squared distances from 0.7: 0.01, 0.09, 0.09, 0.01.
    np.testing.assert_allclose(score.std, np.sqrt(0.2 / 4))


def test_ddof_one_divides_by_one_less():
    score = table2.compute_score(SYNTHETIC, std_over="images", std_ddof=1)
    np.testing.assert_allclose(score.std, np.sqrt(0.2 / 3))


def test_deviation_of_one_value_with_ddof_one_is_not_a_number():
    assert np.isnan(table2.compute_score(SYNTHETIC[:2], std_over="persons", std_ddof=1).std)


def test_a_control_tells_how_often_the_person_came_first():
    rows = [create_row("other_person", 1, 0.1, top_person=2), create_row("other_person", 1, 0.6)]
    (result,) = table2.compute_table([*REAL, *SYNTHETIC, *rows])
    (control,) = result.controls
    assert (control.kind, control.recognized, control.score.mean) == ("other_person", 0.5, 0.35)


def test_sets_come_in_the_papers_order():
    rows = [
        create_row(kind, 1, 1.0, name=name) for name in ("Z", "P250", "P50") for kind in ("real", "synthetic")
    ]
    assert [result.name for result in table2.compute_table(rows)] == ["P50", "P250", "Z"]


def test_the_papers_row_stands_below_ours():
    cells = table2.create_cells(table2.compute_table([*REAL, *SYNTHETIC]))
    assert cells == [
        ("P50", "ours", "4", "2", "1.0000", "0.0000", "0.7000", "0.2000"),
        ("P50", "paper", "30", "3", "0.9924", "0.0060", "0.8794", "0.0990"),
    ]


def test_a_deviation_of_one_person_with_ddof_one_is_a_dash():
    rows = [*REAL[:1], *SYNTHETIC[:2]]
    (cells, *_) = table2.create_cells(table2.compute_table(rows, std_ddof=1))
    assert cells[4:] == ("1.0000", "-", "0.9000", "-")


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_named(score):
    with pytest.raises(UserError, match=r"file\.png: similarity_score is (nan|inf) in the scores of set P50"):
        table2.compute_table([*REAL, *SYNTHETIC, create_row("new_noise", 1, score)])


def test_a_set_without_synthetic_prints_is_named():
    with pytest.raises(UserError, match="set P50: the scores hold no synthetic prints"):
        table2.compute_table(REAL)


def test_an_unknown_kind_is_named():
    with pytest.raises(UserError, match="unknown kind 'foo'"):
        table2.compute_table([create_row("foo", 1, 1.0)])


def test_two_files_of_one_set_are_refused(tmp_path):
    row = "set,kind,person,replica,file,similarity_score,top_person,top_score\nP50,real,1,0,a,1.0,1,1.0\n"
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(row)
    with pytest.raises(UserError, match=r"b\.csv: set P50 was already read from .*a\.csv"):
        table2.write_tables([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("person\n1\n", "not a file of launch.score_similarity"), ("", "holds no rows")],
)
def test_a_foreign_score_file_is_named(tmp_path, text, message):
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(UserError, match=rf"scores\.csv: {message}"):
        table2.write_tables([str(tmp_path / "scores.csv")], str(tmp_path / "out"))
