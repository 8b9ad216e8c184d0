"""What is counted of a program that XLA made for a GPU; and, where JAX's CUDA plugin is installed, of our own."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
from jax.experimental import topologies

from configs import pix2pix_socofing
from fpgan_jax.benchmarking import gpu_compilation, runner
from fpgan_jax.benchmarking.options import Options, list_cases
from fpgan_jax.errors import UserError

pytestmark = pytest.mark.optimized

# One operation of each kind; a loop of three rounds with a fusion and a copy in it.
HLO = """HloModule jit_step, is_scheduled=true

%fused_add (param_0: f32[8,4]) -> f32[8,4] {
  %param_0 = f32[8,4]{1,0} parameter(0)
  ROOT %add = f32[8,4]{1,0} add(%param_0, %param_0)
}

%body (state: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state = (s32[], f32[8,4]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = f32[8,4]{1,0} get-tuple-element(%state), index=1
  %loop_add_fusion = f32[8,4]{1,0} fusion(%x), kind=kLoop, calls=%fused_add, metadata={op_name="jit(step)/add"}
  %copy.1 = f32[8,4]{0,1} copy(%loop_add_fusion)
  ROOT %tuple = (s32[], f32[8,4]{1,0}) tuple(%i, %loop_add_fusion)
}

ENTRY %main (a: bf16[2,16,16,3], k: bf16[4,4,3,5]) -> f32[5] {
  %a = bf16[2,16,16,3]{3,2,1,0} parameter(0)
  %k = bf16[4,4,3,5]{3,2,1,0} parameter(1)
  %wrapped_transpose = bf16[5,4,4,3]{3,2,1,0} fusion(%k), kind=kInput, calls=%t
  %cudnn-conv.1 = (bf16[2,8,8,5]{3,2,1,0}, u8[4096]{0}) custom-call(%a, %wrapped_transpose), window={size=4x4}, \
custom_call_target="__cudnn$convForward", metadata={op_name="jit(step)/conv"}
  %get-tuple-element.1 = bf16[2,8,8,5]{3,2,1,0} get-tuple-element(%cudnn-conv.1), index=0
  %gemm_fusion_dot.2 = f32[128,5]{1,0} fusion(%get-tuple-element.1), kind=kCustom, calls=%g
  %cublas-gemm.3 = f32[5,5]{1,0} custom-call(%gemm_fusion_dot.2), custom_call_target="__cublas$gemm"
  %tuple.4 = (s32[], f32[8,4]{1,0}) tuple(%c, %z)
  %while.5 = (s32[], f32[8,4]{1,0}) while(%tuple.4), condition=%cond, body=%body, \
backend_config={"known_trip_count":{"n":"3"}}
  ROOT %input_reduce_fusion = f32[5]{0} fusion(%cublas-gemm.3), kind=kInput, calls=%r
}
"""


def test_kernels_by_kind_with_their_bytes_and_a_loops_rounds():
    kernels = gpu_compilation.list_kernels(HLO)
    found = [(kernel.kind, kernel.num_bytes, kernel.count) for kernel in kernels]
    assert found == [
        ("transposition", 2 * (4 * 4 * 3 * 5) * 2, 1),
        # The library's scratch memory is not counted.
        ("convolution", 2 * (2 * 16 * 16 * 3 + 4 * 4 * 3 * 5 + 2 * 8 * 8 * 5), 1),
        ("product", 2 * (2 * 8 * 8 * 5) + 4 * 128 * 5, 1),
        ("product", 4 * (128 * 5 + 25), 1),
        ("elementwise", 4 * 2 * 32, 3),
        ("copy", 4 * 2 * 32, 3),
        ("reduction", 4 * (25 + 5), 1),
    ]


def test_a_kernel_says_where_it_comes_from():
    convolution = gpu_compilation.list_kernels(HLO)[1]
    assert convolution.operation == "jit(step)/conv"
    assert convolution.shape == "(bf16[2,8,8,5])"


def test_a_steps_share_of_several():
    kernels = [
        gpu_compilation.Kernel("copy", "", "", 2_400_000_000, 1),
        gpu_compilation.Kernel("product", "", "", 1_200_000_000, 2),
    ]
    described = gpu_compilation.describe_kernels(kernels, "h200", num_steps=2)
    assert described["kernels"] == 1.5
    assert described["gigabytes_of"] == {"copy": 1.2, "product": 1.2}
    assert described["bandwidth_ms"] == pytest.approx(2.4 / 4800 * 1e3)


def test_the_largest_come_first_with_their_share_of_all():
    kernels = [
        gpu_compilation.Kernel("copy", "a", "f32[1]", 1_000_000_000, 1),
        gpu_compilation.Kernel("product", "b", "f32[2]", 1_500_000_000, 2),
        gpu_compilation.Kernel("other", "c", "f32[3]", 0, 1),
    ]
    first, second = gpu_compilation.describe_largest(kernels, 2, num_steps=2)
    assert first == {
        "kernel_kind": "product",
        "operation": "b",
        "shape": "f32[2]",
        "gigabytes": 1.5,
        "percent": 75,
    }
    assert (second["operation"], second["gigabytes"], second["percent"]) == ("a", 0.5, 25)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"compile_for": "h20"}, "--compile_for=h20: unknown GPU; use one of h200"),
        ({"compile_for": "h200", "peers": True}, "counts kernels and times nothing"),
        (
            {"compile_for": "h200", "cases": ("synthesis",)},
            "--cases: 'synthesis' is not one of generator_inference",
        ),
    ],
)
def test_an_option_that_is_not_as_it_must_be(fields, text):
    with pytest.raises(UserError, match=text):
        list_cases(Options(**fields))


def test_a_missing_plugin_names_the_extra(monkeypatch):
    def fail(**kwargs):
        raise NotImplementedError("topology not implemented for cuda")

    monkeypatch.setattr(topologies, "get_topology_desc", fail)
    options = Options(cases=("discriminator",), smallest=True, compile_for="h200")
    with pytest.raises(UserError, match=r"pip install -e '\.\[gpu\]'"):
        runner.run_benchmark(pix2pix_socofing.get_config(), options)


def _has_plugin() -> bool:
    return any(dist.name.startswith("jax-cuda") for dist in importlib.metadata.distributions())


needs_plugin = pytest.mark.skipif(
    not _has_plugin(),
    reason="NOT RUN: JAX's CUDA plugin is not installed (the extra gpu, 6 GB; no GPU is needed)",
)


def _compile(tmp_path, *flags):
    """Count in a process of its own, which XLA has ended before now."""
    out = tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "launch.benchmark", "--compile_for=h200", f"--out={out}", *flags]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-2000:]
    rows = map(json.loads, out.read_text().splitlines())
    return [row for row in rows if row["kind"] != "kernel"]


@needs_plugin
@pytest.mark.slow
def test_every_program_compiles_for_a_gpu(tmp_path):
    rows = _compile(tmp_path, "--sizes=256", "--batch_sizes=1", "--dtypes=float32")
    assert [row["kind"] for row in rows] == ["compiled"] * 5


@needs_plugin
@pytest.mark.slow
@pytest.mark.parametrize(("steps_per_dispatch", "share"), [(1, 0.15), (8, 0.02)])
def test_a_step_copies_few_of_its_bytes(tmp_path, steps_per_dispatch, share):
    """Weights in cuDNN's layout were two thirds of the bytes at batch 1 before the small layers were products."""
    flags = ("--cases=gan_step", "--sizes=256", "--batch_sizes=1", "--dtypes=float32")
    (row,) = _compile(tmp_path, *flags, f"--steps_per_dispatch={steps_per_dispatch}")
    copied = sum(row["gigabytes_of"].get(kind, 0) for kind in ("transposition", "copy"))
    assert copied < share * row["gigabytes"]
