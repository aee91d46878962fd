"""A person who can be told what to do: turn and lean, look, smile, raise a hand. They move as people do.

    partner = Partner("p0", seed=1003, seat=(0.9, 0.15, 0.1), rng=rng)
    partner.express(t, "smile", 0.8, duration_s=0.5)
    partner.raise_hand(t, Side.LEFT, sign_of("open", Side.LEFT), at=(0.5, -0.1, 0.1))
    state = partner.state(t)          # once a tick, t never decreases

Everything is in the robot's base frame, m, rad and s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.perception.types import Side
from fabg.policy.attention import EYES_M, answer_shapes
from fabg.social.avatar.people import Person
from fabg.social.motion import (
    Blinks,
    Glide,
    Mover,
    Point,
    PointMover,
    Quaternion,
    Sway,
    reach_duration,
    saccade_duration,
)
from fabg.social.raised import Arm
from fabg.social.signs import Sign, in_base, reach_of, turn_of
from fabg.social.stage import HandState, PersonState

Vector = NDArray[np.float64]

EMOTIONS: Mapping[str, Mapping[str, float]] = {
    "smile": {
        "mouthSmileLeft": 0.90, "mouthSmileRight": 0.90, "cheekSquintLeft": 0.60, "cheekSquintRight": 0.60,
        "mouthDimpleLeft": 0.25, "mouthDimpleRight": 0.25, "eyeSquintLeft": 0.30, "eyeSquintRight": 0.30,
    },
    "surprise": {
        "browInnerUp": 0.90, "browOuterUpLeft": 0.85, "browOuterUpRight": 0.85, "eyeWideLeft": 0.80,
        "eyeWideRight": 0.80, "jawOpen": 0.55,
    },
}  # fmt: skip
"""Full expressions: AU 6 + 12, and 1 + 2 + 5 + 26 (Ekman, Friesen and Hager: "Facial Action Coding System", 2002)."""
_ASYMMETRY = 0.04
"""Spread of the difference between both halves of a face."""

# Standing still: head position, m, and yaw, pitch, roll, rad.
_SWAY = (0.0025, 0.0025, 0.0012, 0.008, 0.008, 0.005)
_HAND_SHIFT_S = 31.0
"""A hand wanders as the head did, or will do, this much later."""

_HEAD_FREE_RAD = math.radians(10.0)
"""Eyes alone look this far aside; of what is beyond, the head takes `_HEAD_SHARE` (Freedman, "Coordination of the
eyes and head during visual orienting", Exp. Brain Res. 190, 2008)."""
_HEAD_SHARE = 0.65
_HEAD_TURN_S = 0.45
_PIVOT_M = 0.10
"""So far behind the sellion a head turns: when it turns aside, the face goes along."""
_FAR_LOOK_RAD = math.radians(35.0)
"""Gaze shifts above this take as long as the head (Guitton and Volle, J. Neurophysiol. 58, 1987)."""

_LAP = (-0.22, 0.20, -0.48)  # from the sellion: forward, own left for the left hand, up
_BLINK = expression.INDEX["eyeBlinkLeft"], expression.INDEX["eyeBlinkRight"]
_JAW = expression.INDEX["jawOpen"]
_NO_ANSWER: Vector = np.zeros(expression.N_SHAPES)
_NO_ANSWER.setflags(write=False)


class Partner:
    """One person.

    Parameters
    ----------
    id
        Lasting name.
    seed
        Of their looks, and of the size of their hands.
    seat
        Where the sellion is when they sit at ease, m.
    rng
        Draws sway, blinks and the asymmetry of the face.

    Attributes
    ----------
    arms
        By side.
    """

    def __init__(self, id: str, seed: int, seat: Point, rng: np.random.Generator) -> None:
        self.id, self.seed = id, seed
        self._sway = Sway(rng, _SWAY)
        self._blinks = Blinks(rng)
        self._trunk = PointMover(seat)
        yaw, pitch = angles_to(seat, EYES_M)
        self._home = 0.9 * yaw, 0.6 * pitch
        self._yaw, self._pitch = Mover(self._home[0]), Mover(self._home[1])
        self._turned = self._home[0], 0.0, 0.0
        self._gaze = Glide(EYES_M)
        _, reach = build_of(seed)
        self.arms = {side: Arm(side, self._lap(side), reach) for side in (Side.LEFT, Side.RIGHT)}
        self._both = tuple(self.arms.values())
        self._amounts = {name: Mover() for name in EMOTIONS}
        self._talk = Mover()
        lean = float(rng.normal(0.0, _ASYMMETRY))
        self._full = {name: _lopsided(shapes, lean) for name, shapes in EMOTIONS.items()}
        self._answers = {name: answer_shapes(shapes) for name, shapes in self._full.items()}
        self._shown = (0.0, 0.0, 0.0, 0.0)
        self._shapes, self._answer = _NO_ANSWER, _NO_ANSWER
        self._smile, self._surprise = self._amounts["smile"], self._amounts["surprise"]

    # -- being told ------------------------------------------------------------------------------

    @property
    def seat(self) -> Point:
        """Where the sellion is or is going to be, without sway."""
        return self._trunk.goal

    def lean(self, t_s: float, to: Point, duration_s: float) -> None:
        """Bring the head to another place; what the eyes look at stays."""
        self._trunk.move(t_s, to, duration_s)

    def look(self, t_s: float, at: Point) -> float:
        """Look at a point, by a saccade and as much head as it takes; return when it is looked at."""
        eye = self._trunk.value(t_s)
        to_robot, to_point = angles_to(eye, EYES_M), angles_to(eye, at)
        yaw = self._home[0] + _head_part(to_point[0] - to_robot[0])
        pitch = self._home[1] + _head_part(to_point[1] - to_robot[1])
        angle = _angle(eye, self._gaze.value(t_s), at)
        duration = None
        if angle > _FAR_LOOK_RAD:
            duration = _HEAD_TURN_S
        elif angle > _HEAD_FREE_RAD and self._yaw.end_s > t_s:
            # The head is still on its way: eyes that went at once would leave their range.
            duration = max(self._yaw.end_s - t_s, saccade_duration(angle))
        self._gaze.move(t_s, at, eye, duration)
        if abs(yaw - self._yaw.goal) + abs(pitch - self._pitch.goal) > 0.01:
            self._yaw.move(t_s, yaw, _HEAD_TURN_S)
            self._pitch.move(t_s, pitch, _HEAD_TURN_S)
        return self._gaze.end_s

    def express(self, t_s: float, emotion: str, amount: float, duration_s: float) -> None:
        """Bring one of `EMOTIONS` to an amount, 0..1."""
        self._amounts[emotion].move(t_s, amount, duration_s)

    def answer_to(self, emotion: str, amount: float) -> Vector:
        """Return the shapes (52,) with which a robot answers this person's emotion of that amount."""
        return amount * self._answers[emotion]

    def open_jaw(self, t_s: float, amount: float, duration_s: float) -> None:
        """Move the jaw in speech; it adds to what the face expresses."""
        self._talk.move(t_s, amount, duration_s)

    def raise_hand(
        self,
        t_s: float,
        side: Side,
        sign: Sign,
        at: Point,
        *,
        turn: Quaternion | None = None,
        duration_s: float | None = None,
        extended: bool = True,
    ) -> float:
        """Bring a hand somewhere, from the lap or from where it is.

        Parameters
        ----------
        t_s
            When the movement begins.
        side, sign
            Which hand, and how it is held.
        at
            Where the palm goes.
        turn
            Rotation of the hand frame; the sign's own by default.
        duration_s
            By default that of a reach over this distance.
        extended
            False for a hand that is up but does not say anything.

        Returns
        -------
        When the hand begins to say what it says.
        """
        arm, lap = self.arms[side], self._lap(side)
        if turn is None:
            turn = turn_of(in_base(sign.fingers, side), in_base(sign.palm, side))
        if duration_s is None:
            duration_s = reach_duration(math.dist(arm.goal if arm.up else lap, at))
        return arm.go(t_s, sign, at, turn, duration_s, lap=lap, extended=extended)

    def lower_hand(self, t_s: float, side: Side) -> float:
        """Take a hand back to the lap; return when it no longer says anything."""
        arm, lap = self.arms[side], self._lap(side)
        if not arm.up:
            return t_s
        duration = reach_duration(math.dist(arm.goal, lap))
        return arm.lower(t_s, lap, duration, 0.3 * duration)

    # -- being seen ------------------------------------------------------------------------------

    def state(self, t_s: float) -> PersonState:
        """Return the person at `t_s`; what the state holds is never changed afterwards."""
        sway = self._sway.at(t_s)
        x, y, z = self._trunk.value(t_s)
        look_x, look_y, look_z = self._gaze.value(t_s)
        yaw = self._yaw.value(t_s)
        if yaw != self._turned[0]:
            self._turned = yaw, *self._shift(yaw)
        _, aside_x, aside_y = self._turned
        numbers = np.array(
            (x + aside_x + sway[0], y + aside_y + sway[1], z + sway[2], look_x, look_y, look_z)
        )
        head = yaw + sway[3], self._pitch.value(t_s) + sway[4], sway[5]
        hands: tuple[HandState, ...] = ()
        for arm in self._both:
            if arm.up:
                hand = arm.state(t_s, self._sway.at(t_s + _HAND_SHIFT_S))
                if hand is not None:
                    hands = (*hands, hand)
        return PersonState(self.id, self.seed, numbers[:3], head, self._face(t_s), numbers[3:], hands)

    def answer(self) -> Vector:
        """Return the shapes (52,) that answer the face as of the last `state`: read-only."""
        return self._answer

    def _shift(self, yaw: float) -> tuple[float, float]:
        """Return by how much a head turned to `yaw` has its face aside of where it is at ease (x, y)."""
        ease = self._home[0]
        return _PIVOT_M * (math.cos(ease) - math.cos(yaw)), _PIVOT_M * (math.sin(ease) - math.sin(yaw))

    def _face(self, t_s: float) -> Vector:
        shown = (
            self._smile.value(t_s), self._surprise.value(t_s), self._talk.value(t_s), self._blinks.closure(t_s),
        )  # fmt: skip
        if shown == self._shown:
            return self._shapes
        smile, surprise, talk, blink = shown
        if shown[:2] != self._shown[:2]:
            self._answer = smile * self._answers["smile"] + surprise * self._answers["surprise"]
            self._answer.setflags(write=False)
        shapes = smile * self._full["smile"]
        if surprise != 0.0:
            shapes += surprise * self._full["surprise"]
        if talk != 0.0:
            shapes[_JAW] += talk
        if blink != 0.0:
            shapes[_BLINK[0]] = shapes[_BLINK[1]] = blink
        shapes.setflags(write=False)
        self._shown, self._shapes = shown, shapes
        return shapes

    def _lap(self, side: Side) -> Point:
        x, y, z = self._trunk.goal
        forward, aside, up = _LAP
        return x + forward, (y - aside if side == Side.LEFT else y + aside), z + up


def angles_to(eye: Point, at: Point) -> tuple[float, float]:
    """Return yaw and pitch of a look from `eye` to `at` as head angles: relative to facing the robot squarely."""
    x, y, z = eye[0] - at[0], eye[1] - at[1], at[2] - eye[2]
    return math.atan2(y, x), math.atan2(-z, math.hypot(x, y))


@lru_cache(maxsize=1024)
def build_of(seed: int) -> tuple[float, float]:
    """Return somebody's age, years, and the reach of their hand (`fabg.social.signs.reach_of`), m."""
    person = Person.random(seed)
    return person.age_years, reach_of(person)


def _head_part(angle: float) -> float:
    return math.copysign(max(abs(angle) - _HEAD_FREE_RAD, 0.0) * _HEAD_SHARE, angle)


def _angle(eye: Point, a: Point, b: Point) -> float:
    ax, ay, az = a[0] - eye[0], a[1] - eye[1], a[2] - eye[2]
    bx, by, bz = b[0] - eye[0], b[1] - eye[1], b[2] - eye[2]
    cross = math.hypot(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return math.atan2(cross, ax * bx + ay * by + az * bz)


def _lopsided(shapes: Mapping[str, float], lean: float) -> Vector:
    """Return the shapes (52,) with the left half stronger by `lean` and the right half weaker."""
    full = np.zeros(expression.N_SHAPES)
    for name, value in shapes.items():
        change = lean if name.endswith("Left") else -lean if name.endswith("Right") else 0.0
        full[expression.INDEX[name]] = min(value * (1.0 + change), 1.0)
    full.setflags(write=False)
    return full
