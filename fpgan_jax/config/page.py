"""Owns the page that lists every config field, made from `config.fields.FIELDS` and a documented config's source.

Does not own what a field means: the comments of the config do.
"""

import ast
import io
import re
import tokenize
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.fields import FIELDS, MAX_COUNT, Field, flatten_config
from fpgan_jax.config.identity import CLASSIFIER_FIELDS, GAN_FIELDS
from fpgan_jax.errors import UserError
from fpgan_jax.tables.formats import format_markdown

HEADER = ("field", "type", "range", "default", "meaning", "experiment")

_INTRODUCTION = """\
# Every field of a config

Set one with `--config.FIELD=VALUE`; a sweep (`launch.sweep`) varies any of them. Experiment 1 trains the GAN;
experiment 2 trains the classifier, draws prints, scores and evaluates them. Written by
`python -m launch.document_fields` from `{origin}` and `fpgan_jax/config/fields.py`; change it there.
"""
# What the range says already.
_CHOICES_ONLY = re.compile(r'("\w+"|\d+)( \| ("\w+"|\d+))+')
_SECOND_EXPERIMENT = ("set_name", *CLASSIFIER_FIELDS, "synthesis.", "evaluation.")


def format_page(source: str, config: ConfigDict, origin: str) -> str:
    """Write the page.

    Args:
      source: the text of the Python file that defines `config` with a comment at every field: behind it, in the
        lines above it, or both.
      config: what that file's `get_config` returns.
      origin: the file's name, for the page.

    Returns:
      Markdown.

    Raises:
      UserError: a field has no comment.
    """
    meanings = read_meanings(source)
    flat = flatten_config(config)
    groups: dict[str, list[tuple[str, ...]]] = {}
    for name, field in FIELDS.items():
        if not meanings.get(name):
            raise UserError(f"config.{name}: has no comment in {origin}; say there what it means")
        row = (name, _describe_type(field), _describe_range(field), repr(flat[name]), meanings[name])
        groups.setdefault(name.rpartition(".")[0], []).append((*row, _find_use(name)))
    sections = [
        f"## {f'`{group}`' if group else 'Training of the GAN, and of both experiments'}\n\n"
        + format_markdown(HEADER, rows)
        for group, rows in groups.items()
    ]
    return "\n".join([_INTRODUCTION.format(origin=origin), *sections])


def read_meanings(source: str) -> dict[str, str]:
    """Read the comment of every field that a config file sets.

    Args:
      source: the file's text, in which fields are set as `config.name = ...`, or `group.name = ...` with
        `group = config.group = ConfigDict()` before.

    Returns:
      Field -> the lines of comment right above it and the comment at its end, as one text; a comment at the end
      that only lists choices is left out.
    """
    lines = source.splitlines()
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    groups, meanings = {"config": ""}, {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign):
            continue
        names = [ast.unparse(target) for target in node.targets]
        fields = [_resolve(name, groups) for name in names if "." in name]
        groups |= {name: f"{fields[0]}." for name in names if "." not in name and fields}
        above, line = [], node.lineno - 1
        while lines[line - 1].lstrip().startswith("#"):
            above.insert(0, comments[line])
            line -= 1
        behind = comments.get(node.end_lineno, "")
        if _CHOICES_ONLY.fullmatch(behind):
            behind = ""
        parts = [part.rstrip(".:") for part in (" ".join(above), behind) if part]
        meanings |= dict.fromkeys(fields, "; ".join(parts))
    return meanings


def _resolve(name: str, groups: dict[str, str]) -> str:
    group, _, rest = name.partition(".")
    return groups.get(group, f"{group}.") + rest


def _describe_type(field: Field) -> str:
    if field.type is tuple:
        return f"tuple of {field.item_type.__name__}"
    return field.type.__name__


def _describe_range(field: Field) -> str:
    choices: Any = field.choices or field.item_choices
    if choices:
        return ", ".join(map(str, choices))
    low = None if field.low is None else str(field.low)
    high = None if field.high in (None, MAX_COUNT) else str(field.high)
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""


def _find_use(name: str) -> str:
    uses = {"1": name in GAN_FIELDS, "2": name.startswith(_SECOND_EXPERIMENT)}
    return ", ".join(number for number, is_used in uses.items() if is_used)
