"""The demonstrator: answers the true stimulus as a person would, with a person's reaction delays.

    expert = Expert()
    expert.reset(rng, stimulus)
    vector = expert.step(stimulus)     # once for each tick

How eyes, head and face move is in `fabg.policy.response`; here is when they begin to.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from fabg import expression
from fabg.policy.response import TICK_S, ResponseConfig, ResponseModel, checked_point, checked_shapes
from fabg.robot.model import RobotModel
from fabg.social.stage import Stimulus

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Delays:
    """Reaction delays to one event, s."""

    gaze_s: float
    expression_s: float


class ReactionLine(Generic[Seen]):
    """What was shown, as it is perceived some ticks later.

    Each thing shown has a delay of its own. The newest of those whose delay is over is perceived: a
    quick reaction overtakes what a slower one would still have brought, so perceived time stands still at times
    but never runs backwards.
    """

    def __init__(self, shown: Seen) -> None:
        self._due: deque[tuple[int, Seen]] = deque()
        self._tick = 0
        self.perceived = shown
        """What is perceived now."""

    def step(self, shown: Seen, delay_ticks: int) -> Seen:
        """Show something for one tick, and return what is perceived in that tick."""
        due = self._due
        at = self._tick + delay_ticks
        while due and due[-1][0] >= at:
            due.pop()  # overtaken
        due.append((at, shown))
        while due and due[0][0] <= self._tick:
            self.perceived = due.popleft()[1]
        self._tick += 1
        return self.perceived


class Expert:
    """Answers stimuli.

    The delays are drawn anew at each new event and at each rest between events: the least possible delay plus
    a lognormal part, as reaction times are distributed (Luce: Response Times, 1986), so that mean and
    standard deviation are those of the configuration. Movements begin at the tick nearest to the delay and
    show from the tick after: later than the delay, by at most a tick and a half.

    Parameters
    ----------
    config
        Delays and dynamics; a person's by default.
    robot
        Joint table; the package's own by default.

    Attributes
    ----------
    delays
        Delays that were drawn for the present event.
    """

    def __init__(self, config: ResponseConfig | None = None, robot: RobotModel | None = None) -> None:
        self.config = config or ResponseConfig()
        self._model = ResponseModel(self.config, robot)
        self.delays = Delays(self.config.gaze_delay_s, self.config.expression_delay_s)

    def reset(self, rng: np.random.Generator, stimulus: Stimulus) -> None:
        """Begin an episode at rest, attending to `stimulus`; the delays to come are drawn from `rng`.

        Raises
        ------
        CommandRefused
            When the stimulus is not finite.
        """
        self._model.reset(stimulus.target_m, stimulus.shapes)
        self._rng = rng
        self._event: tuple[int, str] | None = None
        self._targets = ReactionLine(checked_point(stimulus.target_m))
        self._faces = ReactionLine(checked_shapes(stimulus.shapes).copy())

    def step(self, stimulus: Stimulus) -> expression.Vector:
        """Return the expression (61,) of this tick, in which `stimulus` is shown.

        Raises
        ------
        CommandRefused
            When the stimulus is not finite; the expert stays as it was.
        """
        target, shapes = checked_point(stimulus.target_m), checked_shapes(stimulus.shapes).copy()
        event = (stimulus.event, stimulus.kind)
        if event != self._event:
            self._event = event
            self._draw()
        out = np.empty(expression.SIZE)
        self._model.advance()
        self._model.hold(
            self._targets.step(target, self._gaze_ticks), self._faces.step(shapes, self._face_ticks)
        )
        self._model.write(out)
        return out

    def _draw(self) -> None:
        c = self.config
        gaze = draw_delay(self._rng, c.gaze_delay_s, c.gaze_spread_s, c.min_delay_s)
        face = draw_delay(self._rng, c.expression_delay_s, c.expression_spread_s, c.min_delay_s)
        self.delays = Delays(gaze, face)
        self._gaze_ticks, self._face_ticks = round(gaze / TICK_S), round(face / TICK_S)


def draw_delay(rng: np.random.Generator, mean_s: float, spread_s: float, least_s: float) -> float:
    """Return a delay, s, at least `least_s`, from a shifted lognormal of a given mean and standard deviation."""
    normal = float(rng.standard_normal())  # drawn always: a config without spread uses the same numbers
    if spread_s == 0.0:
        return mean_s
    beyond = mean_s - least_s
    variance = math.log1p((spread_s / beyond) ** 2)
    return least_s + math.exp(math.log(beyond) - variance / 2.0 + math.sqrt(variance) * normal)
