"""The seam where behaviours plug in: an observation goes in, a time-stamped chunk comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import CommandRefused, InputError
from fabg.perception.types import Gesture, Side


@dataclass(frozen=True)
class PersonObservation:
    """One person as the policy sees them.

    Attributes
    ----------
    id
        Track id.
    blendshapes
        52 ARKit shapes, 0..1.
    position_m
        The sellion in the robot's base frame, shape (3,).
    rotation
        Head rotation in the robot's base frame, shape (3, 3); columns are the person's forward,
        left and up.
    confidence
        0..1.
    gaze
        Unit vector along the gaze in the robot's base frame, shape (3,); None when it is not known.
    """

    id: str
    blendshapes: NDArray[np.float64]
    position_m: NDArray[np.float64]
    rotation: NDArray[np.float64]
    confidence: float = 1.0
    gaze: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class HandObservation:
    """One hand as the policy sees it.

    Attributes
    ----------
    id, person_id
        Track id, and the owner's; the owner is empty when unknown.
    side
        As its owner says.
    position_m
        Middle of the palm in the robot's base frame, shape (3,).
    tip_m
        Tip of the index finger in the robot's base frame, shape (3,).
    gesture, confidence
        What the hand says, and how sure that is, 0..1.
    extended
        True for a hand held out to the robot, False for a resting one.
    direction
        Unit vector along the index finger in the robot's base frame, shape (3,), when it points, else None.
    """

    id: str
    person_id: str
    side: Side
    position_m: NDArray[np.float64]
    tip_m: NDArray[np.float64]
    gesture: Gesture
    confidence: float
    extended: bool
    direction: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class StereoImages:
    """What two cameras beside each other see, and how far it is from the left one.

    Attributes
    ----------
    left, right
        RGB, uint8, shape (height, width, 3).
    depth
        Distance along the optical axis of the left camera, m, float32, shape (height, width); 0 where unknown.

    Raises
    ------
    InputError
        When shapes or types are others, or do not fit each other.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    depth: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("left", "right"):
            image = getattr(self, name)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise InputError(
                    f"{name} is {image.dtype} of shape {image.shape}: expected uint8 of shape (height, width, 3)"
                )
        if self.right.shape != self.left.shape:
            raise InputError(
                f"right has shape {self.right.shape}, left {self.left.shape}: expected images of one size"
            )
        if self.depth.dtype != np.float32 or self.depth.shape != self.left.shape[:2]:
            raise InputError(
                f"depth is {self.depth.dtype} of shape {self.depth.shape}: expected float32 of shape "
                f"{self.left.shape[:2]}, as the left image"
            )


@dataclass(frozen=True)
class Observation:
    """Everything known at `stamp_s` (s, the capture time of the newest image)."""

    stamp_s: float
    people: tuple[PersonObservation, ...] = ()
    hands: tuple[HandObservation, ...] = ()
    joint_positions: NDArray[np.float64] | None = field(default=None)
    """Measured joint angles, rad, shape (25,), or None when the robot has not reported yet."""
    images: StereoImages | None = None
    """The images themselves, for policies that look at them; None where perception has done so."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive expression vectors: `values[i]` is meant for time ``t0_s + i * dt_s``.

    Raises
    ------
    CommandRefused
        When the shape is not (k >= 1, 61), a value is not finite, or `dt_s` is not positive.
    """

    values: NDArray[np.float64]
    t0_s: float
    dt_s: float
    source: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] != expression.SIZE:
            raise CommandRefused(
                f"chunk has shape {values.shape}: expected (k, {expression.SIZE}) with k >= 1"
            )
        if not (np.isfinite(values).all() and np.isfinite(self.t0_s)):
            raise CommandRefused("chunk holds NaN or infinity: expected numbers")
        if not self.dt_s > 0 or not np.isfinite(self.dt_s):
            raise CommandRefused(f"chunk dt_s is {self.dt_s}: expected a positive number")
        object.__setattr__(self, "values", values)

    @property
    def end_s(self) -> float:
        """Time of the last vector, s."""
        return self.t0_s + (len(self.values) - 1) * self.dt_s

    def at(self, t_s: float) -> expression.Vector:
        """Return the vector for time `t_s`, linear between steps, the end values outside."""
        index = (t_s - self.t0_s) / self.dt_s
        low = int(np.clip(np.floor(index), 0, len(self.values) - 1))
        high = min(low + 1, len(self.values) - 1)
        weight = float(np.clip(index - low, 0.0, 1.0))
        return (1.0 - weight) * self.values[low] + weight * self.values[high]


class Policy(Protocol):
    """A behaviour. Implementations are plain objects: no ROS, no threads, no clock."""

    name: str

    def reset(self) -> None:
        """Forget the past: called when the node is activated and after a gap in the input."""

    def predict(self, observation: Observation) -> Chunk | None:
        """Return what to do from ``observation.stamp_s`` on, or None when there is nothing to do."""


@runtime_checkable
class Watching(Protocol):
    """A policy that looks back: it wants to see every observation, also those that it is not asked about."""

    def watch(self, observation: Observation) -> None:
        """Remember an observation; one that is not newer than the last is passed over."""


@runtime_checkable
class PrefixPolicy(Policy, Protocol):
    """A policy that goes on from what is fixed already: see `fabg.policy.prefix`."""

    def predict_after(self, observation: Observation, committed: Chunk | None) -> Chunk | None:
        """Return what to do from ``observation.stamp_s`` on, beginning with what is `committed`.

        Parameters
        ----------
        observation
            As for `predict`.
        committed
            From ``observation.stamp_s`` on; None when nothing is fixed.
        """
