"""Progress for people: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_PLAIN_EVERY_S = 10.0
_RATE_OVER_S = 2.0


class Meter:
    """Shows how many images are done.

    Parameters
    ----------
    total
        Images in all, None when nobody knows.
    """

    def __init__(self, console: Console, name: str, total: int | None, progress: Progress | None) -> None:
        self._console, self._name, self._total, self._progress = console, name, total, progress
        self._task: TaskID | None = None
        if progress is not None:
            self._task = progress.add_task(name, total=total, said="")
        self._began_s = self._said_s = self._mark_s = time.monotonic()
        self._mark, self._rate = 0, 0.0

    def update(self, done: int, faces: int) -> None:
        """Show that `done` images are done, and how many faces the last one had."""
        now_s = time.monotonic()
        if now_s - self._mark_s >= (_RATE_OVER_S if self._rate else 0.5):
            self._rate = (done - self._mark) / (now_s - self._mark_s)
            self._mark, self._mark_s = done, now_s
        said = f"{done}" + (f" of {self._total}" if self._total else "") + " images"
        said += f"  {self._rate:.0f} fps  {faces} {'face' if faces == 1 else 'faces'}"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, said=said)
        elif now_s - self._said_s >= _PLAIN_EVERY_S:
            self._said_s = now_s
            self._console.print(f"{self._name}: {said}", highlight=False, soft_wrap=True)


@contextmanager
def meter(console: Console, name: str, total: int | None) -> Iterator[Meter]:
    """Show how many images are done."""
    if not console.is_terminal:
        yield Meter(console, name, total, None)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn() if total else TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Meter(console, name, total, progress)
