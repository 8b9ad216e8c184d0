"""A made-up evaluation for the report's tests: procedural prints, and rows of every status that nobody measured."""

import dataclasses

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from scipy import ndimage

from fpgan_jax.data.procedural.alterations import DIFFICULTIES, alter_impression
from fpgan_jax.data.procedural.finger import create_finger
from fpgan_jax.data.procedural.impressions import SIZES, create_impression
from fpgan_jax.evaluation.controls.control_table import Verdict
from fpgan_jax.evaluation.experiments.utility_table import ResultRow
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.study import print_collection
from fpgan_jax.evaluation.study.findings import REFUSED, SKIPPED, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study
from fpgan_jax.tables.report_table import ReportTable

CONTROLS = (
    *("other_person", "white_noise", "low_pass_noise", "blurred", "mean_print", "average_of_two"),
    *("mosaic", "mirrored", "bare_frame", "exact_copy", "checkered"),
)
NASTY_NAME = """<script>alert("1")</script> & 'x'.png"""
NAN = float("nan")
FAMILIES = (
    *("similarity", "identity", "uniqueness", "leakage", "minutiae", "quality", "ridges", "checkerboard"),
    *("variation", "distribution", "pixels"),
)


def create_study(*, num_persons=3, num_replicas=2, size=64, seed=0):
    """Draw the collections: real, others, altered, synthetic of both kinds, and every control."""
    rng = np.random.default_rng(seed)
    fingers = [create_finger(seed, person) for person in range(1, num_persons + 3)]
    window = SIZES["96x103"].window

    def enlarge(image):
        picture = Image.fromarray(image[window]).resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(picture)

    scans = [create_impression(finger) for finger in fingers]
    prints = np.stack([enlarge(scan) for scan in scans])
    real, others = prints[:num_persons], prints[num_persons:]
    persons = np.arange(1, num_persons + 1, dtype=np.int32)
    collections = {
        "real": PrintCollection(
            "real",
            print_collection.REFERENCE,
            real,
            persons,
            tuple(f"{person}__M_Right_index_finger.BMP" for person in persons),
            "the training's prints",
        ),
        "real_others": PrintCollection(
            "real_others",
            print_collection.POPULATION,
            others,
            persons[:2] + np.int32(num_persons),
            ("a.BMP", "b.BMP"),
            "real prints of other persons",
        ),
    }
    for difficulty in DIFFICULTIES:
        images, names = [], []
        for finger, scan, person in zip(fingers, scans, persons, strict=False):
            for alteration in ("Obl", "CR", "Zcut"):
                images.append(enlarge(alter_impression(scan, finger, alteration, difficulty)))
                names.append(f"{person}__M_Right_index_finger_{alteration}.BMP")
        name = f"altered_{difficulty.lower()}"
        collections[name] = PrintCollection(
            name, print_collection.BASELINE, np.stack(images), np.repeat(persons, 3), tuple(names), difficulty
        )
    replicated = np.repeat(persons, num_replicas)
    trained, new = [], []
    for person in replicated:
        noise = rng.normal(0, 10, (size, size))
        trained.append(ndimage.gaussian_filter(real[person - 1].astype(float), 0.6) + noise)
        mix = rng.dirichlet(np.full(num_persons, 0.6))
        bent = np.tensordot(mix, real.astype(float), 1)
        new.append(ndimage.shift(bent, rng.normal(0, 3, 2), mode="nearest") + noise)
    for name, images in (("synthetic_training", trained), ("synthetic_new", new)):
        images = np.clip(np.stack(images), 0, 255).astype(np.uint8)
        names = [f"{person:03d}_{place:03d}.png" for place, person in enumerate(replicated)]
        names[-1] = NASTY_NAME
        collections[name] = PrintCollection(
            name, print_collection.SYNTHETIC, images, replicated, tuple(names), f"made-up, {name}"
        )
    for control, images in _create_controls(real, rng).items():
        name = f"control_{control}"
        names = tuple(f"{control}_{person}.png" for person in persons)
        collections[name] = PrintCollection(
            name, print_collection.CONTROL, images, persons, names, f"{control} for every person"
        )
    return Study(collections, create_settings(), (), seed)


def create_settings():
    """Create what config.evaluation holds."""
    return ConfigDict({"measures": FAMILIES, "num_resamples": 2000})


def _create_controls(real, rng):
    white = rng.integers(0, 256, real.shape, np.uint8)
    low_pass = ndimage.gaussian_filter(white.astype(float), (0, 2, 2))
    half = real.shape[2] // 2
    rolled = np.roll(real, 1, 0)
    images = {
        "other_person": rolled,
        "white_noise": white,
        "low_pass_noise": 128 + (low_pass - low_pass.mean()) * 6,
        "blurred": ndimage.gaussian_filter(real.astype(float), (0, 2, 2)),
        "mean_print": np.broadcast_to(real.mean(0), real.shape),
        "average_of_two": (real.astype(float) + rolled) / 2,
        "mosaic": np.concatenate([real[:, :, :half], rolled[:, :, half:]], 2),
        "mirrored": real[:, :, ::-1],
        "bare_frame": np.full(real.shape, 255),
        "exact_copy": real,
        "checkered": real + 8.0 * (np.indices(real.shape).sum(0) % 2) - 4,
    }
    return {name: np.clip(image, 0, 255).astype(np.uint8) for name, image in images.items()}


# family, measure, unit, better -> value of: real, altered easy, medium, hard, training noise, new noise
_GREY = "grey levels (0-255)"
_MEASURES = {
    ("similarity", "similarity_frame_crop", "probability", "higher"): (
        *(1, 0.9999, 0.9996),
        *(0.9987, 0.9997, 0.2384),
    ),
    ("similarity", "similarity_frame_crop_std_over_persons", "probability", ""): (
        *(0, 0.0001, 0.0005, 0.0017),
        *(0.0003, 0.3276),
    ),
    ("similarity", "recognised_frame_crop", "fraction", "higher"): (1, 1, 1, 1, 1, 0.2308),
    ("identity", "nbis_eer", "fraction", "lower"): (NAN, 0.002, 0.006, 0.019, NAN, NAN),
    ("identity", "nbis_threshold_at_far_0.01", "score", ""): (21, NAN, NAN, NAN, NAN, NAN),
    ("identity", "nbis_threshold_at_far_0.001", "score", ""): (27, NAN, NAN, NAN, NAN, NAN),
    ("identity", "nbis_match_rate_at_far_0.01", "fraction", "higher"): (NAN, 1, 0.992, 0.961, 0.969, 0.031),
    ("identity", "nbis_match_rate_at_far_0.001", "fraction", "higher"): (NAN, 1, 0.98, 0.93, 0.92, 0.0),
    ("identity", "nbis_rank_1", "fraction", "higher"): (NAN, 1, 1, 0.983, 0.977, 0.115),
    ("uniqueness", "nbis_collision_rate_at_far_0.01", "fraction", "lower"): (
        *(0.009, 0.01, 0.01, 0.012),
        *(0.011, 0.388),
    ),
    ("leakage", "nbis_leak_rate_at_far_0.01", "fraction", "lower"): (NAN, NAN, NAN, NAN, 0.969, 0.046),
    ("leakage", "nbis_mirrored_leak_rate_at_far_0.01", "fraction", "lower"): (
        *(NAN, NAN, NAN, NAN),
        *(0.008, 0.0),
    ),
    ("minutiae", "minutiae_count", "", "real"): (41.2, 39.8, 38.1, 36.4, 43.9, 58.3),
    ("minutiae", "ending_share", "fraction", "real"): (0.61, 0.62, 0.63, 0.66, 0.59, 0.71),
    ("minutiae", "added_per_print", "", "lower"): (NAN, 3.1, 4.9, 7.2, 6.8, 39.4),
    ("quality", "nfiq2", "score", "higher"): (36.1, 35.2, 33.3, 30.4, 34.8, 21.9),
    ("ridges", "ridge_period", "px", "real"): (4.52, 4.53, 4.53, 4.55, 4.51, 4.83),
    ("ridges", "orientation_coherence", "", "real"): (0.871, 0.868, 0.86, 0.842, 0.858, 0.611),
    ("checkerboard", "checkerboard_2px", "dB", "real"): (-0.4, -0.3, -0.4, -0.2, 5.4, 7.7),
    ("checkerboard", "checkerboard_4px", "dB", "real"): (0.1, 0.2, 0.1, 0.1, 0.9, 1.4),
    ("distribution", "kid", "", "lower"): (0.0005, 0.0008, 0.0011, 0.0024, 0.0031, 0.0412),
    ("distribution", "frechet_distance_all_features", "", "lower"): (NAN,) * 6,
    ("distribution", "precision", "", "higher"): (0.98, 0.97, 0.96, 0.93, 0.91, 0.12),
    ("pixels", "l1_to_reference", _GREY, "lower"): (NAN, 4.1, 6.3, 9.9, 7.7, 51.0),
    ("pixels", "psnr_to_reference", "dB", "higher"): (NAN, float("inf"), 24.8, 21.6, 26.3, 9.8),
    ("pixels", "ssim_to_reference", "", "higher"): (NAN, 0.93, 0.9, 0.84, 0.94, 0.11),
    ("pixels", "ssim_within_person", "", "real"): (NAN, 0.91, 0.85, 0.71, 0.93, 0.35),
}
_PLACES = ("real", "altered_easy", "altered_medium", "altered_hard", "synthetic_training", "synthetic_new")
REFUSAL = "13 persons give a covariance of 74 features a rank of at most 12; 740 are needed"
SKIP = "NFIQ 2 is not installed: pip install -e .[biometrics]"


def create_measures(study, *, without_quality=True, seed=1):
    """Make rows up: measured ones with intervals, refused, skipped, and some without an interval."""
    rng = np.random.default_rng(seed)
    rows = [
        MeasureRow(
            *("similarity", "similarity_frame_keep", "all", NAN, NAN, NAN, 0, 0),
            status=SKIPPED,
            note="no classifier given that was trained with the scanner's frame",
        )
    ]
    for (family, measure, unit, better), values in _MEASURES.items():
        values = dict(zip(_PLACES, values, strict=True))
        for name, collection in study.collections.items():
            counts = (len(collection), len(set(collection.persons.tolist())))
            if collection.role == print_collection.CONTROL and "threshold" in measure:
                continue
            row = MeasureRow(family, measure, name, NAN, NAN, NAN, *counts, unit, better)
            if measure == "ssim_to_reference" and name == "real":
                rows.append(dataclasses.replace(row, status=REFUSED, note="it is the reference"))
                continue
            is_left_out = np.isnan(values.get(name, 0)) and measure != "frechet_distance_all_features"
            if name == "real_others" or is_left_out:
                continue
            if measure == "frechet_distance_all_features":
                rows.append(dataclasses.replace(row, status=REFUSED, note=REFUSAL))
                continue
            if measure == "nfiq2" and without_quality:
                rows.append(dataclasses.replace(row, status=SKIPPED, note=SKIP))
                continue
            value = values.get(name)
            if value is None:  # a control
                span = [other for other in values.values() if np.isfinite(other)]
                value = float(rng.uniform(min(span), max(span)))
            half = abs(value) * 0.03 * (1 + rng.random())
            low, high = value - half, value + half
            if unit == "fraction" or measure in (
                "precision",
                "orientation_coherence",
                "similarity_frame_crop",
            ):
                low, high = max(low, 0), min(high, 1)
            note = ""
            if name == "control_bare_frame":
                low, high, note = NAN, NAN, "no interval: 1 person, and fewer than 3 give none"
            rows.append(dataclasses.replace(row, value=float(value), low=low, high=high, note=note))
    return rows


def create_images(study, *, seed=2):
    """Make values of single prints up, a NaN among them."""
    rng = np.random.default_rng(seed)
    rows = []
    for measure, mean, spread in (
        ("minutiae_count", 42, 6),
        ("orientation_coherence", 0.85, 0.04),
        ("ridge_period", 4.5, 0.15),
    ):
        for name, collection in study.collections.items():
            shift = 2.5 * spread if name == "synthetic_new" else 0
            for person, filename in zip(collection.persons, collection.filenames, strict=True):
                value = float(rng.normal(mean + shift, spread))
                if name == "control_bare_frame":
                    value = NAN
                rows.append(ImageRow(measure, name, int(person), filename, value))
    return rows


def create_matches(study, *, matcher="nbis", seed=3):
    """Make scores up: genuine, impostor, synthetic against the real prints and their mirrored copies."""
    rng = np.random.default_rng(seed)
    real = study.reference
    rows = []
    for name, collection in study.collections.items():
        if name == "real_others" or collection.role in (print_collection.CONTROL, print_collection.REFERENCE):
            continue
        mean = {"synthetic_training": 140, "synthetic_new": 14}.get(name, 230)
        for person, filename in zip(collection.persons, collection.filenames, strict=True):
            for other, real_name in zip(real.persons, real.filenames, strict=True):
                is_own = person == other
                score = rng.gamma(6, mean / 6) if is_own else rng.gamma(4, 3)
                for gallery, gallery_score in (("real", score), ("real_mirrored", rng.gamma(4, 3))):
                    if gallery == "real_mirrored" and collection.role != print_collection.SYNTHETIC:
                        continue
                    rows.append(
                        MatchRow(
                            *(matcher, name, int(person), filename, gallery, int(other), real_name),
                            float(np.round(gallery_score)),
                        )
                    )
    return rows


def create_epochs(study, *, epochs=(2, 10, 28, 80, 160)):
    """Make measures by epoch up, one epoch's refused."""
    rows = {}
    for place, epoch in enumerate(epochs):
        share = (place + 1) / len(epochs)
        rows[epoch] = []
        for measure, family, top, unit in (
            ("nbis_match_rate_at_far_0.01", "identity", 0.97, "fraction"),
            ("nbis_leak_rate_at_far_0.01", "leakage", 0.95, "fraction"),
            ("minutiae_count", "minutiae", 44, ""),
            ("kid", "distribution", 0.01, ""),
        ):
            for name in ("synthetic_training", "synthetic_new"):
                value = top * (share if name == "synthetic_training" else 0.1 * share)
                row = MeasureRow(
                    *(family, measure, name, value, value * 0.9, min(value * 1.05, 1 if unit else 99)),
                    *(len(study.collections[name]), len(study.reference), unit, "higher"),
                )
                if measure == "kid" and not place:
                    row = dataclasses.replace(row, value=NAN, low=NAN, high=NAN, status=REFUSED, note="few")
                rows[epoch].append(row)
    return rows


def create_controls(study):
    """Make the control table up."""
    rows = []
    measures = sorted({measure for _, measure, _, _ in _MEASURES} - {"frechet_distance_all_features"})
    for number, control in enumerate(name for name in study.collections if name.startswith("control_")):
        for place, measure in enumerate(measures):
            caught = None if measure == "nfiq2" else (number * 7 + place * 5) % 3 > 0
            if control == "control_exact_copy" and caught:
                caught = "leak" in measure
            note = SKIP if caught is None else f"{place + 0.5:.1f} against {number + 1:.1f} real"
            rows.append(Verdict(control, measure, caught, note))
    return rows


def create_utility():
    """Make experiment 3's rows up, of five seeds."""
    rng = np.random.default_rng(4)
    conditions = {
        "real": 0,
        "real+augmentation": 0.05,
        "real+synthetic": -0.012,
        "all": 0.04,
        "real+synthetic_new": -0.11,
    }
    tests = {"real": 0.99, "altered_easy": 0.93, "altered_medium": 0.84, "altered_hard": 0.66}
    rows = []
    for test_set, real in tests.items():
        for condition, gain in conditions.items():
            for seed in range(5):
                accuracy = min(real + gain + rng.normal(0, 0.012), 1.0)
                folder = "runs/synthetic_training" if "synthetic" in condition or condition == "all" else ""
                rows.append(ResultRow(condition, seed, folder, test_set, 39, 13, accuracy, accuracy - 0.1))
    return rows


def create_tables():
    """Make the seeds' spread up."""
    header = ("scored", "GAN seeds", "classifier seeds", "mean", "95% low", "95% high", "std GAN")
    cells = [
        ("synthetic", "3", "3", "0.9991", "0.9972", "0.9999", "0.0012"),
        ("new_noise", "3", "1", "0.3100", "0.2000", "0.4200", "-"),
    ]
    return [
        ReportTable("seeds", "What the seeds do", "Means over seeds of GAN and classifier.", header, cells)
    ]


def create_provenance():
    """Make up what was run."""
    return {
        "command": "python -m launch.evaluate --config=configs/twin_p50.py --workdir='runs/<b>x</b>'",
        "date": "2025-01-01T00:00:00Z",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "seeds": {"gan": [0, 1, 2], "classifier": [0, 1, 2], "bootstrap": 0},
        "versions": {"python": "3.11.9", "jax": "0.10.2", "nbis": None},
        "seconds": {"identity": 41.27, "similarity": 12.0},
        "hashes": {"synthetic_training": "sha256:" + "ab" * 32},
        "config": {"data": {"image_size": 128, "socofing_dir": "<img src=x onerror=alert(1)>"}, "seed": 0},
    }


def create_noise(study, *, size=64, seed=5):
    """Draw a noise image for each print of the training noise."""
    num = len(study.collections["synthetic_training"])
    return {"synthetic_training": np.random.default_rng(seed).integers(0, 256, (num, size, size), np.uint8)}


def create_results(**sizes):
    """Make a whole evaluation up."""
    study = create_study(**sizes)
    return EvaluationResults(
        study=study,
        measures=create_measures(study),
        images=create_images(study),
        matches=create_matches(study),
        measures_by_epoch=create_epochs(study),
        controls=create_controls(study),
        noise_images=create_noise(study),
        provenance=create_provenance(),
        utility=create_utility(),
        tables=create_tables(),
    )
