"""Paint by coordinates: vertex attributes spread over a texture, soft steps, layers, ambient shade."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.robot.surface import NormalMap

Image = NDArray[np.uint8]
Grid = NDArray[np.float64]


def rasterise(
    uv: NDArray, triangles: NDArray, attributes: NDArray, size: tuple[int, int]
) -> tuple[Grid, NDArray[np.bool_]]:
    """Interpolate vertex attributes (M, K) over a texture of (width, height).

    Returns
    -------
    The texels' attributes (height, width, K), row 0 at v = 0, and which texels a triangle covers.
    """
    width, height = size
    grid = np.zeros((height, width, attributes.shape[1]))
    covered = np.zeros((height, width), bool)
    pixels = uv * [width, height] - 0.5
    for triangle in triangles:
        corner = pixels[triangle]
        x0, y0 = np.maximum(np.floor(corner.min(axis=0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(corner.max(axis=0)).astype(int) + 1, [width, height])
        edges = np.column_stack([corner[1] - corner[0], corner[2] - corner[0]])
        if x1 <= x0 or y1 <= y0 or abs(np.linalg.det(edges)) < 1e-9:
            continue
        x, y = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        bc = np.stack([x - corner[0, 0], y - corner[0, 1]], axis=-1) @ np.linalg.inv(edges).T
        inside = (bc[..., 0] > -1e-3) & (bc[..., 1] > -1e-3) & (bc.sum(axis=-1) < 1 + 1e-3)
        weight = np.concatenate([1 - bc.sum(axis=-1, keepdims=True), bc], axis=-1)[inside]
        grid[y[inside], x[inside]] = weight @ attributes[triangle]
        covered[y[inside], x[inside]] = True
    return grid, covered


def spread(texture: Image, covered: NDArray[np.bool_]) -> Image:
    """Fill uncovered texels from their nearest covered one, so that filtering sees no seam."""
    _, label = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(label.max() + 1, dtype=np.intp)
    nearest[label[covered]] = np.flatnonzero(covered)
    return texture.reshape(-1, 3)[nearest[label]].reshape(texture.shape)


def step(start: float, end: float, value: NDArray) -> NDArray:
    """0 at `start`, 1 at `end` (which may lie below), smooth between."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def mix(colour: ArrayLike, over: ArrayLike, opacity: NDArray) -> NDArray:
    """Lay the colour `over` (..., 3) on `colour` with an opacity (H, W), 0..1."""
    return np.asarray(colour) * (1 - opacity[..., None]) + np.asarray(over) * opacity[..., None]


def as_bytes(colour: NDArray) -> Image:
    """Return colours 0..1 as 8 bits, what lies beyond clipped."""
    return np.clip(colour * 255 + 0.5, 0, 255).astype(np.uint8)


def sky_seen(points: NDArray, triangles: NDArray, reach: float = 0.07) -> NDArray[np.float64]:
    """Share of the sky (0..1) that each vertex of a mesh sees, by disc-to-disc form factors.

    Parameters
    ----------
    points, triangles
        The mesh: (N, 3) in m, and (T, 3).
    reach
        What is further away than this casts no shade, m.
    """
    normals = NormalMap(triangles, len(points))(points)
    corners = points[triangles]
    area = 0.5 * np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    disc = np.bincount(triangles.ravel(), np.repeat(area / 3, 3), minlength=len(points)).astype(np.float32)
    seen = np.ones(len(points))
    for start in range(0, len(points), 256):
        part = slice(start, start + 256)
        towards = points[None] - points[part, None]
        square = np.einsum("ijk,ijk->ij", towards, towards) + 1e-8
        towards /= np.sqrt(square)[..., None]
        faces_me = np.clip(-np.einsum("ijk,jk->ij", towards, normals), 0, 1)
        above_me = np.clip(np.einsum("ijk,ik->ij", towards, normals[part]), 0, 1)
        factor = disc[None] / (np.pi * square + disc[None])
        seen[part] = 1 - (faces_me * above_me * factor * (square < reach**2)).sum(axis=1)
    return np.clip(seen, 0.0, 1.0)
