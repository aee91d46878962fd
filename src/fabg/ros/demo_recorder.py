"""Watches the whole graph and keeps what the demonstration's report needs."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import ActuationStatus, ExpressionChunk, FaceArray, GazeArray, HandArray, Latency, Timing
from hri_msgs.msg import FacialLandmarks
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from std_msgs.msg import Bool, Float64MultiArray
from tf2_msgs.msg import TFMessage

from fabg.errors import EnvironmentProblem, FabgError
from fabg.perception.pose import Camera
from fabg.perception.types import Gesture
from fabg.recording import Answer, Recording, SeenFace, SeenHand, Sight, StageTiming, Status
from fabg.robot.model import BASE_LINK, load_robot
from fabg.ros.actuation import FORWARD_TOPIC
from fabg.ros.bringup import middleware_environment
from fabg.ros.convert import pose_from_message, transform_from_message
from fabg.ros.humans import topic_of
from fabg.ros.joints import positions_from_message
from fabg.ros.node import LATCHED, NEWEST_ONLY
from fabg.ros.time import seconds
from fabg.ros.transforms import STATIC

_MANY = QoSProfile(depth=200)
SENSES = {"gaze": "/fabg/gaze", "gesture": "/fabg/hands"}
"""Nodes that a policy may see through beside faces, and where they publish."""
_STATES = {
    getattr(ActuationStatus, name): name.lower()
    for name in ("NEUTRAL", "FOLLOWING", "HOLDING", "RETURNING", "STOPPED", "WAITING")
}


@dataclass(frozen=True)
class Progress:
    """What to show while it runs."""

    images: int
    fps: float
    faces: int
    state: str
    p95_ms: float | None


class DemoRecorder:
    """A node in this process that fills a `Recording`; use as a context manager.

    Parameters
    ----------
    recording
        Receives everything.
    domain_id
        ROS domain of the graph.
    senses
        Those of `SENSES` that the graph has.
    """

    def __init__(self, recording: Recording, *, domain_id: int, senses: Sequence[str] = ()) -> None:
        os.environ.update(middleware_environment())
        self.recording = recording
        self._senses = senses
        self._robot = load_robot()
        self._context = rclpy.Context()
        # The caller handles Ctrl-C; the middleware must not end before the nodes have.
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("demo_recorder", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._followed: set[str] = set()
        self._arrivals: deque[float] = deque(maxlen=50)
        self._p95_ms: float | None = None
        self.failure: Exception | None = None
        self.ended = threading.Event()
        """Set when the camera has said that its source is over."""
        self.last_image_s = time.monotonic()
        """Steady time of the last image."""
        self._subscribe()

    def __enter__(self) -> DemoRecorder:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and leave the middleware."""
        self._stopping.set()
        self._thread.join(timeout=5.0)
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()
        self.recording.images.close()

    # What the demonstration asks -----------------------------------------------------------------

    def missing(self) -> list[str]:
        """Return what the graph still lacks before the camera may begin."""
        node = self._node
        needs = {
            "face": node.count_publishers("/fabg/faces") > 0,
            "policy": node.count_publishers("/fabg/policy/command") > 0,
            "actuation": bool(self.recording.status),
            "robot_sim": bool(self.recording.joints),
            "camera": self._change.service_is_ready(),
        } | {name: node.count_publishers(SENSES[name]) > 0 for name in self._senses}
        return [name for name, there in needs.items() if not there]

    def start_camera(self, timeout_s: float = 20.0) -> None:
        """Configure the camera node, wait until it is connected, and activate it.

        Raises
        ------
        EnvironmentProblem
            When the node refuses or does not answer.
        """
        self._transition(Transition.TRANSITION_CONFIGURE, "configured", timeout_s)
        deadline = time.monotonic() + timeout_s
        while self._jpegs.get_publisher_count() == 0 and time.monotonic() < deadline:
            self._stopping.wait(0.02)
        self.last_image_s = time.monotonic()
        self._transition(Transition.TRANSITION_ACTIVATE, "activated", timeout_s)

    def progress(self) -> Progress:
        """Return what to show."""
        r, arrivals = self.recording, list(self._arrivals)
        span = arrivals[-1] - arrivals[0] if len(arrivals) > 1 else 0.0
        fps = (len(arrivals) - 1) / span if span > 0 else 0.0
        faces = len(r.sights[-1].faces) if r.sights else 0
        return Progress(len(r.image_stamps), fps, faces, r.status[-1].state if r.status else "", self._p95_ms)

    def _transition(self, which: int, done: str, timeout_s: float) -> None:
        request = ChangeState.Request()
        request.transition.id = which
        future = self._change.call_async(request)
        finished = threading.Event()
        future.add_done_callback(lambda _: finished.set())
        if not finished.wait(timeout_s):
            raise EnvironmentProblem(
                f"the camera node was not {done} within {timeout_s:.0f} s: is the machine overloaded?"
            )
        answer = future.result()
        if answer is None or not answer.success:
            raise EnvironmentProblem(f"the camera node could not be {done}")

    # Listening -----------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        left = "/camera/left"
        self._jpegs = self._listen(CompressedImage, f"{left}/image_raw/compressed", self._on_jpeg, _MANY)
        self._listen(CameraInfo, f"{left}/camera_info", self._on_camera_info, NEWEST_ONLY)
        self._listen(Bool, "/camera/ended", lambda m: self.ended.set() if m.data else None, LATCHED)
        self._listen(TFMessage, "/tf_static", self._on_static, STATIC)
        self._listen(FaceArray, "/fabg/faces", self._on_faces, _MANY)
        self._listen(GazeArray, SENSES["gaze"], self._on_gaze, _MANY)
        self._listen(HandArray, SENSES["gesture"], self._on_hands, _MANY)
        self._listen(JointState, "/joint_states", self._on_joints, _MANY)
        self._listen(ExpressionChunk, "/fabg/policy/command", self._on_chunk, _MANY)
        self._listen(Float64MultiArray, FORWARD_TOPIC, self._on_command, _MANY)
        self._listen(ActuationStatus, "/fabg/actuation/status", self._on_status, _MANY)
        self._listen(Timing, "/fabg/timing", self._on_timing, QoSProfile(depth=1000))
        self._listen(Latency, "/fabg/latency", self._on_latency, _MANY)
        self._listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, _MANY)
        self._change: Any = self._node.create_client(ChangeState, "/camera/change_state")

    def _listen(self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile) -> Any:
        def guarded(message: Any) -> None:
            try:
                callback(message)
            except FabgError as error:  # one bad message must not end the recording
                self._warn(f"{topic}: {error}")

        return self._node.create_subscription(kind, topic, guarded, qos)

    def _warn(self, text: str) -> None:
        if text not in self.recording.warnings:
            self.recording.warnings.append(text)

    def _spin(self) -> None:
        try:
            while not self._stopping.is_set():
                self._executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            pass
        except Exception as error:  # told to the main thread, which ends the run
            self.failure = error

    def _on_jpeg(self, message: CompressedImage) -> None:
        self.recording.images.append(bytes(message.data))
        self.recording.image_stamps.append(seconds(message.header.stamp))
        self.last_image_s = time.monotonic()
        self._arrivals.append(self.last_image_s)

    def _on_camera_info(self, message: CameraInfo) -> None:
        if self.recording.camera is None and message.k[0] > 0:
            k = message.k
            self.recording.camera = Camera(k[0], k[4], k[2], k[5])

    def _on_static(self, message: TFMessage) -> None:
        for transform in message.transforms:
            parent, child, matrix, _ = transform_from_message(transform)
            if (parent, child) == (BASE_LINK, "camera_left_optical_frame"):
                self.recording.base_from_camera = matrix

    def _on_faces(self, message: FaceArray) -> None:
        faces = []
        for face in message.faces:
            if face.id not in self._followed:
                self._followed.add(face.id)
                self._follow(face.id)
            faces.append(
                SeenFace(
                    face.id,
                    (face.x, face.y, face.width, face.height),
                    np.asarray(face.blendshapes, dtype=np.float64),
                    pose_from_message(face.pose),
                )
            )
        self.recording.sights.append(Sight(seconds(message.header.stamp), tuple(faces)))

    def _follow(self, face_id: str) -> None:
        def keep(message: FacialLandmarks) -> None:
            points = np.array([(p.x, p.y) for p in message.landmarks], dtype=np.float32)
            self.recording.landmarks[seconds(message.header.stamp), face_id] = points

        self._listen(FacialLandmarks, topic_of(face_id, "landmarks"), keep, _MANY)

    def _on_gaze(self, message: GazeArray) -> None:
        for gaze in message.gazes:
            d = gaze.direction
            self.recording.gazes[seconds(message.header.stamp), gaze.face_id] = np.array([d.x, d.y, d.z])

    def _on_hands(self, message: HandArray) -> None:
        self.recording.hands[seconds(message.header.stamp)] = tuple(
            SeenHand(
                np.array([(p.x, p.y) for p in hand.landmarks_px], dtype=np.float64),
                Gesture(hand.gesture).name.lower().replace("_", " "),
            )
            for hand in message.hands
            if hand.landmarks_px
        )

    def _on_joints(self, message: JointState) -> None:
        positions = positions_from_message(message, self._robot)
        self.recording.joint_stamps.append(seconds(message.header.stamp))
        self.recording.joints.append(positions)

    def _on_chunk(self, message: ExpressionChunk) -> None:
        self.recording.answers.append(Answer(seconds(message.header.stamp), message.source, self._now_s()))

    def _on_command(self, message: Float64MultiArray) -> None:
        self.recording.command_stamps.append(self._now_s())
        self.recording.commands.append(self._robot.checked(message.data, "servo command"))

    def _now_s(self) -> float:
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    def _on_status(self, message: ActuationStatus) -> None:
        self.recording.status.append(
            Status(
                seconds(message.header.stamp),
                _STATES.get(message.state, "unknown"),
                message.source,
                message.accepted,
                message.refused,
                message.stale,
                message.limit_hits,
                tuple(message.limited_joints),
            )
        )

    def _on_timing(self, message: Timing) -> None:
        self.recording.timings.append(
            StageTiming(
                message.stage,
                seconds(message.header.stamp),
                seconds(message.received),
                seconds(message.finished),
            )
        )

    def _on_latency(self, message: Latency) -> None:
        for stage in message.stages:
            if stage.stage == "actuation":
                self._p95_ms = stage.age_p95_ms

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.removeprefix("fabg: ")
            level = int.from_bytes(status.level, "little")
            values = {v.key: v.value for v in status.values}
            self.recording.diagnostics[name] = (level, status.message, values)
            if name == "policy" and "does not work" in status.message and not self.recording.trouble:
                self.recording.trouble = status.message
            if name == "camera" and level > 0:
                self._warn(f"camera: {status.message}")
