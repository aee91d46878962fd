"""Joint states and controller commands by the joint table's order."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import ArrayLike, NDArray
from sensor_msgs.msg import JointState

from fabg.errors import InputError
from fabg.robot.model import RobotModel


def positions_from_message(message: JointState, robot: RobotModel) -> NDArray[np.float64]:
    """Return joint angles in the table's order, rad, shape (25,); other joints are passed over.

    Raises
    ------
    InputError
        When a joint is missing, has no position, or its position is not finite.
    """
    known = dict(zip(message.name, message.position, strict=False))
    missing = [name for name in robot.names if name not in known]
    if missing:
        raise InputError(f"joint states lack {', '.join(missing)}: expected all of {robot.name}")
    positions = np.array([known[name] for name in robot.names], dtype=np.float64)
    if not np.isfinite(positions).all():
        bad = [name for name, value in zip(robot.names, positions, strict=True) if not np.isfinite(value)]
        raise InputError(f"joint states are not finite for {', '.join(bad)}")
    return positions


def states_to_message(positions: ArrayLike, velocities: ArrayLike, robot: RobotModel, at: Time) -> JointState:
    """Return the message of joint angles (rad) and velocities (rad/s), shape (25,) each."""
    message = JointState(name=list(robot.names))
    message.header.stamp = at
    message.position = np.asarray(positions, dtype=np.float64).tolist()
    message.velocity = np.asarray(velocities, dtype=np.float64).tolist()
    return message
