"""The tasks: people who ask things of the robot, one event after the other, and who wait for its answer.

    run = TaskRun("tracking", seed=3)
    scene, stimulus = run.start()
    while not run.done:
        scene, stimulus = run.step(robot_state)     # one tick of 20 ms
    run.events[0].response_s - run.events[0].onset_s

As in Zhang et al., "FABG", 2025: affective (a smile, a surprise), tracking (a hand, the face), foveate (a finger
comes near and goes away) and gesture (up, down, left, right, a fist); mixed is all of these with several people. An
event can first be answered at its onset: when a face begins to move, or a hand has come five sixths of its way
and says what it says. The next one begins as soon as the robot has answered, or has not for 5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fabg.errors import ConfigError
from fabg.policy.attention import hand_target
from fabg.robot.model import RobotModel, load_robot
from fabg.robot.retarget import Retargeter
from fabg.social import places
from fabg.social.answers import HOLD_S, Judge
from fabg.social.avatar.people import FIRST_REPORT_SEED
from fabg.social.motion import Point
from fabg.social.partner import Partner, build_of
from fabg.social.robot_body import EyeGeometry
from fabg.social.scripts import KINDS, Ask, Player, Playing, Script
from fabg.social.stage import TICK_S, PersonState, RobotState, SceneState, Stimulus, Vector

TASKS: tuple[str, ...] = tuple(KINDS)
PACES = ("prompt", "natural")
EVENTS = 20
"""An episode has so many events unless told otherwise."""
TIMEOUT_S = 5.0
"""An event that has not been answered for this long is over."""

_ADULT_YEARS = 16.0
_MOST_SEED = 2**31
_EPS_S = 1e-6


@dataclass(slots=True)
class OpenEvent:
    """One event that counts; all times from the start of the episode.

    Attributes
    ----------
    index, kind
        Number, as in `Stimulus.event`, and kind. Numbers of events that were cut short are left out.
    onset_s
        When it could first be answered.
    deadline_s
        When it is given up.
    response_s
        When the robot began to do what was wanted and then kept to it; None when it has not.
    beside_s
        The same of the robot beside it, if there is one.
    """

    index: int
    kind: str
    onset_s: float
    deadline_s: float
    response_s: float | None = None
    beside_s: float | None = None


class TaskRun:
    """One episode.

    Parameters
    ----------
    task
        One of `TASKS`.
    seed
        From 0. The same seed asks the same things in the same order, whatever the robot does.
    pace
        "prompt" or "natural": the latter with holding phases and gaps of random length, as people keep them.
    events
        How many events count; 20 by default.
    robot
        Joint table; the package's own by default.

    Attributes
    ----------
    events
        Those that are over, answered or not.
    total_events
        How many there will be.
    done
        Whether all are over.

    Raises
    ------
    ConfigError
        For an unknown task or pace, or a seed or number of events out of range.
    """

    def __init__(
        self,
        task: str,
        seed: int,
        *,
        pace: str = "prompt",
        events: int | None = None,
        robot: RobotModel | None = None,
    ) -> None:
        if task not in TASKS:
            raise ConfigError(f"there is no task {task!r}: expected one of {', '.join(TASKS)}")
        if pace not in PACES:
            raise ConfigError(f"pace is {pace!r}: expected {' or '.join(PACES)}")
        _check_whole("seed", seed, 0, _MOST_SEED)
        self.total_events = EVENTS if events is None else events
        _check_whole("events", self.total_events, 1, 1000)
        self._eyes, retargeter = _body() if robot is None else (EyeGeometry(robot), Retargeter(robot))
        self._key = (int(seed), TASKS.index(task))

        rng = self._rng(0)
        seats, together = _seats(task, rng)
        self._partners = [
            Partner(f"p{i}", _adult(rng), seat, self._rng(1, i)) for i, seat in enumerate(seats)
        ]
        self._players = [
            Player(partner, self._rng(2, i), [s for s in seats if s is not seat], attends=i == 0)
            for i, (partner, seat) in enumerate(zip(self._partners, seats, strict=True))
        ]
        self._habits = [player.habits for player in self._players]
        self._script = Script(
            KINDS[task](rng, self.total_events), self._players, lambda number: self._rng(3, number), retargeter,
            natural=pace == "natural",
        )  # fmt: skip
        self._playing: Playing = self._script.together() if together else self._script.alone()
        self.events: list[OpenEvent] = []
        self.done = False
        self._tick = -1
        self._until_s = 0.0
        self._number = -1
        self._kind, self._counted, self._onset_s = "rest", False, 0.0
        self._event: OpenEvent | None = None
        self._asked: Ask | None = None
        self._judge: Judge | None = None
        self._beside: Judge | None = None
        self._last_target: Vector = np.zeros(3)

    def start(self) -> tuple[SceneState, Stimulus]:
        """Return what there is at time 0."""
        self._tick = 0
        for player in self._players[1:]:
            player.habits.attend(0.0, False)
        self._go_on(next(self._playing), 0.0)
        return self._show(0.0)

    def step(self, robot: RobotState, beside: RobotState | None = None) -> tuple[SceneState, Stimulus]:
        """Let one tick pass.

        Parameters
        ----------
        robot
            The robot at the end of the tick, having acted upon what was shown before.
        beside
            Another robot that is judged alike but changes nothing.
        """
        if self._tick < 0:
            raise RuntimeError("step before start: call start() once, then step() for each tick")
        self._tick += 1
        t = self._tick * TICK_S
        if self._beside is not None and beside is not None:
            self._see_beside(t, beside)
        if self._asked is not None:
            self._see(t, robot)
        if self._asked is None and t >= self._until_s - _EPS_S and not self.done:
            self._resume(t)
        return self._show(t)

    # -- events -----------------------------------------------------------------------------------

    def _resume(self, t: float) -> None:
        try:
            self._go_on(self._playing.send(t), t)
        except StopIteration:
            self.done = True

    def _go_on(self, wish: float | Ask, t: float) -> None:
        """Take what the script yielded: a time to wait for, or an event that begins."""
        while not isinstance(wish, Ask):
            self._until_s = wish
            if wish > t + _EPS_S:
                return
            wish = self._playing.send(t)
        self._asked = wish
        self._number += 1
        self._kind, self._counted, self._onset_s = wish.kind, True, t
        self._event = OpenEvent(self._number, wish.kind, t, t + TIMEOUT_S)
        self._judge, self._beside = Judge(wish.wanted, self._eyes), Judge(wish.wanted, self._eyes)

    def _see(self, t: float, robot: RobotState) -> None:
        """Look whether the present event has been answered, or is over for another reason."""
        assert self._event is not None and self._judge is not None and self._asked is not None
        event, cut_s = self._event, self._asked.cut_s
        event.response_s = self._judge.see(t, self._last_target, robot)
        if event.response_s is None:
            over = event.deadline_s + (HOLD_S if self._judge.since_s is not None else 0.0)
            if cut_s is not None:
                over = event.onset_s + cut_s
            if t < over - _EPS_S:
                return
        if cut_s is None:
            self.events.append(event)
        self._asked = self._judge = None
        self._kind, self._counted, self._until_s = "rest", False, t
        if len(self.events) == self.total_events:
            self.done = True

    def _see_beside(self, t: float, robot: RobotState) -> None:
        """Judge the other robot; it may answer until the next event begins, about what was asked last."""
        assert self._event is not None and self._beside is not None
        self._event.beside_s = self._beside.see(t, self._last_target, robot)
        if self._event.beside_s is not None:
            self._beside = None

    # -- what is shown ----------------------------------------------------------------------------

    def _show(self, t: float) -> tuple[SceneState, Stimulus]:
        for habits in self._habits:
            habits.step(t)
        people = tuple([partner.state(t) for partner in self._partners])
        actor = self._script.actor.partner
        target = _target(people[self._partners.index(actor)] if len(people) > 1 else people[0])
        if self._asked is not None or self._beside is None:
            self._last_target = target
        stimulus = Stimulus(self._number, self._kind, self._onset_s, self._counted, target, actor.answer())
        return SceneState(t, people), stimulus

    def _rng(self, *what: int) -> np.random.Generator:
        """Return a generator of its own for each purpose, so that none depends on how another was used."""
        return np.random.default_rng([*self._key, *what])


def _target(person: PersonState) -> Vector:
    """Return where somebody who attends to this person looks."""
    for hand in person.hands:
        if hand.extended:
            return hand_target(hand.gesture, hand.pose[:3, 3], hand.tip_m)
    return person.position_m


def _seats(task: str, rng: np.random.Generator) -> tuple[list[Point], bool]:
    """Return where the people of a task sit, and whether they are several."""
    if task == "mixed":
        return places.row(rng, 2 + int(rng.random() < 0.6)), True
    # A finger that is to be held at 0.6 m needs somebody behind it.
    return [places.seat(rng, (0.94, 1.02) if task == "foveate" else (0.75, 1.05))], False


def _adult(rng: np.random.Generator) -> int:
    """Return the number of an adult from among those that perception has not been fitted to."""
    while True:
        seed = int(rng.integers(FIRST_REPORT_SEED, 100_000))
        if build_of(seed)[0] >= _ADULT_YEARS:
            return seed


@lru_cache(maxsize=1)
def _body() -> tuple[EyeGeometry, Retargeter]:
    robot = load_robot()
    return EyeGeometry(robot), Retargeter(robot)


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not low <= value <= high:  # type: ignore[operator]
        raise ConfigError(f"{name} is {value!r}: expected a whole number from {low} to {high}")
