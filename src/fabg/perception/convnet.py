"""Two small convolutional networks that look at pictures of eyes, in numpy.

Weights come from ``python -m fabg.evaluation.fit_face``. Both take normalised grey pictures (n, HEIGHT,
WIDTH) and begin with convolutions (ReLU between them); `MarkNet` ends with the mean place under a
softmax over the picture, `LookNet` with two dense layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fabg.errors import ModelFileError

Array32 = NDArray[np.float32]
Weights = list[tuple[Array32, Array32]]
"""Kernel (inputs, outputs) and offset (outputs,) of each layer."""

WIDTH, HEIGHT = 48, 32
"""Size of the picture of an eye, px."""


@dataclass(frozen=True)
class Convolution:
    """Side of the kernel, channels in, channels out, stride."""

    side: int
    channels: int
    out: int
    stride: int


MARK_LAYERS = (
    Convolution(5, 1, 8, 2),
    Convolution(5, 8, 12, 1),
    Convolution(5, 12, 12, 1),
    Convolution(3, 12, 1, 1),
)
LOOK_LAYERS = (Convolution(5, 1, 8, 2), Convolution(3, 8, 16, 2), Convolution(3, 16, 24, 2))
LOOK_HIDDEN = 48
LOOK_FLAT = 4 * 6 * 24

MARK_SHAPES = tuple((c.side**2 * c.channels, c.out) for c in MARK_LAYERS)
LOOK_SHAPES = (
    *((c.side**2 * c.channels, c.out) for c in LOOK_LAYERS), (LOOK_FLAT, LOOK_HIDDEN), (LOOK_HIDDEN, 2),
)  # fmt: skip

_X, _Y = np.meshgrid(np.arange(0, WIDTH, 2) - (WIDTH - 1) / 2, np.arange(0, HEIGHT, 2) - (HEIGHT - 1) / 2)
GRID: Array32 = np.column_stack([_X.ravel(), _Y.ravel()]).astype(np.float32)
"""Place of each output of the marking network against the middle of the picture, px, shape (h * w, 2)."""


def normalised(pictures: NDArray[np.uint8]) -> Array32:
    """Return pictures (n, HEIGHT, WIDTH) with mean 0 and spread 1 each; flat ones stay near 0."""
    values = pictures.astype(np.float32)
    mean, spread = values.mean(axis=(1, 2), keepdims=True), values.std(axis=(1, 2), keepdims=True)
    return np.asarray((values - mean) / (spread + 6.0))


def columns(values: Array32, side: int, stride: int) -> Array32:
    """Return what each kernel position sees of values (n, h, w, c), shape (n, h', w', side * side * c)."""
    edge = side // 2
    padded = np.pad(values, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    windows = sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    return np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)).reshape(*windows.shape[:3], -1)


def softmax(values: Array32) -> Array32:
    """Return shares (n, m) of values (n, m)."""
    grown = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def convolved(
    pictures: Array32, layers: Sequence[Convolution], weights: Weights, *, last_plain: bool
) -> list[tuple[Array32, Array32]]:
    """Return what each layer saw (its columns) and what it made of it; the last one may stay without ReLU."""
    values, found = pictures[..., None], []
    for number, layer in enumerate(layers):
        kernel, offset = weights[number]
        seen = columns(values, layer.side, layer.stride)
        values = seen @ kernel + offset
        if not (last_plain and number == len(layers) - 1):
            values = np.maximum(values, 0.0)
        found.append((seen, values))
    return found


class MarkNet:
    """Marks one place in each picture."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def __call__(self, pictures: Array32) -> Array32:
        """Return the marks, px from the middle of the pictures, shape (n, 2)."""
        _, heat = convolved(pictures, MARK_LAYERS, self.weights, last_plain=True)[-1]
        return softmax(heat.reshape(len(heat), -1)) @ GRID


class LookNet:
    """Tells two numbers of each picture."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def __call__(self, pictures: Array32) -> Array32:
        """Return the numbers, shape (n, 2)."""
        _, seen = convolved(pictures, LOOK_LAYERS, self.weights, last_plain=False)[-1]
        (kernel, offset), (last, bias) = self.weights[-2:]
        hidden = np.maximum(seen.reshape(len(seen), -1) @ kernel + offset, 0.0)
        return np.asarray(hidden @ last + bias)


def weights_from_json(document: dict[str, Any], shapes: Sequence[tuple[int, int]]) -> Weights:
    """Return the weights that a document holds as ``kernel_1``, ``offset_1``, ...

    Raises
    ------
    ModelFileError
        When something is missing, its shape does not fit, or it is not finite.
    """
    weights = []
    try:
        for number, (inputs, outputs) in enumerate(shapes, start=1):
            kernel = np.array(document[f"kernel_{number}"], dtype=np.float32)
            offset = np.array(document[f"offset_{number}"], dtype=np.float32)
            weights.append((kernel.reshape(inputs, outputs), offset.reshape(outputs)))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"a network for the eyes is damaged ({error!r}): install fabg again") from error
    if not all(np.isfinite(values).all() for pair in weights for values in pair):
        raise ModelFileError("a network for the eyes holds NaN or infinity: install fabg again")
    return weights
