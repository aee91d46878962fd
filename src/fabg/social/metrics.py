"""How late, how far off and how smooth a movement is: pure functions of sampled signals.

A signal is an array (T,) or (T, c) of samples at equal distances. Everywhere holds: what is not a finite
signal of the expected shape, and a parameter that makes no sense, is refused (InputError); a quantity
that does not exist for the signal given (too short, nothing moves) is None, never 0.

Lag, error and warping stand here; smoothness and the confidence interval in `fabg.social.smoothness` and
`fabg.social.confidence`, and can be had from here as well.

Sources
-------
Sakoe, Chiba: "Dynamic programming algorithm optimization for spoken word recognition", IEEE Trans.
Acoust., Speech, Signal Process. 26(1), 1978 (DTW). Lag by cross-correlation and parabola: textbook.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fabg.errors import InputError
from fabg.social.confidence import MeanCI, mean_ci, student_t
from fabg.social.signals import Values, check_positive, check_within, checked_pair, checked_signal
from fabg.social.smoothness import ldlj, movements, rms_jerk, sparc

__all__ = [
    "MeanCI",
    "aligned",
    "dtw",
    "lag_by_cross_correlation",
    "ldlj",
    "mean_ci",
    "movements",
    "rms_jerk",
    "sparc",
    "student_t",
    "tracking_error",
    "tracking_error_at_lag",
]


def lag_by_cross_correlation(
    signal: ArrayLike,
    reference: ArrayLike,
    tick_s: float,
    max_lag_s: float,
    *,
    least_correlation: float = 0.5,
) -> float | None:
    """Return by how much `signal` comes after `reference`, s; > 0 when it is later.

    For every whole lag Pearson's correlation of those samples that overlap is taken (over several
    columns: covariances and variances are summed, each column about its own mean); a parabola through the
    largest and its neighbours gives the fraction of a tick.

    Parameters
    ----------
    signal, reference
        (T,) or (T, c), the same shape.
    tick_s
        Distance of two samples, s.
    max_lag_s
        Lags from -max_lag_s to max_lag_s are tried, those of at most half the length.
    least_correlation
        A weaker correlation is none, 0..1.

    Returns
    -------
    None when there is no lag to speak of: fewer than 8 samples, one of the two does not move, the
    correlation is weak, or it still rises at the end of the range.

    Raises
    ------
    InputError
        When a value is not finite, the shapes differ, or a parameter is out of range.
    """
    a, b = checked_pair(signal, reference)
    check_positive("tick_s", tick_s)
    check_positive("max_lag_s", max_lag_s)
    check_within("least_correlation", least_correlation, 0.0, 1.0)
    if len(a) < 8:
        return None
    reach = min(math.floor(max_lag_s / tick_s + 1e-9), len(a) // 2)
    lags = list(range(-reach, reach + 1))
    scores = _correlations(a, b, lags)
    best = float(scores.max())
    if best < max(least_correlation, 1e-9):
        return None
    equal = np.flatnonzero(scores >= best - 1e-9)  # of the repeats of a periodic signal the nearest counts
    peak = min((int(k) for k in equal), key=lambda k: abs(lags[k]))
    if peak in (0, len(lags) - 1):
        return None
    before, here, after = scores[peak - 1 : peak + 2]
    bend = before - 2 * here + after
    fraction = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float((lags[peak] + fraction) * tick_s)


def aligned(signal: ArrayLike, reference: ArrayLike, lag_ticks: float) -> tuple[Values, Values]:
    """Return both signals where they overlap when `reference` is shifted to be `lag_ticks` later.

    Between two samples the reference is taken as straight.

    Parameters
    ----------
    signal, reference
        (T,) or (T, c), the same shape.
    lag_ticks
        By how much the signal comes later, in samples; fractions are allowed.

    Returns
    -------
    Two arrays (n, c), n <= T; n = 0 when nothing overlaps.
    """
    a, b = checked_pair(signal, reference)
    if not math.isfinite(lag_ticks):
        raise InputError(f"lag_ticks is {lag_ticks}: expected a finite number")
    # Rounding must not cost a sample, nor turn a whole lag into two neighbours.
    lag = round(lag_ticks, 9)
    whole = math.floor(-lag)
    weight = -lag - whole
    first, last = max(0, -whole), min(len(a), len(b) - whole - (weight > 0))
    if last <= first:
        return a[:0], b[:0]
    low = b[first + whole : last + whole]
    if weight > 0:
        low = (1 - weight) * low + weight * b[first + whole + 1 : last + whole + 1]
    return a[first:last], low


def tracking_error(signal: ArrayLike, reference: ArrayLike) -> float | None:
    """Return the root mean square over time of the (Euclidean) distance of two signals.

    Parameters
    ----------
    signal, reference
        (T,) or (T, c), the same shape and unit.

    Returns
    -------
    In their unit; None when they are empty.
    """
    return tracking_error_at_lag(signal, reference, 0.0, 1.0)


def tracking_error_at_lag(
    signal: ArrayLike, reference: ArrayLike, lag_s: float, tick_s: float
) -> float | None:
    """Return the tracking error that is left when the reference is shifted to be `lag_s` later.

    What no shift in time explains: amplitude, shape, wandering; see `aligned` for fractions of a tick.
    """
    check_positive("tick_s", tick_s)
    a, b = aligned(signal, reference, lag_s / tick_s)
    return float(np.sqrt(np.mean(np.sum((a - b) ** 2, axis=1)))) if a.size else None


def dtw(a: ArrayLike, b: ArrayLike, *, band: int | None = None) -> float | None:
    """Return the dynamic time warping distance of two signals, as a mean over the path.

    Sakoe and Chiba's symmetric form without slope constraint (P = 0): steps (1, 0), (0, 1) with weight 1
    and (1, 1) with weight 2, the sum divided by N + M; the local distance is Euclidean (absolute for one
    column). Signals of equal length that need no warping give the mean of their distances. Figures that
    others report without the division are not comparable.

    Parameters
    ----------
    a, b
        (N,) or (N, c), (M,) or (M, c).
    band
        Sakoe-Chiba band: how many samples a point may be matched away from its own place, at least
        |N - M| is always allowed; None for no limit.

    Returns
    -------
    In the unit of the signals; None when one is empty.
    """
    first, second = checked_signal(a, what="a"), checked_signal(b, what="b")
    if first.shape[1] != second.shape[1]:
        raise InputError(
            f"signals have {first.shape[1]} and {second.shape[1]} columns: expected as many in both"
        )
    n, m = len(first), len(second)
    if not n or not m:
        return None
    if band is not None:
        check_within("band", band, 0, math.inf)
    reach = max(n, m) if band is None else max(int(min(band, max(n, m))), abs(n - m))
    previous = np.full(m + 1, math.inf)  # column j + 1 holds the cost up to sample j
    previous[0] = 0.0
    for i in range(n):
        low, high = max(0, i - reach), min(m, i + reach + 1)
        distance = np.sqrt(((second[low:high] - first[i]) ** 2).sum(axis=1))
        entered = np.minimum(previous[low + 1 : high + 1] + distance, previous[low:high] + 2 * distance)
        # Steps along the row: cost[j] = min over k <= j of entered[k] + distance[k+1] + ... + distance[j].
        along = np.cumsum(distance)
        current = np.full(m + 1, math.inf)
        current[low + 1 : high + 1] = np.minimum.accumulate(entered - along) + along
        previous = current
    return float(previous[m]) / (n + m)


def _correlations(a: Values, b: Values, lags: list[int]) -> Values:
    """Return Pearson's correlation of a[t] with b[t - lag] where both exist; 0 where one is constant."""
    a, b = _centred(a), _centred(b)
    (sum_a, square_a), (sum_b, square_b) = _running(a), _running(b)
    found = np.zeros(len(lags))
    for k, lag in enumerate(lags):
        a0, a1 = max(lag, 0), len(a) + min(lag, 0)
        b0, b1 = a0 - lag, a1 - lag
        mean_a, total_b = (sum_a[a1] - sum_a[a0]) / (a1 - a0), sum_b[b1] - sum_b[b0]
        power_a = square_a[a1] - square_a[a0] - (a1 - a0) * float(mean_a @ mean_a)
        power_b = square_b[b1] - square_b[b0] - float(total_b @ total_b) / (a1 - a0)
        # An overlap in which so little happens is constant but for rounding.
        if power_a > 1e-9 * square_a[-1] and power_b > 1e-9 * square_b[-1]:
            covariance = float(np.vdot(a[a0:a1], b[b0:b1])) - float(mean_a @ total_b)
            found[k] = covariance / math.sqrt(power_a * power_b)
    return found


def _centred(signal: Values) -> Values:
    """Return the signal about its means, its peak scaled to 1; zeros for one that does not move."""
    size = float(np.abs(signal).max(initial=0.0))
    scaled = signal / size if size > 0 else signal
    moved = scaled - scaled.mean(axis=0)
    return (
        np.ascontiguousarray(moved) if float(np.abs(moved).max(initial=0.0)) > 1e-12 else np.zeros_like(moved)
    )


def _running(signal: Values) -> tuple[Values, Values]:
    """Return the sums up to each sample, (T + 1, c), and those of the squares over all columns, (T + 1,)."""
    sums = np.zeros((len(signal) + 1, signal.shape[1]))
    np.cumsum(signal, axis=0, out=sums[1:])
    squares = np.zeros(len(signal) + 1)
    np.cumsum((signal**2).sum(axis=1), out=squares[1:])
    return sums, squares
