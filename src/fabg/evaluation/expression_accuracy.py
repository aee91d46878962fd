"""How well movements of a face are read, swept alone and mixed with others, and what emotions are made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation import charts
from fabg.evaluation.expressions import (
    EMFACS,
    GROUPS,
    STILL,
    ExpressionSamples,
    Motion,
    mixes,
    prototypes,
    sample_expressions,
    sweep,
)
from fabg.evaluation.report import Section
from fabg.evaluation.rows import correlation, f1_scores, number_row, rate_row
from fabg.expression import INDEX
from fabg.perception.affect import Affect, AffectReader
from fabg.perception.emotion import EmotionConfig, EmotionEstimator
from fabg.perception.types import EMOTIONS, Emotion

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

TARGET_SWEPT, TARGET_MIXED = 0.9, 0.8
RESTING = 10
"""Pictures of the resting face that each series begins with, as somebody who has just come shows it."""
_STEPS = 11
_MOVING = Motion(distance_m=(0.5, 1.2), yaw_deg=20.0, pitch_deg=12.0, roll_deg=10.0)


@dataclass(frozen=True)
class Movement:
    """One movement: its name in `GROUPS`, and how it is read."""

    name: str
    group: str
    read: Callable[[Affect], float]


MOVEMENTS: tuple[Movement, ...] = (
    Movement("smile", "mouthSmile", lambda a: a.smile),
    Movement("jaw open", "jawOpen", lambda a: a.jaw_open),
    Movement("blink", "eyeBlink", lambda a: sum(a.blink) / 2),
    Movement("brow raise", "browRaise", lambda a: a.brow_raise),
)
"""Those with a target."""

OTHERS: Mapping[str, Callable[[Affect], float] | None] = {
    "browDown": lambda a: a.brow_lower,
    "mouthFrown": lambda a: a.both("lip_corner_down"),
    "mouthPucker": lambda a: a.both("pucker"),
    "eyeWide": lambda a: a.both("eye_wide"),
    "noseSneer": None,
    "cheekPuff": None,
    "tongueOut": None,
}
"""Without a target; None: the landmarker does not report it, and its raw score is shown."""


def expression_section(people: Sequence[int], mixed: int, seed: int, progress: Progress) -> Section:
    """Measure correlations between what faces show and what is read.

    Parameters
    ----------
    people
        Seeds of the people.
    mixed
        Random pictures of each.
    """
    groups = [m.group for m in MOVEMENTS] + list(OTHERS)
    of_sweep, of_mix = len(people) * (RESTING + _STEPS), len(people) * (RESTING + mixed)
    total = len(groups) * of_sweep + of_mix
    rows, details = [], {}
    swept: dict[str, ExpressionSamples] = {}
    for k, group in enumerate(groups):
        swept[group] = sample_expressions(
            people,
            partial(_sweep, group),
            seed=seed,
            motion=STILL,
            progress=lambda done, k=k: progress(k * of_sweep + done, total),  # type: ignore[misc]
        )
    random = sample_expressions(
        people,
        partial(mixes, count=mixed, resting=RESTING),
        seed=seed,
        motion=_MOVING,
        progress=lambda done: progress(len(groups) * of_sweep + done, total),
    )
    drawn = []
    for movement in MOVEMENTS:
        for how, samples, target in (
            ("swept", swept[movement.group], TARGET_SWEPT),
            ("mixed", random, TARGET_MIXED),
        ):
            truth, said = _pairs(samples, movement.group, movement.read)
            r = correlation(truth, said)
            rows.append(number_row(f"{movement.name}, {how}", "r", r, len(truth), target=target))
            if how == "swept":
                alone = [
                    correlation(*part) for part in zip(*_by_person(truth, said, len(people)), strict=True)
                ]
                mean = float(np.mean([value for value in alone if value is not None]))
                rows.append(number_row(f"{movement.name}, swept, within a person", "r", mean, len(people)))
            raw = correlation(*_pairs(samples, movement.group, None))
            details[f"{movement.name}, {how}, landmarker's own score"] = (
                None if raw is None else round(raw, 4)
            )
            if how == "mixed":
                title = f"{movement.name.capitalize()}, mixed with others"
                drawn.append(charts.against_truth(title, truth, said, unit="0 to 1"))
    for group, read in OTHERS.items():
        r = correlation(*_pairs(swept[group], group, read))
        note = "" if read else "The landmarker does not report it: its own score."
        rows.append(number_row(f"{group}, swept", "r", r, len(people) * _STEPS, note=note))
    return Section(
        "expression",
        "Expressions",
        f"{len(people)} people. Swept: one movement from 0 to 1, on a person who sits still. Mixed: two to "
        "five movements at once, a third of them uneven, head within 20 degrees, 0.5 to 1.2 m, eyes moving. "
        f"Each series begins with {RESTING} pictures of the resting face, five a second. Pearson's r over all "
        "people together.",
        tuple(rows),
        tuple(drawn),
        {"correlations": details, "not_reported": [name for name, read in OTHERS.items() if read is None]},
    )


def emotion_section(people: Sequence[int], seed: int, progress: Progress) -> Section:
    """Report the emotions told of drawn prototype expressions; no target: drawings prove nothing about people."""
    count = len(people) * (RESTING + 2 * len(EMFACS))
    samples = sample_expressions(
        people, _prototypes, seed=seed, motion=STILL, progress=lambda done: progress(done, count)
    )
    truth = [*(["neutral"] * RESTING), *(2 * list(EMFACS))] * len(people)
    judged = [k % (RESTING + 2 * len(EMFACS)) >= RESTING for k in range(len(truth))]
    with_network = _labels(samples, network=True)
    without = _labels(samples, network=False)
    classes = [*EMOTIONS, "unknown"]
    rows, details = [], {}
    true = [t for t, keep in zip(truth, judged, strict=True) if keep]
    for name, labels in (("movements and network", with_network), ("movements alone", without)):
        said = [s for s, keep in zip(labels, judged, strict=True) if keep]
        scores = f1_scores(true, said, EMOTIONS)
        answered = [s != "unknown" for s in said]
        right = [s == t for s, t in zip(said, true, strict=True) if s != "unknown"]
        note = "Drawn prototypes; this says nothing of real people."
        rows.append(
            number_row(
                f"macro F1, {name}", "", float(np.nanmean(list(scores.values()))), len(said), note=note
            )
        )
        rows.append(rate_row(f"right when a label is given, {name}", right))
        rows.append(rate_row(f"a label is given, {name}", answered))
        details[name] = {k: round(v, 3) for k, v in scores.items()}
    said = [s for s, keep in zip(with_network, judged, strict=True) if keep]
    return Section(
        "emotion",
        "Emotions",
        f"{len(true)} pictures of {len(people)} people who show EMFACS prototypes at 0.6 and at full strength. "
        "Rendered faces are drawn after the very textbook that the movements are weighed by: this shows that "
        "the parts fit together, not how people's faces would be read. That takes pictures labelled by people, "
        "such as RAF-DB or AffectNet, whose licences allow research only.",
        tuple(rows),
        (charts.matrix("Emotions, movements and network", true, said, classes),),
        {"f1": details},
    )


def _sweep(group: str, rng: np.random.Generator) -> Array:
    rows = sweep(group, _STEPS, RESTING)
    return np.concatenate([rows[:RESTING], rng.permutation(rows[RESTING:])])


def _prototypes(rng: np.random.Generator) -> Array:
    drawn = prototypes(rng)
    return np.concatenate([np.zeros((RESTING, drawn.shape[1])), drawn])


def _pairs(
    samples: ExpressionSamples, group: str, read: Callable[[Affect], float] | None
) -> tuple[Array, Array]:
    """Return what was shown and what was read, without the resting pictures of each series; NaN: no face."""
    indices = [INDEX[name] for name in GROUPS[group]]
    truth, said = [], []
    reader, before, nth = AffectReader(), None, 0
    for faces, person, shapes in zip(samples.images(), samples.person, samples.shapes, strict=True):
        if person != before:
            reader, before, nth = AffectReader(), person, 0
        affects = reader.update(faces)
        if (nth := nth + 1) <= RESTING:
            continue
        truth.append(float(shapes[indices].mean()))
        if not affects:
            said.append(math.nan)
        elif read is None:
            said.append(float(faces.faces[0].blendshapes[indices].mean()))
        else:
            said.append(read(affects[0]))
    return np.array(truth), np.array(said)


def _by_person(truth: Array, said: Array, people: int) -> tuple[Array, Array]:
    """Return what was shown and read person by person, shape (people, pictures) each."""
    return truth.reshape(people, -1), said.reshape(people, -1)


def _labels(samples: ExpressionSamples, *, network: bool) -> list[str]:
    """Return the label of each picture after half a second of looking at it."""
    said = []
    config = EmotionConfig(purpose="research", network=network)
    estimator = EmotionEstimator(config)
    try:
        for faces, picture in zip(samples.images(hz=2.0), samples.pictures, strict=True):
            emotions: tuple[Emotion, ...] = ()
            for step in range(6):  # the picture is looked at for half a second, ten times a second
                seen = type(faces)(faces.stamp_s + 0.08 * step, faces.image_size, faces.faces)
                emotions = estimator.update(seen, lambda face, picture=picture: picture)  # type: ignore[misc]
            said.append((emotions[0].label or "unknown") if emotions else "unknown")
    finally:
        estimator.close()
    return said
