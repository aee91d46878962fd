"""Everything that perception says about one image, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fabg.perception.blink import Blink
from fabg.perception.types import Emotion, Engagement, Face, Faces, Gaze, Hands, Look

STAGES = ("faces", "gaze", "emotion", "hands")
"""The stages of the pipeline, in the order in which they work."""


@dataclass(frozen=True)
class Scene:
    """What was seen in one image. A stage that is off leaves its part empty.

    Attributes
    ----------
    stamp_s
        Stamp of the image, s.
    faces
        The people, the longest known first.
    gazes
        Where they look.
    blinks
        Blinks that ended in this image.
    looks
        Who looks at whom.
    engagement
        How engaged with the robot, by face id.
    emotions
        What their faces express.
    hands
        All hands; None when the stage is off.
    trouble
        What was wrong with the image, in words; empty when nothing was.
    timings_ms
        Work of each stage that is on, ms, by its name in `STAGES`.
    """

    stamp_s: float
    faces: Faces
    gazes: tuple[Gaze, ...]
    blinks: tuple[Blink, ...]
    looks: tuple[Look, ...]
    engagement: Mapping[str, Engagement]
    emotions: tuple[Emotion, ...]
    hands: Hands | None
    trouble: tuple[str, ...]
    timings_ms: Mapping[str, float]

    def face(self, face_id: str) -> Face | None:
        """Return the face of that id, None when it is not there."""
        return next((face for face in self.faces.faces if face.id == face_id), None)

    def gaze(self, face_id: str) -> Gaze | None:
        """Return where a person looks, None when nothing is known."""
        return next((gaze for gaze in self.gazes if gaze.face_id == face_id), None)

    def emotion(self, face_id: str) -> Emotion | None:
        """Return what a face expresses, None when nothing is known."""
        return next((emotion for emotion in self.emotions if emotion.face_id == face_id), None)

    def looks_at(self, face_id: str) -> str | None:
        """Return whom a person looks at: a face id, `ROBOT`, or None for nobody."""
        return next((look.receiver for look in self.looks if look.sender == face_id), None)
