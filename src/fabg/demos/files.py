"""Files that are whole or not there: written beside their place, then renamed; and tables that grow so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fabg.demos.layout import RESTORE, Place
from fabg.errors import ConfigError, InputError

UNFINISHED = ".unfinished"
"""Folder of a data set in which files grow; no reader looks there."""


def sync(path: Path) -> None:
    """Have the file or folder written to the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that they outlast a power failure."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def unfinished(root: Path, name: str) -> Path:
    """Return where a file grows that will be `name` in the data set at `root`; its ending is the same."""
    make_folder(root / UNFINISHED)
    return root / UNFINISHED / name.replace("/", "_")


def finish(part: Path, path: Path) -> None:
    """Put a file that is complete in the place of `path`, which has its old contents or all of the new."""
    make_folder(path.parent)
    sync(part)
    os.replace(part, path)
    sync(path.parent)


def write_whole(root: Path, name: str, write: Callable[[Path], object]) -> None:
    """Have `write` fill a file, then put it in the place of file `name` of the data set at `root`."""
    part = unfinished(root, name)
    try:
        write(part)
        finish(part, root / name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(root: Path, name: str, contents: Any, indent: int | None = None) -> None:
    """Replace a JSON file of a data set."""
    text = json.dumps(contents, indent=indent, allow_nan=False) + "\n"
    write_whole(root, name, lambda part: part.write_text(text, "utf-8"))


def sweep(root: Path) -> None:
    """Remove what a writer left unfinished."""
    folder = root / UNFINISHED
    if folder.is_dir():
        for part in folder.iterdir():
            part.unlink()
        folder.rmdir()


@contextmanager
def only_writer(root: Path) -> Iterator[None]:
    """Keep others from writing to the data set; the lock goes with the process.

    Raises
    ------
    ConfigError
        When somebody else is at it.
    """
    import fcntl

    handle = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{root} is being written by somebody else: wait, or choose another") from None
        yield
    finally:
        os.close(handle)


def read_table(path: Path, columns: Sequence[str] | None = None, filters: Any = None) -> Any:
    """Return a parquet file as a `pyarrow.Table`.

    Raises
    ------
    InputError
        When it is missing or damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(
            path,
            columns=None if columns is None else list(columns),
            filters=filters,
            partitioning=None,
            page_checksum_verification=True,
        )
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {RESTORE}") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} is damaged ({error}): {RESTORE}") from error


def count_rows(path: Path) -> int:
    """Return how many rows a parquet file has, without reading them.

    Raises
    ------
    InputError
        When it is missing or damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {RESTORE}") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} is damaged ({error}): {RESTORE}") from error


def write_tables(root: Path, name: str, tables: Sequence[Any]) -> None:
    """Replace a parquet file of a data set by these `pyarrow.Table`s, each a row group of its own."""
    import pyarrow.parquet

    def write(part: Path) -> None:
        with pyarrow.parquet.ParquetWriter(part, tables[0].schema, write_page_checksum=True) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(table.num_rows, 1))

    write_whole(root, name, write)


def next_place(place: Place, chunks_size: int) -> Place:
    """Return the place of the file after this one."""
    chunk, file = place
    return (chunk, file + 1) if file + 1 < chunks_size else (chunk + 1, 0)


class TableFiles:
    """Parquet files of one kind, to which whole episodes are added.

    `add` writes, `keep` makes it count: rows that were written and never kept are dropped by the next `add`
    or `trim`. The last file is written anew each time, so it is kept small.

    Parameters
    ----------
    root, pattern
        Where the files lie: `pattern` with chunk_index and file_index, below `root`.
    chunks_size
        How many files a chunk has.
    limit_bytes
        A file beyond about this size is added to no more.
    groups
        Whether each episode is a row group of its own, so that it can be read alone.
    """

    def __init__(
        self, root: Path, pattern: str, chunks_size: int, limit_bytes: int, *, groups: bool = True
    ) -> None:
        self._root, self._pattern = root, pattern
        self._chunks_size, self._limit_bytes, self._groups = chunks_size, limit_bytes, groups
        self._place: Place = (0, 0)
        self._lengths: list[int] = []
        self._pending: tuple[Place, list[int]] | None = None

    def path(self, place: Place) -> Path:
        """Return the file at `place`."""
        return self._root / self._name(place)

    def _name(self, place: Place) -> str:
        return self._pattern.format(chunk_index=place[0], file_index=place[1])

    def resume(self, place: Place, lengths: Sequence[int]) -> None:
        """Go on after the last kept file, which holds episodes of these lengths, in rows."""
        self._place, self._lengths, self._pending = place, list(lengths), None

    def place_for(self, size_bytes: int) -> Place:
        """Return where a table of this size will go."""
        if not self._lengths or self.path(self._place).stat().st_size + size_bytes <= self._limit_bytes:
            return self._place
        return next_place(self._place, self._chunks_size)

    def add(self, table: Any, place: Place) -> None:
        """Write one episode's rows to the file that `place_for` named."""
        lengths = self._lengths if place == self._place else []
        self._write(place, [*self._kept(place, lengths), table])
        self._pending = (place, [*lengths, table.num_rows])

    def keep(self) -> None:
        """Count what was last added."""
        assert self._pending is not None
        (self._place, self._lengths), self._pending = self._pending, None

    def trim(self) -> None:
        """Drop what was written and never kept.

        Raises
        ------
        InputError
            When rows that were kept are missing.
        """
        self._pending = None
        last = self.path(self._place)
        if not self._lengths:
            last.unlink(missing_ok=True)
        elif count_rows(last) != sum(self._lengths):
            self._write(self._place, self._kept(self._place, self._lengths))
        remove_after(self._root, self._pattern, self._place)

    def _write(self, place: Place, tables: Sequence[Any]) -> None:
        import pyarrow

        tables = tables if self._groups else [pyarrow.concat_tables(tables)]
        write_tables(self._root, self._name(place), tables)

    def _kept(self, place: Place, lengths: Sequence[int]) -> list[Any]:
        if not lengths:
            return []
        table = read_table(self.path(place))
        if table.num_rows < sum(lengths):
            raise InputError(
                f"{self.path(place)} has {table.num_rows} rows: expected {sum(lengths)}; {RESTORE}"
            )
        starts = [sum(lengths[:k]) for k in range(len(lengths))]
        return [table.slice(start, length) for start, length in zip(starts, lengths, strict=True)]


def remove_after(root: Path, pattern: str, place: Place | None) -> None:
    """Remove the files of one kind that lie behind `place`, or all: none of them was ever finished."""
    last = root / pattern.format(chunk_index=place[0] if place else 0, file_index=place[1] if place else 0)
    for path in last.parents[1].glob(f"chunk-*/file-*{last.suffix}"):
        if place is None or (path.parent.name, path.name) > (last.parent.name, last.name):
            path.unlink()
