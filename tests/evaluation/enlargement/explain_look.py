"""Owns the search for what distinguishes the look of drawn prints from that of the training's sensor.

    python -m tests.evaluation.enlargement.explain_look SOCOFING_FOLDER FOLDER PPI [GAN_WORKDIR]

prints the numbers of docs/findings.md: the KID of a folder of drawn prints, of real prints that were warped as in
training, and of real prints redrawn in place from their own maps by a generator, against other real prints, and by how
many standard deviations of these each group of features is off. With the generator that drew the folder, also by how
many the ridge maps that it was given are off from those of training prints.
"""

import itertools
import os
import sys

import jax
import numpy as np

from configs import enlarge_demo
from fpgan_jax.config.fields import RIDGE_CHANNELS
from fpgan_jax.data import augmentation, preprocessing, print_loading
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.ridges import print_scale, ridge_pairs
from fpgan_jax.enlarging import enlarging
from fpgan_jax.enlarging.impression_drawing import ImpressionDrawer, ImpressionRow
from fpgan_jax.evaluation.enlargement.print_folders import PPI, Window, scale_to_window
from fpgan_jax.evaluation.measures import distances, features
from fpgan_jax.evaluation.recognition import print_sets
from fpgan_jax.synthesis import drawing
from fpgan_jax.synthesis.manifest import MANIFEST_FILENAME
from fpgan_jax.tables.csv_rows import read_rows

WINDOW = Window((279, 258), PPI)  # of 123x133 pixels at 238.7 per inch
NUM_MAPS = 150
GROUPS = {
    "rings 1 to 6": slice(1, 7),
    "rings 7 to 19": slice(7, 20),
    "rings 20 to 23": slice(20, features.NUM_RINGS),
    "orientation": slice(features.NUM_RINGS, -2),
    "gray": slice(-2, None),
}


def redraw(images: np.ndarray, gan_workdir: str) -> np.ndarray:
    """Draw prints from their own maps and looks, in place, by a run's last checkpoint."""
    config, step, _ = drawing.restore_config(gan_workdir)
    draw, variables = drawing.bind_draw(config, drawing.restore_variables(gan_workdir, config, step))
    look = {"shape": (*images.shape[1:3], 1), "distribution": config.data.noise_distribution}
    noises = [create_noise_image(0, number, 0, **look) for number in range(len(images))]
    conditions = map(ridge_pairs.map_print, images, noises, itertools.repeat(config.data))
    run, no_dropout = jax.jit(draw), np.zeros((1, 3), np.uint32)
    return np.concatenate([run(variables, condition[None], no_dropout) for condition in conditions])


def compare_maps(folder: str, gan_workdir: str) -> np.ndarray:
    """Measure how far the maps behind drawn new fingers are off from those of training prints, float64 [rings].

    Both are what the generator is given: a training print's own map, in place, and a finger's, moved and cut.
    """
    rows = read_rows(os.path.join(folder, MANIFEST_FILENAME), ImpressionRow, "synthesize --identities")
    overrides = {"seed": rows[0].seed}
    enlargement = enlarging.open_enlargement(gan_workdir, enlarging.Request("new", 1), overrides=overrides)
    chosen = [rows[index] for index in np.linspace(0, len(rows) - 1, NUM_MAPS).astype(int)]
    drawn = ImpressionDrawer(enlargement, rows[0]).create_conditions(chosen)
    images = np.random.default_rng(0).permutation(enlargement.training_prints.images)[:NUM_MAPS]
    blank, data = np.zeros((*images.shape[1:3], 1), np.uint8), enlargement.config.data
    trained = np.stack([ridge_pairs.map_print(image, blank, data) for image in images])
    found, reference = (
        features.compute_radial_spectrum(conditions[..., RIDGE_CHANNELS.index("ridges")])
        for conditions in (drawn, trained)
    )
    return (found.mean(0) - reference.mean(0)) / reference.std(0)


def main(socofing_dir: str, folder: str, ppi: str, gan_workdir: str | None = None) -> None:
    """Measure and print."""
    config = enlarge_demo.get_config()
    config.data.socofing_dir = socofing_dir
    prints = print_loading.load_prints(config, persons=print_loading.list_strangers(config))
    images = np.random.default_rng(0).permutation(prints.images)
    period, stretch = (
        find(config.data) for find in (print_scale.find_sensor_period, print_scale.find_stretch)
    )
    rows, columns = preprocessing.find_window(config.data)

    def scale(images: np.ndarray) -> np.ndarray:
        cropped, factor = images[:, rows, columns, 0], print_scale.PERIOD_AT_500_PPI / period
        scaled = print_scale.scale_images(cropped, factor, stretch, margin=0)
        return np.stack(
            [preprocessing.place_centrally(each[..., None], WINDOW.shape)[..., 0] for each in scaled]
        )

    half = len(images) // 2
    unit = images.astype(np.float32) / 127.5 - 1
    no_condition = np.zeros((*images.shape[:3], 0), np.float32)
    _, warped = augmentation.warp_pair(
        jax.random.key(0), no_condition, unit, strength=1.0, period=period, neutral=()
    )
    warped = np.rint(127.5 * (np.asarray(warped) + 1)).astype(np.uint8)
    (place,) = print_sets.parse_places([f"drawn={folder}@{ppi}"], "drawn")
    records = print_sets.read_prints(place, "drawn")
    drawn = np.stack([scale_to_window(record.image, place.ppi, WINDOW) for record in records])
    reference = features.HAND_MADE.compute(scale(images[half:]))
    mean, std = reference.mean(0), reference.std(0)
    for name, found, fingers in (
        ("real prints", scale(images[:half]), np.arange(half)),
        ("warped real prints", scale(warped[:half]), np.arange(half)),
        *(
            [("redrawn prints", scale(redraw(images[:half], gan_workdir)), np.arange(half))]
            if gan_workdir
            else []
        ),
        ("drawn prints", drawn, np.array([record.person for record in records])),
    ):
        off = (features.HAND_MADE.compute(found) - mean) / std
        kid = distances.compute_kid(off, fingers, (reference - mean) / std, np.arange(len(reference)))
        text = ", ".join(f"{group} {off[:, chosen].mean():+.1f}" for group, chosen in GROUPS.items())
        print(f"{name}: KID {kid[0]:.2f} ({kid[1]:.2f} to {kid[2]:.2f}); {text}")
    if gan_workdir:
        off = " ".join(f"{value:+.1f}" for value in compare_maps(folder, gan_workdir))
        print(f"maps of drawn prints, each ring: {off}")


if __name__ == "__main__":
    main(*sys.argv[1:])
