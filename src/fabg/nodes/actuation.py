"""Expression commands in, safe servo commands out; see docs/safety.md."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from fabg_msgs.msg import ActuationStatus, ExpressionChunk, Latency, OperatorFrame
from fabg_msgs.srv import EStop
from sensor_msgs.msg import JointState

from fabg.errors import CommandRefused
from fabg.policy.base import Chunk, Observation
from fabg.policy.idle import IdlePolicy
from fabg.policy.playback import Playback
from fabg.robot.actuator import NOTHING_YET, Actuator, ActuatorConfig
from fabg.robot.arbiter import ArbiterConfig
from fabg.robot.commands import Command, PartialFrames
from fabg.robot.gaze import GazeConfig
from fabg.robot.model import load_robot
from fabg.robot.safety import SafetyConfig
from fabg.ros.actuation import Controller, servo_delay_s, status_to_message
from fabg.ros.convert import chunk_from_message
from fabg.ros.joints import positions_from_message
from fabg.ros.node import NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param
from fabg.ros.time import seconds

_LONGEST_BRAKE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class ActuationConfig:
    """Parameters of the actuation node; those of the parts are ``arbiter.*``, ``gaze.*``, ``safety.*``."""

    rate_hz: float = param(50.0, "commands a second", low=10.0, high=200.0)
    status_hz: float = param(10.0, "reports on /fabg/actuation/status a second", low=1.0, high=50.0)
    output: str = param("forward", "controller to command", choices=("forward", "trajectory"))
    start_stopped: bool = param(False, "start with the e-stop engaged: nothing moves before a reset")
    idle: bool = param(False, "blink and look around when nobody commands")
    compensate: bool = param(True, "play a policy's chunks ahead by the measured delay of the servos")
    ensemble: bool = param(True, "play the newest-weighted mean of a policy's last chunks")
    arbiter: ArbiterConfig = field(default_factory=ArbiterConfig)
    gaze: GazeConfig = field(default_factory=GazeConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)


class ActuationNode(FabgNode[ActuationConfig]):
    """Obeys one source at a time, within limits."""

    stage = "actuation"

    def __init__(self, **options: object) -> None:
        super().__init__("actuation", ActuationConfig, **options)
        # Outlives deactivation and clean-up.
        self._stop_reason = "start_stopped is set" if self.config.start_stopped else None
        self._last = NOTHING_YET
        self._last_tick_s: float | None = None
        self._origins: dict[str, tuple[Time, float]] = {}

    def setup(self) -> None:
        """Build the core and join the graph."""
        c = self.config
        self._robot = load_robot()
        self._idle = IdlePolicy()
        self._partial = PartialFrames(c.arbiter.hold_s, c.arbiter.return_s)
        self._renew()
        self._controller = Controller(self, c.output, self._robot, 1.0 / c.rate_hz)
        self._status = self.publisher(ActuationStatus, "/fabg/actuation/status")
        self.subscribe(JointState, "/joint_states", self._on_joints, NEWEST_ONLY)
        self.subscribe(Latency, "/fabg/latency", self._on_latency, NEWEST_ONLY)
        self.subscribe(ExpressionChunk, "/fabg/policy/command", self._on_chunk)
        self.subscribe(OperatorFrame, "/fabg/teleop/operator", self._on_operator)
        self.serve(EStop, "/fabg/estop", self._on_estop)
        self.every(1.0 / c.rate_hz, self._tick, "tick")
        self.every(1.0 / c.status_hz, self._report, "status")
        if c.idle:
            self.every(0.1, self._pass_time, "idle")

    def start(self) -> None:
        """Begin with nothing but the e-stop remembered: the next joint states give the start pose."""
        self._renew()

    def stop(self) -> None:
        """Brake within the limits, then send nothing more."""
        if self._last.command is None:
            return
        limiter, period_s = self._actuator.limiter, 1.0 / self.config.rate_hz
        pause, end_s = threading.Event(), time.monotonic() + _LONGEST_BRAKE_S
        while not limiter.at_rest and time.monotonic() < end_s:
            self._controller.send(limiter.stop(period_s).tolist())
            pause.wait(period_s)
        self._last = NOTHING_YET

    def _renew(self) -> None:
        c = self.config
        self._actuator = Actuator(self._robot, ActuatorConfig(c.arbiter, c.gaze, c.safety))
        self._arbiter = self._actuator.arbiter
        if self._stop_reason is not None:
            self._arbiter.engage(self._stop_reason)
        self._playback = Playback(compensate=c.compensate, ensemble=c.ensemble, max_age_s=c.arbiter.max_age_s)
        self._idle.reset()
        self._partial.reset()
        self._last_tick_s = None
        self._last = NOTHING_YET
        self._origins.clear()

    def _on_joints(self, message: JointState) -> None:
        self._actuator.saw_joints(positions_from_message(message, self._robot), self.now_s())

    def _on_latency(self, message: Latency) -> None:
        self._playback.expect(servo_delay_s(message), seconds(message.header.stamp))

    def _on_chunk(self, message: ExpressionChunk) -> None:
        def command() -> Command:
            return self._playback.command(chunk_from_message(message), self.now_s())

        if self._offer("policy", message.header.stamp, command):
            self._playback.accepted()

    def _on_operator(self, message: OperatorFrame) -> None:
        frame = (message.values, message.valid, seconds(message.header.stamp))

        def command() -> Chunk:
            return Chunk(self._partial.complete(*frame)[None], frame[2], 1.0 / self.config.rate_hz, "teleop")

        if self._offer("teleop", message.header.stamp, command):
            self._partial.remember(*frame)

    def _offer(self, source: str, origin: Time, read: Callable[[], Command]) -> bool:
        now_s = self.now_s()
        try:
            try:
                command = read()
            except CommandRefused:
                self._arbiter.refuse()
                raise
            self._arbiter.offer(source, command, seconds(origin), now_s)
        except CommandRefused as error:
            self.health.count("refused")
            self.get_logger().warning(f"command refused: {error}", throttle_duration_sec=2.0)
            return False
        self._origins[source] = (origin, now_s)
        return True

    def _pass_time(self) -> None:
        if not self._arbiter.stopped:
            now_s = self.now_s()
            self._arbiter.offer("idle", self._idle.predict(Observation(now_s)), now_s, now_s)

    def _on_estop(self, request: EStop.Request, response: EStop.Response) -> EStop.Response:
        reason = request.reason or "asked over /fabg/estop"
        if request.action == EStop.Request.RESET:
            self._arbiter.reset(self.now_s())
            self._stop_reason = None
            response.message = "released; commands from before are forgotten"
        else:
            # Anything but a clear reset stops the robot.
            self._arbiter.engage(reason)
            self._stop_reason = reason
            response.message = "stopped; call again with action RESET to release"
        self._partial.reset()
        self._playback.forget()
        self.get_logger().warning(f"e-stop: {response.message} ({reason})")
        response.success, response.latched = True, self._arbiter.stopped
        if self.active:
            self._report()
        return response

    def _tick(self) -> None:
        began_s, period_s = time.monotonic(), 1.0 / self.config.rate_hz
        # A steady clock for durations: the ROS clock may be set.
        dt_s = period_s if self._last_tick_s is None else began_s - self._last_tick_s
        self._last_tick_s = began_s
        tick = self._last = self._actuator.tick(self.now_s(), max(dt_s, 1e-4))
        if tick.command is None:
            self.health.warn("silent", f"no commands: {tick.selection.reason or tick.selection.source}")
            return
        self.health.clear("silent")
        self._controller.send(tick.command.tolist())
        if tick.fresh and tick.selection.source in self._origins:
            self.finished(*self._origins[tick.selection.source])

    def _report(self) -> None:
        self.health.values["ahead_ms"] = f"{self._playback.time.ahead_s * 1e3:.0f}"
        now = self.get_clock().now()
        self._status.publish(status_to_message(self._last, self._arbiter, self._actuator.limit_hits, now))


def main() -> int:
    """Run the node."""
    return run(ActuationNode, light=True)


if __name__ == "__main__":
    sys.exit(main())
