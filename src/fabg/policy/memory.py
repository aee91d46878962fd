"""What is remembered of each person and hand from one observation to the next, so that noise is told from change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import ConfigError, check_ranges
from fabg.perception.types import Gesture
from fabg.policy.attention import ANSWERED, EYES_M, LOOK_RAD, answer_shapes, distance_m, gaze_miss
from fabg.policy.base import HandObservation, PersonObservation

Array = NDArray[np.float64]
Point = tuple[float, float, float]

_TELLING: Array = ANSWERED * [not name.startswith("jaw") for name in expression.SHAPES]
"""Shapes that tell an expression from talk."""


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """How carefully is watched.

    Attributes
    ----------
    cutoff_hz
        Points are smoothed to this bandwidth while they stand still, Hz; 0 does not smooth.
    cutoff_per_rad_s, cutoff_per_m
        By how much the bandwidth of direction and of nearness (1/distance) rises with their speed.
    confirm
        So many observations in a row must agree on a new target.
    lost_s
        A face or hand that is missing is taken to be there for so long, s.
    alone_s
        So long the robot goes on looking where the last person was, s.
    keep
        Whoever is attended to counts as nearer by this factor: noise shall not decide between two.
    look_end_rad
        A look at the robot begins within `fabg.policy.attention.LOOK_RAD` and ends beyond this.
    gaze_s
        Time constant that smooths gazes, s; 0 does not.
    gesture_s
        Memory for what a hand said while it was held out, s: it says what it said most; 0 believes the newest.
    unread_s
        A hand that is held out is given this time to be read, s.
    face_on, face_off
        An expression begins when its strongest shape is above `face_on`, and ends below `face_off`; 0 and 0 let
        everything through.
    rest_s
        Time constant with which a resting face is learnt, s; 0 takes a resting face to read 0.
    reading
        What is taken to be shown, as a matrix (52, 52) on what was seen beyond the resting face: it makes up for
        shapes that perception reads too weak, or not at all. None takes shapes as they are seen.

    Raises
    ------
    ConfigError
        When a value is out of range, or the matrix is not (52, 52) finite numbers.
    """

    cutoff_hz: float = 3.0
    cutoff_per_rad_s: float = 40.0
    cutoff_per_m: float = 0.5
    confirm: int = 2
    lost_s: float = 0.4
    alone_s: float = 1.0
    keep: float = 0.9
    look_end_rad: float = math.radians(16.0)
    gaze_s: float = 0.08
    gesture_s: float = 0.4
    unread_s: float = 0.2
    face_on: float = 0.2
    face_off: float = 0.1
    rest_s: float = 5.0
    reading: Array | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "cutoff_hz": (0.0, 1000.0), "cutoff_per_rad_s": (0.0, 1e4), "cutoff_per_m": (0.0, 1e4),
                "confirm": (1, 10), "lost_s": (0.0, 5.0), "alone_s": (0.0, 60.0), "keep": (0.5, 1.0),
                "look_end_rad": (LOOK_RAD, math.pi), "gaze_s": (0.0, 5.0), "gesture_s": (0.0, 5.0),
                "unread_s": (0.0, 5.0), "face_on": (0.0, 1.0), "face_off": (0.0, self.face_on),
                "rest_s": (0.0, 600.0),
            },
        )  # fmt: skip
        if self.reading is not None:
            shape = (expression.N_SHAPES, expression.N_SHAPES)
            if np.shape(self.reading) != shape or not np.isfinite(self.reading).all():
                raise ConfigError(
                    f"reading has shape {np.shape(self.reading)}: expected {shape} finite numbers"
                )


def trusting() -> WatchConfig:
    """Return a configuration that believes all it sees at once: for observations without noise."""
    return WatchConfig(
        cutoff_hz=0.0, confirm=1, lost_s=0.0, keep=1.0, look_end_rad=LOOK_RAD, gaze_s=0.0, gesture_s=0.0, unread_s=0.0,
        face_on=0.0, face_off=0.0, rest_s=0.0,
    )  # fmt: skip


class Face(NamedTuple):
    """A person's face at one instant: the answer it asks for (52,), and how much expression it shows."""

    answer: Array
    amount: float


class PersonMemory:
    """What is remembered of one person."""

    def __init__(self) -> None:
        self.seen_s = -math.inf
        self._eyes = _Smooth()
        self._miss: float | None = None
        self.looks = False
        self._rest: Array | None = None
        self._looks_at_rest = 0
        self.on = False
        """Whether they show an expression."""
        self.began = False
        """Whether it began with the newest observation."""

    def see(self, person: PersonObservation, now: float, c: WatchConfig) -> None:
        """Take what was seen of them at `now` (s)."""
        step_s = now - self.seen_s
        self.seen_s = now
        self.point = self._eyes.step(_plain(person.position_m), step_s, c)
        self.distance_m = distance_m(self.point)
        self._look(person, step_s, c)
        self._show(person.blendshapes, step_s, c)

    def _look(self, person: PersonObservation, step_s: float, c: WatchConfig) -> None:
        if person.gaze is None or not is_finite(person.gaze):
            self.looks = False
            return
        miss = gaze_miss(person.position_m, person.gaze)
        if self._miss is None or c.gaze_s <= 0.0:
            self._miss = miss
        else:
            self._miss += (1.0 - math.exp(-step_s / c.gaze_s)) * (miss - self._miss)
        self.looks = self._miss <= (c.look_end_rad if self.looks else LOOK_RAD)

    def _show(self, shapes: Array, step_s: float, c: WatchConfig) -> None:
        change = shapes
        if c.rest_s > 0.0:
            if self._rest is None:
                # Nobody is seen at rest for certain: take half of a first weak reading as rest.
                self._rest = np.minimum(shapes, 0.25) * 0.5
                step_s = 0.0
            change = shapes - self._rest
        shown = change if c.reading is None else c.reading @ change
        answer = answer_shapes(np.clip(shown, 0.0, 1.0))
        amount = float((answer * _TELLING).max())
        was, self.on = self.on, amount >= (c.face_off if self.on else c.face_on)
        self.began = self.on and not was
        self.face = Face(answer, amount)
        if self._rest is not None:
            # At first the mean of what was seen at rest, later a slow mean; an expression is learnt slower still.
            self._looks_at_rest += not self.on
            share = 1.0 - math.exp(-step_s / c.rest_s)
            self._rest += (0.1 * share if self.on else max(share, 1.0 / (1 + self._looks_at_rest))) * change


class HandMemory:
    """What is remembered of one hand."""

    def __init__(self) -> None:
        self.seen_s = -math.inf
        self.extended = False
        self.gesture = Gesture.NONE
        self.since_s = 0.0
        self._said: dict[Gesture, float] = {}
        self._palm, self._tip = _Smooth(), _Smooth()

    def see(self, hand: HandObservation, now: float, c: WatchConfig) -> None:
        """Take what was seen of it at `now` (s)."""
        step_s = now - self.seen_s
        if hand.extended and not self.extended:
            self.since_s, self._said = now, {}
        self.seen_s, self.extended, self.person = now, hand.extended, hand.person_id
        self.palm = self._palm.step(_plain(hand.position_m), step_s, c)
        self.tip = self._tip.step(_plain(hand.tip_m), step_s, c)
        self.gesture = self._most_said(hand.gesture, step_s, c.gesture_s)

    def _most_said(self, gesture: Gesture, step_s: float, memory_s: float) -> Gesture:
        """Return what the hand said most of late; saying nothing does not count."""
        if memory_s <= 0.0:
            return gesture
        fade = math.exp(-step_s / memory_s)
        self._said = {g: weight * fade for g, weight in self._said.items()}
        if gesture != Gesture.NONE:
            self._said[gesture] = self._said.get(gesture, 0.0) + min(1.0 - fade, 0.25)
        return max(self._said, key=self._said.__getitem__, default=Gesture.NONE)


class _Smooth:
    """Smooths a point's direction and nearness as seen from the robot's eyes (Casiez et al.: 1 € filter, 2012)."""

    def __init__(self) -> None:
        self._state: Point | None = None

    def step(self, point: Point, step_s: float, c: WatchConfig) -> Point:
        if c.cutoff_hz <= 0.0:
            return point
        x, y, z = point[0] - EYES_M[0], point[1] - EYES_M[1], point[2] - EYES_M[2]
        level = math.hypot(x, y)
        yaw, pitch = math.atan2(y, x), math.atan2(-z, level)
        near = 1.0 / max(math.hypot(level, z), 0.01)
        if self._state is None or step_s > 1.0:
            self._state = yaw, pitch, near
            return point
        old_yaw, old_pitch, old_near = self._state
        d_yaw, d_pitch, d_near = yaw - old_yaw, pitch - old_pitch, near - old_near
        turn = -2.0 * math.pi * (c.cutoff_hz * step_s + c.cutoff_per_rad_s * math.hypot(d_yaw, d_pitch))
        come = -2.0 * math.pi * (c.cutoff_hz * step_s + c.cutoff_per_m * abs(d_near))
        share, near_share = 1.0 - math.exp(turn), 1.0 - math.exp(come)
        yaw, pitch = old_yaw + share * d_yaw, old_pitch + share * d_pitch
        near = old_near + near_share * d_near
        self._state = yaw, pitch, near
        level = math.cos(pitch) / near
        return (
            EYES_M[0] + level * math.cos(yaw),
            EYES_M[1] + level * math.sin(yaw),
            EYES_M[2] - math.sin(pitch) / near,
        )


def _plain(point: Array) -> Point:
    x, y, z = point.tolist()
    return x, y, z


def is_finite(*arrays: Array) -> bool:
    """Return whether all numbers are finite (a sum is only if its terms are)."""
    return all(math.isfinite(float(a.sum())) for a in arrays)
