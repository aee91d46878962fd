"""What a sampled signal must be before anything is computed from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import InputError

Values = NDArray[np.float64]


def checked_signal(values: ArrayLike, *, what: str = "signal") -> Values:
    """Return the samples as (T, c); what was (T,) becomes one column.

    Raises
    ------
    InputError
        When a value is NaN or infinite, or the shape is neither (T,) nor (T, c).
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is no array of numbers ({error}): expected (T,) or (T, c)") from error
    if array.ndim not in (1, 2):
        raise InputError(f"{what} has shape {array.shape}: expected (T,) or (T, c)")
    bad = ~np.isfinite(array)
    if bad.any():
        first = np.argwhere(bad)[0]
        raise InputError(f"{what} is {array[tuple(first)]} at sample {first[0]}: expected finite numbers")
    return array[:, None] if array.ndim == 1 else array


def checked_speed(values: ArrayLike) -> Values:
    """Return a speed as (T,); InputError as `checked_signal`, and for several columns."""
    array = checked_signal(values, what="speed")
    if np.ndim(values) != 1:
        raise InputError(f"speed has shape {array.shape}: expected (T,)")
    return array[:, 0]


def checked_pair(signal: ArrayLike, reference: ArrayLike) -> tuple[Values, Values]:
    """Return two signals of the same shape (T, c); InputError as `checked_signal`, and when shapes differ."""
    a, b = checked_signal(signal), checked_signal(reference, what="reference")
    if a.shape != b.shape:
        raise InputError(f"signal has shape {a.shape}, reference {b.shape}: expected the same")
    return a, b


def check_within(name: str, value: float, low: float, high: float, *, ends: bool = True) -> None:
    """See that a parameter lies between `low` and `high`; `ends` tells whether these are allowed.

    Raises
    ------
    InputError
        When it does not (NaN never does).
    """
    inside = low <= value <= high if ends else low < value < high
    if not inside:
        raise InputError(
            f"{name} is {value}: expected {low:g} to {high:g}{'' if ends else ', ends excluded'}"
        )


def check_positive(name: str, value: float) -> None:
    """See that a parameter is a finite number above 0; InputError when it is not."""
    check_within(name, value, 0.0, math.inf, ends=False)


def runs_of(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True in (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
