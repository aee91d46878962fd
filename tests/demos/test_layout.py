"""Features, and what info.json says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.demos.layout import BOOKKEEPING, Feature, Info, check_features, read_info
from fabg.errors import ConfigError, InputError

KEYS = st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,2}", fullmatch=True).filter(
    lambda key: "image" not in key and key not in BOOKKEEPING and key != "task"
)
SIZES = st.integers(1, 64)
FEATURES = st.dictionaries(
    KEYS,
    st.builds(lambda dtype, n: Feature(dtype, (n,)), st.sampled_from(["float32", "float64", "int64", "bool"]), SIZES)
    | st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4).map(Feature.vector)
    | st.builds(lambda h, w: Feature.video(2 * h, 2 * w), SIZES, SIZES),
    min_size=1,
)  # fmt: skip


@given(FEATURES, st.integers(1, 240), st.integers(0, 9), st.integers(0, 999), st.integers(0, 3))
def test_info_survives_the_disk(tmp_path_factory, features, fps, episodes, frames, tasks):
    check_features(features)
    info = Info(fps, features, "head", episodes, frames, tasks)
    root = tmp_path_factory.mktemp("info")
    (root / "meta").mkdir()
    (root / "meta/info.json").write_text(json.dumps(info.to_json()))
    found = read_info(root)
    assert found.to_json() == info.to_json()
    assert dict(found.features) == features


def test_what_lerobot_asks_of_info():
    info = Info(
        50,
        {"action": Feature.vector(("a", "b")), "observation.images.left": Feature.video(4, 6)},
        "head",
        3,
        7,
        1,
    )
    found = info.to_json()
    assert found["codebase_version"] == "v3.0"
    assert (found["total_episodes"], found["total_frames"], found["total_tasks"], found["fps"]) == (
        3,
        7,
        1,
        50,
    )
    assert found["splits"] == {"train": "0:3"}
    assert found["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert found["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    assert found["features"]["action"] == {"dtype": "float32", "shape": [2], "names": ["a", "b"]}
    assert found["features"]["timestamp"] == {"dtype": "float32", "shape": [1], "names": None}
    video = found["features"]["observation.images.left"]
    assert (video["dtype"], video["shape"]) == ("video", [4, 6, 3])
    assert video["names"] == ["height", "width", "channels"]
    assert video["info"]["video.fps"] == 50 and video["info"]["video.codec"] == "h264"
    kinds = {key: entry["dtype"] for key, entry in found["features"].items()}
    assert [kinds[key] for key in ("frame_index", "episode_index", "index", "task_index")] == ["int64"] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("float16", (2,)), "float16"),
        (("float32", (2, 3)), r"\(2, 3\)"),
        (("float32", ()), r"\(\)"),
        (("float32", (0,)), r"\(0,\)"),
        (("float32", (True,)), "True"),
        (("float32", (2,), ("a",)), "1 names for 2"),
        (("video", (5, 4, 3)), "even"),
        (("video", (4, 4, 1)), r"\(4, 4, 1\)"),
        (("video", (4, 4, 3), ("h", "w", "c")), "names"),
    ],
)
def test_features_that_cannot_be(arguments, said):
    with pytest.raises(ConfigError, match=said):
        Feature(*arguments)


@pytest.mark.parametrize(
    "key", ["", "a/b", "index", "task", "timestamp", "a b", ".a", "a..b", "état", "image_stamp"]
)
def test_names_that_lerobot_could_not_read(key):
    with pytest.raises(ConfigError, match=repr(key)):
        check_features({key: Feature("float32", (2,))})


def test_no_features():
    with pytest.raises(ConfigError, match="no features"):
        check_features({})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"codebase_version": "v2.1"}, "v2.1.*v3.0.*convert"),
        ({"codebase_version": None}, "v3.0"),
        ({"total_frames": -1}, "totals"),
        ({"total_frames": "7"}, "totals"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": 29.97}, "29.97"),
        ({"features": None}, "restore"),
        ({"features": {"x": {"dtype": "image", "shape": [4, 4, 3], "names": None}}}, "image"),
        ({"features": {"x": {}}}, "restore"),
        ({"chunks_size": None}, "restore"),
    ],
)
def test_info_that_cannot_be_used(tmp_path, change, said):
    info = Info(50, {"action": Feature("float32", (2,))}, "head").to_json() | change
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=said):
        read_info(tmp_path)


@given(
    st.binary(max_size=40)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_other_file_is_refused(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("info")
    (root / "meta").mkdir()
    (root / "meta/info.json").write_bytes(data)
    with pytest.raises(InputError, match="info.json"):
        read_info(root)
