"""Which cases the options ask for, and which options are refused."""

import pytest

from fpgan_jax.benchmarking import options
from fpgan_jax.errors import UserError


def test_every_combination_once():
    chosen = options.Options(
        cases=("xception_step", "gan_step"), sizes=(128,), widths=(32, 64), batch_sizes=(1, 8)
    )
    found = options.list_cases(chosen)
    assert len(found) == len(set(found)) == 2 * 2 * 2 + 2 * 2
    assert {case.num_features for case in found if case.name == "xception_step"} == {0}


def test_the_smallest_has_every_case():
    found = options.list_cases(options.Options(smallest=True))
    assert {case.name for case in found} == set(options.CASE_NAMES) - set(options.PROCESS_CASES)


def test_the_goals():
    found = options.list_cases(options.Options(goals=True))
    fields = [(case.name, case.image_size, case.num_features, case.batch_size) for case in found]
    assert fields == [("gan_step", 256, 64, 1), ("gan_step", 128, 32, 8), ("xception_step", 128, 0, 8)]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"cases": ("gan",)}, "--cases: 'gan'"),
        ({"dtypes": ("float16",)}, "--dtypes: 'float16'"),
        ({"peer_variants": ("jit",)}, "--peer_variants: 'jit'"),
        ({"sizes": (0,)}, "--sizes"),
        ({"batch_sizes": ()}, "--batch_sizes: is empty"),
        ({"goals": True, "smallest": True}, "choose one"),
        ({"out": "rows.md"}, "--out=rows.md"),
    ],
)
def test_an_option_that_is_not_as_it_must_be(fields, text):
    with pytest.raises(UserError, match=text):
        options.list_cases(options.Options(**fields))
