"""The page of every field: what it takes from a config's comments, and that the one in docs/ is not stale."""

import inspect
import pathlib
import re

import pytest

from configs import pix2pix_socofing
from fpgan_jax.config import files
from fpgan_jax.config.fields import FIELDS
from fpgan_jax.config.page import format_page, read_meanings
from fpgan_jax.errors import UserError

SOURCE = """
def get_config():
    config = ConfigDict()
    config.seed = 0  # what is drawn
    data = config.data = ConfigDict()
    # A heading of what follows.

    data.hand = "Right"
    # Of two lines,
    # both above.
    data.finger = "index"  # and one behind
    data.frame = "keep"  # "keep" | "crop"
    inner = data.inner = ConfigDict()
    inner.measures = (
        "a # b",
        "c",
    )  # behind several lines
"""


@pytest.fixture
def page():
    return format_page(inspect.getsource(pix2pix_socofing), pix2pix_socofing.get_config(), "x.py")


def find_row(page, field):
    row = next(line for line in page.splitlines() if line.startswith(f"| {field} |"))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_the_page_in_docs_is_what_the_configs_say():
    page = format_page(
        inspect.getsource(pix2pix_socofing), pix2pix_socofing.get_config(), "configs/pix2pix_socofing.py"
    )
    assert pathlib.Path("docs/fields.md").read_text() == page, "stale: run python -m launch.document_fields"


def test_the_installed_package_has_the_same_defaults():
    own, documented = files.create_config(), pix2pix_socofing.get_config()
    assert own.to_dict() == documented.to_dict(), "stale: run python -m launch.document_fields"


def test_the_installed_packages_defaults_can_be_overridden():
    config = files.create_config(["data.source=paired_folder", "sample_epochs=1,2"])
    assert (config.data.source, config.sample_epochs) == ("paired_folder", (1, 2))


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


@pytest.mark.parametrize(
    ("field", "meaning"),
    [
        ("seed", "what is drawn"),
        ("data.hand", ""),  # a line between: a heading, of no field
        ("data.finger", "Of two lines, both above; and one behind"),
        ("data.frame", ""),  # choices are in the range
        ("data.inner.measures", "behind several lines"),
    ],
)
def test_a_meaning_is_the_comment_above_and_behind(field, meaning):
    assert read_meanings(SOURCE)[field] == meaning


def test_a_field_without_a_comment_is_named():
    source = inspect.getsource(pix2pix_socofing).replace(
        '  # whose prints are taken: "Left" | "Right" | "both"', ""
    )
    with pytest.raises(UserError, match=r"config\.data\.hand: has no comment in x\.py"):
        format_page(source, pix2pix_socofing.get_config(), "x.py")
