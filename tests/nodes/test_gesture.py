"""The gesture node in a process of its own, fed with rendered hands."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import Face as FaceMessage
from fabg_msgs.msg import FaceArray, HandArray, Timing
from fabg_msgs.msg import Hand as HandMessage
from hri_msgs.msg import Gesture as BodyGesture
from hri_msgs.msg import IdsList
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from fabg.nodes.gesture import GestureNodeConfig
from fabg.paths import share_dir
from fabg.perception.pose import Camera
from fabg.perception.types import DepthSource, Face, Faces, Gesture, Hand, Hands, Roi, Side
from fabg.ros import hands as messages
from fabg.ros.convert import pose_to_message
from fabg.ros.image import ImageConverter, depth_to_message
from fabg.ros.params import entries
from fabg.social.avatar import Actor, HandPose, Person, Picture, Studio, facing, hand_at
from tests.conftest import wait_until

IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
FRAME = "camera_left_optical_frame"
HEAD = facing((0.05, -0.05, 0.9))


@pytest.fixture(scope="module")
def picture() -> Iterator[Picture]:
    """A raised right hand, palm to the camera."""
    hand = HandPose(Side.RIGHT, hand_at((-0.1, 0.0, 0.55)), "open")
    with Studio(Camera.from_fov(640, 480, 60.0)) as studio:
        yield studio.render([Actor(Person.random(1003), None, (hand,))])


class Feed:
    """Publishes one picture again and again, each time with a stamp of its own, with depth and a face."""

    def __init__(self, probe, picture: Picture) -> None:
        self._images = probe.publisher(Image, "/camera/left/image_raw", IMAGE_QOS)
        self._depths = probe.publisher(Image, "/camera/depth/image_raw", IMAGE_QOS)
        self._faces = probe.publisher(FaceArray, "/fabg/faces")
        self._picture = picture
        self._count = itertools.count(1)
        self.with_depth = self.with_face = True
        self.image: Image | None = None
        self.sent: list[tuple[int, int]] = []

    def send(self) -> None:
        total = next(self._count) * 40_000_000
        stamp = Time(sec=1000 + total // 10**9, nanosec=total % 10**9)
        if self.with_depth:
            self._depths.publish(depth_to_message(self._picture.depth, stamp, FRAME))
        if self.with_face:
            face = FaceMessage(id="f1", x=310.0, y=150.0, width=90.0, height=120.0, confidence=0.9)
            face.pose = pose_to_message(HEAD)
            faces = FaceArray(header=Header(stamp=stamp, frame_id=FRAME), image_width=640, image_height=480)
            faces.faces = [face]
            self._faces.publish(faces)
        message = self.image or ImageConverter().to_message(self._picture.image, stamp, FRAME)
        message.header.stamp = stamp
        self.sent.append((stamp.sec, stamp.nanosec))
        self._images.publish(message)

    def until(self, condition, what: str):
        def step():
            self.send()
            return condition()

        return wait_until(step, what)


@pytest.fixture
def feed(probe, node_process, picture):
    node_process("gesture", stale_after_s=0.5)
    return Feed(probe, picture)


def stamps(found) -> list[tuple[int, int]]:
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in found]


@pytest.mark.graph
def test_images_become_hands_with_the_stamps_of_the_images(probe, feed, picture):
    hands = probe.collect(HandArray, "/fabg/hands")
    bodies = probe.collect(IdsList, "/humans/bodies/tracked")
    words = probe.collect(BodyGesture, "/humans/bodies/bf1/gesture")
    timing = probe.collect(Timing, "/fabg/timing")
    transforms = probe.collect(TFMessage, "/tf", 100)

    def complete() -> bool:
        last = hands[-1].hands if hands else []
        measured = bool(last) and last[0].depth_source == HandMessage.DEPTH_SENSOR
        return measured and last[0].gesture == HandMessage.GESTURE_OPEN_PALM and bool(words and timing)

    feed.until(complete, "an open palm with a measured distance")
    assert set(stamps(hands)) <= set(feed.sent) and stamps(hands) == sorted(stamps(hands))
    (hand,) = hands[-1].hands
    assert hand.side == HandMessage.RIGHT and hand.person_id == "f1" and hand.extended
    assert hand.header == hands[-1].header and hand.header.frame_id == FRAME
    assert len(hand.landmarks_px) == 21 and len(hand.landmarks_m) == 21
    position = np.array([hand.position.x, hand.position.y, hand.position.z])
    truth = picture.hands[0].palm
    assert np.linalg.norm(position - truth) < 0.04 * np.linalg.norm(truth)
    assert (hand.direction.x, hand.direction.y, hand.direction.z) == (0.0, 0.0, 0.0)  # it does not point
    assert list(bodies[-1].ids) == ["bf1"]
    assert words[-1].gesture == BodyGesture.RIGHT_HAND_RAISED
    assert set(stamps(words)) <= set(feed.sent)
    assert {m.stage for m in timing} == {"gesture"} and set(stamps(timing)) <= set(feed.sent)
    (transform,) = next(m.transforms for m in reversed(transforms) if m.transforms)
    assert transform.child_frame_id == f"hand_{hand.id}" and transform.header.frame_id == FRAME
    assert (transform.header.stamp.sec, transform.header.stamp.nanosec) in feed.sent

    # Without depth and faces: a monocular distance and no owner.
    feed.with_depth = feed.with_face = False

    def alone() -> bool:
        last = hands[-1].hands
        return bool(last) and last[0].depth_source == HandMessage.DEPTH_MONOCULAR and not last[0].person_id

    feed.until(alone, "a hand without depth and owner")
    feed.until(lambda: not bodies[-1].ids, "no bodies")

    # A live parameter, one that is out of range, and one that may not change now.
    def set_parameter(name: str, value) -> bool:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return probe.call(SetParameters, "/gesture/set_parameters", request).results[0].successful

    assert set_parameter("hands.min_shape", 1.0)
    assert not set_parameter("hands.max_hands", 9)
    assert not set_parameter("publish_bodies", False)
    feed.until(lambda: hands[-1].hands and hands[-1].hands[0].gesture == 0, "no shape is that certain")
    assert hands[-1].hands[0].id == hand.id  # the tracks stay


@pytest.mark.graph
def test_bad_images_and_silence_are_told_and_survived(probe, feed):
    hands = probe.collect(HandArray, "/fabg/hands")
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    info = probe.publisher(CameraInfo, "/camera/left/camera_info", IMAGE_QOS)

    def values() -> dict[str, str]:
        found = [s for m in diagnostics for s in m.status if s.name == "fabg: gesture"]
        return {v.key: v.value for v in found[-1].values} if found else {}

    feed.until(lambda: hands and hands[-1].hands, "a hand")
    wait_until(
        lambda: any(
            "no usable image" in s.message and s.level == b"\x01"
            for m in diagnostics
            for s in m.status
            if s.name == "fabg: gesture"
        ),
        "a warning about the silence",
    )
    feed.image = Image(width=4, height=4, encoding="bayer_rggb16", step=8)
    feed.image.header.frame_id = FRAME
    feed.until(lambda: int(values().get("bad_images", "0")) >= 3, "bad images in the diagnostics")
    feed.image, feed.with_depth = None, False
    before = len(hands)
    feed.until(lambda: len(hands) > before and hands[-1].hands, "hands after bad images")
    near_m = hands[-1].hands[0].position.z
    calibration = CameraInfo(width=640, height=480)
    calibration.k = [2 * 554.26, 0.0, 319.5, 0.0, 2 * 554.26, 239.5, 0.0, 0.0, 1.0]
    info.publish(calibration)

    def twice_as_far() -> bool:
        info.publish(calibration)
        return bool(hands[-1].hands) and hands[-1].hands[0].position.z > 1.6 * near_m

    feed.until(twice_as_far, "the calibration to be taken over")


def test_the_parameter_file_shows_all_parameters_with_their_defaults():
    def flat(values: dict, prefix: str = "") -> dict:
        found: dict = {}
        for name, value in values.items():
            found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return found

    shown = flat(
        yaml.safe_load((share_dir() / "config" / "gesture.yaml").read_text())["/**"]["ros__parameters"]
    )
    assert shown.pop("autostart") is True
    assert shown == {entry.name: entry.default for entry in entries(GestureNodeConfig)}
    assert all(entry.hints.doc for entry in entries(GestureNodeConfig))


# Messages ----------------------------------------------------------------------------------------


def hand_of(side: Side, y: float, gesture: Gesture = Gesture.OPEN_PALM, person: str = "f1") -> Hand:
    return Hand(
        "h1", side, 0.9, np.zeros((21, 2)), np.ones((21, 3)), np.array([0.0, y, 0.6]), DepthSource.SENSOR,
        gesture, 0.8, None, False, person,
    )  # fmt: skip


FACES = Faces(
    0.0, (640, 480), (Face("f1", Roi(0, 0, 1, 1), 1.0, np.zeros((478, 3)), np.zeros(52), facing((0, 0, 1))),)
)


@pytest.mark.parametrize(
    ("hands", "word"),
    [
        ([hand_of(Side.LEFT, 0.1)], BodyGesture.LEFT_HAND_RAISED),
        ([hand_of(Side.RIGHT, -0.2)], BodyGesture.RIGHT_HAND_RAISED),
        ([hand_of(Side.LEFT, 0.1), hand_of(Side.RIGHT, 0.0)], BodyGesture.BOTH_HANDS_RAISED),
        ([hand_of(Side.LEFT, 0.1), hand_of(Side.RIGHT, 0.4)], BodyGesture.LEFT_HAND_RAISED),
        ([hand_of(Side.LEFT, 0.4, Gesture.WAVE)], BodyGesture.WAVING),
        ([hand_of(Side.LEFT, 0.1), hand_of(Side.RIGHT, 0.1, Gesture.WAVE)], BodyGesture.WAVING),
        ([hand_of(Side.LEFT, 0.3)], None),
    ],
)
def test_what_ros4hri_has_a_word_for(hands, word):
    found = messages.body_gestures(Hands(0.0, (640, 480), tuple(hands)), FACES)
    assert found == {"bf1": word}


def test_hands_of_nobody_belong_to_no_body():
    hands = Hands(0.0, (640, 480), (hand_of(Side.LEFT, 0.0, person=""),))
    assert messages.body_gestures(hands, FACES) == {}
    waving = Hands(0.0, (640, 480), (hand_of(Side.LEFT, 0.0, Gesture.WAVE, "gone"),))
    assert messages.body_gestures(waving, None) == {"bgone": BodyGesture.WAVING}


def test_the_numbers_of_the_message_are_those_of_the_core():
    for gesture in Gesture:
        assert getattr(HandMessage, f"GESTURE_{gesture.name}") == gesture
    for source in DepthSource:
        assert getattr(HandMessage, f"DEPTH_{source.name}") == source
    for side in Side:
        assert getattr(HandMessage, side.name) == side
