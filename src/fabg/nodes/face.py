"""Images in, faces out: ROS4HRI topics, head poses in TF, and all faces of an image as one message."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

from fabg_msgs.msg import FaceArray
from hri_msgs.msg import IdsList
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from fabg.errors import InputError
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.types import Faces, Frame
from fabg.ros import humans
from fabg.ros.camera import CameraInput, start_letters
from fabg.ros.depth import DepthInput
from fabg.ros.image import ImageConverter
from fabg.ros.node import LATCHED, NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param
from fabg.ros.time import seconds
from fabg.ros.transforms import DYNAMIC

_Core = FaceTrackerConfig
_FUTURE_S = 0.1
"""Clocks of two machines may differ by this much before it is worth a warning."""


def _live(default: Any, doc: str, low: float | None = None, high: float | None = None) -> Any:
    return param(default, doc, low=low, high=high, live=True)


@dataclass(frozen=True, kw_only=True)
class FaceNodeConfig:
    """Parameters of the face node; most are those of `fabg.perception.face.FaceTrackerConfig`."""

    max_faces: int = _live(_Core.max_faces, "how many faces are followed at once", 1, 10)
    detect_every: int = _live(_Core.detect_every, "images between two looks at the whole image", 1, 10_000)
    keep_lost_s: float = _live(_Core.keep_lost_s, "how long a hidden face keeps its place, s", 0.0, 60.0)
    recognise: bool = _live(_Core.recognise, "whether appearance tells people apart and knows them again")
    remember_s: float = _live(_Core.remember_s, "how long who has left is remembered, s", 0.0, 3600.0)
    detection_score: float = _live(_Core.detection_score, "lowest detector score of a face", 0.05, 1.0)
    detection_side_px: int = _live(
        _Core.detection_side_px, "longer side of the image for the detector, px", 64, 8192
    )
    min_face_px: float = _live(_Core.min_face_px, "smaller faces are not read, px", 1.0, 4096.0)
    crop_scale: float = _live(
        _Core.crop_scale, "side of the landmarker's crop relative to the face", 1.1, 4.0
    )
    max_crop_px: int = _live(_Core.max_crop_px, "larger crops are reduced to this side, px", 64, 4096)
    horizontal_fov_deg: float = _live(
        _Core.horizontal_fov_deg, "field of view while no camera_info has come, degrees", 1.0, 179.0
    )
    threads: int = param(_Core.threads, "threads of OpenCV; 0 leaves its setting alone", low=0, high=256)
    id_prefix: str = param("", "first letters of every id; empty: letters that differ at each start")
    stale_after_s: float = _live(1.0, "without an image for this long nobody is tracked, s", 0.1, 60.0)

    def __post_init__(self) -> None:
        self.tracker()

    def tracker(self, prefix: str = _Core.id_prefix) -> FaceTrackerConfig:
        """Return the core's part, checked; `prefix` stands in for an empty ``id_prefix``."""
        values = {f.name: getattr(self, f.name) for f in fields(FaceTrackerConfig)}
        return FaceTrackerConfig(**values | {"id_prefix": self.id_prefix or prefix})


class FaceNode(FabgNode[FaceNodeConfig]):
    """Follows the faces in the left camera's images."""

    stage = "face"

    def __init__(self, **options: Any) -> None:
        super().__init__("face", FaceNodeConfig, **options)
        self._open = ExitStack()

    def setup(self) -> None:
        """Load the models and join the graph."""
        self._prefix = "f" + start_letters(time.time())
        self._tracker = self._open.enter_context(FaceTracker(self.config.tracker(self._prefix)))
        self._converter = ImageConverter()
        self._camera = CameraInput(self)
        self._depth = DepthInput(self)
        self._topics = humans.FaceTopics(self, self._converter)
        self._open.callback(self._topics.keep, ())
        self._last_image_s = time.monotonic()
        self._stale = False
        self._tracked = self.publisher(IdsList, "/humans/faces/tracked", LATCHED)
        self._all = self.publisher(FaceArray, "/fabg/faces")
        self._tf = self.publisher(TFMessage, "/tf", DYNAMIC)
        self.subscribe(Image, "/camera/left/image_raw", self._on_image, NEWEST_ONLY)
        self.every(0.1, self._watch, "watch")

    def start(self) -> None:
        """Count the silence from here."""
        self._last_image_s = time.monotonic()

    def teardown(self) -> None:
        """Free the models and the publishers of every face."""
        self._open.close()

    def on_parameters(self, config: FaceNodeConfig) -> None:
        """Hand new values to the tracker; tracks and ids stay."""
        self._tracker.configure(config.tracker(self._prefix))

    def _on_image(self, message: Image) -> None:
        received_s = self.now_s()
        header = message.header
        try:
            stamp_s, size = seconds(header.stamp), (message.width, message.height)
            depth = self._depth.at(stamp_s, size=size)
            frame = Frame(self._converter.to_rgb(message), stamp_s, depth)
            self._tracker.camera = self._camera.at(message.width)
            faces = self._tracker.update(frame)
        except InputError as error:
            self.health.count("bad_images")
            self.report_exception("image", error)
            return
        self._last_image_s = time.monotonic()
        self._publish(faces, frame, header)
        self.health.count("images")
        self.health.values["faces"] = str(len(faces.faces))
        self.health.values["detector_runs"] = str(self._tracker.detector_runs)
        self.health.values["embedding_runs"] = str(self._tracker.embedding_runs)
        self._explain(stamp_s - received_s)
        self.finished(header.stamp, received_s)

    def _explain(self, ahead_s: float) -> None:
        """Say in the diagnostics what is odd about the last image."""
        trouble = list(self._tracker.trouble)
        if ahead_s > _FUTURE_S:
            trouble.append(f"stamp lies {ahead_s:.1f} s in the future")
        if trouble:
            self.health.warn("image", "; ".join(trouble))
        else:
            self.health.clear("image")

    def _publish(self, faces: Faces, frame: Frame, header: Header) -> None:
        # The graph waits for this one; all else follows.
        self._all.publish(humans.faces_message(faces, header))
        if header.frame_id:
            self._tf.publish(
                TFMessage(transforms=[humans.face_transform(face, header) for face in faces.faces])
            )
            self.health.clear("frame")
        else:
            self.health.warn("frame", "images without frame_id: face poses cannot be placed in TF")
        self._tracked.publish(humans.tracked_message((face.id for face in faces.faces), header))
        self._topics.keep(self._tracker.ids)
        self._topics.publish(faces, frame, header)

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_image_s
        stale = silence_s > self.config.stale_after_s
        if stale:
            self.health.warn("images", f"no usable image on /camera/left/image_raw for {silence_s:.1f} s")
        else:
            self.health.clear("images")
        if stale and not self._stale:
            # No image to take the stamp from: the news is of now.
            header = Header(stamp=self.get_clock().now().to_msg())
            self._tracked.publish(humans.tracked_message((), header))
            self.health.values["faces"] = "0"
        self._stale = stale


def main() -> int:
    """Run the node."""
    return run(FaceNode)


if __name__ == "__main__":
    sys.exit(main())
