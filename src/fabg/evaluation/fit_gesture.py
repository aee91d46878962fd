"""Fit the net that reads a hand's shape (`fabg.perception.gesture.ShapeNet`) to rendered hands.

python -m fabg.evaluation.fit_gesture --people 80 --json src/fabg/perception/data/gesture.json

People below 1000 are for fitting; those from 1000 on are kept for reports.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError
from fabg.evaluation.hand_pictures import GESTURES, picture_of, scene_of
from fabg.perception.gesture import N_FEATURES, N_OUTPUTS, SHAPE_OF, THUMB_MCP, THUMB_TIP, Shape, features
from fabg.perception.hand_geometry import towards
from fabg.perception.hand_landmark import HandNets, Region, region_of_joints
from fabg.perception.pose import Camera
from fabg.social.avatar import FIRST_REPORT_SEED, Person, Studio

_HIDDEN = 64
_BATCH = 128
_DIRECTION_WEIGHT = 2.0
_N_POINTS = 21


@dataclass(frozen=True)
class Examples:
    """What the net is fitted to, one row a hand.

    Attributes
    ----------
    features
        See `fabg.perception.gesture.features`, shape (n, N_FEATURES).
    shapes
        `Shape` of each, shape (n,).
    index, thumb
        True directions as the net tells them (the hand turned to point up), shape (n, 3).
    """

    features: NDArray[np.float64]
    shapes: NDArray[np.int64]
    index: NDArray[np.float64]
    thumb: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.features)
        expected = {"features": (n, N_FEATURES), "shapes": (n,), "index": (n, 3), "thumb": (n, 3)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ConfigError(f"{name} has shape {getattr(self, name).shape}: expected {shape}")

    def mirrored(self) -> Examples:
        """Return the other hand's examples: the same in a mirror."""
        features = self.features.copy()
        features[:, 0 : 2 * _N_POINTS : 2] *= -1.0
        features[:, 2 * _N_POINTS : 5 * _N_POINTS : 3] *= -1.0
        flip = np.array([-1.0, 1.0, 1.0])
        return Examples(features, self.shapes, self.index * flip, self.thumb * flip)

    def joined(self, other: Examples) -> Examples:
        """Return both."""
        pairs = ((getattr(self, n), getattr(other, n)) for n in ("features", "shapes", "index", "thumb"))
        return Examples(*(np.concatenate(pair) for pair in pairs))


def fit(
    examples: Examples, *, epochs: int = 120, noise: float = 0.12, decay: float = 2e-4, seed: int = 0
) -> dict[str, object]:
    """Return the fitted net as `gesture.json` holds it.

    Cross-entropy for the shape, squared error for both directions, Adam (Kingma, Ba: "Adam", ICLR
    2015). Each hand also counts as its mirror image, and every feature is shaken in every round,
    because joints of real hands are read less evenly than those of rendered ones.
    """
    rng = np.random.default_rng(seed)
    both = examples.joined(examples.mirrored())
    mean, scale = both.features.mean(axis=0), both.features.std(axis=0) + 0.02
    inputs = (both.features - mean) / scale
    goals = np.concatenate([both.index, both.thumb], axis=1)
    classes = np.eye(len(Shape))[both.shapes]
    counts = np.maximum(classes.sum(axis=0), 1.0)
    weight = (classes / counts).sum(axis=1) * len(classes) / len(Shape)  # every shape counts alike
    sizes = (N_FEATURES, _HIDDEN, N_OUTPUTS)
    values = []
    for below, above in itertools.pairwise(sizes):
        values += [rng.normal(0.0, np.sqrt(2.0 / below), (below, above)), np.zeros(above)]
    first, second = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    steps = max(epochs * len(inputs) // _BATCH, 1)
    for step in range(1, steps + 1):
        rows = rng.integers(0, len(inputs), _BATCH)
        x = inputs[rows] + rng.normal(0.0, noise, (_BATCH, N_FEATURES)) / scale
        hidden = np.maximum(x @ values[0] + values[1], 0.0)
        outputs = hidden @ values[2] + values[3]
        likely = np.exp(outputs[:, : len(Shape)] - outputs[:, : len(Shape)].max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        slope = np.zeros_like(outputs)
        slope[:, : len(Shape)] = (likely - classes[rows]) * weight[rows, None]
        slope[:, len(Shape) :] = _DIRECTION_WEIGHT * (outputs[:, len(Shape) :] - goals[rows])
        slope /= _BATCH
        below_slope = (slope @ values[2].T) * (hidden > 0.0)
        slopes = [x.T @ below_slope, below_slope.sum(axis=0), hidden.T @ slope, slope.sum(axis=0)]
        rate = 3e-3 * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        for i in range(len(values)):
            gradient = slopes[i] + (decay * values[i] if values[i].ndim == 2 else 0.0)
            first[i] += 0.1 * (gradient - first[i])
            second[i] += 0.001 * (gradient**2 - second[i])
            change = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
            values[i] -= rate * change
    layers = [
        {"weights": np.round(values[k], 5).tolist(), "bias": np.round(values[k + 1], 5).tolist()}
        for k in (0, 2)
    ]
    return {"mean": np.round(mean, 6).tolist(), "scale": np.round(scale, 6).tolist(), "layers": layers}


def collect(
    people: Iterable[int], per_gesture: int, *, seed: int, progress: Callable[[int, int], None] | None = None
) -> Examples:
    """Render people's hands and return what the landmark net reads beside the truth.

    Each hand is read where a tracker would read it that is a little off, and again where it was found.
    The thumb of a hand that gives no thumb's up or down may point anywhere, so its direction is told as
    it is drawn.

    Raises
    ------
    ConfigError
        For a person who is kept for reports.
    """
    people = list(people)
    if people and max(people) >= FIRST_REPORT_SEED:
        raise ConfigError(
            f"person {max(people)} is kept for reports: fit to people below {FIRST_REPORT_SEED}"
        )
    camera = Camera.from_fov(640, 480, 60.0)
    kinds = [g for g in GESTURES for _ in range(3 if g == 0 else 1)]
    rows: list[tuple[NDArray[np.float64], int, NDArray[np.float64], NDArray[np.float64]]] = []
    nets = HandNets()
    with Studio(camera) as studio:
        for n, number in enumerate(people):
            person, rng = Person.random(number), np.random.default_rng([seed, number])
            for i in range(per_gesture * len(kinds)):
                gesture = kinds[i % len(kinds)]
                palm = bool(rng.random() < 0.5)
                scene = scene_of(rng, gesture, studio, palm=palm, away=not palm)
                picture, _ = picture_of(rng, person, scene, studio, with_face=bool(rng.random() < 0.3))
                truth = picture.hands[0]
                region = _off(rng, region_of_joints(truth.joints_px))
                for _ in range(2):
                    reading = nets.read(picture.image, region)
                    if reading is None or reading.presence < 0.5:
                        break
                    region = region_of_joints(reading.landmarks_px)
                    values, turn = features(reading)
                    to_hand = towards(camera, reading.region.x, reading.region.y).T
                    thumb = truth.joints_m[THUMB_TIP] - truth.joints_m[THUMB_MCP]
                    pair = [to_hand @ truth.pointing, to_hand @ (thumb / np.linalg.norm(thumb))]
                    index, thumb = (np.append(turn @ v[:2], v[2]) for v in pair)
                    shape = Shape.THUMB if scene.pose == "thumbs_down" else SHAPE_OF[gesture]
                    rows.append((values, int(shape), index, thumb))
            if progress is not None:
                progress(n + 1, len(people))
    nets.close()
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Examples(*columns)


def _off(rng: np.random.Generator, region: Region) -> Region:
    x, y = rng.normal(0.0, 0.04 * region.side, 2)
    side = region.side * float(np.exp(rng.normal(0.0, 0.08)))
    return Region(region.x + float(x), region.y + float(y), side, region.angle + float(rng.normal(0.0, 0.12)))


def main() -> int:
    """Fit from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=80, help="how many, from person 0 on")
    parser.add_argument("--per-gesture", type=int, default=3, help="hands of each person and gesture")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True, help="where the fitted net goes")
    arguments = parser.parse_args()
    tell = lambda done, total: print(f"\r{done} of {total} people", end="", file=sys.stderr)  # noqa: E731
    examples = collect(range(arguments.people), arguments.per_gesture, seed=arguments.seed, progress=tell)
    print(f"\n{len(examples.shapes)} readings", file=sys.stderr)
    arguments.json.write_text(json.dumps(fit(examples), separators=(",", ":")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
