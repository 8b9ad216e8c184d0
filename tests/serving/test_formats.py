"""What an exported file computes in a program that has never seen this package: the one of docs/serving.md."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.config.derived import condition_shape
from fpgan_jax.config.identity import hash_config
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.scoring import similarity
from fpgan_jax.serving import formats
from fpgan_jax.serving.networks import restore_network
from fpgan_jax.synthesis import drawing
from fpgan_jax.training.checkpoints.store import CheckpointStore
from tests.training import tiny

PERSONS = [2, 5, 9]
# Another compilation sums in another order: some 100 terms in each of 20 layers, so that logits differ by about
# 20 * sqrt(100) * 2**-24 = 1e-5 of their size, and probabilities relatively by ten times that for logits up to 10.
PROBABILITY_TOLERANCE = 1e-4


def save_checkpoint(workdir, config, trees, **metadata):
    """Save untrained weights as a trainer saves trained ones."""
    store = CheckpointStore(str(workdir), best_metric="loss")
    metadata = {
        "config": config.to_dict(),
        "config_hash": hash_config(config),
        "data_hash": "0123",
        **metadata,
    }
    store.save(3, trees, metadata=metadata, metrics={"loss": 1.0})
    store.close()


def create_weights(module, config, seed):
    """Draw weights and running statistics that use the whole range of gray; nothing is compiled for them."""
    shape = (1, *condition_shape(config.data))
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if len(leaf.shape) == 1:  # scales, variances, means and biases
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(np.float32)

    variables = jax.eval_shape(
        lambda: module.init(
            jax.random.key(0), np.zeros(shape, np.float32), deterministic=True, use_running_average=True
        )
    )
    return {name: jax.tree.map(draw, variables.get(name, {})) for name in ("params", "batch_stats")}


@pytest.fixture(scope="module")
def gan_workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("gan")
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5
    generator = factory.create_generator(config)
    trees = {
        name: create_weights(generator, config, seed)
        for seed, name in enumerate(("generator", "generator_ema"))
    }
    pairs = [[person, replica] for person in PERSONS for replica in range(2)]
    save_checkpoint(workdir, config, trees, pairs=pairs, pair_names=[])
    return str(workdir)


@pytest.fixture(scope="module")
def classifier_workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("classifier")
    config = test_size.get_config()
    config.data.socofing_dir = "unused"
    config.data.image_size = 72
    classifier = factory.create_classifier(config, num_classes=len(PERSONS))
    save_checkpoint(workdir, config, {"classifier": create_weights(classifier, config, 2)}, persons=PERSONS)
    return str(workdir)


def assert_same_pixels(images, expected):
    """Compare what two compilations drew, which sum in different orders.

    Sums of some 128 terms in eight layers differ by about 8 * sqrt(128) * 2**-24 = 5e-6 of the range of 127.5
    gray levels: by 7e-4 levels, so that two pixels in a thousand at most lie near enough to the edge between two.
    """
    difference = np.abs(images.astype(int) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() <= 2e-3


def read_documented_programs():
    """Return the page's programs that load StableHLO and a SavedModel."""
    text = pathlib.Path("docs/serving.md").read_text(encoding="utf-8")
    return dict(zip(formats.FORMATS, re.findall(r"```python\n(.*?)```", text, re.DOTALL), strict=True))


# Comes before the page's program: TensorFlow would import JAX where it can.
BEGINNING = {"stablehlo": "", "saved_model": "import sys; sys.modules['jax'] = None\n"}
# Follows the page's program, which has loaded the generator as `draw`.
CONTINUATION = {
    "stablehlo": """
with open("runs/served_classifier/model.stablehlo", "rb") as file:
    score = jax.jit(export.deserialize(bytearray(file.read())).call)
""",
    "saved_model": """
draw_named = draw
draw = lambda *arrays: draw_named(noise_image=arrays[0], dropout_seed=arrays[1])["image"]
classifier = tf.saved_model.load("runs/served_classifier")
score = lambda image: classifier.signatures["serving_default"](image=image)["probability"]
""",
}
ENDING = """
import sys
given = np.load("given.npz")
noise_image, dropout_seed, prints = (given[name] for name in ("noise_image", "dropout_seed", "prints"))
results = {"documented": image}
for start, stop in ((0, 1), (1, 4)):
    results[f"images_{stop - start}"] = np.asarray(draw(noise_image[start:stop], dropout_seed[start:stop]))
results["probabilities"] = np.asarray(score(prints))
np.savez("results.npz", **results)
assert not [name for name in sys.modules if name.split(".")[0] == "fpgan_jax"]
"""


@pytest.mark.parametrize("file_format", ["stablehlo", pytest.param("saved_model", marks=pytest.mark.slow)])
@pytest.mark.seconds(10)
def test_a_strangers_program_gives_the_same_pixels_and_probabilities(
    gan_workdir, classifier_workdir, tmp_path, file_format
):
    rows = drawing.synthesize(gan_workdir, str(tmp_path / "images"), overrides={"noise": "new"})
    expected = np.stack([np.asarray(Image.open(tmp_path / "images" / row.file))[..., None] for row in rows])
    noise_image = np.stack(
        [
            create_noise_image(
                row.noise_seed, row.person, row.replica, shape=(16, 16, 1), distribution="uniform"
            )
            for row in rows
        ]
    )
    prints = np.random.default_rng(0).integers(0, 256, (4, 72, 72, 1), np.uint8)
    np.savez(
        tmp_path / "given.npz",
        noise_image=noise_image,
        dropout_seed=np.array([(row.seed, row.person, row.replica) for row in rows], np.uint32),
        prints=prints,
    )
    place = {"stablehlo": "served_quickstart", "saved_model": "served_quickstart_tf"}[file_format]
    formats.export_model(gan_workdir, str(tmp_path / "runs" / place), file_format)
    formats.export_model(classifier_workdir, str(tmp_path / "runs" / "served_classifier"), file_format)

    parts = (BEGINNING, read_documented_programs(), CONTINUATION)
    program = "".join(part[file_format] for part in parts) + ENDING
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    results = np.load(tmp_path / "results.npz")
    assert results["documented"].shape == (8, 16, 16, 1) and results["documented"].std() > 10
    images = np.concatenate([results["images_1"], results["images_3"]])
    assert images.dtype == np.uint8 and images.std() > 10
    assert_same_pixels(images, expected[:4])
    wanted = similarity.Scorer(classifier_workdir).compute_probabilities(prints)
    assert wanted.std() > 0.01
    np.testing.assert_allclose(results["probabilities"], wanted, rtol=PROBABILITY_TOLERANCE)


def test_the_description_tells_inputs_output_and_origin(gan_workdir, tmp_path):
    returned = formats.export_model(gan_workdir, str(tmp_path / "out"), "stablehlo")
    description = json.loads((tmp_path / "out" / "model.json").read_text())
    assert description == returned
    assert [(array["name"], array["shape"], array["dtype"]) for array in description["inputs"]] == [
        ("noise_image", ["batch", 16, 16, 1], "uint8"),
        ("dropout_seed", ["batch", 3], "uint32"),
    ]
    assert description["output"]["name"] == "image"
    assert (description["network"], description["checkpoint_step"]) == ("generator", 3)
    assert description["platforms"] == ["cpu", "cuda"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_classifiers_description_names_the_persons(classifier_workdir, tmp_path):
    description = formats.export_model(classifier_workdir, str(tmp_path / "out"), "stablehlo")
    assert (description["network"], description["persons"]) == ("classifier", PERSONS)
    assert description["output"]["shape"] == ["batch", 3]


def test_a_generator_without_dropout_takes_noise_alone(gan_workdir, tmp_path):
    overrides = {"deterministic": True, "use_running_average": True}
    rows = drawing.synthesize(gan_workdir, str(tmp_path / "images"), overrides=overrides)
    expected = np.asarray(Image.open(tmp_path / "images" / rows[0].file))
    description = formats.export_model(gan_workdir, str(tmp_path / "out"), "stablehlo", overrides=overrides)
    assert len(description["inputs"]) == 1
    assert (description["dropout"], description["statistics"]) == ("off", "running")
    blob = (tmp_path / "out" / "model.stablehlo").read_bytes()
    noise_image = create_noise_image(0, 2, 0, shape=(16, 16, 1), distribution="uniform")
    image = jax.export.deserialize(bytearray(blob)).call(noise_image[None])
    assert_same_pixels(np.asarray(image)[0, :, :, 0], expected)


def test_the_moving_average_is_another_network(gan_workdir):
    programs = [
        formats.export_program(restore_network(gan_workdir, name)).mlir_module_serialized
        for name in ("generator", "generator_ema")
    ]
    assert programs[0] != programs[1]


def test_an_image_depends_on_its_own_seed(gan_workdir):
    noise_image = np.full((4, 16, 16, 1), np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    seeds = np.array([(0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1)], np.uint32)
    images = np.asarray(restore_network(gan_workdir).function(noise_image, seeds))
    assert len({image.tobytes() for image in images}) == 4


@pytest.mark.parametrize("form", ["ronneberger", "isola"])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_every_generator_can_be_exported(tmp_path, form, norm):
    config = tiny.create_config()
    config.generator.form, config.generator.norm = form, norm
    config.generator.num_levels, config.generator.dropout_outputs = 0, (4,)
    weights = create_weights(factory.create_generator(config), config, 0)
    save_checkpoint(tmp_path / "gan", config, {"generator": weights}, pairs=[[1, 0]], pair_names=[])
    program = formats.export_program(restore_network(str(tmp_path / "gan")))
    assert [str(aval.shape[0]) for aval in (*program.in_avals, *program.out_avals)] == ["batch", "batch"]


@pytest.mark.parametrize(
    ("workdir", "arguments", "text"),
    [
        ("none", {}, "none: no checkpoints here"),
        ("gan", {"step": 7}, "no checkpoint of step 7"),
        ("gan", {"network": "classifier"}, "has no 'classifier'"),
        ("classifier", {"network": "generator"}, "has no 'generator'"),
        ("gan", {"file_format": "onnx"}, "--format=onnx: use one of stablehlo, saved_model"),
        ("classifier", {"overrides": {"deterministic": True}}, "--deterministic: applies to generators only"),
    ],
    ids=["no run", "step", "gan", "classifier", "format", "override"],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    gan_workdir, classifier_workdir, tmp_path, workdir, arguments, text
):
    workdir = {"gan": gan_workdir, "classifier": classifier_workdir}.get(workdir, str(tmp_path / workdir))
    with pytest.raises(UserError, match=text) as caught:
        formats.export_model(workdir, str(tmp_path / "out"), **{"file_format": "stablehlo"} | arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["run[1]", r"runs\gan", "a\udcff"])
def test_a_path_that_tensorflow_could_not_load_from_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="TensorFlow cannot load from a path with"):
        formats.export_model(str(tmp_path / "no_run"), str(tmp_path / name), "saved_model")
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_left_alone(gan_workdir, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UserError, match="exists; name a new folder"):
            formats.export_model(gan_workdir, str(place), "stablehlo")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_an_interrupted_export_leaves_nothing(gan_workdir, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(formats.json, "dump", interrupt)
    with pytest.raises(KeyboardInterrupt):
        formats.export_model(gan_workdir, str(tmp_path / "out"), "stablehlo")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_without_tensorflow_is_refused(gan_workdir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match="--format=saved_model: TensorFlow cannot be imported here"):
        formats.export_model(gan_workdir, str(tmp_path / "out"), "saved_model")
    assert list(tmp_path.iterdir()) == []
