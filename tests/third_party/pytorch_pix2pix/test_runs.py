"""Whole runs from the PyTorch pix2pix's files and back."""

import jax
import numpy as np
import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.synthesis import drawing
from fpgan_jax.training import gan_trainer
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from tests.training import tiny
from third_party.pytorch_pix2pix import runs, state_file, weights

pytestmark = pytest.mark.usefixtures("shared_programs")

NETWORKS = ("generator", "discriminator")


def create_config(norm="batch"):
    config = tiny.create_config()
    config.generator.num_levels, config.generator.dropout_outputs = 0, (4,)
    config.generator.norm = config.discriminator.norm = norm
    config.sample_epochs = ()
    return config


@pytest.fixture(
    name="exported", scope="module", params=["batch", pytest.param("instance", marks=pytest.mark.slow)]
)
def _exported(request, tmp_path_factory):
    """Train a little and export: (workdir, folder of files, config)."""
    folder = tmp_path_factory.mktemp("exported")
    config = create_config(request.param)
    gan_trainer.train_and_evaluate(config, str(folder / "run"), tiny.create_source(config))
    runs.export_run(str(folder / "run"), str(folder / "files"))
    return folder / "run", folder / "files", config


def import_files(files, config, workdir, **changes):
    paths = {"generator_path": files / "latest_net_G.pth", "discriminator_path": files / "latest_net_D.pth"}
    source = tiny.create_source(create_config())  # the config may be of another size
    runs.import_run(config, str(workdir), source=source, **(paths | changes))
    return workdir


def test_from_us_to_pytorch_and_back_no_bit_changes(exported, tmp_path):
    workdir, files, config = exported
    imported = import_files(files, config, tmp_path / "imported")
    _, before, _ = restore_for_evaluation(str(workdir), NETWORKS)
    step, after, _ = restore_for_evaluation(str(imported), NETWORKS)
    assert step == 0
    for name in NETWORKS:
        jax.tree.map(np.testing.assert_array_equal, after[name]["params"], before[name]["params"])
        stats = [tree[name]["batch_stats"] or {} for tree in (after, before)]
        jax.tree.map(np.testing.assert_array_equal, *stats)


def test_an_imported_generator_draws_the_same_prints(exported, tmp_path):
    workdir, files, config = exported
    imported = import_files(files, config, tmp_path / "imported")
    drawn = []
    for index, run in enumerate((workdir, imported)):
        rows = drawing.synthesize(str(run), str(tmp_path / f"synthetic{index}"))
        drawn.append([(tmp_path / f"synthetic{index}" / row.file).read_bytes() for row in rows])
    assert len(drawn[0]) == 12 and drawn[0] == drawn[1]


def test_training_goes_on_from_imported_weights(exported, tmp_path):
    """No step of Adam's can be longer than rate x (1 - beta1) / sqrt(1 - beta2); drawn anew, weights lie further."""
    _, files, config = exported
    imported = import_files(files, config, tmp_path / "imported")
    start = state_file.read_state_file(files / "latest_net_G.pth")["model.model.1.model.1.weight"]
    state = gan_trainer.train_and_evaluate(config, str(imported), tiny.create_source(config))
    end = np.asarray(state.generator.params["down1_conv"]["kernel"]).transpose(3, 2, 0, 1)
    longest_step = config.learning_rate * (1 - config.adam_beta1) / np.sqrt(1 - config.adam_beta2)
    assert int(state.step) == 6
    assert 0 < np.abs(end - start).max() < 6 * longest_step < np.abs(start).max()


def test_without_a_discriminator_it_is_drawn_anew(exported, tmp_path):
    _, files, config = exported
    imported = import_files(files, config, tmp_path / "imported", discriminator_path=None)
    _, trees, _ = restore_for_evaluation(str(imported), NETWORKS)
    kernel = state_file.read_state_file(files / "latest_net_D.pth")["model.0.weight"].transpose(2, 3, 1, 0)
    assert np.abs(trees["discriminator"]["params"]["conv0"]["kernel"] - kernel).max() > 1e-3


def test_a_run_in_the_workdir_is_left_alone(exported):
    workdir, files, config = exported
    with pytest.raises(UserError, match="holds a run already, at step 6"):
        import_files(files, config, workdir)


def rewrite(files, folder, name, change):
    arrays = state_file.read_state_file(files / name)
    folder.mkdir()
    state_file.write_state_file(folder / name, change(arrays))
    return folder / name


def rename(arrays):
    return {key.replace("model.model.3.bias", "model.model.3.bais"): value for key, value in arrays.items()}


def drop(arrays):
    return {key: value for key, value in arrays.items() if key != "model.model.1.model.1.weight"}


def crop(arrays):
    return arrays | {"model.model.1.model.1.weight": arrays["model.model.1.model.1.weight"][:, :, :3]}


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (rename, ["model.model.3.bias is missing (1 of", "model.model.3.bais"]),
        (drop, ["model.model.1.model.1.weight is missing (1 of"]),
        (crop, ["model.model.1.model.1.weight has the shape (4, 2, 3, 4)", "(4, 2, 4, 4)"]),
        (
            lambda arrays: arrays | {"model.extra.weight": np.ones(1, np.float32)},
            ["model.extra.weight belongs"],
        ),
    ],
    ids=["renamed", "missing", "cropped", "extra"],
)
def test_a_wrong_tensor_is_named(exported, tmp_path, change, texts):
    _, files, config = exported
    path = rewrite(files, tmp_path / "changed", "latest_net_G.pth", change)
    with pytest.raises(UserError) as caught:
        import_files(files, config, tmp_path / "run", generator_path=path)
    assert str(caught.value).startswith(str(path)) and all(text in str(caught.value) for text in texts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "prefix"), [("generator", "netG.module."), ("discriminator", "model.netD.")]
)
def test_what_is_before_the_keys_of_a_network_is_named(exported, tmp_path, network, prefix):
    _, files, config = exported
    name = f"latest_net_{network[0].upper()}.pth"

    def add_prefix(arrays):
        return {f"{prefix}{key}": value for key, value in arrays.items()}

    path = rewrite(files, tmp_path / "changed", name, add_prefix)
    with pytest.raises(UserError, match=rf"its keys start with '{prefix}'; save the state_dict\(\)"):
        import_files(files, config, tmp_path / "run", **{f"{network}_path": path})


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("data.image_size", 32, "config.data.image_size=32; set --config.data.image_size=16"),
        ("data.num_channels", 3, "config.data.num_channels=3; set --config.data.num_channels=1"),
        (
            "generator.num_features",
            4,
            "config.generator.num_features=4; set --config.generator.num_features=2",
        ),
        ("generator.form", "ronneberger", "set --config.generator.form=isola"),
        ("discriminator.num_features", 4, "set --config.discriminator.num_features=2"),
        ("discriminator.receptive_field", 1, "set --config.discriminator.receptive_field=16"),
        ("generator.skip", "after_activation", "config.generator.skip='after_activation': the PyTorch"),
        ("generator.upsampling", "resize", "config.generator.upsampling='resize': the PyTorch"),
        ("generator.num_levels", 3, "config.generator.num_levels=3; set --config.generator.num_levels=4"),
        (
            "discriminator.leaky_slope",
            0.3,
            "config.discriminator.leaky_slope=0.3: the PyTorch pix2pix has 0.2",
        ),
    ],
)
def test_another_config_than_the_files_says_which_field_to_set(exported, tmp_path, field, value, text):
    _, files, config = exported
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError) as caught:
        import_files(files, config, tmp_path / "run")
    assert text in str(caught.value)


def test_another_norm_than_the_files_says_which(exported, tmp_path):
    _, files, config = exported
    other = "instance" if config.generator.norm == "batch" else "batch"
    with pytest.raises(UserError, match=f"set --config.generator.norm={config.generator.norm}"):
        import_files(files, create_config(other), tmp_path / "run")


def test_files_that_changed_places_are_told_apart(exported, tmp_path):
    _, files, config = exported
    with pytest.raises(UserError, match=r"latest_net_D\.pth: model\.model\.0\.weight is missing; not a unet"):
        import_files(files, config, tmp_path / "run", generator_path=files / "latest_net_D.pth")


def test_a_network_that_the_pytorch_code_has_not_is_not_exported(tmp_path):
    config = create_config("none")
    gan_trainer.start_from_weights(config, str(tmp_path / "run"), {}, tiny.create_source(config))
    with pytest.raises(UserError, match=r"config\.generator\.norm='none'"):
        runs.export_run(str(tmp_path / "run"), str(tmp_path / "files"))
    assert not list((tmp_path / "files").iterdir())


@pytest.mark.compare
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_pytorch_loads_the_files_strictly_and_draws_the_same(tmp_path, norm):
    import torch

    from fpgan_jax.models import factory
    from third_party.pytorch_pix2pix.torch_networks import NLayerDiscriminator, UnetGenerator

    config = create_config(norm)
    config.data.image_size = 32  # the PyTorch code has five levels at least
    config.generator.dropout_outputs = ()
    prints = tiny.create_prints()
    prints = type(prints)(prints.images.repeat(2, 1).repeat(2, 2), prints.persons, prints.filenames)
    source = tiny.feeding.create_gan_source_from_prints(config, prints)
    state = gan_trainer.train_and_evaluate(config, str(tmp_path / "run"), source)
    runs.export_run(str(tmp_path / "run"), str(tmp_path))
    generator, discriminator = UnetGenerator(1, 5, 2, norm), NLayerDiscriminator(1, 1, 2, norm)
    for network, name in ((generator, "G"), (discriminator, "D")):
        loaded = torch.load(tmp_path / f"latest_net_{name}.pth", weights_only=True)
        network.load_state_dict(loaded, strict=True)
    noise = np.float32(np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 1)))
    variables = {"params": state.generator.params, "batch_stats": state.generator.batch_stats}
    ours = factory.create_generator(config).apply(
        variables, noise, deterministic=True, use_running_average=False
    )
    x = torch.tensor(noise).permute(0, 3, 1, 2)
    with torch.no_grad():
        theirs, exact = generator(x), generator.double()(x.double())
    error = (theirs - exact).abs().max().item()
    difference = np.abs(np.asarray(ours, np.float64) - exact.permute(0, 2, 3, 1).numpy()).max()
    assert difference < 8 * error + 2**-23


@pytest.mark.parametrize(
    ("changes", "options", "warning"),
    [
        ({"generator.dropout_rate": 0.0}, "--no_dropout", ""),
        (
            {"generator.dropout_rate": 0.25},
            "",
            "with dropout rate 0.5, but this generator was trained with 0.25",
        ),
        (
            {"discriminator.norm": "instance"},
            "--no_dropout",
            "a discriminator with instance norm cannot be loaded",
        ),
        ({"data.image_size": 16}, "--no_dropout", "no --netG unet_16: build UnetGenerator(..., num_downs=4)"),
    ],
)
def test_what_the_pytorch_codes_options_cannot_say_is_warned_of(caplog, changes, options, warning):
    config = create_config()
    config.data.image_size = 128
    config.update_from_flattened_dict(changes)
    assert weights.describe_options(config).endswith("--output_nc 1" + f" {options}" * bool(options))
    assert warning in caplog.text and bool(warning) == bool(caplog.text)


def test_networks_of_ridge_maps_take_more_channels_in_than_they_give(tmp_path):
    config = tiny.create_ridge_config()
    config.generator.num_levels, config.generator.dropout_outputs = 0, (4,)
    config.generator.norm = config.discriminator.norm = "instance"
    random = np.random.default_rng(0)
    for name, shapes in (
        ("generator", factory.shape_generator(config)),
        ("discriminator", factory.shape_discriminator(config)),
    ):
        variables = jax.tree.map(lambda leaf: np.float32(random.normal(size=leaf.shape)), dict(shapes))
        path = tmp_path / f"{name}.pth"
        getattr(weights, f"export_{name}")(variables, config, path)
        imported = getattr(weights, f"import_{name}")(path, config)
        jax.tree.map(np.testing.assert_array_equal, imported["params"], variables["params"])
    assert "--input_nc 5 --output_nc 1" in weights.describe_options(config)
    with pytest.raises(
        UserError, match=r"5 input and 1 output channels .* config\.data\.condition='noise' needs 1 input"
    ):
        weights.import_generator(tmp_path / "generator.pth", create_config())
