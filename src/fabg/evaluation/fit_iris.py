"""Train the networks of `fabg.perception.convnet` on rendered eyes; part of `fabg.evaluation.fit_face`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.evaluation.face_samples import FaceSamples
from fabg.expression import INDEX
from fabg.perception.convnet import (
    GRID,
    HEIGHT,
    LOOK_FLAT,
    LOOK_HIDDEN,
    LOOK_LAYERS,
    LOOK_SHAPES,
    MARK_LAYERS,
    MARK_SHAPES,
    WIDTH,
    Array32,
    Convolution,
    LookNet,
    MarkNet,
    Weights,
    convolved,
    normalised,
    softmax,
)
from fabg.perception.iris import SPAN, eye_frames, moved_irises

Array = NDArray[np.float64]
Step = Callable[[Weights, Array32, Array32, np.random.Generator], tuple[float, list[Array32]]]

BATCH = 48
_SHUT = 0.6
"""Eyes closed further than this show nothing to learn from."""
_KEPT = 0.85
"""Share of a dense layer's inputs that is kept in training."""


@dataclass(frozen=True)
class Eyes:
    """Pictures of single eyes in double detail (n, 64, 96), and what is true of them.

    Attributes
    ----------
    marks
        Middles of the irises, px of single detail from the middle of the picture, shape (n, 2).
    looks
        x and y of unit vectors along the gaze in the axes of the picture, as seen along the ray to the
        head, shape (n, 2).
    closed
        How far each is closed, shape (n,).
    person
        Whose, shape (n,).
    """

    pictures: NDArray[np.uint8]
    marks: Array
    looks: Array
    closed: Array
    person: NDArray[np.int64]


def eyes_of(samples: FaceSamples) -> Eyes:
    """Return the eyes of samples with faces: right, left, right, left ..."""
    marks, looks = [], []
    for i, landmarks in enumerate(samples.landmarks):
        away = samples.pose[i, :3, 3] / np.linalg.norm(samples.pose[i, :3, 3])
        seen = _towards(away).T @ samples.gaze[i]
        for eye, iris in zip(eye_frames(landmarks), samples.irises_px[i], strict=True):
            turn = eye[:, :2]
            marks.append(np.linalg.solve(turn, iris - eye[:, 2]) - [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
            looks.append(turn.T @ seen[:2] / np.linalg.norm(turn[:, 0]))
    closed = samples.shapes[:, [INDEX["eyeBlinkRight"], INDEX["eyeBlinkLeft"]]]
    return Eyes(
        samples.eyes.reshape(-1, 2 * HEIGHT, 2 * WIDTH),
        np.array(marks),
        np.array(looks),
        closed.reshape(-1),
        np.repeat(samples.person, 2),
    )


def train_marks(eyes: Eyes, rounds: int, seed: int, progress: Callable[[str], None]) -> MarkNet:
    """Return a network that finds the irises of these eyes."""
    rng = np.random.default_rng([seed, 0x1815])
    weights = _first(rng, MARK_SHAPES)
    _train(weights, _mark_step, eyes, rounds, 3e-3, rng, lambda text: progress(f"irises: {text} px"))
    return MarkNet(weights)


def train_looks(eyes: Eyes, rounds: int, seed: int, progress: Callable[[str], None]) -> LookNet:
    """Return a network that tells where these eyes look."""
    rng = np.random.default_rng([seed, 0x100C])
    weights = _first(rng, LOOK_SHAPES)
    weights[-1][0][:] *= 0.2
    _train(weights, _look_step, eyes, rounds, 2e-3, rng, lambda text: progress(f"looks: {text}"), decay=0.02)
    return LookNet(weights)


def mark_error(net: MarkNet, eyes: Eyes) -> float:
    """Return the mean distance between true and found irises of open eyes, in % of the eye's width."""
    open_ = eyes.closed < 0.3
    found = net(normalised(single_detail(eyes.pictures[open_])))
    return float(100.0 * np.linalg.norm(found - eyes.marks[open_], axis=1).mean() * SPAN / WIDTH)


def look_error(net: LookNet, eyes: Eyes) -> float:
    """Return the mean error of the line of sight of single open eyes, degrees (of small angles)."""
    open_ = eyes.closed < 0.3
    found = net(normalised(single_detail(eyes.pictures[open_])))
    return float(np.degrees(np.linalg.norm(found - eyes.looks[open_], axis=1).mean()))


def with_irises(samples: FaceSamples, mark: MarkNet, look: LookNet) -> FaceSamples:
    """Return samples with faces whose irises are as the networks see them."""
    pictures = normalised(single_detail(samples.eyes.reshape(-1, 2 * HEIGHT, 2 * WIDTH)))
    marks, looks = mark(pictures).reshape(-1, 2, 2), look(pictures).reshape(-1, 2, 2)
    faces = tuple(
        None if face is None else replace(face, landmarks=_moved(face.landmarks, marks[i], looks[i]))
        for i, face in enumerate(samples.faces)
    )
    return replace(samples, faces=faces)


def as_document(weights: Weights) -> dict[str, Any]:
    """Return the weights by name, with 3 significant digits, one row an input."""
    values: dict[str, Any] = {}
    for number, (kernel, offset) in enumerate(weights, start=1):
        values[f"kernel_{number}"] = [[float(f"{v:.3g}") for v in row] for row in kernel]
        values[f"offset_{number}"] = [float(f"{v:.3g}") for v in offset]
    return values


def single_detail(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures in double detail (n, 64, 96) in single detail (n, 32, 48)."""
    wide = pictures.astype(np.uint16)
    total = wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]
    return np.asarray((total + 2) // 4, dtype=np.uint8)


def _moved(landmarks: Array, marks: Array32, looks: Array32) -> Array:
    return moved_irises(landmarks, marks, looks, eye_frames(landmarks))


def _towards(ray: Array) -> Array:
    x, y, z = ray
    cross = np.array([[0.0, 0.0, x], [0.0, 0.0, y], [-x, -y, 0.0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1.0 + z))


def _first(rng: np.random.Generator, shapes: Sequence[tuple[int, int]]) -> Weights:
    return [
        (
            rng.normal(0.0, math.sqrt(2.0 / inputs), (inputs, outputs)).astype(np.float32),
            np.zeros(outputs, "f4"),
        )
        for inputs, outputs in shapes
    ]


def _train(
    weights: Weights,
    step: Step,
    eyes: Eyes,
    rounds: int,
    rate: float,
    rng: np.random.Generator,
    progress: Callable[[str], None],
    decay: float = 0.0,
) -> None:
    """Change weights in place: Adam on eyes that are shifted, turned, scaled, darker, noisier each time."""
    targets = eyes.marks if step is _mark_step else eyes.looks
    optimiser = _Adam(weights)
    rows = np.flatnonzero(eyes.closed < _SHUT)
    batches = len(rows) // BATCH
    for number in range(rounds):
        rng.shuffle(rows)
        total = 0.0
        for batch in range(batches):
            chosen = rows[batch * BATCH : (batch + 1) * BATCH]
            pictures, turns, shifts = _varied(rng, eyes.pictures[chosen])
            if step is _mark_step:
                wanted = np.einsum("nij,nj->ni", np.linalg.inv(turns), targets[chosen]) + shifts
            else:
                scale = np.sqrt(np.linalg.det(turns))[:, None]
                wanted = np.einsum("nji,nj->ni", turns, targets[chosen]) / scale
            loss, gradients = step(weights, pictures, wanted.astype(np.float32), rng)
            total += loss
            done = (number * batches + batch) / (rounds * batches)
            now = rate * 0.5 * (1.0 + math.cos(math.pi * done))
            optimiser.step(gradients, now)
            for layer in weights:
                np.multiply(layer[0], 1.0 - now * decay, out=layer[0])
        progress(f"{number + 1} of {rounds} rounds, off by {total / max(batches, 1):.3f}")


def _varied(rng: np.random.Generator, pictures: NDArray[np.uint8]) -> tuple[Array32, Array, Array]:
    """Return pictures in single detail varied at random, with turns (n, 2, 2) and shifts (n, 2).

    A place p of the old picture (from its middle) is then at ``inverse(turn) p + shift``.
    """
    count, middle = len(pictures), np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    angles, scales = rng.normal(0.0, 0.06, count), np.exp(rng.normal(0.0, 0.07, count))
    shifts = rng.uniform(-2.5, 2.5, (count, 2))
    cos, sin = scales * np.cos(angles), scales * np.sin(angles)
    turns = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    varied = np.empty((count, HEIGHT, WIDTH), dtype=np.uint8)
    for i, picture in enumerate(pictures):
        offset = 2.0 * (middle - turns[i] @ (middle + shifts[i])) + 0.5
        varied[i] = cv2.warpAffine(
            picture,
            np.column_stack([2.0 * turns[i], offset]),
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    one = (count, 1, 1)
    values = normalised(varied) * np.exp(rng.normal(0.0, 0.2, one)) + rng.normal(0.0, 0.1, one)
    values += rng.normal(0.0, 1.0, values.shape) * rng.uniform(0.0, 0.1, one)
    return values.astype(np.float32), turns, shifts


def _mark_step(
    weights: Weights, pictures: Array32, wanted: Array32, rng: np.random.Generator
) -> tuple[float, list[Array32]]:
    """Return the mean error, px, and the gradient of Huber's loss for each kernel and offset."""
    del rng
    layers = convolved(pictures, MARK_LAYERS, weights, last_plain=True)
    heat = layers[-1][1]
    shares = softmax(heat.reshape(len(heat), -1))
    error = shares @ GRID - wanted
    pull = (np.clip(error, -1.0, 1.0) / len(error)) @ GRID.T
    back = shares * (pull - (shares * pull).sum(axis=1, keepdims=True))
    return float(np.abs(error).mean()), _back(back.reshape(heat.shape), layers, MARK_LAYERS, weights)


def _look_step(
    weights: Weights, pictures: Array32, wanted: Array32, rng: np.random.Generator
) -> tuple[float, list[Array32]]:
    """Return the mean error and the gradient of Huber's loss for each kernel and offset, with drop-out."""
    layers = convolved(pictures, LOOK_LAYERS, weights, last_plain=False)
    (kernel, offset), (last, bias) = weights[-2:]
    count, shape = len(pictures), layers[-1][1].shape
    kept = [(rng.random((count, n)) < _KEPT).astype(np.float32) / _KEPT for n in (LOOK_FLAT, LOOK_HIDDEN)]
    flat = layers[-1][1].reshape(count, -1) * kept[0]
    hidden = np.maximum(flat @ kernel + offset, 0.0)
    dropped = hidden * kept[1]
    error = dropped @ last + bias - wanted
    slope = (np.clip(10.0 * error, -1.0, 1.0) / count).astype(np.float32)
    back = (slope @ last.T) * kept[1] * (hidden > 0)
    below = ((back @ kernel.T) * kept[0]).reshape(shape) * (layers[-1][1] > 0)
    dense = [flat.T @ back, back.sum(axis=0), dropped.T @ slope, slope.sum(axis=0)]
    return float(np.abs(error).mean()), [*_back(below, layers, LOOK_LAYERS, weights), *dense]


def _back(
    gradient: Array32,
    layers: list[tuple[Array32, Array32]],
    kinds: Sequence[Convolution],
    weights: Weights,
) -> list[Array32]:
    """Return the gradients of all kernels and offsets from that of the last layer's result."""
    gradients: list[Array32] = []
    for number in reversed(range(len(kinds))):
        kind, (seen, _) = kinds[number], layers[number]
        flat = gradient.reshape(-1, kind.out)
        gradients = [seen.reshape(len(flat), -1).T @ flat, flat.sum(axis=0), *gradients]
        if number:
            before = layers[number - 1][1]
            spread = _spread(flat @ weights[number][0].T, gradient.shape, before.shape, kind)
            gradient = spread * (before > 0)
    return gradients


def _spread(flat: Array32, shape: tuple[int, ...], before: tuple[int, ...], kind: Convolution) -> Array32:
    """Return the gradient of a layer's input from that of its columns: the reverse of `columns`."""
    n, h, w = shape[:3]
    side, stride, edge = kind.side, kind.stride, kind.side // 2
    parts = flat.reshape(n, h, w, side, side, before[3])
    padded = np.zeros((n, before[1] + 2 * edge, before[2] + 2 * edge, before[3]), dtype=np.float32)
    for i in range(side):
        for j in range(side):
            padded[:, i : i + stride * h : stride, j : j + stride * w : stride] += parts[:, :, :, i, j]
    return padded[:, edge : edge + before[1], edge : edge + before[2]]


class _Adam:
    """Adam (Kingma, Ba 2015) on the weights, in place."""

    def __init__(self, weights: Weights) -> None:
        self._values = [values for pair in weights for values in pair]
        self._mean = [np.zeros_like(v) for v in self._values]
        self._square = [np.zeros_like(v) for v in self._values]
        self._count = 0

    def step(self, gradients: list[Array32], rate: float) -> None:
        self._count += 1
        now = rate * min(1.0, self._count / 50)
        for i, gradient in enumerate(gradients):
            self._mean[i] += 0.1 * (gradient - self._mean[i])
            self._square[i] += 0.001 * (gradient * gradient - self._square[i])
            unbiased = self._mean[i] / (1.0 - 0.9**self._count)
            root = np.sqrt(self._square[i] / (1.0 - 0.999**self._count))
            self._values[i] -= now * unbiased / (root + 1e-8)
