"""The policy node in a process of its own, fed with faces by the test."""

import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import ExpressionChunk, Face, FaceArray, Timing
from tf2_msgs.msg import TFMessage

from fabg import expression
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.ros.convert import chunk_from_message, pose_to_message, transform_to_message
from fabg.ros.time import seconds
from fabg.ros.transforms import STATIC
from tests.conftest import wait_until

pytestmark = pytest.mark.graph
CAMERA = "camera_left_optical_frame"
BASE_FROM_CAMERA = pose(OPTICAL_FROM_BODY.T, (0.1, 0.0, 0.1))


def face(*, id="a", y=0.0, **shapes):
    """A face 0.8 m ahead of the robot that looks at it."""
    in_base = pose(rotation_from_ypr(math.pi, 0, 0), (0.8, y, 0.1))
    message = Face(id=id, confidence=1.0, pose=pose_to_message(np.linalg.inv(BASE_FROM_CAMERA) @ in_base))
    message.blendshapes = expression.from_mapping(shapes)[:52].astype(np.float32)
    return message


class World:
    def __init__(self, probe):
        self.probe = probe
        self.chunks = probe.collect(ExpressionChunk, "/fabg/policy/command")
        self.timings = probe.collect(Timing, "/fabg/timing")
        self.diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        self.faces = probe.publisher(FaceArray, "/fabg/faces")
        self.sent = []

    def place_camera(self):
        mount = self.probe.publisher(TFMessage, "/tf_static", STATIC)
        at = self.probe.node.get_clock().now().to_msg()
        mount.publish(TFMessage(transforms=[transform_to_message("base_link", CAMERA, BASE_FROM_CAMERA, at)]))

    def show(self, *faces, age_s=0.0):
        message = FaceArray(image_width=640, image_height=480, faces=list(faces))
        now = self.probe.node.get_clock().now().nanoseconds - int(age_s * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        message.header.frame_id = CAMERA
        self.faces.publish(message)
        self.sent.append(seconds(message.header.stamp))

    def counted(self, name):
        for message in reversed(self.diagnostics):
            if "policy" in message.status[0].name:
                return int({v.key: v.value for v in message.status[0].values}.get(name, "0"))
        return 0


@pytest.fixture
def world(probe, node_process):
    node_process("policy")
    return World(probe)


def test_it_answers_a_face_with_an_expression_of_the_same_stamp(world):
    world.place_camera()

    def answered():
        world.show(face(y=0.2, mouthSmileLeft=0.8))
        return world.chunks

    wait_until(answered, "a chunk")
    chunk = chunk_from_message(world.chunks[-1])
    assert seconds(world.chunks[-1].header.stamp) in world.sent
    values = dict(zip(expression.NAMES, chunk.values[0], strict=True))
    assert values["mouthSmileRight"] > 0.5 > values["mouthSmileLeft"], "as in a mirror"
    assert values["headYaw"] > 0.05, "turned towards the person on the left"
    wait_until(lambda: any(t.stage == "policy" for t in world.timings), "a timing")


def test_old_faces_are_not_answered(world):
    world.place_camera()

    def counted():
        # A node that is not active yet hears nothing.
        world.show(face(), age_s=3.0)
        return world.counted("stale")

    wait_until(counted, "the count of stale faces")
    assert world.chunks == []


def test_nobody_there_is_nothing_to_do(world):
    world.place_camera()

    def counted():
        world.show()
        return world.counted("nothing_to_do")

    wait_until(counted, "the count")
    assert world.chunks == []


def test_without_the_cameras_place_it_says_so_and_works_once_it_is_known(world):
    def complained():
        world.show(face())
        return world.counted("exceptions")

    wait_until(complained, "the exception in the diagnostics")
    text = next(m.status[0].message for m in reversed(world.diagnostics) if "policy" in m.status[0].name)
    assert CAMERA in text
    world.place_camera()

    def answered():
        world.show(face())
        return world.chunks

    wait_until(answered, "a chunk")


def test_nan_in_a_face_is_refused(world):
    world.place_camera()
    bad = face()
    bad.blendshapes[3] = math.nan

    def refused():
        world.show(bad)
        return world.counted("exceptions")

    wait_until(refused, "the refusal")
    assert world.chunks == []
