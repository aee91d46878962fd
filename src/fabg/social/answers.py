"""When has the robot answered? Pure rules on its joints, and a judge who sees to it that an answer lasts.

A look is an answer when the mean direction of both eyes meets the point to within 3 degrees; for a finger that comes
and goes their vergence must fit its distance to within 2 degrees as well. A direction is answered within 5 degrees.
A smile or a surprise is answered when the face's joints have gone 70 % of the way to the face that mirrors it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.robot.retarget import Retargeter
from fabg.social.robot_body import EyeGeometry
from fabg.social.stage import RobotState, SceneState

Vector = NDArray[np.float64]

LOOK_RAD = math.radians(3.0)
VERGENCE_RAD = math.radians(2.0)
DIRECTION_RAD = math.radians(5.0)

SHARE = 0.7
"""So much of the way to the mirrored face is an answer."""
READY_SHARE = 0.5
"""A face counts as answering only after it has been below this share of the way since the event began."""

HOLD_S = 0.1
"""An answer must last this long; it counts from its beginning."""

_SAME_M = 1e-6
_EPS_S = 1e-6


@dataclass(frozen=True)
class Look:
    """Wanted: both eyes on the present target.

    Attributes
    ----------
    within_rad
        How far the mean direction may be off.
    vergence_rad
        How far the vergence may be off; None when it does not matter.
    """

    within_rad: float = LOOK_RAD
    vergence_rad: float | None = None


@dataclass(frozen=True, eq=False)
class Show:
    """Wanted: a face.

    Attributes
    ----------
    rows
        The joints that it moves, shape (n,).
    rest
        Their angles in the resting face, rad, shape (n,).
    per_rad
        What each radian away from there adds to the share of the way, shape (n,): projection on the way.
    """

    rows: NDArray[np.intp]
    rest: Vector
    per_rad: Vector


Wanted = Look | Show


def wanted_face(shapes: Vector, retargeter: Retargeter) -> Show:
    """Return what is wanted of a robot that is to answer with these shapes (52,) of its own.

    Raises
    ------
    ValueError
        When the shapes move no joint.
    """
    vector = expression.neutral()
    rest = retargeter.to_joints(vector)
    vector[: expression.N_SHAPES] = shapes
    way = retargeter.to_joints(vector) - rest
    rows = np.flatnonzero(np.abs(way) > 1e-9)
    if not rows.size:
        raise ValueError("these shapes move none of the robot's joints: expected a face that can be answered")
    way = way[rows]
    return Show(rows, rest[rows], way / float(way @ way))


def share_shown(wanted: Show, robot: RobotState) -> float:
    """Return how far the robot's face has gone towards the wanted one: 0 at rest, 1 there, below 0 and above 1 too."""
    return float((robot.joints[wanted.rows] - wanted.rest) @ wanted.per_rad)


def looks_at(wanted: Look, target_m: Vector, robot: RobotState, eyes: EyeGeometry) -> bool:
    """Return whether the robot's eyes are on a point (3,) of the base frame as wanted."""
    joints = robot.joints
    if eyes.gaze_error(joints, target_m) >= wanted.within_rad:
        return False
    if wanted.vergence_rad is None:
        return True
    return abs(robot.vergence - eyes.vergence_demand(joints, target_m)) < wanted.vergence_rad


def answered(wanted: Wanted, target_m: Vector, robot: RobotState, eyes: EyeGeometry) -> bool:
    """Return whether the robot does now what is wanted; `Judge` sees to the rest."""
    if isinstance(wanted, Show):
        return share_shown(wanted, robot) >= SHARE
    return looks_at(wanted, target_m, robot, eyes)


class Judge:
    """Follows one robot through one event.

    Attributes
    ----------
    since_s
        Since when the robot has been doing what is wanted; None while it does not.
    """

    def __init__(self, wanted: Wanted, eyes: EyeGeometry) -> None:
        self._wanted, self._eyes = wanted, eyes
        self._ready = isinstance(wanted, Look)
        self.since_s: float | None = None

    def see(self, t_s: float, target_m: Vector, robot: RobotState) -> float | None:
        """Return when the answer began, once it has lasted `HOLD_S`; None until then.

        Parameters
        ----------
        t_s
            Now; once a tick.
        target_m
            Where to look now, (3,).
        robot
            The robot now.
        """
        wanted = self._wanted
        if isinstance(wanted, Show):
            share = share_shown(wanted, robot)
            # A face that was there already is no answer: it must have been left first.
            self._ready = self._ready or share < READY_SHARE
            right = self._ready and share >= SHARE
        else:
            right = looks_at(wanted, target_m, robot, self._eyes)
        if not right:
            self.since_s = None
            return None
        if self.since_s is None:
            self.since_s = t_s
        return self.since_s if t_s - self.since_s >= HOLD_S - _EPS_S else None


def candidates(scene: SceneState, target_m: Vector | None = None) -> list[Vector]:
    """Return where else the robot could look by mistake: faces (between the eyes) and palms, (3,) each.

    Parameters
    ----------
    scene
        Everybody.
    target_m
        What it should look at; left out are the face or the hand that this belongs to. None leaves out nothing.
    """
    places = []
    x, y, z = (math.inf,) * 3 if target_m is None else target_m.tolist()
    for person in scene.people:
        px, py, pz = person.position_m.tolist()
        if abs(px - x) + abs(py - y) + abs(pz - z) > _SAME_M:
            places.append(person.position_m)
        for hand in person.hands:
            palm = hand.pose[:3, 3]
            (px, py, pz), (tx, ty, tz) = palm.tolist(), hand.tip_m.tolist()
            if (
                min(abs(px - x) + abs(py - y) + abs(pz - z), abs(tx - x) + abs(ty - y) + abs(tz - z))
                > _SAME_M
            ):
                places.append(palm)
    return places
