"""Rendered hands, read by the real tracker: what it says, and what was true.

    samples = sample_hands(range(1000, 1010), 2, seed=1)
    right = samples.said == samples.gesture
    error = np.linalg.norm(samples.position_depth - samples.palm, axis=1)[samples.found]

Everything follows from the seeds. People below 1000 are for fitting, those from 1000 on for reporting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation.hand_pictures import GESTURES, HandScene, picture_of, scene_of
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.hand_landmark import HandNets, HandReading, Region
from fabg.perception.hands import HandTracker, HandTrackerConfig
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Frame, Hand
from fabg.social.avatar import Person, Picture, Studio

__all__ = ["HandSamples", "sample_hands"]

Array = NDArray[np.float64]

_MOST_IMAGES, _SEEN_IMAGES, _FPS = 14, 6, 25.0
"""A hand is shown until it has been seen in so many images, or for this many at most."""
_AWAY_EVERY = 4
"""So often a finger along the camera's axis points away from it: the hand hides it then."""
_DRIFT_PX = 1
"""A shown hand moves by so much from one image to the next at most."""
_DEPTH_NOISE, _DEPTH_HOLES = 0.01, 0.1
"""Relative standard deviation of a depth image's pixels, and the part of them that is missing."""


@dataclass(frozen=True)
class HandSamples:
    """Readings of n hands beside the truth. Positions are in the camera's optical frame.

    Attributes
    ----------
    camera, image_size
        With which all pictures were taken; (width, height) in px.
    person
        Seed of the person, shape (n,).
    gesture, said
        `Gesture` in truth and as the tracker says, shape (n,); said is NONE for a hand that it missed.
    pose, view
        Name of the fingers' pose, and "palm", "back", "towards" or "away" (see `HandScene`).
    found
        Whether the tracker sees the hand where it is, shape (n,).
    side, side_said
        `Side`, shape (n,); said is UNKNOWN for a hand that was missed.
    direction, direction_said
        Unit vector along the index finger, shape (n, 3); said is NaN where the tracker tells none.
    palm, position_alone, position_depth
        Middle of the palm, m, shape (n, 3): in truth, without and with a depth image (noisy, with
        holes); NaN for a hand that was missed.
    has_depth
        Whether the tracker took the distance from the depth image, shape (n,).
    joints, joints_depth
        21 joints, m, shape (n, 21, 3), in truth and with a depth image.
    conditions
        What varied, by name, shape (n,) each: ``distance_m``, ``turn_deg``, ``tilt_deg``, ``tone`` (lightness
        of the skin, 0..1), ``age_years``, ``with_face`` (1 with the owner's head behind the hand), ``blur_px``,
        ``noise``, ``exposure_ev``, ``visible`` (share of the hand).
    readings
        The last reading of the landmark net of each hand; None for one that was missed.
    """

    camera: Camera
    image_size: tuple[int, int]
    person: NDArray[np.int64]
    gesture: NDArray[np.int64]
    said: NDArray[np.int64]
    pose: tuple[str, ...]
    view: tuple[str, ...]
    found: NDArray[np.bool_]
    side: NDArray[np.int64]
    side_said: NDArray[np.int64]
    direction: Array
    direction_said: Array
    palm: Array
    position_alone: Array
    position_depth: Array
    has_depth: NDArray[np.bool_]
    joints: Array
    joints_depth: Array
    conditions: dict[str, Array]
    readings: tuple[HandReading | None, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.person)


def sample_hands(
    people: Iterable[int],
    per_gesture: int,
    *,
    seed: int,
    config: HandTrackerConfig | None = None,
    camera: Camera | None = None,
    image_size: tuple[int, int] = (640, 480),
    progress: Callable[[int, int], None] | None = None,
) -> HandSamples:
    """Render people's hands and read them with the real tracker.

    Each hand is shown, drifting a little, until it has been seen for a quarter of a second, or for half a
    second in all; what the last image says counts. Palm and back of the hand take turns, and so do hands
    alone and hands before their owner's face.

    Parameters
    ----------
    people
        Their seeds.
    per_gesture
        Hands of each person and gesture (`fabg.evaluation.hand_pictures.GESTURES`); those that say none
        count twice.
    seed
        Of everything that varies between the pictures. A person's pictures depend on `seed` and the
        person alone.
    config
        How hands are read.
    camera, image_size
        With which the pictures are taken; (width, height) in px. None sees 60 degrees across.
    progress
        Is told how many hands are done, of how many.
    """
    people = list(people)
    camera = camera or Camera.from_fov(*image_size, 60.0)
    kinds = [g for g in GESTURES for _ in range(2 if g == 0 else 1)]
    total = len(people) * per_gesture * len(kinds)
    rows: list[dict[str, Any]] = []
    conditions: list[dict[str, float]] = []
    with Studio(camera, image_size) as studio, _Reader(camera, config) as reader:
        for number in people:
            person, rng = Person.random(number), np.random.default_rng([seed, number])
            for i in range(per_gesture):
                for k, gesture in enumerate(kinds):
                    away = (i + number) % _AWAY_EVERY == 0
                    scene = scene_of(rng, gesture, studio, palm=(i + k + number) % 2 == 0, away=away)
                    with_face = (i + number // 2 + k // 2) % 2 == 0
                    picture, drawn = picture_of(rng, person, scene, studio, with_face)
                    rows.append({"person": number} | _row(scene, picture, reader, rng))
                    conditions.append(drawn)
                    if progress is not None:
                        progress(len(rows), total)
    return _together(rows, conditions, camera, image_size)


def _row(scene: HandScene, picture: Picture, reader: _Reader, rng: np.random.Generator) -> dict[str, Any]:
    truth = picture.hands[0]
    alone, deep, reading = reader.read(picture, rng)
    nothing = np.full(3, np.nan)
    seen = alone is not None and deep is not None
    return {
        "gesture": int(scene.gesture),
        "said": int(alone.gesture) if alone else 0,
        "pose": scene.pose,
        "view": scene.view,
        "found": seen,
        "side": int(truth.side),
        "side_said": int(alone.side) if alone else 0,
        "direction": truth.pointing,
        "direction_said": nothing if alone is None or alone.direction is None else alone.direction,
        "palm": truth.palm,
        "position_alone": alone.position if alone else nothing,
        "position_depth": deep.position if deep else nothing,
        "has_depth": deep is not None and deep.depth_source == DepthSource.SENSOR,
        "joints": truth.joints_m,
        "joints_depth": deep.landmarks_m if deep else np.full((21, 3), np.nan),
        "readings": reading,
    }


def _together(
    rows: list[dict[str, Any]],
    conditions: list[dict[str, float]],
    camera: Camera,
    image_size: tuple[int, int],
) -> HandSamples:
    kept = {"pose": tuple, "view": tuple, "readings": tuple}
    columns: dict[str, Any] = {
        name: kept.get(name, np.array)([row[name] for row in rows]) for name in (rows[0] if rows else ())
    }
    names = conditions[0] if conditions else {}
    together = {name: np.array([drawn[name] for drawn in conditions]) for name in names}
    return HandSamples(camera=camera, image_size=image_size, conditions=together, **columns)


class _Reader:
    """The real trackers of hands and faces, with a look at what the landmark net told."""

    def __init__(self, camera: Camera, config: HandTrackerConfig | None) -> None:
        self._nets = _Noting()
        self._hands = HandTracker(config, nets=self._nets)
        self._faces = FaceTracker(FaceTrackerConfig(max_faces=1, recognise=False))
        self._hands.camera = self._faces.camera = camera
        self._stamp_s = 0.0

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._hands.close()
        self._faces.close()

    def read(
        self, picture: Picture, rng: np.random.Generator
    ) -> tuple[Hand | None, Hand | None, HandReading | None]:
        """Return the hand of a picture without depth and with it, and its reading; None when it is missed."""
        self._stamp_s += 100.0  # so long a gap ends the tracks of the picture before
        step = rng.integers(-_DRIFT_PX, _DRIFT_PX + 1, 2)
        faces = self._faces.update(Frame(picture.image, self._stamp_s - 0.04))
        truth = picture.hands[0].joints_px
        alone, seen, image_number = None, 0, 0
        while seen < _SEEN_IMAGES and image_number < _MOST_IMAGES:
            # Away from where it is drawn, and back there when it has been seen often enough.
            shift = tuple((step * (_SEEN_IMAGES - 1 - seen)).tolist())
            frame = Frame(np.roll(picture.image, shift, axis=(0, 1)), self._stamp_s + image_number / _FPS)
            alone = _nearest(self._hands.update(frame, faces).hands, truth)
            seen += alone is not None
            image_number += 1
        reading = self._nets.of(alone)
        noise = rng.standard_normal(picture.depth.shape, dtype=np.float32)
        noisy = picture.depth * (1.0 + np.float32(_DEPTH_NOISE) * noise)
        noisy[rng.random(noisy.shape, dtype=np.float32) < _DEPTH_HOLES] = np.nan
        depth = Depth(noisy, DepthSource.SENSOR)
        frame = Frame(picture.image, self._stamp_s + image_number / _FPS, depth)
        return alone, _nearest(self._hands.update(frame, faces).hands, truth), reading


class _Noting(HandNets):
    """Nets that keep their last readings."""

    def __init__(self) -> None:
        super().__init__()
        self._readings: list[HandReading] = []

    def read(self, rgb: NDArray[np.uint8], region: Region) -> HandReading | None:
        """Return the hand in the region, and keep it."""
        reading = super().read(rgb, region)
        self._readings = self._readings[-8:] + ([reading] if reading else [])
        return reading

    def of(self, hand: Hand | None) -> HandReading | None:
        """Return the reading behind a hand."""
        for reading in self._readings:
            if hand is not None and reading.landmarks_px is hand.landmarks_px:
                return reading
        return None


def _nearest(hands: tuple[Hand, ...], truth_px: Array) -> Hand | None:
    """Return the hand that is where the true one is: no joint off by half a hand on average."""
    size = float((truth_px.max(axis=0) - truth_px.min(axis=0)).max())
    apart = [float(np.linalg.norm(hand.landmarks_px - truth_px, axis=1).mean()) for hand in hands]
    best = int(np.argmin(apart)) if apart else -1
    return hands[best] if apart and apart[best] < 0.5 * size else None
