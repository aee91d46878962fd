"""How well faces are found, how right their poses and gazes are, on rendered people of known pose."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation import charts
from fabg.evaluation.face_pictures import FaceRanges, turned_to
from fabg.evaluation.face_samples import FaceSamples, sample_faces
from fabg.evaluation.report import Section
from fabg.evaluation.rows import Condition, error_row, rate_row
from fabg.expression import INDEX
from fabg.geometry import ypr_from_rotation
from fabg.perception.gaze import GazeEstimator
from fabg.social.avatar import FRONTAL

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

FOUND = FaceRanges(distance_m=(0.4, 2.5), yaw_deg=40.0)
MOVING = FaceRanges()
STRAIGHT = FaceRanges(yaw_deg=2.0, pitch_deg=2.0, roll_deg=2.0)
LOOKING_M = (0.4, 1.2)
"""Distances at which gaze is judged: further away an iris is a few pixels wide; those are listed apart."""

_TONES = (0.0, 0.33, 0.67, 1.0)
_SAME_PLACE_DEG = 5.0


def found_section(people: Sequence[int], per_person: int, seed: int, progress: Progress) -> Section:
    """Measure how often a face is found where it is."""
    samples = sample_faces(people, per_person, seed=seed, ranges=FOUND, progress=progress)
    hits = _in_place(samples)
    distance = Condition.ranges(
        "distance", samples.conditions["distance_m"], (0.4, 0.8, 1.2, 1.6, 2.0, 2.5), "m"
    )
    yaw = Condition.ranges("yaw", np.abs(samples.conditions["yaw_deg"]), (0, 15, 30, 40), "deg")
    tone = Condition.ranges("skin tone", samples.conditions["tone"], _TONES, "(0 dark, 1 light)")
    light = Condition.ranges("exposure", samples.conditions["exposure"], (0.7, 0.9, 1.1, 1.3), "x")
    return Section(
        "found",
        "Faces found",
        f"{len(samples)} single pictures of {len(people)} people at 0.4 to 2.5 m, yaw within 40, pitch and roll "
        "within 20 degrees, with blur, noise, and lights of all kinds. A face counts as found when its place is "
        f"within {_SAME_PLACE_DEG:g} degrees of the true direction.",
        (rate_row("face found", hits, target=0.99, conditions=(distance, yaw, tone, light)),),
        (charts.failures("Face found by distance", hits, distance),),
    )


def pose_section(people: Sequence[int], per_person: int, seed: int, progress: Progress) -> Section:
    """Measure the errors of head pose and position."""
    samples = sample_faces(people, per_person, seed=seed, ranges=MOVING, progress=progress)
    angles = _angle_errors_deg(samples)
    away = np.linalg.norm(samples.pose[:, :3, 3], axis=1)
    place = np.linalg.norm(samples.face_pose[:, :3, 3] - samples.pose[:, :3, 3], axis=1) / away
    along = (np.linalg.norm(samples.face_pose[:, :3, 3], axis=1) - away) / away
    distance = Condition.ranges("distance", samples.conditions["distance_m"], (0.4, 0.8, 1.2, 2.0), "m")
    tone = Condition.ranges("skin tone", samples.conditions["tone"], _TONES, "(0 dark, 1 light)")
    adult = Condition.kinds(
        "age", ["child" if age < 14 else "grown-up" for age in samples.conditions["age_years"]]
    )
    yaw = Condition.ranges("yaw", np.abs(samples.conditions["yaw_deg"]), (0, 10, 20, 30), "deg")
    rows = [
        error_row(f"head {name}", "deg", angles[:, k], target=2.5, conditions=(distance, yaw, tone))
        for k, name in enumerate(("yaw", "pitch", "roll"))
    ]
    rows.append(
        error_row(
            "head position, of the distance", "%", 100 * place, target=3.0, conditions=(distance, adult, tone)
        )
    )
    rows.append(
        error_row(
            "of that, along the line of sight", "%", 100 * along, note="From one camera, without depth."
        )
    )
    truth = np.column_stack([samples.conditions[f"{name}_deg"] for name in ("yaw", "pitch", "roll")])
    said = truth + angles
    return Section(
        "pose",
        "Head pose",
        f"{len(samples)} pictures of {len(people)} people not seen in any fit, at 0.4 to 2 m, yaw within "
        "30, pitch and roll within 20 degrees, faces that do anything and eyes that look anywhere.",
        tuple(rows),
        (
            charts.against_truth("Head angles", truth, said, unit="degrees", names=("yaw", "pitch", "roll")),
            charts.by_condition("Position by distance", 100 * place, distance, unit="% of the distance"),
        ),
    )


def gaze_section(people: Sequence[int], per_person: int, seed: int, progress: Progress) -> Section:
    """Measure the angle between the true and the measured gaze."""
    half = lambda done, total: progress(done, 2 * total)  # noqa: E731
    rest = lambda done, total: progress(total + done, 2 * total)  # noqa: E731
    frontal = sample_faces(people, per_person, seed=seed, ranges=STRAIGHT, progress=half)
    moving = sample_faces(people, per_person, seed=seed + 1, ranges=MOVING, progress=rest)
    rows, drawn = [], []
    for name, samples, target in (("frontal", frontal, 2.5), ("head moving", moving, 3.5)):
        open_eyes = _eyes_open(samples)
        near = samples.conditions["distance_m"] <= LOOKING_M[1]
        for kept, limit, where in ((near, target, "to 1.2 m"), (~near, None, "1.2 to 2 m")):
            part = samples.where(open_eyes & kept)
            errors, eye_truth, eye_said = _gaze_errors(part)
            tone = Condition.ranges("skin tone", part.conditions["tone"], _TONES, "(0 dark, 1 light)")
            distance = Condition.ranges(
                "distance", part.conditions["distance_m"], (0.4, 0.6, 0.8, 1.2, 1.6, 2.0), "m"
            )
            rows.append(
                error_row(
                    f"gaze ray, {name}, {where}", "deg", errors, target=limit, conditions=(distance, tone)
                )
            )
            if limit is not None:
                drawn.append(
                    charts.against_truth(
                        f"Eyes in the head, {name}",
                        eye_truth,
                        eye_said,
                        unit="degrees",
                        names=("yaw", "pitch"),
                    )
                )
    return Section(
        "gaze",
        "Gaze",
        f"{len(frontal) + len(moving)} single pictures, eyes open and within 20 degrees of straight ahead, without "
        "calibration to the person. The error is the angle between the true line of sight and the measured ray.",
        tuple(rows),
        tuple(drawn),
    )


def _in_place(samples: FaceSamples) -> NDArray[np.bool_]:
    true, said = samples.pose[:, :3, 3], samples.face_pose[:, :3, 3]
    return np.asarray(_angle_deg(true, said) <= _SAME_PLACE_DEG)  # NaN, not found, compares False


def _angle_errors_deg(samples: FaceSamples) -> Array:
    """Return the errors in yaw, pitch, roll, degrees, shape (n, 3); NaN where no face was found.

    All three are those against a head that faces the camera, from wherever it is.
    """
    errors = np.full((len(samples), 3), np.nan)
    for i, (true, said) in enumerate(zip(samples.pose, samples.face_pose, strict=True)):
        if np.isfinite(said).all():
            facing = turned_to(true[:3, 3]) @ FRONTAL
            angles = [np.array(ypr_from_rotation(facing.T @ p[:3, :3])) for p in (said, true)]
            errors[i] = np.degrees(angles[0] - angles[1])
    return errors


def _eyes_open(samples: FaceSamples) -> NDArray[np.bool_]:
    blink = samples.shapes[:, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]].max(axis=1)
    return np.asarray((blink < 0.3) & samples.was_found)


def _gaze_errors(samples: FaceSamples) -> tuple[Array, Array, Array]:
    """Return the angles between true and measured rays, degrees, and the eyes' (yaw, pitch) in the head."""
    estimator = GazeEstimator()
    errors = np.full(len(samples), np.nan)
    truth, said = np.full((len(samples), 2), np.nan), np.full((len(samples), 2), np.nan)
    for i in range(len(samples)):
        in_head = samples.pose[i, :3, :3].T @ samples.gaze[i]
        truth[i] = np.degrees(
            [math.atan2(in_head[1], in_head[0]), math.atan2(-in_head[2], math.hypot(*in_head[:2]))]
        )
        gazes = estimator.update(samples.single_image(i), samples.camera)
        if gazes and gazes[0].confidence > 0.0:
            (gaze,) = gazes
            errors[i] = _angle_deg(samples.gaze[i], gaze.direction)
            said[i] = np.degrees([gaze.eye_yaw_rad, gaze.eye_pitch_rad])
    return errors, truth, said


def _angle_deg(a: Array, b: Array) -> Array:
    """Return the angles between vectors (..., 3), degrees."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(cross, (a * b).sum(axis=-1)))
