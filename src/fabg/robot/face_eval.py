"""Can a face tracker read the robot's face? Command joints, look at the pictures, correlate.

Two experiments, both without any memory between pictures:

- one at a time: each joint, and each named expression, runs through its travel while all else rests;
- all at random: every joint moves, the neck included, at random distances.

Each joint is read by a fixed formula of the tracker's scores (`fabg.robot.face_readout`), and by a
linear read-out of everything the tracker knows, learnt on pictures of their own. A gaze under a
moving head is judged by the second, all else by the first. Seeds below `FIRST_REPORT_SEED` were used
while the shapes were tuned, so a report starts there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from fabg.errors import UsageError
from fabg.geometry import OPTICAL_FROM_BODY, ypr_from_rotation
from fabg.perception.landmark import Landmarker
from fabg.perception.pose import Camera, head_pose
from fabg.perception.types import Roi
from fabg.robot.face_readout import (
    EXPRESSIONS,
    READOUTS,
    Expression,
    LinearReadout,
    Readout,
    Sample,
    Vector,
    both,
    score,
)
from fabg.robot.model import RobotModel
from fabg.robot.twin import Twin

FIRST_REPORT_SEED = 1000
CALIBRATION_SEED, CALIBRATION_PICTURES = 17, 400
"""Of the pictures on which the linear read-outs are learnt; never among the reported ones."""
TARGET_FOUND, TARGET_SINGLE, TARGET_MIXED = 0.99, 0.93, 0.75
SWEEP_STEPS = 15
SIZE = (640, 480)
NEAR_M, FAR_M = 0.45, 1.0

Command = Callable[[Sample], float]


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
        When `samples` is below 20 or `seed` below `FIRST_REPORT_SEED`.
    ModelFileError, EnvironmentProblem
        When mesh data, tracker model or GL are missing.
    """
    if samples < 20:
        raise UsageError(f"samples is {samples}: expected at least 20 for a correlation to mean anything")
    if seed < FIRST_REPORT_SEED:
        raise UsageError(f"seed is {seed}: expected {FIRST_REPORT_SEED} or more, lower ones tuned the face")
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
    plans["mixed"] = _random_plan(robot, rng, samples)
    plans["calibration"] = _random_plan(robot, np.random.default_rng(CALIBRATION_SEED), CALIBRATION_PICTURES)
    return plans


def _random_plan(robot: RobotModel, rng: np.random.Generator, count: int) -> list[tuple[Vector, float]]:
    return [(_at_random(robot, rng), float(rng.uniform(NEAR_M, FAR_M))) for _ in range(count)]


def _at_random(robot: RobotModel, rng: np.random.Generator) -> Vector:
    """Move every joint: independent movements, each side apart from the other by up to a fifth of the travel.

    Lids blink or widen in two pictures of five and else hang about their rest; both eyes look at one point,
    0.3 to 3 m away; the neck keeps within 0.4 of its travel (24 degrees of yaw), as face to face.
    """
    shares = {}
    stems = dict.fromkeys(name.removesuffix("_left").removesuffix("_right") for name in robot.names)
    for stem in stems:
        if stem in robot.index:
            shares[stem] = rng.uniform(-1, 1) if robot[stem].lower < 0 else rng.uniform(0, 1)
            shares[stem] *= 0.4 if robot[stem].group == "neck" else 1.0
        elif not stem.startswith("eye_"):
            middle, apart = rng.uniform(-1, 1), 0.2
            if stem == "lid":
                blinks = rng.random() < 0.4
                middle, apart = (rng.uniform(-0.3, 1), 0.2) if blinks else (rng.uniform(-0.1, 0.1), 0.05)
            for side in ("left", "right"):
                shares[f"{stem}_{side}"] = float(np.clip(middle + rng.uniform(-apart, apart), -1, 1))
    yaw, pitch, half_vergence = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8), 0.03 / rng.uniform(0.3, 3.0)
    shares["eye_left_yaw"] = yaw - half_vergence / robot["eye_left_yaw"].upper
    shares["eye_right_yaw"] = yaw + half_vergence / robot["eye_right_yaw"].upper
    for side in ("left", "right"):
        shares[f"eye_{side}_pitch"] = pitch
    return at_share(robot, shares)


def _report(
    robot: RobotModel, results: Mapping[str, list[Sample]], *, samples: int, seed: int
) -> dict[str, Any]:
    mixed, calibration = results["mixed"], results["calibration"]

    def row(readout: Readout, command: Command, single: list[Sample], gaze: bool) -> dict[str, Any]:
        parts = [_usable(robot, part, open_eyes=gaze) for part in (single, mixed, calibration)]
        return _correlations(readout, command, *parts)

    joints = {}
    for joint in robot.joints:
        command = _command(robot, {joint.name: 1.0})
        joints[joint.name] = row(
            READOUTS[joint.name], command, results[f"joint {joint.name}"], joint.group == "eyes"
        )
    expressions = {}
    for name, expression in EXPRESSIONS.items():
        command = _command(robot, expression.joints, rectify=expression.low == 0.0)
        entry = row(expression.readout, command, results[f"expression {name}"], expression.gaze)
        random = entry["r_mixed_linear"] if expression.gaze else entry["r_mixed"]
        expressions[name] = entry | {
            "target_single": TARGET_SINGLE if expression.single else None,
            "target_mixed": TARGET_MIXED if expression.mixed else None,
            "met": _met(entry["r_single"], random, expression),
        }
    single = [s for name, plan in results.items() if name not in ("mixed", "calibration") for s in plan]
    found = {"single": _share(single), "mixed": _share(mixed)}
    met = {
        "found": min(found.values()) >= TARGET_FOUND,
        **{name: row["met"] for name, row in expressions.items() if row["met"] is not None},
    }
    return {
        "samples": samples,
        "seed": seed,
        "pictures": len(single) + len(mixed),
        "distance_m": [NEAR_M, FAR_M],
        "calibration": {"seed": CALIBRATION_SEED, "pictures": len(calibration)},
        "eyes_open": sum(_eyes_open(robot, sample) for sample in mixed),
        "found": found,
        "joints": joints,
        "expressions": expressions,
        "targets": {"found": TARGET_FOUND, "r_single": TARGET_SINGLE, "r_mixed": TARGET_MIXED},
        "met": met,
        "all_met": all(met.values()),
    }


def _correlations(
    readout: Readout, command: Command, single: list[Sample], mixed: list[Sample], calibration: list[Sample]
) -> dict[str, Any]:
    linear = LinearReadout(calibration, np.array([command(s) for s in calibration]))
    has_score = bool(readout.plus or readout.angle)
    return {
        "readout": str(readout),
        "r_single": _r((command(s), score(s, readout)) for s in single) if has_score else None,
        "r_mixed": _r((command(s), score(s, readout)) for s in mixed) if has_score else None,
        "r_mixed_linear": _r((command(s), linear(s)) for s in mixed),
    }


def _usable(robot: RobotModel, samples: list[Sample], *, open_eyes: bool) -> list[Sample]:
    return [s for s in samples if s.reading is not None and (not open_eyes or _eyes_open(robot, s))]


def _eyes_open(robot: RobotModel, sample: Sample) -> bool:
    """Say whether both lids leave the iris in sight: nobody can read a gaze through a lid."""
    lids = [robot.index["lid_left"], robot.index["lid_right"]]
    return bool((sample.positions[lids] <= 0.3 * robot.upper[lids]).all())


def _command(robot: RobotModel, shares: Mapping[str, float], *, rectify: bool = False) -> Command:
    """Return the commanded strength: the mean share of travel, from 0 up where the scores are one-sided."""

    def value(sample: Sample) -> float:
        total = 0.0
        for name, share in shares.items():
            joint, q = robot[name], sample.positions[robot.index[name]]
            strength = q / (joint.upper if q > 0 else -joint.lower) * np.sign(share) if q else 0.0
            total += max(strength, 0.0) if rectify else strength
        return total / len(shares)

    return value


def _r(pairs: Iterable[tuple[float, float]]) -> float | None:
    """Pearson correlation; None where either side does not vary."""
    table = np.array(list(pairs)).reshape(-1, 2)
    if len(table) < 5 or table.std(axis=0).min() < 1e-6:
        return None
    return round(float(np.corrcoef(table.T)[0, 1]), 3)


def _met(single: float | None, random: float | None, expression: Expression) -> bool | None:
    """Say whether the targets are met; None where there is none."""
    wanted = [(single, TARGET_SINGLE)] * expression.single + [(random, TARGET_MIXED)] * expression.mixed
    if not wanted:
        return None
    return all(r is not None and r >= target for r, target in wanted)


def _share(samples: list[Sample]) -> float:
    return round(sum(s.reading is not None for s in samples) / len(samples), 4)


SHEET: tuple[tuple[str, Mapping[str, float]], ...] = (
    ("neutral", {}),
    ("smile", both("corner_vertical") | both("cheek", amount=0.5)),
    ("surprise", both("brow_inner", "brow_outer") | both("lid", amount=-1.0) | {"jaw": 0.6}),
    ("blink", both("lid")),
    ("gaze left", {"eye_left_yaw": 0.7, "eye_right_yaw": 0.7}),
    ("gaze down", {"eye_left_pitch": 0.8, "eye_right_pitch": 0.8}),
    ("frown", both("corner_vertical", "brow_inner", amount=-1.0)),
    ("pucker", {"pucker": 1.0}),
    ("stretch", both("corner_horizontal") | {"jaw": 0.15}),
    ("look up", {"neck_pitch": -0.6, "eye_left_pitch": -0.4, "eye_right_pitch": -0.4}),
    ("turn left", {"neck_yaw": 0.6, "neck_pitch": 0.15} | both("corner_vertical", amount=0.5)),
    ("tilt", {"neck_roll": 0.7, "neck_yaw": -0.3} | both("corner_vertical", amount=0.7)),
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
        raise UsageError(f"the contact sheet cannot be written to {path}: expected a writable .png")
    return path


def render(report: Mapping[str, Any]) -> Table:
    """Lay out a report of `evaluate_robot_face` as a table for the terminal."""
    found = report["found"]
    verdict = "all targets met" if report["all_met"] else "targets missed"
    table = Table(
        title=f"Robot face, {report['pictures']} pictures, seed {report['seed']}: {verdict}",
        caption=f"face found: {found['single']:.1%} one at a time, {found['mixed']:.1%} at random "
        f"(target {TARGET_FOUND:.0%})\nr learnt: by a linear read-out learnt on other pictures; it judges gazes",
    )
    table.add_column("joint or expression", min_width=23, no_wrap=True)
    for title in ("r alone", "r random", "r learnt"):
        table.add_column(title, justify="right", min_width=8, no_wrap=True)
    table.add_column("met", no_wrap=True)
    table.add_column("read by")
    for section in ("expressions", "joints"):
        for name, row in report[section].items():
            numbers = (
                "-" if row[k] is None else f"{row[k]:.2f}" for k in ("r_single", "r_mixed", "r_mixed_linear")
            )
            met = {True: "yes", False: "NO", None: ""}[row.get("met")]
            table.add_row(name, *numbers, met, row["readout"])
        table.add_section()
    return table
