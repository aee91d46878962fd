"""Stretches of time in which something stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """A label from one time to another, s; it counts `images` images."""

    label: str
    start_s: float
    end_s: float
    images: int

    @property
    def duration_s(self) -> float:
        """How long it lasts, s."""
        return self.end_s - self.start_s


def spans(
    images: NDArray[Any], times_s: NDArray[np.float64], labels: Sequence[str], period_s: float
) -> list[Span]:
    """Return the stretches with one label, in their order; images that are missing part them.

    Parameters
    ----------
    images
        Numbers of the images, rising, shape (n,).
    times_s
        Their times, s, shape (n,).
    labels
        What holds in each.
    period_s
        How long the last image of a stretch counts when no image follows on it, s.
    """
    found: list[Span] = []
    start = 0
    for k in range(1, len(labels) + 1):
        last = k == len(labels)
        if last or labels[k] != labels[start] or images[k] != images[k - 1] + 1:
            follows = not last and images[k] == images[k - 1] + 1
            end_s = float(times_s[k]) if follows else float(times_s[k - 1]) + period_s
            found.append(Span(labels[start], float(times_s[start]), end_s, k - start))
            start = k
    return found


def shares(parts: Sequence[Span]) -> dict[str, float]:
    """Return the share of the time of each label, the longest first."""
    total = sum(part.duration_s for part in parts)
    seconds: dict[str, float] = {}
    for part in parts:
        seconds[part.label] = seconds.get(part.label, 0.0) + part.duration_s
    return (
        {label: s / total for label, s in sorted(seconds.items(), key=lambda item: -item[1])} if total else {}
    )
