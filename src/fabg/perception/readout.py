"""A fitted read-out: a polynomial of the second degree in the principal components of many numbers.

Its coefficients lie in JSON files beside this module, with how they were made; see
`fabg.evaluation.fit_face`.

An input unlike all those of the fit is no ground to extrapolate from: components are limited to what the
fit has seen, results to their own limits, and a trust tells how far the input lies from the fit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ModelFileError

Array = NDArray[np.float64]

DATA = Path(__file__).parent / "data"

_COMPONENT_LIMIT = 3.0


@dataclass(frozen=True)
class Readout:
    """A polynomial of the second degree in principal components and context.

    Attributes
    ----------
    mean, basis
        Of the input, shapes (d,) and (k, d); a component is ``basis @ (input - mean)`` and has spread 1.
    context_mean, context_scale
        Of the context, shape (4,) each.
    crossed
        How many of the components take part in products; the context always does.
    weights
        Of the features, shape (features, outputs).
    limits
        Largest absolute value of each output, shape (outputs,).
    near, far
        Mean square of the components up to which a face is like those of the fit, and from which on it
        is nothing like them.
    """

    mean: Array
    basis: Array
    context_mean: Array
    context_scale: Array
    crossed: int
    weights: Array
    limits: Array
    near: float
    far: float

    def components(self, inputs: Array) -> Array:
        """Return the principal components of inputs (..., d), shape (..., k)."""
        return np.asarray((inputs - self.mean) @ self.basis.T)

    def features(self, components: Array, contexts: Array) -> Array:
        """Return 1, the components, the context, and the products of the first of them."""
        components = np.clip(components, -_COMPONENT_LIMIT, _COMPONENT_LIMIT)
        contexts = np.clip(
            (contexts - self.context_mean) / self.context_scale, -_COMPONENT_LIMIT, _COMPONENT_LIMIT
        )
        crossing = np.concatenate([components[..., : self.crossed], contexts], axis=-1)
        i, j = np.triu_indices(crossing.shape[-1])
        return np.concatenate(
            [
                np.ones((*components.shape[:-1], 1)),
                components,
                contexts,
                crossing[..., i] * crossing[..., j],
            ],
            axis=-1,
        )

    def __call__(self, inputs: Array, contexts: Array) -> tuple[Array, Array]:
        """Return outputs (..., m) and trust (...,), 0 to 1: 1 for a face like those of the fit."""
        components = self.components(inputs)
        outputs = self.features(components, contexts) @ self.weights
        distance = np.square(components).mean(axis=-1)
        trust = np.clip((self.far - distance) / (self.far - self.near), 0.0, 1.0)
        return np.clip(outputs, -self.limits, self.limits), trust


def readout_from_json(document: dict[str, Any]) -> Readout:
    """Return the read-out that a document describes (see `Readout`).

    Raises
    ------
    ModelFileError
        When something is missing or its shape does not fit.
    """
    try:
        arrays = {
            name: np.array(document[name], dtype=np.float64)
            for name in ("mean", "basis", "context_mean", "context_scale", "weights", "limits")
        }
        readout = Readout(
            **arrays,
            crossed=int(document["crossed"]),
            near=float(document["near"]),
            far=float(document["far"]),
        )
        probe, _ = readout(readout.mean, readout.context_mean)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelFileError(f"the fitted read-out is damaged ({error!r}): install fabg again") from error
    if not np.isfinite(probe).all():
        raise ModelFileError("the fitted read-out holds NaN or infinity: install fabg again")
    return readout


def load_document(name: str) -> dict[str, Any]:
    """Return one of the JSON documents in `DATA`.

    Raises
    ------
    ModelFileError
        When it is missing or not readable.
    """
    path = DATA / name
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"fitted read-out {path} cannot be read ({error}): install fabg again, or make it with "
            "`python -m fabg.evaluation.fit_face`"
        ) from error
    if not isinstance(document, dict):
        raise ModelFileError(f"fitted read-out {path} is no JSON object: install fabg again")
    return document
