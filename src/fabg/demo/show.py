"""Progress for people: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

_PLAIN_EVERY_S = 10.0


class Reading(Protocol):
    """What is shown while the graph runs."""

    @property
    def images(self) -> int:
        """Images so far."""

    @property
    def fps(self) -> float:
        """Images a second just now."""

    @property
    def faces(self) -> int:
        """Faces in the newest image."""

    @property
    def state(self) -> str:
        """What the robot does."""

    @property
    def p95_ms(self) -> float | None:
        """95th percentile of the delay from image to servo command."""


class Meter:
    """Shows readings as they come."""

    def __init__(self, console: Console, name: str, seconds: float | None, display: Live | None) -> None:
        self._console, self._name, self._seconds, self._display = console, name, seconds, display
        self._began_s = self._said_s = time.monotonic()

    def update(self, reading: Reading) -> None:
        """Show a reading."""
        now = time.monotonic()
        if self._display is None:
            if now - self._said_s < _PLAIN_EVERY_S:
                return
            self._said_s = now
        gone = now - self._began_s
        text = Text.assemble(
            (f"{self._name}  ", "bold"),
            f"{gone:5.1f} s" + (f" of {self._seconds:.0f}" if self._seconds else ""),
            f"   {reading.images} images   {reading.fps:4.1f} fps   {reading.faces} faces   ",
            (reading.state or "waiting", "cyan"),
            "" if reading.p95_ms is None else f"   image to servo p95 {reading.p95_ms:.0f} ms",
        )
        if self._display is None:
            self._console.print(text, highlight=False, soft_wrap=True)
        else:
            self._display.update(text)


@contextmanager
def live(console: Console, name: str, seconds: float | None) -> Iterator[Meter]:
    """Show readings of the running graph."""
    if not console.is_terminal:
        yield Meter(console, name, seconds, None)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as display:
        yield Meter(console, name, seconds, display)


class Bar:
    """Shows how much of a job is done."""

    def __init__(self, console: Console, title: str, progress: Progress | None) -> None:
        self._console, self._title, self._progress = console, title, progress
        self._task = progress.add_task(title, total=None) if progress is not None else None
        self._said_s = time.monotonic()

    def update(self, done: int, total: int) -> None:
        """Show `done` of `total`."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._said_s > _PLAIN_EVERY_S:
            self._said_s = time.monotonic()
            self._console.print(f"{self._title}: {100 * done // max(total, 1)} %", highlight=False)


@contextmanager
def percent(console: Console, title: str) -> Iterator[Bar]:
    """Show how much of a job is done."""
    if not console.is_terminal:
        yield Bar(console, title, None)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(console, title, progress)
