"""What happens in each task, as the partners play it: one generator a task.

A script tells people what to do and yields when something has to be waited for: a time (s), or an `Ask` - something
that the robot has to answer. It is resumed with the time at which that was over.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fabg.perception.types import Side
from fabg.policy.attention import EYES_M
from fabg.robot.retarget import Retargeter
from fabg.social.answers import DIRECTION_RAD, VERGENCE_RAD, Look, Wanted, wanted_face
from fabg.social.habits import Habits
from fabg.social.motion import Point, reach_duration
from fabg.social.partner import Partner
from fabg.social.places import AIMS, APART_RAD, apart, beside, finger_tips, hand_place, handy_side, reaching
from fabg.social.signs import SIGNS, in_base, sign_of, turn_of

DIRECTIONS = tuple(AIMS)
_LEAST_AMOUNT = 0.4
_NEUTRAL_S = 1.0
"""From the answer to an expression to the next event: the partner's face and the robot's go back to rest."""
_CALM_S = 0.6
"""Before the first event."""
_TURN_S = 0.15
"""Between one person looking away and the next looking at the robot."""
_SHORT = ("smile", "surprise", "hand", *DIRECTIONS)
_CUT_CHANCE = 0.2
_CUT_S = (0.12, 0.30)
_HOLD_S, _GAP_S = (0.5, 1.5), (0.5, 2.0)


@dataclass(frozen=True, eq=False)
class Ask:
    """Something that the robot has to answer from now on.

    Attributes
    ----------
    kind
        What kind of event.
    wanted
        What is an answer.
    cut_s
        After this long something else follows whether it was answered or not, and it does not count; None for
        an event that counts.
    """

    kind: str
    wanted: Wanted
    cut_s: float | None = None


Playing = Generator[float | Ask, float, None]


class Player:
    """One person with their habits, and the hand that they act with."""

    def __init__(
        self, partner: Partner, rng: np.random.Generator, others: Sequence[Point], *, attends: bool
    ) -> None:
        self.partner = partner
        self.seat = partner.seat
        self.others = others
        self.side = handy_side(self.seat)
        spare = Side.LEFT if self.side == Side.RIGHT else Side.RIGHT
        self.habits = Habits(partner, rng, spare=spare, others=others, attends=attends)


class Script:
    """The play of one episode.

    Parameters
    ----------
    kinds
        The events that count, in order.
    players
        Who is there.
    rng_of
        Returns the generator from which an event is drawn, by its number.
    retargeter
        The robot's.
    natural
        Whether there are holding phases and gaps, or the next event follows at once.

    Attributes
    ----------
    actor
        Whom the robot has to attend to.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        players: Sequence[Player],
        rng_of: Callable[[int], np.random.Generator],
        retargeter: Retargeter,
        *,
        natural: bool,
    ) -> None:
        self._kinds, self._players, self._rng_of = kinds, players, rng_of
        self._retargeter, self._natural = retargeter, natural
        self.actor = players[0]
        self._looked: deque[Point] = deque(
            [self.actor.seat], maxlen=2
        )  # two: a robot may have taken no notice of one cut short

    def alone(self) -> Playing:
        """Play all events with one person."""
        t = yield _CALM_S
        if self._kinds[0] in ("near", "far"):
            t = yield from self._show_finger(t)
        for number, kind in enumerate(self._kinds):
            rng = self._rng_of(number)
            t = yield from self._play(kind, rng, t)

    def together(self) -> Playing:
        """Play all events with several people, of whom one acts at a time; some events are cut short."""
        t = yield _CALM_S
        for number, kind in enumerate(self._kinds):
            rng = self._rng_of(number)
            if kind not in ("far", "face") and rng.random() < _CUT_CHANCE:
                around = (kind, self._kinds[number - 1])
                interrupted = str(rng.choice([k for k in _SHORT if k not in around]))
                t = yield from self._take_turn(interrupted, rng, t, same=0.6)
                t = yield from self._play(interrupted, rng, t, cut_s=float(rng.uniform(*_CUT_S)))
            t = yield from self._play_in_company(kind, rng, t)

    # -- turns ------------------------------------------------------------------------------------

    def _play_in_company(
        self, kind: str, rng: np.random.Generator, t: float
    ) -> Generator[float | Ask, float, float]:
        if kind == "face":
            t = yield from self._take_turn(kind, rng, t, same=0.0, calm_s=0.0)
            self._looked.append(self.actor.seat)
            t = yield Ask("face", Look())
            return (yield from self._rest(rng, t))
        if kind != "far":  # the finger that comes near is the one that goes away
            t = yield from self._take_turn(kind, rng, t, same=0.5)
        return (yield from self._play(kind, rng, t))

    def _take_turn(
        self, kind: str, rng: np.random.Generator, t: float, *, same: float, calm_s: float = 0.4
    ) -> Generator[float | Ask, float, float]:
        """Let another person attend to the robot; with the chance `same` it stays the one it was."""
        before = self.actor
        others = [p for p in self._players if p is not before]
        fit = [p for p in others if self._fits(p, kind)]
        may_stay = same > 0.0 and self._fits(before, kind)
        if may_stay and (rng.random() < same or not fit):
            return t
        fit = fit or others
        after = fit[int(rng.integers(len(fit)))]
        before.habits.attend(t, False)
        self._withdraw(before, t)
        t = yield t + _TURN_S
        t = yield after.habits.attend(t, True)
        self.actor = after
        if calm_s > 0.0:
            t = yield t + calm_s
        return t

    def _fits(self, player: Player, kind: str) -> bool:
        """Return whether somebody can play an event such that it is not answered by the look before."""
        if kind not in AIMS and kind != "face":
            return True
        aim = AIMS[kind] if kind in AIMS else self._looked[-1]
        return apart(player.seat, aim) >= APART_RAD

    def _withdraw(self, player: Player, t: float) -> float:
        """Take the hand down and sit at ease; return when the hand no longer says anything."""
        if player.partner.seat != player.seat:
            player.partner.lean(t, player.seat, 0.7)
        return player.partner.lower_hand(t, player.side)

    # -- events -----------------------------------------------------------------------------------

    def _play(
        self, kind: str, rng: np.random.Generator, t: float, cut_s: float | None = None
    ) -> Generator[float | Ask, float, float]:
        """Play one event of the present actor; return when the next may begin."""
        if kind in ("smile", "surprise"):
            return (yield from self._emotion(kind, rng, t, cut_s))
        if kind in ("near", "far"):
            return (yield from self._finger(kind, rng, t))
        if kind == "face":
            return (yield from self._face(rng, t))
        return (yield from self._sign(kind, rng, t, cut_s))

    def _emotion(
        self, kind: str, rng: np.random.Generator, t: float, cut_s: float | None
    ) -> Generator[float | Ask, float, float]:
        partner = self.actor.partner
        amount = float(rng.uniform(_LEAST_AMOUNT, 1.0))
        onset_s, offset_s = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.4, 0.6))
        self._withdraw(self.actor, t)
        self._looked.append(partner.seat)
        partner.express(t, kind, amount, onset_s)
        t = yield Ask(kind, wanted_face(partner.answer_to(kind, amount), self._retargeter), cut_s)
        if self._natural and cut_s is None:
            t = yield t + float(rng.uniform(*_HOLD_S))
        partner.express(t, kind, 0.0, offset_s)
        if cut_s is not None:
            return t
        t = yield t + _NEUTRAL_S
        if self._natural:
            t = yield t + float(rng.uniform(*_GAP_S))
        return t

    def _sign(
        self, kind: str, rng: np.random.Generator, t: float, cut_s: float | None
    ) -> Generator[float | Ask, float, float]:
        """Hold out a hand ("hand") or say something with it (a direction, "fist")."""
        player = self.actor
        partner, side = player.partner, player.side
        sign = sign_of("open" if kind == "hand" else kind, side)
        fingers = in_base(sign.fingers, side)
        at = hand_place(rng, partner.seat, side, fingers, player.others, self._looked)
        t = yield partner.raise_hand(t, side, sign, at)
        self._looked.append(AIMS.get(kind, at))
        t = yield Ask(kind, Look(DIRECTION_RAD) if kind in DIRECTIONS else Look(), cut_s)
        if cut_s is not None:
            partner.lower_hand(t, side)
            return t
        if self._natural:
            if kind == "hand" and rng.random() < 0.5:
                at = hand_place(rng, partner.seat, side, fingers, player.others)
                partner.raise_hand(t, side, sign, at, duration_s=1.5 * reach_duration(0.3))
            t = yield t + float(rng.uniform(*_HOLD_S))
        if len(self._players) > 1 or (self._natural and kind != "hand"):
            t = yield partner.lower_hand(t, side)
            if self._natural:
                t = yield t + float(rng.uniform(*_GAP_S))
        return t

    def _face(self, rng: np.random.Generator, t: float) -> Generator[float | Ask, float, float]:
        """Take the hand away and sit somewhat elsewhere."""
        player = self.actor
        player.partner.lean(t, beside(rng, player.seat), float(rng.uniform(0.6, 0.9)))
        t = yield player.partner.lower_hand(t, player.side)
        t = yield Ask("face", Look())
        return (yield from self._rest(rng, t))

    def _show_finger(self, t: float) -> Generator[float | Ask, float, float]:
        """Raise a finger far from the robot."""
        far, _ = finger_tips(self._rng_of(len(self._kinds)), self.actor.seat)
        t = yield self._point(far, t)
        t = yield t + _CALM_S
        return t

    def _finger(self, kind: str, rng: np.random.Generator, t: float) -> Generator[float | Ask, float, float]:
        far, near = finger_tips(rng, self.actor.seat)
        if not self.actor.partner.arms[self.actor.side].up:
            t = yield self._point(far, t)
            t = yield t + _CALM_S
        tip = near if kind == "near" else far
        self._looked.append(tip)
        t = yield self._point(tip, t)
        t = yield Ask(kind, Look(vergence_rad=VERGENCE_RAD))
        if self._natural:
            t = yield t + float(rng.uniform(*_HOLD_S))
        if kind == "far" and len(self._players) > 1:
            t = yield self._withdraw(self.actor, t)
        return (yield from self._rest(rng, t)) if kind == "far" else t

    def _point(self, tip: Point, t: float) -> float:
        """Bring the tip of the index finger somewhere, pointing at the robot; return when that says something."""
        player = self.actor
        partner, side, sign = player.partner, player.side, SIGNS["at_robot"]
        turn = turn_of(_towards_robot(tip), (0.0, -0.5 if side == Side.RIGHT else 0.5, -1.0))
        arm = partner.arms[side]
        x, y, z = arm.tip_from_palm(sign.shape, turn)
        palm = tip[0] - x, tip[1] - y, tip[2] - z
        duration = reach_duration(max(math.dist(palm, arm.goal), 0.3) if arm.up else 0.5)
        partner.lean(t, reaching(player.seat, side, palm), duration)
        return partner.raise_hand(t, side, sign, palm, turn=turn, duration_s=duration)

    def _rest(self, rng: np.random.Generator, t: float) -> Generator[float | Ask, float, float]:
        if self._natural:
            t = yield t + float(rng.uniform(*_HOLD_S)) + float(rng.uniform(*_GAP_S))
        return t


def _towards_robot(tip: Point) -> Point:
    return EYES_M[0] - tip[0], EYES_M[1] - tip[1], EYES_M[2] - tip[2]


# Which events a task has -----------------------------------------------------------------------------


def _affective(rng: np.random.Generator, count: int) -> list[str]:
    kinds = ["smile" if i % 2 else "surprise" for i in range(count)]
    return [kinds[i] for i in rng.permutation(count)]


def _tracking(rng: np.random.Generator, count: int) -> list[str]:
    return ["face" if i % 2 else "hand" for i in range(count)]


def _foveate(rng: np.random.Generator, count: int) -> list[str]:
    return ["far" if i % 2 else "near" for i in range(count)]


def _gesture(rng: np.random.Generator, count: int) -> list[str]:
    return _without_repeats(rng, [*DIRECTIONS, "fist"], count)


def _mixed(rng: np.random.Generator, count: int) -> list[str]:
    units = ["smile", "surprise", "hand", "face", *DIRECTIONS, "fist", "near"]
    kinds: list[str] = []
    for kind in _without_repeats(rng, units, count):
        kinds += ["near", "far"] if kind == "near" else [kind]
    return kinds[:count]


def _without_repeats(rng: np.random.Generator, names: Sequence[str], count: int) -> list[str]:
    """Return names in rounds of all of them, each round in another order, none twice in a row."""
    found: list[str] = []
    while len(found) < count:
        order = [names[i] for i in rng.permutation(len(names))]
        if not found or order[0] != found[-1]:
            found += order
    return found[:count]


KINDS: Mapping[str, Callable[[np.random.Generator, int], list[str]]] = {
    "affective": _affective,
    "tracking": _tracking,
    "foveate": _foveate,
    "gesture": _gesture,
    "mixed": _mixed,
}
"""The events of each task by their number, in order."""
