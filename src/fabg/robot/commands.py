"""What the arbiter chooses between: expressions over time, from whole or partial frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import CommandRefused


@runtime_checkable
class Command(Protocol):
    """Expressions over time; `fabg.policy.base.Chunk` is one."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Expressions, shape (k, 61)."""

    @property
    def t0_s(self) -> float:
        """Time of the first expression, s."""

    @property
    def end_s(self) -> float:
        """Time of the last expression, s."""

    def at(self, t_s: float) -> expression.Vector:
        """Return the expression for time `t_s`, the end values outside."""


@dataclass(frozen=True)
class Still:
    """A command of one expression: `values` has the shape (1, 61)."""

    values: NDArray[np.float64]
    t0_s: float

    @property
    def end_s(self) -> float:
        """Time of the expression, s."""
        return self.t0_s

    def at(self, t_s: float) -> expression.Vector:
        """Return the expression."""
        del t_s
        return self.values[0]


class PartialFrames:
    """Makes whole expressions from frames that measured only some entries.

    An entry that a frame did not measure keeps its last measured value for `hold_s`, then eases to
    neutral over `return_s`; one that was never measured is neutral. So a mouth that is lost for a
    moment does not fall open, and a source without a face leaves the face at rest.
    """

    def __init__(self, hold_s: float, return_s: float) -> None:
        self._hold_s, self._return_s = hold_s, return_s
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._values = expression.neutral()
        self._measured_s = np.full(expression.SIZE, -np.inf)

    def complete(self, values: ArrayLike, valid: ArrayLike, stamp_s: float) -> expression.Vector:
        """Return the whole expression of a frame; it is not remembered yet.

        Parameters
        ----------
        values, valid
            Shape (61,) each; values count only where valid.
        stamp_s
            Capture time, s.

        Raises
        ------
        CommandRefused
            When nothing is valid or a valid value is not finite.
        """
        mask, new = self._checked(values, valid)
        faded = ease(stamp_s - self._measured_s - self._hold_s, self._return_s)
        return np.where(mask, new, self._values * (1.0 - faded))

    def remember(self, values: ArrayLike, valid: ArrayLike, stamp_s: float) -> None:
        """Remember what a frame measured, once it is accepted; parameters and errors as in `complete`."""
        mask, new = self._checked(values, valid)
        self._values[mask], self._measured_s[mask] = new[mask], stamp_s

    @staticmethod
    def _checked(values: ArrayLike, valid: ArrayLike) -> tuple[NDArray[np.bool_], expression.Vector]:
        mask = np.asarray(valid, dtype=bool)
        if mask.shape != (expression.SIZE,) or not mask.any():
            raise CommandRefused("frame measures no entry: expected at least one")
        return mask, expression.checked(
            np.where(mask, np.asarray(values, dtype=np.float64), 0.0), what="frame"
        )


def ease(elapsed_s: ArrayLike, duration_s: float) -> NDArray[np.float64]:
    """Return a share that rises smoothly from 0 to 1 over `duration_s`."""
    elapsed = np.asarray(elapsed_s, dtype=np.float64)
    x = np.where(elapsed >= duration_s, 1.0, np.maximum(elapsed, 0.0) / max(duration_s, 1e-9))
    return x * x * (3.0 - 2.0 * x)
