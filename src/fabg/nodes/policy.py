"""People in, expression chunks out; the behaviour itself is a plug-in (`fabg.policy.base.Policy`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fabg_msgs.msg import ExpressionChunk, FaceArray, GazeArray, HandArray
from sensor_msgs.msg import JointState

from fabg.policy.base import Chunk, Policy
from fabg.policy.fallback import Fallback, FallbackConfig
from fabg.policy.idle import IdlePolicy
from fabg.policy.mirror import MirrorConfig, MirrorPolicy
from fabg.robot.model import BASE_LINK, load_robot
from fabg.ros.convert import chunk_to_message
from fabg.ros.node import NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param
from fabg.ros.policy_inputs import Joined, PolicyInputs
from fabg.ros.time import seconds
from fabg.ros.transforms import listen
from fabg.ros.worker import Punctual, Worker


@dataclass(frozen=True, kw_only=True)
class PolicyNodeConfig:
    """Parameters of the policy node."""

    policy: str = param("learnt", "which behaviour to run", choices=("learnt", "mirror"))
    model: str = param("", "learnt: ONNX file with its card beside it; empty: the one that ships")
    task: str = param("", "learnt: one that it was trained for; empty: all of them mixed, or its first")
    max_predict_s: float = param(0.1, "learnt: a later answer is none, s", low=0.001, high=10.0)
    mirror_image: bool = param(True, "mirror: the person's left is the robot's right")
    head_gain: float = param(
        0.8, "mirror: share of the person's head rotation to take over", low=0.0, high=1.0
    )
    look_share: float = param(0.6, "mirror: share of the gaze that the neck takes", low=0.0, high=1.0)
    max_age_s: float = param(0.5, "faces older than this are not answered", low=0.02, high=10.0, live=True)
    gap_s: float = param(2.0, "after a gap this long the policy starts anew", low=0.1, high=60.0, live=True)
    wait_s: float = param(
        0.02, "faces wait so long for gaze and hands of the same image, s", low=0.0, high=0.5
    )
    slack_s: float = param(
        0.2, "gaze and hands belong to faces when their stamps differ by at most this, s", low=0.0, high=2.0
    )
    fallback: FallbackConfig = param(FallbackConfig(), "when one that failed is trusted again")


def _learnt(config: PolicyNodeConfig) -> Policy:
    from fabg.policy.learnt import LearntPolicy

    return LearntPolicy(Path(config.model) if config.model else None, config.task or None)


def _mirror(config: PolicyNodeConfig) -> Policy:
    return MirrorPolicy(
        MirrorConfig(
            mirror_image=config.mirror_image, head_gain=config.head_gain, look_share=config.look_share
        )
    )


POLICIES: dict[str, Callable[[PolicyNodeConfig], Policy]] = {
    "learnt": _learnt,
    "mirror": _mirror,
    "idle": lambda config: IdlePolicy(),
}
"""How to make each; the best first. The one that is chosen falls back on those behind it."""


class PolicyNode(FabgNode[PolicyNodeConfig]):
    """Hosts one policy, and those that take its place when it fails."""

    stage = "policy"

    def __init__(self, **options: object) -> None:
        super().__init__("policy", PolicyNodeConfig, **options)

    def setup(self) -> None:
        """Build the policies and join the graph."""
        c = self.config
        names = [*POLICIES][[*POLICIES].index(c.policy) :]
        self._policy = Fallback({name: partial(self._make, name) for name in names}, c.fallback)
        self._told: Mapping[str, str] = {}
        frames = listen(self)
        self._inputs = PolicyInputs(
            partial(frames.lookup, BASE_LINK), load_robot(), wait_s=c.wait_s, slack_s=c.slack_s
        )
        self._bell = self.create_guard_condition(self._guarded(self._publish, "answer", only_active=True))
        self._owned.append((self.destroy_guard_condition, self._bell))
        self._command = self.publisher(ExpressionChunk, "/fabg/policy/command")
        self.subscribe(FaceArray, "/fabg/faces", self._on_faces, NEWEST_ONLY)
        for kind, topic, saw in (
            (GazeArray, "/fabg/gaze", self._inputs.saw_gaze),
            (HandArray, "/fabg/hands", self._inputs.saw_hands),
            (JointState, "/joint_states", self._inputs.saw_joints),
        ):
            self.subscribe(kind, topic, partial(self._take_in, saw), NEWEST_ONLY)
        self._patience = self.every(max(c.wait_s, 1e-3), self._ask, "wait")
        self._patience.cancel()
        self.every(0.1, self._watch, "watch")

    def start(self) -> None:
        """Begin with a clean memory."""
        self._policy.reset()
        self._last_stamp_s: float | None = None
        self._last_faces_s = time.monotonic()
        self._worker: Worker[Joined, Chunk | None] = Worker(self._infer, self._bell.trigger, name="inference")

    def stop(self) -> None:
        """End the thread."""
        self._patience.cancel()
        self._worker.close()

    def _make(self, name: str) -> Policy:
        policy = POLICIES[name](self.config)
        if name == "learnt":
            policy = Punctual(policy, self.config.max_predict_s)
            self._owned.append((Punctual.close, policy))
        return policy

    def _on_faces(self, message: FaceArray) -> None:
        now_s = self.now_s()
        if now_s - seconds(message.header.stamp) > self.config.max_age_s:
            self.health.count("stale")
            return
        if self._inputs.saw_faces(message, now_s):
            self.health.count("dropped")
        self._last_faces_s = time.monotonic()
        self._patience.reset()
        self._ask_when_complete()

    def _take_in(self, saw: Callable[[Any, float], None], message: Any) -> None:
        saw(message, self.now_s())
        self._ask_when_complete()

    def _ask_when_complete(self) -> None:
        if self._inputs.complete:
            self._ask()

    def _ask(self) -> None:
        """Hand the newest observation to the policy's thread."""
        self._patience.cancel()
        joined = self._inputs.take(self.now_s())
        if joined is not None and self._worker.give(joined):
            self.health.count("dropped")

    def _infer(self, joined: Joined) -> Chunk | None:
        """Ask the policy; in its thread, so that inputs are taken in meanwhile."""
        stamp_s, last_s = joined.observation.stamp_s, self._last_stamp_s
        self._last_stamp_s = stamp_s
        if last_s is not None and not 0.0 <= stamp_s - last_s <= self.config.gap_s:
            self._policy.reset()
        return self._policy.predict(joined.observation)

    def _publish(self) -> None:
        while (done := self._worker.take()) is not None:
            self.health.values |= done.item.told
            if done.error is not None:
                self.report_exception("policy", done.error)
            elif done.answer is None:
                self.health.count("nothing_to_do")
            else:
                self._command.publish(chunk_to_message(done.answer, done.item.stamp))
                self.finished(done.item.stamp, done.item.received_s)

    def _watch(self) -> None:
        """Say who answers, and why not somebody better."""
        silence_s = time.monotonic() - self._last_faces_s
        if silence_s > self.config.max_age_s:
            self.health.values["answers"] = "nobody"
            self.health.warn("faces", f"no usable faces for {silence_s:.1f} s: the robot is left to rest")
        else:
            self.health.values["answers"] = self._policy.in_charge
            self.health.clear("faces")
        troubles = self._policy.troubles
        for name in POLICIES:
            if name in troubles:
                self.health.warn(name, f"{name} does not work: {troubles[name]}")
                if name not in self._told:
                    self.get_logger().warning(f"{name} does not work, others answer: {troubles[name]}")
            else:
                self.health.clear(name)
                if name in self._told:
                    self.get_logger().info(f"{name} works again")
        self._told = troubles


def main() -> int:
    """Run the node."""
    return run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
