"""A hand on its way: from the lap to where it says something, from there elsewhere, and back.

Everything is in the robot's base frame, m and s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg.perception.types import Gesture, Side
from fabg.social.motion import Point, PointMover, Quaternion, TurnMover, rows_of
from fabg.social.signs import POINTING_AXIS, SIGNS, Sign, in_base, tip_of, turn_of
from fabg.social.stage import HandState

Vector = NDArray[np.float64]

SAYS_AT = 0.7
"""At this share of the time of its movement a hand begins to say what it says: five sixths of the way are done."""
_WANDER_SHARE = 0.7
"""A hand that is held still wanders so much less than a head."""
_SHAPES_AT = 0.35
"""At this share of the time the fingers take their shape (they are preshaped while the hand is on its way)."""


class Arm:
    """One hand.

    Parameters
    ----------
    side
        Which one.
    lap
        Where it rests, out of sight.
    reach_m
        Size of the hand: `fabg.social.signs.reach_of`.

    Attributes
    ----------
    up
        Whether it is away from the lap, as of the last `state`.
    """

    def __init__(self, side: Side, lap: Point, reach_m: float) -> None:
        self.side = side
        self._mirror = 1.0 if side == Side.RIGHT else -1.0
        self._reach_m = reach_m
        held = SIGNS["lap"]
        self._lap_turn = turn_of(in_base(held.fingers, side), in_base(held.palm, side))
        self._place, self._turn = PointMover(lap), TurnMover(self._lap_turn)
        self.up = False
        self._shape, self._gesture, self._extended = held.shape, Gesture.NONE, False
        self._next_shape, self._shape_s = held.shape, math.inf
        self._next_gesture, self._next_extended, self._says_s = Gesture.NONE, False, math.inf
        self._down_s = math.inf
        self._rows: tuple[float, ...] | None = None
        self._tip: Point = (0.0, 0.0, 0.0)
        self._direction: Vector | None = None

    @property
    def goal(self) -> Point:
        """Where the palm will come to rest."""
        return self._place.goal

    def tip_from_palm(self, shape: str, turn: Quaternion) -> Point:
        """Return the vector from the palm to the tip of the index finger in the base frame."""
        return _turned(rows_of(turn), tip_of(shape, self.side, self._reach_m))

    def go(
        self,
        t_s: float,
        sign: Sign,
        at: Point,
        turn: Quaternion,
        duration_s: float,
        *,
        lap: Point,
        extended: bool,
    ) -> float:
        """Bring the palm to `at`; return when the hand begins to say what `sign` says.

        Until then it says nothing, unless it says the same already. `lap` is where it rests now.
        """
        if not self.up:
            self.up = True
            self._place.place(lap)
            self._turn.place(self._lap_turn)
            self._rows = None
        self._place.move(t_s, at, duration_s)
        self._turn.move(t_s, turn, duration_s)
        self._down_s = math.inf
        self._next_shape, self._shape_s = sign.shape, t_s + _SHAPES_AT * duration_s
        self._next_gesture, self._next_extended = sign.gesture, extended
        self._says_s = t_s + SAYS_AT * duration_s
        if (self._gesture, self._extended) != (sign.gesture, extended):
            self._gesture, self._extended = Gesture.NONE, False
        return self._says_s

    def lower(self, t_s: float, lap: Point, duration_s: float, stop_s: float) -> float:
        """Take the hand down to the lap; return when it no longer says anything, `stop_s` after it began to move."""
        self._place.move(t_s, lap, duration_s)
        self._turn.move(t_s, self._lap_turn, duration_s)
        self._next_shape, self._shape_s = SIGNS["lap"].shape, t_s + stop_s
        self._next_gesture, self._next_extended, self._says_s = Gesture.NONE, False, t_s + stop_s
        self._down_s = self._place.end_s
        return self._says_s

    def state(self, t_s: float, wander: list[float]) -> HandState | None:
        """Return the hand at `t_s`, None while it lies in the lap."""
        if not self.up:
            return None
        if t_s >= self._down_s - 1e-9:
            self.up = False
            return None
        if t_s >= self._says_s - 1e-9:
            self._gesture, self._extended, self._says_s = self._next_gesture, self._next_extended, math.inf
        if t_s >= self._shape_s - 1e-9:
            self._shape, self._shape_s, self._rows = self._next_shape, math.inf, None
        if self._rows is None or self._turn.moving:
            self._orient(t_s)
        a, b, c, d, e, f, g, h, i = self._rows  # type: ignore[misc]
        x, y, z = self._place.value(t_s)
        x += _WANDER_SHARE * wander[0]
        y += _WANDER_SHARE * wander[1]
        z += _WANDER_SHARE * wander[2]
        dx, dy, dz = self._tip
        numbers = np.array((a, b, c, x, d, e, f, y, g, h, i, z, 0.0, 0.0, 0.0, 1.0, x + dx, y + dy, z + dz))
        return HandState(
            self.side, numbers[:16].reshape(4, 4), self._shape, self._gesture, self._extended, numbers[16:],
            self._direction,
        )  # fmt: skip

    def _orient(self, t_s: float) -> None:
        """Take over the rotation and what follows from it."""
        rows = rows_of(self._turn.value(t_s))
        self._rows = rows
        self._tip = _turned(rows, tip_of(self._shape, self.side, self._reach_m))
        self._direction = None
        if self._shape == "point":
            x, y, z = POINTING_AXIS
            self._direction = np.array(_turned(rows, (x, y * self._mirror, z)))


def _turned(rows: tuple[float, ...], vector: Point) -> Point:
    a, b, c, d, e, f, g, h, i = rows
    x, y, z = vector
    return a * x + b * y + c * z, d * x + e * y + f * z, g * x + h * y + i * z
