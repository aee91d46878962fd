"""All of perception in real processes: stamps from the camera to the last consumer, and each part alone."""

import os

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import EmotionArray, FaceArray, GazeArray, HandArray
from hri_msgs.msg import EngagementLevel, Expression, IdsList
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from fabg.ros.bringup import Graph
from fabg.ros.node import NEWEST_ONLY
from fabg.ros.time import seconds
from tests.conftest import wait_until

pytestmark = pytest.mark.graph


def _graph(only, lines, **overrides):
    return Graph(
        only=only,
        overrides={"camera": {"source": "clip", "loop": True}} | overrides,
        environment={"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]},
        on_line=lambda name, line: lines.append(f"[{name}] {line}"),
        on_event=lambda name, text: lines.append(f"[{name}] {text}"),
    )


def _stamps(messages):
    return [seconds(message.header.stamp) for message in messages]


def test_stamps_travel_unchanged_from_the_camera_to_the_last_consumer(probe):
    lines = []
    outputs = {
        "image": probe.collect(CameraInfo, "/camera/left/camera_info", NEWEST_ONLY),
        "faces": probe.collect(FaceArray, "/fabg/faces"),
        "gaze": probe.collect(GazeArray, "/fabg/gaze"),
        "emotion": probe.collect(EmotionArray, "/fabg/emotions"),
        "hands": probe.collect(HandArray, "/fabg/hands"),
    }
    frames = probe.collect(TFMessage, "/tf", 100)
    nodes = ["camera", "face", "gaze", "emotion", "gesture"]
    with _graph(nodes, lines, emotion={"purpose": "research"}) as graph:

        def everywhere():
            assert graph.supervisor.poll() == [], lines[-20:]
            return set.intersection(*(set(_stamps(messages)) for messages in outputs.values()))

        wait_until(
            lambda: len(everywhere()) > 15, f"images that can be followed everywhere {lines[-5:]}", 60.0
        )
        faces = next(m for m in reversed(outputs["faces"]) if m.faces)
        gaze = next(m for m in reversed(outputs["gaze"]) if m.gazes)
        assert {g.face_id for g in gaze.gazes} == {f.id for f in faces.faces}
        assert gaze.header.frame_id == faces.header.frame_id
        face = faces.faces[0]
        expression = probe.collect(Expression, f"/humans/faces/{face.id}/expression")
        wait_until(lambda: len(expression) > 5, "expressions")
        assert set(_stamps(expression)) <= set(_stamps(outputs["faces"]))
    for name, messages in outputs.items():
        stamps = _stamps(messages)
        assert stamps == sorted(stamps), name
        if name not in ("image", "faces"):
            source = "image" if name == "hands" else "faces"
            # The probe itself may lose messages of the source on a busy machine; most must have met theirs.
            assert len(set(stamps) - set(_stamps(outputs[source]))) <= 0.5 * len(stamps), name
    gaze_frames = [t for m in frames for t in m.transforms if t.child_frame_id.startswith("gaze_")]
    assert gaze_frames
    assert {seconds(t.header.stamp) for t in gaze_frames} & set(_stamps(outputs["faces"]))


def test_gaze_alone_tells_who_is_engaged(probe):
    lines = []
    people = probe.collect(IdsList, "/humans/persons/tracked")
    with _graph(["camera", "face", "gaze"], lines):
        wait_until(lambda: any(m.ids for m in people), f"a person {lines[-5:]}")
        person = next(m.ids[0] for m in people if m.ids)
        levels = probe.collect(EngagementLevel, f"/humans/persons/{person}/engagement_status")
        wait_until(lambda: levels, "an engagement level")
    assert all(0 <= level.level <= 4 for level in levels)


@pytest.mark.parametrize("name", ["gaze", "emotion", "gesture", "depth"])
def test_every_part_reports_its_health_while_nothing_comes(probe, name):
    """Started alone, a part lives, says that its input is missing, and ends cleanly."""
    lines = []
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics", 50)
    extra = {"emotion": {"purpose": "research"}} if name == "emotion" else {}
    with _graph([name], lines, **extra) as graph:

        def warned():
            assert graph.supervisor.poll() == [], lines[-20:]
            found = [s for m in diagnostics for s in m.status if s.name == f"fabg: {name}"]
            return [s for s in found if s.level != b"\x00" and s.message]

        wait_until(warned, f"a warning of {name} {lines[-5:]}")


def test_emotion_for_a_forbidden_purpose_does_not_start(probe):
    lines = []
    with _graph(["emotion"], lines, emotion={"purpose": "workplace"}) as graph:
        failed = wait_until(graph.supervisor.poll, f"the refusal {lines[-5:]}")
    assert failed[0].status == 2
    assert any("workplace" in line for line in lines)
