"""From joint positions to the shape of the face.

Each face joint is normalised by its limit on the side it moves to (q / upper, or q / lower below
zero), so it drives a face unit from 0 to 1 whatever the servo's travel. Lids follow the gaze.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import ConfigError
from fabg.robot.head_asset import HeadAsset
from fabg.robot.model import RobotModel
from fabg.robot.surface import Points


@dataclass(frozen=True)
class Drive:
    """One direction of one joint and the face units it pulls.

    `units` maps names to strengths; "Side" stands for Left or Right. Where `halved`, a unit that
    moves both sides of the face is faded out across the median plane.
    """

    joint: str
    direction: int
    units: dict[str, float]
    halved: bool = False


PAIRED = (
    Drive("lid", +1, {"eyeBlinkSide": 1.0}),
    Drive("lid", -1, {"eyeWideSide": 1.0}),
    Drive("brow_inner", +1, {"browInnerUp": 1.3}, halved=True),
    Drive("brow_inner", -1, {"browDownSide": 1.0}),
    Drive("brow_outer", +1, {"browOuterUpSide": 1.2}),
    Drive("brow_outer", -1, {"browDownSide": 0.4}),
    Drive("cheek", +1, {"cheekSquintSide": 1.0, "noseSneerSide": 0.4}),
    Drive("cheek", -1, {"cheekPuff": 0.8}, halved=True),
    Drive("lip_upper", +1, {"mouthUpperUpSide": 0.8}),
    Drive("lip_upper", -1, {"mouthRollUpper": 0.8}, halved=True),
    Drive("lip_lower", +1, {"mouthLowerDownSide": 0.9}),
    Drive("lip_lower", -1, {"mouthRollLower": 0.8}, halved=True),
    Drive("corner_vertical", +1, {"mouthSmileSide": 1.0, "mouthDimpleSide": 0.4}),
    Drive("corner_vertical", -1, {"mouthFrownSide": 1.0}),
    Drive("corner_horizontal", +1, {"mouthStretchSide": 1.0}),
    Drive("corner_horizontal", -1, {"mouthPucker": 0.7}, halved=True),
)
"""Drives of the joints that exist once a side; their names end in _left or _right."""

SINGLE = (
    Drive("pucker", +1, {"mouthFunnel": 0.7, "mouthPucker": 0.8}),
    Drive("pucker", -1, {"mouthPressLeft": 0.4, "mouthPressRight": 0.4}),
    Drive("jaw", +1, {"jawOpen": 1.0}),
)

_GAZE_FULL = {"yaw": math.radians(30.0), "pitch": math.radians(25.0)}
_GAZE_UNITS = {  # eye joint, direction -> unit per side; +yaw turns left, +pitch looks down
    ("yaw", +1): {"left": "eyeLookOutLeft", "right": "eyeLookInRight"},
    ("yaw", -1): {"left": "eyeLookInLeft", "right": "eyeLookOutRight"},
    ("pitch", +1): {"left": "eyeLookDownLeft", "right": "eyeLookDownRight"},
    ("pitch", -1): {"left": "eyeLookUpLeft", "right": "eyeLookUpRight"},
}
_MEDIAN_FADE_M = 0.006


class FaceShapes:
    """Linear map from rectified, normalised joint positions to vertex displacements.

    Raises
    ------
    ConfigError
        When the joint table lacks a joint that the face needs.
    """

    def __init__(self, robot: RobotModel, head: HeadAsset) -> None:
        self._rows: list[NDArray[np.float32]] = []
        self._joint: list[int] = []
        self._full: list[float] = []  # joint angle (rad, signed) at which the row acts fully
        self._robot = robot
        self._count = len(head.vertices)
        for side in ("left", "right"):
            for drive in PAIRED:
                self._add(f"{drive.joint}_{side}", drive.direction, _displacement(head, drive, side))
            for (kind, direction), units in _GAZE_UNITS.items():
                joint = f"eye_{side}_{kind}"
                self._add(joint, direction, head.unit(units[side]), full=direction * _GAZE_FULL[kind])
        for drive in SINGLE:
            self._add(drive.joint, drive.direction, _displacement(head, drive, None))
        self._basis = np.stack(self._rows).reshape(len(self._rows), -1)
        self._index = np.array(self._joint)
        self._scale = 1.0 / np.array(self._full)

    def weights(self, positions: ArrayLike) -> NDArray[np.float32]:
        """Strength of each drive for joint positions (25,) rad: 0 at rest, 1 at the joint's limit."""
        q = np.asarray(positions, dtype=np.float64)
        return np.clip(q[self._index] * self._scale, 0.0, 1.2).astype(np.float32)

    def displacement(self, positions: ArrayLike) -> Points:
        """Vertex displacements (N, 3) m in the head's frame for joint positions (25,) rad."""
        return (self.weights(positions) @ self._basis).reshape(self._count, 3)

    def _add(self, joint: str, direction: int, row: Points, *, full: float | None = None) -> None:
        if joint not in self._robot.index:
            raise ConfigError(f"robot {self._robot.name} has no joint {joint!r}, which its face needs")
        entry = self._robot[joint]
        limit = (entry.upper if direction > 0 else entry.lower) if full is None else full
        if limit * direction <= 0:
            return  # the joint does not travel to this side: nothing to drive
        self._rows.append(row.astype(np.float32))
        self._joint.append(self._robot.index[joint])
        self._full.append(limit)


def _displacement(head: HeadAsset, drive: Drive, side: str | None) -> Points:
    total = np.zeros_like(head.vertices)
    for name, strength in drive.units.items():
        total += strength * head.unit(name.replace("Side", (side or "").capitalize()))
    if drive.halved:
        towards = head.vertices[:, 1] * (1 if side == "left" else -1)
        total *= (1 / (1 + np.exp(-towards / _MEDIAN_FADE_M)))[:, None]
    return total
