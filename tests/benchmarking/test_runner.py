"""Which cases the options ask for, and which options are refused."""

import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import ceilings, peer_worker, runner, timing
from fpgan_jax.errors import UserError


def test_every_combination_once():
    options = runner.Options(
        cases=("xception_step", "gan_step"), sizes=(128,), widths=(32, 64), batch_sizes=(1, 8)
    )
    found = runner.list_cases(options)
    assert len(found) == len(set(found)) == 2 * 2 * 2 + 2 * 2
    assert {case.num_features for case in found if case.name == "xception_step"} == {0}


def test_the_smallest_has_every_case():
    found = runner.list_cases(runner.Options(smallest=True))
    assert {case.name for case in found} == set(runner.CASE_NAMES) - set(runner.PROCESS_CASES)


def test_the_goals():
    found = runner.list_cases(runner.Options(goals=True))
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
        runner.list_cases(runner.Options(**fields))


def test_a_missing_torch_names_the_extra(monkeypatch):
    monkeypatch.setattr(peer_worker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e \.\[compare\]"):
        runner.run_benchmark(pix2pix_socofing.get_config(), runner.Options(smallest=True, peers=True))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generator.norm", "batch_per_example"),
        ("generator.skip", "after_activation"),
        ("generator.upsampling", "resize"),
        ("update_order", "simultaneous"),
        ("data.jitter", 30),
        ("ema_decay", 0.9),
    ],
)
def test_a_config_that_pytorchs_side_does_not_have(field, value):
    config = pix2pix_socofing.get_config()
    peer_worker.check_comparable(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=f"config.{field}="):
        peer_worker.check_comparable(config)


def test_ceilings_are_positive():
    settings = timing.Settings(min_repeats=2, min_seconds=0.0, rounds=1)
    measured = ceilings.measure_ceilings(("float32", "bfloat16"), settings, smallest=True)
    assert set(measured.flop_per_second) == {"float32", "bfloat16"}
    assert min(*measured.flop_per_second.values(), measured.bytes_per_second) > 1e6
