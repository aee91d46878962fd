"""Chunks that go on from one another: the next is made while the present one is played.

Asynchronous chunking as in real-time chunking (Black, Galliker, Levine 2025, "Real-Time Execution of Action Chunking
Flow Policies", arXiv 2506.07339), with the policy told what is fixed already, as in training-time action conditioning
(Black, Ren, Equi, Levine 2025, "Training-Time Action Conditioning for Efficient Real-Time Chunking",
arXiv 2512.05964). What will be sent until the answer can be there is fixed; a policy that has learnt to go on from
such a prefix (`fabg.policy.base.PrefixPolicy`) makes a chunk that joins without a jump.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from fabg import expression
from fabg.errors import ConfigError, UsageError
from fabg.policy.adaptive import Adaptive
from fabg.policy.base import Chunk
from fabg.policy.moves import Hold, Move, whole

FIRST_S = 0.1
"""How long an answer is expected to take before one has been measured, s."""

MARGIN_S = 0.02
"""An answer is expected this much later than the latest of the last ten, s."""

_ANSWERS = 10
_ON_TIME = 1e-3  # share of a step
_SENT_S = 3.0  # what was sent longer ago is no part of a prefix


class PrefixChunks(Adaptive):
    """Query every few steps, and play each chunk by the clock, as `Adaptive`, until the next is there.

    Parameters
    ----------
    steps
        From one query to the next, 1 to 10,000 control steps; a query in flight is waited for.
    retry_s
        A query is sent again when nothing has arrived for this long, s.

    Raises
    ------
    ConfigError
        When a parameter is out of range.
    """

    def __init__(self, steps: int = 5, *, retry_s: float = 1.0) -> None:
        if not 0.0 < retry_s < math.inf:
            raise ConfigError(f"retry_s is {retry_s}: expected a positive number")
        self.steps, self.retry_s = whole("prefix", steps, 1), retry_s
        self.name = "prefix" if steps == 5 else f"prefix:{self.steps}"
        super().__init__()

    def reset(self) -> None:
        """Forget the chunk, what was sent and how long answers take."""
        super().reset()
        self._sent: deque[tuple[float, expression.Vector]] = deque()  # by plan time
        self._answers_s: deque[float] = deque(maxlen=_ANSWERS)
        self._asked_s: float | None = None
        self._waiting = False
        self._since = 0

    def wants(self, now_s: float) -> bool:
        """Tell to query when `steps` have passed since the last time and the answer is there."""
        if self._asked_s is not None:
            due = now_s - self._asked_s >= self.retry_s if self._waiting else self._since >= self.steps
            if not due:
                return False
        self._asked_s, self._waiting, self._since = now_s, True, 0
        return True

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Go over to a chunk that has arrived, unless it is older than the one at hand."""
        if self._waiting and self._asked_s is not None:
            self._answers_s.append(now_s - self._asked_s)
            self._waiting = False
        super().offer(chunk, now_s)

    def command(self, now_s: float) -> Move | Hold:
        """Return what is meant for the time at which the servos will have it."""
        time_s = self.plan_time_s(now_s)
        answer = super().command(now_s)
        self._since += 1
        if isinstance(answer, Move):
            self._note(time_s, answer.vector)
        elif self._sent:
            self._note(time_s, self._sent[-1][1])  # the robot stays as commanded last
        return answer

    def committed(self, start_s: float, dt_s: float, steps: int) -> Chunk | None:
        """Return what has been sent and, by the present chunk, will be until the answer can be there.

        What lies before the first command is taken to be as that.

        Raises
        ------
        UsageError
            When `start_s` is not finite or `dt_s` or `steps` is not positive.
        """
        if not (math.isfinite(start_s) and 0.0 < dt_s < math.inf and steps >= 1):
            raise UsageError(
                f"prefix from {start_s} s in {steps} steps of {dt_s} s: expected a time and a positive number of steps"
            )
        if self._chunk is None or not self._sent or self._asked_s is None:
            return None
        longest_s = max(self._answers_s, default=FIRST_S)
        end_s = self.plan_time_s(self._asked_s) + longest_s + MARGIN_S
        count = min(math.floor((end_s - start_s) / dt_s + _ON_TIME) + 1, steps)
        if count < 1:
            return None
        return Chunk(
            np.array([self._fixed(start_s + i * dt_s) for i in range(count)]), start_s, dt_s, self.name
        )

    def _note(self, time_s: float, vector: expression.Vector) -> None:
        if self._sent and time_s <= self._sent[-1][0]:
            if time_s < self._sent[-1][0]:
                self._sent.clear()  # the clock was set back
            else:
                self._sent.pop()
        self._sent.append((time_s, vector))
        while self._sent[0][0] < time_s - _SENT_S:
            self._sent.popleft()

    def _fixed(self, time_s: float) -> expression.Vector:
        """Return what is commanded for a plan time: what was sent, or what the present chunk says."""
        assert self._chunk is not None
        later_s, later = self._sent[-1]
        if time_s > later_s:
            return self._chunk.at(time_s)
        for earlier_s, earlier in reversed(self._sent):
            if earlier_s <= time_s:
                share = (time_s - earlier_s) / (later_s - earlier_s) if later_s > earlier_s else 0.0
                return (1.0 - share) * earlier + share * later
            later_s, later = earlier_s, earlier
        return later
