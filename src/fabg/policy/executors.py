"""What to send now: how chunks become commands.

A chunk arrives late: its first vector was meant for the time of the image. The executors here are the common
ways to go about that, as published; none of them looks at the age of a chunk. Those of `fabg.policy.adaptive`
and `fabg.policy.prefix` do. What they have in common stands in `fabg.policy.moves`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.adaptive import Adaptive, AdaptiveEnsemble
from fabg.policy.base import Chunk
from fabg.policy.moves import NO_CHUNK, USED_UP, Anticipating, Committing, Executor, Hold, Move, whole
from fabg.policy.prefix import PrefixChunks

__all__ = [
    "EXECUTORS",
    "FORMS",
    "Anticipating",
    "Committing",
    "Executor",
    "FixedOffset",
    "Hold",
    "Move",
    "Newest",
    "OpenLoopChunk",
    "TemporalEnsembling",
    "make_executor",
]

_ON_TIME = 1e-3  # share of a step: sums of steps are rounded, and seconds since 1970 to 0.2 us


class FixedOffset:
    """Query at each step and execute vector `n` (from 0) of the newest chunk, whatever its age.

    Prediction-driven latency compensation as in Zhang et al. 2025, "FABG: End-to-end Imitation Learning for
    Embodied Affective Human-Robot Interaction" (arXiv 2503.01363): of k predicted actions the (n+1)-th is
    executed, with n chosen beforehand from the delay of the system. A chunk that is too short for n gives
    its last vector, as `Move.index` tells.

    Raises
    ------
    ConfigError
        When `n` is not a whole number from 0 to 10,000.
    """

    def __init__(self, n: int) -> None:
        self.n = whole("offset", n, 0)
        self.name = f"offset:{self.n}"
        self.reset()

    def reset(self) -> None:
        """Forget the chunk."""
        self._chunk: Chunk | None = None
        self._answer: Move | Hold = NO_CHUNK

    def wants(self, now_s: float) -> bool:
        """Tell to query, always."""
        return True

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Take a chunk that has arrived, unless it is older than the one at hand."""
        if self._chunk is not None and chunk.t0_s < self._chunk.t0_s:
            return
        self._chunk = chunk
        index = min(self.n, len(chunk.values) - 1)
        self._answer = Move(chunk.values[index], chunk.t0_s, index)

    def command(self, now_s: float) -> Move | Hold:
        """Return vector `n` of the newest chunk."""
        return self._answer


class Newest(FixedOffset):
    """Query at each step and execute the first vector of the newest chunk.

    A receding horizon (Mayne et al. 2000, "Constrained model predictive control: Stability and optimality",
    Automatica 36): the plan is made anew at each step and its beginning executed, as if no time had passed
    since the observation.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self.name = "newest"


class OpenLoopChunk:
    """Play a chunk from its first vector on, and query for the next when it is used up.

    Action chunking without ensembling as in Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation
    with Low-Cost Hardware" (RSS 2023, arXiv 2304.13705), algorithm 2 with one query per chunk. While the
    answer is on its way the robot holds. Chunks that arrive while one is played are ignored.

    Parameters
    ----------
    steps
        How many vectors of each chunk are played; None: all.
    retry_s
        A query is sent again when nothing has arrived for this long, s.

    Raises
    ------
    ConfigError
        When `steps` is not a whole number from 1 to 10,000 or `retry_s` is not positive.
    """

    def __init__(self, steps: int | None = None, *, retry_s: float = 1.0) -> None:
        self.steps = None if steps is None else whole("chunk", steps, 1)
        if not 0.0 < retry_s < math.inf:
            raise ConfigError(f"retry_s is {retry_s}: expected a positive number")
        self.retry_s = retry_s
        self.name = "chunk" if steps is None else f"chunk:{self.steps}"
        self.reset()

    def reset(self) -> None:
        """Forget the chunk and the query."""
        self._chunk: Chunk | None = None
        self._begun_s = 0.0
        self._count = 0
        self._asked_s: float | None = None

    def wants(self, now_s: float) -> bool:
        """Tell to query once when the chunk is used up, and again after `retry_s` without an answer."""
        if self._playing(now_s) is not None:
            return False
        if self._asked_s is not None and now_s - self._asked_s < self.retry_s:
            return False
        self._asked_s = now_s
        return True

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Begin a chunk that has arrived, unless another is being played."""
        if self._playing(now_s) is not None:
            return
        if self._chunk is not None and chunk.t0_s < self._chunk.t0_s:
            return
        self._chunk, self._begun_s, self._asked_s = chunk, now_s, None
        self._count = min(self.steps or len(chunk.values), len(chunk.values))

    def command(self, now_s: float) -> Move | Hold:
        """Return the next vector of the chunk."""
        if self._chunk is None:
            return NO_CHUNK
        index = self._playing(now_s)
        if index is None:
            return USED_UP
        return Move(self._chunk.values[index], self._chunk.t0_s, index)

    def _playing(self, now_s: float) -> int | None:
        if self._chunk is None:
            return None
        index = _steps_since(self._begun_s, now_s, self._chunk.dt_s)
        return index if index < self._count else None


class TemporalEnsembling:
    """Query at each step and execute the weighted mean of what all chunks say about this step.

    Temporal ensembling as in Zhao et al. 2023 (see `OpenLoopChunk`), algorithm 2: the i-th chunk, the oldest
    being 0, has the weight exp(-m i). As in the published loop a chunk's vectors count from the step at
    which the chunk is there, not from its observation. That loop tells steps without a prediction by
    zeros, which would drop a resting face; here a chunk counts because it is there.

    Parameters
    ----------
    m
        Large: old chunks rule; 0: the plain mean; below 0: new chunks rule.

    Raises
    ------
    ConfigError
        When `m` is not a number from -10 to 10.
    """

    def __init__(self, m: float = 0.01) -> None:
        if not -10.0 <= m <= 10.0:
            raise ConfigError(f"ensemble m is {m}: expected -10 to 10")
        self.m = float(m)
        self.name = "ensemble" if m == 0.01 else f"ensemble:{self.m!r}"
        self._weights: dict[int, NDArray[np.float64]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all chunks."""
        self._chunks: deque[tuple[float, Chunk]] = deque(maxlen=512)  # by arrival, the oldest first

    def wants(self, now_s: float) -> bool:
        """Tell to query, always."""
        return True

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Take a chunk that has arrived, unless a newer one has; one a step, the last counts."""
        if self._chunks:
            arrived_s, newest = self._chunks[-1]
            if chunk.t0_s < newest.t0_s:
                return
            if now_s <= arrived_s:
                self._chunks.pop()
        self._chunks.append((now_s, chunk))

    def command(self, now_s: float) -> Move | Hold:
        """Return the weighted mean for this step."""
        if not self._chunks:
            return NO_CHUNK
        rows: list[expression.Vector] = []
        for arrived_s, chunk in self._chunks:
            index = _steps_since(arrived_s, now_s, chunk.dt_s)
            if index < len(chunk.values):
                rows.append(chunk.values[index])
                stamp_s, newest_index = chunk.t0_s, index
        while len(self._chunks) > 1 and _over(*self._chunks[0], now_s):
            self._chunks.popleft()
        if not rows:
            return USED_UP
        vector = self._weights_for(len(rows)) @ np.concatenate(rows).reshape(-1, expression.SIZE)
        return Move(vector, stamp_s, newest_index)

    def _weights_for(self, count: int) -> NDArray[np.float64]:
        weights = self._weights.get(count)
        if weights is None:
            exponent = -self.m * np.arange(count)
            weights = np.exp(exponent - exponent.max())
            self._weights[count] = weights = weights / weights.sum()
        return weights


EXECUTORS: Mapping[str, Callable[[str], Executor]] = {
    "newest": lambda text: _plain(Newest, "newest", text),
    "chunk": lambda text: OpenLoopChunk(_integer("chunk", text) if text else None),
    "ensemble": lambda text: TemporalEnsembling(_number("ensemble", text)) if text else TemporalEnsembling(),
    "offset": lambda text: FixedOffset(_integer("offset", text)),
    "adaptive": lambda text: _plain(Adaptive, "adaptive", text),
    "adaptive_ensemble": lambda text: (
        AdaptiveEnsemble(_number("adaptive_ensemble", text)) if text else AdaptiveEnsemble()
    ),
    "prefix": lambda text: PrefixChunks(_integer("prefix", text)) if text else PrefixChunks(),
}
"""How to make each, from the text behind the colon (empty when there is none)."""

FORMS = "newest, chunk[:STEPS], ensemble[:M], offset:N, adaptive, adaptive_ensemble[:M] or prefix[:STEPS]"
"""The texts that `make_executor` knows, for messages."""


def make_executor(text: str, executors: Mapping[str, Callable[[str], Executor]] = EXECUTORS) -> Executor:
    """Return a new executor from a text such as ``newest``, ``chunk:10``, ``ensemble:0.01`` or ``offset:3``.

    Parameters
    ----------
    text
        Its name, with its figure behind a colon.
    executors
        The known ones; add your own to a copy of `EXECUTORS`.

    Raises
    ------
    ConfigError
        For an unknown name (the message lists the known ones) or a figure out of range.
    """
    name, _, figure = text.strip().partition(":")
    if name not in executors:
        known = FORMS if executors is EXECUTORS else ", ".join(executors)
        raise ConfigError(f"executor is {text!r}: expected {known}")
    return executors[name](figure.strip())


def _steps_since(begun_s: float, now_s: float, dt_s: float) -> int:
    return max(int((now_s - begun_s) / dt_s + _ON_TIME), 0)


def _over(arrived_s: float, chunk: Chunk, now_s: float) -> bool:
    return _steps_since(arrived_s, now_s, chunk.dt_s) >= len(chunk.values)


def _plain(make: Callable[[], Executor], name: str, text: str) -> Executor:
    if text:
        raise ConfigError(f"{name} has the figure {text!r}: expected none")
    return make()


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"{name} has the figure {text!r}: expected a whole number, as in {name}:3"
        ) from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{name} has the figure {text!r}: expected a number, as in {name}:0.01") from None
