"""Owns the page that lists every config field, made from `config.fields.FIELDS`."""

from fpgan_jax.config.fields import FIELDS, GROUP_NOTES, Field
from fpgan_jax.config.identity import CLASSIFIER_FIELDS, GAN_FIELDS
from fpgan_jax.tables.formats import format_markdown

HEADER = ("field", "type", "range", "default", "meaning", "experiment")

_INTRODUCTION = """\
# Every field of a config

Set one with `--config.FIELD=VALUE`; a sweep (`launch.sweep`) varies any of them. Experiment 1 trains the GAN;
experiment 2 trains the classifier, draws prints, scores and evaluates them. The defaults are the values in
`configs/pix2pix_socofing.py`. Written by `python -m launch.document_fields` from `fpgan_jax/config/fields.py`; change
it there.
"""
_SECOND_EXPERIMENT = ("set_name", *CLASSIFIER_FIELDS, "synthesis.", "evaluation.")


def format_page() -> str:
    """Write the page, as Markdown."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for name, field in FIELDS.items():
        row = (
            name,
            field.type_name,
            _describe_range(field),
            repr(field.default),
            field.meaning + "; differs between the codes of pix2pix (docs/versions.md)" * field.is_variant,
            _find_use(name),
        )
        groups.setdefault(name.rpartition(".")[0], []).append(row)
    sections = []
    for group, rows in groups.items():
        heading = f"`{group}`" if group else "Training of the GAN, and of both experiments"
        note = f"{GROUP_NOTES[group]}\n\n" if group in GROUP_NOTES else ""
        sections.append(f"## {heading}\n\n{note}{format_markdown(HEADER, rows)}")
    return "\n".join([_INTRODUCTION, *sections])


def _describe_range(field: Field) -> str:
    if field.choices:
        return ", ".join(map(str, field.choices))
    if field.low is None:
        return "" if field.high is None else f"at most {field.high}"
    return f"at least {field.low}" if field.high is None else f"{field.low} to {field.high}"


def _find_use(name: str) -> str:
    uses = {"1": name in GAN_FIELDS, "2": name.startswith(_SECOND_EXPERIMENT)}
    return ", ".join(number for number, is_used in uses.items() if is_used)
