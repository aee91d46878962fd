"""Can a face tracker read the robot's face? Command joints, look at the pictures, correlate.

Two experiments, both without any memory between pictures:

- one at a time: each joint, and each named expression, runs through its travel while all else rests;
- all at random: every joint takes an independent random position, the neck included, at random
  distances.

Each joint is read by a fixed formula of the tracker's blendshape scores (`READOUTS`; the neck by the
tracker's head pose); nothing is fitted. Seeds below `FIRST_REPORT_SEED` were used while the shapes
were tuned, so a report starts there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fabg.errors import UsageError
from fabg.expression import INDEX
from fabg.geometry import OPTICAL_FROM_BODY, ypr_from_rotation
from fabg.perception.landmark import Landmarker, Reading
from fabg.perception.pose import Camera, head_pose
from fabg.perception.types import Roi
from fabg.robot.model import RobotModel
from fabg.robot.twin import Twin

FIRST_REPORT_SEED = 1000
TARGET_FOUND, TARGET_SINGLE, TARGET_MIXED = 0.99, 0.93, 0.75
SWEEP_STEPS = 15
SIZE = (640, 480)
NEAR_M, FAR_M = 0.45, 1.0

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Readout:
    """A sum of blendshape scores that should follow one joint.

    `plus` minus `minus`; `angle` names a head-pose angle instead. Both empty: the tracker has no
    score that this joint moves, for the reason in `note`.
    """

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    angle: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.angle:
            return f"head pose: {self.angle}"
        if not self.plus:
            return f"none: {self.note}"
        return " + ".join(self.plus) + "".join(f" - {name}" for name in self.minus)


def _sided(side: str) -> dict[str, Readout]:
    cap = side.capitalize()
    out, inn = (f"eyeLookOut{cap}", f"eyeLookIn{cap}")
    left, right = (out, inn) if side == "left" else (inn, out)
    return {
        f"eye_{side}_yaw": Readout((left,), (right,)),
        f"eye_{side}_pitch": Readout((f"eyeLookDown{cap}",), (f"eyeLookUp{cap}",)),
        f"lid_{side}": Readout((f"eyeBlink{cap}",), (f"eyeWide{cap}",)),
        f"brow_inner_{side}": Readout(("browInnerUp",), (f"browDown{cap}",)),
        f"brow_outer_{side}": Readout((f"browOuterUp{cap}",), (f"browDown{cap}",)),
        f"cheek_{side}": Readout(note="the tracker's cheekSquint, noseSneer and cheekPuff stay at 0 on any face"),
        f"lip_upper_{side}": Readout((f"mouthUpperUp{cap}",), ("mouthRollUpper",)),
        f"lip_lower_{side}": Readout((f"mouthLowerDown{cap}",), ("mouthRollLower",)),
        f"corner_vertical_{side}": Readout((f"mouthSmile{cap}",), (f"mouthFrown{cap}",)),
        f"corner_horizontal_{side}": Readout((f"mouthStretch{cap}",), ("mouthPucker",)),
    }


READOUTS: Mapping[str, Readout] = {
    "neck_yaw": Readout(angle="yaw"),
    "neck_pitch": Readout(angle="pitch"),
    "neck_roll": Readout(angle="roll"),
    **_sided("left"),
    **_sided("right"),
    "pucker": Readout(("mouthPucker", "mouthFunnel"), ("mouthPressLeft", "mouthPressRight")),
    "jaw": Readout(("jawOpen",)),
}
"""What each joint is correlated against."""


@dataclass(frozen=True)
class Expression:
    """A named movement of several joints by one strength, as shares of their travel (-1..1).

    `single` and `mixed` say whether the tracker must follow it in the two experiments.
    """

    joints: Mapping[str, float]
    readout: Readout
    low: float = 0.0
    single: bool = False
    mixed: bool = False


def _both(*stems: str, amount: float = 1.0) -> dict[str, float]:
    return {f"{stem}_{side}": amount for stem in stems for side in ("left", "right")}


def _pair(*stems: str) -> tuple[str, ...]:
    return tuple(f"{stem}{side}" for stem in stems for side in ("Left", "Right"))


_EYES_YAW = {"eye_left_yaw": 1.0, "eye_right_yaw": 1.0}
_EYES_PITCH = {"eye_left_pitch": 1.0, "eye_right_pitch": 1.0}
EXPRESSIONS: Mapping[str, Expression] = {
    "smile": Expression(_both("corner_vertical"), Readout(_pair("mouthSmile")), single=True, mixed=True),
    "jaw": Expression({"jaw": 1.0}, Readout(("jawOpen",)), single=True, mixed=True),
    "blink": Expression(_both("lid"), Readout(_pair("eyeBlink")), single=True, mixed=True),
    "gaze_yaw": Expression(
        _EYES_YAW, Readout(("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight")), -1.0, True, True
    ),
    "gaze_pitch": Expression(_EYES_PITCH, Readout(_pair("eyeLookDown"), _pair("eyeLookUp")), -1.0, True, True),
    "brows": Expression(
        _both("brow_inner", "brow_outer"), Readout(("browInnerUp", *_pair("browOuterUp")), _pair("browDown")), -1.0,
        mixed=True,
    ),
    "surprise": Expression(
        _both("brow_inner", "brow_outer") | {"jaw": 0.7}, Readout(("browInnerUp", *_pair("browOuterUp"), "jawOpen"))
    ),
    "pucker": Expression({"pucker": 1.0}, Readout(("mouthPucker", "mouthFunnel")), mixed=True),
    "frown": Expression(_both("corner_vertical", amount=-1.0), Readout(_pair("mouthFrown"))),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """What was commanded and what was read (None: no face found)."""

    positions: Vector
    distance: float
    reading: Reading | None
    angles: Mapping[str, float]


def evaluate_robot_face(
    *,
    samples: int = 300,
    seed: int = FIRST_REPORT_SEED,
    progress: bool = True,
    sheet: Path | str | None = None,
    robot: RobotModel | None = None,
) -> dict[str, Any]:
    """Measure how well the face tracker reads the robot.

    Parameters
    ----------
    samples
        Pictures of the random experiment, at least 20.
    seed
        Seed of all randomness: the same seed gives the same result.
    sheet
        Where to write a contact sheet of expressions (PNG).

    Returns
    -------
    A dictionary of plain numbers, strings and lists: `found`, `joints` (all 25: read-out, r one at a
    time, r at random), `expressions`, `targets`, `met`.

    Raises
    ------
    UsageError
        When `samples` is below 20.
    ModelFileError, EnvironmentProblem
        When mesh data, tracker model or GL are missing.
    """
    if samples < 20:
        raise UsageError(f"samples is {samples}: expected at least 20 for a correlation to mean anything")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Twin(robot, size=SIZE) as twin, Progress(*columns, disable=not progress, transient=True) as bar:
        landmarker = Landmarker()
        try:
            looker = _Looker(twin, landmarker)
            plans = _plans(twin.robot, samples, seed)
            total = sum(len(plan) for plan in plans.values())
            task = bar.add_task("reading the robot's face", total=total)
            results: dict[str, list[Sample]] = {}
            for name, plan in plans.items():
                results[name] = []
                for positions, distance in plan:
                    results[name].append(looker.look(positions, distance))
                    bar.advance(task)
        finally:
            landmarker.close()
    report = _report(twin.robot, results, samples=samples, seed=seed)
    if sheet is not None:
        write_sheet(sheet, robot=robot)
    return report


def at_share(robot: RobotModel, shares: Mapping[str, float]) -> Vector:
    """Joint positions (25,) rad from shares of each joint's travel: 1 the upper limit, -1 the lower."""
    positions = robot.neutral.copy()
    for name, share in shares.items():
        joint = robot[name]
        positions[robot.index[name]] = share * (joint.upper if share > 0 else -joint.lower)
    return np.clip(positions, robot.lower, robot.upper)


class _Looker:
    def __init__(self, twin: Twin, landmarker: Landmarker) -> None:
        self._twin, self._landmarker = twin, landmarker
        width, height = SIZE
        focal = height / 2 / np.tan(np.radians(twin.face_fov_deg) / 2)
        self._camera = Camera(focal, focal, (width - 1) / 2, (height - 1) / 2)
        self._crop = Roi((width - height) / 2, 0, height, height)

    def look(self, positions: Vector, distance: float) -> Sample:
        self._twin.set_positions(positions)
        self._twin.place_camera(distance)
        readings = self._landmarker.read(self._twin.render("face"), self._crop)
        if not readings:
            return Sample(positions, distance, None, {})
        reading = max(readings, key=lambda r: r.roi.width * r.roi.height)
        in_camera = head_pose(reading.landmarks, reading.rotation, reading.center, self._camera)
        # The camera faces the robot: its body frame is the base turned by half a turn about z.
        from_camera = np.diag([-1.0, -1.0, 1.0]) @ OPTICAL_FROM_BODY.T
        angles = ypr_from_rotation(from_camera @ in_camera[:3, :3])
        return Sample(positions, distance, reading, dict(zip(("yaw", "pitch", "roll"), angles, strict=True)))


def _plans(robot: RobotModel, samples: int, seed: int) -> dict[str, list[tuple[Vector, float]]]:
    rng = np.random.default_rng(seed)
    plans: dict[str, list[tuple[Vector, float]]] = {}

    def sweep(shares: Mapping[str, float], low: float) -> list[tuple[Vector, float]]:
        steps = np.sort(rng.uniform(low, 1.0, SWEEP_STEPS - 2))
        distance = float(rng.uniform(0.5, 0.7))
        return [
            (at_share(robot, {name: share * step for name, share in shares.items()}), distance)
            for step in (low, *steps, 1.0)
        ]

    for joint in robot.joints:
        plans[f"joint {joint.name}"] = sweep({joint.name: 1.0}, -1.0 if joint.lower < 0 else 0.0)
    for name, expression in EXPRESSIONS.items():
        plans[f"expression {name}"] = sweep(expression.joints, expression.low)
    neck = np.array([joint.group == "neck" for joint in robot.joints])
    spread = np.where(neck, 0.6, 1.0)  # at the neck's very limits the far eye leaves the picture
    plans["mixed"] = [
        (spread * rng.uniform(robot.lower, robot.upper), float(rng.uniform(NEAR_M, FAR_M))) for _ in range(samples)
    ]
    return plans


def _report(robot: RobotModel, results: Mapping[str, list[Sample]], *, samples: int, seed: int) -> dict[str, Any]:
    mixed = results["mixed"]
    everything = [sample for plan in results.values() for sample in plan]
    joints = {}
    for joint in robot.joints:
        readout = READOUTS[joint.name]
        command = _joint_value(robot, {joint.name: 1.0})
        joints[joint.name] = {
            "readout": str(readout),
            "r_single": _r(results[f"joint {joint.name}"], command, readout),
            "r_mixed": _r(mixed, command, readout),
        }
    expressions = {}
    for name, expression in EXPRESSIONS.items():
        command = _joint_value(robot, expression.joints, rectify=expression.low == 0.0)
        single = _r(results[f"expression {name}"], command, expression.readout)
        random = _r(mixed, command, expression.readout)
        expressions[name] = {
            "readout": str(expression.readout), "r_single": single, "r_mixed": random,
            "target_single": TARGET_SINGLE if expression.single else None,
            "target_mixed": TARGET_MIXED if expression.mixed else None,
            "met": _met(single, TARGET_SINGLE, expression.single) and _met(random, TARGET_MIXED, expression.mixed),
        }  # fmt: skip
    found = {"single": _found(everything, mixed), "mixed": _share(mixed)}
    met = {
        "found": min(found.values()) >= TARGET_FOUND,
        **{name: row["met"] for name, row in expressions.items() if row["target_single"] or row["target_mixed"]},
    }
    return {
        "samples": samples, "seed": seed, "pictures": len(everything), "distance_m": [NEAR_M, FAR_M],
        "found": found, "joints": joints, "expressions": expressions,
        "targets": {"found": TARGET_FOUND, "r_single": TARGET_SINGLE, "r_mixed": TARGET_MIXED},
        "met": met, "all_met": all(met.values()),
    }  # fmt: skip


def _joint_value(
    robot: RobotModel, shares: Mapping[str, float], *, rectify: bool = False
) -> Callable[[Sample], float]:
    """Return the commanded strength: the mean share of travel, from 0 up where the scores are one-sided."""

    def value(sample: Sample) -> float:
        total = 0.0
        for name, share in shares.items():
            joint, q = robot[name], sample.positions[robot.index[name]]
            strength = q / (joint.upper if q > 0 else -joint.lower) * np.sign(share) if q else 0.0
            total += max(strength, 0.0) if rectify else strength
        return total / len(shares)

    return value


def _read(sample: Sample, readout: Readout) -> float:
    if sample.reading is None:
        return float("nan")
    if readout.angle:
        return sample.angles[readout.angle]
    scores = sample.reading.blendshapes
    return float(sum(scores[INDEX[n]] for n in readout.plus) - sum(scores[INDEX[n]] for n in readout.minus))


def _r(samples: Iterable[Sample], command: Callable[[Sample], float], readout: Readout) -> float | None:
    """Pearson correlation over the pictures with a face; None without read-out or variation."""
    if not readout.plus and not readout.angle:
        return None
    pairs = np.array([(command(s), _read(s, readout)) for s in samples if s.reading is not None])
    if len(pairs) < 5 or pairs.std(axis=0).min() < 1e-6:
        return None
    return round(float(np.corrcoef(pairs.T)[0, 1]), 3)


def _met(r: float | None, target: float, wanted: bool) -> bool:
    return not wanted or (r is not None and r >= target)


def _share(samples: list[Sample]) -> float:
    return round(sum(s.reading is not None for s in samples) / len(samples), 4)


def _found(everything: list[Sample], mixed: list[Sample]) -> float:
    return _share(everything[: len(everything) - len(mixed)])


SHEET: tuple[tuple[str, Mapping[str, float]], ...] = (
    ("neutral", {}),
    ("smile", _both("corner_vertical") | _both("cheek", amount=0.5)),
    ("surprise", _both("brow_inner", "brow_outer") | _both("lid", amount=-1.0) | {"jaw": 0.6}),
    ("blink", _both("lid")),
    ("gaze left", {"eye_left_yaw": 0.7, "eye_right_yaw": 0.7}),
    ("gaze down", {"eye_left_pitch": 0.8, "eye_right_pitch": 0.8}),
    ("frown", _both("corner_vertical", "brow_inner", amount=-1.0)),
    ("pucker", {"pucker": 1.0}),
    ("stretch", _both("corner_horizontal") | {"jaw": 0.15}),
    ("look up", {"neck_pitch": -0.6, "eye_left_pitch": -0.4, "eye_right_pitch": -0.4}),
    ("turn left", {"neck_yaw": 0.6, "neck_pitch": 0.15} | _both("corner_vertical", amount=0.5)),
    ("tilt", {"neck_roll": 0.7, "neck_yaw": -0.3} | _both("corner_vertical", amount=0.7)),
)


def write_sheet(path: Path | str, *, robot: RobotModel | None = None, columns: int = 4) -> Path:
    """Write a contact sheet of expressions as PNG; return its path."""
    path = Path(path)
    tiles = []
    with Twin(robot, size=SIZE, quality="picture") as twin:
        for title, shares in SHEET:
            twin.set_positions(at_share(twin.robot, shares))
            tile = np.ascontiguousarray(twin.render("face")[:, 100:540])
            cv2.putText(tile, title, (14, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1, cv2.LINE_AA)
            tiles.append(tile)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.vstack(rows)[..., ::-1]):
        raise UsageError(f"the contact sheet cannot be written to {path}: expected a .png in a writable directory")
    return path
