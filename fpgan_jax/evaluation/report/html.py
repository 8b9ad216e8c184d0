"""Turns Jinja templates into HTML pages of one file each, in which no text can become markup."""

import re
from collections.abc import Callable
from typing import Any

import jinja2

# What HTML forbids, lone surrogates (file names that are not UTF-8), and characters that change the reading direction.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def create_environment(package: str, **filters: Callable) -> jinja2.Environment:
    """Create the environment for a package's templates, which may use this package's `layout.html` and `parts.html`.

    Args:
      package: its folder `templates` is searched first.
      filters: functions by the names that the templates use.
    """
    packages = dict.fromkeys((package, "fpgan_jax.evaluation.report"))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in packages]),
        autoescape=True,
        finalize=_finalize,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(filters)
    return environment


def _finalize(value: Any) -> Any:
    if value is None:
        return ""
    return make_printable(value) if type(value) is str else value  # Markup is a subclass and already safe


def make_printable(text: str) -> str:
    """Replace characters that HTML forbids or that would reorder the text around them by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)
