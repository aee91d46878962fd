"""The action for now, not for when the image was taken.

A chunk says for which time each of its vectors is meant, so an executor that knows what time it is needs no fixed
offset: it plays what is meant for ``now + ahead``, `ahead` being the delay from a command until the servos have it.
However old the image, however long the policy and the way took and however these vary, the stamps account for it;
`ahead` alone has to be told, and is measured (`fabg.robot.servo_delay`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from fabg.errors import ConfigError, UsageError
from fabg.policy.base import Chunk
from fabg.policy.moves import NO_CHUNK, USED_UP, Hold, Move

FURTHEST_S = 2.0
"""Nothing is sent longer ahead of its time than this, s."""

_ON_TIME = 1e-3  # share of a step: stamps are rounded, those since 1970 to 0.2 us


class Adaptive:
    """Query at each step and execute what the newest chunk says for the time at which it will be done.

    Prediction-driven latency compensation (see `fabg.policy.executors.FixedOffset`) with a measured index in place
    of a chosen one, between two vectors where need be. When `ahead` changes, the time for which vectors are
    taken follows gradually: it never runs backwards, so that the robot does not jump back in its own movement.
    Beyond the end of a chunk its last vector is sent for a while.

    Parameters
    ----------
    hold_s
        How long the last vector of a chunk stays good after its time, 0 to 10 s.
    slew
        Between 1 - slew and 1 + slew of real time is how fast the plan is played while `ahead` changes, 0.01 to 1.

    Raises
    ------
    ConfigError
        When a parameter is out of range.
    """

    name = "adaptive"

    def __init__(self, *, hold_s: float = 0.3, slew: float = 0.5) -> None:
        if not 0.0 <= hold_s <= 10.0:
            raise ConfigError(f"hold_s is {hold_s}: expected 0 to 10 s")
        if not 0.01 <= slew <= 1.0:
            raise ConfigError(f"slew is {slew}: expected 0.01 to 1")
        self.hold_s, self.slew = hold_s, slew
        self.reset()

    def reset(self) -> None:
        """Forget the chunk and the delay of the servos, which is 0 until it is told."""
        self._chunk: Chunk | None = None
        self._ahead_s = 0.0
        self._now_s: float | None = None
        self._lead_s = 0.0

    def expect(self, ahead_s: float) -> None:
        """Take the delay from a command until the servos have it, s.

        Raises
        ------
        UsageError
            When it is not 0 to `FURTHEST_S`; nothing changes.
        """
        if not 0.0 <= ahead_s <= FURTHEST_S:  # also refuses NaN
            raise UsageError(f"ahead_s is {ahead_s}: expected 0 to {FURTHEST_S} s")
        self._ahead_s = ahead_s

    def wants(self, now_s: float) -> bool:
        """Tell to query, always."""
        return True

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Take a chunk that has arrived, unless it is older than the one at hand."""
        if self._chunk is None or chunk.t0_s >= self._chunk.t0_s:
            self._chunk = chunk

    def command(self, now_s: float) -> Move | Hold:
        """Return what is meant for the time at which the servos will have it."""
        time_s = self.plan_time_s(now_s)
        self._now_s, self._lead_s = now_s, time_s - now_s
        chunk = self._chunk
        if chunk is None:
            return NO_CHUNK
        if time_s - chunk.end_s > self.hold_s:
            return USED_UP
        index = min(max((time_s - chunk.t0_s) / chunk.dt_s, 0.0), len(chunk.values) - 1.0)
        return Move(chunk.at(time_s), chunk.t0_s, index)

    def plan_time_s(self, now_s: float) -> float:
        """Return the time for which a command sent at `now_s` is meant, s."""
        if self._now_s is None or now_s < self._now_s:
            return now_s + self._ahead_s
        return now_s + slewed(self._lead_s, self._ahead_s, self.slew * (now_s - self._now_s))


class AdaptiveEnsemble(Adaptive):
    """`Adaptive` over the mean of the last chunks, each vector averaged with what others said about its time.

    Temporal ensembling (see `fabg.policy.executors.TemporalEnsembling`) in aligned time, newest first: what is
    averaged is meant for the same instant, so it smooths without adding delay.

    Parameters
    ----------
    m
        As for `merged`.
    chunks
        How many chunks are averaged, 1 to 100.
    hold_s, slew
        As for `Adaptive`.

    Raises
    ------
    ConfigError
        When a parameter is out of range.
    """

    def __init__(self, m: float = 0.3, *, chunks: int = 5, hold_s: float = 0.3, slew: float = 0.5) -> None:
        if not -10.0 <= m <= 10.0:
            raise ConfigError(f"adaptive_ensemble m is {m}: expected -10 to 10")
        if not 1 <= chunks <= 100:
            raise ConfigError(f"adaptive_ensemble chunks is {chunks}: expected 1 to 100")
        self.m = float(m)
        self.name = "adaptive_ensemble" if m == 0.3 else f"adaptive_ensemble:{self.m!r}"
        self._last: deque[Chunk] = deque(maxlen=int(chunks))
        super().__init__(hold_s=hold_s, slew=slew)

    def reset(self) -> None:
        """Forget all chunks and the delay of the servos."""
        super().reset()
        self._last.clear()

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Take a chunk that has arrived; of two about the same observation the last counts, older ones do not."""
        if self._last and chunk.t0_s <= self._last[-1].t0_s:
            if chunk.t0_s < self._last[-1].t0_s:
                return
            self._last.pop()
        self._last.append(chunk)
        super().offer(merged(self._last, self.m), now_s)


def slewed(value: float, wanted: float, most: float) -> float:
    """Return `value` moved towards `wanted` by at most `most`."""
    return value + min(max(wanted - value, -most), most)


def merged(chunks: Sequence[Chunk], m: float = 0.3) -> Chunk:
    """Return the newest chunk with each vector averaged with what the others say about its time.

    Parameters
    ----------
    chunks
        The newest last. Where one does not reach, it does not count; nothing is extrapolated.
    m
        The n-th newest chunk, the newest being 0, has the weight exp(-m n). Large: the newest rules; 0: the plain
        mean; below 0: old ones rule.

    Raises
    ------
    UsageError
        When there is no chunk, or `m` is not -10 to 10.
    """
    if not chunks or not -10.0 <= m <= 10.0:
        raise UsageError(f"{len(chunks)} chunks to be merged with m {m}: expected one or more, and -10 to 10")
    newest = chunks[-1]
    steps = np.arange(len(newest.values))
    ranks = -m * np.arange(len(chunks))
    weights = np.maximum(np.exp(ranks - ranks.max()), 1e-30)  # the newest may be all that there is
    total = np.full((len(steps), 1), weights[0])
    values = weights[0] * newest.values
    for chunk, weight in zip(list(chunks)[-2::-1], weights[1:], strict=True):
        last = len(chunk.values) - 1
        index = (newest.t0_s - chunk.t0_s) / chunk.dt_s + steps * (newest.dt_s / chunk.dt_s)
        reached = (index > -_ON_TIME) & (index < last + _ON_TIME)
        index = np.clip(index[reached], 0.0, last)
        low = np.minimum(index.astype(np.int64), max(last - 1, 0))
        share = (index - low)[:, None]
        high = np.minimum(low + 1, last)
        values[reached] += weight * ((1.0 - share) * chunk.values[low] + share * chunk.values[high])
        total[reached] += weight
    return Chunk(values / total, newest.t0_s, newest.dt_s, newest.source)
