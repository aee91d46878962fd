"""The policy node in a process of its own, fed with faces, gazes and hands by the test."""

import math
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import ExpressionChunk, Face, FaceArray, FaceGaze, GazeArray, Hand, HandArray, Timing
from geometry_msgs.msg import Point, Point32, Vector3
from tf2_msgs.msg import TFMessage

from fabg import expression
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.nodes.policy import PolicyNodeConfig
from fabg.paths import share_dir
from fabg.ros.bringup import NodeSpec
from fabg.ros.convert import chunk_from_message, pose_to_message, transform_to_message
from fabg.ros.params import flattened
from fabg.ros.time import seconds
from fabg.ros.transforms import STATIC
from tests.conftest import wait_until
from tests.nodes.odd_policy import GAZE, PALM, TIP

pytestmark = pytest.mark.graph
CAMERA = "camera_left_optical_frame"
BASE_FROM_CAMERA = pose(OPTICAL_FROM_BODY.T, (0.1, 0.0, 0.1))
PERIOD_S = 0.04
QUICK = {"fallback.retry_s": 0.2, "fallback.retry_most_s": 0.4, "fallback.good": 2, "fallback.blend_s": 0.0}


def face(*, id="a", y=0.0, **shapes):
    """A face 0.8 m ahead of the robot that looks at it."""
    in_base = pose(rotation_from_ypr(math.pi, 0, 0), (0.8, y, 0.1))
    message = Face(id=id, confidence=1.0, pose=pose_to_message(np.linalg.inv(BASE_FROM_CAMERA) @ in_base))
    message.blendshapes = expression.from_mapping(shapes)[:52].astype(np.float32)
    return message


class World:
    def __init__(self, probe):
        self.probe = probe
        self.chunks = probe.collect(ExpressionChunk, "/fabg/policy/command", 100)
        self.timings = probe.collect(Timing, "/fabg/timing")
        self.diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
        self.faces = probe.publisher(FaceArray, "/fabg/faces")
        self.sent = []
        self._next_s = 0.0

    def place_camera(self):
        mount = self.probe.publisher(TFMessage, "/tf_static", STATIC)
        at = self.probe.node.get_clock().now().to_msg()
        mount.publish(TFMessage(transforms=[transform_to_message("base_link", CAMERA, BASE_FROM_CAMERA, at)]))

    def show(self, *faces, age_s=0.0):
        """Publish faces, as often as asked; return their header."""
        message = FaceArray(image_width=640, image_height=480, faces=list(faces))
        now = self.probe.node.get_clock().now().nanoseconds - int(age_s * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        message.header.frame_id = CAMERA
        self.faces.publish(message)
        self.sent.append(seconds(message.header.stamp))
        return message.header

    def until(self, condition, what, *faces):
        """Show faces at 25 images a second until `condition` holds."""

        def step():
            if time.monotonic() >= self._next_s:
                self._next_s = time.monotonic() + PERIOD_S
                self.show(*faces)
            return condition()

        return wait_until(step, what)

    def status(self):
        """The newest diagnostics of the node, (level, text, values)."""
        for message in reversed(self.diagnostics):
            status = message.status[0]
            if status.name == "fabg: policy":
                return status.level[0], status.message, {v.key: v.value for v in status.values}
        return 0, "", {}

    def counted(self, name):
        return int(self.status()[2].get(name, "0"))

    def answers(self, source, count=5):
        """Return a condition: the last `count` chunks are from `source`."""
        return lambda: len(self.chunks) >= count and {c.source for c in self.chunks[-count:]} == {source}


@pytest.fixture
def world(probe, node_process):
    node_process("policy", policy="mirror")
    return World(probe)


@pytest.fixture
def odd(probe, node_process, monkeypatch):
    """Start the node with a policy that the test's faces command."""
    monkeypatch.setattr(NodeSpec, "module", "tests.nodes.odd_policy")

    def start(**parameters):
        process = node_process("policy", **(QUICK | parameters))
        made = World(probe)
        made.place_camera()
        return process, made

    return start


def test_it_answers_a_face_with_an_expression_of_the_same_stamp(world):
    world.place_camera()

    def answered():
        world.show(face(y=0.2, mouthSmileLeft=0.8))
        return world.chunks

    wait_until(answered, "a chunk")
    chunk = chunk_from_message(world.chunks[-1])
    assert seconds(world.chunks[-1].header.stamp) in world.sent
    assert chunk.t0_s == seconds(world.chunks[-1].header.stamp) and chunk.source == "mirror"
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
    assert CAMERA in world.status()[1] or CAMERA in world.status()[2]["last_exception"]
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
        return "holds NaN" in world.status()[2].get("last_exception", "")

    wait_until(refused, "the refusal")
    assert world.chunks == []


def test_without_faces_it_is_silent_and_says_so_until_they_are_back(world):
    world.place_camera()
    world.until(world.answers("mirror"), "answers", face())

    def told():
        level, text, values = world.status()
        return level == 1 and "no usable faces" in text and values["answers"] == "nobody"

    wait_until(told, "the news that nobody answers")
    answered = len(world.chunks)
    reports = len(world.diagnostics)
    wait_until(lambda: len(world.diagnostics) > reports + 1, "further reports")
    assert len(world.chunks) == answered
    world.until(lambda: world.status()[0] == 0 and world.answers("mirror")(), "health", face())
    assert world.status()[2]["answers"] == "mirror"


def test_a_missing_model_leaves_the_robot_to_the_mirror_and_says_which_is_missing(
    probe, node_process, tmp_path
):
    missing = tmp_path / "no_such.onnx"
    node_process("policy", model=str(missing))
    world = World(probe)
    world.place_camera()
    world.until(world.answers("mirror"), "answers of the mirror", face(mouthSmileLeft=0.8))
    told = world.until(lambda: "learnt" in world.status()[1] and world.status(), "the trouble", face())
    assert told[0] == 1 and "learnt does not work: " in told[1] and str(missing) in told[1]
    assert told[2]["answers"] == "mirror"


def test_a_model_that_comes_later_takes_over(odd, tmp_path):
    model = tmp_path / "later.onnx"
    _, world = odd(model=str(model))
    world.until(world.answers("mirror"), "answers of the mirror", face())
    world.until(lambda: str(model) in world.status()[1], "the reason", face())
    model.touch()
    world.until(world.answers("learnt"), "answers of the model", face())
    world.until(lambda: world.status()[0] == 0, "health", face())


@pytest.mark.parametrize(
    "mood, said", [("raise", "a tensor is missing"), ("nan", "NaN"), ("slow", "no answer within 100 ms")]
)
def test_when_the_model_fails_the_mirror_answers_until_it_works_again(odd, mood, said):
    _, world = odd()
    world.until(world.answers("learnt"), "answers of the model", face(id="good"))
    world.until(world.answers("mirror"), "answers of the mirror", face(id=mood))
    bad = next(i for i, c in enumerate(world.chunks) if c.source == "mirror")
    assert all(np.isfinite(c.values).all() for c in world.chunks[bad:])

    def told():
        level, text, values = world.status()
        return level == 1 and "learnt does not work" in text and values["answers"] == "mirror" and text

    text = world.until(told, "the warning", face(id=mood))
    # A model that is tried again while it still thinks says so.
    assert said in text or (mood == "slow" and "still busy" in text)
    world.until(world.answers("learnt"), "answers of the model again", face(id="good"))
    world.until(lambda: world.status()[0] == 0, "health", face(id="good"))
    assert world.status()[2]["answers"] == "learnt"


def test_a_model_that_hangs_for_ever_stops_neither_the_mirror_nor_the_end_of_the_node(odd):
    process, world = odd()
    world.until(world.answers("learnt"), "answers of the model", face(id="good"))
    world.until(world.answers("mirror", 20), "answers of the mirror", face(id="hang"))
    world.until(lambda: "still busy" in world.status()[1], "the warning", face(id="hang"))
    process.send_signal(signal.SIGINT)
    assert process.wait(20.0) == 0


def test_one_inference_at_a_time_and_older_faces_are_dropped(odd):
    _, world = odd(max_predict_s=10.0)
    slow = face(id="slow")
    world.until(lambda: len(world.chunks) > 5 and world.counted("dropped") > 10, "drops", slow)
    stamps = [seconds(c.header.stamp) for c in world.chunks]
    assert stamps == sorted(set(stamps)) and set(stamps) <= set(world.sent)
    assert {c.source for c in world.chunks} == {"learnt"}
    # Images come while the policy thinks: it goes on with the newest, not with the next.
    assert np.diff([world.sent.index(s) for s in stamps]).max() > 1


def test_gaze_and_hands_of_the_same_image_reach_the_policy(odd):
    """They come behind their faces, as from nodes of their own; what is sent back is what was seen."""
    _, world = odd(wait_s=0.5, max_predict_s=10.0)
    gazes = world.probe.publisher(GazeArray, "/fabg/gaze")
    hands = world.probe.publisher(HandArray, "/fabg/hands")
    begun_s = time.monotonic()
    said = {}

    def image():
        """Faces, then gaze and hands that change with each image, and a hand whose place is not known."""
        header = world.show(face(id="good"))
        k = len(world.sent) % 100 / 100.0
        gaze = FaceGaze(face_id="good", direction=Vector3(x=0.6 * k, y=0.0, z=-0.8))
        hand = Hand(id="h", person_id="good", side=1, gesture=5, extended=True, depth_source=3)
        hand.landmarks_m = [Point32(x=0.1 * i, y=k, z=0.5) for i in range(21)]
        hand.position = Point(x=k, y=0.2, z=0.4)
        gazes.publish(GazeArray(header=header, gazes=[gaze]))
        hands.publish(HandArray(header=header, hands=[Hand(id="flat", depth_source=0), hand]))
        said[seconds(header.stamp)] = k

    def wanted(k):
        """What the same is in the base frame, in which the camera looks along x, its x being -y and its y -z."""
        gaze = (-0.8, -0.6 * k, 0.0)
        tip = (0.1 + 0.5, -0.8, 0.1 - k)
        palm = (0.1 + 0.4, -k, 0.1 - 0.2)
        return gaze, tip, palm

    def agree():
        if time.monotonic() - begun_s > 0.04 * len(world.sent):
            image()
        same = 0
        for message in world.chunks:
            values = np.array(message.values[:61])
            expected = wanted(said[seconds(message.header.stamp)])
            same += all(
                np.allclose(values[where], what, atol=1e-5)
                for where, what in zip((GAZE, TIP, PALM), expected, strict=True)
            )
        return same > 10

    wait_until(agree, "answers to gaze and hands of the same image")
    wait_until(
        lambda: (image(), threading.Event().wait(0.04), "gaze" in world.status()[2])[-1], "diagnostics"
    )
    # Before the camera's place is known there is one to be heard of, and no other.
    assert "no transform" in world.status()[2].get("last_exception", "no transform")


def test_a_bad_hand_is_refused_and_the_faces_are_answered(odd):
    _, world = odd(max_predict_s=10.0)
    hands = world.probe.publisher(HandArray, "/fabg/hands")

    def refused():
        header = world.show(face(id="good"))
        hand = Hand(id="h", depth_source=3, landmarks_m=[Point32(x=math.nan)] * 21)
        hands.publish(HandArray(header=header, hands=[hand]))
        return "hand 'h' holds NaN" in world.status()[2].get("last_exception", "") and world.chunks

    wait_until(refused, "the refusal, and answers")
    assert {c.source for c in world.chunks} == {"learnt"}
    assert not np.array(world.chunks[-1].values).any()


def test_the_parameter_file_shows_the_defaults():
    text = (Path(share_dir()) / "config" / "policy.yaml").read_text()
    flat = {}
    for name, value in yaml.safe_load(text)["/**"]["ros__parameters"].items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    assert flat.pop("autostart") is True
    assert flat == flattened(PolicyNodeConfig())
