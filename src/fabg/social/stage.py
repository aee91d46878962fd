"""What is on stage at one instant: the people, what they ask of the robot, and what the robot does.

Everything is in the robot's base frame (x forward, y left, z up; origin at the neck's pivot), m and rad.
The people sit in front of the robot and face it along -x. "Left" is everybody's own left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.geometry import Matrix, rotation_from_ypr
from fabg.perception.types import Gesture, Side
from fabg.policy import response

TICK_S = response.TICK_S
"""One step of simulated time, s: the control period."""

CAMERA_M = (0.10, 0.0, 0.12)
"""Where the camera, or the middle of a pair, stands in the base frame, m: between the robot's eyes, a little above.
It looks along x, whatever the head does."""

FACING_ROBOT: Matrix = np.diag([-1.0, -1.0, 1.0])
"""Rotation in the base frame of a head that faces the robot squarely; columns are its forward, left and up."""

Vector = NDArray[np.float64]


@dataclass(slots=True)
class HandState:
    """One hand that can be seen or is on its way.

    Attributes
    ----------
    side
        LEFT or RIGHT as its owner says.
    pose
        Hand frame, (4, 4), as in `fabg.social.avatar.poses.HandPose` but in the base frame.
    shape
        Name of one of `fabg.social.avatar.poses.HAND_SHAPES`.
    gesture
        What the hand says; LEFT and RIGHT are the robot's.
    extended
        True for a hand held out to the robot.
    tip_m
        Tip of the index finger, (3,).
    direction
        Unit vector along the index finger, (3,), when it points, else None.
    """

    side: Side
    pose: Matrix
    shape: str
    gesture: Gesture
    extended: bool
    tip_m: Vector
    direction: Vector | None = None


@dataclass(slots=True)
class PersonState:
    """One person.

    Attributes
    ----------
    id
        Lasting name, such as ``p0``.
    seed
        Of their looks: ``Person.random(seed)``.
    position_m
        The sellion, (3,).
    head
        Yaw, pitch, roll relative to facing the robot squarely (`FACING_ROBOT`).
    shapes
        52 ARKit shapes, 0..1.
    look_at_m
        The point on which their eyes meet, (3,).
    hands
        Those that are raised; hands at rest out of sight are left out.
    """

    id: str
    seed: int
    position_m: Vector
    head: tuple[float, float, float]
    shapes: Vector
    look_at_m: Vector
    hands: tuple[HandState, ...] = ()

    @property
    def rotation(self) -> Matrix:
        """Head rotation in the base frame, (3, 3); columns are forward, left and up."""
        return FACING_ROBOT @ rotation_from_ypr(*self.head)


@dataclass(slots=True)
class SceneState:
    """All people at one instant; `time_s` counts from the start of the episode."""

    time_s: float
    people: tuple[PersonState, ...]


@dataclass(slots=True)
class Stimulus:
    """What the people ask of the robot now, and what answers it; known to the simulator alone.

    Attributes
    ----------
    event
        Number of the present event, -1 before the first; rest between events keeps the last number.
    kind
        What kind of event, such as ``smile``; ``rest`` between events.
    onset_s
        Time at which the event could first be answered.
    counted
        True for an event that has to be answered, False for rest.
    target_m
        Where the robot should look, (3,).
    shapes
        The 52 shapes with which the robot should answer, its own.
    """

    event: int
    kind: str
    onset_s: float
    counted: bool
    target_m: Vector
    shapes: Vector


@dataclass(slots=True)
class RobotState:
    """The robot's 25 joints, and where its eyes look.

    Attributes
    ----------
    joints
        Measured angles, (25,).
    wanted
        Angles that the last expression asked for, before any limit, (25,).
    target
        Angles that the limits let through to the servos, (25,).
    yaw, pitch
        Mean direction of both eyes in the base frame; yaw to the left, pitch down.
    vergence
        Angle between both lines of sight; > 0 when they meet in front.
    """

    joints: Vector
    wanted: Vector
    target: Vector
    yaw: float
    pitch: float
    vergence: float
