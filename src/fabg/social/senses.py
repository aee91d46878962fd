"""What perception would publish about a scene, with its measured errors but without a single pixel.

    senses = Senses(load_senses())
    senses.reset(rng, scene)
    observation = senses.observe(scene)     # once for each image, in order

Errors are of four kinds. A *bias* is drawn once for each person and episode (a head of unusual size is put too
far for as long as it is seen). *Jitter* changes from image to image, correlated in time. A *drop-out* takes a face
or hand away for some images. A *misreading* replaces a hand's gesture for some images. All sizes come from
``data/senses.json``, which `fabg.social.fit_senses` measures by showing rendered scenes to the real pipeline.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import ConfigError
from fabg.geometry import rotation_from_ypr
from fabg.perception.types import Gesture
from fabg.policy.base import HandObservation, Observation, PersonObservation
from fabg.social.lapses import Errors, HandErrors
from fabg.social.stage import CAMERA_M, FACING_ROBOT, HandState, PersonState, SceneState

IMAGE_S = 0.04
"""Time between two images, s."""

MEASURED_LATENCY: Mapping[str, str | float] = {
    "sensing": "jitter:27,7",  # camera stamp to the slowest stage that a policy reads: `benchmarks/perception.py`
    "inference": 1.0,  # of a policy on features
    "transport": 2.0,
    "actuation": "jitter:12,8",  # chunk to servo command: `benchmarks/pipeline.py`
}
"""Delays of this suite's own graph on two cores, ms, as for `fabg.social.delays.Latency.parse`."""

Array = NDArray[np.float64]
_PERSON = 8 + expression.N_SHAPES  # distance, bearing (2), head (3), gaze (2), shapes
_HAND = 8  # palm: distance, bearing (2); finger tip: the same; direction (2)


@dataclass(frozen=True, kw_only=True)
class SensesConfig:
    """Sizes of the errors. Spreads are standard deviations; `(bias, jitter)` where there are two.

    Attributes
    ----------
    distance
        Of faces, as a share of the distance.
    bearing_rad
        Of faces and hands, across the line of sight.
    head_rad
        Of head yaw, pitch, roll: three pairs.
    gaze_rad
        Of the gaze ray, in yaw and in pitch.
    shape_gain, shape_offset
        What a shape reads: gain x truth + offset, (52,) each.
    shape_bias, shape_jitter
        Spread of the readings about that, (52,) each.
    hand_distance, tip_distance, pointing_distance, pointing_tip_distance
        Of palms and tips of index fingers, as a share of the distance: (mean, bias, jitter). A finger that points at
        the camera hides its hand and itself: such hands have sizes of their own.
    hand_bearing_rad, tip_bearing_rad
        Of palms and tips, across the line of sight.
    direction_rad
        Of the pointing ray.
    correlation_s
        Time over which jitter fades.
    face_lost, hand_lost, gesture_wrong
        (share of the time, mean duration in s).
    hand_found_s
        From the appearance of a hand until it is found, drawn each time: (mean, spread) in s.
    extended_s, gesture_s
        From a hand being held out, or saying something, until that is told: the same.
    """

    distance: tuple[float, float]
    bearing_rad: tuple[float, float]
    head_rad: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    gaze_rad: tuple[float, float]
    shape_gain: tuple[float, ...]
    shape_offset: tuple[float, ...]
    shape_bias: tuple[float, ...]
    shape_jitter: tuple[float, ...]
    hand_distance: tuple[float, float, float]
    tip_distance: tuple[float, float, float]
    pointing_distance: tuple[float, float, float]
    pointing_tip_distance: tuple[float, float, float]
    hand_bearing_rad: tuple[float, float]
    tip_bearing_rad: tuple[float, float]
    direction_rad: tuple[float, float]
    correlation_s: float
    face_lost: tuple[float, float]
    hand_lost: tuple[float, float]
    gesture_wrong: tuple[float, float]
    hand_found_s: tuple[float, float]
    extended_s: tuple[float, float]
    gesture_s: tuple[float, float]

    def __post_init__(self) -> None:
        for name in ("shape_gain", "shape_offset", "shape_bias", "shape_jitter"):
            if len(getattr(self, name)) != expression.N_SHAPES:
                raise ConfigError(
                    f"{name} has {len(getattr(self, name))} values: expected {expression.N_SHAPES}"
                )
        for name in ("face_lost", "hand_lost", "gesture_wrong"):
            share, mean_s = getattr(self, name)
            if not (0.0 <= share < 1.0 and mean_s > 0.0):
                raise ConfigError(
                    f"{name} is {(share, mean_s)}: expected a share from 0, below 1, and a positive duration in s"
                )
        for name in ("hand_found_s", "extended_s", "gesture_s"):
            if not min(getattr(self, name)) >= 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected two numbers, 0 or more")
        numbers = np.concatenate([np.ravel(value) for value in vars(self).values()])
        if not np.isfinite(numbers).all():
            raise ConfigError("a size of the senses' errors is not finite: expected numbers")


def perfect_senses() -> SensesConfig:
    """Return senses without any error."""
    none, nowhere, n = (0.0, 0.0), (0.0, 0.0, 0.0), expression.N_SHAPES
    return SensesConfig(
        distance=none, bearing_rad=none, head_rad=(none, none, none), gaze_rad=none,
        shape_gain=(1.0,) * n, shape_offset=(0.0,) * n, shape_bias=(0.0,) * n, shape_jitter=(0.0,) * n,
        hand_distance=nowhere, tip_distance=nowhere, pointing_distance=nowhere, pointing_tip_distance=nowhere,
        hand_bearing_rad=none, tip_bearing_rad=none, direction_rad=none, correlation_s=0.1,
        face_lost=(0.0, 1.0), hand_lost=(0.0, 1.0), gesture_wrong=(0.0, 1.0), hand_found_s=none,
        extended_s=none, gesture_s=none,
    )  # fmt: skip


def load_senses() -> SensesConfig:
    """Return the errors that were measured of this suite's perception."""
    text = files("fabg.social").joinpath("data/senses.json").read_text()
    return senses_from(json.loads(text)["errors"])


def senses_from(table: Mapping[str, Any]) -> SensesConfig:
    """Return a configuration from plain numbers as they stand in the JSON file.

    Raises
    ------
    ConfigError
        For an unknown or missing name, or a value out of range.
    """

    def tuples(value: Any) -> Any:
        return tuple(tuples(v) for v in value) if isinstance(value, list) else value

    known = SensesConfig.__dataclass_fields__
    odd = sorted(set(table) ^ set(known))
    if odd:
        raise ConfigError(f"senses: {odd[0]!r} is unknown or missing: expected exactly {', '.join(known)}")
    return SensesConfig(**{name: tuples(value) for name, value in table.items()})


class Sensor(Protocol):
    """Looks at the people of an episode once for each image, in order."""

    def reset(self, rng: np.random.Generator) -> None:
        """Forget everybody; everything random comes from `rng`."""

    def observe(self, scene: SceneState) -> Observation:
        """Return what is seen, stamped with the time of the scene; the joints are left to the world."""

    def close(self) -> None:
        """Free what it holds."""


class Senses:
    """Makes observations of the scenes of one episode. `reset` before the first.

    Parameters
    ----------
    config
        Sizes of the errors.
    image_s
        Time between two images, s.
    """

    def __init__(self, config: SensesConfig, image_s: float = IMAGE_S) -> None:
        self.config = config
        self._image_s = image_s
        self._keep = math.exp(-image_s / max(config.correlation_s, 1e-6))
        c = config
        self._gain = np.array(c.shape_gain)
        self._person_jitter = np.array(
            [c.distance[1], c.bearing_rad[1], c.bearing_rad[1], *(h[1] for h in c.head_rad), c.gaze_rad[1],
             c.gaze_rad[1], *c.shape_jitter]
        )  # fmt: skip
        self._person_bias = np.array(
            [c.distance[0], c.bearing_rad[0], c.bearing_rad[0], *(h[0] for h in c.head_rad), c.gaze_rad[0],
             c.gaze_rad[0], *c.shape_bias]
        )  # fmt: skip
        self._person_offset = np.concatenate([np.zeros(8), c.shape_offset])
        self._hand_sizes = _hand_sizes(c, c.hand_distance, c.tip_distance)
        self._pointing_sizes = _hand_sizes(c, c.pointing_distance, c.pointing_tip_distance)
        self._unit = np.ones(_HAND)

    def reset(self, rng: np.random.Generator) -> None:
        """Forget everybody; the errors to come are drawn from `rng`."""
        self._rng = rng
        self._people: dict[str, Errors] = {}
        self._hands: dict[tuple[str, int], HandErrors] = {}
        self._image = 0

    def observe(self, scene: SceneState) -> Observation:
        """Return what is seen in the next image; the joints are left to the caller."""
        people: list[PersonObservation] = []
        hands: list[HandObservation] = []
        self._image += 1
        for person in scene.people:
            errors = self._people.get(person.id)
            if errors is None:
                bias = self._person_bias * self._rng.standard_normal(_PERSON) + self._person_offset
                errors = Errors(self._rng, self._keep, self._person_jitter, bias, self.config.face_lost)
                self._people[person.id] = errors
            error = errors.step(self._image_s)
            if not errors.lost:
                people.append(self._person(person, error))
            for hand in person.hands:
                key = (person.id, int(hand.side))
                hand_errors = self._hands.get(key)
                if hand_errors is None:
                    c = self.config
                    hand_errors = HandErrors(
                        self._rng, self._keep, self._unit, lost=c.hand_lost, wrong=c.gesture_wrong,
                        found_s=c.hand_found_s, extended_s=c.extended_s, gesture_s=c.gesture_s,
                    )  # fmt: skip
                    self._hands[key] = hand_errors
                if hand_errors.image != self._image - 1:
                    hand_errors.appear()
                hand_errors.image = self._image
                jitter = hand_errors.step(self._image_s)
                if hand_errors.find(self._image_s) and not hand_errors.lost:
                    gesture = hand_errors.read(hand.gesture, self._image_s)
                    extended = hand_errors.extended.tell(hand.extended, self._image_s)
                    pointing = hand.gesture is Gesture.POINTING
                    mean, bias, spread = self._pointing_sizes if pointing else self._hand_sizes
                    error = mean + bias * hand_errors.own + spread * jitter
                    hands.append(self._hand(person.id, hand, gesture, extended, error))
        return Observation(scene.time_s, tuple(people), tuple(hands))

    def close(self) -> None:
        """Free nothing: there is nothing to free."""

    def _person(self, person: PersonState, error: Array) -> PersonObservation:
        e = error[:8].tolist()
        position = _seen_at(person.position_m, e[0], e[1], e[2])
        yaw, pitch, roll = person.head
        rotation = FACING_ROBOT @ rotation_from_ypr(yaw + e[3], pitch + e[4], roll + e[5])
        look = person.look_at_m - person.position_m
        gaze = _turned(look, e[6], e[7])
        shapes = person.shapes * self._gain
        shapes += error[8:]
        np.maximum(shapes, 0.0, out=shapes)
        np.minimum(shapes, 1.0, out=shapes)
        return PersonObservation(person.id, shapes, position, rotation, 1.0, gaze)

    def _hand(
        self, person_id: str, hand: HandState, gesture: Gesture, extended: bool, error: Array
    ) -> HandObservation:
        e = error.tolist()
        position = _seen_at(hand.pose[:3, 3], e[0], e[1], e[2])
        tip = _seen_at(hand.tip_m, e[3], e[4], e[5])
        direction = None if hand.direction is None else _turned(hand.direction, e[6], e[7])
        name = f"{person_id}-{'right' if hand.side == 2 else 'left'}"
        return HandObservation(name, person_id, hand.side, position, tip, gesture, 1.0, extended, direction)


def _hand_sizes(
    c: SensesConfig, palm: tuple[float, float, float], tip: tuple[float, float, float]
) -> tuple[Array, Array, Array]:
    """Return mean, bias and jitter of what is wrong with a hand, (_HAND,) each."""
    across, tip_across, ray = c.hand_bearing_rad, c.tip_bearing_rad, c.direction_rad
    return (
        np.array([palm[0], 0.0, 0.0, tip[0], 0.0, 0.0, 0.0, 0.0]),
        np.array([palm[1], across[0], across[0], tip[1], tip_across[0], tip_across[0], ray[0], ray[0]]),
        np.array([palm[2], across[1], across[1], tip[2], tip_across[1], tip_across[1], ray[1], ray[1]]),
    )


def _seen_at(point: Array, distance: float, yaw: float, pitch: float) -> Array:
    """Return a point put too far by a share of its distance from the camera, and aside by small angles, rad."""
    cx, cy, cz = CAMERA_M
    x, y, z = point.tolist()
    x, y, z = x - cx, y - cy, z - cz
    # Small turns about z and y, to first order: the angles are hundredths of a radian.
    scale = 1.0 + distance
    return np.array(
        [cx + scale * (x - yaw * y + pitch * z), cy + scale * (y + yaw * x), cz + scale * (z - pitch * x)]
    )


def _turned(vector: Array, yaw: float, pitch: float) -> Array:
    """Return the unit vector of `vector` turned by yaw and pitch, rad."""
    x, y, z = vector.tolist()
    azimuth = math.atan2(y, x) + yaw
    elevation = math.atan2(z, math.hypot(x, y)) - pitch
    level = math.cos(elevation)
    return np.array([level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation)])
