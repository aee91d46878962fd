"""How well the robot answers now, as one number: for learning by trial, and as a quick look."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.robot.model import RobotModel
from fabg.robot.retarget import Retargeter
from fabg.social.robot_body import EyeGeometry
from fabg.social.world import World

GAZE_REACH_RAD = math.radians(10.0)
"""A gaze that misses by more is worth nothing."""
FACE_REACH_RAD = 0.5
"""A face whose joints are further from the answer, as a Euclidean distance, is worth nothing."""


class Reward:
    """Half for the gaze, half for the face; 0..1 each."""

    def __init__(self, robot: RobotModel) -> None:
        self._eyes = EyeGeometry(robot)
        self._retargeter = Retargeter(robot)
        self._face = np.array([robot.index[joint.name] for joint in robot.joints if joint.group == "face"])
        self._vector = expression.neutral()
        self._shapes: NDArray[np.float64] | None = None
        self._answer = self._retargeter.targets(self._vector)[self._face]

    def __call__(self, world: World) -> float:
        """Return the reward of the tick that has just passed."""
        stimulus, joints = world.stimulus, world.robot.joints
        gaze = 1.0 - self._eyes.gaze_error(joints, stimulus.target_m) / GAZE_REACH_RAD
        if stimulus.shapes is not self._shapes:  # most of the time nobody smiles
            self._shapes = stimulus.shapes
            self._vector[: expression.N_SHAPES] = stimulus.shapes
            self._answer = self._retargeter.targets(self._vector)[self._face]
        apart = self._answer - joints[self._face]
        face = 1.0 - math.sqrt(float(apart @ apart)) / FACE_REACH_RAD
        return 0.5 * max(gaze, 0.0) + 0.5 * max(face, 0.0)
