"""From a recording to figures: delays, faces, limits, and how well the robot mirrored."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.expression import INDEX
from fabg.geometry import rotation_from_ypr, ypr_from_rotation
from fabg.latency import STAGES
from fabg.recording import Recording, Status, nearest
from fabg.robot.model import RobotModel

Series = NDArray[np.float64]

GRID_S = 0.01
MAX_LAG_S = 1.0
MIN_LAG_S = -0.2
MIN_SPREAD = 0.02
"""A signal whose standard deviation is smaller has nothing to follow (shares of 1, or rad)."""
_HOLE_S = 0.2
_NEARLY = 0.9
FOLLOWS_R = 0.5
"""Below this correlation one signal does not follow the other, and its lag means nothing."""
_EVEN = 0.25
"""Ticks came evenly when the time between two differs from the usual one by no more than this share of it."""


@dataclass(frozen=True)
class Follow:
    """How one signal follows another: Pearson's r at the lag where it is greatest."""

    r: float
    lag_ms: float

    @property
    def figures(self) -> dict[str, float | None]:
        """Rounded, for reports; without the lag when r is below `FOLLOWS_R`."""
        return {"r": round(self.r, 3), "lag_ms": round(self.lag_ms) if self.r >= FOLLOWS_R else None}


def follow(
    leader_t: ArrayLike, leader: ArrayLike, follower_t: ArrayLike, follower: ArrayLike
) -> Follow | None:
    """Return how well, and how late, one signal follows another.

    Both are sampled on a common grid; where the leader is unknown for longer than 0.2 s nothing is
    compared. The lag is refined between grid points by a parabola through the peak.

    Parameters
    ----------
    leader_t, follower_t
        Ascending times, s.
    leader, follower
        Values at these times.

    Returns
    -------
    None when there are less than two seconds to compare, or one of them hardly moves.
    """
    lt, lv = np.asarray(leader_t, dtype=np.float64), np.asarray(leader, dtype=np.float64)
    ft, fv = np.asarray(follower_t, dtype=np.float64), np.asarray(follower, dtype=np.float64)
    if len(lt) < 3 or len(ft) < 3:
        return None
    grid = np.arange(max(lt[0], ft[0] - MIN_LAG_S), min(lt[-1], ft[-1] - MAX_LAG_S), GRID_S)
    if len(grid) * GRID_S < 2.0:
        return None
    after = np.clip(np.searchsorted(lt, grid), 1, len(lt) - 1)
    known = (lt[after] - lt[after - 1]) <= _HOLE_S
    grid = grid[known]
    lead = np.interp(grid, lt, lv)
    if len(grid) * GRID_S < 2.0 or np.std(lead) < MIN_SPREAD or np.std(fv) < 1e-4:
        return None
    steps = np.arange(round(MIN_LAG_S / GRID_S), round(MAX_LAG_S / GRID_S) + 1)
    scores = np.array([_pearson(lead, np.interp(grid + k * GRID_S, ft, fv)) for k in steps])
    best = int(np.argmax(scores))
    lag_steps = float(steps[best])
    if 0 < best < len(scores) - 1:
        before, peak, behind = scores[best - 1 : best + 2]
        bend = before - 2 * peak + behind
        if bend < 0:
            lag_steps += 0.5 * (before - behind) / bend
    return Follow(float(scores[best]), lag_steps * GRID_S * 1e3)


def _pearson(a: Series, b: Series) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm > 0 else 0.0


@dataclass(frozen=True)
class Pair:
    """One thing that the person does and the robot repeats.

    Attributes
    ----------
    person_t, person
        When (s since the first image) and how much: share of 1, or rad.
    robot_t, robot
        The same of the robot: share of the joints' range from neutral to the limit, or rad.
    """

    name: str
    unit: str
    person_t: Series
    person: Series
    robot_t: Series
    robot: Series

    def follow(self) -> Follow | None:
        """How well the robot follows the person."""
        return follow(self.person_t, self.person, self.robot_t, self.robot)


EXPRESSIONS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("jaw open", ("jawOpen",), ("jaw",)),
    ("smile", ("mouthSmileLeft", "mouthSmileRight"), ("corner_vertical_left", "corner_vertical_right")),
    ("blink", ("eyeBlinkLeft", "eyeBlinkRight"), ("lid_left", "lid_right")),
    ("inner brows up", ("browInnerUp",), ("brow_inner_left", "brow_inner_right")),
    ("pucker", ("mouthPucker",), ("pucker",)),
)
"""What is compared: name, the person's shapes, the robot's joints (their mean each)."""


def robot_share(joints: ArrayLike, names: Sequence[str], robot: RobotModel) -> Series:
    """Return how far `names` are from neutral to their upper limit, mean of them, for rows (n, 25)."""
    index = [robot.index[name] for name in names]
    q = np.asarray(joints, dtype=np.float64).reshape(-1, len(robot.names))[:, index]
    neutral, upper = robot.neutral[index], robot.upper[index]
    return np.asarray(((q - neutral) / (upper - neutral)).mean(axis=1))


def pairs(recording: Recording, robot: RobotModel) -> list[Pair]:
    """Return what person and robot did side by side: expressions, then head yaw, pitch and roll."""
    start = recording.start_s
    attended = [(s.stamp_s - start, face) for s in recording.sights if (face := s.nearest) is not None]
    person_t = np.array([t for t, _ in attended])
    robot_t = np.array(recording.joint_stamps) - start
    joints = np.array(recording.joints).reshape(-1, len(robot.names))
    made = []
    for name, shapes, names in EXPRESSIONS:
        values = np.array([face.shapes[[INDEX[s] for s in shapes]].mean() for _, face in attended])
        made.append(Pair(name, "share", person_t, values, robot_t, robot_share(joints, names, robot)))
    if recording.base_from_camera is not None:
        poses = [recording.base_from_camera @ face.pose for _, face in attended]
        heads = np.array([mirrored_head(pose) for pose in poses]).reshape(-1, 3)
        for axis, name in enumerate(("yaw", "pitch", "roll")):
            angle = joints[:, robot.index[f"neck_{name}"]]
            made.append(Pair(f"head {name}", "rad", person_t, heads[:, axis], robot_t, angle))
    return made


def mirrored_head(base_from_head: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return yaw, pitch, roll (rad) that a mirror shows of a head; zero when it faces the robot squarely."""
    x, y = base_from_head[:2, 3]
    facing = rotation_from_ypr(math.atan2(-y, -x), 0.0, 0.0)
    yaw, pitch, roll = ypr_from_rotation(facing.T @ base_from_head[:3, :3])
    return -yaw, pitch, -roll


def gaze_errors_deg(recording: Recording, robot: RobotModel) -> Series:
    """Return, for each image with a face, the angle between the robot's gaze and the person's face.

    The gaze is that of the joints measured nearest to the image's time, mean of both eyes.
    """
    if recording.base_from_camera is None or not recording.joints:
        return np.zeros(0)
    errors = []
    for sight in recording.sights:
        face, q = sight.nearest, recording.joints_at(sight.stamp_s)
        if face is None or q is None:
            continue
        target = (recording.base_from_camera @ face.pose)[:3, 3]
        neck = rotation_from_ypr(*(q[robot.index[f"neck_{a}"]] for a in ("yaw", "pitch", "roll")))
        angles = []
        for side in ("left", "right"):
            eye = neck @ np.array(robot[f"eye_{side}_yaw"].origin)
            yaw, pitch = q[robot.index[f"eye_{side}_yaw"]], q[robot.index[f"eye_{side}_pitch"]]
            gaze = neck @ rotation_from_ypr(yaw, pitch, 0.0)[:, 0]
            to_face = (target - eye) / np.linalg.norm(target - eye)
            angles.append(math.acos(float(np.clip(gaze @ to_face, -1.0, 1.0))))
        errors.append(math.degrees(sum(angles) / 2))
    return np.array(errors)


def percentiles(values: ArrayLike) -> dict[str, float]:
    """Return p50 and p95, rounded to 1/100; empty when there are no values."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return {}
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}


def stage_order(stages: Iterable[str]) -> list[str]:
    """Return stages in the order in which they work."""
    there = list(dict.fromkeys(stages))
    return [s for s in STAGES if s in there] + [s for s in there if s not in STAGES]


def latency(recording: Recording) -> dict[str, dict[str, Any]]:
    """Return, by stage: count, time inside the stage and age of the image when it was done, ms."""
    report = {}
    for stage in stage_order(t.stage for t in recording.timings):
        of = [t for t in recording.timings if t.stage == stage]
        report[stage] = {
            "count": len(of),
            "work_ms": percentiles([(t.finished_s - t.received_s) * 1e3 for t in of]),
            "age_ms": percentiles([(t.finished_s - t.origin_s) * 1e3 for t in of]),
        }
    return report


def total(status: Sequence[Status], count: Callable[[Status], int]) -> int:
    """Return how much a counter rose over the run; a restart of the node sets it back to 0."""
    if not status:
        return 0
    values = [0, *(count(s) for s in status)]
    return sum(b - a if b >= a else b for a, b in pairwise(values))


def faces(recording: Recording) -> list[dict[str, Any]]:
    """Return each face id with the number of images it was seen in, and from when to when (s)."""
    start = recording.start_s
    seen: dict[str, list[float]] = {}
    for sight in recording.sights:
        for face in sight.faces:
            seen.setdefault(face.id, []).append(sight.stamp_s - start)
    return [
        {"id": i, "images": len(t), "first_s": round(t[0], 2), "last_s": round(t[-1], 2)}
        for i, t in seen.items()
    ]


def limited(recording: Recording) -> dict[str, float]:
    """Return, by joint, the share of status reports in which a limit held it, most limited first."""
    counts = Counter(name for s in recording.status for name in s.limited_joints)
    return {name: round(n / len(recording.status), 4) for name, n in counts.most_common()}


def rate_hz(stamps: Sequence[float]) -> float:
    """Return events a second, 0 for fewer than two."""
    return (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) > 1 and stamps[-1] > stamps[0] else 0.0


def command_jerk(recording: Recording) -> float | None:
    """Return the root mean square of the jerk of the commands, all joints, from the first image on, rad/s^3.

    Third differences, taken only where four ticks came evenly: one that came late would show as a jerk that
    no servo was asked for. None when there are none.
    """
    t = np.array(recording.command_stamps)
    q = np.array(recording.commands).reshape(len(t), -1)[t >= recording.start_s]
    t = t[t >= recording.start_s]
    if len(t) < 4:
        return None
    steps = np.diff(t)
    period_s = float(np.median(steps))
    even = np.abs(steps - period_s) <= _EVEN * period_s
    third = np.diff(q, 3, axis=0)[even[:-2] & even[1:-1] & even[2:]]
    return float(np.sqrt(np.mean(third**2))) / period_s**3 if len(third) else None


def answers(recording: Recording) -> dict[str, float]:
    """Return the share of the answers that each policy gave, by name, most first."""
    counts = Counter(answer.source for answer in recording.answers)
    return {name: round(n / len(recording.answers), 4) for name, n in counts.most_common()}


def answered_at(recording: Recording, stamp_s: float) -> str:
    """Return who answered last at `stamp_s`; empty when nobody had yet."""
    index = bisect_right(recording.answers, stamp_s, key=lambda answer: answer.received_s) - 1
    return recording.answers[index].source if index >= 0 else ""


def robot_figures(recording: Recording, robot: RobotModel) -> dict[str, Any]:
    """Return how well the robot followed the person, and how smoothly it was commanded."""
    followed = {}
    for pair in pairs(recording, robot):
        found = pair.follow()
        followed[pair.name] = None if found is None else found.figures
    jerk = command_jerk(recording)
    return {
        "follow": followed,
        "gaze_error_deg": percentiles(gaze_errors_deg(recording, robot)),
        "command_jerk_rad_s3": None if jerk is None else round(jerk, 1),
    }


def summarise(recording: Recording, robot: RobotModel, mirror: Recording | None = None) -> dict[str, Any]:
    """Return the figures of a run, ready for JSON; with those of `mirror`, the same run replayed with it."""
    taken = sorted({t.origin_s for t in recording.timings if t.stage == "camera"}) or recording.image_stamps
    answered = [s.stamp_s for s in recording.sights]
    with_face = [s for s in recording.sights if s.faces]
    status = recording.status
    return {
        "input": recording.input_name,
        "duration_s": round(recording.duration_s, 2),
        "image_size": list(recording.size),
        "frames": {
            "in": len(taken),
            "out": len(answered),
            "with_face": len(with_face),
            "fps_input": round(recording.fps, 2),
            "fps_in": round(rate_hz(taken), 2),
            "fps_out": round(rate_hz(answered), 2),
        },
        "faces": faces(recording),
        "latency_ms": latency(recording),
        "policy": {"asked": recording.asked, "answers": answers(recording), "trouble": recording.trouble},
        "robot": robot_figures(recording, robot),
        "mirror_replayed": None if mirror is None else robot_figures(mirror, robot),
        "commands": {
            "accepted": total(status, lambda s: s.accepted),
            "refused": total(status, lambda s: s.refused),
            "stale": total(status, lambda s: s.stale),
        },
        "joint_limits": {"hits": total(status, lambda s: s.limit_hits), "share_of_time": limited(recording)},
        "states": dict(Counter(s.state for s in status)),
        "restarts": {name: n for name, n in recording.restarts.items() if n},
        "warnings": list(recording.warnings),
    }


def key_moments(recording: Recording, robot: RobotModel, count: int = 6) -> list[tuple[float, str]]:
    """Return (s since the first image, what is seen) of telling moments, in the order of time.

    The strongest moment of each expression and turn of the head once the robot has had a second to
    begin, at least one second apart. Of moments that are nearly as strong, the one at which the robot shows it most.
    """
    ranked = []
    for pair in pairs(recording, robot):
        begun = pair.person_t >= 1.0
        if not begun.any():
            continue
        beyond = pair.person - np.median(pair.person)
        # An expression is telling when it is strong; a head, whichever way it turns.
        size = np.where(begun, beyond if pair.unit == "share" else np.abs(beyond), 0.0)
        scale = 1.0 if pair.unit == "share" else 1.5
        strong = np.flatnonzero(size >= _NEARLY * size.max())
        shown = np.interp(pair.person_t[strong], pair.robot_t, pair.robot * np.sign(beyond[strong]).mean())
        best = int(strong[np.argmax(shown)])
        ranked.append((float(size[best]) * scale, float(pair.person_t[best]), pair.name))
    chosen: list[tuple[float, str]] = []
    for size_, t, name in sorted(ranked, reverse=True):
        if size_ > 0.05 and all(abs(t - other) >= 1.0 for other, _ in chosen) and len(chosen) < count:
            chosen.append((t, name))
    return sorted(chosen)


def age_at(recording: Recording, stage: str) -> tuple[Series, Series]:
    """Return (s since the first image, age of the image in ms when `stage` was done)."""
    of = [t for t in recording.timings if t.stage == stage]
    start = recording.start_s
    return np.array([t.origin_s - start for t in of]), np.array(
        [(t.finished_s - t.origin_s) * 1e3 for t in of]
    )


def state_at(recording: Recording, stamp_s: float) -> Status | None:
    """Return the status nearest to `stamp_s`."""
    index = nearest([s.stamp_s for s in recording.status], stamp_s)
    return None if index is None else recording.status[index]
