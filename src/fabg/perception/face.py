"""Images in, tracked faces out.

A face is found once by a detector; from then on the crop for the landmarks comes from the landmarks of
the image before, and the detector looks again only every few images, when a face was lost, or while
nobody is there.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError, InputError
from fabg.perception.association import Track, assign
from fabg.perception.detect import MIN_IMAGE_PX, Detection, FaceDetector
from fabg.perception.landmark import Landmarker, Reading
from fabg.perception.pose import Camera, head_pose
from fabg.perception.roi import overlap, size_of, square, visible_fraction
from fabg.perception.types import Face, Faces, Frame, Roi

_SAME_FACE_OVERLAP = 0.4
_NOMINAL_INTERVAL_S = 1 / 30
_MAX_UNCONFIRMED = 3
"""So often in a row the detector may miss a face that the landmarker still reads."""
_MIN_VISIBLE = 0.3


@dataclass(frozen=True, kw_only=True)
class FaceTrackerConfig:
    """How faces are found and followed.

    Attributes
    ----------
    max_faces
        How many faces are followed at once, 1..10; the most certain are taken.
    detect_every
        Images between two looks at the whole image while all is well, >= 1.
    keep_lost_s
        How long a face that is hidden keeps its id, s.
    detection_score
        Lowest detector score of a face, 0..1.
    detection_side_px
        Length to which the longer side of the image is reduced for the detector.
    min_face_px
        Smaller faces are not read, px.
    crop_scale
        Side of the crop for the landmarks relative to the face's longer side.
    max_crop_px
        Larger crops are reduced to this side; the landmark model reads 256 px.
    horizontal_fov_deg
        Field of view across the image, used while the camera has not told its calibration, degrees.
    threads
        Threads of OpenCV in this process; 0 leaves OpenCV's setting alone.
    id_prefix
        First letters of every id.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    max_faces: int = 4
    detect_every: int = 25
    keep_lost_s: float = 1.0
    detection_score: float = 0.6
    detection_side_px: int = 640
    min_face_px: float = 20.0
    crop_scale: float = 1.6
    max_crop_px: int = 320
    horizontal_fov_deg: float = 60.0
    threads: int = 1
    id_prefix: str = "f"

    def __post_init__(self) -> None:
        ranges = {
            "max_faces": (1, 10),
            "detect_every": (1, 10_000),
            "keep_lost_s": (0.0, 60.0),
            "detection_score": (0.05, 1.0),
            "detection_side_px": (64, 8192),
            "min_face_px": (1.0, 4096.0),
            "crop_scale": (1.1, 4.0),
            "max_crop_px": (64, 4096),
            "horizontal_fov_deg": (1.0, 179.0),
            "threads": (0, 256),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"{name} is {value}: expected {low} to {high}")
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]{0,15}", self.id_prefix):
            raise ConfigError(
                f"id_prefix is {self.id_prefix!r}: expected 1 to 16 letters or digits, a letter first"
            )


class FaceTracker:
    """Follow several faces through the images of one camera. Not thread-safe.

    Parameters
    ----------
    config
        How faces are found and followed.
    detector, landmarker
        Models to use instead of YuNet and MediaPipe's FaceLandmarker; the tracker closes them.

    Raises
    ------
    ModelFileError
        When a model is missing or altered.

    Notes
    -----
    Stamps should rise. An image whose stamp does not is worked through like any other and counts as
    1/30 s later than the one before, so that a video that starts over breaks no track; after a gap
    longer than ``keep_lost_s`` every face is a new one.
    """

    def __init__(
        self,
        config: FaceTrackerConfig | None = None,
        *,
        detector: FaceDetector | None = None,
        landmarker: Landmarker | None = None,
    ) -> None:
        self._config = config or FaceTrackerConfig()
        if self._config.threads:
            cv2.setNumThreads(self._config.threads)
        self.camera: Camera | None = None
        """Calibration of the images to come; None takes the configured field of view."""
        self.detector_runs = 0
        """How often the detector has looked at a whole image."""
        self._detector = detector or FaceDetector()
        self._landmarker = landmarker or Landmarker(max_crop_px=self._config.max_crop_px)
        self.configure(self._config)
        self._tracks: list[Track] = []
        self._born = 0
        self._since_detection = 0
        self._stamp_s: float | None = None
        self._clock_s = 0.0

    @property
    def config(self) -> FaceTrackerConfig:
        """The configuration in force."""
        return self._config

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all faces that are followed, hidden ones included."""
        return tuple(track.id for track in self._tracks)

    def configure(self, config: FaceTrackerConfig) -> None:
        """Take another configuration from the next image on; tracks and ids stay."""
        if config.threads and config.threads != self._config.threads:
            cv2.setNumThreads(config.threads)
        self._config = config
        self._detector.score, self._detector.max_side_px = config.detection_score, config.detection_side_px
        self._landmarker.max_crop_px = config.max_crop_px

    def close(self) -> None:
        """Free the models; harmless when done twice."""
        self._landmarker.close()

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, frame: Frame) -> Faces:
        """Return the faces of one image, the longest known first.

        Raises
        ------
        InputError
            When the image is not (height, width, 3) uint8, the stamp is not finite, or a model fails.
            The tracks are as before then.
        """
        image = _checked(frame)
        height, width = image.shape[:2]
        self._advance(frame.stamp_s)
        if min(height, width) < MIN_IMAGE_PX:
            self._forget_old()
            return Faces(frame.stamp_s, (width, height), ())
        seen = self._follow(image)
        if self._should_detect():
            self._detect(image, seen)
        self._forget_old()
        camera = self.camera or Camera.from_fov(width, height, self._config.horizontal_fov_deg)
        faces = (_face(track, seen[track.id], camera) for track in self._tracks if track.id in seen)
        return Faces(frame.stamp_s, (width, height), tuple(face for face in faces if face is not None))

    def _advance(self, stamp_s: float) -> None:
        step = _NOMINAL_INTERVAL_S if self._stamp_s is None else stamp_s - self._stamp_s
        self._stamp_s = stamp_s
        self._clock_s += step if step > 0 else _NOMINAL_INTERVAL_S
        if step > self._config.keep_lost_s:
            self._tracks.clear()

    def _follow(self, image: NDArray[np.uint8]) -> dict[str, Reading]:
        """Read each known face where it should be now; return the readings by id."""
        readings: list[Reading] = []
        for track in self._tracks:
            readings += self._read(image, track.predicted(self._clock_s))
        readings = _distinct(readings)
        found = {id(track): reading for track, reading in assign(self._tracks, readings, self._clock_s)}
        seen: dict[str, Reading] = {}
        for track in self._tracks:
            reading = found.get(id(track))
            # The longest known have the first claim when a hidden face comes back, or fewer are wanted.
            if reading is None or len(seen) == self._config.max_faces:
                track.miss()
            else:
                track.hit(reading.roi, self._clock_s)
                seen[track.id] = reading
        return seen

    def _read(self, image: NDArray[np.uint8], roi: Roi) -> list[Reading]:
        height, width = image.shape[:2]
        crop = square(roi, self._config.crop_scale)
        if visible_fraction(crop, width, height) < _MIN_VISIBLE:
            return []
        found = self._landmarker.read(image, crop)
        return [r for r in found if size_of(r.roi) >= self._config.min_face_px]

    def _should_detect(self) -> bool:
        self._since_detection += 1
        all_well = bool(self._tracks) and not any(track.misses for track in self._tracks)
        return not all_well or self._since_detection >= self._config.detect_every

    def _detect(self, image: NDArray[np.uint8], seen: dict[str, Reading]) -> None:
        """Look at the whole image; confirm what is followed, find again what was lost, add the new."""
        self._since_detection = 0
        self.detector_runs += 1
        detections = self._detector.detect(image)
        unknown, confirmed = [], set()
        for detection in detections:
            if (known := self._confirm(detection, seen)) is None:
                unknown.append(detection)
            else:
                confirmed.add(known)
        for track in self._tracks:
            if track.id in seen and track.id not in confirmed:
                track.unconfirmed += 1
                if track.unconfirmed > _MAX_UNCONFIRMED:
                    del seen[track.id]
                    track.miss()
        for detection in unknown:
            if len(seen) >= self._config.max_faces:
                break
            self._adopt(image, detection, seen)

    def _confirm(self, detection: Detection, seen: dict[str, Reading]) -> str | None:
        """Note the detection on the track that sees the same face; return its id, None for a new face."""
        for track in self._tracks:
            if track.id in seen and overlap(track.roi, detection.roi) > _SAME_FACE_OVERLAP:
                track.confidence = detection.score
                track.unconfirmed = 0
                return track.id
        return None

    def _adopt(self, image: NDArray[np.uint8], detection: Detection, seen: dict[str, Reading]) -> None:
        """Give a detected face to a lost track that fits, or to a new one."""
        if size_of(detection.roi) < self._config.min_face_px:
            return
        taken = [reading.roi for reading in seen.values()]
        for reading in self._read(image, detection.roi):
            same = overlap(reading.roi, detection.roi) > _SAME_FACE_OVERLAP
            if not same or any(overlap(reading.roi, roi) > _SAME_FACE_OVERLAP for roi in taken):
                continue
            lost = [track for track in self._tracks if track.id not in seen]
            matches = assign(lost, [reading], self._clock_s)
            track = matches[0][0] if matches else self._new_track(reading.roi)
            track.hit(reading.roi, self._clock_s)
            track.confidence, track.unconfirmed = detection.score, 0
            seen[track.id] = reading
            return

    def _new_track(self, roi: Roi) -> Track:
        self._born += 1
        track = Track(f"{self._config.id_prefix}{self._born:04d}", roi, self._clock_s)
        self._tracks.append(track)
        return track

    def _forget_old(self) -> None:
        keep = self._config.keep_lost_s
        self._tracks = [t for t in self._tracks if not t.misses or self._clock_s - t.seen_s <= keep]


def _checked(frame: Frame) -> NDArray[np.uint8]:
    image = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = (
            f"shape {image.shape}, type {image.dtype}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise InputError(f"image is {what}: expected an RGB array (height, width, 3) of uint8")
    if image.size == 0:
        raise InputError(f"image has shape {image.shape}: expected at least 1 x 1 px")
    if not math.isfinite(frame.stamp_s):
        raise InputError(f"stamp is {frame.stamp_s} s: expected a finite number")
    return image


def _distinct(readings: list[Reading]) -> list[Reading]:
    """Return each face once: of two readings of it the one from the crop that was centred better."""

    def off_center(reading: Reading) -> float:
        cx, cy = reading.roi.center
        return math.hypot(cx - reading.center[0], cy - reading.center[1])

    kept: list[Reading] = []
    for reading in sorted(readings, key=off_center):
        if all(overlap(reading.roi, other.roi) <= _SAME_FACE_OVERLAP for other in kept):
            kept.append(reading)
    return kept


def _face(track: Track, reading: Reading, camera: Camera) -> Face | None:
    try:
        pose = head_pose(reading.landmarks, reading.rotation, reading.center, camera)
    except InputError:
        return None  # a reading without a possible place in space is no face
    return Face(track.id, reading.roi, track.confidence, reading.landmarks, reading.blendshapes, pose)
