"""How a person answers what they see: eyes that jump and follow, a head that comes after, a face that mirrors.

The motor part of a demonstrator, tick by tick and without the reaction delay. It is used twice: by the
expert, on what truly happens, and by a policy that imitates the expert, on what was seen.

* Gaze jumps by saccades whose duration grows with their size along the main sequence (Bahill, Clark,
  Stark: "The main sequence, a tool for studying human eye movements", Math. Biosci. 24, 1975; 21 ms + 2.2
  ms per degree after Carpenter: Movements of the Eyes, 1988). They are ballistic; the path is one of
  minimum jerk (Flash & Hogan, J. Neurosci. 5, 1985).
* Between saccades the eyes follow: their speed follows the target's (Robinson, Gordon, Gordon: "A model of
  the smooth pursuit eye movement system", Biol. Cybern. 55, 1986: gain .95, offset with 90 ms) up to about
  90 degrees a second (Meyer, Lasker, Robinson, Vision Res. 25, 1985).
* The head turns by a share of the target's eccentricity beyond a range that the eyes cover alone (review:
  Freedman: "Coordination of the eyes and head during visual orienting", Exp. Brain Res. 190, 2008; people
  differ widely: Stahl, Exp. Brain Res. 126, 1999). It is driven by where the target is relative to the
  head, not by what the eyes do (Goossens & Van Opstal, Exp. Brain Res. 114, 1997), and its peak speed grows
  in proportion to its turn. The eyes make up for its movement (vestibulo-ocular reflex).
* Vergence follows 1/distance more slowly than saccades, its peak speed in proportion to its change (Krishnan
  & Stark, IEEE Trans. Biomed. Eng. 24, 1977; Hung, Semmlow, Ciuffreda, the same 33, 1986).
* The face moves with speeds in proportion to its change and is there after about half a second (Schmidt,
  Cohn, Tian: "Signal characteristics of spontaneous facial expressions", Biol. Psychol. 65, 2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import CommandRefused, ConfigError, check_ranges
from fabg.minimum_jerk import minimum_jerk
from fabg.robot.gaze import eye_origins
from fabg.robot.model import RobotModel, load_robot

Array = NDArray[np.float64]

TICK_S = 0.02
"""One step of the model, s."""

NEAREST_M = 0.1
"""Nobody squints at anything nearer to the middle between the eyes, m."""


@dataclass(frozen=True, kw_only=True)
class ResponseConfig:
    """How fast and how far a person responds. For sources see the head of this file.

    Attributes
    ----------
    gaze_delay_s, expression_delay_s
        Mean reaction delays of gaze and of face, s. The model itself does not delay.
    gaze_spread_s, expression_spread_s
        Their standard deviations from event to event, s.
    min_delay_s
        No reaction is faster, s.
    saccade_base_s, saccade_per_rad_s
        Duration of a saccade: base + per_rad x size, s and s/rad.
    saccade_threshold_rad
        A gaze further off the target than this jumps, rad.
    saccade_pause_s
        Least time from the end of a saccade to the next, s.
    pursuit_gain, pursuit_lag_s, pursuit_max_rad_s
        Share of the target's speed that the eyes take up, with which lag, and up to which speed.
    correction_per_s
        Speed with which a small error is made good without a saccade, per rad of error.
    head_free_yaw_rad, head_free_pitch_rad
        Eccentricity of a target up to which the head stays, rad.
    head_share_yaw, head_share_pitch
        Share of the eccentricity beyond that which the head takes.
    head_rad_s, vergence_rad_s, face_rad_s
        Bandwidths of head, vergence and face: critically damped second order. The peak speed after a step
        is bandwidth/e per unit of the step.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    gaze_delay_s: float = 0.12
    gaze_spread_s: float = 0.03
    expression_delay_s: float = 0.30
    expression_spread_s: float = 0.06
    min_delay_s: float = 0.08
    saccade_base_s: float = 0.021
    saccade_per_rad_s: float = 0.0022 * 180.0 / math.pi
    saccade_threshold_rad: float = math.radians(1.5)
    saccade_pause_s: float = 0.10
    pursuit_gain: float = 0.95
    pursuit_lag_s: float = 0.09
    pursuit_max_rad_s: float = math.radians(90.0)
    correction_per_s: float = 5.0
    head_free_yaw_rad: float = math.radians(5.0)
    head_free_pitch_rad: float = math.radians(5.0)
    head_share_yaw: float = 0.7
    head_share_pitch: float = 0.5
    head_rad_s: float = 10.0
    vergence_rad_s: float = 13.6
    face_rad_s: float = 14.0

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "gaze_delay_s": (0.0, 2.0), "expression_delay_s": (0.0, 2.0),
                "gaze_spread_s": (0.0, 1.0), "expression_spread_s": (0.0, 1.0), "min_delay_s": (0.0, 2.0),
                "saccade_base_s": (0.001, 0.5), "saccade_per_rad_s": (0.0, 2.0),
                "saccade_threshold_rad": (0.001, 0.5), "saccade_pause_s": (0.0, 1.0),
                "pursuit_gain": (0.0, 1.2), "pursuit_lag_s": (TICK_S, 1.0), "pursuit_max_rad_s": (0.0, 10.0),
                "correction_per_s": (0.0, 25.0), "head_free_yaw_rad": (0.0, 1.0),
                "head_free_pitch_rad": (0.0, 1.0), "head_share_yaw": (0.0, 1.0), "head_share_pitch": (0.0, 1.0),
                "head_rad_s": (0.1, 50.0), "vergence_rad_s": (0.1, 50.0), "face_rad_s": (0.1, 50.0),
            },
        )  # fmt: skip
        for name in ("gaze", "expression"):
            mean, spread = getattr(self, f"{name}_delay_s"), getattr(self, f"{name}_spread_s")
            if mean < self.min_delay_s or (spread > 0.0 and mean <= self.min_delay_s):
                raise ConfigError(
                    f"{name}_delay_s is {mean}: expected more than min_delay_s ({self.min_delay_s}), "
                    f"or the same with {name}_spread_s 0"
                )


def saccade_duration_s(size_rad: float, config: ResponseConfig) -> float:
    """Return how long a saccade of `size_rad` takes, s."""
    return config.saccade_base_s + config.saccade_per_rad_s * size_rad


class _Follower:
    """Step of a critically damped second-order system over one tick, exact while its input is held."""

    __slots__ = ("from_input", "from_value", "from_velocity", "to_input", "to_value", "to_velocity")

    def __init__(self, bandwidth_rad_s: float) -> None:
        w, fade = bandwidth_rad_s, math.exp(-bandwidth_rad_s * TICK_S)
        self.from_value = (1.0 + w * TICK_S) * fade
        self.from_velocity = TICK_S * fade
        self.from_input = 1.0 - self.from_value
        self.to_value = -w * w * TICK_S * fade
        self.to_velocity = (1.0 - w * TICK_S) * fade
        self.to_input = -self.to_value

    def step(self, value: float, velocity: float, wanted: float) -> tuple[float, float]:
        return (
            self.from_value * value + self.from_velocity * velocity + self.from_input * wanted,
            self.to_value * value + self.to_velocity * velocity + self.to_input * wanted,
        )

    def matrix(self) -> Array:
        """Return the same step as a matrix (2, 3) for rows of value, velocity, input."""
        return np.array(
            [
                [self.from_value, self.from_velocity, self.from_input],
                [self.to_value, self.to_velocity, self.to_input],
            ]
        )


class ResponseModel:
    """Eyes, head and face of somebody who looks at a target and answers with a face.

    The gaze is kept as a point in space: a direction from between the eyes (head straight) and a vergence. Both
    eyes are aimed at that point from wherever the head has carried them, so a turning head never moves it.

    Parameters
    ----------
    config
        Speeds and shares; published ones by default.
    robot
        Joint table: where the eyes sit and how far they and the neck turn.
    """

    def __init__(self, config: ResponseConfig | None = None, robot: RobotModel | None = None) -> None:
        self.config = c = config or ResponseConfig()
        robot = robot or load_robot()
        left, right = eye_origins(robot)
        self._left, self._right = tuple(left.tolist()), tuple(right.tolist())
        self._middle = tuple(((left + right) / 2.0).tolist())
        self._half_baseline = float(np.linalg.norm(left - right)) / 2.0
        yaw, pitch = robot["neck_yaw"], robot["neck_pitch"]
        self._neck_yaw, self._neck_pitch = (yaw.lower, yaw.upper), (pitch.lower, pitch.upper)
        yaw, pitch = robot["eye_left_yaw"], robot["eye_left_pitch"]
        self._eye_yaw, self._eye_pitch = (yaw.lower, yaw.upper), (pitch.lower, pitch.upper)
        self._head_step = _Follower(c.head_rad_s)
        self._vergence_step = _Follower(c.vergence_rad_s)
        self._face_step = _Follower(c.face_rad_s).matrix()
        self._pursuit_share = 1.0 - math.exp(-TICK_S / c.pursuit_lag_s)
        self.reset((self._middle[0] + 1.0, self._middle[1], self._middle[2]), np.zeros(expression.N_SHAPES))

    def reset(self, target_m: ArrayLike, shapes: ArrayLike) -> None:
        """Start at rest, looking at a target (3,) with a face of 52 shapes.

        Raises
        ------
        CommandRefused
            When a number is missing or not finite.
        """
        point, shapes = checked_point(target_m), checked_shapes(shapes)
        self._target = point
        self._yaw, self._pitch, self._wanted_vergence = self._seen_from_the_eyes(point)
        self._target_yaw, self._target_pitch = self._yaw, self._pitch
        self._target_speed = (0.0, 0.0)
        self._target_ran = False
        self._speed_yaw = self._speed_pitch = 0.0
        # Saccade: from where, to where, how long; `_since` counts from its start, or from its end when it is over.
        self._from = self._to = (self._yaw, self._pitch)
        self._duration = 0.0
        self._since = self.config.saccade_pause_s
        self._vergence, self._vergence_speed = self._wanted_vergence, 0.0
        self._head_yaw, self._head_pitch = self._wanted_head()
        self._head_yaw_speed = self._head_pitch_speed = 0.0
        self._face = np.stack([shapes, np.zeros_like(shapes), shapes])  # value, velocity, input

    def step(self, target_m: ArrayLike, shapes: ArrayLike) -> expression.Vector:
        """Return the expression (61,) at this tick; what is given now shows from the next tick on.

        Parameters
        ----------
        target_m
            Where to look, base frame, m, (3,).
        shapes
            The 52 shapes to answer with.

        Raises
        ------
        CommandRefused
            When a number is missing or not finite; the model stays as it was.
        """
        point, shapes = checked_point(target_m), checked_shapes(shapes)
        out = np.empty(expression.SIZE)
        self.advance()
        self.hold(point, shapes)
        self.write(out)
        return out

    def copy(self) -> ResponseModel:
        """Return a model in the same state that goes its own way; cheap."""
        twin = object.__new__(ResponseModel)
        twin.__dict__.update(self.__dict__)
        twin._face = self._face.copy()
        return twin

    # The three parts of a step, for callers who have checked their numbers --------------------------------

    def advance(self) -> None:
        """Let one tick pass towards what is held."""
        c = self.config
        share = self._pursuit_share
        speed_yaw, speed_pitch = self._target_speed
        self._speed_yaw += share * (c.pursuit_gain * speed_yaw - self._speed_yaw)
        self._speed_pitch += share * (c.pursuit_gain * speed_pitch - self._speed_pitch)
        self._since += TICK_S
        follow_s = TICK_S
        if self._duration > 0.0:
            follow_s = self._since - self._duration
            done = minimum_jerk(self._since / self._duration)
            self._yaw = self._from[0] + done * (self._to[0] - self._from[0])
            self._pitch = self._from[1] + done * (self._to[1] - self._from[1])
            if follow_s >= 0.0:
                self._duration, self._since = 0.0, follow_s
        if self._duration == 0.0:
            near = c.saccade_threshold_rad  # a larger error is left to the next saccade
            off_yaw = min(max(self._target_yaw - self._yaw, -near), near)
            off_pitch = min(max(self._target_pitch - self._pitch, -near), near)
            self._yaw += follow_s * (self._speed_yaw + c.correction_per_s * off_yaw)
            self._pitch += follow_s * (self._speed_pitch + c.correction_per_s * off_pitch)
        self._vergence, self._vergence_speed = self._vergence_step.step(
            self._vergence, self._vergence_speed, self._wanted_vergence
        )
        yaw, pitch = self._wanted_head()
        self._head_yaw, self._head_yaw_speed = self._head_step.step(self._head_yaw, self._head_yaw_speed, yaw)
        self._head_pitch, self._head_pitch_speed = self._head_step.step(
            self._head_pitch, self._head_pitch_speed, pitch
        )
        np.matmul(self._face_step, self._face, out=self._face[:2])

    def hold(self, point: tuple[float, float, float], shapes: Array) -> None:
        """Take what is seen now: a target (base frame, m) and the 52 shapes to answer with."""
        self._face[2] = shapes
        limit = self.config.pursuit_max_rad_s * TICK_S
        if point == self._target:
            self._target_speed, self._target_ran = (0.0, 0.0), False
        else:
            yaw, pitch, self._wanted_vergence = self._seen_from_the_eyes(point)
            d_yaw, d_pitch = yaw - self._target_yaw, pitch - self._target_pitch
            self._target, self._target_yaw, self._target_pitch = point, yaw, pitch
            moved = math.hypot(d_yaw, d_pitch)
            # A target that jumps has no speed; one that runs is pursued as fast as can be.
            ran, self._target_ran = self._target_ran, moved > limit
            per_s = 1.0 / TICK_S if moved <= limit else limit / moved / TICK_S if ran else 0.0
            self._target_speed = (d_yaw * per_s, d_pitch * per_s)
        if self._duration > 0.0 or self._since < self.config.saccade_pause_s:
            return
        error_yaw, error_pitch = self._target_yaw - self._yaw, self._target_pitch - self._pitch
        if math.hypot(error_yaw * math.cos(self._pitch), error_pitch) > self.config.saccade_threshold_rad:
            self._jump(error_yaw, error_pitch)

    def write(self, out: expression.Vector) -> None:
        """Put the expression of this tick into `out` (61,)."""
        head_yaw, head_pitch = self._head_yaw, self._head_pitch
        reach = max(self._half_baseline / math.tan(self._vergence / 2.0), NEAREST_M)
        level = reach * math.cos(self._pitch)
        x0, y0, z0 = self._middle
        x, y = x0 + level * math.cos(self._yaw), y0 + level * math.sin(self._yaw)
        z = z0 - reach * math.sin(self._pitch)
        cos_yaw, sin_yaw = math.cos(head_yaw), math.sin(head_yaw)
        cos_pitch, sin_pitch = math.cos(head_pitch), math.sin(head_pitch)
        ahead = cos_yaw * x + sin_yaw * y
        x, y, z = (
            cos_pitch * ahead - sin_pitch * z,
            cos_yaw * y - sin_yaw * x,
            sin_pitch * ahead + cos_pitch * z,
        )
        out[: expression.N_SHAPES] = self._face[0]
        out[expression.N_SHAPES :] = (
            *self._eye(x, y, z, self._left), 0.0, *self._eye(x, y, z, self._right), 0.0, head_yaw, head_pitch, 0.0
        )  # fmt: skip

    # Geometry ---------------------------------------------------------------------------------------------

    def _jump(self, error_yaw: float, error_pitch: float) -> None:
        """Start a saccade to where the target will be when it lands, as far as pursuit knows its speed."""
        size = math.hypot(error_yaw * math.cos(self._pitch), error_pitch)
        self._duration = duration = saccade_duration_s(size, self.config)
        self._since = 0.0
        self._from = (self._yaw, self._pitch)
        self._to = (
            self._target_yaw + duration * self._speed_yaw,
            self._target_pitch + duration * self._speed_pitch,
        )

    def _seen_from_the_eyes(self, point: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return yaw, pitch and vergence that a point asks for, rad."""
        x, y, z = point[0] - self._middle[0], point[1] - self._middle[1], point[2] - self._middle[2]
        level = math.hypot(x, y)
        reach = max(math.hypot(level, z), NEAREST_M)
        return math.atan2(y, x), math.atan2(-z, level), 2.0 * math.atan2(self._half_baseline, reach)

    def _wanted_head(self) -> tuple[float, float]:
        """Return the yaw and pitch that the head takes in the end, rad."""
        c = self.config
        yaw = c.head_share_yaw * _beyond(self._target_yaw, c.head_free_yaw_rad)
        pitch = c.head_share_pitch * _beyond(self._target_pitch, c.head_free_pitch_rad)
        return _within(yaw, self._neck_yaw), _within(pitch, self._neck_pitch)

    def _eye(self, x: float, y: float, z: float, eye: tuple[float, ...]) -> tuple[float, float]:
        """Return yaw and pitch of an eye that looks at a point, both in the head's frame; within its limits."""
        x, y, z = x - eye[0], y - eye[1], z - eye[2]
        return (
            _within(math.atan2(y, x), self._eye_yaw),
            _within(math.atan2(-z, math.hypot(x, y)), self._eye_pitch),
        )


def _beyond(angle: float, free: float) -> float:
    return angle - free if angle > free else angle + free if angle < -free else 0.0


def _within(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return low if value < low else high if value > high else value


def checked_point(target_m: ArrayLike) -> tuple[float, float, float]:
    """Return a point (3,) as plain numbers.

    Raises
    ------
    CommandRefused
        When it has not three finite coordinates.
    """
    values = np.asarray(target_m, dtype=np.float64)
    if values.shape != (3,) or not math.isfinite(values.sum()):
        raise CommandRefused(f"target is {values}: expected three finite coordinates in m")
    x, y, z = values.tolist()
    return x, y, z


def checked_shapes(shapes: ArrayLike) -> Array:
    """Return 52 shapes as they are.

    Raises
    ------
    CommandRefused
        When there are not 52 finite numbers.
    """
    values = np.asarray(shapes, dtype=np.float64)
    # A sum is finite only if all its terms are: one call instead of two.
    if values.shape != (expression.N_SHAPES,) or not math.isfinite(values.sum()):
        raise CommandRefused(f"shapes are {values}: expected {expression.N_SHAPES} finite numbers")
    return values
