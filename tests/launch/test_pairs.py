"""pix2pix's public data sets, as stand-ins: one command trains, another draws from conditions alone."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tests.launch.scripts import run_well

SIZE = 16
# The splits, a file's name, and the direction, as pix2pix's own commands have them.
SETS = {
    "facades": (("train", "val", "test"), "{}.jpg", "BtoA"),
    "maps": (("train", "val"), "{}.jpg", "AtoB"),
    "edges2shoes": (("train", "val"), "{}_AB.jpg", "AtoB"),
}
# What makes it small: without these it is the documented command.
SMALL = (
    *(f"--config.data.image_size={SIZE}", "--config.data.jitter=0", "--config.generator.num_levels=2"),
    *("--config.generator.num_features=2", "--config.generator.dropout_outputs=(2,)"),
    *("--config.discriminator.num_features=2", "--config.discriminator.receptive_field=16"),
    *("--config.num_epochs=1", "--config.num_decay_epochs=0", "--config.num_samples=1"),
)


def write_set(root, name):
    """Write three pairs a split, of colors on the left and gray on the right."""
    splits, pattern, _ = SETS[name]
    rng = np.random.default_rng(0)
    for split in splits:
        (root / split).mkdir(parents=True)
        for number in range(1, 4):
            pixels = rng.integers(0, 256, (SIZE, 2 * SIZE, 3), np.uint8)
            pixels[:, SIZE:, 1:] = pixels[:, SIZE:, :1]
            Image.fromarray(pixels).save(root / split / pattern.format(number), quality=95)


@pytest.mark.seconds(40)
@pytest.mark.parametrize("name", SETS)
def test_a_public_set_trains_by_one_command(tmp_path, name):
    root, workdir = tmp_path / name, tmp_path / "runs" / name
    write_set(root, name)
    direction = SETS[name][2]
    result = run_well(
        "train_gan",
        "--config=configs/pairs.py",
        f"--config.data.paired_dir={root}",
        f"--config.data.direction={direction}",
        f"--workdir={workdir}",
        *SMALL,
    )
    assert f"GAN: 3 pairs of {root}/train (A | B in a file), {direction}, in color" in result.stderr
    assert json.loads((workdir / "config.json").read_text())["data"]["num_channels"] == 3
    with open(workdir / "validation.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["step"], row["num_pairs"]) == ("3", "3") and 0 < float(row["l1"]) < 2
    assert f"GAN: epoch 1: 3 validation pairs: L1 {float(row['l1']):.3f}, SSIM " in result.stderr
    if name == "facades":
        draw_from_conditions(root, workdir, tmp_path / "drawn")


def draw_from_conditions(root, workdir, out_dir):
    result = run_well(
        "synthesize",
        f"--gan_workdir={workdir}",
        f"--condition_dir={root / 'test'}",
        "--condition_part=right",
        f"--out_dir={out_dir}",
    )
    assert result.stdout.startswith("3 images of step 3 in ")
    assert sorted(path.name for path in out_dir.glob("*.png")) == ["1.png", "2.png", "3.png"]
    with Image.open(out_dir / "1.png") as image:
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE))
