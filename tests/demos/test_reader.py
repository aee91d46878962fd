"""Damaged data sets are refused: the message names the file and the remedy."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.demos.reader import Dataset
from fabg.errors import InputError
from tests.demos.sample import VIDEO, assert_holds, assert_stats, frames, open_writer, write

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
MOVIE = f"videos/{VIDEO}/chunk-000/file-000.mp4"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write(tmp_path_factory.mktemp("good"), range(3))


@pytest.fixture
def copy(good, tmp_path):
    return shutil.copytree(good, tmp_path / "copy")


def _read_all(root):
    dataset = Dataset(root)
    for index in range(len(dataset)):
        dataset.episode(index)
        dataset.pictures(index, VIDEO)
    dataset.stats()


@pytest.mark.parametrize(
    "name", ["meta/info.json", "meta/stats.json", "meta/tasks.parquet", EPISODES, DATA, MOVIE]
)
@pytest.mark.parametrize("damage", ["gone", "empty", "half", "other"])
def test_damage_is_named(copy, name, damage):
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(
            {"empty": b"", "half": data[: len(data) // 2], "other": b"hello, world" * 99}[damage]
        )
    with pytest.raises(InputError, match=r"(restore|expected)") as caught:
        _read_all(copy)
    assert path.name in str(caught.value) or "meta/episodes" in str(caught.value)
    assert str(copy) in str(caught.value)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_flipped_byte_of_the_data_never_passes_for_a_number(good, data):
    """Pages carry checksums: each frame is read as it was written, or refused."""
    whole = (good / DATA).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    try:
        (good / DATA).write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            assert_holds(Dataset(good), range(3), pictures=False)
        except InputError as error:
            assert DATA in str(error)
    finally:
        (good / DATA).write_bytes(whole)


def test_frames_of_another_episode_are_refused(copy):
    table = pq.read_table(copy / DATA)
    pq.write_table(table.slice(1), copy / DATA)
    with pytest.raises(InputError, match="4 frames of episode 0: expected frames 0 to 4"):
        Dataset(copy).episode(0)
    Dataset(copy).episode(1)


def test_columns_of_another_kind_are_refused(copy):
    table = pq.read_table(copy / DATA)
    pq.write_table(table.rename_columns({"event": "seen", "seen": "event"}), copy / DATA)
    with pytest.raises(InputError, match="'event'.*int64"):
        Dataset(copy).episode(0)
    pq.write_table(table.drop_columns(["action"]), copy / DATA)
    with pytest.raises(InputError, match="action"):
        Dataset(copy).episode(0)


@pytest.mark.parametrize("change", [{"total_episodes": 4}, {"total_frames": 23}, {"total_tasks": 9}])
def test_totals_that_do_not_add_up(copy, change):
    path = copy / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="expected"):
        Dataset(copy)


def test_statistics_of_another_number_of_frames_are_made_anew(copy):
    """As when a writer died between its last two files."""
    path = copy / "meta/stats.json"
    stats = json.loads(path.read_text())
    for entry in stats.values():
        entry["count"] = [99]
        entry["mean"] = [7.0]
    path.write_text(json.dumps(stats))
    assert_stats(Dataset(copy).stats(), range(3))


@pytest.mark.parametrize("index", [-1, 3, True, 1.0, None, "0"])
def test_episodes_that_are_not_there(good, index):
    with pytest.raises(InputError, match="has 3, counted from 0"):
        Dataset(good).episode(index)


def test_videos_that_are_not_there(good):
    with pytest.raises(InputError, match="right"):
        Dataset(good).pictures(0, "observation.images.right")


def test_what_is_told_of_an_episode(good):
    dataset = Dataset(str(good))
    assert dataset.fps == 25
    assert dataset.tasks == ["task 0", "task 1", "task 2"]
    assert [dataset.length(e) for e in range(3)] == [len(frames(e)) for e in range(3)]
    assert [dataset.episode_tasks(e) for e in range(3)] == [["task 0"], ["task 1"], ["task 0", "task 2"]]
    assert dataset.episode(np.int64(2))["frame_index"][-1] == len(frames(2)) - 1


def test_an_empty_data_set(tmp_path):
    with open_writer(tmp_path):
        pass
    dataset = Dataset(tmp_path)
    assert (len(dataset), dataset.total_frames, dataset.stats(), dataset.tasks) == (0, 0, {}, [])


def test_no_data_set(tmp_path):
    with pytest.raises(InputError, match="missing: expected a LeRobot"):
        Dataset(tmp_path / "nowhere")
