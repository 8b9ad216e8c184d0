"""JSON files that an editor has saved."""

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.host.json_file import read_json


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_every_unicode_encoding(tmp_path, encoding):
    (tmp_path / "a.json").write_text('{"name": "größe"}', encoding=encoding)
    assert read_json(tmp_path / "a.json") == {"name": "größe"}


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{\n  "seed": 1,\n}', "line 3, column 1: "),
        (b'\xef\xbb\xbf{"seed" 1}', "line 1, column 9: "),
        (b'{\n"name": "\xe9"}', "line 2: not in UTF-8"),
        (b"", "line 1, column 1: "),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "Exceeds the limit"),
    ],
    ids=["comma", "colon", "latin-1", "empty", "deep", "long"],
)
def test_a_mistake_is_told_by_its_place(tmp_path, data, place):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.json: not JSON \({place}") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value) and "delete" not in str(caught.value)
