"""Faces in, gazes out: where everybody looks, at whom, and how engaged they are."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from fabg_msgs.msg import FaceArray, GazeArray
from hri_msgs.msg import Gaze as GazeMessage
from hri_msgs.msg import IdsList
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from fabg.errors import InputError
from fabg.perception.attention import AttentionConfig, AttentionTracker
from fabg.perception.blink import BlinkConfig, BlinkTracker
from fabg.perception.engagement import EngagementConfig, EngagementTracker
from fabg.perception.gaze import GazeCalibration, GazeConfig, GazeEstimator
from fabg.perception.types import ROBOT, Engagement, Faces, Gaze, Look
from fabg.ros import gaze as messages
from fabg.ros.humans import faces_from_message, tracked_message
from fabg.ros.node import LATCHED, NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param
from fabg.ros.transforms import DYNAMIC


@dataclass(frozen=True, kw_only=True)
class GazeNodeConfig:
    """Parameters of the gaze node; the nested ones are those of the stages in `fabg.perception`."""

    gaze: GazeConfig = param(GazeConfig(), "the gaze itself", live=True)
    attention: AttentionConfig = param(AttentionConfig(), "who looks at whom", live=True)
    engagement: EngagementConfig = param(EngagementConfig(), "how engaged people are", live=True)
    blink: BlinkConfig = param(BlinkConfig(), "what counts as a blink", live=True)
    calibration: str = param("", "JSON file of a person's calibration, applied to everybody; empty: none")
    publish_persons: bool = param(
        True, "publish /humans/persons, one anonymous person a face; false where a person manager runs"
    )
    stale_after_s: float = param(
        1.0, "without faces for this long nobody is tracked, s", low=0.1, high=60.0, live=True
    )


class GazeNode(FabgNode[GazeNodeConfig]):
    """Follows the gaze of all faces."""

    stage = "gaze"

    def __init__(self, **options: Any) -> None:
        super().__init__("gaze", GazeNodeConfig, **options)

    def setup(self) -> None:
        """Load the read-outs and join the graph."""
        config = self.config
        self._gaze = GazeEstimator(config.gaze)
        if config.calibration:
            self._gaze.calibration = GazeCalibration.load(config.calibration)
        self._attention = AttentionTracker(config.attention)
        self._engagement = EngagementTracker(config.engagement)
        self._blink = BlinkTracker(config.blink)
        self._last_faces_s = time.monotonic()
        self._stale = False
        self._persons = messages.PersonTopics(self)
        self._tracked = None
        if config.publish_persons:
            self._tracked = self.publisher(IdsList, "/humans/persons/tracked", LATCHED)
        self._all = self.publisher(GazeArray, "/fabg/gaze")
        self._looks = self.publisher(GazeMessage, "/humans/interactions/gaze")
        self._tf = self.publisher(TFMessage, "/tf", DYNAMIC)
        self.subscribe(FaceArray, "/fabg/faces", self._on_faces, NEWEST_ONLY)
        self.every(0.1, self._watch, "watch")

    def start(self) -> None:
        """Take what was set meanwhile, and count the silence from here."""
        self.on_parameters(self.config)
        self._last_faces_s = time.monotonic()

    def teardown(self) -> None:
        """Remove the topics of every person."""
        self._persons.keep(())

    def on_parameters(self, config: GazeNodeConfig) -> None:
        """Hand new values to the stages; what they remember stays."""
        self._gaze.configure(config.gaze)
        self._attention.config = config.attention
        self._engagement.config = config.engagement
        self._blink.config = config.blink

    def _on_faces(self, message: FaceArray) -> None:
        received_s = self.now_s()
        header = message.header
        try:
            faces = faces_from_message(message)
            gazes = self._gaze.update(faces)
            looks = self._attention.update(faces, gazes)
            levels = self._engagement.update(faces, gazes, looks)
        except InputError as error:
            self.health.count("bad_faces")
            self.report_exception("faces", error)
            return
        self._last_faces_s = time.monotonic()
        self._publish(faces, gazes, looks, header)
        self._publish_persons(levels, header)
        self._note(faces, gazes, looks)
        self.finished(header.stamp, received_s)

    def _publish(
        self, faces: Faces, gazes: tuple[Gaze, ...], looks: tuple[Look, ...], header: Header
    ) -> None:
        self._all.publish(messages.gazes_message(gazes, looks, header))
        if header.frame_id:
            by_id = {face.id: face for face in faces.faces}
            transforms = [messages.gaze_transform(gaze, by_id[gaze.face_id], header) for gaze in gazes]
            self._tf.publish(TFMessage(transforms=transforms))
            self.health.clear("frame")
        else:
            self.health.warn("frame", "faces without frame_id: gazes cannot be placed in TF")
        for look in looks:
            self._looks.publish(messages.look_message(look, header))

    def _publish_persons(self, levels: dict[str, Engagement], header: Header) -> None:
        if self._tracked is None:
            return
        self._persons.keep(levels)
        self._persons.publish(levels, header)
        self._tracked.publish(tracked_message(map(messages.person_of, levels), header))

    def _note(self, faces: Faces, gazes: tuple[Gaze, ...], looks: tuple[Look, ...]) -> None:
        self.health.count("images")
        self.health.count("blinks", len(self._blink.update(faces.stamp_s, gazes)))
        self.health.values["faces"] = str(len(faces.faces))
        self.health.values["looks_at_robot"] = str(sum(look.receiver == ROBOT for look in looks))
        without = len(faces.faces) - len(gazes)
        if without:
            self.health.count("faces_without_landmarks", without)

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_faces_s
        stale = silence_s > self.config.stale_after_s
        if stale:
            self.health.warn("faces", f"no usable message on /fabg/faces for {silence_s:.1f} s")
        else:
            self.health.clear("faces")
        if stale and not self._stale:
            # No image to take the stamp from: the news is of now.
            header = Header(stamp=self.get_clock().now().to_msg())
            self._publish_persons({}, header)
            self.health.values |= {"faces": "0", "looks_at_robot": "0"}
        self._stale = stale


def main() -> int:
    """Run the node."""
    return run(GazeNode)


if __name__ == "__main__":
    sys.exit(main())
