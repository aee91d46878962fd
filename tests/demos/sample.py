"""A small data set whose every number is known, for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fabg.demos.layout import Feature
from fabg.demos.writer import DatasetWriter

FPS = 25
VIDEO = "observation.images.left"
NUMBERS = {
    "observation.state": Feature.vector(("pan", "tilt", "roll")),
    "action": Feature("float32", (2,)),
    "stamp_s": Feature("float64", (1,)),
    "event": Feature("int64", (1,)),
    "seen": Feature("bool", (1,)),
}
FEATURES = {**NUMBERS, VIDEO: Feature.video(32, 48)}


def frames(episode, features=FEATURES):
    """The frames of an episode; they differ between episodes in number and in every value."""
    rng = np.random.default_rng(episode)
    found = []
    for k in range(5 + 3 * episode):
        picture = np.full((32, 48, 3), 20 + 40 * (episode % 5), np.uint8)
        picture[:, :, 1] = 16 * (k % 14)
        picture[8:24, 8:24, 2] = 200
        frame = {
            "observation.state": rng.normal(episode, 2.0, 3),
            "action": rng.uniform(-1, 1, 2),
            "stamp_s": 1000.0 * episode + k / FPS + 1e-4 * rng.normal(),
            "event": int(rng.integers(-5, 5)),
            "seen": bool(rng.integers(2)),
            VIDEO: picture,
        }
        found.append({key: frame[key] for key in features})
    return found


def task(episode, k=0):
    """Episodes alternate between tasks; the third changes half-way."""
    return f"task {(episode + (episode == 2 and k > 4)) % 3}"


def open_writer(root, features=FEATURES, **options):
    return DatasetWriter(root, FPS, features, "head", **options)


def add_episode(writer, episode, features=FEATURES):
    for k, frame in enumerate(frames(episode, features)):
        writer.add_frame(task=task(episode, k), **frame)


def write(root, episodes, features=FEATURES, **options):
    with open_writer(root, features, **options) as writer:
        for episode in episodes:
            add_episode(writer, episode, features)
            writer.end_episode()
    return Path(root)


def truth(episodes, key):
    """All values of a feature, (frames, n), as they are kept."""
    dtype = FEATURES[key].dtype
    rows = [np.atleast_1d(frame[key]) for e in episodes for frame in frames(e)]
    return np.array(rows).astype(dtype)


def assert_holds(dataset, episodes, *, pictures=True):
    """The data set has just these episodes, whole."""
    assert len(dataset) == len(episodes)
    start = 0
    for index, episode in enumerate(episodes):
        found, n = dataset.episode(index), len(frames(episode))
        for key in NUMBERS:
            expected = truth([episode], key)
            np.testing.assert_array_equal(found[key], expected if expected.shape[1] > 1 else expected[:, 0])
            assert found[key].dtype == expected.dtype
        np.testing.assert_array_equal(found["frame_index"], np.arange(n))
        np.testing.assert_array_equal(found["index"], np.arange(start, start + n))
        np.testing.assert_array_equal(found["episode_index"], np.full(n, index))
        np.testing.assert_array_equal(found["timestamp"], (np.arange(n) / FPS).astype("f4"))
        assert [dataset.tasks[t] for t in found["task_index"]] == [task(episode, k) for k in range(n)]
        if pictures and VIDEO in dataset.info.video_keys:
            shown = dataset.pictures(index, VIDEO).astype(int)
            asked = np.array([frame[VIDEO] for frame in frames(episode)])
            assert np.abs(shown - asked).mean(axis=(1, 2, 3)).max() < 4.0
        start += n
    assert dataset.total_frames == start


def assert_stats(stats, episodes):
    """min max mean std count and quantiles are numpy's over all frames."""
    for key in NUMBERS:
        values = truth(episodes, key).astype(np.float64)
        expected = {
            "min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0),
            **{f"q{q:02d}": np.percentile(values, q, axis=0) for q in (1, 10, 50, 90, 99)},
        }  # fmt: skip
        assert stats[key].keys() == {*expected, "count"}
        assert stats[key]["count"] == [len(values)]
        for name, value in expected.items():
            np.testing.assert_allclose(
                stats[key][name], value, rtol=1e-9, atol=1e-12, err_msg=f"{key} {name}"
            )


def rows_as_lerobot_reads(root):
    """LeRobot puts all data files one after the other by name and takes frame i from row i."""
    paths = sorted((Path(root) / "data").glob("*/*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in paths]) if paths else None
