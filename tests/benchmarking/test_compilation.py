"""What is read of a compiled program: its cost, and whether the persistent cache had it."""

import jax
import pytest

from fpgan_jax.benchmarking import compilation


@pytest.mark.parametrize("event", ["cache_hits", "cache_misses"])
def test_what_the_persistent_cache_gave_is_noticed(event):
    with compilation._listen_for_cache_hits() as hits:
        jax.monitoring.record_event(f"/jax/compilation_cache/{event}")
    jax.monitoring.record_event("/jax/compilation_cache/cache_hits")
    assert len(hits) == (event == "cache_hits")


class Cost:
    def __init__(self, flops):
        self._flops = flops

    def cost_analysis(self):
        return {"flops": self._flops, "bytes accessed": 8.0}

    def memory_analysis(self):
        return None


def test_what_the_compiled_program_hides_is_read_from_the_lowered_one():
    costs = compilation.measure_costs(Cost(100.0), Cost(2.0))
    assert (costs["flop"], costs["flop_source"]) == (100.0, "lowered")
    costs = compilation.measure_costs(Cost(100.0), Cost(90.0))
    assert (costs["flop"], costs["flop_source"]) == (90.0, "compiled")
    assert costs["peak_memory_bytes"] is None
