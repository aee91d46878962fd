"""Where the time between an image and the servos' answer goes, from what a running graph reports.

    image taken ─ sensing ─► policy has it ─ inference ─► chunk sent ─ transport ─► actuation has it
                ─ tick ─► command sent ─ servo delay ─► servos have it ─ servo lag ─► joints are there

The first four stages come from the nodes' timings, joined by the stamp of the image, which no node changes: for
each image they add up exactly to its age when the command left. The last two are seen from outside, by comparing
commands with joint states (`fabg.robot.servo_delay`). No ROS and no clock here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import CommandRefused
from fabg.recording import StageTiming
from fabg.robot.model import RobotModel, load_robot
from fabg.robot.servo_delay import EVERY_S, MOVED, ServoDelay

Array = NDArray[np.float64]
Angles = tuple[float, Array]
"""Time (s) and joint angles (25,), rad."""

PATHS = {
    "camera": "image published",
    "depth": "depth published",
    "face": "faces published, with all that ROS4HRI asks for",
    "gaze": "gaze published",
    "emotion": "emotions published",
    "gesture": "hands published",
}
"""Stages of perception, and what is done when they finish."""

SIMULATED = {
    "sensing": "sensing",
    "inference": "inference",
    "transport": "transport",
    "actuation": "servo delay",
}
"""Stages of the simulator's `fabg.social.delays.Latency`, and those of the budget; the rest it simulates anyway."""

LONGEST_LAG_S = 1.0
"""Servos that answer later are not recognised."""

NOTHING_MOVED = "nothing moved enough to time the servos: let somebody smile, or use --excite"

_OLDEST_S = 60.0  # nothing works on an older image: a clock is wrong
_SWEEP = {"headYaw": (0.12, 0.4), "headPitch": (0.04, 0.27)}  # amplitude, rad; frequency, Hz
_BROWS = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")


@dataclass
class Heard:
    """What was heard of a graph; times in s on one clock.

    Attributes
    ----------
    timings
        Reports of the nodes.
    commands, joints
        Servo targets when they were sent, and joint angles when they were measured.
    refused
        How many messages could not be read.
    """

    timings: list[StageTiming] = field(default_factory=list)
    commands: list[Angles] = field(default_factory=list)
    joints: list[Angles] = field(default_factory=list)
    refused: int = 0


@dataclass(frozen=True)
class Figures:
    """Median, 95th percentile, mean and standard deviation (the jitter) of `count` delays, ms."""

    p50: float
    p95: float
    mean: float
    jitter: float
    count: int


@dataclass(frozen=True)
class Stage:
    """One part of the way: its name, from where to where, and its delays in the order of time, ms."""

    name: str
    where: str
    delays_ms: tuple[float, ...] = field(repr=False)

    @cached_property
    def figures(self) -> Figures | None:
        """The delays in five numbers; None when there are none."""
        if not self.delays_ms:
            return None
        p50, p95 = np.percentile(self.delays_ms, [50, 95])
        mean, sd = np.mean(self.delays_ms), np.std(self.delays_ms)
        return Figures(float(p50), float(p95), float(mean), float(sd), len(self.delays_ms))


@dataclass(frozen=True)
class Answer:
    """One image that led to a servo command, and when it passed from hand to hand, s."""

    taken_s: float
    seen_s: float
    decided_s: float
    arrived_s: float
    sent_s: float


@dataclass(frozen=True)
class Servos:
    """What was found of the servos at `time_s`: how far joints are behind commands, and the delay within that, s."""

    time_s: float
    lag_s: float
    delay_s: float


@dataclass(frozen=True)
class Budget:
    """Where the time goes.

    Attributes
    ----------
    stages
        One after the other on the way; those without delays were not measured.
    paths
        Age of the image when each part of perception was done; they work side by side.
    total
        Age of the observation when the servos answer, or when the command is sent if `servos` is empty.
    answers, servos
        What this was made of.
    notes
        What is missing, with the remedy.
    """

    stages: tuple[Stage, ...]
    paths: tuple[Stage, ...]
    total: Stage
    answers: tuple[Answer, ...] = field(repr=False)
    servos: tuple[Servos, ...] = field(repr=False)
    notes: tuple[str, ...]

    def stage(self, name: str) -> Stage:
        """Return a stage by its name."""
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def latency(self) -> str:
        """The same delays for ``fabg sim play --latency``: mean and standard deviation of each stage."""
        parts = []
        for stage, name in SIMULATED.items():
            if (figures := self.stage(name).figures) is not None:
                parts.append(f"{stage}={_delay(figures.mean, figures.jitter)}")
        return "; ".join(parts) or "0"


def budget(heard: Heard, robot: RobotModel | None = None) -> Budget:
    """Return the budget of what was heard.

    Parameters
    ----------
    heard
        In any order; what contradicts itself is left out, and a note says so.
    robot
        Joint table; the package's own by default.
    """
    robot = robot or load_robot()
    timings = [timing for timing in heard.timings if _sound(timing)]
    answers, seen, odd = _answers(timings)
    servos = measure_servos(heard.commands, heard.joints, robot)
    sensing = [(o.seen_s - o.taken_s) for o in seen]
    at_policy = "image taken → the policy has its faces"
    if not seen:
        sensing = [t.finished_s - t.origin_s for t in timings if t.stage == "face"]
        at_policy = "image taken → faces published"
    stages = (
        _stage("sensing", at_policy, sensing),
        _stage("inference", "the policy has them → chunk published", [o.decided_s - o.seen_s for o in seen]),
        _stage(
            "transport", "chunk published → actuation has it", [a.arrived_s - a.decided_s for a in answers]
        ),
        _stage("tick", "actuation has it → next command sent", [a.sent_s - a.arrived_s for a in answers]),
        _stage("servo delay", "command sent → servos have it, fitted over 4 s", [s.delay_s for s in servos]),
        _stage(
            "servo lag",
            "servos have it → joints follow, fitted over 4 s",
            [max(s.lag_s - s.delay_s, 0.0) for s in servos],
        ),
    )
    paths = tuple(
        _stage(name, f"image taken → {done}", ages)
        for name, done in PATHS.items()
        if (ages := [t.finished_s - t.origin_s for t in timings if t.stage == name])
    )
    until_joints = np.array([a.sent_s - a.taken_s for a in answers])
    where = "image taken → command sent; the servos are not in it"
    if servos and answers:
        where = "image taken → joints follow"
        until_joints += np.interp(
            [a.sent_s for a in answers], [s.time_s for s in servos], [s.lag_s for s in servos]
        )
    notes = [*_notes(heard, timings, seen, answers), *_servo_notes(heard, servos, robot)]
    if odd := odd + len(heard.timings) - len(timings):
        notes.append(
            f"{odd} timings contradict each other and were left out: set the clocks of all machines by one (NTP)"
        )
    if heard.refused:
        notes.append(f"{heard.refused} messages could not be read and were left out")
    total = _stage("total", where, until_joints.tolist())
    return Budget(stages, paths, total, tuple(answers), tuple(servos), tuple(notes))


def measure_servos(
    commands: Sequence[Angles], joints: Sequence[Angles], robot: RobotModel | None = None
) -> list[Servos]:
    """Return what commands and joint states tell of the servos, a few times a second of movement."""
    meter = ServoDelay(robot, longest_s=LONGEST_LAG_S)
    # At the same time the command comes first: the joints cannot have known it.
    events = [(t, 0, angles) for t, angles in commands] + [(t, 1, angles) for t, angles in joints]
    found: list[Servos] = []
    asked_s = -math.inf
    for time_s, measured, angles in sorted(events, key=lambda event: event[:2]):
        try:
            (meter.add_joints if measured else meter.add_command)(time_s, angles)
        except CommandRefused:
            continue
        if measured and time_s >= asked_s + EVERY_S:
            asked_s, lag_s, delay_s = time_s, meter.lag_s, meter.delay_s
            if lag_s is not None and delay_s is not None:
                found.append(Servos(time_s, lag_s, delay_s))
    return found


def sweep(t_s: float) -> expression.Vector:
    """Return the expression (61,) of a slow sweep of head and brows, `t_s` after its start.

    Head within 0.12 rad, brows up to half their way, all slower than once a second.
    """
    vector = expression.neutral()
    for name, (amplitude, hertz) in _SWEEP.items():
        vector[expression.INDEX[name]] = amplitude * math.sin(2.0 * math.pi * hertz * t_s)
    for name in _BROWS:
        vector[expression.INDEX[name]] = 0.25 - 0.25 * math.cos(2.0 * math.pi * 0.7 * t_s)
    return vector


# Private helpers -------------------------------------------------------------------------------------


def _sound(timing: StageTiming) -> bool:
    times = (timing.origin_s, timing.received_s, timing.finished_s)
    return all(map(math.isfinite, times)) and (
        max(timing.origin_s, timing.received_s)
        <= timing.finished_s
        <= min(timing.origin_s, timing.received_s) + _OLDEST_S
    )


def _answers(timings: Sequence[StageTiming]) -> tuple[list[Answer], list[Answer], int]:
    """Return the images that led to a command, those that the policy answered, and how many contradict.

    Where there is no command yet, `arrived_s` and `sent_s` are NaN.
    """
    images = {t.origin_s for t in timings if t.stage in PATHS}
    carried: dict[float, StageTiming] = {}
    for timing in timings:
        if timing.stage == "actuation":
            carried.setdefault(timing.origin_s, timing)
    answers, seen, odd, known = [], [], 0, set()
    for t in timings:
        # A policy may also move by itself, with stamps of no image: that answers nobody.
        if t.stage != "policy" or t.origin_s not in images or t.origin_s in known:
            continue
        known.add(t.origin_s)
        last = carried.get(t.origin_s)
        if t.received_s < t.origin_s or (last is not None and last.received_s < t.received_s):
            odd += 1
            continue
        # A busy node may be held up between sending and noting the time: it sent before the chunk arrived.
        decided_s = t.finished_s if last is None else min(t.finished_s, last.received_s)
        seen.append(Answer(t.origin_s, t.received_s, decided_s, math.nan, math.nan))
        if last is not None:
            answers.append(Answer(t.origin_s, t.received_s, decided_s, last.received_s, last.finished_s))
    return answers, seen, odd


def _stage(name: str, where: str, delays_s: Sequence[float]) -> Stage:
    return Stage(name, where, tuple(float(delay_s) * 1e3 for delay_s in delays_s))


def _delay(mean_ms: float, sd_ms: float) -> str:
    """Return a delay as the simulator reads it."""
    mean_ms = round(mean_ms, 1)
    sd_ms = round(min(sd_ms, 10.0 * mean_ms), 1)
    return f"jitter:{mean_ms:g},{sd_ms:g}" if sd_ms > 0.0 else f"{mean_ms:g}"


def _notes(
    heard: Heard, timings: Sequence[StageTiming], seen: Sequence[Answer], answers: Sequence[Answer]
) -> list[str]:
    """Return what keeps the first four stages from being known: the first cause only."""
    if not any(t.stage in PATHS for t in timings):
        return ["no image was worked through: are camera and face nodes up, and has the film not ended?"]
    if not seen:
        return ["the policy answered no image: is somebody in view, and the policy node up?"]
    if not answers:
        return [
            "no command of the policy was carried out: is the e-stop engaged (`fabg estop --reset`), or does an "
            "operator command?"
        ]
    return []


def _servo_notes(heard: Heard, servos: Sequence[Servos], robot: RobotModel) -> list[str]:
    if servos:
        return []
    if not heard.joints:
        return ["no joint states came on /joint_states: is the robot, or robot_sim, up?"]
    if not heard.commands:
        return ["no servo commands came: is the actuation node up, and the e-stop released?"]
    if not _moved(heard.commands, robot):
        return [NOTHING_MOVED]
    if not _moved(heard.joints, robot):
        return [
            "commands moved, but no joint: are the servos powered, and is it this robot that is commanded?"
        ]
    return [
        f"the joints moved, but not as commanded within {LONGEST_LAG_S:g} s, or for too short a time: measure for "
        "longer, or with --excite"
    ]


def _moved(rows: Sequence[Angles], robot: RobotModel) -> bool:
    angles = np.array([row for _, row in rows])
    return bool((np.ptp(angles, axis=0) > MOVED * (robot.upper - robot.lower)).any())
