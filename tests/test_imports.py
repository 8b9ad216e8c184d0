"""The direction of imports, and that what trains and scores needs no TensorFlow."""

import ast
import pathlib
import subprocess
import sys

import pytest

# From the top down: a module imports from its own layer or from those below it. Longer prefixes win.
LAYERS = (
    ("launch",),
    (
        *("fpgan_jax.reproduction.sets", "fpgan_jax.reproduction.seeds", "fpgan_jax.benchmarking"),
        "fpgan_jax.sweeps",
    ),
    ("fpgan_jax.reproduction", "fpgan_jax.serving"),
    ("fpgan_jax.evaluation",),
    ("fpgan_jax.evaluation.report",),
    ("fpgan_jax.evaluation.experiments", "fpgan_jax.evaluation.recognition"),
    ("fpgan_jax.evaluation.measures", "fpgan_jax.evaluation.controls", "fpgan_jax.enlarging"),
    ("fpgan_jax.evaluation.matcher",),
    ("fpgan_jax.evaluation.study",),
    ("fpgan_jax.scoring",),
    ("fpgan_jax.synthesis",),
    ("fpgan_jax.training.gan_trainer", "fpgan_jax.training.classifier_trainer"),
    ("fpgan_jax.training",),
    ("fpgan_jax.training.checkpoints", "fpgan_jax.data.input_pipeline", "fpgan_jax.data.feeding"),
    ("fpgan_jax.data.augmentation", "fpgan_jax.models"),
    ("fpgan_jax.data.print_loading",),
    ("fpgan_jax.data.ridges", "fpgan_jax.data.procedural"),
    ("fpgan_jax.data", "fpgan_jax.data.ridges.print_scale"),
    (
        *("fpgan_jax.losses", "fpgan_jax.metrics", "fpgan_jax.parallel", "fpgan_jax.evaluation.statistics"),
        # The way to programs of others; pairs of minutiae need them too.
        "fpgan_jax.evaluation.matcher.nist_tools",
    ),
    ("fpgan_jax.config", "fpgan_jax.tables"),
    ("fpgan_jax.host",),
    ("fpgan_jax.errors",),
)
NEED_TENSORFLOW = (
    "fpgan_jax.data.input_pipeline",
    "fpgan_jax.data.socofing.socofing_dataset_builder",
    "fpgan_jax.data.socofing.socofing_reader",
)
NEED_TORCH = ("fpgan_jax.benchmarking.peers", "fpgan_jax.benchmarking.peer_programs")

FILES = sorted([*pathlib.Path("fpgan_jax").rglob("*.py"), *pathlib.Path("launch").glob("*.py")])
MODULES = [".".join(path.with_suffix("").parts) for path in FILES if path.name != "__init__.py"]


def find_layer(module):
    places = [
        (len(prefix), depth)
        for depth, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    return max(places)[1]


def read_imports(module):
    """Yield the project's modules that a module imports, at its top or within a function."""
    tree = ast.parse(pathlib.Path(*module.split(".")).with_suffix(".py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def test_the_rule_sees_an_import_upward():
    assert find_layer("fpgan_jax.models.unet") > find_layer("fpgan_jax.training.loop")
    assert "fpgan_jax.models.factory" in read_imports("fpgan_jax.training.gan_trainer")


def test_the_top_of_the_package_holds_mathematics_and_devices_only():
    names = {path.stem for path in pathlib.Path("fpgan_jax").glob("*.py")}
    assert names == {"__init__", "losses", "metrics", "parallel", "errors"}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_upward(module):
    own = find_layer(module)
    upward = [name for name in read_imports(module) if name in MODULES and find_layer(name) < own]
    assert upward == []


@pytest.mark.parametrize(
    "module", ["fpgan_jax.training.gan_trainer", "fpgan_jax.reproduction.chain", "launch.cli"]
)
def test_nothing_imports_configs_or_tests(module):
    assert not [name for name in read_imports(module) if name.split(".")[0] in ("configs", "tests")]


def test_training_and_evaluation_import_without_tensorflow():
    optional = (*NEED_TENSORFLOW, *NEED_TORCH)
    names = [name for name in MODULES if name.startswith("fpgan_jax.") and name not in optional]
    program = "\n".join(
        [
            "import importlib, sys",
            "sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None",
            f"for name in {names!r}:",
            "    importlib.import_module(name)",
        ]
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_training_starts_without_what_it_seldom_needs():
    # SciPy and scikit-image, imported whole, import their parts where they are used. That saves 0.2 s of the start.
    seldom = ("tensorflow", "tensorflow_datasets", "torch", "scipy.ndimage", "scipy.fft", "skimage.metrics")
    program = (
        "import sys, fpgan_jax.training.gan_trainer\n"
        f"print('jax' in sys.modules, [name for name in {seldom} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.stdout == "True []\n", result.stderr


def test_help_is_printed_without_jax_or_tensorflow():
    program = (
        "import runpy, sys; sys.argv = ['train_gan', '--helpshort']\n"
        "try:\n    runpy.run_module('launch.train_gan', run_name='__main__')\n"
        "except SystemExit:\n    print([name for name in ('jax', 'tensorflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr
