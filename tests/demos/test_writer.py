"""What is written, what is refused, and what a failing disk costs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.demos import clips, files
from fabg.demos.layout import Feature
from fabg.demos.reader import Dataset
from fabg.errors import ConfigError, EnvironmentProblem, InputError
from tests.demos.sample import (
    FEATURES,
    FPS,
    NUMBERS,
    VIDEO,
    add_episode,
    assert_holds,
    assert_stats,
    frames,
    open_writer,
    rows_as_lerobot_reads,
    task,
    truth,
    write,
)


def _files(root):
    return sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if p.is_file())


def test_the_layout_is_lerobots(tmp_path):
    root = write(tmp_path / "set", range(3))
    assert _files(root) == [
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        f"videos/{VIDEO}/chunk-000/file-000.mp4",
    ]
    data = pq.read_schema(root / "data/chunk-000/file-000.parquet")
    assert data.field("observation.state").type == pa.list_(pa.float32(), 3)
    assert data.field("action").type == pa.list_(pa.float32(), 2)
    assert data.field("stamp_s").type == pa.float64()
    assert data.field("seen").type == pa.bool_()
    assert data.field("timestamp").type == pa.float32()
    for key in ("frame_index", "episode_index", "index", "task_index", "event"):
        assert data.field(key).type == pa.int64()
    assert VIDEO not in data.names
    info = json.loads((root / "meta/info.json").read_text())
    counts = [len(frames(e)) for e in range(3)]
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, sum(counts), 3)
    rows = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    starts = np.cumsum([0, *counts]).tolist()
    for e, row in enumerate(rows):
        assert (row["episode_index"], row["length"]) == (e, counts[e])
        assert (row["dataset_from_index"], row["dataset_to_index"]) == (starts[e], starts[e + 1])
        for prefix in ("data", f"videos/{VIDEO}", "meta/episodes"):
            assert (row[f"{prefix}/chunk_index"], row[f"{prefix}/file_index"]) == (0, 0)
        assert row[f"videos/{VIDEO}/from_timestamp"] == pytest.approx(starts[e] / FPS)
        assert row[f"videos/{VIDEO}/to_timestamp"] == pytest.approx(starts[e + 1] / FPS)
    assert [row["tasks"] for row in rows] == [["task 0"], ["task 1"], ["task 0", "task 2"]]
    tasks = pq.read_table(root / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": k, "task": f"task {t}"} for k, t in enumerate((0, 1, 2))]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_each_frame_of_the_video_is_at_its_time(tmp_path):
    root = write(tmp_path, range(3))
    with av.open(str(root / f"videos/{VIDEO}/chunk-000/file-000.mp4")) as container:
        shown = [(frame.time, frame.key_frame) for frame in container.decode(video=0)]
        assert container.streams.video[0].pix_fmt == "yuv420p"
    expected = np.arange(sum(len(frames(e)) for e in range(3))) / FPS
    np.testing.assert_allclose([t for t, _ in shown], expected, atol=1e-6)
    assert sum(key for _, key in shown) >= len(shown) / 2, "any picture is at most one away from a key frame"


def test_written_values_come_back(tmp_path):
    dataset = Dataset(write(tmp_path, range(4)))
    assert_holds(dataset, range(4))
    assert_stats(dataset.stats(), range(4))
    assert_stats(json.loads((tmp_path / "meta/stats.json").read_text()), range(4))


def test_statistics_of_each_episode_lie_beside_it(tmp_path):
    root = write(tmp_path, range(3))
    for e, row in enumerate(pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()):
        stats = {
            key: {name: row[f"stats/{key}/{name}"] for name in Dataset(root).stats()[key]} for key in NUMBERS
        }
        assert_stats(stats, [e])


def test_a_data_set_continued_is_the_same_as_one_written_at_once(tmp_path):
    at_once = write(tmp_path / "once", range(4))
    continued = write(tmp_path / "twice", range(2))
    write(continued, range(2, 4))
    assert_holds(Dataset(continued), range(4))
    numbers = {key: value for key, value in Dataset(at_once).stats().items()}
    assert Dataset(continued).stats() == numbers, "to the last bit"
    assert rows_as_lerobot_reads(continued).equals(rows_as_lerobot_reads(at_once))


def test_files_grow_to_their_limit(tmp_path, monkeypatch):
    """Small limits give several files; chunks of two files each."""
    from fabg.demos import writer

    monkeypatch.setattr(writer, "_MEGABYTE", 4000)
    monkeypatch.setattr(writer, "_FILES_PER_CHUNK", 2)
    monkeypatch.setattr(writer, "_EPISODES_FILE_BYTES", 40_000)
    root = write(tmp_path, range(12), data_file_mb=2, video_file_mb=2)
    names = _files(root)
    for kind in ("data/", "meta/episodes/", "videos/"):
        assert len([n for n in names if n.startswith(kind)]) > 2, kind
    dataset = Dataset(root)
    assert_holds(dataset, range(12))
    assert_stats(dataset.stats(), range(12))
    assert rows_as_lerobot_reads(root)["index"].to_pylist() == list(range(dataset.total_frames))
    write(root, [12], data_file_mb=2, video_file_mb=2)
    assert_holds(Dataset(root), range(13))


def test_without_videos(tmp_path):
    root = write(tmp_path, range(2), NUMBERS)
    assert not (root / "videos").exists()
    assert json.loads((root / "meta/info.json").read_text())["video_path"] is None
    assert_holds(Dataset(root), range(2))


def test_a_long_episode(tmp_path):
    with open_writer(tmp_path, {"x": Feature("float32", (1,))}) as writer:
        for k in range(3000):
            writer.add_frame(task="count", x=k)
        writer.end_episode()
    np.testing.assert_array_equal(Dataset(tmp_path).episode(0)["x"], np.arange(3000, dtype="f4"))


GOOD = frames(0)[0]
BAD_VALUES = {
    "observation.state": st.one_of(
        st.sampled_from([None, "abc", [1, 2], [[1, 2, 3]], 1.0, [1, 2, None], [[1], 2, 3], [True, False, True]]),
        st.sampled_from([np.nan, np.inf, -np.inf, 1e300]).map(lambda bad: [0.0, bad, 0.0]),
        st.just([1j, 0, 0]),
    ),
    "stamp_s": st.sampled_from([np.nan, np.inf, "now", None, [1.0, 2.0], True]),
    "event": st.sampled_from([0.5, np.nan, 2**63, np.uint64(1), "one", None, [1, 2], True]),
    "seen": st.sampled_from([1, 0.0, np.nan, "yes", None, [True, False]]),
    VIDEO: st.sampled_from(
        [None, np.zeros((32, 48, 3)), np.zeros((48, 32, 3), np.uint8), np.zeros((32, 48), np.uint8)]
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A writer with one finished episode, and another in progress."""
    with open_writer(tmp_path_factory.mktemp("busy")) as writer:
        add_episode(writer, 0)
        writer.end_episode()
        add_episode(writer, 1)
        yield writer
        writer.end_episode()
        assert_holds(Dataset(writer.root), range(2))  # what was refused left no trace
        assert Dataset(writer.root).tasks == ["task 0", "task 1"]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_bad_values_are_refused_by_name(busy, data):
    key = data.draw(st.sampled_from(sorted(BAD_VALUES)))
    value = data.draw(BAD_VALUES[key])
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        busy.add_frame(task="bad", **{**GOOD, key: value})
    assert busy.frames == len(frames(1))


@pytest.mark.parametrize("bad", [None, "", "  ", 3, "\ud800"])
def test_bad_tasks_are_refused(busy, bad):
    with pytest.raises(InputError, match="task"):
        busy.add_frame(task=bad, **GOOD)
    assert busy.frames == len(frames(1))


def test_missing_and_unknown_keys_are_refused(busy):
    for values in ({**GOOD, "extra": 1}, {k: v for k, v in GOOD.items() if k != "event"}, {}):
        with pytest.raises(InputError, match="expected.*event"):
            busy.add_frame(task="bad", **values)
    assert busy.frames == len(frames(1))


def test_an_empty_episode_is_refused(tmp_path):
    with open_writer(tmp_path) as writer:
        with pytest.raises(InputError, match="no frames"):
            writer.end_episode()
        add_episode(writer, 3)
        writer.drop_episode()
        with pytest.raises(InputError, match="no frames"):
            writer.end_episode()
        add_episode(writer, 0)
        assert writer.end_episode() == 0
    assert_holds(Dataset(tmp_path), [0])


def test_frames_that_were_never_ended_are_spoken_of(tmp_path):
    with pytest.raises(InputError, match="8 frames were dropped"), open_writer(tmp_path) as writer:
        add_episode(writer, 0)
        writer.end_episode()
        add_episode(writer, 1)
    assert_holds(Dataset(tmp_path), [0])
    with pytest.raises(KeyError), open_writer(tmp_path) as writer:
        add_episode(writer, 1)
        raise KeyError("the caller's own error is not hidden")
    with pytest.raises(InputError, match="closed"):
        writer.add_frame(task="late", **GOOD)
    writer.close()
    assert not (tmp_path / ".unfinished").exists()


@pytest.mark.parametrize(
    "options", [{"fps": 0}, {"fps": 29.97}, {"fps": True}, {"data_file_mb": 0}, {"video_file_mb": 0.5}]
)
def test_bad_settings_are_refused(tmp_path, options):
    from fabg.demos.writer import DatasetWriter

    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=f"{name} is {value!r}"):
        DatasetWriter(tmp_path / "set", **{"fps": 25, "features": NUMBERS, "robot_type": "head", **options})
    assert not (tmp_path / "set").exists()


def test_another_data_set_is_not_continued(tmp_path):
    from fabg.demos.writer import DatasetWriter

    root = write(tmp_path, [0], NUMBERS)
    for fps, features, robot, said in (
        (30, NUMBERS, "head", "fps 25, not 30"),
        (FPS, NUMBERS, "arm", "robot_type head, not arm"),
        (FPS, {**NUMBERS, "action": Feature("float32", (3,))}, "head", "feature 'action'"),
        (FPS, FEATURES, "head", f"feature '{VIDEO}' None"),
        (FPS, {k: f for k, f in NUMBERS.items() if k != "seen"}, "head", "feature 'seen'"),
    ):
        with pytest.raises(ConfigError, match=said):
            DatasetWriter(root, fps, features, robot)
    assert_holds(Dataset(root), [0])


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="thesis.txt"):
        open_writer(tmp_path)
    assert _files(tmp_path) == ["thesis.txt"]


def test_a_data_set_of_another_writer_is_read_only(tmp_path):
    root = write(tmp_path, [0], NUMBERS)
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([n for n in table.column_names if n.startswith("stats/")]), path)
    assert_holds(Dataset(root), [0])
    with pytest.raises(ConfigError, match="not continued"):
        open_writer(root, NUMBERS)


def test_one_writer_at_a_time(tmp_path):
    with open_writer(tmp_path) as writer:
        with pytest.raises(ConfigError, match="somebody else"):
            open_writer(tmp_path)
        add_episode(writer, 0)
        writer.end_episode()
    write(tmp_path, [1])
    assert_holds(Dataset(tmp_path), range(2))


def test_files_that_never_counted_are_removed(tmp_path):
    """As when a writer died after it had begun new files."""
    root = write(tmp_path, range(2))
    for name in _files(root):
        if "file-000" in name:
            for other in ("file-001", "file-002"):
                shutil.copy(root / name, root / name.replace("file-000", other))
    assert_holds(Dataset(root), range(2))
    write(root, [2])
    assert len([name for name in _files(root) if "file-00" in name]) == 4, "the clip begins a new video"
    assert_holds(Dataset(root), range(3))
    assert rows_as_lerobot_reads(root)["index"].to_pylist() == list(range(Dataset(root).total_frames))


def _full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("at", range(6))
def test_a_full_disk_costs_one_episode(tmp_path, monkeypatch, at):
    """The third episode's file number `at` cannot be put into place; then there is space again."""
    done = []

    def counted(part, path):
        if len(done) == at:
            _full()
        done.append(path)
        return os.rename(part, path)

    with open_writer(tmp_path) as writer:
        for e in range(2):
            add_episode(writer, e)
            writer.end_episode()
        add_episode(writer, 2)
        with (
            monkeypatch.context() as patched,
            pytest.raises(EnvironmentProblem, match="No space.*2 episodes"),
        ):
            patched.setattr(files.os, "replace", counted)
            writer.end_episode()
        assert len(done) == at
        assert_holds(Dataset(tmp_path), range(2))
        assert_stats(Dataset(tmp_path).stats(), range(2))
        assert (writer.total_episodes, writer.frames) == (2, 0)
        add_episode(writer, 3)
        assert writer.end_episode() == 2
    dataset = Dataset(tmp_path)
    assert_holds(dataset, [0, 1, 3])
    assert_stats(dataset.stats(), [0, 1, 3])
    assert rows_as_lerobot_reads(tmp_path)["index"].to_pylist() == list(range(dataset.total_frames))


def test_a_table_that_cannot_be_written(tmp_path, monkeypatch):
    write(tmp_path, range(2))
    before = {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)}
    with open_writer(tmp_path) as writer:
        add_episode(writer, 2)
        monkeypatch.setattr(pq.ParquetWriter, "write_table", _full)
        with pytest.raises(EnvironmentProblem, match="No space"):
            writer.end_episode()
    assert {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)} == before


def test_a_picture_that_cannot_be_written(tmp_path, monkeypatch):
    with open_writer(tmp_path) as writer:
        add_episode(writer, 0)
        writer.end_episode()
        writer.add_frame(task=task(1), **frames(1)[0])
        with monkeypatch.context() as patched, pytest.raises(EnvironmentProblem, match="No space"):
            patched.setattr(clips.ClipWriter, "add", _full)
            writer.add_frame(task=task(1), **frames(1)[1])
        assert writer.frames == 0
        add_episode(writer, 1)
        writer.end_episode()
    assert_holds(Dataset(tmp_path), range(2))


def test_memory_does_not_hold_the_caller_s_arrays(tmp_path):
    """A frame is taken in when it is added: the caller may use the arrays again."""
    state = np.zeros(3)
    with open_writer(tmp_path, NUMBERS) as writer:
        for frame in frames(0, NUMBERS):
            state[:] = frame["observation.state"]
            writer.add_frame(task=task(0), **{**frame, "observation.state": state})
        state[:] = 99.0
        writer.end_episode()
    np.testing.assert_array_equal(
        Dataset(tmp_path).episode(0)["observation.state"], truth([0], "observation.state")
    )
