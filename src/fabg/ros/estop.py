"""Engage or reset the emergency stop from the command line."""

from __future__ import annotations

import os
from typing import Any

import rclpy
from fabg_msgs.srv import EStop

from fabg.errors import EnvironmentProblem
from fabg.ros.bringup import middleware_environment


def call(*, reset: bool, reason: str, timeout_s: float = 5.0) -> tuple[bool, str]:
    """Ask the actuation node to stop, or to work again.

    Returns
    -------
    Whether it did, and what it said.

    Raises
    ------
    EnvironmentProblem
        When no actuation node answers in time.
    """
    os.environ.update(middleware_environment())
    rclpy.init()
    node = rclpy.create_node("fabg_estop")
    try:
        client: Any = node.create_client(EStop, "/fabg/estop")
        silent = EnvironmentProblem(
            f"no actuation node answered within {timeout_s:g} s on ROS domain "
            f"{os.environ.get('ROS_DOMAIN_ID', '0')}: is the graph up, and is ROS_DOMAIN_ID the same? "
            "If the robot moves, cut its power"
        )
        if not client.wait_for_service(timeout_s):
            raise silent
        action = EStop.Request.RESET if reset else EStop.Request.ENGAGE
        future = client.call_async(EStop.Request(action=action, reason=reason))
        rclpy.spin_until_future_complete(node, future, timeout_sec=timeout_s)
        if (answer := future.result()) is None:
            raise silent
        return answer.success, answer.message
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
