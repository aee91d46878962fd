"""How perception errs from image to image: what stays, what jitters, what is lost, misread or told late."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fabg.perception.types import Gesture

Array = NDArray[np.float64]
T = TypeVar("T")
_BLOCK = 128


class Errors:
    """Errors of one face or hand: bias + jitter, and whether it is lost."""

    def __init__(
        self,
        rng: np.random.Generator,
        keep: float,
        jitter: Array,
        bias: Array,
        lost: tuple[float, float],
    ) -> None:
        self._rng, self._keep, self._bias = rng, keep, bias
        self._state = jitter * rng.standard_normal(len(jitter))
        self._fresh = jitter * math.sqrt(1.0 - keep * keep)
        self._block: Array = np.empty((0, len(jitter)))
        self._at = 0
        self._lost = lost
        self.lost = False
        self._left_s = 0.0
        if lost[0] > 0.0:
            self.lost = rng.random() < lost[0]
            self._left_s = self._span(lost, self.lost)

    def _span(self, share_mean: tuple[float, float], on: bool) -> float:
        """Draw how long a state lasts, s: exponential, so that it is on for its share of the time."""
        share, mean_s = share_mean
        return float(self._rng.exponential(mean_s if on else mean_s * (1.0 - share) / share))

    def step(self, dt_s: float) -> Array:
        """Go on to the next image; return the errors in it."""
        if self._at == len(self._block):
            self._block = self._rng.standard_normal((_BLOCK, len(self._fresh))) * self._fresh
            self._at = 0
        self._state = self._state * self._keep + self._block[self._at]
        self._at += 1
        if self._lost[0] > 0.0:
            self._left_s -= dt_s
            if self._left_s <= 0.0:
                self.lost = not self.lost
                self._left_s += self._span(self._lost, self.lost)
        return self._bias + self._state


class HandErrors(Errors):
    """Those of a hand: also misread gestures, and the time until one is told."""

    def __init__(
        self,
        rng: np.random.Generator,
        keep: float,
        unit: Array,
        *,
        lost: tuple[float, float],
        wrong: tuple[float, float],
        found_s: tuple[float, float],
        extended_s: tuple[float, float],
        gesture_s: tuple[float, float],
    ) -> None:
        self.own = rng.standard_normal(len(unit))
        """What is always wrong with it, in spreads."""
        super().__init__(rng, keep, unit, np.zeros(len(unit)), lost)
        self.image = -1
        """Number of the last image that it was in."""
        self.extended = Late(rng, False, extended_s)
        self._gesture = Late(rng, Gesture.NONE, gesture_s)
        self._found_s, self._wait_s = found_s, 0.0
        self._wrong_share = wrong
        self._wrong: Gesture | None = None
        self._wrong_left_s = self._span(wrong, False) if wrong[0] > 0 else math.inf

    def appear(self) -> None:
        """Come into view: nothing is known of it until it has been found."""
        self._wait_s = _drawn(self._rng, self._found_s)
        self.extended.forget(False)
        self._gesture.forget(Gesture.NONE)

    def find(self, dt_s: float) -> bool:
        """Go on to the next image; return whether it has been found."""
        found = self._wait_s <= 1e-9
        self._wait_s -= dt_s
        return found

    def read(self, gesture: Gesture, dt_s: float) -> Gesture:
        """Return what is told of a hand that says `gesture`."""
        self._wrong_left_s -= dt_s
        if self._wrong_left_s <= 0.0:
            self._wrong = None if self._wrong is not None else Gesture(int(self._rng.integers(len(Gesture))))
            self._wrong_left_s += self._span(self._wrong_share, self._wrong is not None)
        return self._gesture.tell(gesture if self._wrong is None else self._wrong, dt_s)


class Late(Generic[T]):
    """Something that is told some time after it is so, and that has to last that long."""

    def __init__(self, rng: np.random.Generator, told: T, late_s: tuple[float, float]) -> None:
        self._rng, self._late_s = rng, late_s
        self.forget(told)

    def forget(self, told: T) -> None:
        """Begin anew."""
        self._told = self._seen = told
        self._wait_s = 0.0

    def tell(self, now: T, dt_s: float) -> T:
        """Return what is told in an image in which `now` is so; the next one comes after `dt_s`."""
        if now != self._seen:
            self._seen, self._wait_s = now, _drawn(self._rng, self._late_s)
        if self._wait_s <= 1e-9:
            self._told = self._seen
        self._wait_s -= dt_s
        return self._told


def _drawn(rng: np.random.Generator, mean_spread: tuple[float, float]) -> float:
    mean, spread = mean_spread
    return max(mean + spread * float(rng.standard_normal()), 0.0) if mean > 0.0 else 0.0
