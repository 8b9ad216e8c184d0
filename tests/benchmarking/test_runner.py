"""A run of a benchmark: what fails becomes a row, and what was measured is kept."""

import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import ceilings, machine, peer_worker, report, runner, timing
from fpgan_jax.benchmarking.options import Options
from fpgan_jax.errors import UserError


def test_a_missing_torch_names_the_extra(monkeypatch):
    monkeypatch.setattr(peer_worker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[compare\]'"):
        runner.run_benchmark(pix2pix_socofing.get_config(), Options(smallest=True, peers=True))


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


@pytest.mark.parametrize("what", ["float32", "bfloat16", ceilings.COPY])
def test_a_ceiling_is_positive(what):
    settings = timing.Settings(min_repeats=2, min_seconds=0.0, rounds=1)
    assert ceilings.measure_ceiling(what, settings, smallest=True) > 1e6


def run_smallest(monkeypatch, run, **options):
    """Run a benchmark of which `run` makes the row of a case; return the rows."""
    rows = []

    def write(self, row):
        rows.append(row)
        plain_write(self, row)

    plain_write = report.RowWriter.write
    monkeypatch.setattr(report.RowWriter, "write", write)
    for name in ("_run_program", "_run_input", "_run_synthesis"):
        monkeypatch.setattr(runner._Run, name, lambda self, case: run(self, case))
    monkeypatch.setattr(ceilings, "measure_ceiling", lambda *args, **kwargs: 2e9)
    runner.run_benchmark(pix2pix_socofing.get_config(), Options(smallest=True, **options))
    return rows


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("no TensorFlow"), "no TensorFlow"),
        (RuntimeError("RESOURCE_EXHAUSTED: memory\nmore"), "RuntimeError: RESOURCE_EXHAUSTED: memory"),
        (ImportError("no module"), "ImportError: no module"),
    ],
)
def test_a_case_that_cannot_run_is_a_row_that_says_why(monkeypatch, error, text):
    def run(self, case):
        if case.name == "input_tfdata":
            raise error
        return self._describe(case, "input") | {"wait_fraction": 0.0}

    first, second = run_smallest(monkeypatch, run, cases=("input_tfdata", "input_device"))
    assert (first["kind"], first["name"], first["error"]) == ("failed", "input_tfdata", text)
    assert (second["kind"], second["name"]) == ("input", "input_device")


def test_a_process_that_fails_leaves_the_rows_before_it(monkeypatch):
    def measure(*args, **kwargs):
        yield {"kind": "weak_scaling", "name": "weak_scaling", "num_devices": 1, "overhead": 0.0}
        raise UserError("the process with 2 devices failed")

    monkeypatch.setattr(runner.scaling, "measure_weak_scaling", measure)
    first, second = run_smallest(monkeypatch, None, cases=("weak_scaling",))
    assert first["num_devices"] == 1 and "2 devices" in second["error"]


def test_no_case_is_begun_after_the_last_second(monkeypatch):
    seconds = iter(range(0, 1000, 10))
    monkeypatch.setattr(runner.time, "monotonic", lambda: next(seconds))
    rows = run_smallest(
        monkeypatch,
        lambda self, case: self._describe(case, "input") | {"wait_fraction": 0.0},
        cases=("input_tfdata", "input_device"),
        max_seconds=10,
    )
    assert rows[0]["kind"] == "input" and rows[1]["error"] == "not begun: --max_seconds=10 are over"


def test_an_interruption_leaves_rows_and_tables(monkeypatch, tmp_path, capsys):
    def run(self, case):
        if case.name == "input_device":
            raise KeyboardInterrupt
        return self._describe(case, "input") | {"wait_fraction": 0.25}

    out = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_smallest(monkeypatch, run, cases=("input_tfdata", "input_device"), out=str(out))
    assert "25.0%" in capsys.readouterr().out
    assert "25.0%" in (tmp_path / "rows.md").read_text()
    assert [row["name"] for row in report.read_rows(out)] == ["input_tfdata"]


def test_ceilings_are_measured_once_and_kept(monkeypatch, tmp_path):
    def run(self, case):
        return self._describe(case, "program") | {"ceilings": dict(self._ceilings)}

    options = {"cases": ("discriminator",), "out": str(tmp_path / "rows.jsonl")}
    measured = [row["name"] for row in run_smallest(monkeypatch, run, **options)]
    assert measured == ["ceiling", "ceiling", "discriminator"]
    (kept,) = run_smallest(monkeypatch, run, **options)
    assert kept["ceilings"] == {"float32": 2e9, "copy": 2e9}
    # Another machine's are not this one's.
    another = machine.describe_machine() | {"device": "another"}
    monkeypatch.setattr(machine, "describe_machine", lambda: another)
    assert len(run_smallest(monkeypatch, run, **options)) == 3


class FailingWorker:
    """PyTorch's side, which fails at its second turn."""

    def __init__(self, **kwargs):
        self.num_turns = 0
        self.description = {"torch": "0"}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def build(self, variant, program):
        return {"seconds": 1.0}

    def create_turn(self, variant):
        def take_turn(min_repeats, min_seconds):
            self.num_turns += 1
            if self.num_turns == 2:
                raise UserError("out of memory")
            return [0.5]

        return take_turn

    def read_peak(self):
        return None

    def release(self):
        pass


class Compiled:
    """A program that is done at once."""

    class program:
        num_steps = 1

    def __init__(self):
        self.costs = {"flop": 1.0, "bytes": 1.0}

    def call(self):
        return 0.0


def test_what_pytorch_fails_at_leaves_our_times(monkeypatch):
    monkeypatch.setattr(peer_worker, "check_torch", lambda: None)
    monkeypatch.setattr(peer_worker, "PeerWorker", FailingWorker)
    monkeypatch.setattr(runner._Run, "_compile", lambda self, *args: Compiled())
    run = runner._Run._run_program
    *_, row = run_smallest(monkeypatch, run, cases=("discriminator",), peers=True)
    assert row["ms_count"] >= 2 and row["ratios"] == {}
    assert row["peers"] == {"eager": {"build_seconds": 1.0, "error": "out of memory"}}


def test_a_trace_that_fails_leaves_our_times(monkeypatch):
    monkeypatch.setattr(runner._Run, "_compile", lambda self, *args: Compiled())

    def trace(*args, **kwargs):
        raise RuntimeError("no profiler")

    monkeypatch.setattr(runner.kernel_times, "trace_kernels", trace)
    *_, row = run_smallest(monkeypatch, runner._Run._run_program, cases=("discriminator",), profile=2)
    assert row["ms_median"] > 0 and row["profile"] == {"error": "RuntimeError: no profiler"}
