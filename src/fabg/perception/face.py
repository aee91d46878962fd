"""Images in, tracked faces out.

A face is found once by a detector; from then on the crop for the landmarks comes from the landmarks of
the image before, and the detector looks again only every few images, when a face was lost, or while
nobody is there. Place and motion say which face is whose; where they do not, `identity` does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError, InputError, check_ranges
from fabg.perception.association import Track, assign
from fabg.perception.depth import HeadSizes
from fabg.perception.detect import MIN_IMAGE_PX, Detection, FaceDetector
from fabg.perception.embedding import Embedder, FaceEmbedder
from fabg.perception.identity import Recogniser
from fabg.perception.landmark import Landmarker, Reading
from fabg.perception.pictures import checked_image
from fabg.perception.pose import Camera, head_pose
from fabg.perception.roi import overlap, size_of, square, visible_fraction
from fabg.perception.trouble import image_trouble
from fabg.perception.types import Depth, Face, Faces, Frame, Roi

_SAME_FACE_OVERLAP = 0.4
_NOMINAL_INTERVAL_S = 1 / 30
_MAX_UNCONFIRMED = 3
"""So often in a row the detector may miss a face that the landmarker still reads."""
_MIN_VISIBLE = 0.3
_PEOPLE_REMEMBERED = 20
_SEARCH_S, _SEARCH_EVERY = 10.0, 5
"""So long, and every so many images, the detector looks for somebody who has gone out of sight."""


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
        How long a face that is hidden keeps its id by its place alone, s.
    recognise
        Whether appearance tells people apart and gives returning ones their id back.
    remember_s
        How long somebody who has left is remembered, s; at most twenty people are.
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
    recognise: bool = True
    remember_s: float = 60.0
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
            "remember_s": (0.0, 3600.0),
            "detection_score": (0.05, 1.0),
            "detection_side_px": (64, 8192),
            "min_face_px": (1.0, 4096.0),
            "crop_scale": (1.1, 4.0),
            "max_crop_px": (64, 4096),
            "horizontal_fov_deg": (1.0, 179.0),
            "threads": (0, 256),
        }
        check_ranges(self, ranges)
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
    detector, landmarker, embedder
        Models to use instead of YuNet, MediaPipe's FaceLandmarker and SFace; the tracker closes them.

    Raises
    ------
    ModelFileError
        When a model is missing or altered.

    Notes
    -----
    Stamps should rise. An image whose stamp does not is worked through like any other and counts as
    1/30 s later than the one before, so that a video that starts over breaks no track; after a gap
    longer than ``keep_lost_s`` every face is one that has to be recognised, or a new one.
    """

    def __init__(
        self,
        config: FaceTrackerConfig | None = None,
        *,
        detector: FaceDetector | None = None,
        landmarker: Landmarker | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self._config = config or FaceTrackerConfig()
        if self._config.threads:
            cv2.setNumThreads(self._config.threads)
        self.camera: Camera | None = None
        """Calibration of the images to come; None takes the configured field of view."""
        self.detector_runs = 0
        """How often the detector has looked at a whole image."""
        self.trouble: tuple[str, ...] = ()
        """What was wrong with the last image, in words; empty when nothing was."""
        self._detector = detector or FaceDetector()
        self._landmarker = landmarker or Landmarker(max_crop_px=self._config.max_crop_px)
        self._embedder = embedder
        self._recogniser = Recogniser(None, self._new_id, capacity=_PEOPLE_REMEMBERED)
        self.configure(self._config)
        self._tracks: list[Track] = []
        self._sizes = HeadSizes()
        self._born = 0
        self._left_out = 0
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
        return tuple(track.id for track in self._tracks if track.id)

    @property
    def embedding_runs(self) -> int:
        """How often the identity model has looked at a face."""
        return self._recogniser.runs

    def configure(self, config: FaceTrackerConfig) -> None:
        """Take another configuration from the next image on; tracks and ids stay."""
        if config.threads and config.threads != self._config.threads:
            cv2.setNumThreads(config.threads)
        if config.recognise and self._embedder is None:
            self._embedder = FaceEmbedder()
        self._recogniser.configure(self._embedder if config.recognise else None, config.remember_s)
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

        A face whose owner is not decided yet is left out, for 0.4 s in plain view and 2 s at most.

        Raises
        ------
        InputError
            When the image is not (height, width, 3) uint8, the depth not (height, width), the stamp not
            finite, or a model fails.
            The tracks are as before then.
        """
        image = checked_image(frame)
        height, width = image.shape[:2]
        trouble = [self._advance(frame.stamp_s), image_trouble(image)]
        self._recogniser.begin(image, self._clock_s)
        if min(height, width) < MIN_IMAGE_PX:
            for track in self._tracks:
                track.miss()
        else:
            self._follow(image)
            if self._should_detect():
                self._detect(image)
            self._recogniser.look(self._tracks, self._clock_s)
            if self._left_out:
                wanted = self._config.max_faces
                trouble.append(f"{wanted + self._left_out} faces, more than max_faces ({wanted})")
        self.trouble = tuple(text for text in trouble if text)
        self._forget_old()
        self._sizes.keep(self.ids)
        camera = self.camera or Camera.from_fov(width, height, self._config.horizontal_fov_deg)
        faces = (_face(track, camera, frame.depth, self._sizes) for track in self._tracks)
        return Faces(frame.stamp_s, (width, height), tuple(face for face in faces if face is not None))

    def _advance(self, stamp_s: float) -> str | None:
        step = _NOMINAL_INTERVAL_S if self._stamp_s is None else stamp_s - self._stamp_s
        self._stamp_s = stamp_s
        self._clock_s += step if step > 0 else _NOMINAL_INTERVAL_S
        if step > self._config.keep_lost_s:
            for track in self._tracks:
                self._recogniser.retire(track)
            self._tracks.clear()
        if step > 0:
            return None
        return "two images have one stamp" if step == 0 else f"stamps run backwards (by {-step:.3g} s)"

    @property
    def _seen(self) -> list[Track]:
        return [track for track in self._tracks if track.reading is not None]

    def _follow(self, image: NDArray[np.uint8]) -> None:
        """Read each known face where it should be now."""
        readings: list[Reading] = []
        for track in self._tracks:
            if not track.hidden:
                readings += self._read(image, track.predicted(self._clock_s))
        pairs = assign(self._tracks, _distinct(readings), self._clock_s, self._recogniser.cost)
        # What may be somebody hidden who comes back is left to the detector, and to a closer look.
        found = {
            id(track): reading
            for track, reading in pairs
            if not track.hidden and not self._recogniser.doubtful(track, reading, self._tracks, self._clock_s)
        }
        seen = 0
        for track in self._tracks:
            reading = found.get(id(track))
            # The longest known have the first claim when a hidden face comes back, or fewer are wanted.
            if reading is None or seen == self._config.max_faces:
                track.miss()
            else:
                track.hit(reading, self._clock_s)
                seen += 1

    def _read(self, image: NDArray[np.uint8], roi: Roi) -> list[Reading]:
        height, width = image.shape[:2]
        crop = square(roi, self._config.crop_scale)
        if visible_fraction(crop, width, height) < _MIN_VISIBLE:
            return []
        found = self._landmarker.read(image, crop)
        return [r for r in found if size_of(r.roi) >= self._config.min_face_px]

    def _should_detect(self) -> bool:
        self._since_detection += 1
        if not self._tracks or any(track.misses for track in self._tracks):
            return True
        every = self._config.detect_every
        if self._recogniser.gallery.left_since(self._clock_s - _SEARCH_S):
            every = min(every, _SEARCH_EVERY)
        return self._since_detection >= every

    def _detect(self, image: NDArray[np.uint8]) -> None:
        """Look at the whole image; confirm what is followed, find again what was lost, add the new."""
        self._since_detection = 0
        self.detector_runs += 1
        unknown, confirmed = [], set()
        for detection in self._detector.detect(image):
            if (known := self._confirm(detection)) is None:
                unknown.append(detection)
            else:
                confirmed.add(id(known))
        for track in self._seen:
            if id(track) not in confirmed:
                track.unconfirmed += 1
                if track.unconfirmed > _MAX_UNCONFIRMED:
                    track.miss()
        self._left_out = 0
        for detection in unknown:
            if len(self._seen) < self._config.max_faces:
                self._adopt(image, detection)
            else:
                self._left_out += 1

    def _confirm(self, detection: Detection) -> Track | None:
        """Note the detection on the track that sees the same face; return it, None for a new face."""
        for track in self._seen:
            if overlap(track.roi, detection.roi) > _SAME_FACE_OVERLAP:
                track.confidence = detection.score
                track.unconfirmed = 0
                return track
        return None

    def _adopt(self, image: NDArray[np.uint8], detection: Detection) -> None:
        """Give a detected face to a lost track that fits, or to a new one."""
        if size_of(detection.roi) < self._config.min_face_px:
            return
        taken = [track.roi for track in self._seen]
        for reading in self._read(image, detection.roi):
            same = overlap(reading.roi, detection.roi) > _SAME_FACE_OVERLAP
            if not same or any(overlap(reading.roi, roi) > _SAME_FACE_OVERLAP for roi in taken):
                continue
            track = self._recogniser.welcome(reading, self._tracks, self._clock_s)
            if track not in self._tracks:
                self._tracks.append(track)
            track.hit(reading, self._clock_s)
            track.confidence, track.unconfirmed = detection.score, 0
            return

    def _new_id(self) -> str:
        self._born += 1
        return f"{self._config.id_prefix}{self._born:04d}"

    def _forget_old(self) -> None:
        kept = []
        for track in self._tracks:
            if not track.misses or (track.id and self._clock_s - track.seen_s <= self._config.keep_lost_s):
                kept.append(track)
            else:
                self._recogniser.retire(track)
        self._tracks = kept


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


def _face(track: Track, camera: Camera, depth: Depth | None, sizes: HeadSizes) -> Face | None:
    reading = track.reading
    if reading is None or not track.id:
        return None
    try:
        pose = head_pose(reading.landmarks, reading.rotation, reading.center, camera)
        face = Face(track.id, reading.roi, track.confidence, reading.landmarks, reading.blendshapes, pose)
        return sizes.placed(face, depth)
    except InputError:
        return None  # a reading without a possible place in space is no face
