"""What perception says about people, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class DepthSource(IntEnum):
    """Where a distance comes from; the numbers are those of ``fabg_msgs``."""

    UNKNOWN = 0
    SENSOR = 1
    """A depth camera."""
    STEREO = 2
    """Matching two cameras."""
    MONOCULAR = 3
    """The known size of a face or hand in one image."""


@dataclass(frozen=True)
class Depth:
    """Distances for the pixels of one image.

    Attributes
    ----------
    z_m
        Distance along the optical axis in m, float32, shape (height, width); NaN where unknown.
    source
        `DepthSource.SENSOR` or `DepthSource.STEREO`.
    """

    z_m: NDArray[np.float32]
    source: DepthSource


@dataclass(frozen=True)
class Frame:
    """One image and the time it was taken.

    Attributes
    ----------
    image
        RGB, uint8, shape (height, width, 3).
    stamp_s
        Capture time in s on the clock of the source.
    depth
        Distances for the same pixels, when they are known.
    """

    image: NDArray[np.uint8]
    stamp_s: float
    depth: Depth | None = None


@dataclass(frozen=True)
class Roi:
    """A rectangle in pixels: left, top, width, height (may reach over the border)."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the rectangle, px."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Face:
    """One tracked face in one image.

    Attributes
    ----------
    id
        Short string; transient, never reused within a run.
    roi
        Bounding box in px.
    confidence
        Detector's score, 0..1.
    landmarks
        MediaPipe's 478 points, shape (478, 3): x, y in px of the full image, z in px of depth
        relative to the head's centre (smaller is nearer).
    blendshapes
        52 ARKit shapes, 0..1, in the order of `fabg.expression.SHAPES`; shapes that the landmarker
        does not report are 0.
    pose
        Head frame in the camera's optical frame (z forward, x right, y down), 4 x 4, metres. The
        head frame follows REP-103: x out of the face, y to the person's left, z up; its origin is
        the sellion (between the eyes).
    depth_source
        Where the distance comes from.
    """

    id: str
    roi: Roi
    confidence: float
    landmarks: NDArray[np.float64]
    blendshapes: NDArray[np.float64]
    pose: NDArray[np.float64]
    depth_source: DepthSource = DepthSource.MONOCULAR


@dataclass(frozen=True)
class Faces:
    """All faces of one image (an empty tuple says that nobody was seen)."""

    stamp_s: float
    image_size: tuple[int, int]
    """(width, height) in px."""
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Gaze:
    """Where one person looks, in one image.

    Attributes
    ----------
    face_id
        Whose eyes.
    origin
        Middle between both eyeballs in the camera's optical frame, m, shape (3,).
    direction
        Unit vector along the gaze in the camera's optical frame, shape (3,).
    eye_yaw_rad, eye_pitch_rad
        Direction of the eyes relative to the head (REP-103: yaw > 0 to the own left, pitch > 0 down).
    closed_left, closed_right
        How far each eye is closed, 0..1.
    confidence
        0..1; 0 while the eyes are closed: the direction is then the last one seen, or the head's.
    """

    face_id: str
    origin: NDArray[np.float64]
    direction: NDArray[np.float64]
    eye_yaw_rad: float
    eye_pitch_rad: float
    closed_left: float
    closed_right: float
    confidence: float


ROBOT = ""
"""Who looks or is looked at when it is not a person; as in hri_msgs/Gaze."""


@dataclass(frozen=True)
class Look:
    """Somebody looks at somebody: ids of faces, or `ROBOT`."""

    sender: str
    receiver: str


class Engagement(IntEnum):
    """How much a person is engaged with the robot; the numbers are those of hri_msgs/EngagementLevel."""

    UNKNOWN = 0
    DISENGAGED = 1
    ENGAGING = 2
    ENGAGED = 3
    DISENGAGING = 4


EMOTIONS: tuple[str, ...] = ("angry", "disgusted", "scared", "happy", "sad", "surprised", "neutral")
"""The seven basic emotions by their names in hri_msgs/Expression, in the order of `Emotion.probabilities`."""


@dataclass(frozen=True)
class Emotion:
    """What one face expresses, in one image.

    Attributes
    ----------
    face_id
        Whose face.
    label
        One of `EMOTIONS`, or empty when the evidence is too weak to say.
    confidence
        Of the label, 0..1; 0 without one.
    probabilities
        Of each of `EMOTIONS`, shape (7,), sum 1.
    valence, arousal
        -1 (unpleasant, calm) to 1 (pleasant, excited).
    smile, surprise
        Intensities, 0..1.
    """

    face_id: str
    label: str
    confidence: float
    probabilities: NDArray[np.float64]
    valence: float
    arousal: float
    smile: float
    surprise: float


class Side(IntEnum):
    """Which hand it is; the numbers are those of fabg_msgs/Hand."""

    UNKNOWN = 0
    LEFT = 1
    RIGHT = 2


class Gesture(IntEnum):
    """What a hand says; the numbers are those of fabg_msgs/Hand.

    UP, DOWN, LEFT and RIGHT are an index finger that points across the image; LEFT and RIGHT are the
    image's, so that the robot turns to its own left for LEFT. POINTING is an index finger that points
    mostly towards the camera or away from it.
    """

    NONE = 0
    UP = 1
    DOWN = 2
    LEFT = 3
    RIGHT = 4
    FIST = 5
    OPEN_PALM = 6
    POINTING = 7
    THUMBS_UP = 8
    WAVE = 9


@dataclass(frozen=True)
class Hand:
    """One tracked hand in one image.

    Attributes
    ----------
    id
        Short string; never reused within a run.
    side
        LEFT or RIGHT as the owner says.
    confidence
        0..1.
    landmarks_px
        MediaPipe's 21 joints in px of the full image, shape (21, 2).
    landmarks_m
        The same in the camera's optical frame, m, shape (21, 3).
    position
        Middle of the palm in the camera's optical frame, m, shape (3,).
    depth_source
        Where the distance comes from.
    gesture, gesture_confidence
        What the hand says, debounced, and how sure that is, 0..1.
    direction
        Unit vector along the index finger in the camera's optical frame when it points, else None.
    extended
        True for a hand held out to the robot, False for a resting one.
    person_id
        Face id of the owner, empty when unknown.
    """

    id: str
    side: Side
    confidence: float
    landmarks_px: NDArray[np.float64]
    landmarks_m: NDArray[np.float64]
    position: NDArray[np.float64]
    depth_source: DepthSource
    gesture: Gesture
    gesture_confidence: float
    direction: NDArray[np.float64] | None
    extended: bool
    person_id: str


@dataclass(frozen=True)
class Hands:
    """All hands of one image (an empty tuple says that none was seen)."""

    stamp_s: float
    image_size: tuple[int, int]
    """(width, height) in px."""
    hands: tuple[Hand, ...]
