"""Where people sit and where they hold their hands: in view of the robot's camera, and off its straight gaze.

A robot that does nothing looks straight ahead. Everything that it may be asked to look at therefore lies at least
`OFF_CENTRE_RAD` away from there. The camera stands at `fabg.social.stage.CAMERA_M` and looks along x, with 60
degrees across and 4:3. Points are in the robot's base frame, m.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from fabg.perception.types import Gesture, Side
from fabg.policy.attention import EYES_M, direction_target
from fabg.social.motion import Point
from fabg.social.stage import CAMERA_M

OFF_CENTRE_RAD = math.radians(6.5)
APART_RAD = OFF_CENTRE_RAD
"""So far what is to be looked at lies from what was looked at before, at least."""
_APART_RAD = math.radians(10.0)
"""So far a hand is from its owner's face, as the robot sees them."""

_HALF_WIDTH, _HALF_HEIGHT = math.tan(math.radians(30.0)), 0.75 * math.tan(math.radians(30.0))
_FACE_M, _HAND_M = 0.085, 0.075  # radii
_FACE_MARGIN_M = (0.10, 0.13)  # across and up from the middle of a face, inside the picture
_PALM_MARGIN_M, _TIP_MARGIN_M = (0.055, 0.055), (0.015, 0.015)
_FINGER_M = 0.13

_SHOULDER = (0.07, 0.19, -0.27)  # from the sellion: backwards, to the side, up
ARM_M = 0.60
"""From the shoulder to the palm, the arm all but straight."""
_MOST_LEAN_M = 0.40

FAR_M = 0.60
NEAR_M = (0.19, 0.29)
"""How far from the robot's eyes the tip of the finger is held when far and when near."""

_TRIES = 200


def _aim(gesture: Gesture) -> Point:
    x, y, z = direction_target(gesture).tolist()  # type: ignore[union-attr]
    return x, y, z


AIMS: Mapping[str, Point] = {
    "up": _aim(Gesture.UP), "down": _aim(Gesture.DOWN), "left": _aim(Gesture.LEFT), "right": _aim(Gesture.RIGHT)
}  # fmt: skip
"""Where the directions send the gaze."""
_AIMS = tuple(AIMS.values())


def aside(distance_m: float, yaw_deg: float, pitch_deg: float) -> Point:
    """Return the point at a distance from the robot's eyes; yaw to its left, pitch down."""
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    level = distance_m * math.cos(pitch)
    x, y, z = EYES_M
    return x + level * math.cos(yaw), y + level * math.sin(yaw), z - distance_m * math.sin(pitch)


def apart(a: Point, b: Point, seen_from: Point = EYES_M) -> float:
    """Return the angle between two points as seen from a third, rad."""
    ax, ay, az = (p - o for p, o in zip(a, seen_from, strict=True))
    bx, by, bz = (p - o for p, o in zip(b, seen_from, strict=True))
    cross = math.hypot(ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return math.atan2(cross, ax * bx + ay * by + az * bz)


def off_centre(point: Point) -> float:
    """Return how far a point is from the robot's straight gaze, rad."""
    return apart(point, (EYES_M[0] + 1.0, EYES_M[1], EYES_M[2]))


def inside(point: Point, margin: tuple[float, float]) -> float:
    """Return how far a point is inside the picture, m, with a margin across and up; < 0 outside."""
    x, y, z = (p - c for p, c in zip(point, CAMERA_M, strict=True))
    return min(_HALF_WIDTH * x - abs(y) - margin[0], _HALF_HEIGHT * x - abs(z) - margin[1])


# People --------------------------------------------------------------------------------------------


def seat(rng: np.random.Generator, distance_m: tuple[float, float] = (0.75, 1.05)) -> Point:
    """Return where somebody sits alone with the robot (their sellion): a little to the left or right."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    return aside(
        float(rng.uniform(*distance_m)) - EYES_M[0],
        sign * float(rng.uniform(8.0, 12.0)),
        float(rng.uniform(-5, 2)),
    )


def row(rng: np.random.Generator, people: int) -> list[Point]:
    """Return where two or three people sit beside each other, in random order."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    # Yaw in degrees and distance from the robot's eyes in m; the middle one of three sits further back.
    spots = [(-15.0, 0.95), (13.0, 0.95)] if people == 2 else [(-20.0, 0.97), (8.5, 1.22), (22.0, 0.96)]
    seats = [
        aside(
            distance + float(rng.uniform(-0.05, 0.05)),
            sign * yaw + float(rng.uniform(-0.8, 0.8)),
            float(rng.uniform(-4.0, 1.0)),
        )
        for yaw, distance in spots
    ]
    return [seats[i] for i in rng.permutation(people)]


def beside(rng: np.random.Generator, here: Point) -> Point:
    """Return another place for a head, to which somebody leans who sits `here`: 3 to 9 cm away, still in view."""

    def drawn() -> Point:
        return (
            here[0] + float(rng.uniform(-0.05, 0.05)),
            here[1] + float(rng.uniform(-0.08, 0.08)),
            here[2] + float(rng.uniform(-0.04, 0.02)),
        )

    def lack(p: Point) -> float:
        return _lack((off_centre(p) - OFF_CENTRE_RAD, inside(p, _FACE_MARGIN_M), math.dist(p, here) - 0.03))

    return _first(drawn, lack)


def reaching(here: Point, side: Side, palm: Point) -> Point:
    """Return where the head goes when somebody leans forward so that their hand comes to `palm`."""
    to = tuple(p - s for p, s in zip(palm, shoulder(here, side), strict=True))
    far = math.hypot(*to)
    share = min(max(far - ARM_M, 0.0), _MOST_LEAN_M) / far
    return here[0] + share * to[0], here[1] + share * to[1], here[2] + 0.4 * share * to[2]


def shoulder(sellion: Point, side: Side) -> Point:
    """Return where a shoulder is."""
    back, out, up = _SHOULDER
    x, y, z = sellion
    return x + back, (y - out if side == Side.LEFT else y + out), z + up


# Hands ---------------------------------------------------------------------------------------------


def handy_side(sellion: Point) -> Side:
    """Return which hand reaches into the middle of the picture from there: the robot's left is people's right."""
    return Side.LEFT if sellion[1] > 0.0 else Side.RIGHT


def hand_place(
    rng: np.random.Generator,
    owner: Point,
    side: Side,
    fingers: Point,
    others: Sequence[Point] = (),
    before: Collection[Point] = (),
) -> Point:
    """Return where somebody holds a hand out (its palm).

    In reach and in view, hiding nobody's face, `OFF_CENTRE_RAD` from the robot's straight gaze and from where the
    directions send it, and well apart from the owner's face; as near to that as may be when there is no such place.

    Parameters
    ----------
    rng
        Draws the place.
    owner
        Where the owner's sellion is.
    side
        Which hand.
    fingers
        Where its fingers point, of any length.
    others
        Sellions of the other people.
    before
        What the robot had to look at before: the place is apart from that.
    """
    sign = -1.0 if side == Side.LEFT else 1.0
    along = _FINGER_M / math.hypot(*fingers)
    tip_x, tip_y, tip_z = (along * f for f in fingers)
    nearest = max(0.33, owner[0] - 0.46)
    farthest = max(owner[0] - 0.24, nearest + 0.02)

    def drawn() -> Point:
        return (
            float(rng.uniform(nearest, farthest)),
            owner[1] + sign * float(rng.uniform(0.02, 0.34)),
            owner[2] + float(rng.uniform(-0.20, 0.06)),
        )

    def lack(p: Point) -> float:
        tip = p[0] + tip_x, p[1] + tip_y, p[2] + tip_z
        hides = [
            apart(part, face, CAMERA_M)
            - math.atan2(radius, part[0] - CAMERA_M[0])
            - math.atan2(_FACE_M, face[0] - CAMERA_M[0])
            for face in (owner, *others)
            for part, radius in ((p, _HAND_M), (tip, 0.01))
            if face[0] > p[0]
        ]
        return _lack(
            (
                off_centre(p) - OFF_CENTRE_RAD,
                apart(p, owner) - _APART_RAD,
                *(apart(p, aim) - APART_RAD for aim in (*_AIMS, *before)),
                inside(p, _PALM_MARGIN_M),
                inside(tip, _TIP_MARGIN_M),
                ARM_M - math.dist(p, shoulder(owner, side)),
                *hides,
            )
        )

    return _first(drawn, lack)


def resting_place(rng: np.random.Generator, owner: Point, side: Side) -> Point:
    """Return where somebody has a hand that is up but says nothing: before the chest, or by the chin."""
    sign = -1.0 if side == Side.LEFT else 1.0
    x, y, z = owner
    if rng.random() < 0.5:
        return x - float(rng.uniform(0.05, 0.10)), y + sign * float(rng.uniform(0.11, 0.14)), z - 0.17
    return (
        x - float(rng.uniform(0.14, 0.22)),
        y + sign * float(rng.uniform(0.08, 0.20)),
        z - float(rng.uniform(0.20, 0.26)),
    )


def finger_tips(rng: np.random.Generator, owner: Point) -> tuple[Point, Point]:
    """Return where a finger is held far from the robot's eyes and near to them, beside the owner's face."""
    yaw = math.degrees(math.atan2(owner[1] - EYES_M[1], owner[0] - EYES_M[0]))
    sign = math.copysign(1.0, yaw) if abs(yaw) > 18.0 else -math.copysign(1.0, yaw)
    far = aside(FAR_M, sign * float(rng.uniform(7.5, 9.0)), float(rng.uniform(-1.0, 4.0)))
    near = aside(
        float(rng.uniform(*NEAR_M)), sign * float(rng.uniform(7.5, 9.0)), float(rng.uniform(0.0, 4.0))
    )
    return far, near


def _lack(slacks: Sequence[float]) -> float:
    """Return by how much conditions are missed together; 0 when all hold (are >= 0)."""
    return -sum(min(s, 0.0) for s in slacks)


def _first(drawn: Callable[[], Point], lack: Callable[[Point], float]) -> Point:
    """Return the first place drawn that lacks nothing, or the one of many that lacks least."""
    best, least = drawn(), math.inf
    for _ in range(_TRIES):
        place = drawn()
        missing = lack(place)
        if missing <= 0.0:
            return place
        if missing < least:
            best, least = place, missing
    return best
