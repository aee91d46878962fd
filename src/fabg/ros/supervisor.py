"""Start processes, start them again when they die, and leave none behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fabg.process import die_with_parent


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How a dead process comes back.

    Attributes
    ----------
    first_s, factor, most_s
        Back-off before the n-th restart: ``min(first_s * factor ** n, most_s)``, s.
    stable_s
        After running this long the back-off begins anew, s.
    final
        Exit statuses after which a restart would not help.
    """

    first_s: float = 0.5
    factor: float = 2.0
    most_s: float = 10.0
    stable_s: float = 20.0
    final: tuple[int, ...] = (0, 2)

    def delay_s(self, restarts: int) -> float:
        """Return the wait before restart number `restarts` (0 is the first), s."""
        return min(self.first_s * self.factor**restarts, self.most_s)


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[str] | None = None
    restarts: int = 0
    status: int | None = None
    tail: list[str] = field(default_factory=list)
    """The last lines it printed."""
    _in_a_row: int = 0
    _started_s: float = 0.0
    _due_s: float | None = None
    _reader: threading.Thread | None = None


class Supervisor:
    """Run several processes; use as a context manager.

    Parameters
    ----------
    commands
        Command line by process name.
    environment
        Environment of the processes.
    policy
        When and how fast to restart.
    on_line
        Called with (name, line) for each line that a process prints; prints it by default.
    on_event
        Called with (name, text) for starts and ends.
    log_dir
        Directory that receives ``<name>.log``; none by default.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        environment: Mapping[str, str] | None = None,
        policy: RestartPolicy = RestartPolicy(),
        on_line: Callable[[str, str], None] | None = None,
        on_event: Callable[[str, str], None] | None = None,
        log_dir: Path | None = None,
    ) -> None:
        self.children = {name: Child(name, command) for name, command in commands.items()}
        self._environment = dict(environment if environment is not None else os.environ)
        self._policy = policy
        self._on_line = on_line or (lambda name, line: print(f"[{name}] {line}", flush=True))
        self._on_event = on_event or (
            lambda name, text: print(f"[{name}] {text}", file=sys.stderr, flush=True)
        )
        self._log_dir = log_dir

    def __enter__(self) -> Supervisor:
        """Start all processes."""
        try:
            for child in self.children.values():
                self._start(child)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        self.stop()

    def poll(self) -> list[Child]:
        """Look after the processes; return those that have ended for good."""
        now = time.monotonic()
        for child in self.children.values():
            if child._due_s is not None and now >= child._due_s:
                child.restarts += 1
                self._start(child)
            elif child.process is not None and (status := child.process.poll()) is not None:
                self._ended(child, status, now)
        return [c for c in self.children.values() if c.process is None and c._due_s is None]

    def run(self, stopping: threading.Event) -> Child | None:
        """Look after the processes until `stopping` is set, or one has failed for good.

        Returns
        -------
        The process that failed for good, or None.
        """
        while not stopping.wait(0.1):
            for child in self.poll():
                if child.status != 0:
                    return child
        return None

    def stop(self, patience_s: float = 5.0) -> None:
        """End all processes: SIGINT, then SIGTERM, then SIGKILL, `patience_s` apart."""
        for child in self.children.values():
            child._due_s = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = [
                c.process
                for c in self.children.values()
                if c.process is not None and c.process.poll() is None
            ]
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            deadline = time.monotonic() + patience_s
            for process in alive:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(deadline - time.monotonic(), 0.01))
        for child in self.children.values():
            if child.process is not None:
                child.status = child.process.poll()
            if child._reader is not None:
                child._reader.join(timeout=2.0)

    def _start(self, child: Child) -> None:
        child._due_s = None
        child._started_s = time.monotonic()
        child.process = subprocess.Popen(
            child.command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which ends in order.
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no locks
        )
        assert child.process.stdout is not None
        child._reader = threading.Thread(target=self._read, args=(child, child.process.stdout), daemon=True)
        child._reader.start()

    def _read(self, child: Child, stream: IO[str]) -> None:
        log = (self._log_dir / f"{child.name}.log").open("a") if self._log_dir else None
        with stream, log or contextlib.nullcontext():
            for line in stream:
                child.tail = [*child.tail[-19:], line.rstrip()]
                if log:
                    log.write(line)
                    log.flush()
                self._on_line(child.name, line.rstrip())

    def _ended(self, child: Child, status: int, now: float) -> None:
        child.process, child.status = None, status
        if child._reader is not None:
            child._reader.join(timeout=2.0)
        if status in self._policy.final:
            self._on_event(child.name, f"ended with status {status}")
            return
        if now - child._started_s > self._policy.stable_s:
            child._in_a_row = 0
        delay = self._policy.delay_s(child._in_a_row)
        child._in_a_row += 1
        child._due_s = now + delay
        how = f"signal {-status}" if status < 0 else f"status {status}"
        self._on_event(child.name, f"ended with {how}: starts again in {delay:.1f} s")
