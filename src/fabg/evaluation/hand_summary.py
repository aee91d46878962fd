"""Figures of rendered hands in one dictionary.

python -m fabg.evaluation.hand_summary --people 24 --seed 21
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation.hand_pictures import GESTURES
from fabg.evaluation.hand_samples import HandSamples, sample_hands
from fabg.evaluation.rows import f1_scores
from fabg.perception.types import Gesture
from fabg.social.avatar import FIRST_REPORT_SEED

_ACROSS = (Gesture.UP, Gesture.DOWN, Gesture.LEFT, Gesture.RIGHT)


def _f1(samples: HandSamples, kept: NDArray[np.bool_]) -> dict[str, float]:
    """Return the F1 score of each gesture that a single picture can show, by name, over the hands `kept`."""
    truth, said = ([Gesture(g).name for g in values[kept]] for values in (samples.gesture, samples.said))
    return f1_scores(truth, said, [gesture.name for gesture in GESTURES])


def summary(samples: HandSamples) -> dict[str, object]:
    """Return found, F1, direction, side and position of hands as they are reported."""
    view, found = np.array(samples.view), samples.found
    seen = view != "away"
    cosine = (samples.direction * samples.direction_said).sum(axis=1)
    off_deg = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    told = np.isfinite(off_deg)
    across, along = np.isin(samples.gesture, _ACROSS), samples.gesture == Gesture.POINTING
    away_m = np.linalg.norm(samples.palm, axis=1)
    alone = 100 * np.linalg.norm(samples.position_alone - samples.palm, axis=1) / away_m
    deep = 100 * np.linalg.norm(samples.position_depth - samples.palm, axis=1) / away_m
    grown = samples.conditions["age_years"] >= 14
    scores = _f1(samples, np.ones(len(samples), dtype=bool))
    without_away = _f1(samples, seen)
    return {
        "hands": len(samples),
        "found_%": {v: round(100 * float(found[view == v].mean()), 1) for v in sorted(set(samples.view))},
        "f1": {name: round(value, 3) for name, value in scores.items()},
        "macro_f1": round(float(np.mean(list(scores.values()))), 3),
        "macro_f1_without_away": round(float(np.mean(list(without_away.values()))), 3),
        "direction_across_deg": _spread(off_deg[told & across]),
        "direction_along_deg": _spread(off_deg[told & along]),
        "side_right_%": round(100 * float((samples.side == samples.side_said)[found].mean()), 1),
        "position_with_depth_%": _spread(deep[found & samples.has_depth]),
        "position_alone_%": _spread(alone[found]),
        "position_alone_grown_ups_%": _spread(alone[found & grown]),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    if not values.size:
        return {}
    return {
        "mean": round(float(values.mean()), 1),
        "p95": round(float(np.quantile(values, 0.95)), 1),
        "n": len(values),
    }


def main() -> int:
    """Print the figures of people not used for fitting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=24, help=f"how many, from {FIRST_REPORT_SEED} on")
    parser.add_argument("--per-gesture", type=int, default=1)
    parser.add_argument("--seed", type=int, default=21)
    arguments = parser.parse_args()
    people = range(FIRST_REPORT_SEED, FIRST_REPORT_SEED + arguments.people)
    samples = sample_hands(people, arguments.per_gesture, seed=arguments.seed)
    print(json.dumps(summary(samples), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
