"""Work that takes longer than a callback may: in a thread of its own, on the newest input only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fabg.policy.base import Chunk, Observation, Policy

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output

_UNREAD = 16
"""So many results wait to be taken; older ones are dropped."""


@dataclass(frozen=True)
class Done(Generic[I, O]):
    """What became of one item: an answer, or the error that was raised instead."""

    item: I
    answer: O | None
    error: Exception | None = None


class Worker(Generic[I, O]):
    """Works on one item at a time, in a thread of its own; the newest one waits, older ones are dropped.

    Parameters
    ----------
    work
        Called in the thread with an item.
    bell
        Called in the thread when a result can be taken.
    """

    def __init__(self, work: Callable[[I], O], bell: Callable[[], None], *, name: str = "worker") -> None:
        self._work, self._bell = work, bell
        self._changed = threading.Condition()
        self._waiting: list[I] = []
        self._results: deque[Done[I, O]] = deque(maxlen=_UNREAD)
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def give(self, item: I) -> bool:
        """Hand in the newest item; return whether it took the place of one that still waited."""
        with self._changed:
            replaced = bool(self._waiting)
            self._waiting = [item]
            self._changed.notify()
        return replaced

    def take(self) -> Done[I, O] | None:
        """Return the oldest result that was not taken yet, None when there is none."""
        return self._results.popleft() if self._results else None

    def close(self, patience_s: float = 2.0) -> None:
        """End the thread; work that takes longer than `patience_s` is left alone, and rings no bell."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                if self._ending:
                    return
                item = self._waiting.pop()
            try:
                done: Done[I, O] = Done(item, self._work(item))
            except Exception as error:
                done = Done(item, None, error)
            with self._changed:
                if self._ending:
                    return
                self._results.append(done)
                self._bell()


class Punctual:
    """A policy that must answer in time: it works in a thread of its own, and a late answer is an error.

    Parameters
    ----------
    policy
        The policy itself.
    within_s
        Longest time for an answer, s.
    """

    def __init__(self, policy: Policy, within_s: float) -> None:
        self.name = policy.name
        self._policy, self._within_s = policy, within_s
        self._there = threading.Event()
        self._worker: Worker[tuple[bool, Observation], Chunk | None]
        self._worker = Worker(self._answer, self._there.set, name=policy.name)
        self._busy = self._begin_anew = False

    def reset(self) -> None:
        """Forget the past before the next answer."""
        self._begin_anew = True

    def predict(self, observation: Observation) -> Chunk | None:
        """Return the policy's answer.

        Raises
        ------
        TimeoutError
            When it does not come in time, or is still thinking about an earlier observation.
        Exception
            That of the policy.
        """
        if self._busy and not self._there.is_set():
            raise TimeoutError(f"{self.name} is still busy with an earlier observation")
        self._worker.take()  # one that came too late
        self._there.clear()
        self._worker.give((self._begin_anew, observation))
        self._busy, self._begin_anew = True, False
        if not self._there.wait(self._within_s):
            raise TimeoutError(f"{self.name} had no answer within {self._within_s * 1e3:.0f} ms")
        self._busy = False
        done: Any = self._worker.take()
        if done.error is not None:
            raise done.error
        return done.answer

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def _answer(self, item: tuple[bool, Observation]) -> Chunk | None:
        begin_anew, observation = item
        if begin_anew:
            self._policy.reset()
        return self._policy.predict(observation)
