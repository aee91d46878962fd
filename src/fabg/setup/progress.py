"""Tells a waiting person what is being done and for how long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_SPINNER = "|/-\\"
_HEARTBEAT_S = 20.0


class Progress:
    """Steps that may run at the same time, shown on one changing line or, in a log, as few lines.

    Parameters
    ----------
    stream
        Where to write; a spinner is drawn when it is a terminal.
    interval_s
        Time between two updates of the line.
    """

    def __init__(self, stream: TextIO | None = None, *, interval_s: float = 0.2) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        self._thread = threading.Thread(target=self._draw_until_stopped, name="progress", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` while the block runs, then how long it took."""
        start = time.monotonic()
        with self._lock:
            self._running[title] = start
        word = "failed"
        try:
            yield
            word = "done"
        finally:
            with self._lock:
                self._running.pop(title, None)
                self._told.pop(title, None)
                self._write_line(f"  {word:<7}{time.monotonic() - start:6.1f} s  {title}")

    def say(self, text: str) -> None:
        """Write one line of its own."""
        with self._lock:
            self._write_line(text)

    def _write_line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._live else ""
        self._stream.write(f"{clear}{text}\n")
        self._stream.flush()

    def _draw_until_stopped(self) -> None:
        turn = 0
        while not self._stop.wait(self._interval_s):
            now = time.monotonic()
            with self._lock:
                if self._live and self._running:
                    steps = ", ".join(f"{t} {now - s:.0f} s" for t, s in self._running.items())
                    self._stream.write(f"\r\x1b[K  {_SPINNER[turn % len(_SPINNER)]} {steps}"[:110])
                    self._stream.flush()
                elif not self._live:
                    self._beat(now)
            turn += 1

    def _beat(self, now: float) -> None:
        for title, start in self._running.items():
            if now - self._told.get(title, start) >= _HEARTBEAT_S:
                self._told[title] = now
                self._write_line(f"  ...    {now - start:6.1f} s  {title}")
