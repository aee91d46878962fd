"""Least squares with every unknown between 0 and 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def least_squares(matrix: Array, target: Array, *, tolerance: float = 1e-10) -> Array:
    """Return x in [0, 1]^n that minimises |matrix x - target|.

    Active sets after Stark and Parker 1995, "Bounded-variable least squares". All unknowns begin at
    0 and are freed one at a time, the one that helps most first: few of them end up above 0.

    Parameters
    ----------
    matrix
        Shape (m, n).
    target
        Shape (m,).
    tolerance
        Slope below which an unknown at its bound stays there.
    """
    n = matrix.shape[1]
    x = np.zeros(n)
    free = np.zeros(n, dtype=bool)
    # Every round frees one unknown and strictly lowers the residual; the bound guards against rounding.
    for _ in range(4 * n):
        slope = matrix.T @ (target - matrix @ x)
        wants = np.where(x <= 0.0, slope, -slope)
        wants[free] = 0.0
        chosen = int(np.argmax(wants))
        if wants[chosen] <= tolerance:
            break
        free[chosen] = True
        if not _settle(matrix, target, x, free):
            break
    return x


def _settle(matrix: Array, target: Array, x: Array, free: NDArray[np.bool_]) -> bool:
    """Solve for the free unknowns in place; those that meet a bound on the way are fixed there.

    Returns False when nothing moved.
    """
    before = x.copy()
    while free.any():
        fixed = target - matrix[:, ~free] @ x[~free]
        wish = np.linalg.lstsq(matrix[:, free], fixed, rcond=None)[0]
        now = x[free]
        step = wish - now
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step > 0, (1.0 - now) / step, np.where(step < 0, -now / step, np.inf))
        share = float(room.min(initial=np.inf))
        if share >= 1.0:
            x[free] = wish
            break
        moved = np.clip(now + max(share, 0.0) * step, 0.0, 1.0)
        stopped = room <= share + 1e-12
        moved[stopped] = np.where(step[stopped] > 0, 1.0, 0.0)
        x[free] = moved
        free[np.flatnonzero(free)[stopped]] = False
    return not np.array_equal(before, x)
