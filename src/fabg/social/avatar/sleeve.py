"""Sleeves of raised arms: a soft tube from the wrist round the elbow to the shoulder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabg.robot.surface import NormalMap, Points

Vector = NDArray[np.float64]

_RINGS, _AROUND = 22, 16
_CUFF_M = 0.048
"""The cuff ends so far from the wrist."""
_EASE = 1.22
"""How much wider than the forearm the cuff is."""

SLEEVE_VERTICES = _RINGS * _AROUND + _AROUND + 1


def _triangles() -> NDArray[np.int32]:
    ring = np.arange(_AROUND)
    after = (ring + 1) % _AROUND
    parts = []
    for k in range(_RINGS):  # the last band closes towards the inner ring of the cuff
        a, b = k * _AROUND, (k + 1) * _AROUND
        parts += [
            np.stack([a + ring, b + ring, b + after], axis=1),
            np.stack([a + ring, b + after, a + after], axis=1),
        ]
    tip = _RINGS * _AROUND + _AROUND
    last = _RINGS * _AROUND
    parts.append(np.stack([last + ring, np.full(_AROUND, tip), last + after], axis=1))
    return np.concatenate(parts).astype(np.int32)


SLEEVE_TRIANGLES = _triangles()
_normals = NormalMap(SLEEVE_TRIANGLES, SLEEVE_VERTICES)


def sleeve(wrist: Vector, elbow: Vector, shoulder: Vector, forearm_radius_m: float) -> tuple[Points, Points]:
    """Return vertices (n, 3) and normals of a sleeve over an arm, m, in the frame of the three points."""
    forearm = elbow - wrist
    cuff = wrist + forearm * min(_CUFF_M / float(np.linalg.norm(forearm)), 0.5)
    # Around the elbow the middle line is a parabola that keeps near the joint.
    t = np.linspace(0, 1, _RINGS)
    line = _bend(cuff, elbow, shoulder, t)
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    radius = forearm_radius_m * np.interp(t, [0, 0.06, 0.5, 0.85, 1], [_EASE, _EASE * 1.03, 1.55, 1.85, 1.95])
    folds = 1 + 0.035 * np.sin(t * 41)[:, None] * np.sin(
        np.linspace(0, 2 * np.pi, _AROUND, endpoint=False) + 9 * t[:, None]
    )
    u, v = _across(tangent)
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    spokes = np.cos(angle)[None, :, None] * u[:, None] + np.sin(angle)[None, :, None] * v[:, None]
    rings = line[:, None] + spokes * (radius[:, None] * folds)[..., None]
    # Shoulder first, so that the cuff's rim turns inwards at the end.
    rings = rings[::-1]
    inner = line[0] + tangent[0] * 0.012 + spokes[0] * radius[0] * 0.80
    deep = (line[0] + tangent[0] * 0.03)[None]
    vertices = np.concatenate([rings.reshape(-1, 3), inner, deep]).astype(np.float32)
    return vertices, _normals(vertices)


def _bend(start: Vector, corner: Vector, end: Vector, t: Vector) -> Vector:
    """Points along start - corner - end with the corner rounded off."""
    lengths = np.linalg.norm(corner - start), np.linalg.norm(end - corner)
    place = t * (lengths[0] + lengths[1])
    first = start + (corner - start) * np.clip(place / max(lengths[0], 1e-6), None, 1)[:, None]
    second = (end - corner) * np.clip((place - lengths[0]) / max(lengths[1], 1e-6), 0, None)[:, None]
    sharp = first + second
    smooth = sharp.copy()
    for _ in range(2):
        smooth[1:-1] = 0.25 * smooth[:-2] + 0.5 * smooth[1:-1] + 0.25 * smooth[2:]
    return smooth


def _across(tangent: Vector) -> tuple[Vector, Vector]:
    """Two unit vectors across each tangent that turn as little as possible along the line."""
    u = np.empty_like(tangent)
    helper = np.eye(3)[int(np.argmin(np.abs(tangent[0])))]
    u[0] = np.cross(tangent[0], helper)
    for k in range(len(tangent)):
        if k:
            u[k] = u[k - 1]
        u[k] -= tangent[k] * (tangent[k] @ u[k])
        u[k] /= max(float(np.linalg.norm(u[k])), 1e-9)
    return u, np.cross(tangent, u)
