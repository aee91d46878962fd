"""Faces in, expressions out: seven basic emotions, valence and arousal, for a purpose that must be named.

It publishes numbers and words about faces, never pictures, and writes no file.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from fabg_msgs.msg import EmotionArray, FaceArray
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.affect import AffectConfig
from fabg.perception.emotion import MAX_SMOOTHING_S, EmotionConfig, EmotionEstimator
from fabg.perception.types import Face
from fabg.ros import humans
from fabg.ros.emotions import FaceLinks, emotions_message
from fabg.ros.node import NEWEST_ONLY, FabgNode, run
from fabg.ros.params import param

_Core = EmotionConfig
_Rest = AffectConfig


@dataclass(frozen=True, kw_only=True)
class EmotionNodeConfig:
    """Parameters of the emotion node; most are those of `fabg.perception.emotion.EmotionConfig`."""

    purpose: str = param("", "what emotions are inferred for; must be given, see docs/responsible-use.md")
    grounds: str = param("", "medical or safety: needed for a purpose that is prohibited without")
    network: bool = param(_Core.network, "read pictures of faces, too", live=True)
    network_hz: float = param(
        _Core.network_hz,
        "the network reads each face at most so often a second",
        low=0.1,
        high=60.0,
        live=True,
    )
    network_weight: float = param(
        _Core.network_weight, "weight of the pictures", low=0.0, high=5.0, live=True
    )
    network_age_s: float = param(
        _Core.network_age_s,
        "the network's answer counts no more after this time, s",
        low=0.05,
        high=5.0,
        live=True,
    )
    unit_weight: float = param(_Core.unit_weight, "weight of the movements", low=0.0, high=5.0, live=True)
    unit_gain: float = param(
        _Core.unit_gain, "log odds that a whole prototype movement adds", low=0.1, high=20.0, live=True
    )
    neutral_bias: float = param(
        _Core.neutral_bias, "log odds of neutral for a face that rests", low=0.0, high=10.0, live=True
    )
    smoothing_s: float = param(
        _Core.smoothing_s, "time constant of the smoothing, s", low=0.0, high=MAX_SMOOTHING_S, live=True
    )
    enter: float = param(
        _Core.enter, "a label is given from this probability on", low=0.15, high=1.0, live=True
    )
    leave: float = param(_Core.leave, "and kept down to this one", low=0.15, high=1.0, live=True)
    margin: float = param(
        _Core.margin, "lead over the second that a new label needs", low=0.0, high=1.0, live=True
    )
    min_face_px: float = param(
        _Core.min_face_px, "smaller faces are unknown, px", low=1.0, high=4096.0, live=True
    )
    max_turn_deg: float = param(
        _Core.max_turn_deg, "faces turned further away are unknown, degrees", low=1.0, high=90.0, live=True
    )
    settle_s: float = param(
        _Rest.settle_s, "time over which a person's level is learned, s", low=0.1, high=600.0, live=True
    )
    rest_quantile: float = param(
        _Rest.rest_quantile, "quantile of a movement that counts as resting", low=0.01, high=0.5, live=True
    )
    rest_rate_hz: float = param(
        _Rest.rest_rate_hz, "how fast the resting face is learned, 1/s", low=0.0, high=1.0, live=True
    )
    rest_limit: float = param(
        _Rest.rest_limit,
        "how far it may differ from the average; 0: not learned",
        low=0.0,
        high=0.5,
        live=True,
    )
    forget_s: float = param(
        _Rest.forget_s, "a face unseen for longer is forgotten, s", low=0.0, high=600.0, live=True
    )
    stale_after_s: float = param(1.0, "silence after which to warn, s", low=0.1, high=60.0, live=True)

    def __post_init__(self) -> None:
        self.core()

    def core(self) -> EmotionConfig:
        """Return the core's part, checked."""
        rest = AffectConfig(**{f.name: getattr(self, f.name) for f in fields(AffectConfig)})
        mine = {f.name: getattr(self, f.name) for f in fields(EmotionConfig) if f.name != "affect"}
        return EmotionConfig(**mine, affect=rest)


class EmotionNode(FabgNode[EmotionNodeConfig]):
    """Reads expressions from ``/fabg/faces`` and from the aligned picture of each face."""

    stage = "emotion"

    def __init__(self, **options: Any) -> None:
        super().__init__("emotion", EmotionNodeConfig, **options)
        self._open = ExitStack()

    def setup(self) -> None:
        """Load the models and join the graph."""
        core = self.config.core()
        self._estimator = self._open.enter_context(EmotionEstimator(core))
        self.get_logger().info(f"infers emotions for the purpose of {core.permit}")
        self.health.values["purpose"] = str(core.permit)
        self._links = FaceLinks(self)
        self._open.callback(self._links.keep, ())
        self._seen_s: dict[str, float] = {}
        self._last_s = time.monotonic()
        self._all = self.publisher(EmotionArray, "/fabg/emotions")
        self.subscribe(FaceArray, "/fabg/faces", self._on_faces, NEWEST_ONLY)
        self.every(0.1, self._watch, "watch")

    def start(self) -> None:
        """Count the silence from here."""
        self._last_s = time.monotonic()

    def teardown(self) -> None:
        """Free the models and what belongs to single faces."""
        self._open.close()

    def on_parameters(self, config: EmotionNodeConfig) -> None:
        """Hand new values to the estimator; what is known of faces stays."""
        if config.network != self._estimator.config.network:
            self._links.keep(())  # to be made anew, with pictures or without
        self._estimator.configure(config.core())

    def _on_faces(self, message: FaceArray) -> None:
        received_s, now_s = self.now_s(), time.monotonic()
        try:
            faces = humans.faces_from_message(message)
        except InputError as error:
            self.health.count("bad_messages")
            self.report_exception("faces", error)
            return
        self._last_s = now_s
        self._seen_s |= {face.id: now_s for face in faces.faces}
        # A hidden face keeps its links for a while: to find each other anew takes longer than a blink.
        keep_s = self.config.forget_s
        self._seen_s = {name: s for name, s in self._seen_s.items() if now_s - s <= keep_s}
        self._links.keep(self._seen_s, self.config.network)
        emotions = self._estimator.update(faces, lambda face: self._picture(face, faces.stamp_s))
        self._all.publish(emotions_message(emotions, message.header))
        for emotion in emotions:
            self._links.publish(emotion, message.header)
        self._report(len(emotions))
        self.finished(message.header.stamp, received_s)

    def _picture(self, face: Face, stamp_s: float) -> NDArray[np.uint8] | None:
        try:
            return self._links.picture(face, stamp_s, self.config.network_age_s)
        except InputError as error:
            self.health.count("bad_pictures")
            self.report_exception("picture", error)
            return None

    def _report(self, faces: int) -> None:
        without = self._estimator.without_picture if self.config.network else ()
        self.health.count("images")
        self.health.values |= {
            "faces": str(faces),
            "network_runs": str(self._estimator.network_runs),
            "from_movements_alone": ", ".join(without),
        }

    def _watch(self) -> None:
        silence_s = time.monotonic() - self._last_s
        if silence_s > self.config.stale_after_s:
            self.health.warn("faces", f"no usable message on /fabg/faces for {silence_s:.1f} s")
            self.health.values |= {"faces": "0", "from_movements_alone": ""}
        else:
            self.health.clear("faces")


def main() -> int:
    """Run the node."""
    return run(EmotionNode)


if __name__ == "__main__":
    sys.exit(main())
