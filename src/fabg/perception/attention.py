"""Who looks at whom: the robot, or another person's face.

A target is a ball: the robot's around a point in the camera's frame, a person's around the middle of the
face. A ray meets it when the angle to its middle is at most the ball's angular radius, which shrinks
with distance, plus what the gaze may be wrong by, which does not. Of several targets the one whose
middle is nearest to the ray, measured in that angle, is the one looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError, check_ranges
from fabg.perception.clock import ImageClock
from fabg.perception.types import ROBOT, Face, Faces, Gaze, Look

_FACE_MIDDLE = np.array([-0.02, 0.0, -0.03, 1.0])
"""Middle of a face in the head frame (whose origin is between the eyes), m, homogeneous."""


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """When a ray counts as a look at somebody.

    Attributes
    ----------
    robot_x_m, robot_y_m, robot_z_m
        What stands for the robot, in the camera's optical frame (right, down, forward), m.
    robot_radius_m
        Radius of the ball around it, m.
    face_radius_m
        Radius of the ball around a person's face, m.
    gaze_error_deg
        Added to the angular radius of every target, degrees.
    release
        A look ends only beyond this multiple of the angle at which it begins, 1..4.
    begin_s
        So long the ray must rest on a target before it is a look, s.
    end_s
        So long it may be elsewhere, or the eyes closed, before the look ends, s.
    min_confidence
        A gaze below this says nothing, 0..1.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    robot_x_m: float = 0.0
    robot_y_m: float = 0.0
    robot_z_m: float = 0.0
    robot_radius_m: float = 0.12
    face_radius_m: float = 0.12
    gaze_error_deg: float = 4.0
    release: float = 1.5
    begin_s: float = 0.15
    end_s: float = 0.4
    min_confidence: float = 0.2

    def __post_init__(self) -> None:
        ranges = {
            "robot_x_m": (-10.0, 10.0),
            "robot_y_m": (-10.0, 10.0),
            "robot_z_m": (-10.0, 10.0),
            "robot_radius_m": (0.01, 5.0),
            "face_radius_m": (0.01, 5.0),
            "gaze_error_deg": (0.0, 45.0),
            "release": (1.0, 4.0),
            "begin_s": (0.0, 10.0),
            "end_s": (0.0, 10.0),
            "min_confidence": (0.0, 1.0),
        }
        check_ranges(self, ranges)

    @property
    def robot_m(self) -> NDArray[np.float64]:
        """Middle of the robot's ball in the camera's optical frame, m, shape (3,)."""
        return np.array([self.robot_x_m, self.robot_y_m, self.robot_z_m])


@dataclass
class _State:
    """What one person looks at, and what they may be about to look at."""

    target: str | None = None
    candidate: str | None = None
    since_s: float = 0.0
    seen_s: float = 0.0


class AttentionTracker:
    """Follow who looks at whom. Not thread-safe.

    A look begins after the ray has rested on a target for ``begin_s`` and ends after ``end_s``
    without, so that neither a passing glance nor a blink changes it; a look from one target to the
    next changes over as soon as the next has held for ``begin_s``. It ends at once when either of the
    two is no longer seen; who comes back within ``end_s`` still looks there.
    """

    def __init__(self, config: AttentionConfig | None = None) -> None:
        self.config = config or AttentionConfig()
        """The configuration in force; may be replaced at any time."""
        self._clock = ImageClock()
        self._states: dict[str, _State] = {}

    def update(self, faces: Faces, gazes: tuple[Gaze, ...]) -> tuple[Look, ...]:
        """Return who looks at whom in one image, in the order of the faces; at most one look a person.

        Raises
        ------
        InputError
            When the stamp is not finite.
        """
        self._clock.advance(faces.stamp_s)
        now_s = self._clock.now_s
        by_id = {gaze.face_id: gaze for gaze in gazes}
        balls = self._balls(faces.faces)
        looks = []
        for face in faces.faces:
            state = self._states.setdefault(face.id, _State(since_s=now_s))
            if state.target is not None and state.target not in balls:
                state.target = None
            self._step(state, self._aim(face.id, by_id.get(face.id), state.target, balls), now_s)
            if state.target is not None:
                looks.append(Look(face.id, state.target))
        self._forget({face.id for face in faces.faces}, now_s)
        return tuple(looks)

    def _balls(self, faces: tuple[Face, ...]) -> dict[str, tuple[NDArray[np.float64], float]]:
        config = self.config
        found = {ROBOT: (config.robot_m, config.robot_radius_m)}
        for face in faces:
            found[face.id] = ((face.pose @ _FACE_MIDDLE)[:3], config.face_radius_m)
        return found

    def _aim(
        self,
        sender: str,
        gaze: Gaze | None,
        current: str | None,
        balls: dict[str, tuple[NDArray[np.float64], float]],
    ) -> str | None:
        """Return the target that the ray meets best, None for none or for eyes that say nothing."""
        if gaze is None or gaze.confidence < max(self.config.min_confidence, 1e-6):
            return None
        best, least = None, 1.0
        for name, (middle, radius) in balls.items():
            if name == sender:
                continue
            limit = allowed_angle(gaze, middle, radius, math.radians(self.config.gaze_error_deg))
            ratio = angle_to(gaze, middle) / (limit * (self.config.release if name == current else 1.0))
            if ratio <= least:
                best, least = name, ratio
        return best

    def _step(self, state: _State, candidate: str | None, now_s: float) -> None:
        state.seen_s = now_s
        if candidate != state.candidate:
            state.candidate, state.since_s = candidate, now_s
        if candidate == state.target:
            return
        wait_s = self.config.end_s if candidate is None else self.config.begin_s
        if now_s - state.since_s >= wait_s - 1e-9:
            state.target = candidate

    def _forget(self, present: set[str], now_s: float) -> None:
        keep_s = self.config.end_s
        self._states = {
            name: state
            for name, state in self._states.items()
            if name in present or now_s - state.seen_s <= keep_s
        }


def angle_to(gaze: Gaze, point: NDArray[np.float64]) -> float:
    """Return the angle between a gaze and the line from its origin to a point (3,), rad, 0..pi."""
    line = point - gaze.origin
    length = float(np.linalg.norm(line))
    if length < 1e-9:
        return 0.0
    return math.acos(float(np.clip(gaze.direction @ line / length, -1.0, 1.0)))


def allowed_angle(gaze: Gaze, middle: NDArray[np.float64], radius: float, error: float) -> float:
    """Return within which angle of its middle a ray meets a ball, rad: angular radius plus `error`."""
    distance = float(np.linalg.norm(middle - gaze.origin))
    if not math.isfinite(distance):
        raise InputError(f"gaze of {gaze.face_id!r} starts at {gaze.origin} m: expected finite numbers")
    inside = distance <= radius
    return max(math.pi if inside else math.asin(radius / distance) + error, 1e-6)
