"""The steps of a check on a GPU, and that they stop, go on and are reported; their commands are not run here."""

import dataclasses
import importlib.util
import json
import subprocess

import pytest

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import gpu_check, gpu_check_report, options
from fpgan_jax.benchmarking.gpu_check import Options, Step
from fpgan_jax.errors import UserError

GPU = {
    **{"platform": "gpu", "device": "NVIDIA H100", "cpu": "EPYC", "num_cores": 16, "python": "3.12.3"},
    **{"versions": {"jax": "0.11.2"}, "commit": "0123", "environment": {}},
}


OURS = ["parity", "step_batch_1", "batch_64", "paper", "synthesis", "step_batch_1_in_8", "xception"]


def test_the_steps_in_order_of_worth():
    steps = gpu_check.list_steps(Options(workdir="w"), has_torch=True)
    peers = ["peers_batch_1", "peers_batch_64", "peers_xception"]
    assert [step.name for step in steps] == OURS + peers
    commands = {step.name: [" ".join(command) for command in step.commands] for step in steps}
    step_1 = "--cases=gan_step --sizes=256 --widths=64 --batch_sizes=1 --dtypes=float32"
    batch_64 = (
        "--cases=gan_step,generator_inference --sizes=256 --widths=64 --batch_sizes=64 --dtypes=bfloat16"
    )
    xception = "--cases=xception_step,xception_inference --sizes=256 --batch_sizes=64 --dtypes=bfloat16"
    wanted = {
        "parity": ["--cases=cpu_parity"],
        "step_batch_1": [step_1, "--profile=20"],
        "batch_64": [batch_64, "--profile=20"],
        "paper": ["launch.reproduce_sets --configs=configs/paper_p50.py", "data.feeding=device"],
        "synthesis": ["--cases=synthesis --sizes=256"],
        "step_batch_1_in_8": [step_1, "--steps_per_dispatch=8"],
        "xception": [xception, "--profile=20"],
        "peers_batch_1": [step_1],
        "peers_batch_64": [batch_64],
        "peers_xception": [xception],
    }
    for name, parts in wanted.items():
        assert all(part in commands[name][0] for part in parts), name
        assert ("--peers" in commands[name][0]) == (name in peers)
    assert "launch.synthesize" in commands["synthesis"][1] and "/paper/p50/gan" in commands["synthesis"][1]


def test_without_pytorch_ours_is_timed_alone():
    steps = gpu_check.list_steps(Options(workdir="w"), has_torch=False)
    assert [step.name for step in steps] == OURS


def test_the_rehearsal_has_the_same_steps():
    whole, tiny = (gpu_check.list_steps(Options("w", tiny=tiny), has_torch=True) for tiny in (False, True))
    assert [step.name for step in whole] == [step.name for step in tiny]
    assert not [step for step in tiny for command in step.commands if "--sizes=256" in command]


@pytest.mark.parametrize("tiny", [False, True])
def test_the_flags_are_those_of_the_benchmark(tiny):
    defaults = {field.name: field.default for field in dataclasses.fields(options.Options)}
    for step in gpu_check.list_steps(Options("w", tiny=tiny), has_torch=True):
        for command in step.commands:
            if "launch.benchmark" not in command:
                continue
            pairs = (flag.removeprefix("--").partition("=") for flag in command[2:])
            values = {name: value or True for name, _, value in pairs if not name.startswith("config.")}
            assert values.keys() <= defaults.keys()
            lists = {
                name: values[name].split(",") if name in values else list(map(str, default))
                for name, default in defaults.items()
                if isinstance(default, tuple)
            }
            chosen = options.parse_options(defaults | lists)
            assert options.list_cases(chosen) or chosen.cases == ("cpu_parity",)


@pytest.mark.parametrize("tiny", [False, True])
def test_pytorch_compiles_ahead_what_is_timed(tiny):
    start, *builds = gpu_check.describe_peer_requests(pix2pix_socofing.get_config(), tiny)
    assert start["device"] == ("cpu" if tiny else "cuda")
    names = ["gan_step", "gan_step", "generator_inference", "xception_step", "xception_inference"]
    assert [build["program"]["name"] for build in builds] == names
    assert [build["program"]["batch_size"] for build in builds] == (
        [1, 2, 2, 2, 2] if tiny else [1, 64, 64, 64, 64]
    )
    # A pipe takes all of it before anybody reads.
    assert len(json.dumps([start, *builds])) < 4096


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Return what runs steps on a machine with a GPU that is not there; Python's `-c` takes the scripts' place."""
    monkeypatch.setattr(gpu_check, "describe_machine", lambda: GPU)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(gpu_check, "_GRACE_SECONDS", 0.5)
    (tmp_path / "prints").mkdir()
    (tmp_path / "prints" / "prints_256.npz").touch()

    def run(steps, **options):
        monkeypatch.setattr(gpu_check, "list_steps", lambda *args, **kwargs: steps)
        fields = {"workdir": str(tmp_path / "w"), "prints_dir": str(tmp_path / "prints")} | options
        return gpu_check.run_check(pix2pix_socofing.get_config(), Options(**fields))

    return run


def create_step(name, program, limit=20, least=0):
    return Step(name, (("-c", program),), limit, least)


def count(name, folder):
    return f"open('{folder}/{name}', 'a').write('x')"


def read_status(folder):
    rows = [json.loads(line) for line in (folder / "w" / "results" / "steps.jsonl").read_text().splitlines()]
    return {row["step"]: row["status"] for row in rows if row["kind"] == "step"}


def test_what_is_done_or_failed_is_not_run_again_and_what_ran_out_of_time_is(check, tmp_path):
    steps = [
        create_step("good", count("good", tmp_path)),
        create_step("bad", count("bad", tmp_path) + "; raise SystemExit(3)"),
        create_step(
            "slow", count("slow", tmp_path) + ".bit_length(); import time; time.sleep(60)", limit=0.3
        ),
        create_step("last", count("last", tmp_path)),
    ]
    for _ in range(2):
        check(steps)
    assert read_status(tmp_path) == {
        **{"good": "done", "bad": "failed with exit code 3", "slow": "out of time", "last": "done"}
    }
    runs = {name: len((tmp_path / name).read_text()) for name in ("good", "bad", "last")}
    assert runs == {"good": 1, "bad": 1, "last": 1}
    check(steps, only=("bad",))
    assert (tmp_path / "bad").read_text() == "xx" and (tmp_path / "good").read_text() == "x"


def test_a_benchmark_without_time_for_a_case_is_begun_again(check, tmp_path):
    row = json.dumps({"kind": "failed", "is_not_begun": True, "machine": GPU})
    program = f"open('{tmp_path}/w/results/benchmark.jsonl', 'a').write({row!r} + chr(10))"
    check([create_step("one", program), create_step("two", "")])
    assert read_status(tmp_path) == {"one": "out of time", "two": "done"}


def test_a_step_is_not_begun_without_time_for_it(check, tmp_path, capsys):
    check([create_step("long", "", least=60), create_step("short", "")], max_seconds=30)
    assert read_status(tmp_path) == {"short": "done"}
    assert "long: not begun" in capsys.readouterr().out


def test_results_are_copied_after_every_step(check, tmp_path):
    look = f"import os; print(sorted(os.listdir('{tmp_path}/out')), flush=True)"
    check([create_step("one", "print('hello')"), create_step("two", look)], out_dir=str(tmp_path / "out"))
    assert "['gpu_check.md', 'steps.jsonl', 'steps.log']" in (tmp_path / "out" / "steps.log").read_text()


def test_without_a_gpu_nothing_is_run(check, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "describe_machine", lambda: GPU | {"platform": "cpu"})
    with pytest.raises(UserError, match="JAX sees no GPU"):
        check([create_step("one", "")])
    assert not (tmp_path / "w").exists()
    assert "rehearsal" in check([create_step("one", "")], tiny=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"only": ("b1",)}, "no step 'b1'; use some of one"), ({"prints_dir": "no"}, "prepare")],
)
def test_a_mistake_is_named(check, options, text):
    with pytest.raises(UserError, match=text):
        check([create_step("one", "")], **options)


def test_the_report_has_the_card_its_tables_and_the_papers_row():
    machine = {
        "kind": "machine",
        "machine": GPU,
        "driver": "580",
        "is_tiny": False,
        "at": "2026-11-26 10:00:00",
    }
    command = {"kind": "command", "step": "one", "status": "done", "seconds": 3.0}
    command["command"] = ["-m", "launch.benchmark", "--cases=gan_step", "--out=/somewhere/rows"]
    rows = [
        {"kind": "ceiling", "ceiling": "copy", "per_second": 3e12, "machine": GPU},
        {
            "kind": "ceiling",
            "ceiling": "copy",
            "per_second": 4e12,
            "machine": GPU | {"device": "NVIDIA H200"},
        },
    ]
    text = gpu_check_report.format_report([machine, command], rows, "| P50 |")
    assert text.startswith(
        "## NVIDIA H100\n\nnvidia-smi: 580; 16 cores of EPYC; Python 3.12.3, jax 0.11.2; commit 0123;"
    )
    assert "3000 GB/s" in text and "4000 GB/s" not in text and "| P50 |" in text
    assert "`python -m launch.benchmark --cases=gan_step`" in text
    flagged = GPU | {"environment": {"XLA_FLAGS": "--f"}}
    flagged_text = gpu_check_report.format_report([machine], [*rows, rows[0] | {"machine": flagged}], "")
    assert flagged_text.index("3000 GB/s") < flagged_text.index("With `XLA_FLAGS=--f`:\n\n| ceiling |")
    two = gpu_check_report.format_report([machine, machine | {"machine": rows[1]["machine"]}], rows, "")
    assert (
        two.index("## NVIDIA H100")
        < two.index("3000 GB/s")
        < two.index("## NVIDIA H200")
        < two.index("4000 GB/s")
    )


def test_the_command_says_how_it_is_used():
    result = subprocess.run(["bash", "launch/gpu_check.sh"], check=False, capture_output=True, text=True)
    assert result.returncode == 1 and "bash launch/gpu_check.sh prepare SOCOFING_FOLDER" in result.stderr
