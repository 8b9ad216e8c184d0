"""Arbitrary text in names, overrides, configs and CSV files means what it says or is a user's mistake."""

import copy
import dataclasses
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs import pix2pix_socofing
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.fields import FIELDS, flatten_config
from fpgan_jax.config.files import load_config, override_fields
from fpgan_jax.config.identity import claim_workdir, find_differences, hash_config
from fpgan_jax.data import image_files, pairs
from fpgan_jax.data.socofing import filenames
from fpgan_jax.errors import UserError
from fpgan_jax.synthesis.manifest import MANIFEST_FILENAME, ManifestRow, read_manifest
from fpgan_jax.tables.csv_rows import read_rows, write_rows

FUZZ = settings(max_examples=200, deadline=None, derandomize=True, database=None)

PRINT_NAMES = st.builds(
    filenames.PrintName,
    person=st.integers(1, 999_999_999),
    hand=st.sampled_from(filenames.HANDS),
    finger=st.sampled_from(filenames.FINGERS),
    gender=st.sampled_from(filenames.GENDERS),
    alteration=st.sampled_from(filenames.ALTERATIONS),
)
# Text that is near a valid one: pieces of names in any order, with strange ones between.
PIECES = st.lists(
    st.sampled_from(
        ["1", "0", "600", "__", "_", "M", "F", "Left", "Right", "index", "thumb", "_finger", "CR"]
    )
    | st.sampled_from([".BMP", ".bmp", "/", "..", "-", "+", " ", "é", "\0", "\n", "\u0661", "\u2028"]),
    max_size=12,
).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
# Beside the fields: their groups, and what a ConfigDict takes for no field.
CONFIG_NAMES = st.sampled_from([*FIELDS, "data", "generator", "items", "__class__", "a.b", "", "lock"])


def assert_one_line(error):
    assert str(error) and str(error).isprintable()


@FUZZ
@given(PRINT_NAMES)
def test_every_print_name_comes_back(name):
    assert filenames.parse_filename(name.to_filename()) == name


@FUZZ
@given(st.text() | PIECES)
@example("1__M_Left_index_finger.BMP\n")
@example("\u0661__M_Left_index_finger.BMP")
def test_a_print_name_means_what_it_says_or_is_refused(text):
    try:
        name = filenames.parse_filename(text)
    except UserError as error:
        assert_one_line(error)
    else:
        assert name.to_filename() == text[:-4] + ".BMP" and text[-4:] in (".BMP", ".bmp")


@FUZZ
@given(
    st.integers(0, 10**9 - 1),
    st.integers(0, 10**9 - 1),
    st.integers(0, 9),
    st.sampled_from(image_files.EXTENSIONS),
)
def test_every_pair_name_comes_back(person, replica, width, extension):
    name = f"{person:0{width}d}_{replica:0{width}d}{extension}"
    assert pairs.parse_pair_name(name) == (person, replica)


@FUZZ
@given(st.text() | PIECES)
def test_a_pair_name_means_what_it_says_or_is_unknown(text):
    person, replica = pairs.parse_pair_name(text)
    if (person, replica) != (pairs.UNKNOWN, pairs.UNKNOWN):
        stated = text.rpartition(".")[0] or text
        assert [int(part) for part in stated.split("_")] == [person, replica] and stated.isascii()


def make_config():
    config = pix2pix_socofing.get_config()
    config.data.socofing_dir = "prints"
    return config


def check_valid_or_refused(config):
    """Everything that a script does with a config before it works."""
    validate_config(config)
    assert hash_config(config)
    assert find_differences(config, config) == []
    json.dumps(config.to_dict())


@FUZZ
@given(st.lists(st.text() | st.builds("{}={}".format, st.sampled_from(list(FIELDS)), st.text())))
@example(["data.persons=1,2,x"])
@example(["data.persons=" + "9" * 5000])
@example(["lambda_l1=nan"])
@example(["lambda_l1=1e999"])
@example(["learning_rate=1"])
@example(["config.=1"])
@example(["data=1"])
@example(["seed=\u0661"])
@example(["set_name=\ud800"])
def test_overrides_give_a_valid_config_or_a_mistake(overrides):
    config = make_config()
    before = config.to_dict()
    try:
        check_valid_or_refused(override_fields(config, overrides))
    except UserError as error:
        assert_one_line(error)
    assert config.to_dict() == before


@FUZZ
@given(st.sampled_from(list(FIELDS)))
def test_every_field_can_be_overridden_by_its_own_value(name):
    config = make_config()
    value = flatten_config(config)[name]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    copied = override_fields(config, [f"{name}={text}"])
    assert flatten_config(copied)[name] == value


def check_config_file(path):
    try:
        config = load_config(str(path))
        find_differences(config, make_config())
        hash_config(config)
        check_valid_or_refused(config)
    except UserError as error:
        assert_one_line(error)


@FUZZ
@given(st.text() | JSON_VALUES.map(json.dumps) | st.binary(max_size=50))
@example("[" * 5000 + "]" * 5000)
@example('{"data":' * 5000 + "1" + "}" * 5000)
@example("1" * 5000)
@example("{}")
@example("[]")
@example("null")
@example('{"data": {"persons": [1, "a"]}}')
@example('{"data": {"persons": 3}}')
@example('{"a.b": 1}')
@example('{"items": 1}')
@example('{"__class__": 1}')
@example('{"data": 1}')
@example('{"data": null}')
@example('{"lambda_l1": NaN}')
def test_a_config_file_is_valid_or_a_mistake(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    check_config_file(path)


@FUZZ
@given(st.lists(st.tuples(CONFIG_NAMES, JSON_VALUES), min_size=1, max_size=3))
def test_a_config_file_with_other_values_is_valid_or_a_mistake(tmp_path_factory, changes):
    values = copy.deepcopy(make_config().to_dict())
    for name, value in changes:
        *groups, leaf = name.split(".") if name in FIELDS else [name]
        group = values
        for part in groups:
            group = group[part] if isinstance(group.get(part), dict) else group
        group[leaf] = value
    path = tmp_path_factory.getbasetemp() / "changed.json"
    path.write_text(json.dumps(values))
    check_config_file(path)


def test_a_workdir_of_a_spoilt_config_is_refused(tmp_path):
    values = make_config().to_dict()
    values["data"]["persons"] = [1, "a"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"config\.data\.persons was"):
        claim_workdir(str(tmp_path), make_config())


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    share: float


# A carriage return inside quotes is kept by csv; a lone surrogate is no UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@FUZZ
@given(st.lists(st.builds(Row, TEXT, st.integers(), st.floats(allow_nan=False)), min_size=1, max_size=4))
def test_all_rows_come_back(tmp_path_factory, rows):
    path = str(tmp_path_factory.getbasetemp() / "rows.csv")
    write_rows(path, rows)
    assert read_rows(path, Row, "x") == rows


@FUZZ
@given(
    st.binary(max_size=80)
    | st.text().map(lambda text: f"name,count,share\n{text}".encode("utf-8", "replace"))
)
@example(b"name,count,share\n" + b'"' + b"a" * 200_000)
@example(b"name,count,share\n\0,1,2\n")
@example(b"name,count,share\na," + b"9" * 5000 + b",2\n")
@example(b"name,count,share\na,1,2,3,4\n")
def test_a_csv_file_is_read_or_a_mistake(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "foreign.csv"
    path.write_bytes(content)
    try:
        rows = read_rows(str(path), Row, "x")
    except UserError as error:
        assert_one_line(error)
    else:
        assert rows and all(isinstance(row, Row) for row in rows)


@FUZZ
@given(TEXT)
@example("../a.png")
@example("/etc/passwd")
@example("..")
@example(".")
@example("")
@example("a/../../b.png")
@example("a\0b.png")
def test_a_manifest_names_files_of_its_own_folder_only(tmp_path_factory, file):
    folder = tmp_path_factory.getbasetemp() / "manifest"
    row = ManifestRow(file, "s", 1, 0, "new", 1, 0, "on", "own", "last", 1, "h", "d")
    write_rows(str(folder / MANIFEST_FILENAME), [row])
    try:
        [read] = read_manifest(str(folder))
    except UserError as error:
        assert_one_line(error)
    else:
        assert read == row and (folder / file).parent == folder and "/" not in file
