"""From noisy observations to what the people ask of the robot: where to look, and which face to answer with.

The rules are those of `fabg.policy.attention`. Around them stands what perception makes necessary: points
are smoothed, faces and hands that are missing for a moment are taken to be still there, a change counts when it
lasts, a resting face is learnt and taken off. What has been seen to be true is *dated back* to when it began. Who
reacts with a delay, as people do, has by then not yet reacted to it: such care costs no time at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.perception.types import Gesture
from fabg.policy.attention import EYES_M, Candidate, attended, direction_target, foremost
from fabg.policy.base import Observation
from fabg.policy.memory import Face, HandMemory, PersonMemory, Point, WatchConfig, is_finite

Array = NDArray[np.float64]

AHEAD_M: Point = (EYES_M[0] + 1.0, EYES_M[1], EYES_M[2])
"""Where the robot looks when there is nobody."""

_QUIET: Array = np.zeros(expression.N_SHAPES)
_QUIET.setflags(write=False)


class Goal(NamedTuple):
    """What is looked at: a person's face or, by their hand, its palm, its tip or a direction."""

    person: str
    what: str
    gesture: Gesture = Gesture.NONE


NOBODY = Goal("", "nobody")


@dataclass(slots=True)
class Sight:
    """What one observation says, as far as is known by now.

    Attributes
    ----------
    stamp_s
        When it was taken.
    goal
        What is attended to.
    point
        Where to look, base frame, m.
    shapes
        The 52 shapes to answer with.
    points, faces
        What else could have been attended to, for changes of mind.
    unread
        True while an extended hand has not been read: what follows tells what it meant.
    """

    stamp_s: float
    goal: Goal
    point: Point
    shapes: Array
    points: dict[Goal, Point]
    faces: dict[str, Face]
    unread: bool


class Watcher:
    """Keeps the recent past as a list of `Sight`s, oldest first, in `seen`."""

    def __init__(self, config: WatchConfig | None = None, memory_s: float = 1.0) -> None:
        self.config = config or WatchConfig()
        self._memory_s = memory_s
        self.reset()

    def reset(self) -> None:
        """Forget everything and everybody."""
        self.seen: list[Sight] = []
        self._people: dict[str, PersonMemory] = {}
        self._hands: dict[str, HandMemory] = {}
        self._goal: Goal | None = None
        self._next: tuple[Goal, int] | None = None  # what may be the next goal, and how often it was seen

    def watch(self, observation: Observation) -> None:
        """Take an observation; its stamp must be later than all before. What is not finite counts as not seen."""
        now = observation.stamp_s
        c = self.config
        for person in observation.people:
            if is_finite(person.position_m, person.blendshapes):
                known = self._people.setdefault(person.id, PersonMemory())
                known.see(person, now, c)
        for hand in observation.hands:
            if is_finite(hand.position_m, hand.tip_m):
                self._hands.setdefault(hand.id, HandMemory()).see(hand, now, c)
        self._people = {i: p for i, p in self._people.items() if now - p.seen_s <= max(c.alone_s, c.lost_s)}
        self._hands = {i: h for i, h in self._hands.items() if now - h.seen_s <= c.lost_s}
        self._understand(now)
        while len(self.seen) > 2 and self.seen[1].stamp_s < now - self._memory_s:
            del self.seen[0]

    def _understand(self, now: float) -> None:
        """Add a sight, and mend earlier ones by what is now known."""
        here = {i: p for i, p in self._people.items() if now - p.seen_s <= self.config.lost_s}
        last = self._goal.person if self._goal is not None else None
        keep = self.config.keep
        who = attended(
            [
                Candidate(i, p.distance_m * (keep if i == last else 1.0), p.looks)
                for i, p in (here or self._people).items()
            ],
            last,
        )
        points: dict[Goal, Point] = {Goal(i, "face"): p.point for i, p in self._people.items()}
        goal, unread = self._choose(now, who, points)
        faces = {i: p.face for i, p in self._people.items()}
        sight = Sight(now, self._goal or goal, AHEAD_M, _QUIET, points, faces, unread)
        self.seen.append(sight)
        if self._goal is None:
            self._goal = sight.goal
        if unread or goal == self._goal:
            self._next = None
            self._settle(len(self.seen) - 1)
        else:
            count = self._next[1] + 1 if self._next is not None and self._next[0] == goal else 1
            self._next = (goal, count)
            self._settle(len(self.seen) - 1)
            first = self._begin_of(goal, count)
            if len(self.seen) - first >= self.config.confirm:
                self._change(goal, first)
        person = self._people.get(self._goal.person)
        if person is not None and person.began:
            self._date_back_face(self._goal.person)

    def _choose(self, now: float, who: str | None, points: dict[Goal, Point]) -> tuple[Goal, bool]:
        """Return what to attend to by the rules, and whether a hand is held out that cannot be read yet."""
        hands = [h for h in self._hands.values() if h.extended and (who is None or h.person in (who, ""))]
        hands = [h for h in hands if h.seen_s == now] or hands
        first = foremost([h.palm for h in hands])
        if first is None:
            return (NOBODY if who is None else Goal(who, "face")), False
        hand = hands[first]
        owner = who if who is not None else hand.person
        points[Goal(owner, "palm")] = hand.palm
        points[Goal(owner, "tip")] = hand.tip
        if hand.gesture == Gesture.NONE and now - hand.since_s < self.config.unread_s:
            return self._goal or Goal(owner, "palm"), True
        if direction_target(hand.gesture) is not None:
            return Goal(owner, "direction", hand.gesture), False
        return Goal(owner, "tip" if hand.gesture == Gesture.POINTING else "palm"), False

    def _begin_of(self, goal: Goal, count: int) -> int:
        """Return since which sight a goal was seen, which the last `count` show; a hand from when it was held out."""
        first = len(self.seen) - count
        while goal.what != "face" and first > 0 and self.seen[first - 1].unread:
            first -= 1
        return first

    def _change(self, goal: Goal, first: int) -> None:
        """Attend to something new, from a sight on."""
        self._goal, self._next = goal, None
        for i in range(first, len(self.seen)):
            self.seen[i].goal = goal
            self._settle(i)

    def _settle(self, i: int) -> None:
        """Fill in point and shapes of a sight by its goal; what it does not know, the one before does."""
        sight = self.seen[i]
        goal = sight.goal
        aside = direction_target(goal.gesture) if goal.what == "direction" else None
        if goal == NOBODY:
            sight.point = AHEAD_M
        elif aside is not None:
            sight.point = tuple(aside.tolist())
        else:
            point = sight.points.get(goal)
            sight.point = point if point is not None else self.seen[i - 1].point if i else AHEAD_M
        face = sight.faces.get(goal.person)
        person = self._people.get(goal.person)
        on = person is not None and person.on
        sight.shapes = face.answer if face is not None and on else _QUIET

    def _date_back_face(self, who: str) -> None:
        """Let an expression begin where it rose, not where it was told from noise."""
        for sight in reversed(self.seen):
            face = sight.faces.get(who)
            if face is None or sight.goal.person != who or face.amount < self.config.face_off:
                break
            sight.shapes = face.answer
