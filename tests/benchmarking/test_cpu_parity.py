"""How far two steps on a device are from the CPU's; tests/launch/test_benchmark.py takes them."""

import math

import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import cpu_parity


@pytest.mark.parametrize(
    ("found", "metric", "difference"),
    [
        ({"loss": 2.0, "l1_loss": 0.5}, "loss", 0.0),
        ({"loss": 2.1, "l1_loss": 0.55}, "l1_loss", 0.1),
        ({"loss": math.nan, "l1_loss": 0.55}, "loss", math.inf),
    ],
)
def test_the_largest_difference_is_relative(found, metric, difference):
    result = cpu_parity.find_largest_difference({"loss": 2.0, "l1_loss": 0.5}, found)
    assert result["metric"] == metric and result["largest_difference"] == pytest.approx(difference)


def take_steps(cpu, here):
    return lambda request, platform: {"loss": cpu if platform == "cpu" else here}


@pytest.mark.parametrize(("here", "agrees"), [(1.0009, True), (1.0011, False), (math.nan, False)])
def test_a_thousandth_of_a_loss_agrees(monkeypatch, here, agrees):
    monkeypatch.setattr(cpu_parity, "_take_steps_elsewhere", take_steps(1.0, here))
    rows = list(cpu_parity.compare_steps(pix2pix_socofing.get_config()))
    assert [row["name"] for row in rows] == ["gan_step", "xception_step"]
    assert all(row["agrees"] is agrees for row in rows)


def test_steps_that_fail_say_so_and_the_others_are_compared(monkeypatch):
    def fail_at_the_gan(request, platform):
        if request["case"]["name"] == "gan_step":
            raise RuntimeError("no memory")
        return {"loss": 1.0}

    monkeypatch.setattr(cpu_parity, "_take_steps_elsewhere", fail_at_the_gan)
    gan, xception = cpu_parity.compare_steps(pix2pix_socofing.get_config())
    assert gan["error"] == "no memory" and xception["agrees"]
