"""What an episode is worth: from its record to numbers with a unit and a direction.

Three questions are kept apart. Did the robot answer, and how soon (completion, response, success)? How far
behind the *expert* does it move (lags: an expert needs its time as well, and a robot that moves before the
expert would has not compensated latency but guessed)? How well and how smoothly does it move (errors at no
lag and at best lag, DTW, SPARC, LDLJ, jerk)?

The paper's measure is `completion_s`: Zhang et al., "FABG", arXiv 2503.01363, Table I, where the next event
starts as soon as the robot has responded. For the others see `fabg.social.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.robot.model import GROUPS, N_JOINTS, RobotModel, load_robot
from fabg.social import metrics as m
from fabg.social.record import EpisodeRecord, EventResult

Values = NDArray[np.float64]
Score = dict[str, float | None]

MAX_LAG_S = 1.5
"""Lags beyond this are not looked for: neither people nor robots that answer at all need longer."""
LEAST_GAZE_RAD = math.radians(1.0)
"""A gaze or vergence that varies less (standard deviation) follows the sway of a head, not events."""
LEAST_FACE_RAD = 0.05
"""A joint of the face that the expert moves through less than this answers nothing."""
STILL_GAZE_RAD_S = math.radians(2.0)
STILL_FACE_RAD_S = 0.05
"""Speeds up to which gaze and face count as at rest, rad/s."""
SPARC_CUTOFF_HZ = 10.0
WARP_S = 1.5
"""DTW matches no two instants further apart."""


@dataclass(frozen=True)
class Metric:
    """What a score means.

    Attributes
    ----------
    unit
        Its unit; empty for a plain number or a share of 1.
    better
        Which way is better; "zero": the nearer to 0; "neither": a condition rather than a merit.
    text
        One line for tables.
    """

    unit: str
    better: Literal["lower", "higher", "zero", "neither"]
    text: str


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "completion_s": Metric(
            "s", "lower", "Time that all events took until answered, time-outs in full; rests do not count"
        ),
        "success": Metric("", "higher", "Share of all events that were answered"),
        "reached": Metric("", "higher", "Share of all events that ended, answered or not, in the episode"),
        "response_ms": Metric("ms", "lower", "Median time from an event to the answer, of those answered"),
        "response_vs_expert_ms": Metric(
            "ms", "zero", "Median of how much later than the expert the robot answered; < 0: sooner"
        ),
        "gaze_lag_ms": Metric("ms", "zero", "How far the gaze comes behind the expert's; < 0: ahead"),
        "vergence_lag_ms": Metric("ms", "zero", "How far the vergence comes behind the expert's; < 0: ahead"),
        "expression_lag_ms": Metric("ms", "zero", "How far the face comes behind the expert's; < 0: ahead"),
        "target_lag_ms": Metric("ms", "lower", "How far the gaze comes behind the target itself"),
        "gaze_error_deg": Metric("deg", "lower", "Angle from gaze to target, root mean square"),
        "gaze_error_at_lag_deg": Metric(
            "deg", "lower", "The same after the target is shifted by target_lag_ms: what lateness leaves"
        ),
        "gaze_vs_expert_deg": Metric("deg", "lower", "Angle from the gaze to the expert's, root mean square"),
        "gaze_vs_expert_at_lag_deg": Metric(
            "deg", "lower", "The same after the expert's is shifted by gaze_lag_ms"
        ),
        "vergence_error_deg": Metric(
            "deg", "lower", "Vergence against what the target needs, root mean square"
        ),
        "expression_error_deg": Metric(
            "deg", "lower", "Moving joints of the face against the expert's, root mean square of a joint"
        ),
        "expression_error_at_lag_deg": Metric(
            "deg", "lower", "The same after the expert's are shifted by expression_lag_ms"
        ),
        "gaze_dtw_deg": Metric("deg", "lower", "DTW distance of the gaze's path to the expert's, mean"),
        "expression_dtw_deg": Metric(
            "deg", "lower", "DTW distance of the face to the expert's, mean of a joint"
        ),
        "on_target": Metric(
            "", "higher", "Share of the time from the first event on with the gaze on target"
        ),
        "wrong_dwell": Metric("", "lower", "Share of that time with the gaze on another face or hand"),
        "gaze_sparc": Metric("", "higher", "Smoothness of the gaze by spectral arc length, median movement"),
        "gaze_ldlj": Metric(
            "", "higher", "Smoothness of the gaze by log dimensionless jerk, median movement"
        ),
        "expression_sparc": Metric(
            "", "higher", "Smoothness of the face by spectral arc length, median movement"
        ),
        "expression_ldlj": Metric(
            "", "higher", "Smoothness of the face by log dimensionless jerk, median movement"
        ),
        "command_jerk": Metric(
            "rad/s^3", "lower", "Jerk of what the commands ask, root mean square of all joints"
        ),
        "command_jerk_neck": Metric("rad/s^3", "lower", "The same of the neck"),
        "command_jerk_eyes": Metric("rad/s^3", "lower", "The same of the eyes"),
        "command_jerk_face": Metric("rad/s^3", "lower", "The same of the face"),
        "age_ms": Metric("ms", "neither", "Mean age of the observation behind the executed command"),
    }
)
"""All scores in the order of reports."""


def score(record: EpisodeRecord, robot: RobotModel | None = None) -> Score:
    """Return all scores of an episode.

    Parameters
    ----------
    record
        The episode; it need not have been played to its end.
    robot
        Joint table by which it was recorded; the package's own by default.

    Returns
    -------
    A number for each of `METRICS`, None where the quantity does not exist in the episode: a lag when
    nothing moves, the answering time when nothing was answered, the completion time when the episode was
    cut before its last event ended.

    Raises
    ------
    InputError
        When the record contradicts itself: lengths that differ, NaN (but in `age_s`), an answer before
        its event.
    """
    check_record(record)
    robot = robot or _package_robot()
    result: Score = dict.fromkeys(METRICS)
    result |= _answers(record)
    if len(record.joints):
        result |= _gaze(record) | _expression(record, robot) | _commands(record, robot)
    return result


def completion_by_kind(record: EpisodeRecord) -> dict[str, float]:
    """Return the completion time, s, of each kind of event that ended, in order of first appearance."""
    check_record(record)
    kinds: dict[str, float] = {}
    for event in _ended(record):
        kinds[event.kind] = kinds.get(event.kind, 0.0) + _spent_s(event)
    return kinds


def check_record(record: EpisodeRecord) -> None:
    """See that a record does not contradict itself; InputError names what does."""
    if not 0 < record.tick_s < math.inf:
        raise InputError(f"tick_s of the record is {record.tick_s}: expected a positive number")
    ticks = len(record.joints)
    widths = {
        "joints": (N_JOINTS,), "wanted": (N_JOINTS,), "expert": (N_JOINTS,),
        "gaze": (3,), "expert_gaze": (3,), "target_gaze": (3,),
        "on_target": (), "on_wrong": (), "age_s": (), "event": (),
    }  # fmt: skip
    for name, width in widths.items():
        values = getattr(record, name)
        if len(values) != ticks or (ticks and values.shape[1:] != width):
            raise InputError(f"{name} of the record has shape {values.shape}: expected {(ticks, *width)}")
        known = values[~np.isnan(values)] if name == "age_s" else values
        if not np.isfinite(known).all():
            raise InputError(f"{name} of the record holds NaN or infinity: expected finite numbers")
    for event in record.events:
        end = event.deadline_s if event.response_s is None else event.response_s
        if not (math.isfinite(event.onset_s) and event.onset_s <= end < math.inf):
            raise InputError(
                f"event {event.index} ({event.kind}) begins at {event.onset_s} s and ends at {end} s: "
                "expected finite times in this order"
            )
        if event.expert_s is not None and not math.isfinite(event.expert_s):
            raise InputError(
                f"expert_s of event {event.index} is {event.expert_s}: expected a number or None"
            )


# Answers -------------------------------------------------------------------------------------------


def _answers(record: EpisodeRecord) -> Score:
    ended = _ended(record)
    answered = [(e, e.response_s) for e in ended if e.response_s is not None]
    total = record.total_events
    against = [(at - e.expert_s) * 1e3 for e, at in answered if e.expert_s is not None]
    return {
        "completion_s": sum(_spent_s(e) for e in ended) if ended and len(ended) >= total else None,
        "success": len(answered) / total if total else None,
        "reached": len(ended) / total if total else None,
        "response_ms": median((at - e.onset_s) * 1e3 for e, at in answered) if answered else None,
        "response_vs_expert_ms": median(against) if against else None,
    }


def _ended(record: EpisodeRecord) -> list[EventResult]:
    """Return the events that were answered or timed out; the last may still have been open."""
    end_s = record.duration_s + record.tick_s / 2
    return [e for e in record.events if e.response_s is not None or e.deadline_s <= end_s]


def _spent_s(event: EventResult) -> float:
    return (event.deadline_s if event.response_s is None else event.response_s) - event.onset_s


# Gaze ----------------------------------------------------------------------------------------------


def _gaze(record: EpisodeRecord) -> Score:
    tick = record.tick_s
    gaze, expert, target = (g[:, :2] for g in (record.gaze, record.expert_gaze, record.target_gaze))
    expert_lag = _lag_s(gaze, expert, tick)
    target_lag = _lag_s(gaze, target, tick)
    vergence, needed = record.gaze[:, 2:], record.target_gaze[:, 2:]
    since = np.flatnonzero(record.event >= 0)
    started = slice(int(since[0]), None) if len(since) else slice(0, 0)
    speed = _angle(gaze[1:], gaze[:-1]) / tick
    smooth = _smoothness(speed, tick, STILL_GAZE_RAD_S)
    return {
        "gaze_lag_ms": _milli(expert_lag),
        "vergence_lag_ms": _milli(_lag_s(vergence, record.expert_gaze[:, 2:], tick)),
        "target_lag_ms": _milli(target_lag),
        "gaze_error_deg": _gaze_error_deg(gaze, target, 0.0),
        "gaze_error_at_lag_deg": _gaze_error_deg(gaze, target, target_lag, tick),
        "gaze_vs_expert_deg": _gaze_error_deg(gaze, expert, 0.0),
        "gaze_vs_expert_at_lag_deg": _gaze_error_deg(gaze, expert, expert_lag, tick),
        "vergence_error_deg": _degrees(m.tracking_error(vergence, needed)),
        "gaze_dtw_deg": _degrees(m.dtw(gaze, expert, band=round(WARP_S / tick))),
        "on_target": _share(record.on_target[started]),
        "wrong_dwell": _share(record.on_wrong[started]),
        "gaze_sparc": smooth[0],
        "gaze_ldlj": smooth[1],
    }


def _lag_s(signal: Values, reference: Values, tick_s: float) -> float | None:
    """Return the lag of a gaze or vergence; None when the reference hardly moves."""
    if math.sqrt(float(reference.var(axis=0).sum())) < LEAST_GAZE_RAD:
        return None
    return m.lag_by_cross_correlation(signal, reference, tick_s, MAX_LAG_S)


def _gaze_error_deg(gaze: Values, other: Values, lag_s: float | None, tick_s: float = 1.0) -> float | None:
    if lag_s is None:
        return None
    a, b = m.aligned(gaze, other, lag_s / tick_s)
    return math.degrees(math.sqrt(float(np.mean(_angle(a, b) ** 2)))) if len(a) else None


def _angle(a: Values, b: Values) -> Values:
    """Return the angle between directions (n, 2) of yaw and pitch, rad, (n,): the haversine formula."""
    half = np.sin((a - b) / 2) ** 2
    level = np.cos(a[:, 1]) * np.cos(b[:, 1])
    return 2 * np.arcsin(np.sqrt(np.clip(half[:, 1] + level * half[:, 0], 0.0, 1.0)))


# Expression ----------------------------------------------------------------------------------------


def _expression(record: EpisodeRecord, robot: RobotModel) -> Score:
    rows = _answering_rows(record.expert, robot)
    if not rows:
        return {}
    tick = record.tick_s
    # Divided by the root of their number, a distance of all rows is the root mean square of one.
    face, expert = (q[:, rows] / math.sqrt(len(rows)) for q in (record.joints, record.expert))
    lag = m.lag_by_cross_correlation(face, expert, tick, MAX_LAG_S)
    speed = np.linalg.norm(np.diff(record.joints[:, rows], axis=0), axis=1) / tick
    smooth = _smoothness(speed, tick, STILL_FACE_RAD_S)
    late = None if lag is None else m.tracking_error_at_lag(face, expert, lag, tick)
    return {
        "expression_lag_ms": _milli(lag),
        "expression_error_deg": _degrees(m.tracking_error(face, expert)),
        "expression_error_at_lag_deg": _degrees(late),
        "expression_dtw_deg": _degrees(m.dtw(face, expert, band=round(WARP_S / tick))),
        "expression_sparc": smooth[0],
        "expression_ldlj": smooth[1],
    }


def _answering_rows(expert: Values, robot: RobotModel) -> list[int]:
    """Return the joints of the face that the expert moves, without the lids: blinks answer nobody."""
    travel = np.ptp(expert, axis=0)
    return [
        i
        for i, joint in enumerate(robot.joints)
        if joint.group == "face" and not joint.name.startswith("lid_") and travel[i] >= LEAST_FACE_RAD
    ]


# Commands ------------------------------------------------------------------------------------------


def _commands(record: EpisodeRecord, robot: RobotModel) -> Score:
    known = record.age_s[~np.isnan(record.age_s)]
    found: Score = {
        "command_jerk": m.rms_jerk(record.wanted, record.tick_s),
        "age_ms": float(known.mean()) * 1e3 if len(known) else None,
    }
    for group in GROUPS:
        rows = [i for i, joint in enumerate(robot.joints) if joint.group == group]
        found[f"command_jerk_{group}"] = m.rms_jerk(record.wanted[:, rows], record.tick_s)
    return found


# Common --------------------------------------------------------------------------------------------


def _smoothness(speed: Values, tick_s: float, still: float) -> tuple[float | None, float | None]:
    """Return the medians of SPARC and LDLJ over the movements.

    Movements are cut at 5 % of their peak and have few samples at 50 Hz, which makes LDLJ higher by about 1
    than that of the whole movement: compare robots with each other, not with figures from elsewhere.
    """
    parts = [speed[part] for part in m.movements(speed, tick_s, still=still)]
    cutoff = min(SPARC_CUTOFF_HZ, 0.5 / tick_s)
    arcs = [arc for part in parts if (arc := m.sparc(part, 1 / tick_s, cutoff)) is not None]
    jerks = [jerk for part in parts if (jerk := m.ldlj(part, 1 / tick_s)) is not None]
    return median(arcs) if arcs else None, median(jerks) if jerks else None


def _share(flags: NDArray[np.bool_]) -> float | None:
    return float(np.mean(flags)) if len(flags) else None


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _degrees(angle: float | None) -> float | None:
    return None if angle is None else math.degrees(angle)


@cache
def _package_robot() -> RobotModel:
    return load_robot()
