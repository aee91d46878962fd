"""Images in, hands out: joints in metres, gestures, owners, and what ROS4HRI has a word for."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from fabg_msgs.msg import FaceArray, HandArray
from hri_msgs.msg import IdsList
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from fabg.errors import InputError
from fabg.perception.hands import HandTracker, HandTrackerConfig
from fabg.perception.types import Faces, Frame, Gesture, Hands
from fabg.ros import hands as messages
from fabg.ros.camera import CameraInput, start_letters
from fabg.ros.depth import DepthInput
from fabg.ros.humans import faces_from_message, tracked_message
from fabg.ros.image import ImageConverter
from fabg.ros.node import LATCHED, NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param
from fabg.ros.time import seconds
from fabg.ros.transforms import DYNAMIC


@dataclass(frozen=True, kw_only=True)
class GestureNodeConfig:
    """Parameters of the gesture node; the nested ones are those of `fabg.perception.hands`."""

    hands: HandTrackerConfig = param(HandTrackerConfig(), "finding and understanding hands", live=True)
    depth_slack_s: float = param(
        0.1,
        "depth belongs to an image when their stamps differ by at most this, s",
        low=0.0,
        high=2.0,
        live=True,
    )
    faces_slack_s: float = param(
        0.4, "and so do faces, s", low=0.0, high=5.0, live=True
    )  # fmt: skip
    publish_bodies: bool = param(
        True, "publish /humans/bodies/tracked and gestures; false where a body tracker does"
    )
    stale_after_s: float = param(
        1.0, "without an image for this long no hand is seen, s", low=0.1, high=60.0, live=True
    )


class GestureNode(FabgNode[GestureNodeConfig]):
    """Follows the hands in the left camera's images."""

    stage = "gesture"

    def __init__(self, **options: Any) -> None:
        super().__init__("gesture", GestureNodeConfig, **options)
        self._open = ExitStack()

    def setup(self) -> None:
        """Load the models and join the graph."""
        self._letters = start_letters(time.time())
        self._tracker = self._open.enter_context(HandTracker(self._core()))
        self._converter = ImageConverter()
        self._camera = CameraInput(self)
        self._faces: Faces | None = None
        self._bodies = messages.BodyTopics(self)
        self._open.callback(self._bodies.keep, ())
        self._last_image_s = time.monotonic()
        self._stale = False
        self._all = self.publisher(HandArray, "/fabg/hands")
        self._tf = self.publisher(TFMessage, "/tf", DYNAMIC)
        self._tracked = None
        if self.config.publish_bodies:
            self._tracked = self.publisher(IdsList, "/humans/bodies/tracked", LATCHED)
        self._depth = DepthInput(self)
        self.subscribe(FaceArray, "/fabg/faces", self._on_faces, NEWEST_ONLY)
        self.subscribe(Image, "/camera/left/image_raw", self._on_image, NEWEST_ONLY)
        self.every(0.1, self._watch, "watch")

    def start(self) -> None:
        """Take what was set meanwhile, and count the silence from here."""
        self._tracker.configure(self._core())
        self._last_image_s = time.monotonic()

    def teardown(self) -> None:
        """Free the models and the topics of every body."""
        self._open.close()

    def on_parameters(self, config: GestureNodeConfig) -> None:
        """Hand new values to the tracker; tracks and ids stay."""
        self._tracker.configure(self._core())

    def _core(self) -> HandTrackerConfig:
        core = self.config.hands
        return replace(core, id_prefix=core.id_prefix + self._letters)

    def _on_faces(self, message: FaceArray) -> None:
        self._faces = faces_from_message(message)

    def _on_image(self, message: Image) -> None:
        received_s = self.now_s()
        header, stamp_s = message.header, seconds(message.header.stamp)
        try:
            image = self._converter.to_rgb(message)
            depth = self._depth.at(stamp_s, self.config.depth_slack_s, size=(message.width, message.height))
            self._tracker.camera = self._camera.at(message.width)
            faces = self._faces_at(stamp_s)
            hands = self._tracker.update(Frame(image, stamp_s, depth), faces)
        except InputError as error:
            self.health.count("bad_images")
            self.report_exception("image", error)
            return
        self._last_image_s = time.monotonic()
        self._publish(hands, faces, header)
        self._note(hands)
        self.finished(header.stamp, received_s)

    def _faces_at(self, stamp_s: float) -> Faces | None:
        """Return the newest faces: those of this very image are still being read."""
        faces = self._faces
        return faces if faces and abs(faces.stamp_s - stamp_s) <= self.config.faces_slack_s else None

    def _publish(self, hands: Hands, faces: Faces | None, header: Header) -> None:
        self._all.publish(messages.hands_message(hands, header))
        if header.frame_id:
            transforms = [messages.hand_transform(hand, header) for hand in hands.hands]
            self._tf.publish(TFMessage(transforms=transforms))
            self.health.clear("frame")
        else:
            self.health.warn("frame", "images without frame_id: hands cannot be placed in TF")
        self._publish_bodies(messages.body_gestures(hands, faces), header)

    def _publish_bodies(self, words: dict[str, int | None], header: Header) -> None:
        if self._tracked is None:
            return
        self._bodies.keep(words)
        self._bodies.publish(words, header)
        self._tracked.publish(tracked_message(words, header))

    def _note(self, hands: Hands) -> None:
        self.health.count("images")
        shown = [hand.gesture.name.lower() for hand in hands.hands if hand.gesture != Gesture.NONE]
        sources = {hand.depth_source.name.lower() for hand in hands.hands}
        self.health.values |= {
            "hands": str(len(hands.hands)),
            "gestures": ", ".join(shown),
            "distance_from": ", ".join(sorted(sources)),
            "detector_runs": str(self._tracker.detector_runs),
        }

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_image_s
        stale = silence_s > self.config.stale_after_s
        if stale:
            self.health.warn("images", f"no usable image on /camera/left/image_raw for {silence_s:.1f} s")
        else:
            self.health.clear("images")
        if stale and not self._stale:
            # No image to take the stamp from: the news is of now.
            self._publish_bodies({}, Header(stamp=self.get_clock().now().to_msg()))
            self.health.values |= {"hands": "0", "gestures": ""}
        self._stale = stale


def main() -> int:
    """Run the node."""
    return run(GestureNode)


if __name__ == "__main__":
    sys.exit(main())
