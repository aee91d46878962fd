"""The folder of a run, whole or not there, and how a run is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from fabg.errors import ConfigError
from fabg.paths import runs_dir


class RunFolder:
    """A folder that appears under its name only when `keep` is called; else nothing is left.

    Parameters
    ----------
    out
        The final folder; ``runs/<stamp>`` by default.
    """

    def __init__(self, out: Path | None) -> None:
        if out is None:
            stamp = time.strftime("%Y%m%d-%H%M%S")
            taken = [p.name for p in runs_dir().glob(f"*{stamp}*")]
            out = runs_dir() / (f"{stamp}-{os.getpid()}" if taken else stamp)
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"--out {str(out)!r} exists and is not empty: name a new folder, or empty it")
        self.final = out.absolute()
        self.partial = self.final.with_name(f".{self.final.name}.partial")

    def __enter__(self) -> RunFolder:
        """Make the hidden folder."""
        shutil.rmtree(self.partial, ignore_errors=True)
        self._made = [p for p in self.partial.parents if not p.exists()]
        try:
            self.partial.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f"--out {str(self.final)!r} cannot be written: {error.strerror}") from error
        return self

    def keep(self) -> Path:
        """Give the folder its name."""
        if self.final.exists():
            self.final.rmdir()
        self.partial.rename(self.final)
        return self.final

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not kept."""
        shutil.rmtree(self.partial, ignore_errors=True)
        for parent in self._made:
            if not any(parent.iterdir()):
                parent.rmdir()


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM clean up as Ctrl-C does, and a second Ctrl-C not disturb it."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    told = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal told
        del number, frame
        if not told:
            told = True
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Yield what SIGINT or SIGTERM sets, so that work can end in an orderly way.

    A second one interrupts; further ones do not disturb the cleaning up after that.
    """
    stopping = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        del number, frame
        if stopping.is_set() and not told:
            told = True
            raise KeyboardInterrupt
        stopping.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
