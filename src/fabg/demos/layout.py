"""How a LeRobot v3.0 data set lies on disk: names of files and columns, features, and ``meta/info.json``.

::

    meta/info.json                                  counts, rate, features; replaced last: it decides what counts
    meta/stats.json                                 min max mean std count q01 q10 q50 q90 q99 of each feature
    meta/tasks.parquet                              task_index of each task's text
    meta/episodes/chunk-000/file-000.parquet        a row an episode: where its frames lie, its statistics
    data/chunk-000/file-000.parquet                 a row a frame
    videos/<key>/chunk-000/file-000.mp4             pictures, where there are any

Source: the layout as LeRobot's own reader takes it (huggingface/lerobot 0.4 to 0.6, ``lerobot.datasets``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fabg.errors import ConfigError, InputError

VERSION = "v3.0"
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

VIDEO = "video"
NUMERIC = ("float32", "float64", "int64", "bool")
_KEY = re.compile(r"[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*")

Place = tuple[int, int]
"""Where a file lies: number of the chunk, number of the file in it."""


@dataclass(frozen=True)
class Feature:
    """What one key of a frame holds.

    Attributes
    ----------
    dtype
        ``float32``, ``float64``, ``int64``, ``bool``, or ``video`` for RGB pictures kept as H.264.
    shape
        (n,) of numbers, (1,) for a single one; (height, width, 3) of pictures, height and width even.
    names
        A name for each of the n numbers, or None.

    Raises
    ------
    ConfigError
        When these do not fit together.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in self.shape)
        if self.dtype == VIDEO:
            if not whole or len(self.shape) != 3 or self.shape[2] != 3 or any(n % 2 for n in self.shape[:2]):
                raise ConfigError(
                    f"shape of a video is {self.shape}: expected (height, width, 3) with height and width even"
                )
            if self.names is not None:
                raise ConfigError(f"names of a video are {self.names}: expected None")
        elif self.dtype in NUMERIC:
            if not whole or len(self.shape) != 1:
                raise ConfigError(
                    f"shape of a {self.dtype} feature is {self.shape}: expected (n,) with n >= 1"
                )
            if self.names is not None and len(self.names) != self.shape[0]:
                raise ConfigError(f"{len(self.names)} names for {self.shape[0]} numbers: expected one each")
        else:
            raise ConfigError(f"dtype is {self.dtype!r}: expected one of {', '.join((*NUMERIC, VIDEO))}")

    @classmethod
    def vector(cls, names: Sequence[str]) -> Feature:
        """Return the feature of float32 numbers with these names."""
        return cls("float32", (len(names),), tuple(names))

    @classmethod
    def video(cls, height: int, width: int) -> Feature:
        """Return the feature of RGB pictures of this size, px."""
        return cls(VIDEO, (height, width, 3))

    def to_json(self, fps: int) -> dict[str, Any]:
        """Return the entry for ``info.json``."""
        if self.dtype != VIDEO:
            names = None if self.names is None else list(self.names)
            return {"dtype": self.dtype, "shape": list(self.shape), "names": names}
        height, width, channels = self.shape
        return {
            "dtype": VIDEO,
            "shape": [height, width, channels],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": channels,
                "has_audio": False,
            },
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Feature:
        """Return the feature that an entry of ``info.json`` describes.

        Raises
        ------
        ConfigError
            When it is of a kind that is not known here.
        """
        names = entry.get("names")
        named = isinstance(names, list) and entry["dtype"] != VIDEO
        return cls(entry["dtype"], tuple(entry["shape"]), tuple(names or ()) if named else None)


BOOKKEEPING: Mapping[str, Feature] = {
    "timestamp": Feature("float32", (1,)),
    "frame_index": Feature("int64", (1,)),
    "episode_index": Feature("int64", (1,)),
    "index": Feature("int64", (1,)),
    "task_index": Feature("int64", (1,)),
}
"""Columns that every data set has: time from the start of the episode, s, and the numbers of frame and task."""


def check_features(features: Mapping[str, Feature]) -> None:
    """See that LeRobot can read features of these names.

    Raises
    ------
    ConfigError
        For the first that it could not; the message says why.
    """
    if not features:
        raise ConfigError("no features: name at least one, such as 'action'")
    for key, feature in features.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ConfigError(f"feature {key!r}: expected letters, digits and _ in parts joined by . or -")
        if key in BOOKKEEPING or key == "task":
            raise ConfigError(f"feature {key!r} is filled in by the writer: choose another name")
        if feature.dtype != VIDEO and "image" in key:
            raise ConfigError(
                f"feature {key!r} holds no pictures: LeRobot takes 'image' in a name for pictures"
            )


@dataclass(frozen=True)
class Info:
    """What ``meta/info.json`` says.

    Attributes
    ----------
    fps
        Frames a second.
    features
        What the caller gives for each frame; `BOOKKEEPING` comes on top.
    robot_type
        Name of the robot.
    total_episodes, total_frames, total_tasks
        What is finished.
    data_file_mb, video_file_mb
        Beyond about this size a new file is begun, MB.
    chunks_size
        Most files in a folder.
    data_path, video_path
        Patterns of the names of files; `video_path` is None when there are no videos.
    """

    fps: int
    features: Mapping[str, Feature]
    robot_type: str
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0
    data_file_mb: int = 8
    video_file_mb: int = 64
    chunks_size: int = 1000
    data_path: str = DATA_PATH
    video_path: str | None = VIDEO_PATH

    @property
    def all_features(self) -> dict[str, Feature]:
        """The features, those of the bookkeeping last."""
        return {**self.features, **BOOKKEEPING}

    @property
    def video_keys(self) -> tuple[str, ...]:
        """Names of the features kept as videos."""
        return tuple(key for key, feature in self.features.items() if feature.dtype == VIDEO)

    @property
    def numeric(self) -> dict[str, Feature]:
        """All features that are columns of the data files, those of the bookkeeping last."""
        return {key: feature for key, feature in self.all_features.items() if feature.dtype != VIDEO}

    def to_json(self) -> dict[str, Any]:
        """Return the contents of ``info.json``."""
        return {
            "codebase_version": VERSION,
            "robot_type": self.robot_type,
            "total_episodes": self.total_episodes,
            "total_frames": self.total_frames,
            "total_tasks": self.total_tasks,
            "chunks_size": self.chunks_size,
            "data_files_size_in_mb": self.data_file_mb,
            "video_files_size_in_mb": self.video_file_mb,
            "fps": self.fps,
            "splits": {"train": f"0:{self.total_episodes}"},
            "data_path": self.data_path,
            "video_path": self.video_path if self.video_keys else None,
            "features": {key: feature.to_json(self.fps) for key, feature in self.all_features.items()},
        }


def read_json(path: Path) -> Any:
    """Return the contents of a JSON file.

    Raises
    ------
    InputError
        When it is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: expected a LeRobot v3.0 data set there") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): {RESTORE}") from error


def read_info(root: Path) -> Info:
    """Return what a data set says of itself.

    Raises
    ------
    InputError
        When there is no data set, or it is damaged, of another version, or has features not known here.
    """
    path = root / INFO_PATH
    found = read_json(path)
    version = found.get("codebase_version") if isinstance(found, dict) else None
    if version != VERSION:
        raise InputError(
            f"{path} is of version {version!r}: expected {VERSION}; LeRobot converts older data sets "
            "(lerobot.datasets.v30.convert_dataset_v21_to_v30)"
        )
    try:
        entries = {key: entry for key, entry in found["features"].items() if key not in BOOKKEEPING}
        counts = [found[f"total_{name}"] for name in ("episodes", "frames", "tasks")]
        if not all(isinstance(n, int) and n >= 0 for n in counts):
            raise ValueError(f"totals are {counts}")
        if not isinstance(found["fps"], int) or found["fps"] < 1:
            raise ValueError(f"fps is {found['fps']!r}")
        return Info(
            found["fps"],
            {key: Feature.from_json(entry) for key, entry in entries.items()},
            str(found.get("robot_type")),
            counts[0],
            counts[1],
            counts[2],
            int(found["data_files_size_in_mb"]),
            int(found["video_files_size_in_mb"]),
            int(found["chunks_size"]),
            str(found["data_path"]),
            found.get("video_path"),
        )
    except ConfigError as error:
        raise InputError(f"{path} has a feature that is not known here: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not what v3.0 asks for ({error!r}): {RESTORE}") from error


RESTORE = "restore the file from a copy, or take the data set from where it came once more"
"""What to do about a damaged file."""
