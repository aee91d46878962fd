"""Reads a LeRobot v3.0 data set, written here or elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demos.clips import read_pictures
from fabg.demos.files import read_table
from fabg.demos.layout import (
    BOOKKEEPING,
    EPISODES_PATH,
    RESTORE,
    STATS_PATH,
    TASKS_PATH,
    Feature,
    Info,
    read_info,
    read_json,
)
from fabg.demos.stats import tally_of
from fabg.demos.tables import columns_of, tasks_of
from fabg.errors import InputError


class Dataset:
    """A data set on disk, looked into episode by episode.

    Only what ``info.json`` counts is there: what an interrupted writer left behind is passed over.

    Parameters
    ----------
    root
        Folder with ``meta`` and ``data``.

    Raises
    ------
    InputError
        When it is not a data set of version v3.0, or is damaged; the message names the file.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.info: Info = read_info(self.root)
        self.tasks: list[str] = self._read_tasks()
        self.rows: list[dict[str, Any]] = self._read_rows()
        """Where each episode lies: its row in the table of episodes, without the statistics."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fps(self) -> int:
        """Frames a second."""
        return self.info.fps

    @property
    def total_frames(self) -> int:
        """Frames of all episodes."""
        return self.info.total_frames

    def length(self, index: int) -> int:
        """Return how many frames episode `index` has."""
        return int(self._row(index)["length"])

    def episode_tasks(self, index: int) -> list[str]:
        """Return the tasks of episode `index`."""
        return list(self._row(index)["tasks"])

    def episode(self, index: int, keys: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Return the numbers of one episode: (frames, n) by feature, (frames,) where n is 1.

        Parameters
        ----------
        index
            Number of the episode.
        keys
            Features to read; by default all that are no videos.

        Raises
        ------
        InputError
            When there is no such episode or feature, or its file is damaged.
        """
        features = self.info.numeric
        if keys is not None:
            for key in keys:
                if key not in features:
                    raise InputError(f"{self.root} has no numbers {key!r}: expected some of {list(features)}")
            features = {key: features[key] for key in keys}
        columns = self._columns(index, features)
        return {
            key: columns[key][:, 0] if feature.shape == (1,) else columns[key]
            for key, feature in features.items()
        }

    def pictures(self, index: int, key: str) -> NDArray[np.uint8]:
        """Return the pictures of one episode, RGB, (frames, height, width, 3).

        Raises
        ------
        InputError
            When there is no such episode or video, or its file is damaged.
        """
        if key not in self.info.video_keys:
            raise InputError(
                f"{key!r} is no video of {self.root}: expected one of {list(self.info.video_keys)}"
            )
        row = self._row(index)
        chunk, file = (row[f"videos/{key}/{name}_index"] for name in ("chunk", "file"))
        before = round(row[f"videos/{key}/from_timestamp"] * self.fps)
        name = str(self.info.video_path).format(video_key=key, chunk_index=chunk, file_index=file)
        return read_pictures(self.root / name, before, row["length"], self.info.features[key].shape, self.fps)

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the statistics, as nested lists: min max mean std count q01 q10 q50 q90 q99 by feature.

        Should they be of another number of frames (a writer was interrupted between the last two files), they
        are computed anew.
        """
        found = read_json(self.root / STATS_PATH) if len(self) else {}
        if len(self) and found.get("index", {}).get("count") != [self.total_frames]:
            features = self.info.all_features
            found = tally_of(self.rows_with_columns(), features).stats()
        return found

    def rows_with_columns(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]]:
        """Yield each episode's row in the table of episodes, all of it, and its numbers, (frames, n) by feature."""
        index = 0
        for path in self._episode_files():
            table = read_table(path)
            for k in range(min(table.num_rows, len(self) - index)):
                yield table.slice(k, 1).to_pylist()[0], self._columns(index)
                index += 1

    def has_columns(self, names: Sequence[str]) -> bool:
        """Return whether the table of episodes has exactly these columns, in any order."""
        return all(set(read_table(path).column_names) == set(names) for path in self._episode_files()[:1])

    def _row(self, index: int) -> dict[str, Any]:
        if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < len(self):
            raise InputError(f"episode {index!r}: {self.root} has {len(self)}, counted from 0")
        return self.rows[index]

    def _columns(self, index: int, features: Mapping[str, Feature] | None = None) -> dict[str, NDArray[Any]]:
        row = self._row(index)
        wanted = {**(self.info.numeric if features is None else features), "index": BOOKKEEPING["index"]}
        name = self.info.data_path.format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        table = read_table(self.root / name, list(wanted), [("episode_index", "=", index)])
        try:
            columns = columns_of(table, wanted)
        except (KeyError, ValueError) as error:
            raise InputError(f"{self.root / name} does not fit info.json ({error}): {RESTORE}") from error
        expected = np.arange(row["dataset_from_index"], row["dataset_to_index"])
        if not np.array_equal(columns["index"][:, 0], expected):
            raise InputError(
                f"{self.root / name} has {table.num_rows} frames of episode {index}: expected frames "
                f"{row['dataset_from_index']} to {row['dataset_to_index'] - 1}; {RESTORE}"
            )
        return columns

    def _read_tasks(self) -> list[str]:
        if not self.info.total_tasks:
            return []
        path = self.root / TASKS_PATH
        try:
            tasks = tasks_of(read_table(path))
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}): {RESTORE}") from error
        if len(tasks) < self.info.total_tasks:
            raise InputError(f"{path} has {len(tasks)} tasks: expected {self.info.total_tasks}; {RESTORE}")
        return tasks[: self.info.total_tasks]

    def _episode_files(self) -> list[Path]:
        folder = (self.root / EPISODES_PATH).parents[1]
        return sorted(folder.glob("chunk-*/file-*.parquet"))

    def _read_rows(self) -> list[dict[str, Any]]:
        folder = (self.root / EPISODES_PATH).parents[1]
        rows: list[dict[str, Any]] = []
        for path in self._episode_files():
            if len(rows) < self.info.total_episodes:
                table = read_table(path)
                rows += table.drop_columns(
                    [name for name in table.column_names if name.startswith(("stats/", "levels/"))]
                ).to_pylist()
        rows = rows[: self.info.total_episodes]
        if len(rows) != self.info.total_episodes:
            raise InputError(
                f"{folder} has {len(rows)} episodes: expected {self.info.total_episodes}; {RESTORE}"
            )
        end = 0
        for index, row in enumerate(rows):
            try:
                whole = row["dataset_from_index"] == end and row["dataset_to_index"] == end + row["length"]
                if not whole or row["episode_index"] != index:
                    raise ValueError(f"episode {index} does not follow on the one before")
                _ = [row[f"data/{name}_index"] for name in ("chunk", "file")], row["tasks"]
                for key in self.info.video_keys:
                    _ = [
                        row[f"videos/{key}/{name}"]
                        for name in ("chunk_index", "file_index", "from_timestamp")
                    ]
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{folder} is damaged ({error!r}): {RESTORE}") from error
            end = row["dataset_to_index"]
        if end != self.info.total_frames:
            raise InputError(f"{folder} has {end} frames: expected {self.info.total_frames}; {RESTORE}")
        return rows
