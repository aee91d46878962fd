"""What an executor is, and what it says: the seam between policies and the robot.

An executor says when to query the policy, takes the chunks that arrive, and chooses a command at each control step.
No clock, no threads: the caller says what time it is, on the clock of the observations' stamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Send this.

    Attributes
    ----------
    vector
        Expression vector, (61,); it may be part of a chunk, so it must not be written to.
    stamp_s
        Stamp of the newest observation behind it, s.
    index
        Which vector of that observation's chunk it is, between two when it is not whole; of an ensemble, the one
        that the newest chunk gave.
    """

    vector: expression.Vector
    stamp_s: float
    index: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing: stay as commanded last. `reason` is for people."""

    reason: str


class Executor(Protocol):
    """A way to execute chunks.

    At each control step, `wants` is asked first, then what has arrived is given to `offer`, then `command`
    is asked. Time must not run backwards between `reset` and `reset`.
    """

    name: str
    """The text from which `make_executor` makes the same."""

    def reset(self) -> None:
        """Forget all chunks."""

    def wants(self, now_s: float) -> bool:
        """Tell whether to query the policy now; True counts as a query sent off."""

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Take a chunk that has arrived; one that is older than the newest is ignored."""

    def command(self, now_s: float) -> Move | Hold:
        """Return what to send now."""


@runtime_checkable
class Anticipating(Protocol):
    """An executor that sends commands ahead of their time."""

    def expect(self, ahead_s: float) -> None:
        """Take the delay from a command until the servos have it, as measured now, s; may be told at each step."""


@runtime_checkable
class Committing(Protocol):
    """An executor whose plan cannot be changed at once: a new chunk has to go on from what is fixed until then."""

    def committed(self, start_s: float, dt_s: float, steps: int) -> Chunk | None:
        """Return what has been sent and is sure to be, from plan time `start_s` on; asked after `wants`.

        Parameters
        ----------
        start_s, dt_s, steps
            Time of the first vector, time between two, and how many there are at most: those of the next chunk.

        Returns
        -------
        Chunk
            Its end is when the plan can be changed at the earliest; None when nothing is fixed.
        """


NO_CHUNK = Hold("no chunk has arrived yet")
USED_UP = Hold("the chunk is used up and the next has not arrived")


def whole(name: str, value: int, low: int) -> int:
    """Return the figure of an executor when it is a whole number from `low` to 10,000.

    Raises
    ------
    ConfigError
        When it is not.
    """
    if isinstance(value, bool) or not low <= value <= 10_000 or value != int(value):
        raise ConfigError(f"{name} has the figure {value}: expected a whole number from {low} to 10000")
    return int(value)
