"""What a path means that a user gives, and which of a config's fields are one."""

import os

import pytest

from configs import test_size
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.fields import FIELDS, PATH_FIELDS
from fpgan_jax.config.identity import claim_workdir
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import expand_path, find_path_fault, is_utf8

URLS = ("gs://bucket/run", "s3://b/x", "hdfs://host:9/x", "file:///tmp/x", "https://x", "abfs+ssl://x")


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("path", "expanded"),
    [("~", "{}"), ("~/runs", "{}/runs"), ("runs/~", "runs/~"), ("./~", "./~"), ("~nobody_here/x",) * 2],
)
def test_the_home_folder_stands_for_a_tilde_in_front(tmp_path, path, expanded):
    assert expand_path(path) == expanded.format(tmp_path)


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_no_path_here(url):
    assert f"and {url.split('//')[0]}// names another place" in find_path_fault(url)


@pytest.mark.parametrize("path", ["", ".", "/a:b//c", "gs:x", "gs:/x", "1://x", "~/x"])
def test_what_only_looks_like_one_is_a_path(path):
    assert find_path_fault(path) is None


def test_an_unknown_home_folder_is_told(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert find_path_fault("~/x").startswith("~ is not known here; set HOME")


def test_bytes_that_are_no_utf8_are_seen():
    assert is_utf8("ä/\n") and not is_utf8(os.fsdecode(b"a\xff"))


def test_the_path_fields_are_all_that_are_named_so():
    named = {name for name in FIELDS if name.endswith(("_dir", "_file", "_path"))}
    assert set(PATH_FIELDS) == named - {"data.on_bad_file"}


@pytest.mark.parametrize("name", PATH_FIELDS)
def test_a_url_in_a_config_names_its_field(name):
    config = test_size.get_config()
    config.update_from_flattened_dict({"data.socofing_dir": "x", name: "gs://bucket/prints"})
    with pytest.raises(UserError, match=rf"config\.{name}=gs://bucket/prints: a path on this machine"):
        validate_config(config)


def test_a_url_for_a_workdir_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--workdir=gs://bucket/run: a path on this machine is needed"):
        claim_workdir("gs://bucket/run", test_size.get_config())
    assert not list(tmp_path.iterdir())
