"""Rendered people, read by the real detector and landmarker: what they read, and what was true.

    samples = sample_faces(range(1000, 1010), 20, seed=1)
    found = samples.found()
    error_m = [np.linalg.norm(f.pose[:3, 3] - t[:3, 3]) for f, t in zip(found.faces, found.pose)]

Everything follows from the seeds. People below 1000 are for fitting, those from 1000 on for reporting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation.face_pictures import FaceRanges, picture_of
from fabg.expression import INDEX, N_SHAPES
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.iris import HEIGHT, WIDTH, eye_frames, eye_pictures
from fabg.perception.landmark import N_LANDMARKS, Landmarker, Reading
from fabg.perception.pose import Camera
from fabg.perception.types import Face, Faces, Frame, Roi
from fabg.social.avatar import FRONTAL, FaceTruth, Person, Picture, Studio

__all__ = ["FACING", "FaceRanges", "FaceSamples", "sample_faces"]

FACING = FRONTAL
"""Rotation (3, 3) of a head that looks straight back along the camera's axis."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FaceSamples:
    """Readings of n pictures beside the truth. Rotations and positions are in the camera's optical frame.

    Attributes
    ----------
    camera, image_size
        With which all pictures were taken; (width, height) in px.
    faces
        What the tracker made of each picture; None where it found no face.
    rotation
        Rotation that the landmarker told, shape (n, 3, 3); NaN without a face.
    center
        Middle of the crop that the landmarker was given, px, shape (n, 2); NaN without a face.
    person
        Seed of the person, shape (n,).
    pose
        Head frame, shape (n, 4, 4).
    gaze_origin, gaze
        Middle between the eyeballs, m, and unit vector of the gaze, shape (n, 3) each.
    shapes
        Blendshapes shown, in the order of `fabg.expression.SHAPES`, shape (n, 52).
    irises_px, eyeballs_px
        Middles of the right and of the left iris and eyeball in the image, px, shape (n, 2, 2) each.
    eyes
        Grey pictures of the right and of the left eye (`fabg.perception.iris.eye_pictures` in double detail),
        shape (n, 2, 64, 96), uint8; 0 without a face.
    conditions
        What else varied, by name, shape (n,) each: ``distance_m``, ``yaw_deg``, ``pitch_deg``, ``roll_deg``
        (against a head that faces the camera), ``gaze_yaw_deg``, ``gaze_pitch_deg`` (against the head), ``tone``
        (lightness of the skin, 0..1), ``age_years``, ``light_deg`` (of the lamp off the camera's axis), ``key``,
        ``ambient``, ``blur_px``, ``noise``, ``exposure``, ``visible`` (share of the face).
    """

    camera: Camera
    image_size: tuple[int, int]
    faces: tuple[Face | None, ...]
    rotation: Array
    center: Array
    person: NDArray[np.int64]
    pose: Array
    gaze_origin: Array
    gaze: Array
    shapes: Array
    irises_px: Array
    eyeballs_px: Array
    eyes: NDArray[np.uint8]
    conditions: dict[str, Array]

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def was_found(self) -> NDArray[np.bool_]:
        """Whether the tracker found the face, shape (n,)."""
        return np.array([face is not None for face in self.faces], dtype=bool)

    def where(self, mask: NDArray[np.bool_]) -> FaceSamples:
        """Return the samples for which `mask`, shape (n,), is True."""
        rows = np.flatnonzero(mask)
        values: dict[str, Any] = {
            name: getattr(self, name)[rows]
            for name in (f.name for f in fields(self))
            if isinstance(getattr(self, name), np.ndarray)
        }
        return replace(
            self,
            faces=tuple(self.faces[i] for i in rows),
            conditions={name: column[rows] for name, column in self.conditions.items()},
            **values,
        )

    def found(self) -> FaceSamples:
        """Return the samples in which the tracker found the face."""
        return self.where(self.was_found)

    @property
    def blink_shown(self) -> Array:
        """How far the eyes are closed in truth, mean of both, shape (n,), 0..1."""
        return np.asarray(self.shapes[:, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]].mean(axis=1))

    @property
    def landmarks(self) -> Array:
        """Landmarks that were read, px, shape (n, 478, 3); NaN without a face."""
        return np.array([np.full((N_LANDMARKS, 3), np.nan) if f is None else f.landmarks for f in self.faces])

    @property
    def blendshapes(self) -> Array:
        """Blendshapes that were read, shape (n, 52); NaN without a face."""
        return np.array([np.full(N_SHAPES, np.nan) if f is None else f.blendshapes for f in self.faces])

    @property
    def face_pose(self) -> Array:
        """Head frames that were read, shape (n, 4, 4); NaN without a face."""
        return np.array([np.full((4, 4), np.nan) if f is None else f.pose for f in self.faces])

    def single_image(self, i: int) -> Faces:
        """Return picture `i` as what a node would get; its stamps are 100 s apart."""
        face = self.faces[i]
        return Faces(100.0 * (i + 1), self.image_size, () if face is None else (face,))


def sample_faces(
    people: Iterable[int],
    per_person: int,
    *,
    seed: int,
    ranges: FaceRanges | None = None,
    camera: Camera | None = None,
    image_size: tuple[int, int] = (640, 480),
    irises: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> FaceSamples:
    """Render people and read them with the real detector and landmarker.

    Parameters
    ----------
    people
        Their seeds.
    per_person
        Pictures of each.
    seed
        Of everything that varies between the pictures. A person's pictures depend on `seed` and the
        person alone: they stay what they are when other people are added.
    ranges
        What varies, and how far.
    camera, image_size
        With which the pictures are taken; (width, height) in px. None sees 60 degrees across.
    irises
        False leaves the irises where the landmarker puts them: only to fit what moves them.
    progress
        Is told how many pictures are done, of how many.
    """
    people = list(people)
    ranges = ranges or FaceRanges()
    camera = camera or Camera.from_fov(*image_size, 60.0)
    rows: list[_Row] = []
    with Studio(camera, image_size) as studio, _Reader(camera, irises) as reader:
        for number in people:
            person = Person.random(number)
            rng = np.random.default_rng([seed, number])
            for _ in range(per_person):
                picture, conditions = picture_of(rng, person, ranges, studio)
                face, reading = reader.read(picture.image)
                rows.append(_row(number, picture, conditions, face, reading))
                if progress is not None:
                    progress(len(rows), len(people) * per_person)
    return _together(rows, camera, image_size)


@dataclass(frozen=True)
class _Row:
    person: int
    truth: FaceTruth
    conditions: dict[str, float]
    face: Face | None
    reading: Reading | None
    eyes: NDArray[np.uint8]


def _row(
    person: int, picture: Picture, conditions: dict[str, float], face: Face | None, reading: Reading | None
) -> _Row:
    eyes = np.zeros((2, 2 * HEIGHT, 2 * WIDTH), dtype=np.uint8)
    if face is not None:
        eyes = eye_pictures(picture.image, eye_frames(face.landmarks), detail=2)
    return _Row(person, picture.faces[0], conditions, face, reading, eyes)


def _together(rows: list[_Row], camera: Camera, image_size: tuple[int, int]) -> FaceSamples:
    truths = [row.truth for row in rows]
    readings = [row.reading for row in rows]
    in_head = np.degrees([(t.eye_yaw_rad, t.eye_pitch_rad) for t in truths]).reshape(-1, 2)
    conditions = {
        name: np.array([row.conditions[name] for row in rows])
        for name in (rows[0].conditions if rows else ())
    }
    conditions["gaze_yaw_deg"], conditions["gaze_pitch_deg"] = in_head.T
    conditions["visible"] = np.array([truth.visible for truth in truths])
    return FaceSamples(
        camera=camera,
        image_size=image_size,
        faces=tuple(row.face for row in rows),
        rotation=np.array([np.full((3, 3), np.nan) if r is None else r.rotation for r in readings]),
        center=np.array([(np.nan, np.nan) if r is None else r.center for r in readings]),
        person=np.array([row.person for row in rows], dtype=np.int64),
        pose=np.array([truth.pose for truth in truths]),
        gaze_origin=np.array([truth.origin for truth in truths]),
        gaze=np.array([truth.gaze for truth in truths]),
        shapes=np.array([truth.shapes for truth in truths]),
        irises_px=np.array([truth.irises_px[::-1] for truth in truths]),
        eyeballs_px=np.array([_projected(truth.eyes[::-1], camera) for truth in truths]),
        eyes=np.array([row.eyes for row in rows]),
        conditions=conditions,
    )


def _projected(points: Array, camera: Camera) -> Array:
    return points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


class _Reader:
    """The real tracker, with a look at what the landmarker told it."""

    def __init__(self, camera: Camera, irises: bool) -> None:
        self._landmarker = _Noting(irises=irises)
        self._tracker = FaceTracker(
            FaceTrackerConfig(max_faces=1, recognise=False), landmarker=self._landmarker
        )
        self._tracker.camera = camera
        self._stamp_s = 0.0

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._tracker.close()

    def read(self, image: NDArray[np.uint8]) -> tuple[Face | None, Reading | None]:
        """Return the face of a still picture, and its reading.

        The picture is read twice: the second time in the crop of a face that is followed, as in a video.
        """
        self._stamp_s += 100.0  # so long a gap ends the track of the picture before
        for step_s in (0.0, 0.04):
            self._landmarker.readings.clear()
            faces = self._tracker.update(Frame(image, self._stamp_s + step_s)).faces
        for face in faces:
            for reading in self._landmarker.readings:
                if reading.landmarks is face.landmarks:
                    return face, reading
        return None, None


class _Noting(Landmarker):
    """A landmarker that keeps its readings."""

    def __init__(self, *, irises: bool) -> None:
        super().__init__(irises=irises)
        self.readings: list[Reading] = []

    def read(self, rgb: NDArray[np.uint8], crop: Roi) -> list[Reading]:
        """Return the faces in the crop, and keep them."""
        found = super().read(rgb, crop)
        self.readings += found
        return found
