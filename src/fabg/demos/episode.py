"""The episode in progress: frames are checked at the door and kept until the episode is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demos.clips import ClipWriter
from fabg.demos.files import unfinished
from fabg.demos.layout import VIDEO, Feature, Info
from fabg.demos.stats import Episode, Moments, count_levels
from fabg.errors import InputError

_FIRST_ROWS = 1024


class EpisodeInProgress:
    """Numbers and tasks in memory, pictures in clips that are encoded as they come.

    Parameters
    ----------
    root
        Folder of the data set.
    info
        What it says of itself; the episode follows on what that counts.
    tasks
        Its tasks so far.
    """

    def __init__(self, root: Path, info: Info, tasks: Sequence[str]) -> None:
        self._root, self._info = root, info
        self._numeric = {key: f for key, f in info.features.items() if f.dtype != VIDEO}
        self._columns = {key: np.empty((_FIRST_ROWS, *f.shape), f.dtype) for key, f in self._numeric.items()}
        self._task_of_frame = np.empty(_FIRST_ROWS, dtype=np.int64)
        self._tasks = {task: k for k, task in enumerate(tasks)}
        self._levels: dict[str, NDArray[np.int64]] = {}
        self.clips: dict[str, ClipWriter] = {}
        self.frames = 0

    @property
    def all_tasks(self) -> list[str]:
        """The data set's tasks, then those that this episode added."""
        return list(self._tasks)

    @property
    def used_tasks(self) -> list[str]:
        """The tasks of this episode."""
        tasks = self.all_tasks
        return [tasks[k] for k in np.unique(self._task_of_frame[: self.frames])]

    def check(self, task: str, values: Mapping[str, Any]) -> dict[str, NDArray[np.uint8]]:
        """Take a frame's numbers in and return its pictures; `add` makes it count.

        Raises
        ------
        InputError
            When anything about the frame is not as it should be.
        """
        _check_task(task)
        if values.keys() != self._info.features.keys():
            raise InputError(
                f"frame has {sorted(values)}: expected {sorted(self._info.features)}, the data set's features"
            )
        if self.frames == len(self._task_of_frame):
            self._grow()
        for key, feature in self._numeric.items():
            self._columns[key][self.frames] = _numbers(key, values[key], feature)
        return {key: _picture(key, values[key], self._info.features[key]) for key in self._info.video_keys}

    def add(self, task: str, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Count the frame that was last checked, and encode its pictures."""
        for key, picture in pictures.items():
            if key not in self.clips:
                path = unfinished(self._root, f"{key}.mp4")
                self.clips[key] = ClipWriter(path, picture.shape[:2], self._info.fps)
                self._levels[key] = np.zeros((3, 256), dtype=np.int64)
            self.clips[key].add(picture)
            self._levels[key] += count_levels(picture)
        self._task_of_frame[self.frames] = self._tasks.setdefault(task, len(self._tasks))
        self.frames += 1

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the numbers with those of the bookkeeping, (frames, n) by feature."""
        n = self.frames
        frame = np.arange(n, dtype=np.int64)
        added: dict[str, NDArray[Any]] = {
            "timestamp": (frame / self._info.fps).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(n, self._info.total_episodes, dtype=np.int64),
            "index": frame + self._info.total_frames,
            "task_index": self._task_of_frame[:n],
        }
        own = {key: column[:n] for key, column in self._columns.items()}
        return own | {key: column.reshape(n, 1) for key, column in added.items()}

    def summary(self, columns: Mapping[str, NDArray[Any]]) -> Episode:
        """Return what the episode, with these `columns`, adds to the statistics."""
        moments = {key: Moments.of(column) for key, column in columns.items()}
        return Episode(self.frames, moments, self._levels)

    def drop(self) -> None:
        """Throw the clips away."""
        for clip in self.clips.values():
            clip.drop()

    def _grow(self) -> None:
        self._columns = {key: np.concatenate((c, np.empty_like(c))) for key, c in self._columns.items()}
        self._task_of_frame = np.concatenate((self._task_of_frame, np.empty_like(self._task_of_frame)))


def _check_task(task: object) -> None:
    try:
        fine = isinstance(task, str) and bool(task.strip()) and bool(task.encode("utf-8"))
    except UnicodeEncodeError:
        fine = False
    if not fine:
        raise InputError(f"task is {task!r}: expected words")


def _numbers(key: str, value: Any, feature: Feature) -> NDArray[Any]:
    """Return `value` as the feature's numbers, or refuse it."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{key} cannot be read as numbers ({error}): expected {feature.shape[0]}") from error
    if array.shape != feature.shape and not (array.shape == () and feature.shape == (1,)):
        raise InputError(f"{key} has shape {array.shape}: expected {feature.shape}")
    wanted = np.dtype(feature.dtype)
    if wanted.kind == "f":
        if array.dtype.kind not in "fiu":
            raise InputError(f"{key} is of {array.dtype}: expected {feature.dtype}")
        if array.dtype != wanted:
            with np.errstate(over="ignore"):
                array = array.astype(wanted)
        if not np.isfinite(array).all():
            raise InputError(f"{key} holds NaN or infinity as {feature.dtype}: expected numbers")
    elif not np.can_cast(array.dtype, wanted, "safe") or (wanted.kind == "i" and array.dtype.kind == "b"):
        raise InputError(f"{key} is of {array.dtype}: expected {feature.dtype}")
    return array


def _picture(key: str, value: Any, feature: Feature) -> NDArray[np.uint8]:
    """Return `value` as a picture of the feature's size, or refuse it."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.shape != feature.shape:
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{key} is {found}: expected an RGB picture, uint8 {feature.shape}")
    return value
