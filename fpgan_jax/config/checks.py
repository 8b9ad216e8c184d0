"""Owns the check of a whole config, before anything is written."""

from ml_collections import ConfigDict

from fpgan_jax.config.derived import count_persons
from fpgan_jax.config.fields import (
    CONDITION_CHANNELS,
    FIELDS,
    PATH_FIELDS,
    PERSON_SOURCES,
    SOURCE_FIELDS,
    describe_unknown,
    flatten_config,
)
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import find_path_fault


def validate_config(config: ConfigDict, *, needs_data: bool = True) -> None:
    """Check every field, and that the fields fit together; unless `needs_data`, prints need not be given.

    Raises:
      UserError: a field is unknown, missing, of a wrong type or out of range, or two fields contradict each other. The
        message names the field as it is written on the command line.
    """
    check_names(config)
    flat = flatten_config(config)
    for name, value in flat.items():
        if fault := FIELDS[name].find_fault(value):
            raise UserError(f"config.{name}={value!r}: {fault}")
    for name in PATH_FIELDS:
        if fault := find_path_fault(flat[name]):
            raise UserError(f"config.{name}={flat[name]}: {fault}")
    _validate_combinations(config)
    if needs_data:
        _check_place(config)


def check_names(config: ConfigDict) -> None:
    """Check that a config has every field and no other.

    Raises:
      UserError: a field is unknown or missing.
    """
    names = flatten_config(config).keys()
    for name in sorted(names - FIELDS.keys()):
        raise UserError(describe_unknown(name))
    for name in sorted(FIELDS.keys() - names):
        raise UserError(f"config.{name}: missing; start from configs/pix2pix_socofing.py")


def _check_place(config: ConfigDict) -> None:
    hints = {
        "socofing": "FOLDER (python -m launch.make_prints makes prints to start with)",
        "npz": "FILE (python -m launch.make_pairs --npz=FILE writes one)",
        "paired_folder": "FOLDER (it holds A/ and B/, or files of A and B side by side)",
        "impressions": "FOLDER (of <finger>_<impression>.png)",
    }
    place = SOURCE_FIELDS[config.data.source]
    if not config.data[place]:
        raise UserError(
            f"config.data.{place}: not given; set --config.data.{place}={hints[config.data.source]}"
        )


def _validate_combinations(config: ConfigDict) -> None:
    if config.num_decay_epochs >= config.num_epochs:
        raise UserError(
            f"config.num_decay_epochs={config.num_decay_epochs}: must be less than "
            f"config.num_epochs={config.num_epochs}; 0 keeps the learning rate constant"
        )
    if config.synthesis.use_ema and not config.ema_decay:
        raise UserError(
            "config.synthesis.use_ema=True: config.ema_decay=0 keeps no average; set one of the two"
        )
    norm = config.generator.norm
    if config.synthesis.use_running_average and norm in ("instance", "none"):
        raise UserError(
            f"config.synthesis.use_running_average=True: config.generator.norm={norm!r} keeps no running statistics; "
            "set one of the two"
        )
    _validate_resolution(config.data)
    _validate_pairs(config.data)
    matchers = config.evaluation.matchers
    if not matchers or len(set(matchers)) != len(matchers):
        raise UserError(f"config.evaluation.matchers={tuple(matchers)}: name one, or several once each")
    persons = config.data.persons
    if len(set(persons)) != len(persons):
        raise UserError(f"config.data.persons={tuple(persons)}: a person is named twice")
    _validate_condition(config)
    num_persons = count_persons(config)
    if persons and config.data.num_held_out_persons:
        raise UserError(
            f"config.data.num_held_out_persons={config.data.num_held_out_persons}: config.data.persons names who "
            "trains; set one of the two"
        )
    if config.data.source in PERSON_SOURCES and 0 < num_persons < config.evaluation.num_test_persons:
        raise UserError(
            f"config.evaluation.num_test_persons={config.evaluation.num_test_persons}: "
            f"the set has only {num_persons} persons"
        )


def _validate_condition(config: ConfigDict) -> None:
    data = config.data
    is_mapped = data.condition in CONDITION_CHANNELS
    if is_mapped and data.source == "paired_folder":
        raise UserError(
            f"config.data.condition={data.condition!r}: config.data.source='paired_folder' has conditions of its own; "
            f'use "noise", or one of the sources {", ".join(PERSON_SOURCES)}'
        )
    if data.warp_strength > 0 and not is_mapped:
        raise UserError(
            f"config.data.warp_strength={data.warp_strength}: needs config.data.condition='ridges' or 'minutiae', "
            f"which is {data.condition!r}"
        )
    uses_ridge_loss = {
        f"ridge_loss_weight={config.ridge_loss_weight}": config.ridge_loss_weight > 0,
        f"best_metric={config.best_metric!r}": config.best_metric == "ridge_loss",
    }
    for assignment, is_set in uses_ridge_loss.items():
        if is_set and data.condition != "ridges":
            raise UserError(
                f"config.{assignment}: needs config.data.condition='ridges', which is {data.condition!r}"
            )
    if config.best_metric == "ridge_loss" and not config.ridge_loss_weight:
        raise UserError(
            "config.best_metric='ridge_loss': config.ridge_loss_weight=0 computes none; set one of the two"
        )


def _validate_pairs(data: ConfigDict) -> None:
    if data.source == "paired_folder":
        return
    if data.num_channels == 0:
        raise UserError(
            "config.data.num_channels=0: takes the channels of the files of config.data.source='paired_folder', but "
            f"the source is {data.source!r}; set 1 (gray) or 3"
        )
    if data.direction != "AtoB":
        raise UserError(
            f"config.data.direction={data.direction!r}: is for config.data.source='paired_folder', but the source is "
            f"{data.source!r}; leave it out"
        )


def _validate_resolution(data: ConfigDict) -> None:
    if data.source == "impressions" and not data.sensor_ppi:
        raise UserError(
            "config.data.sensor_ppi: not given; set it to the sensor's pixels per inch, which is 500 for most"
        )
    if data.source == "socofing" and (data.sensor_ppi or data.image_ppi):
        raise UserError(
            f"config.data.sensor_ppi={data.sensor_ppi}, config.data.image_ppi={data.image_ppi}: the scale of "
            "SOCOFing's scans is known; leave both 0"
        )
