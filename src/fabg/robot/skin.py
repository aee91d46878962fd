"""Paint the robot's face and eyes. There are no photographs: every texel is computed from coordinates.

The paint is laid out in the reference head's coordinates (m, from the midpoint of the eyes: x
forward, y left, z up), rasterised into the mesh's own texture space, and darkened by ambient
occlusion baked from the geometry, which is what lets simple lights model the face.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.robot.head_asset import MATERIALS, HeadAsset
from fabg.robot.makehuman import cached_arrays
from fabg.robot.surface import NormalMap

Image = NDArray[np.uint8]
Grid = NDArray[np.float64]

PAINT_VERSION = 2
"""Raise when the paint changes, so that older cache files are left aside."""

TONE = np.array([0.865, 0.700, 0.615])
LIP = np.array([0.765, 0.455, 0.440])
BROW = np.array([0.270, 0.195, 0.155])
LASH = np.array([0.180, 0.125, 0.110])
FLAT = {"inner mouth": (0.30, 0.11, 0.11), "teeth": (0.90, 0.88, 0.83), "tongue": (0.66, 0.33, 0.33)}

_ISLAND = (0.63, 1.0, 0.15, 0.83)  # u0, u1, v0, v1 of head and neck in the mesh's texture space
_WIDTH, _HEIGHT, _STRIP = 1024, 1600, 64  # the strip below the island holds the flat colours


@dataclass(frozen=True)
class Skin:
    """A texture (H, W, 3), its row 0 at v = 0, and where each render vertex lies in it (M, 2)."""

    texture: Image
    uv: NDArray[np.float32]


def paint_skin(head: HeadAsset) -> Skin:
    """Return the albedo of a head; cached beside it (first time: about 2 s)."""
    arrays = cached_arrays(f"skin-{head.digest}-{PAINT_VERSION}", lambda: _paint(head))
    return Skin(texture=arrays["texture"], uv=arrays["uv"])


def eye_texture(iris: ArrayLike = (0.33, 0.46, 0.50), size: int = 512) -> Image:
    """Texture of an eyeball: u is the longitude, v the angle from the pupil's axis (0..pi).

    Parameters
    ----------
    iris
        RGB, 0..1.
    """
    angle = np.linspace(0, np.pi, size)[:, None] * np.ones((1, size))
    longitude = np.linspace(0, 2 * np.pi, size)[None] * np.ones((size, 1))
    rng = np.random.default_rng(7)
    spokes = np.convolve(np.tile(rng.normal(size=size), 3), np.hanning(9), mode="same")[size : 2 * size]
    fibre = (
        1 + 0.22 * spokes / np.abs(spokes).max() + 0.05 * np.sin(longitude * 24 + 3 * np.sin(longitude * 5))
    )
    colour = np.array(iris) * fibre[..., None]
    colour = _mix(
        colour, np.array([0.62, 0.47, 0.28]), 0.35 * _step(0.27, 0.19, angle)
    )  # warm ring at the pupil
    colour = _mix(colour, np.array(iris) * 0.28, _step(0.33, 0.42, angle))  # limbal ring
    veins = 0.5 + 0.5 * np.sin(longitude * 9 + 4 * np.sin(longitude * 3))
    white = np.array([0.93, 0.92, 0.90]) * (
        1 - 0.05 * veins[..., None] * _step(0.6, 1.1, angle)[..., None] * [0.4, 1, 1]
    )
    white = _mix(white, np.array([0.80, 0.60, 0.56]), 0.8 * _step(0.75, 1.35, angle))
    colour = _mix(colour, white, _step(0.405, 0.455, angle))
    colour = _mix(colour, np.array([0.015, 0.015, 0.02]), _step(0.175, 0.150, angle))
    return _bytes(colour)


def _paint(head: HeadAsset) -> dict[str, NDArray]:
    uv, flat = _layout(head)
    skin = head.material == MATERIALS.index("skin")
    on_island = ~flat[head.triangles].any(axis=1) & skin
    occlusion = ambient_light(head)[head.position_of]
    attributes = np.column_stack([head.reference[head.position_of], head.lips, occlusion])
    grid, covered = _rasterise(uv, head.triangles[on_island], attributes)
    colour = _albedo(grid, _eye_gap(head, grid))
    light = np.clip(grid[..., 4], 0, 1)[..., None]
    colour = colour * light ** np.array([0.70, 1.0, 1.10])  # light that bounces inside skin is red
    texture = _spread(_bytes(colour), covered)
    for index, name in enumerate(FLAT):
        width = _WIDTH // len(FLAT)
        texture[:_STRIP, index * width : (index + 1) * width] = _bytes(np.array(FLAT[name]))
    return {"texture": texture, "uv": uv.astype(np.float32)}


def _layout(head: HeadAsset) -> tuple[NDArray, NDArray[np.bool_]]:
    """Texture coordinates of the render vertices, and which of them take a flat colour."""
    u0, u1, v0, v1 = _ISLAND
    uv = (head.uv - [u0, v0]) / [u1 - u0, v1 - v0]
    below = _STRIP / _HEIGHT
    uv[:, 1] = below + uv[:, 1] * (1 - below)
    material = np.zeros(len(uv), dtype=int)
    material[head.triangles.ravel()] = np.repeat(head.material, 3)
    flat = np.full(len(uv), -1)
    flat[head.inner_mouth > 0.5] = list(FLAT).index("inner mouth")
    for name in ("teeth", "tongue"):
        flat[material == MATERIALS.index(name)] = list(FLAT).index(name)
    chosen = flat >= 0
    uv[chosen] = np.column_stack([(flat[chosen] + 0.5) / len(FLAT), np.full(chosen.sum(), below / 2)])
    return uv, chosen


def ambient_light(head: HeadAsset, reach: float = 0.07) -> NDArray[np.float64]:
    """Share of the sky (0..1) that each position vertex sees, by disc-to-disc form factors."""
    points = head.vertices
    triangles = head.position_of[head.triangles[head.material == MATERIALS.index("skin")]]
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


def _rasterise(uv: NDArray, triangles: NDArray, attributes: NDArray) -> tuple[Grid, NDArray[np.bool_]]:
    """Interpolate vertex attributes over the texture; also say which texels a triangle covers."""
    grid = np.zeros((_HEIGHT, _WIDTH, attributes.shape[1]))
    covered = np.zeros((_HEIGHT, _WIDTH), bool)
    pixels = uv * [_WIDTH, _HEIGHT] - 0.5
    for triangle in triangles:
        corner = pixels[triangle]
        x0, y0 = np.maximum(np.floor(corner.min(axis=0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(corner.max(axis=0)).astype(int) + 1, [_WIDTH, _HEIGHT])
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


def _eye_gap(head: HeadAsset, grid: Grid) -> Grid:
    """Distance (m) of each texel from the surface of its side's reference eyeball."""
    half = 0.0308
    offset = grid[..., :3].copy()
    offset[..., 1] = np.abs(offset[..., 1]) - half
    return np.linalg.norm(offset, axis=-1) - head.eye_radius


def _albedo(grid: Grid, eye_gap: Grid) -> Grid:
    x, z, lips = grid[..., 0], grid[..., 2], grid[..., 3]
    side = np.abs(grid[..., 1])
    front = _step(-0.045, -0.025, x)
    rng = np.random.default_rng(3)

    def noise(cell: int) -> Grid:
        coarse = rng.normal(size=(_HEIGHT // cell + 2, _WIDTH // cell + 2))
        return np.asarray(cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=float)

    def blob(y0: float, z0: float, width: float, height: float) -> Grid:
        return np.exp(-(((side - y0) / width) ** 2) - ((z - z0) / height) ** 2)

    colour = TONE * (1 + 0.010 * noise(2) + 0.018 * noise(28))[..., None]
    flush = TONE * np.array([1.03, 0.80, 0.79])
    colour = _mix(colour, flush, 0.34 * blob(0.047, -0.034, 0.021, 0.017) * front)  # cheeks
    colour = _mix(
        colour, flush, 0.30 * blob(0.0, -0.029, 0.013, 0.012) * _step(0.01, 0.03, x)
    )  # tip of the nose
    colour = _mix(colour, flush, 0.45 * blob(0.082, -0.013, 0.012, 0.03))  # ears
    colour = _mix(colour, flush * 0.97, 0.25 * blob(0.0, -0.098, 0.020, 0.012) * front)  # chin
    colour = _mix(
        colour, TONE * [0.84, 0.74, 0.72], 0.40 * blob(0.031, 0.006, 0.018, 0.010) * front
    )  # sockets

    colour = _mix(colour, LIP * (1 + 0.025 * noise(3))[..., None], 0.80 * _step(0.12, 0.85, lips))

    near_eye = blob(0.0308, 0.001, 0.020, 0.014) * front
    upper = _step(-0.003, 0.003, z + 0.06 * (side - 0.0308))
    rim = _step(0.0024, 0.0009, eye_gap) * _step(0.25, 0.5, near_eye)
    colour = _mix(colour, LASH, rim * (0.30 + 0.60 * upper))  # lashes: dense above, faint below
    return _mix(colour, BROW, 0.88 * _brow(side, z, rng) * front)


def _brow(side: Grid, z: Grid, rng: np.random.Generator) -> Grid:
    """Opacity of the eyebrows: a soft arc of strands, fuller inside, tapering outwards."""
    along = np.clip((side - 0.0125) / 0.0445, -0.2, 1.2)
    centre = (
        0.0140
        + 0.0062 * np.sin(np.pi * np.clip(along * 0.72 + 0.03, 0, 1))
        - 0.0050 * np.clip(along, 0, 1) ** 3
    )
    half = 0.0036 * (1 - 0.66 * np.clip(along, 0, 1) ** 1.4)
    across = (z - centre) / half
    arc = _step(1.35, 0.35, np.abs(across)) * _step(-0.10, 0.14, along) * _step(1.10, 0.86, along)
    # Strands lean from upright at the inner end to lying along the arc at the outer end.
    lean = 0.5 + 2.2 * np.clip(along, 0, 1)
    strands = cv2.GaussianBlur(rng.normal(size=(256, 256)), (0, 0), 1.0)
    strands = strands / strands.std()
    column = ((side - (z - centre) * lean) * 9000) % 256
    row = (z * 900 + 40) % 256
    texture = cv2.remap(
        strands.astype(np.float32),
        column.astype(np.float32),
        row.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.clip(arc * (0.80 + 0.22 * texture), 0, 1)


def _spread(texture: Image, covered: NDArray[np.bool_]) -> Image:
    """Fill uncovered texels from their nearest covered one, so that filtering sees no seam."""
    _, label = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(label.max() + 1, dtype=np.intp)
    nearest[label[covered]] = np.flatnonzero(covered)
    return texture.reshape(-1, 3)[nearest[label]].reshape(texture.shape)


def _step(start: float, end: float, value: Grid) -> Grid:
    """0 at `start`, 1 at `end` (which may lie below), smooth between."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(colour: ArrayLike, over: ArrayLike, opacity: Grid) -> Grid:
    return np.asarray(colour) * (1 - opacity[..., None]) + np.asarray(over) * opacity[..., None]


def _bytes(colour: NDArray) -> Image:
    return np.clip(colour * 255 + 0.5, 0, 255).astype(np.uint8)
