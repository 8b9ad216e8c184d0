"""Sums of a trace's kernels, against sums by hand."""

import pytest

from fpgan_jax.benchmarking import kernel_times
from fpgan_jax.benchmarking.kernel_times import Run


def test_kernels_are_summed_by_name_and_operation():
    threads = [
        [Run("gemm", "dot.1", 0, 4000), Run("gemm", "dot.2", 5000, 1000), Run("gemm", "dot.1", 7000, 4000)],
        [Run("adam", "fusion.3", 3000, 3000)],
    ]
    found = kernel_times.sum_runs(threads, 2, num_steps=2)
    # 0 to 6 and 7 to 11 microseconds, over two steps.
    assert found["busy_us_per_step"] == 5.0 and found["kernels_per_step"] == 2.0
    first, second = found["largest"]
    assert (first["operation"], first["us_per_step"], first["runs_per_step"]) == ("dot.1", 4.0, 1.0)
    assert first["percent"] == pytest.approx(100 * 8 / 12)
    assert (second["kernel"], second["us_per_step"]) == ("adam", 1.5)


def test_what_runs_within_a_loop_is_taken_off_the_loop():
    runs = [
        Run("while", "while", 0, 10_000),
        Run("dot", "dot", 1000, 3000),
        Run("call", "call", 5000, 4000),
        Run("add", "add", 5000, 1000),
        Run("dot", "dot", 10_000, 3000),
    ]
    found = kernel_times.sum_runs([runs], 9, num_steps=1)
    own = {kernel["operation"]: kernel["us_per_step"] for kernel in found["largest"]}
    assert own == {"dot": 6.0, "while": 3.0, "call": 3.0, "add": 1.0}
    assert found["busy_us_per_step"] == 13.0


def test_nothing_that_ran_is_nothing():
    found = kernel_times.sum_runs([], 3, num_steps=1)
    assert found == {"busy_us_per_step": 0.0, "kernels_per_step": 0.0, "largest": []}


class Plane:
    def __init__(self, name, lines):
        self.name = name
        self.lines = [Line(*line) for line in lines.items()]


class Line:
    def __init__(self, name, events):
        self.name = name
        self.events = [Event(*event) for event in events]


class Event:
    duration_ns = 2

    def __init__(self, name, start_ns, **stats):
        self.name, self.start_ns, self.stats = name, start_ns, stats.items()


def test_of_a_gpu_the_streams_are_read_and_not_what_repeats_them():
    gpu = Plane("/device:GPU:0", {"Stream #7": [("gemm", 1)], "XLA Ops": [("dot.1", 1)]})
    cpu = Plane("/host:CPU", {"thread": [("python", 1)]})
    ((run,),) = kernel_times._read_threads([cpu, gpu])
    assert (run.name, run.operation) == ("gemm", "gemm")
    assert kernel_times._read_threads([cpu]) == [[]]


def test_kernels_side_by_side_on_a_gpu_count_whole():
    gpu = Plane("/device:GPU:0", {"Stream #7": [("adam", 0), ("gemm", 1), ("sum", 2)]})
    found = kernel_times.sum_runs(kernel_times._read_threads([gpu]), 3, num_steps=1)
    assert [kernel["us_per_step"] for kernel in found["largest"]] == [0.002] * 3
    assert found["busy_us_per_step"] == 0.004
