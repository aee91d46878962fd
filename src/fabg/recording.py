"""What is kept of a run: images, faces, joints, timings, states; no ROS here."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.pose import Camera


class JpegStore:
    """JPEG images one after the other in one file, so that a long run does not fill the memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spans: list[tuple[int, int]] = []
        self._end = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._spans)

    def append(self, jpeg: bytes) -> None:
        """Add one image."""
        if self._file is None:
            self._file = self.path.open("wb")
        self._file.write(jpeg)
        self._spans.append((self._end, len(jpeg)))
        self._end += len(jpeg)

    def close(self) -> None:
        """Finish writing; reading goes on."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as RGB uint8, shape (height, width, 3).

        Raises
        ------
        InputError
            When the image is damaged.
        """
        offset, length = self._spans[index]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = np.frombuffer(file.read(length), dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise InputError(f"image {index} of the recording cannot be decoded: expected a JPEG")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_file": None}


@dataclass(frozen=True)
class SeenFace:
    """One face in one image.

    Attributes
    ----------
    id
        The face's id.
    box
        Left, top, width, height in px.
    shapes
        52 ARKit shapes, 0..1, shape (52,).
    pose
        Head frame in the camera's optical frame, (4, 4), m.
    """

    id: str
    box: tuple[float, float, float, float]
    shapes: NDArray[np.float64]
    pose: NDArray[np.float64]

    @property
    def distance_m(self) -> float:
        """Distance from the camera."""
        return float(np.linalg.norm(self.pose[:3, 3]))


@dataclass(frozen=True)
class SeenHand:
    """One hand in one image: MediaPipe's 21 joints, px, shape (21, 2), and its gesture in a word."""

    points: NDArray[np.float64]
    gesture: str


@dataclass(frozen=True)
class Sight:
    """All faces of one image."""

    stamp_s: float
    faces: tuple[SeenFace, ...]

    @property
    def nearest(self) -> SeenFace | None:
        """The face that the robot attends to: the nearest one."""
        return min(self.faces, key=lambda face: face.distance_m, default=None)


@dataclass(frozen=True)
class StageTiming:
    """One message worked through by one stage; times in s on the ROS clock."""

    stage: str
    origin_s: float
    received_s: float
    finished_s: float


@dataclass(frozen=True)
class Status:
    """What the actuation said."""

    stamp_s: float
    state: str
    source: str
    accepted: int
    refused: int
    stale: int
    limit_hits: int
    limited_joints: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What a policy said of one image: who said it, and when it was there (s on the ROS clock)."""

    stamp_s: float
    source: str
    received_s: float


@dataclass
class Recording:
    """Everything kept of one run. Times in s on the ROS clock, in order of arrival.

    Attributes
    ----------
    input_name, fps, size
        Name, announced rate and image size (width, height) of the input.
    joint_names
        Order of the joint angles.
    camera
        Camera matrix of the images, once it is known.
    base_from_camera
        Pose of the camera's optical frame in the robot's base, (4, 4), once it is known.
    images
        JPEGs; `image_stamps` are their capture times.
    landmarks
        (stamp, face id) -> 70 points, normalised to 0..1 of the image, shape (70, 2).
    gazes
        (stamp, face id) -> unit vector along the gaze in the camera's optical frame, shape (3,).
    hands
        Stamp -> the hands of that image.
    joints
        Measured angles, rad, shape (25,) each, at `joint_stamps`.
    answers
        Of the policies, one an image that was answered.
    commands
        Angles that were sent to the servos, rad, shape (25,) each; they came at `command_stamps`.
    asked
        The policy that was to drive the robot; others answer when it fails.
    trouble
        What the policy node said first of a policy that does not work; empty when all do.
    diagnostics
        Node -> (level, message, values) as last told.
    restarts
        Node -> how often it had to be started again.
    hide_people
        True: pictures show people as lines only, never their images.
    """

    input_name: str
    fps: float
    size: tuple[int, int]
    joint_names: tuple[str, ...]
    images: JpegStore
    camera: Camera | None = None
    base_from_camera: NDArray[np.float64] | None = None
    image_stamps: list[float] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)
    landmarks: dict[tuple[float, str], NDArray[np.float32]] = field(default_factory=dict)
    gazes: dict[tuple[float, str], NDArray[np.float64]] = field(default_factory=dict)
    hands: dict[float, tuple[SeenHand, ...]] = field(default_factory=dict)
    joint_stamps: list[float] = field(default_factory=list)
    joints: list[NDArray[np.float64]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    command_stamps: list[float] = field(default_factory=list)
    commands: list[NDArray[np.float64]] = field(default_factory=list)
    asked: str = "mirror"
    trouble: str = ""
    status: list[Status] = field(default_factory=list)
    timings: list[StageTiming] = field(default_factory=list)
    diagnostics: dict[str, tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    hide_people: bool = False

    @property
    def start_s(self) -> float:
        """Capture time of the first image.

        Raises
        ------
        InputError
            When nothing was recorded.
        """
        if not self.image_stamps:
            raise InputError(f"no image of {self.input_name} arrived: name another input")
        return self.image_stamps[0]

    @property
    def duration_s(self) -> float:
        """From the first image to the end of the last, s."""
        return self.image_stamps[-1] - self.start_s + 1.0 / self.fps

    def sight_at(self, stamp_s: float) -> Sight | None:
        """Return what was seen in the image taken at `stamp_s`."""
        index = bisect_left(self.sights, stamp_s, key=lambda sight: sight.stamp_s)
        found = self.sights[index : index + 1]
        return found[0] if found and found[0].stamp_s == stamp_s else None

    def joints_at(self, stamp_s: float) -> NDArray[np.float64] | None:
        """Return the joint angles measured nearest to `stamp_s`."""
        index = nearest(self.joint_stamps, stamp_s)
        return None if index is None else self.joints[index]


def nearest(stamps: Sequence[float], stamp_s: float) -> int | None:
    """Return the index of the stamp nearest to `stamp_s` in an ascending sequence; None when empty."""
    if not stamps:
        return None
    after = bisect_left(stamps, stamp_s)
    if after == 0 or (after < len(stamps) and stamps[after] - stamp_s < stamp_s - stamps[after - 1]):
        return after
    return after - 1


def latest(stamps: Sequence[float], stamp_s: float) -> int | None:
    """Return the index of the last stamp not after `stamp_s` in an ascending sequence, else None."""
    index = bisect_right(stamps, stamp_s) - 1
    return index if index >= 0 else None
