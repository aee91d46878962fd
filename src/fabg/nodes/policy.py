"""People in, expression chunks out; the behaviour itself is a plug-in (`fabg.policy.base.Policy`)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fabg_msgs.msg import ExpressionChunk, FaceArray
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from fabg.policy.base import Observation, Policy
from fabg.policy.mirror import MirrorConfig, MirrorPolicy
from fabg.robot.model import BASE_LINK, load_robot
from fabg.ros.convert import chunk_to_message, people_from_message
from fabg.ros.joints import positions_from_message
from fabg.ros.node import NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param
from fabg.ros.time import seconds
from fabg.ros.transforms import listen


@dataclass(frozen=True, kw_only=True)
class PolicyNodeConfig:
    """Parameters of the policy node."""

    policy: str = param("mirror", "which behaviour to run", choices=("mirror",))
    mirror_image: bool = param(True, "mirror: the person's left is the robot's right")
    head_gain: float = param(
        0.8, "mirror: share of the person's head rotation to take over", low=0.0, high=1.0
    )
    look_share: float = param(0.6, "mirror: share of the gaze that the neck takes", low=0.0, high=1.0)
    max_age_s: float = param(0.5, "faces older than this are not answered", low=0.02, high=10.0, live=True)
    gap_s: float = param(2.0, "after a gap this long the policy starts anew", low=0.1, high=60.0, live=True)


def _mirror(config: PolicyNodeConfig) -> Policy:
    return MirrorPolicy(
        MirrorConfig(
            mirror_image=config.mirror_image, head_gain=config.head_gain, look_share=config.look_share
        )
    )


POLICIES: dict[str, Callable[[PolicyNodeConfig], Policy]] = {"mirror": _mirror}


class PolicyNode(FabgNode[PolicyNodeConfig]):
    """Hosts one policy."""

    stage = "policy"

    def __init__(self, **options: object) -> None:
        super().__init__("policy", PolicyNodeConfig, **options)

    def setup(self) -> None:
        """Build the policy and join the graph."""
        self._policy = POLICIES[self.config.policy](self.config)
        self._robot = load_robot()
        self._joints: NDArray[np.float64] | None = None
        self._last_stamp_s: float | None = None
        self._frames = listen(self)
        self._command = self.publisher(ExpressionChunk, "/fabg/policy/command")
        self.subscribe(FaceArray, "/fabg/faces", self._on_faces, NEWEST_ONLY)
        self.subscribe(JointState, "/joint_states", self._on_joints, NEWEST_ONLY)

    def start(self) -> None:
        """Begin with a clean memory."""
        self._policy.reset()

    def _on_joints(self, message: JointState) -> None:
        self._joints = positions_from_message(message, self._robot)

    def _on_faces(self, message: FaceArray) -> None:
        received_s = self.now_s()
        stamp_s = seconds(message.header.stamp)
        if received_s - stamp_s > self.config.max_age_s:
            self.health.count("stale")
            return
        if self._last_stamp_s is not None and stamp_s - self._last_stamp_s > self.config.gap_s:
            self._policy.reset()
        self._last_stamp_s = stamp_s
        base_from_camera = self._frames.lookup(BASE_LINK, message.header.frame_id, stamp_s)
        people = people_from_message(message, base_from_camera)
        chunk = self._policy.predict(Observation(stamp_s, people, joint_positions=self._joints))
        if chunk is None:
            self.health.count("nothing_to_do")
            return
        self._command.publish(chunk_to_message(chunk, message.header.stamp))
        self.finished(message.header.stamp, received_s)


def main() -> int:
    """Run the node."""
    return run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
