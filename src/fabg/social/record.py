"""What is kept of one episode: signals tick by tick, and what became of each event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class EventResult:
    """One event that had to be answered.

    Attributes
    ----------
    index, kind
        Number and kind.
    onset_s
        When it could first be answered.
    response_s
        When the robot had answered; None when time ran out.
    deadline_s
        When it was given up, had it not been answered.
    expert_s
        When the expert's robot had answered; None when it never did.
    """

    index: int
    kind: str
    onset_s: float
    response_s: float | None
    deadline_s: float
    expert_s: float | None


@dataclass(frozen=True, eq=False)
class EpisodeRecord:
    """One episode of T ticks at equal distances `tick_s`.

    Attributes
    ----------
    task, seed
        What was played.
    tick_s
        Distance of two ticks, s.
    joints
        Measured angles, rad, (T, 25).
    wanted
        What the executed expressions asked of the joints, before limits, rad, (T, 25).
    expert
        Angles of a robot of the same kind that obeys the expert without any delay, rad, (T, 25): one that does
        what the expert does, as well as this robot can.
    gaze, expert_gaze, target_gaze
        Yaw, pitch and vergence of the robot's eyes, of the expert's robot's, and of the point to look at as
        seen by the robot, rad, (T, 3).
    on_target
        Whether the robot's gaze met the target, (T,).
    on_wrong
        Whether it met something else that could have been a target (another face or hand), (T,).
    age_s
        Age of the observation behind the executed command, s, (T,); NaN before the first command.
    event
        Number of the present event, (T,); -1 before the first.
    events
        What became of each event.
    total_events
        How many the episode would have had.
    """

    task: str
    seed: int
    tick_s: float
    joints: Values
    wanted: Values
    expert: Values
    gaze: Values
    expert_gaze: Values
    target_gaze: Values
    on_target: NDArray[np.bool_]
    on_wrong: NDArray[np.bool_]
    age_s: Values
    event: NDArray[np.int64]
    events: tuple[EventResult, ...]
    total_events: int

    @property
    def duration_s(self) -> float:
        """Length of the episode, s."""
        return len(self.joints) * self.tick_s
