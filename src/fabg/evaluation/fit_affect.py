"""Fit the read-outs of `fabg.perception.affect` on rendered people (seeds below 1000).

    python -m fabg.evaluation.fit_affect --people 150 --out src/fabg/perception/data/affect.json

Ridge regression from the features of a face to the shapes that were shown, both against each person's own
mean: a model shall tell how a face changes, not whose it is. Both sides of a face, as the left side of the
face and of its mirror image, are samples of one model. The ridge's weight is chosen by cross-validation
over people: no person is on both sides of a split.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg.evaluation.expressions import (
    MIXED,
    ExpressionSamples,
    Motion,
    mixes,
    sample_expressions,
    scattered,
    shown,
)
from fabg.expression import INDEX, N_SHAPES
from fabg.perception.affect import RIGID, UNITS, features, place
from fabg.perception.types import Face

Array = NDArray[np.float64]

SEED = 7
LAMBDAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
FOLDS = 5
MOTION = Motion(distance_m=(0.4, 1.6), yaw_deg=30.0, pitch_deg=20.0, roll_deg=15.0)


def plan(rng: np.random.Generator) -> Array:
    """Return what one person shows: resting faces, single movements, mixes of several; shape (24, 52)."""
    single = [shown(**{str(name): float(rng.uniform())}) for name in rng.choice(MIXED, 6)]
    return np.concatenate([np.zeros((3, N_SHAPES)), single, mixes(rng, 7, (2, 5)), scattered(rng, 8)])


def mean_template(faces: list[Face]) -> Array:
    """Return the mean place of the `RIGID` points, shape (n, 3), in half distances of the outer eye corners."""
    first = faces[0].landmarks[list(RIGID)] * (1.0, -1.0, -1.0)
    template = _normalised(first)
    for _ in range(4):
        placed = [place(face.landmarks, template) for face in faces]
        template = np.mean([p[0][list(RIGID)] for p in placed if p is not None], axis=0)
        template = _symmetric(_upright(_normalised(template)))
    return template


def _normalised(points: Array) -> Array:
    # RIGID begins with the right eye's outer and inner corner, then the left eye's inner and outer one.
    centred = points - points[[0, 3]].mean(axis=0)
    return np.asarray(centred / (np.linalg.norm(points[3] - points[0]) / 2.0))


def _upright(points: Array) -> Array:
    """Turn the template so that x runs along the eyes, and bridge and forehead lie in the median plane."""
    x = points[3] - points[0]
    x /= np.linalg.norm(x)
    up = points[RIGID.index(10)] - points[RIGID.index(195)]
    y = up - (up @ x) * x
    y /= np.linalg.norm(y)
    return np.asarray(points @ np.stack([x, y, np.cross(x, y)]).T)


def _symmetric(points: Array) -> Array:
    """Return the mean of the template and its mirror image, in which points change places with their twins."""
    mirrored = points * (-1.0, 1.0, 1.0)
    twins = np.linalg.norm(points[:, None] - mirrored[None], axis=2).argmin(axis=1)
    return np.asarray((points + mirrored[twins]) / 2.0)


def table(samples: ExpressionSamples, template: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return features (2n, f), targets (2n, units) and persons (2n,): left sides, then mirrored right sides."""
    sides = np.array([[INDEX[shape] for shape in unit.shapes] for unit in UNITS])
    rows, targets, persons = [], [], []
    for face, truth, person in zip(samples.faces, samples.shapes, samples.person, strict=True):
        found = None if face is None else features(face, template)
        if found is not None:
            rows.append(found)
            targets.append(truth[sides].T)
            persons.append(person)
    return np.concatenate(rows), np.concatenate(targets), np.repeat(persons, 2)


def within(values: Array, persons: NDArray[np.int64]) -> Array:
    """Return values (2n, m) against the mean of each person's side."""
    sides = 2 * persons + np.arange(len(persons)) % 2
    out = np.empty_like(values)
    for side in np.unique(sides):
        rows = sides == side
        out[rows] = values[rows] - values[rows].mean(axis=0)
    return out


def ridge(x: Array, y: Array, weight: float) -> Array:
    """Return weights (f, units) of a ridge regression of `y` on standardised `x`, both of mean 0."""
    spread = x.std(axis=0)
    scaled = np.divide(x, spread, out=np.zeros_like(x), where=spread > 1e-9)
    solved = np.linalg.solve(scaled.T @ scaled + weight * np.eye(x.shape[1]), scaled.T @ y)
    return np.divide(solved, spread[:, None], out=np.zeros_like(solved), where=spread[:, None] > 1e-9)


def cross_validated(x: Array, y: Array, persons: NDArray[np.int64], weight: float) -> Array:
    """Return predictions (2n, units), each made without the person predicted."""
    fold = np.unique(persons, return_inverse=True)[1] % FOLDS
    found = np.zeros_like(y)
    for k in range(FOLDS):
        found[fold == k] = x[fold == k] @ ridge(x[fold != k], y[fold != k], weight)
    return found


def main() -> int:
    """Render, fit, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=150, help="seeds 0 up to here, at most 1000")
    parser.add_argument("--out", type=Path, required=True, help="where to write the models (JSON)")
    options = parser.parse_args()
    if not 10 <= options.people <= 1000:
        parser.error(f"--people is {options.people}: expected 10 to 1000")

    def progress(done: int) -> None:
        if done % 100 == 0:
            print(f"\r{done} of {24 * options.people} pictures", end="", file=sys.stderr, flush=True)

    samples = sample_expressions(range(options.people), plan, seed=SEED, motion=MOTION, progress=progress)
    write(samples, options.out)
    return 0


def write(samples: ExpressionSamples, out: Path) -> None:
    """Fit the models to samples, print how well they predict unseen people, and write them."""
    template = mean_template([face for face in samples.faces if face is not None])
    raw, shown_, persons = table(samples, template)
    x, y = within(raw, persons), within(shown_, persons)
    errors = {weight: ((cross_validated(x, y, persons, weight) - y) ** 2).mean() for weight in LAMBDAS}
    best = min(errors, key=lambda weight: errors[weight])
    found = cross_validated(x, y, persons, best)
    print(f"\n{len(x) // 2} faces of {len(np.unique(persons))} people, {x.shape[1]} features, ridge {best:g}")
    for i, unit in enumerate(UNITS):
        plain = x[:, INDEX[unit.shapes[0]]]
        r, r_plain = (np.corrcoef(v, y[:, i])[0, 1] if v.std() > 0 else np.nan for v in (found[:, i], plain))
        print(f"AU{unit.action_unit:<3} {unit.name:16} r {r:.2f}  blendshape alone {r_plain:.2f}")
    people = len(np.unique(persons))
    made = {
        "command": f"python -m fabg.evaluation.fit_affect --people {people}",
        "pictures": len(x) // 2,
        "ridge": best,
    }
    arrays = {"template": template.round(4), "weights": _rounded(ridge(x, y, best))}
    text = {"made": made} | {name: values.tolist() for name, values in arrays.items()}
    out.write_text(json.dumps(text) + "\n")


def _rounded(values: Array) -> Array:
    return np.array([[float(f"{v:.4g}") for v in row] for row in values])


if __name__ == "__main__":
    sys.exit(main())
