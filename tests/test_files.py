"""Files are whole or not there."""

import json
import os

import pytest

from fabg.errors import ConfigError
from fabg.files import write_bytes, write_json, write_text


def test_folders_are_made_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a" / "b" / "result.json"
    write_json({"lag_ms": 1.5}, path)
    assert json.loads(path.read_text()) == {"lag_ms": 1.5}
    write_text(path, "µ\n")
    assert path.read_bytes() == b"\xc2\xb5\n"
    assert os.listdir(path.parent) == ["result.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_content_and_no_scratch(tmp_path, monkeypatch):
    path = tmp_path / "result"
    write_bytes(path, b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(ConfigError, match=r"result' cannot be written \(No space left on device\)"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result"]


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="deep.json' cannot be written"):
        write_text(tmp_path / "file" / "deep.json", "")
