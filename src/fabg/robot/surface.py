"""Triangle meshes as arrays: normals, cutting along a level set, shells, spheres. Lengths in m."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float32]
"""Positions or directions, shape (N, 3)."""
Triangles = NDArray[np.int32]
"""Vertex indices, counter-clockwise seen from outside, shape (T, 3)."""


@dataclass(frozen=True)
class Mesh:
    """Vertices (N, 3) in m and triangles (T, 3)."""

    vertices: Points
    triangles: Triangles


class NormalMap:
    """Area-weighted vertex normals for one connectivity, fast enough for every frame."""

    def __init__(self, triangles: ArrayLike, count: int) -> None:
        self._triangles = np.asarray(triangles, dtype=np.intp)
        corners = self._triangles.ravel()
        order = np.argsort(corners, kind="stable")
        self._faces_by_vertex = order // 3
        self._used, self._starts = np.unique(corners[order], return_index=True)
        self._count = count

    def __call__(self, vertices: Points) -> Points:
        """Return unit normals (N, 3); zero where no triangle touches the vertex."""
        a, b, c = (vertices[self._triangles[:, k]] for k in range(3))
        u, v = b - a, c - a
        faces = np.empty_like(u)
        faces[:, 0] = u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1]
        faces[:, 1] = u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2]
        faces[:, 2] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        normals = np.zeros((self._count, 3), np.float32)
        normals[self._used] = np.add.reduceat(faces[self._faces_by_vertex], self._starts, axis=0)
        length = np.sqrt(np.einsum("ij,ij->i", normals, normals))
        normals /= np.maximum(length, 1e-12)[:, None]
        return normals


def compact(mesh: Mesh) -> tuple[Mesh, NDArray[np.integer]]:
    """Drop vertices that no triangle uses; also return the indices of those that stay."""
    used, inverse = np.unique(mesh.triangles, return_inverse=True)
    return Mesh(mesh.vertices[used], inverse.reshape(-1, 3).astype(np.int32)), used


def clip(mesh: Mesh, values: ArrayLike, *carried: NDArray) -> tuple[Mesh, list[NDArray]]:
    """Keep the part where `values` (one number a vertex) is positive, with a clean edge at zero.

    Parameters
    ----------
    carried
        Further arrays of one row a vertex, interpolated along the cut in the same way.

    Returns
    -------
    The clipped mesh and the carried arrays of its vertices.
    """
    value = np.asarray(values, dtype=np.float64)
    # Snap near-zero values so that no sliver triangles arise beside the cut.
    value = np.where(np.abs(value) < 1e-7, 1e-7, value)
    attributes = [mesh.vertices, *carried]
    blends: list[tuple[int, int, float]] = []
    seen: dict[tuple[int, int], int] = {}
    count = len(mesh.vertices)

    def crossing(i: int, j: int) -> int:
        key = (min(i, j), max(i, j))
        if key not in seen:
            seen[key] = count + len(blends)
            a, b = key
            blends.append((a, b, value[a] / (value[a] - value[b])))
        return seen[key]

    inside = value[mesh.triangles] > 0
    kept = list(mesh.triangles[inside.all(axis=1)])
    cut = inside.any(axis=1) & ~inside.all(axis=1)
    for triangle, sides in zip(mesh.triangles[cut], inside[cut], strict=True):
        number = int(sides.sum())
        lone = int(np.argmax(sides)) if number == 1 else int(np.argmin(sides))
        a, b, c = (int(x) for x in np.roll(triangle, -lone))
        ab, ca = crossing(a, b), crossing(c, a)
        if number == 1:
            kept.append(np.array([a, ab, ca]))
        else:
            kept += [np.array([ab, b, c]), np.array([ab, c, ca])]
    if blends:
        i, j, t = (np.array(column) for column in zip(*blends, strict=True))
        attributes = [
            np.concatenate([a, (a[i] + (a[j] - a[i]) * t.reshape(-1, *[1] * (a.ndim - 1))).astype(a.dtype)])
            for a in attributes
        ]
    clipped, used = compact(Mesh(attributes[0], np.array(kept, dtype=np.int32).reshape(-1, 3)))
    return clipped, [a[used] for a in attributes[1:]]


def boundary_edges(triangles: Triangles) -> NDArray[np.intp]:
    """Directed edges (E, 2) that belong to one triangle only."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    keys = np.sort(edges, axis=1)
    _, first, number = np.unique(keys, axis=0, return_index=True, return_counts=True)
    return edges[first[number == 1]].astype(np.intp)


def smoothed(values: NDArray, triangles: Triangles, rounds: int) -> NDArray:
    """Average each vertex's row with its neighbours' `rounds` times; border rows only along the border."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(edges), axis=0)
    border = boundary_edges(triangles)
    on_border = np.zeros(len(values), bool)
    on_border[border.ravel()] = True
    inner = edges[~on_border[edges].any(axis=1) | (on_border[edges].sum(axis=1) == 1)]
    pairs = np.concatenate([inner, inner[:, ::-1]])
    pairs = pairs[~on_border[pairs[:, 0]]]
    pairs = np.concatenate([pairs, border, border[:, ::-1]])
    degree = np.bincount(pairs[:, 0], minlength=len(values)).astype(np.float64)
    result = np.asarray(values, dtype=np.float64)
    for _ in range(rounds):
        total = np.zeros_like(result)
        np.add.at(total, pairs[:, 0], result[pairs[:, 1]])
        mean = total / np.maximum(degree, 1)[:, None]
        result = np.where((degree > 0)[:, None], 0.5 * result + 0.5 * mean, result)
    return result.astype(values.dtype)


def shell(mesh: Mesh, normals: Points, thickness: ArrayLike, rim: float) -> Mesh:
    """Lift a mesh by `thickness` (m, one number or one a vertex) and close its border with a rim.

    The rim runs `rim` m from the lifted border back towards, and a little below, the original surface.
    """
    lift = np.broadcast_to(np.asarray(thickness, dtype=np.float32), (len(mesh.vertices),))[:, None]
    outer = mesh.vertices + normals * lift
    border = boundary_edges(mesh.triangles)
    loop, inverse = np.unique(border, return_inverse=True)
    a, b = inverse.reshape(-1, 2).T
    # The rim gets border vertices of its own: a crisp edge needs normals apart from the outer face's.
    crest, foot = outer[loop], outer[loop] - normals[loop] * rim
    n, m = len(outer), len(loop)
    rim_triangles = np.concatenate(
        [np.stack([n + b, n + a, n + m + a], axis=1), np.stack([n + b, n + m + a, n + m + b], axis=1)]
    )
    triangles = np.concatenate([mesh.triangles, rim_triangles]).astype(np.int32)
    return Mesh(np.concatenate([outer, crest, foot]).astype(np.float32), triangles)


def sphere(longitudes: int, latitudes: int) -> tuple[Mesh, NDArray[np.float32]]:
    """Return the unit sphere with its pole on +x, and texture coordinates (longitude, polar angle) in 0..1."""
    polar, azimuth = np.meshgrid(
        np.linspace(0, np.pi, latitudes), np.linspace(0, 2 * np.pi, longitudes), indexing="ij"
    )
    ring = np.sin(polar)
    vertices = np.stack([np.cos(polar), ring * np.cos(azimuth), ring * np.sin(azimuth)], axis=-1)
    i = (np.arange(latitudes - 1)[:, None] * longitudes + np.arange(longitudes - 1)[None]).ravel()
    below = i + longitudes
    triangles = np.concatenate(
        [np.stack([i, below, below + 1], axis=1), np.stack([i, below + 1, i + 1], axis=1)]
    )
    uv = np.stack([azimuth / (2 * np.pi), polar / np.pi], axis=-1).reshape(-1, 2)
    return Mesh(vertices.reshape(-1, 3).astype(np.float32), triangles.astype(np.int32)), uv.astype(np.float32)
