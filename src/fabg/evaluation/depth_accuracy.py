"""How right distances are: stereo matching, a depth camera and one camera alone, on rendered people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation import charts
from fabg.evaluation.face_pictures import FaceRanges, picture_of
from fabg.evaluation.report import Section
from fabg.evaluation.rows import Condition, error_row, rate_row
from fabg.perception.depth import face_distance, iris_distance
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.pose import Camera
from fabg.perception.stereo import StereoConfig, StereoGeometry, StereoMatcher
from fabg.perception.types import Depth, DepthSource, Face, Frame
from fabg.social.avatar import Actor, Lens, Person, Picture, Studio
from fabg.social.avatar.scene import through_lens

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

RANGES = FaceRanges(distance_m=(0.5, 1.5))
BASELINES_M = (0.063, 0.12)
_MOST_RIGHT_M = 0.015
_SENSOR_NOISE, _SENSOR_HOLES = 0.01, 0.1


class PairStudio(Studio):
    """Takes each picture with cameras beside the first one, too, each with noise of its own.

    Attributes
    ----------
    rights
        The last picture as the right cameras of `BASELINES_M` saw it. What is painted behind the people is
        infinitely far away.
    """

    rights: Sequence[NDArray[np.uint8]] = ()

    def render(
        self, actors: Sequence[Actor], *, lens: Lens | None = None, seed: int = 0, **scene: Any
    ) -> Picture:
        """Return the left picture, and keep the right ones."""
        lens = lens or Lens()
        bare = Lens(exposure_ev=lens.exposure_ev)
        views = [
            super(PairStudio, self).render([moved(a, b) for a in actors], lens=bare, seed=seed, **scene)
            for b in (0.0, *BASELINES_M)
        ]
        left, *self.rights = (through_lens(v.image, lens, seed + 7 * k) for k, v in enumerate(views))
        return replace(views[0], image=left)


def moved(actor: Actor, baseline_m: float) -> Actor:
    """Return somebody as a camera sees him that stands `baseline_m` to the right."""

    def shifted(pose: Array) -> Array:
        return pose - baseline_m * np.outer(np.eye(4)[0], np.eye(4)[3])

    face = actor.face
    if face is not None:
        gaze = face.gaze - [baseline_m, 0.0, 0.0] if isinstance(face.gaze, np.ndarray) else face.gaze
        face = replace(face, pose=shifted(face.pose), gaze=gaze)
    return replace(
        actor, face=face, hands=tuple(replace(hand, pose=shifted(hand.pose)) for hand in actor.hands)
    )


@dataclass(frozen=True)
class _Reading:
    """What one picture gave: errors relative to the distance (NaN: none), and the shares of known pixels."""

    distance_m: float
    age_years: float
    tone: float
    pixels: tuple[float, ...]
    """Median over the person for each baseline."""
    known: tuple[float, ...]
    outliers: tuple[float, ...]
    faces: dict[str, float]
    """Of the sellion, by method."""


def depth_section(people: Sequence[int], per_person: int, seed: int, progress: Progress) -> Section:
    """Measure distances of surfaces and of faces."""
    readings = _read(people, per_person, seed, progress)
    away = np.array([r.distance_m for r in readings])
    distance = Condition.ranges("distance", away, (0.5, 0.75, 1.0, 1.25, 1.6), "m")
    tone = Condition.ranges(
        "skin tone", [r.tone for r in readings], (0.0, 0.33, 0.67, 1.0), "(0 dark, 1 light)"
    )
    adult = Condition.kinds("age", ["child" if r.age_years < 14 else "grown-up" for r in readings])
    rows = []
    for k, baseline_m in enumerate(BASELINES_M):
        name = f"stereo, {baseline_m * 1e3:.0f} mm"
        rows.append(
            error_row(
                f"{name}, median over the person", "%", 100 * np.array([r.pixels[k] for r in readings]),
                target=2.0, conditions=(distance, tone),
            )
        )  # fmt: skip
        known = np.array([r.known[k] for r in readings])
        outliers = np.array([r.outliers[k] for r in readings])
        rows.append(
            error_row(f"{name}, pixels without distance", "%", 100 * (1 - known), conditions=(distance,))
        )
        rows.append(error_row(f"{name}, pixels wrong by > 10 %", "%", 100 * outliers, conditions=(distance,)))
    for method in readings[0].faces:
        rows.append(
            error_row(
                f"face, {method}", "%", 100 * np.array([r.faces[method] for r in readings]),
                conditions=(distance, adult),
            )
        )  # fmt: skip
    found = [not math.isnan(r.faces["one camera, size of the face"]) for r in readings]
    rows.append(rate_row("face found", found))
    return Section(
        "depth",
        "Distance",
        f"{len(readings)} pictures of {len(people)} people at 0.5 to 1.5 m, 640 x 480, 60 degrees across, with blur "
        f"and noise; stereo matched at {StereoConfig().scale:g} of the size. The depth camera is the rendered depth "
        f"with {_SENSOR_NOISE:.0%} noise and {_SENSOR_HOLES:.0%} holes. Faces: error of the sellion's distance.",
        tuple(rows),
        tuple(
            charts.by_condition(
                f"Stereo, {b * 1e3:.0f} mm", 100 * np.array([r.pixels[k] for r in readings]), distance,
                unit="% of the distance",
            )
            for k, b in enumerate(BASELINES_M)
        ),
    )  # fmt: skip


def _read(people: Sequence[int], per_person: int, seed: int, progress: Progress) -> list[_Reading]:
    size = (640, 480)
    camera = Camera.from_fov(*size, 60.0)
    matchers = [StereoMatcher(StereoGeometry(camera.fx, b)) for b in BASELINES_M]
    readings: list[_Reading] = []
    studio = PairStudio(camera, size)
    with studio, FaceTracker(FaceTrackerConfig(max_faces=1, recognise=False)) as tracker:
        tracker.camera = camera
        for number in people:
            person, rng = Person.random(number), np.random.default_rng([seed, number])
            for _ in range(per_person):
                picture, drawn = picture_of(rng, person, RANGES, studio)
                depths = [
                    m.depth(picture.image, right) for m, right in zip(matchers, studio.rights, strict=True)
                ]
                face = _face(tracker, picture.image, len(readings))
                readings.append(_judged(picture, drawn, depths, face, camera, rng))
                progress(len(readings), len(people) * per_person)
    return readings


def _face(tracker: FaceTracker, image: NDArray[np.uint8], number: int) -> Face | None:
    """Return the face of a still picture, read twice as in a video."""
    for step_s in (0.0, 0.04):  # the gap to the picture before ends its track
        faces = tracker.update(Frame(image, 100.0 * (number + 1) + step_s)).faces
    return faces[0] if faces else None


def _judged(
    picture: Picture,
    drawn: dict[str, float],
    depths: Sequence[Depth],
    face: Face | None,
    camera: Camera,
    rng: np.random.Generator,
) -> _Reading:
    truth = picture.depth
    person = np.isfinite(truth)
    errors = [np.abs(depth.z_m[person] / truth[person] - 1.0) for depth in depths]
    noisy = truth * rng.normal(1.0, _SENSOR_NOISE, truth.shape).astype(np.float32)
    noisy[rng.random(truth.shape) < _SENSOR_HOLES] = np.nan
    z_m = float(picture.faces[0].pose[2, 3])
    told: dict[str, float | None] = {f"stereo {b * 1e3:.0f} mm": None for b in BASELINES_M}
    told |= {"depth camera": None, "one camera, size of the face": None, "one camera, iris": None}
    if face is not None:
        measured = [face_distance(face, d) for d in (*depths, Depth(noisy, DepthSource.SENSOR))]
        alone = [float(face.pose[2, 3]), iris_distance(face.landmarks, camera)]
        told = dict(zip(told, [*measured, *alone], strict=True))
    return _Reading(
        drawn["distance_m"],
        drawn["age_years"],
        drawn["tone"],
        tuple(float(np.nanmedian(e)) if np.isfinite(e).any() else math.nan for e in errors),
        tuple(float(np.isfinite(e).mean()) for e in errors),
        tuple(float((e > 0.1).mean()) for e in errors),
        {method: math.nan if z is None else z / z_m - 1.0 for method, z in told.items()},
    )
