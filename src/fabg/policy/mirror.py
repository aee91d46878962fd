"""Mirror the person in front: their expression, their head, and look them in the eyes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import ConfigError
from fabg.geometry import rotation_from_ypr, ypr_from_rotation
from fabg.policy.base import Chunk, Observation, PersonObservation
from fabg.robot.gaze import eye_angles, eye_origins, yaw_pitch
from fabg.robot.model import RobotModel, load_robot

_GAINS = {
    # A camera-based landmarker reports these shapes weaker than people show them.
    "mouthSmileLeft": 1.2,
    "mouthSmileRight": 1.2,
    "jawOpen": 1.2,
    "mouthFrownLeft": 1.5,
    "mouthFrownRight": 1.5,
}


@dataclass(frozen=True, kw_only=True)
class MirrorConfig:
    """How the robot mirrors.

    Attributes
    ----------
    mirror_image
        True: as in a mirror (the person's left is the robot's right); False: left stays left.
    head_gain
        Share of the person's head rotation that the robot takes over, 0..1.
    look_share
        Share of the direction to the person that the neck turns to; the eyes do the rest, 0..1.
    baseline_s
        Time constant with which a person's resting face and head pitch are learnt, s.
    switch_ratio
        Another person becomes the target when nearer than this ratio of the target's distance.
    """

    mirror_image: bool = True
    head_gain: float = 0.8
    look_share: float = 0.6
    baseline_s: float = 20.0
    switch_ratio: float = 0.75
    gains: dict[str, float] = field(default_factory=lambda: dict(_GAINS))

    def __post_init__(self) -> None:
        for name in ("head_gain", "look_share", "switch_ratio"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"{name} is {value}: expected 0 to 1")
        if not self.baseline_s > 0:
            raise ConfigError(f"baseline_s is {self.baseline_s}: expected a positive number")
        unknown = set(self.gains) - set(expression.SHAPES)
        if unknown:
            raise ConfigError(f"gains name unknown shapes: {', '.join(sorted(unknown))}")


class RestingFace:
    """Learns what a person's face reads at rest, and takes it off.

    A landmarker reads some shapes above zero on a resting face (raised brows above all), by an
    amount that differs between people. The baseline falls at once to a lower reading and rises
    slowly, so that a smile that lasts is not taken for rest.
    """

    def __init__(self, time_constant_s: float) -> None:
        self._time_constant_s = time_constant_s
        self._baseline: NDArray[np.float64] | None = None
        self._stamp_s = 0.0

    def correct(self, shapes: NDArray[np.float64], stamp_s: float) -> NDArray[np.float64]:
        """Return `shapes` (52,) with the resting face taken off and the range stretched to 0..1."""
        if self._baseline is None:
            # Nobody is seen at rest for certain: take half of a first weak reading as rest.
            self._baseline = np.minimum(shapes, 0.25) * 0.5
        rise = (
            1.0 - math.exp(-max(stamp_s - self._stamp_s, 0.0) / self._time_constant_s)
            if self._stamp_s
            else 0.0
        )
        self._stamp_s = stamp_s
        towards = np.minimum(shapes, 0.35)
        self._baseline = np.where(
            shapes < self._baseline, shapes, self._baseline + rise * np.maximum(towards - self._baseline, 0.0)
        )
        return np.clip((shapes - self._baseline) / (1.0 - self._baseline), 0.0, 1.0)


class RestingPitch:
    """Learns at which pitch a person holds their head, and takes it off.

    A camera below or above the face, and the landmarker itself, tilt the reading by many degrees;
    without this the robot would keep its chin in the air.
    """

    def __init__(self, time_constant_s: float) -> None:
        self._time_constant_s = time_constant_s
        self._mean: float | None = None
        self._stamp_s = 0.0

    def correct(self, pitch: float, stamp_s: float) -> float:
        """Return the pitch relative to the resting pitch, rad."""
        if self._mean is None:
            self._mean, self._stamp_s = pitch, stamp_s
        share = 1.0 - math.exp(-max(stamp_s - self._stamp_s, 0.0) / self._time_constant_s)
        self._mean += share * (pitch - self._mean)
        self._stamp_s = stamp_s
        return pitch - self._mean


class MirrorPolicy:
    """Take over expression and head of the nearest person, and keep eye contact."""

    name = "mirror"

    def __init__(self, config: MirrorConfig | None = None, robot: RobotModel | None = None) -> None:
        self.config = config or MirrorConfig()
        self._robot = robot or load_robot()
        self._gain = np.ones(expression.N_SHAPES)
        for name, gain in self.config.gains.items():
            self._gain[expression.INDEX[name]] = gain
        self.reset()

    def reset(self) -> None:
        """Forget the person and their resting face."""
        self._target: str | None = None
        self._rest: dict[str, tuple[RestingFace, RestingPitch]] = {}

    def predict(self, observation: Observation) -> Chunk | None:
        """Return one expression for the time of the image, or None when nobody is there."""
        person = self._choose(observation.people)
        if person is None:
            return None
        if person.id not in self._rest:
            self._rest[person.id] = RestingFace(self.config.baseline_s), RestingPitch(self.config.baseline_s)
        face, pitch = self._rest[person.id]
        head = np.array(_head_towards_robot(person))
        head[1] = pitch.correct(head[1], observation.stamp_s)
        theirs = expression.neutral()
        theirs[: expression.N_SHAPES] = face.correct(person.blendshapes, observation.stamp_s) * self._gain
        theirs[expression.HEAD] = self.config.head_gain * head
        mine = expression.mirrored(theirs) if self.config.mirror_image else theirs
        self._look_at(mine, person.position_m)
        return Chunk(expression.checked(mine)[None], observation.stamp_s, 0.02, self.name)

    def _choose(self, people: tuple[PersonObservation, ...]) -> PersonObservation | None:
        by_id = {p.id: p for p in people}
        self._rest = {i: rest for i, rest in self._rest.items() if i in by_id or i == self._target}
        if not people:
            return None
        nearest = min(people, key=lambda p: float(np.linalg.norm(p.position_m)))
        current = by_id.get(self._target or "")
        if current is not None:
            ratio = np.linalg.norm(nearest.position_m) / max(float(np.linalg.norm(current.position_m)), 1e-6)
            if ratio > self.config.switch_ratio:
                nearest = current
        self._target = nearest.id
        return nearest

    def _look_at(self, vector: expression.Vector, point_m: NDArray[np.float64]) -> None:
        """Turn the neck part of the way to `point_m` (base frame) and let each eye do the rest."""
        yaw, pitch = yaw_pitch(point_m - np.mean(eye_origins(self._robot), axis=0))
        vector[expression.INDEX["headYaw"]] += self.config.look_share * yaw
        vector[expression.INDEX["headPitch"]] += self.config.look_share * pitch
        left, right = eye_angles(point_m, self._robot, tuple(vector[expression.HEAD]))
        vector[expression.LEFT_EYE], vector[expression.RIGHT_EYE] = (*left, 0.0), (*right, 0.0)


def _head_towards_robot(person: PersonObservation) -> tuple[float, float, float]:
    """Return the person's head yaw, pitch, roll; zero when they face the robot squarely."""
    yaw, _ = yaw_pitch(-person.position_m)
    facing = rotation_from_ypr(yaw, 0.0, 0.0)
    return ypr_from_rotation(facing.T @ person.rotation)
