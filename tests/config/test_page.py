"""The page of every field: that the one in docs/ is not stale, and what a row says."""

import pathlib
import re

import pytest

from fpgan_jax.config.fields import FIELDS
from fpgan_jax.config.page import format_page


@pytest.fixture
def page():
    return format_page()


def find_row(page, field):
    row = next(line for line in page.splitlines() if line.startswith(f"| {field} |"))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_the_page_in_docs_is_what_the_fields_say(page):
    assert pathlib.Path("docs/fields.md").read_text() == page, "stale: run python -m launch.document_fields"


def test_every_field_has_its_row(page):
    rows = [line.split(" | ")[0] for line in page.splitlines() if re.match(r"\| [a-z]", line)]
    assert set(rows) - {"| field"} == {f"| {name}" for name in FIELDS}


@pytest.mark.parametrize(
    ("field", "type_", "range_", "default", "use"),
    [
        ("lambda_l1", "float", "at least 0.0", "100.0", "1"),
        ("classifier.num_middle_blocks", "int", "0 to 64", "8", "2"),
        ("data.frame", "str", "keep, crop", "'keep'", "1, 2"),
        ("discriminator.receptive_field", "int", "1, 16, 34, 70, 142, 286", "70", "1"),
        ("sample_epochs", "tuple of int", "at least 1", "(2, 28, 160)", "1"),
        ("remat", "bool", "", "False", "1"),
        ("synthesis.noise", "str", "training, new", "'training'", "2"),
    ],
)
def test_a_row_tells_type_range_default_and_use(page, field, type_, range_, default, use):
    row = find_row(page, field)
    assert row[1:4] + row[5:] == [type_, range_, default, use]
