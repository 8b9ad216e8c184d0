"""What limits a synthesis, and which cases of it there are; tests/launch/test_benchmark.py times one."""

import pytest

from fpgan_jax.benchmarking import options, synthesis


@pytest.mark.parametrize(
    ("is_shared", "percent"),
    [
        (False, 75.0),
        (True, 100.0),
    ],  # 3 of 4 seconds where both work at once; 3 + 1 of 4 where they take turns
    ids=["own", "shared"],
)
def test_what_is_possible_depends_on_whose_cores_encode(is_shared, percent):
    rates = synthesis.describe_rates(3.0, 1.0, 4.0, is_shared=is_shared)
    assert rates["percent_of_possible"] == percent
    assert (rates["limit"], rates["images_per_second"]) == ("device", 0.25)


def test_a_hundred_million_take_days():
    rates = synthesis.describe_rates(0.0001, 0.000432, 0.000864, is_shared=False)
    assert rates["days_for_many"] == pytest.approx(1.0) and rates["limit"] == "encoder"


def test_the_batch_sizes_are_not_asked():
    found = options.list_cases(options.Options(cases=("synthesis",), sizes=(128,), batch_sizes=(1, 8)))
    assert {(case.image_size, case.batch_size) for case in found} == {(128, 16)}
    assert len(found) == 2  # float32, bfloat16
