"""Listening to /tf and /tf_static."""

from __future__ import annotations

from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from fabg.frames import FrameTree
from fabg.ros.convert import transform_from_message
from fabg.ros.node import FabgNode

STATIC = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DYNAMIC = QoSProfile(depth=100)


def listen(node: FabgNode[Any]) -> FrameTree:
    """Return a tree that `node` keeps up to date from /tf and /tf_static."""
    tree = FrameTree()

    def store(message: TFMessage, *, static: bool) -> None:
        for transform in message.transforms:
            parent, child, pose, stamp_s = transform_from_message(transform)
            tree.set(parent, child, pose, None if static else stamp_s)

    node.subscribe(TFMessage, "/tf_static", lambda m: store(m, static=True), STATIC, always=True)
    node.subscribe(TFMessage, "/tf", lambda m: store(m, static=False), DYNAMIC)
    return tree
