"""What the robot wears: a skull cap, a garment with a collar, and a stand. All cut from its own surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.robot.head_asset import MATERIALS, HeadAsset
from fabg.robot.surface import Mesh, NormalMap, clip, shell, smoothed

GRAPHITE = (0.145, 0.160, 0.190)
CLOTH = (0.255, 0.300, 0.365)
ACCENT = (0.250, 0.600, 0.640)

COVERED_CAP_M, COVERED_COLLAR_M = 0.006, 0.025
"""How deep under the edge of cap and collar the skin still runs."""


@dataclass(frozen=True)
class Part:
    """A rigid piece of the outfit, in the head's frame at rest; `on_head` ones turn with the head."""

    name: str
    mesh: Mesh
    rgb: tuple[float, float, float]
    on_head: bool
    specular: float
    shininess: float
    emission: float = 0.0


def cap_depth(head: HeadAsset) -> NDArray[np.float64]:
    """How far (about m) each position vertex lies inside the cap's edge; negative outside."""
    x, y, z = head.reference.astype(np.float64).T
    hairline = z - 0.0630 + 0.50 * np.clip(-0.0065 - x, 0, 0.055) + 0.10 * np.clip(np.abs(y) - 0.03, 0, 0.04)
    above_ear = z - 0.0345
    front = -_soft_maximum(-hairline, -above_ear)
    nape = -_soft_maximum(x + 0.1010, -0.0880 - z)  # behind the ear, down to the nape
    return _soft_maximum(front, nape)


def _soft_maximum(a: NDArray, b: NDArray, width: float = 0.006) -> NDArray[np.float64]:
    """Maximum whose kink is rounded over `width` metres, so that seams run in curves."""
    return width * np.logaddexp(a / width, b / width)


def collar_depth(head: HeadAsset) -> NDArray[np.float64]:
    """How far (m) each position vertex lies below the collar's edge; negative above."""
    x, _, z = head.reference.astype(np.float64).T
    return -0.134 - 0.16 * (x + 0.07) - z


def dress(head: HeadAsset) -> list[Part]:
    """Cut all parts of the outfit."""
    skin = Mesh(head.vertices, head.position_of[head.triangles[head.material == MATERIALS.index("skin")]])
    normals = NormalMap(skin.triangles, len(skin.vertices))(skin.vertices)
    cap = cap_depth(head)
    collar = collar_depth(head)
    y, z = head.reference[:, 1].astype(np.float64), head.reference[:, 2].astype(np.float64)
    # A bust ends in a curve, not at the sleeves.
    bust = 1.0 - (np.abs(y) / 0.196) ** 2.6 - (np.clip(-0.13 - z, 0, None) / 0.170) ** 2.6
    bust = np.where(np.abs(y) > 0.25, -1.0, bust)
    cloth = np.minimum(collar - 0.0095, bust * 0.1)
    return [
        Part("cap", _layer(skin, normals, cap - 0.0020, 0.0035, 0), GRAPHITE, True, 0.55, 0.55),
        Part("cap_edge", _band(skin, normals, cap, (0.0, 0.0030), 0.0045, 0), ACCENT, True, 0.4, 0.5, 0.06),
        Part("garment", _layer(skin, normals, cloth, 0.0070, 10), CLOTH, False, 0.08, 0.15),
        Part("collar", _band(skin, normals, collar, (0.0, 0.0150), 0.0118, 4), GRAPHITE, False, 0.15, 0.25),
    ]


def _layer(skin: Mesh, normals: NDArray, depth: NDArray, thickness: float, rounds: int) -> Mesh:
    piece, (normal,) = clip(skin, depth, normals)
    normal = smoothed(normal, piece.triangles, max(rounds, 4))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    soft = Mesh(smoothed(piece.vertices, piece.triangles, rounds), piece.triangles)
    return shell(soft, normal, thickness, thickness + 0.002)


def _band(
    skin: Mesh, normals: NDArray, depth: NDArray, span: tuple[float, float], thickness: float, rounds: int
) -> Mesh:
    piece, (normal, rest) = clip(skin, depth - span[0], normals, depth)
    normal = smoothed(normal, piece.triangles, max(rounds, 4))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    soft = Mesh(smoothed(piece.vertices, piece.triangles, rounds), piece.triangles)
    depth = smoothed(rest[:, None], piece.triangles, rounds)[:, 0]
    strip, (normal,) = clip(soft, span[1] - depth, normal)
    return shell(strip, normal, thickness, thickness + 0.002)
