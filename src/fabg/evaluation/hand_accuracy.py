"""How well hands are found, placed and understood, on rendered hands of known pose."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation import charts
from fabg.evaluation.hand_samples import HandSamples, sample_hands
from fabg.evaluation.report import Section
from fabg.evaluation.rows import Condition, error_row, f1_scores, number_row, rate_row
from fabg.geometry import pose, rotation_from_ypr
from fabg.perception.hands import HandTracker
from fabg.perception.pose import Camera
from fabg.perception.types import Frame, Gesture, Side
from fabg.social.avatar import HAND_SHAPES, Actor, Background, HandPose, Person, Studio, hand_at

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

TARGET_F1, TARGET_DIRECTION_DEG, TARGET_POSITION = 0.95, 15.0, 4.0
POINTS = (Gesture.UP, Gesture.DOWN, Gesture.LEFT, Gesture.RIGHT, Gesture.POINTING)
_FPS, _WAVE_S = 25.0, 1.6
_FOREARM_M = 0.27


def gesture_section(people: Sequence[int], per_gesture: int, seed: int, progress: Progress) -> Section:
    """Measure gestures, directions and positions of hands.

    Parameters
    ----------
    people
        Seeds of the people.
    per_gesture
        Hands of each person and gesture; each person also waves once, and moves an open hand without waving.
    """
    share = len(people) * per_gesture
    kinds = len(Gesture)  # without a wave, but NONE counts twice
    total = share * kinds + 2 * len(people)
    samples = sample_hands(
        people,
        per_gesture,
        seed=seed,
        progress=lambda done, of: progress(round(done * share * kinds / of), total),
    )
    truth = [Gesture(g).name.lower() for g in samples.gesture]
    said = [Gesture(g).name.lower() for g in samples.said]
    for k, (true, label) in enumerate(_moving_hands(people, seed)):
        truth.append(true.name.lower())
        said.append(label.name.lower())
        progress(share * kinds + k + 1, total)
    classes = [gesture.name.lower() for gesture in Gesture]
    scores = f1_scores(truth, said, classes)
    rows = [
        number_row(
            "gesture, macro F1", "", float(np.mean(list(scores.values()))), len(truth), target=TARGET_F1
        ),
        rate_row("gesture right", [t == s for t, s in zip(truth, said, strict=True)]),
        rate_row("hand found", samples.found, conditions=_conditions(samples)),
        rate_row(
            "left and right told apart", samples.side_said[samples.found] == samples.side[samples.found]
        ),
        *_direction_rows(samples),
        *_position_rows(samples),
    ]
    return Section(
        "gesture",
        "Hands and gestures",
        f"{len(truth)} hands of {len(people)} people at 0.3 to 1.2 m, palm or back to the camera, turned and "
        "tilted by up to 30 degrees, half of them before their owner's face, with blur and noise; hands that say "
        "nothing are fingers held up, horns, an OK, claws and relaxed hands. Waves and moving open hands last "
        f"{_WAVE_S:g} s.",
        tuple(rows),
        (
            charts.matrix("Gestures", truth, said, classes),
            charts.by_condition(
                "Position with a depth image, by distance",
                100 * _relative(samples, samples.position_depth),
                _conditions(samples)[0],
                unit="% of the distance",
            ),
        ),
        {"f1": {name: round(score, 4) for name, score in scores.items()}},
    )


def _conditions(samples: HandSamples) -> tuple[Condition, ...]:
    return (
        Condition.ranges("distance", samples.conditions["distance_m"], (0.3, 0.5, 0.8, 1.25), "m"),
        Condition.kinds("view", samples.view),
        Condition.ranges(
            "skin tone", samples.conditions["tone"], (0.0, 0.33, 0.67, 1.0), "(0 dark, 1 light)"
        ),
        Condition.kinds("age", ["child" if a < 14 else "grown-up" for a in samples.conditions["age_years"]]),
    )


def _direction_rows(samples: HandSamples) -> Iterator:
    points = np.isin(samples.gesture, [int(g) for g in POINTS])
    cosine = (samples.direction * samples.direction_said).sum(axis=1).clip(-1.0, 1.0)
    errors = np.degrees(np.arccos(cosine))[points]
    part = [Condition(c.name, c.labels, c.group[points]) for c in _conditions(samples)]
    yield error_row(
        "direction of the index finger", "deg", errors, target=TARGET_DIRECTION_DEG, conditions=part[:3]
    )


def _position_rows(samples: HandSamples) -> Iterator:
    conditions = _conditions(samples)
    deep = 100 * _relative(samples, samples.position_depth)
    alone = 100 * _relative(samples, samples.position_alone)
    yield error_row("hand position, with depth", "%", deep, target=TARGET_POSITION, conditions=conditions)
    yield error_row(
        "hand position, one camera",
        "%",
        alone,
        conditions=conditions,
        note="Hands differ in size; no target.",
    )


def _relative(samples: HandSamples, positions: Array) -> Array:
    return np.linalg.norm(positions - samples.palm, axis=1) / np.linalg.norm(samples.palm, axis=1)


def _moving_hands(people: Sequence[int], seed: int) -> Iterator[tuple[Gesture, Gesture]]:
    """Yield what was true and what was said at the end, for waves and for open hands that move otherwise."""
    size = (640, 480)
    camera = Camera.from_fov(*size, 60.0)
    with Studio(camera, size) as studio, HandTracker() as tracker:
        tracker.camera = camera
        stamp_s = 0.0
        for number in people:
            person, rng = Person.random(number), np.random.default_rng([seed, number, 9])
            for true in (Gesture.WAVE, Gesture.OPEN_PALM):
                said, stamp_s = Gesture.NONE, stamp_s + 100.0
                for pose_ in _way(rng, true == Gesture.WAVE):
                    hand = HandPose(Side.RIGHT, pose_, HAND_SHAPES["open"])
                    image = studio.render([Actor(person, hands=(hand,))], background=Background("room")).image
                    stamp_s += 1.0 / _FPS
                    hands = tracker.update(Frame(image, stamp_s), None).hands
                    said = hands[0].gesture if hands else Gesture.NONE
                yield true, said


def _way(rng: np.random.Generator, waves: bool) -> Iterator[Array]:
    """Yield the poses of a hand that waves about its elbow, or drifts and turns a little."""
    start = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-0.05, 0.05), rng.uniform(0.45, 0.9)])
    elbow = start + np.array([0.0, _FOREARM_M, 0.0])
    swing, rate = math.radians(rng.uniform(14.0, 28.0)), 2.0 * math.pi * rng.uniform(1.2, 2.2)
    drift = rng.uniform(-0.08, 0.08, 3)
    for i in range(round(_WAVE_S * _FPS)):
        t = i / _FPS
        if waves:
            # About the camera's axis: z of the optical frame.
            turn = rotation_from_ypr(swing * math.sin(rate * t), 0.0, 0.0)
            upright = hand_at(start)
            yield pose(turn @ upright[:3, :3], elbow + turn @ (upright[:3, 3] - elbow))
        else:
            yield hand_at(start + drift * t, fingers_to=(0.15 * math.sin(2.0 * t), -1.0, 0.0))
