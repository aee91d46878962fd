"""A run in numbers, for machines and for the report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.perceive.results import HandTrack, Person, Results
from fabg.perceive.spans import shares
from fabg.perception.scene import STAGES

_SPREADS = {
    "distance_m": "distance_m",
    "head_yaw_deg": "head_yaw_deg",
    "head_pitch_deg": "head_pitch_deg",
    "head_roll_deg": "head_roll_deg",
    "gaze_yaw_deg": "gaze_yaw_deg",
    "gaze_pitch_deg": "gaze_pitch_deg",
    "smile": "smile",
    "surprise": "surprise",
    "valence": "valence",
    "arousal": "arousal",
}


def summarise(results: Results) -> dict[str, Any]:
    """Return duration, images, work, people and hands of a run, as plain JSON without NaN."""
    images = results.images
    count = len(images["stamp_s"])
    return {
        "duration_s": round(results.duration_s, 3),
        "images": {
            "worked": count,
            "with_face": int((images["faces"] > 0).sum()),
            "with_hand": int((np.nan_to_num(images["hands"]) > 0).sum()),
            "most_faces": int(images["faces"].max(initial=0)),
        },
        "stages_ms": {
            stage: found for stage in STAGES if (found := _percentiles(images[f"{stage}_ms"])) is not None
        },
        "people": [_person(person, results) for person in results.people],
        "hands_of_nobody": [_hand(hand, results.period_s) for hand in results.strangers],
    }


def _person(person: Person, results: Results) -> dict[str, Any]:
    rows, period_s = person.rows, results.period_s
    seen_s = len(person.t) * period_s
    found: dict[str, Any] = {
        "id": person.id,
        "first_s": round(float(person.t[0]), 3),
        "last_s": round(float(person.t[-1]), 3),
        "images": len(person.t),
    }
    for name, column in _SPREADS.items():
        if (spread := _spread(rows[column])) is not None:
            found[name] = spread
    if "gaze_yaw_deg" in found:
        found["looks_at"] = _rounded(shares(person.spans("looks_at", period_s, empty="nobody")))
        found["engagement"] = _rounded(shares(person.spans("engagement", period_s, empty="unknown")))
        blinks = int(rows["blink"].sum())
        found["blinks"] = {"count": blinks, "per_minute": round(60.0 * blinks / seen_s, 1)}
    if "valence" in found:
        found["emotion"] = _rounded(shares(person.spans("emotion", period_s, empty="unsure")))
    found["hands"] = [_hand(hand, period_s) for hand in person.hands]
    return found


def _hand(hand: HandTrack, period_s: float) -> dict[str, Any]:
    parts = [part for part in hand.spans(period_s) if part.label != "none"]
    gestures: dict[str, dict[str, Any]] = {}
    for part in parts:
        entry = gestures.setdefault(part.label, {"times": 0, "seconds": 0.0})
        entry["times"] += 1
        entry["seconds"] = round(entry["seconds"] + part.duration_s, 3)
    return {
        "id": hand.id,
        "side": hand.side,
        "images": len(hand.rows["stamp_s"]),
        "extended": round(float(hand.rows["extended"].mean()), 3),
        "distance_m": _spread(hand.rows["distance_m"]),
        "gestures": gestures,
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float] | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.percentile(values, (5, 95))
    return _rounded(
        {"mean": float(values.mean()), "sd": float(values.std()), "p5": float(low), "p95": float(high)}
    )


def _percentiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return _rounded({"p50": float(np.median(values)), "p95": float(np.percentile(values, 95))})


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def told(entries: dict[str, float], most: int = 3) -> str:
    """Return shares as words, the greatest first: ``happy 61 %, neutral 30 %``."""
    items: Iterable[tuple[str, float]] = list(entries.items())[:most]
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in items if share >= 0.005) or "-"
