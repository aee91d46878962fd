"""The tables of a finished run, read back: people, hands, images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.perceive.spans import Span, spans
from fabg.perceive.table import TABLES, read_columns

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Person:
    """One face id and its rows of ``faces.parquet``."""

    id: str
    rows: Columns
    hands: tuple[HandTrack, ...]

    @property
    def t(self) -> NDArray[np.float64]:
        """Times, s, shape (n,)."""
        return np.asarray(self.rows["stamp_s"])

    def spans(self, column: str, period_s: float, *, empty: str = "") -> list[Span]:
        """Return the stretches of a column of texts; `empty` stands for null."""
        labels = [str(value) or empty for value in self.rows[column]]
        return spans(self.rows["image"], self.t, labels, period_s)


@dataclass(frozen=True)
class HandTrack:
    """One hand id and its rows of ``hands.parquet``."""

    id: str
    side: str
    face_id: str
    rows: Columns

    def spans(self, period_s: float) -> list[Span]:
        """Return the stretches of its gestures."""
        labels = [str(value) for value in self.rows["gesture"]]
        return spans(self.rows["image"], np.asarray(self.rows["stamp_s"]), labels, period_s)


@dataclass(frozen=True)
class Results:
    """All that a run has measured.

    Attributes
    ----------
    images
        Rows of ``images.parquet``.
    people
        In the order in which they came.
    strangers
        Hands whose owner is not known.
    period_s
        Usual time between two images, s.
    """

    images: Columns
    people: tuple[Person, ...]
    strangers: tuple[HandTrack, ...]
    period_s: float

    @property
    def duration_s(self) -> float:
        """From the first image to the end of the last, s."""
        t = self.images["stamp_s"]
        return float(t[-1] - t[0]) + self.period_s if len(t) else 0.0


def read_results(folder: Path, fps: float) -> Results:
    """Return the tables in a folder; `fps` is the input's rate, used when there are too few images."""
    images, faces, hands = (read_columns(folder / f"{name}.parquet") for name in TABLES)
    steps = np.diff(images["stamp_s"])
    period_s = float(np.median(steps)) if len(steps) else 1.0 / fps
    tracks = []
    for name in _in_order(hands["hand_id"]):
        rows = _where(hands, hands["hand_id"] == name)
        tracks.append(HandTrack(name, _usual(rows["side"]), _usual(rows["face_id"]), rows))
    people = tuple(
        Person(
            name,
            _where(faces, faces["face_id"] == name),
            tuple(track for track in tracks if track.face_id == name),
        )
        for name in _in_order(faces["face_id"])
    )
    known = {person.id for person in people}
    strangers = tuple(track for track in tracks if track.face_id not in known)
    return Results(images, people, strangers, period_s)


def _in_order(names: NDArray[Any]) -> list[str]:
    return list(dict.fromkeys(str(name) for name in names))


def _where(columns: Columns, mask: NDArray[np.bool_]) -> Columns:
    return {name: values[mask] for name, values in columns.items()}


def _usual(labels: NDArray[Any]) -> str:
    values = [str(label) for label in labels]
    return max(dict.fromkeys(values), key=values.count)
