"""Images in, tracked hands out: joints in metres, side, gesture, owner.

A palm is found once by a detector in the whole image; from then on the crop for the joints comes from
the joints of the image before, and the detector looks again only every few images.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fabg.perception.clock import ImageClock
from fabg.perception.gesture import POINTED, SHAPE_OF, Shape, ShapeNet, WaveRule, gesture_of
from fabg.perception.hand_config import HandTrackerConfig
from fabg.perception.hand_geometry import ReachRule, hand_size_px, is_held_out, owners, palm_center
from fabg.perception.hand_landmark import (
    MIDDLE_MCP,
    MIN_IMAGE_PX,
    WRIST,
    HandNets,
    HandReading,
    Palm,
    Region,
    region_of_joints,
)
from fabg.perception.hand_track import HandTrack
from fabg.perception.pictures import checked_image
from fabg.perception.pose import Camera
from fabg.perception.types import Face, Faces, Frame, Gesture, Hand, Hands, Roi

__all__ = ["HandTracker", "HandTrackerConfig"]

_SAME_HAND = 0.35
"""Readings whose joints differ by less than this part of the hand's size on average are of one hand."""
_TRIES_WHEN_LOST = 2
"""So many images in a row a hand that was lost is looked for where it was, at the cost of a reading each."""
_SAME_PALM = 0.3
_NEW_PER_LOOK = 3
"""So many new palms are read after one look, the most certain first: most of the others are none."""
_SURE_PALM = 0.65
_PRESENCE_IN_WHOLE, _PRESENCE_IN_WHOLE_AT_FACE = 0.75, 0.8
_PRESENCE_AT_FACE = 0.95
_PRESENCE_WITHOUT_FACES = 0.93
_LARGEST_IN_FACE = 1.1
"""Necks and eyes make hands of less than this, in face widths."""
_BODY_FACES = 6.0
"""Side of the square around somebody in which hands are looked for, in face widths."""
_PART, _LARGEST_PART = 0.65, 0.8
_TIPS = [8, 12, 16, 20]


class HandTracker:
    """Follow several hands through the images of one camera. Not thread-safe.

    Parameters
    ----------
    config
        How hands are found, followed and understood.
    nets
        Nets to use instead of MediaPipe's; the tracker closes them.

    Raises
    ------
    ModelFileError
        When a model is missing or altered.

    Notes
    -----
    Stamps should rise. An image whose stamp does not is worked through like any other and counts as
    1/30 s later than the one before; after a gap longer than ``keep_lost_s`` every hand is a new one.
    """

    def __init__(self, config: HandTrackerConfig | None = None, *, nets: HandNets | None = None) -> None:
        self._config = config or HandTrackerConfig()
        self.camera: Camera | None = None
        """Calibration of the images to come; None takes the configured field of view."""
        self.detector_runs = 0
        """How often the detector has looked at a whole image."""
        self._nets = nets or HandNets()
        self._shapes = ShapeNet()
        self._tracks: list[HandTrack] = []
        self._born = 0
        self._since_detection = 10_000
        self._clock = ImageClock()
        self.configure(self._config)

    @property
    def config(self) -> HandTrackerConfig:
        """The configuration in force."""
        return self._config

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all hands that are followed, hidden ones included."""
        return tuple(track.id for track in self._tracks)

    def configure(self, config: HandTrackerConfig) -> None:
        """Take another configuration from the next image on; tracks and ids stay."""
        self._config = config
        self._nets.score = config.detection_score

    def close(self) -> None:
        """Free the models; harmless when done twice."""
        self._nets.close()

    def __enter__(self) -> HandTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, frame: Frame, faces: Faces | None = None) -> Hands:
        """Return the hands of one image, the longest known first.

        Parameters
        ----------
        frame
            The image, and the distances of its pixels when they are known.
        faces
            Who is there, in the same image or one shortly before; None when nobody has looked.

        Raises
        ------
        InputError
            When the image is not (height, width, 3) uint8, the stamp is not finite, or depth is of
            another size. The tracks are as before then.
        """
        image = checked_image(frame)
        height, width = image.shape[:2]
        step_s = self._clock.advance(frame.stamp_s)
        if step_s > self._config.keep_lost_s:
            self._tracks.clear()
        size = (width, height)
        if min(height, width) < MIN_IMAGE_PX:
            self._forget_old()
            return Hands(frame.stamp_s, size, ())
        camera = self.camera or Camera.from_fov(width, height, self._config.horizontal_fov_deg)
        seen = self._follow(image)
        if self._should_detect(len(seen)):
            self._detect(image, seen, faces.faces if faces else ())
        self._forget_old()
        smoothing_s = self._config.smoothing_s
        share = 1.0 if smoothing_s <= 0.0 else 1.0 - math.exp(-step_s / smoothing_s)
        for track in [track for track in self._tracks if track.id in seen]:
            track.take(self._shapes.read(seen[track.id]), seen[track.id].region, camera, share)
            if not track.locate(seen[track.id], camera, frame.depth):
                del seen[track.id]  # a reading without a possible place in space is no hand
        tracks = [track for track in self._tracks if track.id in seen]
        people = {face.id: face for face in faces.faces} if faces else {}
        self._find_owners(tracks, seen, people)
        hands = (self._understood(track, seen[track.id], people.get(track.owner)) for track in tracks)
        return Hands(frame.stamp_s, size, tuple(hands))

    # Finding and following -----------------------------------------------------------------------

    def _follow(self, image: NDArray[np.uint8]) -> dict[str, HandReading]:
        """Read each known hand where it should be now; return the readings by id."""
        seen: dict[str, HandReading] = {}
        for track in self._tracks:
            reading = None
            if track.misses <= _TRIES_WHEN_LOST and len(seen) < self._config.max_hands:
                reading = self._read(image, track.predicted(self._clock.now_s), list(seen.values()))
            if reading is None or not track.believes(reading.presence):
                track.misses += 1
            else:
                track.hit(reading, self._clock.now_s)
                seen[track.id] = reading
        return seen

    def _read(
        self, image: NDArray[np.uint8], region: Region, others: list[HandReading]
    ) -> HandReading | None:
        reading = self._nets.read(image, region)
        if reading is None or reading.presence < self._config.presence_score:
            return None
        if hand_size_px(reading.landmarks_px) < self._config.min_hand_px or not _inside(reading, image):
            return None
        return None if any(_same(reading, other) for other in others) else reading

    def _should_detect(self, seen: int) -> bool:
        self._since_detection += 1
        if seen >= self._config.max_hands:
            return False
        searching = not seen or seen < len(self._tracks)
        every = self._config.search_every if searching else self._config.detect_every
        return self._since_detection >= every

    def _detect(
        self, image: NDArray[np.uint8], seen: dict[str, HandReading], faces: tuple[Face, ...]
    ) -> None:
        """Look at the whole image or a window of it; find again what was lost and add what is new."""
        self._since_detection = 0
        height, width = image.shape[:2]
        looks = windows(width, height, faces)
        window = looks[self.detector_runs % len(looks)]
        self.detector_runs += 1
        palms = self._nets.detect(image, window)
        new = [palm for palm in palms if not any(_covers(reading, palm) for reading in seen.values())]
        for palm in new[:_NEW_PER_LOOK]:
            if len(seen) >= self._config.max_hands:
                break
            reading = self._read_new(image, palm, window is None, faces, list(seen.values()))
            if reading is None:
                continue
            track = self._lost_track_for(reading, seen) or self._new_track()
            track.certain |= window is None and palm.score >= _SURE_PALM
            track.hit(reading, self._clock.now_s)
            seen[track.id] = reading

    def _read_new(
        self,
        image: NDArray[np.uint8],
        palm: Palm,
        whole: bool,
        faces: tuple[Face, ...],
        others: list[HandReading],
    ) -> HandReading | None:
        """Read a hand twice, the second time in the crop of its joints; both must be sure.

        In a window the detector also sees palms in necks and eyes, and the landmark net half believes
        them; in the whole image it hardly ever does.
        """
        first = self._read(image, palm.region, others)
        if first is None:
            return None
        second = self._read(image, region_of_joints(first.landmarks_px), others)
        if second is None:
            return None
        at_face = any(_in_face_or_neck(second, face) for face in faces)
        if whole and palm.score >= _SURE_PALM:
            needed = self._config.presence_score
        elif whole:
            needed = _PRESENCE_IN_WHOLE_AT_FACE if at_face else _PRESENCE_IN_WHOLE
        else:
            needed = max(self._config.new_presence_score, 0.0 if faces else _PRESENCE_WITHOUT_FACES)
            needed = max(needed, _PRESENCE_AT_FACE) if at_face else needed
        return second if min(first.presence, second.presence) >= needed else None

    def _lost_track_for(self, reading: HandReading, seen: dict[str, HandReading]) -> HandTrack | None:
        lost = [track for track in self._tracks if track.id not in seen]
        priced = [(track.cost(reading, self._clock.now_s), i) for i, track in enumerate(lost)]
        cost, best = min(priced, default=(math.inf, 0))
        return lost[best] if math.isfinite(cost) else None

    def _new_track(self) -> HandTrack:
        self._born += 1
        track = HandTrack(f"{self._config.id_prefix}{self._born:04d}")
        self._tracks.append(track)
        return track

    def _forget_old(self) -> None:
        oldest_s = self._clock.now_s - self._config.keep_lost_s
        self._tracks = [t for t in self._tracks if not t.misses or t.seen_s >= oldest_s]

    # Understanding -------------------------------------------------------------------------------

    def _find_owners(
        self, tracks: list[HandTrack], seen: dict[str, HandReading], people: dict[str, Face]
    ) -> None:
        found = owners(
            {t.id: palm_center(t.joints_m) for t in tracks},
            {t.id: palm_center(seen[t.id].landmarks_px) for t in tracks},
            {t.id: t.side for t in tracks},
            tuple(people.values()),
            {t.id: t.owner for t in tracks},
        )
        for track in tracks:
            track.owner = found.get(track.id, "")

    def _understood(self, track: HandTrack, reading: HandReading, owner: Face | None) -> Hand:
        config, now_s = self._config, self._clock.now_s
        shape = max(Shape, key=track.probability)
        gesture = Gesture.NONE
        if track.probability(shape) >= config.min_shape:
            gesture = gesture_of(shape, track.index, track.thumb)
        rule = WaveRule(amplitude=config.wave_amplitude, reversals=config.wave_reversals)
        place = float(reading.landmarks_px[_TIPS, 0].mean()) / _hand_length(reading)
        if track.wave.update(place, shape == Shape.OPEN, now_s, rule):
            gesture = Gesture.WAVE
        shown = track.gesture.update(gesture, now_s, config.hold_s, config.release_s)
        self._judge_reach(track, owner, shown)
        return Hand(
            id=track.id,
            side=track.side,
            confidence=min(max(reading.presence, 0.0), 1.0),
            landmarks_px=reading.landmarks_px,
            landmarks_m=track.joints_m,
            position=palm_center(track.joints_m),
            depth_source=track.depth_source,
            gesture=shown,
            gesture_confidence=track.probability(SHAPE_OF[shown]),
            direction=track.index.copy() if shown in POINTED else None,
            extended=track.extended,
            person_id=track.owner,
        )

    def _judge_reach(self, track: HandTrack, owner: Face | None, shown: Gesture) -> None:
        """Held out: near, not hanging, and open or pointing to begin with."""
        config = self._config
        rule = ReachRule(
            nearer_m=config.reach_m,
            below_m=config.reach_below_m,
            distance_m=config.reach_distance_m,
            hang_rad=math.radians(config.hang_deg),
        )
        if track.extended:
            rule = rule.loosened()
        elif shown in (Gesture.NONE, Gesture.FIST):
            return
        track.extended = is_held_out(track.joints_m, owner, rule, shown in POINTED)


def windows(width: int, height: int, faces: tuple[Face, ...]) -> list[Roi | None]:
    """Return where the palm detector looks in turn: the whole image (None), and between where hands may be.

    The hands of people whose faces are known are around them; otherwise six overlapping parts of
    the image are gone through. A part that shows hardly less than the whole is left out.
    """
    parts: list[Roi | None] = []
    for face in faces:
        side = _BODY_FACES * face.roi.width
        x, y = face.roi.center
        left, top = max(x - side / 2, 0.0), max(y - 0.3 * side, 0.0)
        right, bottom = min(x + side / 2, width), min(y + 0.7 * side, height)
        if max(right - left, bottom - top) < _LARGEST_PART * max(width, height):
            parts.append(Roi(left, top, right - left, bottom - top))
    if not faces:
        side = _PART * min(width, height)
        xs = np.linspace(0.0, width - side, 3 if width >= height else 2)
        ys = np.linspace(0.0, height - side, 2 if width >= height else 3)
        parts += [Roi(float(x), float(y), side, side) for y in ys for x in xs]
    return [look for part in parts for look in (None, part)] or [None]


def _inside(reading: HandReading, image: NDArray[np.uint8]) -> bool:
    """Return whether the middle of the palm lies in the image."""
    height, width = image.shape[:2]
    x, y = palm_center(reading.landmarks_px)
    return bool(-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5)


def _same(a: HandReading, b: HandReading) -> bool:
    apart = np.linalg.norm(a.landmarks_px - b.landmarks_px, axis=1).mean()
    return bool(apart < _SAME_HAND * max(hand_size_px(a.landmarks_px), hand_size_px(b.landmarks_px)))


def _hand_length(reading: HandReading) -> float:
    """Return the length of the hand in the image from its palm, which does not bend, px."""
    return max(
        2.0 * float(np.linalg.norm(reading.landmarks_px[MIDDLE_MCP] - reading.landmarks_px[WRIST])), 1.0
    )


def _in_face_or_neck(reading: HandReading, face: Face) -> bool:
    """Return whether the joints lie in somebody's face or neck and are no larger than what is seen there."""
    x, y = reading.landmarks_px.mean(axis=0)
    roi = face.roi
    if hand_size_px(reading.landmarks_px) > _LARGEST_IN_FACE * roi.width:
        return False
    return bool(abs(x - roi.center[0]) <= 0.65 * roi.width and roi.y <= y <= roi.y + 1.8 * roi.height)


def _covers(reading: HandReading, palm: Palm) -> bool:
    """Return whether a found palm is that of a hand that is seen already."""
    known, new = region_of_joints(reading.landmarks_px), palm.region
    return math.hypot(known.x - new.x, known.y - new.y) < _SAME_PALM * max(known.side, new.side)
