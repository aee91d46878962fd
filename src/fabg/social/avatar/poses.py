"""What people do in a picture: where head and hands are, what the face shows, where the eyes look.

All poses are in the camera's optical frame (x right, y down, z forward), m and rad.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import InputError
from fabg.geometry import FACING, Matrix, pose, rotation_from_ypr
from fabg.perception.types import Side
from fabg.social.avatar.people import Person

FRONTAL: Matrix = FACING
"""Rotation of a head that faces the camera: columns are the head's x, y, z in the optical frame."""

MAX_EYE_YAW = math.radians(55)
MAX_EYE_PITCH = math.radians(45)
_NEAREST_M, _FARTHEST_M = 0.12, 20.0


def facing(
    position: ArrayLike, *, yaw_rad: float = 0.0, pitch_rad: float = 0.0, roll_rad: float = 0.0
) -> Matrix:
    """Return the pose (4, 4) of a head turned away from looking straight back along the optical axis.

    Parameters
    ----------
    position
        Where the sellion is, m, shape (3,).
    yaw_rad, pitch_rad, roll_rad
        REP-103: to the own left, down, and tilted to the own right.
    """
    return pose(FRONTAL @ rotation_from_ypr(yaw_rad, pitch_rad, roll_rad), np.asarray(position, dtype=float))


@dataclass(frozen=True)
class EyeAngles:
    """Directions of both eyes relative to the head: (yaw, pitch) each, rad, REP-103.

    Raises
    ------
    InputError
        When an angle is not finite or further than an eye can turn.
    """

    left: tuple[float, float] = (0.0, 0.0)
    right: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for side, (yaw, pitch) in (("left", self.left), ("right", self.right)):
            if not (abs(yaw) <= MAX_EYE_YAW and abs(pitch) <= MAX_EYE_PITCH):  # also refuses NaN
                raise InputError(
                    f"the {side} eye is turned by yaw {yaw}, pitch {pitch} rad: expected within "
                    f"±{MAX_EYE_YAW:.2f} and ±{MAX_EYE_PITCH:.2f} rad"
                )

    @classmethod
    def both(cls, yaw: float, pitch: float) -> EyeAngles:
        """Return both eyes in parallel, rad."""
        return cls((yaw, pitch), (yaw, pitch))


@dataclass(frozen=True, eq=False)
class FacePose:
    """Where a head is and what its face does.

    Attributes
    ----------
    pose
        Head frame in the camera, shape (4, 4). The frame sits at the sellion (see `fabg.social.avatar.figure`).
    shapes
        The 52 ARKit shapes, 0..1, in the order of `fabg.expression.SHAPES`.
    gaze
        Angles of both eyes, or the point (3,) in the camera's frame on which both meet.
    lids
        Lids and brows go along with the eyes: the eight `eyeLook...` shapes follow from the gaze
        and what `shapes` says of them is set aside. False takes `shapes` as they are.
    torso
        Rotation (3, 3) of the trunk in the camera (axes as the head's); by default the trunk
        follows a third of the way, and as far as a neck needs it to.

    Raises
    ------
    InputError
        When an array has another shape, is not finite, is no rotation, or a value is out of range.
    """

    pose: NDArray[np.float64]
    shapes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(expression.N_SHAPES))
    gaze: EyeAngles | NDArray[np.float64] = field(default_factory=EyeAngles)
    lids: bool = True
    torso: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pose", checked_pose(self.pose, "the head"))
        shapes = np.array(self.shapes, dtype=np.float64)
        if shapes.shape != (expression.N_SHAPES,):
            raise InputError(f"shapes have shape {shapes.shape}: expected ({expression.N_SHAPES},)")
        bad = np.flatnonzero(~((shapes >= 0) & (shapes <= 1)))
        if bad.size:
            name = expression.SHAPES[bad[0]]
            raise InputError(f"shape {name} is {shapes[bad[0]]}: expected 0 to 1")
        object.__setattr__(self, "shapes", shapes)
        if not isinstance(self.gaze, EyeAngles):
            object.__setattr__(self, "gaze", _point(self.gaze, "the point to look at"))
        if self.torso is not None:
            object.__setattr__(self, "torso", checked_rotation(self.torso, "the torso"))


def shapes_of(**values: float) -> NDArray[np.float64]:
    """Return the 52 shapes from names, e.g. ``shapes_of(jawOpen=0.5)``; the others are 0.

    Raises
    ------
    InputError
        For a name that is no ARKit shape.
    """
    shapes = np.zeros(expression.N_SHAPES)
    for name, value in values.items():
        if name not in expression.SHAPES:
            raise InputError(f"no face shape {name!r}: expected one of {', '.join(expression.SHAPES)}")
        shapes[expression.INDEX[name]] = value
    return shapes


@dataclass(frozen=True)
class Fingers:
    """How the fingers of a hand are bent.

    Attributes
    ----------
    curl
        Index, middle, ring, little finger: 0 straight to 1 in the fist; -0.1 bends back a little.
    thumb
        -1 stands up from the hand (thumbs up), 0 lies at its natural angle aside, 1 is folded over
        the fist.
    spread
        0 fingers together to 1 wide apart.

    Raises
    ------
    InputError
        When a value is out of range or not finite.
    """

    curl: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    thumb: float = 0.0
    spread: float = 0.3

    def __post_init__(self) -> None:
        if len(self.curl) != 4 or not all(-0.1 <= c <= 1.0 for c in self.curl):
            raise InputError(f"curl is {self.curl}: expected four numbers from -0.1 to 1")
        if not -1.0 <= self.thumb <= 1.0:
            raise InputError(f"thumb is {self.thumb}: expected -1 to 1")
        if not 0.0 <= self.spread <= 1.0:
            raise InputError(f"spread is {self.spread}: expected 0 to 1")


HAND_SHAPES: Mapping[str, Fingers] = {
    "open": Fingers((0.0, 0.0, 0.0, 0.0), 0.0, 0.7),
    "relaxed": Fingers((0.30, 0.36, 0.42, 0.48), 0.35, 0.15),
    "fist": Fingers((1.0, 1.0, 1.0, 1.0), 1.0, 0.0),
    "point": Fingers((0.0, 1.0, 1.0, 1.0), 0.9, 0.0),
    "thumbs_up": Fingers((1.0, 1.0, 1.0, 1.0), -1.0, 0.0),
    "two": Fingers((0.0, 0.0, 1.0, 1.0), 0.9, 0.6),
    "three": Fingers((0.0, 0.0, 0.0, 1.0), 0.9, 0.5),
    "little": Fingers((1.0, 1.0, 1.0, 0.0), 0.9, 0.0),
    "claw": Fingers((0.55, 0.55, 0.55, 0.55), 0.2, 0.5),
}
"""Ready-made hands; "two", "three", "little" and "claw" are there to be told apart from the others."""


def hand_shape(name: str) -> Fingers:
    """Return one of `HAND_SHAPES`.

    Raises
    ------
    InputError
        For a name that is not in the table.
    """
    if name not in HAND_SHAPES:
        raise InputError(f"no hand shape {name!r}: expected one of {', '.join(HAND_SHAPES)}")
    return HAND_SHAPES[name]


@dataclass(frozen=True, eq=False)
class HandPose:
    """Where a hand is and what it does.

    Attributes
    ----------
    side
        LEFT or RIGHT as its owner says.
    pose
        Hand frame in the camera, shape (4, 4): origin in the middle of the palm (mean of wrist and
        knuckles of index and little finger), x from the wrist to the knuckle of the middle finger,
        z out of the back of the hand, y = z x x. The thumb of a right hand lies towards +y, that of a
        left hand towards -y.
    fingers
        How they are bent, or the name of one of `HAND_SHAPES`.
    forearm
        Direction (3,) from the wrist to the elbow in the camera's frame; by default the forearm
        prolongs the hand.

    Raises
    ------
    InputError
        When a value is not finite, out of range, or no rotation.
    """

    side: Side
    pose: NDArray[np.float64]
    fingers: Fingers = HAND_SHAPES["open"]
    forearm: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.side not in (Side.LEFT, Side.RIGHT):
            raise InputError(f"side is {self.side!r}: expected Side.LEFT or Side.RIGHT")
        object.__setattr__(self, "side", Side(self.side))
        object.__setattr__(self, "pose", checked_pose(self.pose, "the hand"))
        if isinstance(self.fingers, str):
            object.__setattr__(self, "fingers", hand_shape(self.fingers))
        if self.forearm is not None:
            along = _point(self.forearm, "the forearm")
            if np.linalg.norm(along) < 1e-6:
                raise InputError("the forearm has length 0: expected a direction")
            object.__setattr__(self, "forearm", along / np.linalg.norm(along))


def hand_at(
    position: ArrayLike, *, fingers_to: ArrayLike = (0, -1, 0), palm_to: ArrayLike = (0, 0, -1)
) -> Matrix:
    """Return the pose (4, 4) of a hand from two directions in the camera's frame.

    Parameters
    ----------
    position
        Middle of the palm, m, shape (3,).
    fingers_to, palm_to
        Where the fingers and the palm point; the palm gives way when they are not at a right angle.

    Raises
    ------
    InputError
        When the directions are parallel or not finite.
    """
    x, out = _point(fingers_to, "fingers_to"), -_point(palm_to, "palm_to")
    y = np.cross(out, x)
    if float(np.linalg.norm(y)) < 1e-6 * max(float(np.linalg.norm(x)), 1e-9):
        raise InputError(f"fingers_to {fingers_to!r} and palm_to {palm_to!r} are parallel: expected an angle")
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return pose(np.stack([x, y, np.cross(x, y)], axis=1), _point(position, "position"))


@dataclass(frozen=True, eq=False)
class Actor:
    """Somebody in a picture: the whole person, or hands alone."""

    person: Person
    face: FacePose | None = None
    hands: tuple[HandPose, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "hands", tuple(self.hands))
        sides = [hand.side for hand in self.hands]
        if len(set(sides)) != len(sides):
            raise InputError(f"{self.person.name} has two {sides[0].name.lower()} hands: expected one a side")
        if self.face is None and not self.hands:
            raise InputError(f"{self.person.name} shows neither face nor hands: expected at least one")


def checked_rotation(values: ArrayLike, what: str) -> Matrix:
    """Return a rotation (3, 3) as float64.

    Raises
    ------
    InputError
        When it is none.
    """
    matrix = np.array(values, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise InputError(f"rotation of {what} is {matrix.tolist()}: expected (3, 3) finite numbers")
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-4 or np.linalg.det(matrix) < 0:
        raise InputError(
            f"rotation of {what} is {matrix.tolist()}: expected an orthonormal, right-handed one"
        )
    return matrix


def checked_pose(values: ArrayLike, what: str) -> Matrix:
    """Return a rigid pose (4, 4) in front of the camera as float64.

    Raises
    ------
    InputError
        When it is not finite, not rigid, or out of the range in which people are drawn.
    """
    matrix = np.array(values, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(f"pose of {what} is {matrix.tolist()}: expected (4, 4) finite numbers")
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-9:
        raise InputError(f"pose of {what} has the last row {matrix[3]}: expected 0 0 0 1")
    checked_rotation(matrix[:3, :3], what)
    if not _NEAREST_M <= matrix[2, 3] <= _FARTHEST_M:
        raise InputError(
            f"{what} is at z = {matrix[2, 3]:.3f} m: expected {_NEAREST_M} to {_FARTHEST_M:.0f} m "
            "in front of the camera"
        )
    return matrix


def _point(values: ArrayLike, what: str) -> NDArray[np.float64]:
    point = np.array(values, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise InputError(f"{what} is {point.tolist()}: expected three finite numbers in m")
    return point
