"""Several processes at one list of work: an error stays with its piece, and nothing outlives the command.

Written here because a pool of the standard library gives up everything when one process dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any, Protocol

from fabg.errors import EnvironmentProblem
from fabg.process import die_with_parent
from fabg.social.bench.journal import Outcome, Scores

_POLL_S = 0.25  # how long a stop may go unnoticed


class Piece(Protocol):
    """A piece of work; it is sent to another process."""

    @property
    def key(self) -> str:
        """Its name in the journal."""


def worked_out(
    pieces: Sequence[Piece],
    run: Callable[[Any], Scores],
    *,
    workers: int,
    stopping: threading.Event,
    leaving: Callable[[], None] = lambda: None,
) -> Generator[Outcome, None, None]:
    """Yield outcomes in the order in which they come.

    Parameters
    ----------
    pieces
        What is to be done.
    run
        Works out one: a function at the top of a module. When it raises, the outcome holds the error.
    workers
        Number of processes.
    stopping
        Once set, no further piece is begun; those at work are still yielded.
    leaving
        Called once when that begins.

    Raises
    ------
    EnvironmentProblem
        When a process cannot be started.
    """
    todo, crew = deque(pieces), list[_Worker]()
    told = False
    try:
        while True:
            if stopping.is_set() and not told:
                told = True
                todo.clear()
                leaving()
            busy = sum(worker.piece is not None for worker in crew)
            if not todo and not busy:
                return
            crew += [_Worker(run) for _ in range(len(crew), min(workers, busy + len(todo)))]
            for worker in crew:
                if worker.ready and worker.piece is None and todo:
                    worker.give(todo.popleft())
            heard = connection.wait([worker.pipe for worker in crew], _POLL_S)
            for worker in [worker for worker in crew if worker.pipe in heard]:
                outcome = worker.listen()
                if worker.ended:
                    crew.remove(worker)
                    if stopping.is_set():
                        continue  # what stopped us has ended it, too: its piece was not to blame
                    outcome = worker.epitaph()
                if outcome is not None:
                    yield outcome
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """A process that works out one piece after the other."""

    def __init__(self, run: Callable[[Any], Scores]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share locks and GL contexts
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=_work, args=(there, run, os.getpid()), daemon=True)
        resource_tracker.ensure_running()  # its start lets SIGINT through again
        # Ctrl-C reaches every process of a terminal: held back from the first moment of this one on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            there.close()  # so that its end closes the pipe
        self.ready = self.ended = False
        self.piece: Piece | None = None

    def give(self, piece: Piece) -> None:
        """Let it begin a piece."""
        self.piece = piece
        with suppress(OSError):  # it has ended: `listen` tells
            self.pipe.send(piece)

    def listen(self) -> Outcome | None:
        """Return what it has worked out; None when it only says that it is ready, or when it has `ended`."""
        try:
            outcome: Outcome | None = self.pipe.recv()
        except (EOFError, OSError):
            self.ended = True
            self.end()
            return None
        self.ready, self.piece = True, None
        return outcome

    def epitaph(self) -> Outcome | None:
        """Return over what it ended, None when it was idle.

        Raises
        ------
        EnvironmentProblem
            When it never began: the next one would not either.
        """
        status = self.process.exitcode
        if not self.ready:
            raise EnvironmentProblem(
                f"a worker process ended with status {status} before it could begin: see its last lines above"
            )
        if self.piece is None:
            return None
        return Outcome(self.piece.key, 0.0, error=f"its process ended with status {status}")

    def end(self) -> None:
        """End it, whatever it does; harmless when it has ended."""
        self.process.join(1.0 if self.ended else 0.0)  # its own status, if it goes by itself
        self.process.kill()  # it has nothing to clean up, and must not be able to refuse
        self.process.join()
        self.pipe.close()


def _work(pipe: connection.Connection, run: Callable[[Any], Scores], parent: int) -> None:
    """Work out pieces until the other end goes away."""
    die_with_parent()
    if os.getppid() != parent:
        return  # it went before the kernel was asked
    with suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            pipe.send(_outcome(pipe.recv(), run))


def _outcome(piece: Piece, run: Callable[[Any], Scores]) -> Outcome:
    began = time.perf_counter()
    try:
        scores = run(piece)
        return Outcome(piece.key, time.perf_counter() - began, scores)
    except Exception as error:  # whatever it is, it belongs to this piece: the others go on
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        return Outcome(piece.key, time.perf_counter() - began, error=said)
