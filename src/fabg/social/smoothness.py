"""How smooth a movement is, and where in a run single movements begin and end.

The measures are for one movement from rest to rest. Over a whole run with pauses they say little: cut
the run with `movements` first.

Sources
-------
Balasubramanian, Melendez-Calderon, Burdet: "A robust and sensitive metric for quantifying movement
smoothness", IEEE Trans. Biomed. Eng. 59(8), 2012 (spectral arc length, dimensionless jerk).
Balasubramanian, Melendez-Calderon, Roby-Brami, Burdet: "On the analysis of movement smoothness",
J. NeuroEng. Rehabil. 12:112, 2015 (SPARC and LDLJ, as computed here).
Flash, Hogan: "The coordination of arm movements", J. Neurosci. 5(7), 1985 (minimum jerk).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fabg.social.signals import (
    Values,
    check_positive,
    check_within,
    checked_signal,
    checked_speed,
    runs_of,
)

_LEAST_SAMPLES = 4
"""Fewer samples have no third difference and no spectrum to speak of."""


def sparc(
    speed: ArrayLike, fs: float, cutoff: float = 10.0, threshold: float = 0.05, pad: int = 4
) -> float | None:
    """Return the spectral arc length of one movement: the nearer to 0, the smoother.

    The length of the curve that the magnitude spectrum of the speed draws, the magnitude scaled to 1 and
    the frequency scaled to the band used; the band ends at the last frequency up to `cutoff` whose
    magnitude reaches `threshold`. It depends neither on the size nor on the duration of the movement. It
    is meant for one movement from rest to rest; over a whole run with pauses it says little.

    Parameters
    ----------
    speed
        Speed of one movement, any unit, (T,).
    fs
        Samples a second, Hz.
    cutoff
        Highest frequency looked at, Hz, up to fs / 2.
    threshold
        Share of the largest magnitude that counts, 0..1.
    pad
        The transform is 2^pad times longer than the next power of two above T.

    Returns
    -------
    A negative number; None for fewer than 4 samples or without movement.

    Raises
    ------
    InputError
        For a speed that is not finite or not (T,), or a parameter out of range.

    References
    ----------
    Balasubramanian et al. 2015, equation 4 and its parameters.
    """
    values = _scaled(checked_speed(speed))
    check_positive("fs", fs)
    check_within("cutoff", cutoff, 0.0, fs / 2)
    check_within("threshold", threshold, 0.0, 1.0)
    check_within("pad", pad, 0, 12)
    if values is None:
        return None
    size = 2 ** (math.ceil(math.log2(len(values))) + int(pad))
    magnitude = np.abs(np.fft.rfft(values, size))
    magnitude /= magnitude.max()
    frequency = np.arange(len(magnitude)) * (fs / size)
    counts = np.flatnonzero((frequency <= cutoff) & (magnitude >= threshold))
    if len(counts) < 2:
        return None
    band = slice(counts[0], counts[-1] + 1)
    width = frequency[counts[-1]] - frequency[counts[0]]
    return -float(np.hypot(np.diff(frequency[band]) / width, np.diff(magnitude[band])).sum())


def ldlj(speed: ArrayLike, fs: float) -> float | None:
    """Return the log dimensionless jerk of one movement: the higher (nearer to 0), the smoother.

    ``-ln(T^3 / v_peak^2 * integral of (d2v/dt2)^2 dt)``. A minimum-jerk movement, the smoothest there is
    between two rests, has -ln(204.8) = -5.32. It depends neither on the size nor on the duration; noise
    lowers it more than it does SPARC.

    Parameters
    ----------
    speed
        Speed of one movement, any unit, (T,).
    fs
        Samples a second, Hz.

    Returns
    -------
    None for fewer than 4 samples, without movement, or when the speed has no curvature at all.

    Raises
    ------
    InputError
        For a speed that is not finite or not (T,), or an `fs` that is not positive.

    References
    ----------
    Balasubramanian et al. 2015, equation 2 (from speed).
    """
    values = _scaled(checked_speed(speed))
    check_positive("fs", fs)
    if values is None:
        return None
    # The unit of time cancels: T^3 * (1/dt^2)^2 * dt = n^3 in samples.
    curvature = np.diff(values, 2)
    dimensionless = len(values) ** 3 * float(curvature @ curvature)
    return -math.log(dimensionless) if dimensionless > 1e-12 else None


def rms_jerk(position: ArrayLike, tick_s: float) -> float | None:
    """Return the root mean square of the third difference over tick_s^3, over all samples and columns.

    Parameters
    ----------
    position
        (T,) or (T, c), for instance rad.
    tick_s
        Distance of two samples, s.

    Returns
    -------
    In the unit of `position` by s^3; None for fewer than 4 samples or without columns.
    """
    values = checked_signal(position, what="position")
    check_positive("tick_s", tick_s)
    if len(values) < _LEAST_SAMPLES or not values.shape[1]:
        return None
    return float(np.sqrt(np.mean(np.diff(values, 3, axis=0) ** 2))) / tick_s**3


def movements(
    speed: ArrayLike,
    tick_s: float,
    *,
    least: float = 0.1,
    edge: float = 0.05,
    still: float = 0.0,
    pause_s: float = 0.2,
    shortest_s: float = 0.1,
) -> list[slice]:
    """Return where single movements begin and end.

    A movement is where the speed exceeds `least` of the highest speed of the signal; it reaches to both
    sides as long as the speed exceeds `edge` of the movement's own peak. Pauses shorter than `pause_s` do
    not end it: otherwise a movement in fits and starts would count as many smooth ones. (People need
    about as long from one saccade to the next.)

    Parameters
    ----------
    speed
        Its magnitude is used, (T,).
    tick_s
        Distance of two samples, s.
    least, edge
        Shares of the peak, 0..1.
    still
        Speed up to which nothing counts as moving, in the unit of `speed`.
    pause_s, shortest_s
        Shortest pause, shortest movement, s.

    Returns
    -------
    Slices of the samples in rising order, without overlap; none when nothing moves.
    """
    values = np.abs(checked_speed(speed))
    check_positive("tick_s", tick_s)
    for name, share in (("least", least), ("edge", edge)):
        check_within(name, share, 0.0, 1.0)
    for name, amount in (("still", still), ("pause_s", pause_s), ("shortest_s", shortest_s)):
        check_within(name, amount, 0.0, math.inf)
    peak = float(values.max(initial=0.0))
    if peak <= still:
        return []
    runs = runs_of(values > max(least * peak, still))
    joined: list[list[int]] = []
    for start, stop in runs:
        if joined and (start - joined[-1][1]) * tick_s < pause_s:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    found: list[slice] = []
    for k, (core_start, core_stop) in enumerate(joined):
        start, stop = core_start, core_stop
        floor = max(edge * float(values[start:stop].max()), still)
        first = found[-1].stop if found else 0
        last = joined[k + 1][0] if k + 1 < len(joined) else len(values)
        while start > first and values[start - 1] > floor:
            start -= 1
        while stop < last and values[stop] > floor:
            stop += 1
        if (stop - start) * tick_s >= shortest_s:
            found.append(slice(start, stop))
    return found


def _scaled(speed: Values) -> Values | None:
    """Return the speed with a peak of 1; None when it is too short or nothing moves."""
    peak = float(np.abs(speed).max(initial=0.0))
    return speed / peak if len(speed) >= _LEAST_SAMPLES and peak > 0 else None
