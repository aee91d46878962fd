"""What people do besides: their eyes wander over a face, they glance aside, talk, raise the other hand, smile.

None of this asks anything of the robot. Gaze wanders between eyes and mouth (Yarbus: "Eye Movements and Vision",
1967); speech opens the jaw four to five times a second (Chandrasekaran et al.: "The natural statistics of audiovisual
speech", PLoS Comput. Biol. 5, 2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fabg.perception.types import Side
from fabg.policy.attention import EYES_M
from fabg.social.motion import Point
from fabg.social.partner import Partner
from fabg.social.places import apart, resting_place
from fabg.social.signs import SIGNS

MOST_JAW = 0.16
"""Speech opens the jaw no further; a surprise of the least intensity opens it further."""
LOOK_AWAY_RAD = math.radians(20.0)
"""Who does not attend to the robot looks at least this far past its eyes."""
MOST_TURN_RAD = math.radians(100.0)
"""People who sit at ease do not look further round than this."""

# Points of the robot's face between which a gaze wanders, from the middle between its eyes.
_FACE_POINTS = ((0.0, 0.029, 0.0), (0.0, -0.029, 0.0), (0.01, 0.0, -0.03), (0.012, 0.0, -0.065))


class Habits:
    """The habits of one person.

    Parameters
    ----------
    partner
        Whose.
    rng
        Draws what and when. Nothing else should draw from it: habits then hardly depend on what the robot does.
    spare
        The hand that is free to be raised for nothing.
    others
        Places of the other people's faces.
    attends
        Whether they look at the robot to begin with.
    """

    def __init__(
        self,
        partner: Partner,
        rng: np.random.Generator,
        *,
        spare: Side,
        others: Sequence[Point] = (),
        attends: bool = True,
    ) -> None:
        self.partner = partner
        self._rng = rng
        self._spare, self._others = spare, others
        self._attends = attends
        self._glances = False
        self._syllables = 0
        self._smiles = False
        self._rests = False
        self._due: list[tuple[float, Callable[[float], float]]] = [
            (self._between(0.3, 1.0), self._wander),
            (self._between(2.0, 6.0), self._glance),
            (self._between(1.0, 5.0), self._speak),
            (self._between(0.5, 5.0), self._rest_hand),
            (self._between(2.0, 8.0), self._smile),
        ]
        self._soonest = 0.0

    def step(self, t_s: float) -> None:
        """Do what is due."""
        if t_s < self._soonest:
            return
        for i, (due, act) in enumerate(self._due):
            if t_s >= due:
                self._due[i] = (t_s + act(t_s), act)
        self._soonest = min(due for due, _ in self._due)

    def attend(self, t_s: float, robot: bool) -> float:
        """Look at the robot, or at something else, from now on; return when it is looked at."""
        self._attends, self._glances = robot, False
        if robot and self._smiles:
            self._smiles = False
            self.partner.express(t_s, "smile", 0.0, 0.4)
        return self.partner.look(t_s, EYES_M if robot else self._elsewhere())

    # -- what is done, each returning after how long it is due again -------------------------------

    def _wander(self, t_s: float) -> float:
        if self._glances:
            return self._between(0.3, 0.6)
        if self._attends:
            x, y, z = _FACE_POINTS[int(self._rng.integers(len(_FACE_POINTS)))]
            self.partner.look(t_s, (EYES_M[0] + x, EYES_M[1] + y, EYES_M[2] + z))
            return self._between(0.5, 1.8)
        self.partner.look(t_s, self._elsewhere())
        return self._between(1.0, 3.5)

    def _glance(self, t_s: float) -> float:
        if not self._attends:
            return self._between(2.0, 6.0)
        if self._glances:
            self._glances = False
            self.partner.look(t_s, EYES_M)
            return self._between(3.0, 9.0)
        self._glances = True
        self.partner.look(t_s, self._past_robot(self._between(18.0, 32.0)))
        return self._between(0.3, 0.8)

    def _speak(self, t_s: float) -> float:
        if self._syllables == 0:
            self._syllables = 2 * int(self._rng.integers(3, 12))
        self._syllables -= 1
        opens = self._syllables % 2 == 1
        length = self._between(0.09, 0.14)
        self.partner.open_jaw(t_s, self._between(0.04, MOST_JAW) if opens else 0.0, length)
        return length if self._syllables else self._between(3.0, 9.0)

    def _rest_hand(self, t_s: float) -> float:
        self._rests = not self._rests
        if not self._rests:
            self.partner.lower_hand(t_s, self._spare)
            return self._between(3.0, 10.0)
        at = resting_place(self._rng, self.partner.seat, self._spare)
        self.partner.raise_hand(t_s, self._spare, SIGNS["rest"], at, extended=False)
        return self._between(2.5, 6.0)

    def _smile(self, t_s: float) -> float:
        if self._attends:
            return self._between(2.0, 8.0)
        self._smiles = not self._smiles
        self.partner.express(
            t_s, "smile", self._between(0.3, 0.9) if self._smiles else 0.0, self._between(0.3, 0.7)
        )
        return self._between(1.0, 3.0) if self._smiles else self._between(3.0, 9.0)

    def _elsewhere(self) -> Point:
        """Return another person's face, or a place aside, well past the robot."""
        here = self.partner.seat
        angles = [(apart(face, EYES_M, here), face) for face in self._others]
        # Not so near to the robot that a wandering gaze could meet it, not so far back that nobody turns there.
        faces = [face for angle, face in angles if LOOK_AWAY_RAD + 0.09 < angle < MOST_TURN_RAD]
        if faces and self._rng.random() < 0.75:
            return faces[int(self._rng.integers(len(faces)))]
        return self._past_robot(self._between(28.0, 42.0))

    def _past_robot(self, yaw_deg: float) -> Point:
        """Return a point that much to the left or right of the robot, as this person sees it."""
        x, y, z = self.partner.seat
        yaw = math.radians(yaw_deg) * (1.0 if self._rng.random() < 0.5 else -1.0)
        dx, dy = EYES_M[0] - x, EYES_M[1] - y
        return (
            x + dx * math.cos(yaw) - dy * math.sin(yaw),
            y + dx * math.sin(yaw) + dy * math.cos(yaw),
            z + float(self._rng.uniform(-0.15, 0.10)),
        )

    def _between(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))
