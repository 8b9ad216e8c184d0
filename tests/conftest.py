"""What holds for all tests: quick compilation, a limit on their time, compiled programs let go of after each file."""

import collections
import contextlib
import gc
import importlib.util
import os
import pathlib
import sys
import time
import zlib

import pytest

# All of these before JAX is imported, and for the processes that tests start.
# Most programs here are run once or twice, and LLVM takes longer to optimize one than it then saves. Tests marked
# `optimized` ask for LLVM's optimizations.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Many tests compile the same programs, small ones most of all. Deleting the folder costs nothing but time.
_CACHE = pathlib.Path(__file__).parents[1] / ".jax_cache" / "tests"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Without LLVM's optimizations two thirds of a compilation are XLA's newer way to write fusions; the older one's numbers
# differ by rounding. Unlike its flags, XLA's extra options may be unknown to a version.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters")

# To write down from which lines every operation comes takes a tenth of the training tests' time.
os.environ.setdefault("JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS", "0")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

# XLA divides even the smallest sum among all cores, and workers that run beside each other then wait for one another.
# So each keeps to a core, with what it starts; to other ones in each run, since others' tests may be on this machine.
# Linux alone can do so.
if {"FPGAN_JAX_ONE_CORE_A_WORKER", "PYTEST_XDIST_WORKER"} <= os.environ.keys() and hasattr(
    os, "sched_setaffinity"
):
    _cores = sorted(os.sched_getaffinity(0))
    _index = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    _index += zlib.crc32(os.environ["PYTEST_XDIST_TESTRUNUID"].encode())
    os.sched_setaffinity(0, {_cores[_index % len(_cores)]})

# Imports and traced programs are millions of objects that stay. Looking for garbage among them took a third of the
# time of collecting the tests, and of a small training.
gc.disable()

# Seconds, with an empty compile cache; those of fixtures that a file shares count for the test that comes first.
_LIMIT = 5.0
_FIXTURES_LIMIT = 30.0
_NUM_SLOWEST = 10
_NOT_COMMON = {"slow", "extended", "compare", "slurm"}


def pytest_collection_modifyitems(items):
    """Skip what compares with PyTorch where there is none, so that the tests of any folder pass."""
    if importlib.util.find_spec("torch") is None:
        skip = pytest.mark.skip(reason="NOT RUN: needs PyTorch, the extra `compare`")
        for item in items:
            if item.get_closest_marker("compare"):
                item.add_marker(skip)


def pytest_collection_finish():
    """Collect garbage from now on, seldom, and not among what was imported."""
    gc.freeze()
    gc.set_threshold(100_000)
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _compile_for_a_file(request):
    with _optimize_where_marked(request.node):
        yield
    # XLA:CPU keeps each program in memory maps of its own. A process that runs thousands of tests comes to the
    # system's limit on their number (`vm.max_map_count`), and ends in a segmentation fault.
    if jax := sys.modules.get("jax"):
        jax.clear_caches()
        # What is left, imports most of all, stays: it need not be looked at after the next file.
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _compile_for_a_test(request):
    with _optimize_where_marked(request.node):
        yield


@pytest.fixture(scope="module")
def shared_programs(_compile_for_a_file):
    """Have the GANs of a file that are trained by equal configs share their programs."""
    from tests.shared_programs import share_programs

    with pytest.MonkeyPatch.context() as patch:
        share_programs(patch)
        yield


@contextlib.contextmanager
def _optimize_where_marked(node):
    if not any(mark.name == "optimized" for mark in node.own_markers):
        yield
        return
    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
        jax.clear_caches()
        jax.config.update("jax_disable_most_optimizations", False)
        yield
        jax.config.update("jax_disable_most_optimizations", True)
        jax.clear_caches()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Fail a test of the common path whose fixtures take longer than a test's may."""
    return (yield from _limit_seconds(item, "its fixtures took", _FIXTURES_LIMIT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail a test of the common path that takes longer than a test may."""
    mark = item.get_closest_marker("seconds")
    return (yield from _limit_seconds(item, "took", mark.args[0] if mark else _LIMIT))


def _limit_seconds(item, what, limit):
    begin = time.perf_counter(), _read_processor_seconds()
    result = yield
    # Beside other work the clock runs on, and two threads use two seconds of processors a second: the lesser counts.
    seconds = min(time.perf_counter() - begin[0], _read_processor_seconds() - begin[1])
    if seconds > limit and not _NOT_COMMON & {mark.name for mark in item.iter_markers()}:
        pytest.fail(
            f"{what} {seconds:.1f} s, more than {limit:g}: make it smaller, or mark it slow", pytrace=False
        )
    return result


def pytest_terminal_summary(terminalreporter):
    """Print the files whose tests took longest."""
    seconds = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if len(seconds) > 1:
        terminalreporter.section(f"slowest files, of {seconds.total():.0f} s in all")
        for name, duration in seconds.most_common(_NUM_SLOWEST):
            terminalreporter.write_line(f"{duration:7.1f} s  {name}")


def _read_processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
