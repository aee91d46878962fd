"""Rows of an accuracy report: one quantity, its error overall and under each condition, and its target."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Summary:
    """Errors of one quantity in brief.

    Attributes
    ----------
    count
        How often it was tried.
    mean, p95
        Of the absolute errors of those that gave an answer; NaN without any.
    failure_rate
        Share without an answer, 0..1.
    """

    count: int
    mean: float
    p95: float
    failure_rate: float

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; None for what is not known."""
        return {
            "count": self.count,
            "mean": _plain(self.mean),
            "p95": _plain(self.p95),
            "failure_rate": _plain(self.failure_rate),
        }


def summarise(errors: ArrayLike) -> Summary:
    """Return the summary of errors, shape (n,); NaN stands for an attempt without an answer."""
    values = np.abs(np.asarray(errors, dtype=np.float64).ravel())
    answered = values[np.isfinite(values)]
    if not answered.size:
        return Summary(values.size, math.nan, math.nan, 1.0 if values.size else math.nan)
    return Summary(
        values.size,
        float(answered.mean()),
        float(np.percentile(answered, 95)),
        float(1.0 - answered.size / values.size),
    )


@dataclass(frozen=True)
class Condition:
    """A way to divide the attempts into groups: the group of each attempt, and what the groups are called.

    Attributes
    ----------
    name
        For people: "distance", "skin tone".
    labels
        Of the groups, in their order.
    group
        Index into `labels` for each attempt, shape (n,); -1 leaves the attempt out.
    """

    name: str
    labels: tuple[str, ...]
    group: NDArray[np.intp]

    @classmethod
    def ranges(cls, name: str, values: ArrayLike, edges: Sequence[float], unit: str) -> Condition:
        """Divide by number: one group between each two neighbouring `edges` (the last one closed)."""
        numbers = np.asarray(values, dtype=np.float64)
        group = np.digitize(numbers, edges[1:-1])
        group[~(numbers >= edges[0]) | ~(numbers <= edges[-1])] = -1
        labels = tuple(f"{a:g} to {b:g} {unit}".strip() for a, b in itertools.pairwise(edges))
        return cls(name, labels, group.astype(np.intp))

    @classmethod
    def kinds(cls, name: str, values: Sequence[str]) -> Condition:
        """Divide by word, in the order of first appearance."""
        labels = tuple(dict.fromkeys(values))
        index = {label: i for i, label in enumerate(labels)}
        return cls(name, labels, np.array([index[value] for value in values], dtype=np.intp))


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes
    ----------
    quantity, unit
        What was measured.
    value
        The number that is judged: a mean error, a rate, a correlation, a score or a count.
    target
        What it should reach, None where nothing is promised.
    at_least
        True when more is better.
    count
        Attempts.
    mean, p95, failure_rate
        See `Summary`; NaN where the quantity is not an error.
    conditions
        The judged number by the name of a condition and of its group.
    note
        One sentence for the reader, or empty.
    """

    quantity: str
    unit: str
    value: float
    target: float | None
    at_least: bool
    count: int
    mean: float = math.nan
    p95: float = math.nan
    failure_rate: float = math.nan
    conditions: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        if not math.isfinite(self.value):
            return False
        return self.value >= self.target if self.at_least else self.value <= self.target

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and texts."""
        return {
            "quantity": self.quantity,
            "unit": self.unit,
            "value": _plain(self.value),
            "target": self.target,
            "better": "more" if self.at_least else "less",
            "met": self.met,
            "count": self.count,
            "mean": _plain(self.mean),
            "p95": _plain(self.p95),
            "failure_rate": _plain(self.failure_rate),
            "conditions": {
                name: {label: summary.to_json() for label, summary in groups.items()}
                for name, groups in self.conditions.items()
            },
            "note": self.note,
        }


def error_row(
    quantity: str,
    unit: str,
    errors: ArrayLike,
    *,
    target: float | None = None,
    conditions: Sequence[Condition] = (),
    note: str = "",
) -> Row:
    """Return the row of errors, shape (n,) (NaN: no answer), judged by their mean."""
    values = np.asarray(errors, dtype=np.float64).ravel()
    whole = summarise(values)
    return Row(
        quantity,
        unit,
        whole.mean,
        target,
        False,
        whole.count,
        whole.mean,
        whole.p95,
        whole.failure_rate,
        _by_condition(values, conditions),
        note,
    )


def rate_row(
    quantity: str,
    hits: ArrayLike,
    *,
    target: float | None = None,
    conditions: Sequence[Condition] = (),
    note: str = "",
) -> Row:
    """Return the row of a share of successes, booleans of shape (n,)."""
    values = np.asarray(hits, dtype=bool).ravel()
    share = float(values.mean()) if values.size else math.nan
    misses = np.where(values, 0.0, np.nan)
    return Row(
        quantity,
        "share",
        share,
        target,
        True,
        values.size,
        failure_rate=1.0 - share,
        conditions=_by_condition(misses, conditions),
        note=note,
    )


def number_row(
    quantity: str,
    unit: str,
    value: float | None,
    count: int,
    *,
    target: float | None = None,
    at_least: bool = True,
    note: str = "",
) -> Row:
    """Return the row of a number that stands for all attempts: a correlation, a score, a count."""
    return Row(
        quantity, unit, math.nan if value is None else float(value), target, at_least, count, note=note
    )


def correlation(a: ArrayLike, b: ArrayLike) -> float | None:
    """Return Pearson's r of the pairs in which both are finite; None when one side does not vary."""
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (a, b))
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if x.size < 3 or x.std() < 1e-9 or y.std() < 1e-9:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def f1_scores(truth: Sequence[str], said: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """Return the F1 score of each class: 2 TP / (2 TP + FP + FN); NaN for a class that never occurs."""
    t, s = np.array(truth), np.array(said)
    scores = {}
    for name in classes:
        hits = int(((t == name) & (s == name)).sum())
        total = int((t == name).sum() + (s == name).sum())
        scores[name] = 2.0 * hits / total if total else math.nan
    return scores


def _by_condition(
    errors: NDArray[np.float64], conditions: Sequence[Condition]
) -> dict[str, dict[str, Summary]]:
    return {
        condition.name: {
            label: summarise(errors[condition.group == index])
            for index, label in enumerate(condition.labels)
            if (condition.group == index).any()
        }
        for condition in conditions
    }


def _plain(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None
