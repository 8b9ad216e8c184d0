"""Owns reading a config: from its file, from a checkpoint, and from overrides of single fields."""

from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.fields import FIELDS, FORMER_FIELDS, describe_unknown, list_later_defaults
from fpgan_jax.errors import UserError
from fpgan_jax.host.json_file import read_json

CONFIG_FILENAME = "config.json"


def create_config(overrides: Iterable[str] = ()) -> ConfigDict:
    """Create the config of `configs/pix2pix_socofing.py`, all defaults, with some overrides; see `override_fields`.

    It is not validated.
    """
    nested: dict[str, Any] = {}
    for name, field in FIELDS.items():
        _set_default(nested, name, field.default)
    return override_fields(ConfigDict(nested), overrides)


def _set_default(nested: dict[str, Any], name: str, value: Any) -> None:
    *groups, leaf = name.split(".")
    for group in groups:
        nested = nested.setdefault(group, {})
    nested.setdefault(leaf, value)


def load_config(path: str) -> ConfigDict:
    """Read a JSON file that `claim_workdir` wrote; see `parse_config`.

    Raises:
      UserError: the file is missing, not JSON or not a config.
    """
    try:
        values = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is this the workdir of a run?") from error
    try:
        return parse_config(values)
    except UserError as error:
        raise UserError(f"{path}: {error}; fix it, or use another workdir") from error


def parse_config(values: Any) -> ConfigDict:
    """Make a config of nested dicts from JSON, with tuples for lists.

    Fields that came after it was written are at their defaults, and those of `FORMER_FIELDS` are left out.

    Raises:
      UserError: the values are not those of a config.
    """

    def restore_tuples(value):
        if isinstance(value, Mapping):
            return {name: restore_tuples(inner) for name, inner in value.items()}
        return tuple(value) if isinstance(value, list) else value

    try:
        restored = restore_tuples(values)
        for name, default in list_later_defaults().items():
            _set_default(restored, name, default)
        for name, value in FORMER_FIELDS.items():
            part, _, leaf = name.partition(".")
            if leaf in restored.get(part, {}) and restored[part][leaf] == value:
                del restored[part][leaf]
        return ConfigDict(restored)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # ConfigDict accepts neither names of its methods nor dots.
        raise UserError(f"not a config ({type(error).__name__}: {error})") from error


def restore_config(metadata: Mapping, workdir: str) -> ConfigDict:
    """Read the config that a checkpoint in `workdir` was trained with from its metadata, and validate it.

    Raises:
      UserError: there is no valid config.
    """
    try:
        config = parse_config(metadata.get("config"))
        validate_config(config, needs_data=False)
    except UserError as error:
        raise UserError(f"{workdir}: the config in its checkpoint is not valid: {error}") from error
    return config


def override_fields(config: ConfigDict, overrides: Iterable[str]) -> ConfigDict:
    """Copy a config with some fields set, like `--config.FIELD=VALUE`.

    Overrides are "FIELD=VALUE", as "data.source=npz" or "sample_epochs=2,28". The values of the copy are of their
    fields' types but not checked otherwise.

    Raises:
      UserError: an override has another form, its field is unknown, or its value is not of the field's type.
    """
    copy = config.copy_and_resolve_references()
    for override in overrides:
        name, is_assignment, text = override.partition("=")
        if not is_assignment:
            raise UserError(f"override {override!r}: must be FIELD=VALUE, as data.source=npz")
        name = name.strip().removeprefix("config.")
        if name not in FIELDS:
            raise UserError(describe_unknown(name))
        # A file may have 50 for a float, which ConfigDict takes for an int.
        with copy.ignore_type():
            copy.update_from_flattened_dict({name: _parse_value(name, text.strip())})
    return copy


def _parse_value(name: str, text: str) -> Any:
    field = FIELDS[name]
    try:
        if field.value_type is bool:
            return {"true": True, "false": False}[text.lower()]
        if field.item_type:
            # The command line may have the spaces and quotes of a tuple.
            items = (item.strip(" '\"") for item in text.strip("()[]").split(","))
            return tuple(field.item_type(item) for item in items if item)
        return field.value_type(text)
    except (KeyError, ValueError) as error:
        raise UserError(f"config.{name}={text!r}: expected {field.type_name}") from error
