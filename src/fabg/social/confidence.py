"""The mean over a few runs, and how well it is known.

Sources
-------
Student: "The probable error of a mean", Biometrika 6(1), 1908. The distribution in closed form for whole
degrees of freedom: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3-4; its quantile
for many: 26.7.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fabg.errors import InputError
from fabg.social.signals import check_within

_MANY = 1000
"""Degrees of freedom from which on the series is too long to be worth it."""


@dataclass(frozen=True)
class MeanCI:
    """A mean and how well it is known.

    Attributes
    ----------
    mean
        Of the values.
    half_width
        Half the confidence interval; None for a single value, of which nothing is known.
    count
        How many values there were.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.half_width is None else self.mean + self.half_width


def mean_ci(values: Iterable[float | None], level: float = 0.95) -> MeanCI | None:
    """Return the mean with its two-sided confidence interval by Student's t.

    The interval holds for independent values from a normal distribution; for few values of a skewed one
    (response times) it is approximate.

    Parameters
    ----------
    values
        One a run; None (did not exist in that run) is left out, `count` tells what is left.
    level
        Confidence, 0..1 without the ends.

    Returns
    -------
    None when no value is left.

    Raises
    ------
    InputError
        For a value that is NaN or infinite, or a level out of range.
    """
    check_within("level", level, 0.0, 1.0, ends=False)
    kept = np.array([value for value in values if value is not None], dtype=np.float64)
    if not np.isfinite(kept).all():
        raise InputError(f"values hold {kept[~np.isfinite(kept)][0]}: expected finite numbers or None")
    if not kept.size:
        return None
    mean, count = float(kept.mean()), len(kept)
    if count == 1:
        return MeanCI(mean, None, 1)
    error = float(kept.std(ddof=1)) / math.sqrt(count)
    return MeanCI(mean, student_t((1 + level) / 2, count - 1) * error, count)


def student_t(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution.

    Parameters
    ----------
    probability
        Of a value up to the quantile, 0..1 without the ends.
    freedom
        Degrees of freedom, a whole number >= 1. Above 1000 the quantile is the normal one with two terms
        of correction, which is right to about 1e-9.
    """
    check_within("probability", probability, 0.0, 1.0, ends=False)
    if not 1 <= freedom < math.inf or freedom != int(freedom):
        raise InputError(f"freedom is {freedom}: expected a whole number from 1 on")
    if probability < 0.5:
        return -student_t(1 - probability, freedom)
    if freedom > _MANY:
        x = NormalDist().inv_cdf(probability)
        return x + (x**3 + x) / (4 * freedom) + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * freedom**2)
    # With t = sqrt(freedom) tan(angle) the central probability is a finite sum in the angle; the angle
    # lies between 0 and a right angle, so halving always finds it.
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _central_probability(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _central_probability(angle: float, freedom: int) -> float:
    """Return P(|t| < sqrt(freedom) tan(angle)): Abramowitz and Stegun 26.7.3 and 26.7.4."""
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= square * k / (k + 1)
        if term < 1e-18 * total:
            break
    return (angle + sine * total) * 2 / math.pi if odd else sine * total
