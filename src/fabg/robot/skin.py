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

from fabg.robot.canvas import Grid, Image, as_bytes, mix, rasterise, sky_seen, spread, step
from fabg.robot.head_asset import MATERIALS, HeadAsset
from fabg.robot.makehuman import cached_arrays

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
    colour = mix(
        colour, np.array([0.62, 0.47, 0.28]), 0.35 * step(0.27, 0.19, angle)
    )  # warm ring at the pupil
    colour = mix(colour, np.array(iris) * 0.28, step(0.33, 0.42, angle))  # limbal ring
    veins = 0.5 + 0.5 * np.sin(longitude * 9 + 4 * np.sin(longitude * 3))
    white = np.array([0.93, 0.92, 0.90]) * (
        1 - 0.05 * veins[..., None] * step(0.6, 1.1, angle)[..., None] * [0.4, 1, 1]
    )
    white = mix(white, np.array([0.80, 0.60, 0.56]), 0.8 * step(0.75, 1.35, angle))
    colour = mix(colour, white, step(0.405, 0.455, angle))
    colour = mix(colour, np.array([0.015, 0.015, 0.02]), step(0.175, 0.150, angle))
    return as_bytes(colour)


def _paint(head: HeadAsset) -> dict[str, NDArray]:
    uv, flat = _layout(head)
    skin = head.material == MATERIALS.index("skin")
    on_island = ~flat[head.triangles].any(axis=1) & skin
    shaded = head.position_of[head.triangles[skin]]
    occlusion = sky_seen(head.vertices, shaded)[head.position_of]
    attributes = np.column_stack([head.reference[head.position_of], head.lips, occlusion])
    grid, covered = rasterise(uv, head.triangles[on_island], attributes, (_WIDTH, _HEIGHT))
    colour = _albedo(grid, _eye_gap(head, grid))
    light = np.clip(grid[..., 4], 0, 1)[..., None]
    colour = colour * light ** np.array([0.70, 1.0, 1.10])  # light that bounces inside skin is red
    texture = spread(as_bytes(colour), covered)
    for index, name in enumerate(FLAT):
        width = _WIDTH // len(FLAT)
        texture[:_STRIP, index * width : (index + 1) * width] = as_bytes(np.array(FLAT[name]))
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


def _eye_gap(head: HeadAsset, grid: Grid) -> Grid:
    """Distance (m) of each texel from the surface of its side's reference eyeball."""
    half = 0.0308
    offset = grid[..., :3].copy()
    offset[..., 1] = np.abs(offset[..., 1]) - half
    return np.linalg.norm(offset, axis=-1) - head.eye_radius


def _albedo(grid: Grid, eye_gap: Grid) -> Grid:
    x, z, lips = grid[..., 0], grid[..., 2], grid[..., 3]
    side = np.abs(grid[..., 1])
    front = step(-0.045, -0.025, x)
    rng = np.random.default_rng(3)

    def noise(cell: int) -> Grid:
        coarse = rng.normal(size=(_HEIGHT // cell + 2, _WIDTH // cell + 2))
        return np.asarray(cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=float)

    def blob(y0: float, z0: float, width: float, height: float) -> Grid:
        return np.exp(-(((side - y0) / width) ** 2) - ((z - z0) / height) ** 2)

    colour = TONE * (1 + 0.010 * noise(2) + 0.018 * noise(28))[..., None]
    flush = TONE * np.array([1.03, 0.80, 0.79])
    colour = mix(colour, flush, 0.34 * blob(0.047, -0.034, 0.021, 0.017) * front)  # cheeks
    colour = mix(
        colour, flush, 0.30 * blob(0.0, -0.029, 0.013, 0.012) * step(0.01, 0.03, x)
    )  # tip of the nose
    colour = mix(colour, flush, 0.45 * blob(0.082, -0.013, 0.012, 0.03))  # ears
    colour = mix(colour, flush * 0.97, 0.25 * blob(0.0, -0.098, 0.020, 0.012) * front)  # chin
    colour = mix(
        colour, TONE * [0.84, 0.74, 0.72], 0.40 * blob(0.031, 0.006, 0.018, 0.010) * front
    )  # sockets

    colour = mix(colour, LIP * (1 + 0.025 * noise(3))[..., None], 0.80 * step(0.12, 0.85, lips))

    near_eye = blob(0.0308, 0.001, 0.020, 0.014) * front
    upper = step(-0.003, 0.003, z + 0.06 * (side - 0.0308))
    rim = step(0.0024, 0.0009, eye_gap) * step(0.25, 0.5, near_eye)
    colour = mix(colour, LASH, rim * (0.30 + 0.60 * upper))  # lashes: dense above, faint below
    return mix(colour, BROW, 0.88 * _brow(side, z, rng) * front)


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
    arc = step(1.35, 0.35, np.abs(across)) * step(-0.10, 0.14, along) * step(1.10, 0.86, along)
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
