"""How much each person is engaged with the robot: mutual gaze times proximity, over time.

Each image gives a number from 0 to 1: 0 unless the person looks at the robot and the robot's camera
faces the person; otherwise the nearer, the more. Its mean over the last seconds moves the person through
the five levels of ROS4HRI, with a lower threshold to leave a level than to reach it:

    unknown -> disengaged <-> engaging -> engaged <-> disengaging -> disengaged
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from fabg.errors import ConfigError, check_ranges
from fabg.perception.clock import ImageClock
from fabg.perception.types import ROBOT, Engagement, Face, Faces, Gaze, Look


@dataclass(frozen=True, kw_only=True)
class EngagementConfig:
    """What counts as engaged.

    Attributes
    ----------
    near_m, far_m
        Distance up to which proximity is 1, and from which on it is 0, m; linear between.
    view_deg
        Angle off the camera's axis at which the robot no longer faces a person, degrees; it faces
        them fully within half of it.
    window_s
        The mean is over this time, s.
    unknown_s
        So long a person is watched before anything is said, s.
    engaging, engaged
        The mean at which a person begins to engage, and is engaged, 0..1.
    disengaging, disengaged
        The mean below which an engaged person begins to leave, and has left, 0..1.

    Raises
    ------
    ConfigError
        When a value is out of range or the thresholds are not in the order
        disengaged < engaging <= disengaging < engaged.
    """

    near_m: float = 1.2
    far_m: float = 3.5
    view_deg: float = 60.0
    window_s: float = 3.0
    unknown_s: float = 0.3
    engaging: float = 0.2
    engaged: float = 0.5
    disengaging: float = 0.3
    disengaged: float = 0.1

    def __post_init__(self) -> None:
        ranges = {
            "near_m": (0.1, 50.0),
            "far_m": (0.1, 50.0),
            "view_deg": (1.0, 180.0),
            "window_s": (0.1, 60.0),
            "unknown_s": (0.0, 60.0),
            "engaging": (0.0, 1.0),
            "engaged": (0.0, 1.0),
            "disengaging": (0.0, 1.0),
            "disengaged": (0.0, 1.0),
        }
        check_ranges(self, ranges)
        if not self.near_m < self.far_m:
            raise ConfigError(f"near_m is {self.near_m}, far_m is {self.far_m}: expected near_m < far_m")
        if not self.disengaged < self.engaging <= self.disengaging < self.engaged:
            raise ConfigError(
                f"thresholds are disengaged {self.disengaged}, engaging {self.engaging}, "
                f"disengaging {self.disengaging}, engaged {self.engaged}: expected this order, each above "
                f"the one before (engaging and disengaging may be equal)"
            )


@dataclass
class _Person:
    scores: deque[tuple[float, float, float]] = field(default_factory=deque)
    """(time, step, score): the score holds from ``time - step`` to ``time``."""
    level: Engagement = Engagement.UNKNOWN
    watched_s: float = 0.0
    seen_s: float = 0.0


class EngagementTracker:
    """Follow how engaged everybody is. Not thread-safe.

    Images in which a person is not seen count as 0; one who was gone for ``window_s`` is a stranger.
    """

    def __init__(self, config: EngagementConfig | None = None) -> None:
        self.config = config or EngagementConfig()
        """The configuration in force; may be replaced at any time."""
        self._clock = ImageClock()
        self._people: dict[str, _Person] = {}

    def update(self, faces: Faces, gazes: tuple[Gaze, ...], looks: Iterable[Look]) -> dict[str, Engagement]:
        """Return the level of everybody in one image by face id.

        Parameters
        ----------
        faces, gazes
            The people and their gaze; who has no gaze looks nowhere.
        looks
            Who looks at whom (see `fabg.perception.attention.AttentionTracker`).

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        step_s = self._clock.advance(faces.stamp_s)
        now_s = self._clock.now_s
        known = {gaze.face_id for gaze in gazes}
        at_robot = {look.sender for look in looks if look.receiver == ROBOT} & known
        present = {face.id: face for face in faces.faces}
        for name in present:
            self._people.setdefault(name, _Person())
        for name, person in self._people.items():
            score = self._score(present[name]) if name in present and name in at_robot else 0.0
            # The first image of a person stands for no stretch of time yet.
            person.scores.append((now_s, step_s if person.seen_s or person.watched_s else 0.0, score))
            if name in present:
                person.watched_s += person.scores[-1][1]
                person.seen_s = now_s
            self._judge(person, now_s)
        keep_s = self.config.window_s
        self._people = {n: p for n, p in self._people.items() if n in present or now_s - p.seen_s <= keep_s}
        return {name: self._people[name].level for name in present}

    def score(self, face_id: str) -> float:
        """Return the mean that decides, 0..1; 0 for a stranger."""
        person = self._people.get(face_id)
        return 0.0 if person is None else self._mean(person, self._clock.now_s)

    def _score(self, face: Face) -> float:
        x, y, z = (float(v) for v in face.pose[:3, 3])
        config = self.config
        distance = math.hypot(x, y, z)
        proximity = np.clip((config.far_m - distance) / (config.far_m - config.near_m), 0.0, 1.0)
        aside_deg = math.degrees(math.atan2(math.hypot(x, y), z))
        facing = np.clip(2.0 - 2.0 * aside_deg / config.view_deg, 0.0, 1.0)
        return float(proximity * facing)

    def _mean(self, person: _Person, now_s: float) -> float:
        """Return the mean over the whole window; the time before a person was seen counts as 0."""
        begin_s = now_s - self.config.window_s
        while person.scores and person.scores[0][0] <= begin_s:
            person.scores.popleft()
        inside = ((min(step, at - begin_s), score) for at, step, score in person.scores)
        return sum(step * score for step, score in inside) / self.config.window_s

    def _judge(self, person: _Person, now_s: float) -> None:
        mean, config, level = self._mean(person, now_s), self.config, person.level
        if level is Engagement.UNKNOWN:
            if person.watched_s >= config.unknown_s - 1e-9:
                level = Engagement.DISENGAGED
        elif level in (Engagement.DISENGAGED, Engagement.ENGAGING):
            if mean >= config.engaged:
                # A long step between two images may pass the threshold between: no level is left out.
                level = Engagement.ENGAGED if level is Engagement.ENGAGING else Engagement.ENGAGING
            elif mean >= config.engaging:
                level = Engagement.ENGAGING
            elif mean < config.disengaged:
                level = Engagement.DISENGAGED
        elif mean >= config.engaged:
            level = Engagement.ENGAGED
        elif mean < config.disengaged and level is Engagement.DISENGAGING:
            level = Engagement.DISENGAGED
        elif mean < config.disengaging:
            level = Engagement.DISENGAGING
        person.level = level
