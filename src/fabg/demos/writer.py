"""Writes demonstrations as a LeRobot v3.0 data set; what is finished stays whole whatever happens later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fabg.demos.clips import ClipFiles
from fabg.demos.episode import EpisodeInProgress
from fabg.demos.files import (
    UNFINISHED,
    TableFiles,
    make_folder,
    only_writer,
    sweep,
    write_json,
    write_tables,
)
from fabg.demos.layout import (
    EPISODES_PATH,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    Feature,
    Info,
    Place,
    check_features,
)
from fabg.demos.reader import Dataset
from fabg.demos.stats import Tally, tally_of
from fabg.demos.tables import episodes_schema, frames_table, tasks_table
from fabg.errors import ConfigError, EnvironmentProblem, InputError

_EPISODES_FILE_BYTES = 1_000_000
_MEGABYTE = 1_000_000
_FILES_PER_CHUNK = 1000


class DatasetWriter:
    """Gathers frames, and adds them to the data set an episode at a time.

    An episode counts once `end_episode` has returned. Its files are written aside and renamed, and
    ``meta/info.json``, which says what counts, is replaced last: a crash, a power failure or a full disk costs
    the episode in progress at most. Pictures are encoded as they come. A data set that is there already is
    continued; only one writer at a time may do so.

    Parameters
    ----------
    root
        Folder of the data set; made when it is not there.
    fps
        Frames a second, a whole number (LeRobot's own rule): frame k is at k / fps. Keep true capture times as a
        feature of their own, counted from the start of the episode: LeRobot hands float64 out as float32.
    features
        What each frame holds, by name.
    robot_type
        Name of the robot.
    data_file_mb, video_file_mb
        Beyond about this size a new file is begun, MB. The last file is written anew with each episode.

    Raises
    ------
    ConfigError
        When a value is not acceptable, differs from that of the data set that is there, or another writer is at it.
    InputError
        When the data set that is there is damaged.
    """

    def __init__(
        self,
        root: Path | str,
        fps: int,
        features: Mapping[str, Feature],
        robot_type: str,
        *,
        data_file_mb: int = 8,
        video_file_mb: int = 64,
    ) -> None:
        if isinstance(fps, bool) or not isinstance(fps, int) or not 1 <= fps <= 1000:
            raise ConfigError(f"fps is {fps!r}: expected a whole number, 1 to 1000")
        for name, value in (("data_file_mb", data_file_mb), ("video_file_mb", video_file_mb)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}: expected a whole number of MB, at least 1")
        check_features(features)
        self.root = Path(root)
        self._info = Info(
            fps,
            dict(features),
            robot_type,
            data_file_mb=data_file_mb,
            video_file_mb=video_file_mb,
            chunks_size=_FILES_PER_CHUNK,
        )
        self._doubtful = False
        """Whether files may hold more than what counts."""
        self._exit = ExitStack()
        make_folder(self.root)
        self._exit.enter_context(only_writer(self.root))
        try:
            self._open()
        except BaseException:
            self._exit.close()
            raise
        self._closed = False

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        left = self._episode.frames
        self.close()
        if kind is None and left:
            raise InputError(f"{left} frames were dropped: call end_episode, or drop_episode, before the end")

    @property
    def total_episodes(self) -> int:
        """Finished episodes."""
        return self._info.total_episodes

    @property
    def total_frames(self) -> int:
        """Frames of the finished episodes."""
        return self._info.total_frames

    @property
    def frames(self) -> int:
        """Frames of the episode in progress."""
        return self._episode.frames

    def add_frame(self, /, *, task: str, **values: Any) -> None:
        """Add one frame to the episode in progress.

        Parameters
        ----------
        task
            What is being done, in words; it may change within an episode.
        values
            A value for each feature: n numbers, or an RGB picture uint8 (height, width, 3).

        Raises
        ------
        InputError
            When a value is missing, unknown, of the wrong kind or shape, or not finite; nothing has changed then.
        EnvironmentProblem
            When a picture cannot be written; the episode in progress is dropped.
        """
        self._check_open()
        pictures = self._episode.check(task, values)
        with self._dropping_on_failure():
            self._episode.add(task, pictures)

    def end_episode(self) -> int:
        """Finish the episode in progress and return its number.

        Raises
        ------
        InputError
            When it has no frames.
        EnvironmentProblem
            When it cannot be written, say for want of space: it is dropped, those before are whole, and the writer
            can go on.
        """
        self._check_open()
        if not self._episode.frames:
            raise InputError("the episode has no frames: add some before it ends")
        index = self._info.total_episodes
        with self._dropping_on_failure():
            if self._doubtful:
                self._trim()
            self._doubtful = True
            self._commit()
            self._doubtful = False
        self._next_episode()
        return index

    def drop_episode(self) -> None:
        """Forget the frames of the episode in progress."""
        self._episode.drop()
        self._next_episode()

    def close(self) -> None:
        """Drop the episode in progress and let go of the data set; harmless when done twice."""
        if not self._closed:
            self._closed = True
            with self._exit:
                self.drop_episode()
                sweep(self.root)

    def _open(self) -> None:
        """Take up the data set that is there, or begin one."""
        if (self.root / INFO_PATH).exists():
            found = Dataset(self.root)
            self._check_same(found.info)
            mine = self._info
            self._info = replace(found.info, data_file_mb=mine.data_file_mb, video_file_mb=mine.video_file_mb)
        else:
            others = [p for p in self.root.rglob("*") if not p.is_dir() and UNFINISHED not in p.parts]
            if others:
                raise ConfigError(
                    f"{self.root} holds other files, such as {others[0].name}: name a new folder"
                )
            found = None
        sweep(self.root)
        info = self._info
        self._data = TableFiles(self.root, info.data_path, info.chunks_size, info.data_file_mb * _MEGABYTE)
        self._episodes = TableFiles(
            self.root, EPISODES_PATH, info.chunks_size, _EPISODES_FILE_BYTES, groups=False
        )
        self._videos = {
            key: ClipFiles(
                self.root,
                str(info.video_path).replace("{video_key}", key),
                info.fps,
                info.chunks_size,
                info.video_file_mb * _MEGABYTE,
            )
            for key in info.video_keys
        }
        self._tasks: list[str] = []
        self._tally = Tally()
        if found is None:
            write_json(self.root, INFO_PATH, info.to_json(), indent=4)
        else:
            self._resume(found)
        self._next_episode()

    def _check_same(self, found: Info) -> None:
        wanted = self._info
        pairs: list[tuple[str, object, object]] = [
            ("fps", found.fps, wanted.fps),
            ("robot_type", found.robot_type, wanted.robot_type),
        ]
        keys = found.features.keys() | wanted.features.keys()
        pairs += [(f"feature {k!r}", found.features.get(k), wanted.features.get(k)) for k in sorted(keys)]
        for name, there, here in pairs:
            if there != here:
                raise ConfigError(
                    f"{self.root} has {name} {there}, not {here}: go on with the same, or name a new folder"
                )

    def _resume(self, found: Dataset) -> None:
        self._tasks = list(found.tasks)
        rows = found.rows
        if rows:
            if not found.has_columns(episodes_schema(self._info.all_features).names):
                raise ConfigError(
                    f"{self.root} was not written by this writer: it can be read, not continued"
                )
            for prefix, files in (("data", self._data), ("meta/episodes", self._episodes)):
                places = [(row[f"{prefix}/chunk_index"], row[f"{prefix}/file_index"]) for row in rows]
                sizes = [row["length"] if files is self._data else 1 for row in rows]
                files.resume(places[-1], [n for n, p in zip(sizes, places, strict=True) if p == places[-1]])
            for key, videos in self._videos.items():
                videos.resume((rows[-1][f"videos/{key}/chunk_index"], rows[-1][f"videos/{key}/file_index"]))
        self._trim()
        self._tally = tally_of(found.rows_with_columns(), self._info.all_features)
        if rows:
            write_json(self.root, STATS_PATH, self._tally.stats())

    def _trim(self) -> None:
        # LeRobot puts all data files one after the other and takes frame i from row i: what never counted may
        # lie behind the last frame, but not between two episodes.
        for files in self._all_files():
            files.trim()

    def _all_files(self) -> tuple[TableFiles | ClipFiles, ...]:
        return (self._data, self._episodes, *self._videos.values())

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the writer is closed: open a new one to go on")

    def _next_episode(self) -> None:
        self._episode = EpisodeInProgress(self.root, self._info, self._tasks)

    @contextmanager
    def _dropping_on_failure(self) -> Iterator[None]:
        """Drop the episode in progress when the disk refuses; what was finished is whole."""
        import av
        import pyarrow

        try:
            yield
        except (OSError, av.FFmpegError, pyarrow.ArrowException, InputError) as error:
            frames = self._episode.frames
            self.drop_episode()
            raise EnvironmentProblem(
                f"the episode in progress ({frames} frames) could not be written to {self.root} ({error}): see "
                f"that there is space and try again; the {self.total_episodes} episodes before are whole"
            ) from error
        except BaseException:
            self.drop_episode()
            raise

    def _commit(self) -> None:
        """Write the episode in progress: frames, pictures, tasks, its row, statistics, and what counts."""
        episode, info = self._episode, self._info
        n, index, start = episode.frames, info.total_episodes, info.total_frames
        columns = episode.columns()
        table = frames_table(columns, info.numeric)
        place = self._data.place_for(table.nbytes)
        self._data.add(table, place)
        row: dict[str, Any] = {
            "episode_index": index,
            "tasks": episode.used_tasks,
            "length": n,
            "data/chunk_index": place[0],
            "data/file_index": place[1],
            "dataset_from_index": start,
            "dataset_to_index": start + n,
        }
        for key, clip in episode.clips.items():
            clip.close()
            (chunk, file), before = self._videos[key].add(clip.path, n)
            row |= {
                f"videos/{key}/chunk_index": chunk,
                f"videos/{key}/file_index": file,
                f"videos/{key}/from_timestamp": before / info.fps,
                f"videos/{key}/to_timestamp": (before + n) / info.fps,
            }
        summary = episode.summary(columns)
        row |= summary.row(columns)
        tally = self._tally.plus(summary, columns)
        known = episode.all_tasks
        new = replace(info, total_episodes=index + 1, total_frames=start + n, total_tasks=len(known))
        if len(known) > len(self._tasks):
            write_tables(self.root, TASKS_PATH, [tasks_table(known)])
        self._add_row(row)
        write_json(self.root, STATS_PATH, tally.stats())
        write_json(self.root, INFO_PATH, new.to_json(), indent=4)
        self._info, self._tally, self._tasks = new, tally, known
        for files in self._all_files():
            files.keep()

    def _add_row(self, row: dict[str, Any]) -> None:
        import pyarrow as pa

        schema = episodes_schema(self._info.all_features)

        def at(place: Place) -> Any:
            own = {"meta/episodes/chunk_index": place[0], "meta/episodes/file_index": place[1]}
            return pa.Table.from_pylist([row | own], schema=schema)

        place = self._episodes.place_for(at((0, 0)).nbytes)
        self._episodes.add(at(place), place)
