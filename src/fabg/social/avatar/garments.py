"""What people wear: clothes over the body, and hair that stands off the head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.robot.surface import Mesh, NormalMap, Points, boundary_edges, clip, compact, shell, smoothed
from fabg.social.avatar.body_asset import BONES, HAND_BONES, PARTS, BodyAsset
from fabg.social.avatar.figure import Figure
from fabg.social.avatar.paint import HAIR_LINE, hair_cover

Area = Literal["trunk", "left", "right"]

_WAIST, _ANKLE = -0.665, -1.44  # m, heights on the reference body
_COLLAR = 0.17
"""The shirt ends where the skin follows the head by this share: a line round the neck."""
_SCOOP = ((-0.075, 0.0, -0.135), 0.100)
_CLOTH_M, _RIM_M = 0.008, 0.028
_SHOES = (0.10, 0.09, 0.09)
_UPPER_ARM = {"left": (-0.20, 0.24, -0.95), "right": (-0.20, -0.24, -0.95)}
_FOREARM = {"left": (-0.50, -0.62, -0.60), "right": (-0.50, 0.62, -0.60)}
"""Arms that are not raised hang down, the hands behind the back: directions front, left, up."""
_HAIR_M = {"short": 0.011, "full": 0.030, "long": 0.016}


@dataclass(frozen=True, eq=False)
class Garment:
    """A mesh that does not change its shape, with the colour of each vertex."""

    vertices: Points  # (n, 3) m
    normals: Points
    triangles: NDArray[np.int32]
    colours: NDArray[np.float32]  # (n, 3)
    sky: NDArray[np.float32]  # (n,)


def clothes(figure: Figure) -> dict[Area, Garment]:
    """Return shirt, trousers and shoes in the head frame, with both arms apart."""
    body, person = figure.body, figure.person
    skin, areas = _dressed_triangles(body)
    posed = _arms_down(figure)
    normals = NormalMap(skin, len(posed))(posed)
    lifted = posed + normals * np.float32(_CLOTH_M)
    used = Mesh(lifted, skin)
    used, rows = compact(used)
    loose = smoothed(used.vertices, used.triangles, 5)
    ready = (loose + NormalMap(used.triangles, len(loose))(loose) * np.float32(0.003)).astype(np.float32)
    reference = body.vertices[rows]
    inside = _below_neckline(reference, _smooth_share(body)[rows], person.neckline)
    carried = [reference, areas[rows].astype(np.float32), body.shade[rows]]
    cut, carried = clip(Mesh(ready, used.triangles), inside, *carried)
    cut, (reference, area, sky) = _split(cut, carried[0][:, 2] - _WAIST, *carried)
    normal = NormalMap(cut.triangles, len(cut.vertices))(cut.vertices)
    closed = shell(cut, normal, np.where(reference[:, 2] > _WAIST, 0.003, 0.0), _RIM_M)
    border = np.unique(boundary_edges(cut.triangles))
    owner = np.concatenate([np.arange(len(cut.vertices)), border, border])  # the rim repeats the border twice
    reference, area = reference[owner], np.rint(area[owner]).astype(int)
    colours = np.where(reference[:, 2:] > _WAIST, person.shirt, person.trousers)
    colours = np.where(reference[:, 2:] > _ANKLE, colours, _SHOES)
    rng = np.random.default_rng([person.paint_seed, 5])
    colours = colours * (1 + 0.02 * rng.standard_normal((len(owner), 1)))
    colours[len(cut.vertices) :] *= 0.82
    sky = sky[owner]
    all_normals = NormalMap(closed.triangles, len(closed.vertices))(closed.vertices)
    found: dict[Area, Garment] = {}
    names: tuple[Area, ...] = ("trunk", "left", "right")
    for index, name in enumerate(names):
        # A triangle belongs to an arm when all its corners do.
        counts = np.sort(area[closed.triangles], axis=1)
        mine = (counts[:, 0] == index) if index else (counts[:, 0] == 0) | (counts[:, 0] != counts[:, 2])
        part, kept = compact(Mesh(closed.vertices, closed.triangles[mine]))
        found[name] = Garment(
            part.vertices, all_normals[kept], part.triangles, colours[kept].astype(np.float32),
            np.clip(sky[kept], 0.3, 1).astype(np.float32),
        )  # fmt: skip
    return found


def _split(mesh: Mesh, height: NDArray, *carried: NDArray) -> tuple[Mesh, list[NDArray]]:
    """Cut a mesh in two along height 0, so that the colours on both sides do not run into each other."""
    above, upper = clip(mesh, height, *carried)
    below, lower = clip(mesh, -height, *carried)
    vertices = np.concatenate([above.vertices, below.vertices])
    triangles = np.concatenate([above.triangles, below.triangles + len(above.vertices)])
    # Vertices on the cut belong to one side for good: nudged apart, so that each takes its own colour.
    upper[0] = upper[0] + np.array([0, 0, 1e-5], np.float32)
    lower[0] = lower[0] - np.array([0, 0, 1e-5], np.float32)
    return Mesh(vertices, triangles.astype(np.int32)), [
        np.concatenate(pair) for pair in zip(upper, lower, strict=True)
    ]


def hair(figure: Figure) -> Garment | None:
    """Return hair that stands off the head, in the head frame; None for a bald or cropped head."""
    person, body = figure.person, figure.body
    if person.hair_style not in _HAIR_M:
        return None
    rows, triangles = _scalp(body)
    reference = body.vertices[rows]
    cover = hair_cover(*reference.T) - (HAIR_LINE[person.hair_style] or 0.0)
    cut, (cover, reference) = clip(
        Mesh(figure.vertices[rows], triangles), cover, cover.astype(np.float32), reference
    )
    normals = NormalMap(cut.triangles, len(cut.vertices))(cut.vertices)
    rng = np.random.default_rng([person.paint_seed, 6])
    thick = _HAIR_M[person.hair_style] * np.clip(cover / 0.032, 0, 1) ** 0.75
    thick = thick * (
        1 + 0.10 * np.sin(reference[:, 1] * 140 + rng.uniform(0, 6)) * np.sin(reference[:, 2] * 90)
    )
    # Fuller above than at the sides, or heads look like helmets.
    thick = thick * (0.38 + 0.62 * np.clip((reference[:, 2] - 0.01) / 0.07, 0, 1)) + 0.0010
    raised = smoothed((cut.vertices + normals * thick[:, None]).astype(np.float32), cut.triangles, 2)
    final = NormalMap(cut.triangles, len(raised))(raised)
    strands = 1 + 0.10 * rng.standard_normal((len(raised), 1)) + 0.10 * np.sin(reference[:, 1:2] * 320)
    edge = 0.72 + 0.28 * np.clip(cover / 0.02, 0, 1)
    colours = np.clip(np.array(person.hair) * strands, 0, 1)
    cap = Garment(raised, final, cut.triangles, colours.astype(np.float32), edge.astype(np.float32))
    return _together(cap, _curtain(figure, raised, rng)) if person.hair_style == "long" else cap


def _curtain(figure: Figure, cap: Points, rng: np.random.Generator) -> Garment:
    """Return long hair that falls from the cap: a sheet round the back of the head."""
    around, down = 33, 12
    height = cap[:, 2]
    level = cap[(height > 0.005) & (height < 0.045)]
    half, back = float(np.abs(level[:, 1]).max()), float(level[:, 0].min())
    middle = -0.075
    length = rng.uniform(0.13, 0.30)
    angle = np.linspace(-1, 1, around) * np.radians(rng.uniform(84, 96))  # 0 is straight behind
    fall = np.linspace(0, 1, down)[:, None]
    z = 0.050 - fall * (0.050 + length) * (1 - 0.10 * (1 - np.abs(np.sin(angle))))
    # Close to the cap above, fuller at the height of the jaw, and in again towards the tips.
    wide = 0.78 + 0.22 * np.clip(fall / 0.22, 0, 1) ** 0.7 + 0.10 * np.sin(np.pi * np.clip(fall, 0, 1))
    wave = 1 + 0.022 * np.sin(angle * 17 + 5 * fall + rng.uniform(0, 6)) * fall
    x = middle - (middle - back) * np.cos(angle) * wide * wave
    y = half * np.sin(angle) * wide * wave
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    i = (np.arange(down - 1)[:, None] * around + np.arange(around - 1)[None]).ravel()
    triangles = np.concatenate(
        [np.stack([i, i + around, i + 1], axis=1), np.stack([i + 1, i + around, i + around + 1], axis=1)]
    ).astype(np.int32)
    strands = 1 + 0.09 * rng.standard_normal((1, around)) + 0.03 * rng.standard_normal((down, around))
    colours = np.clip(np.array(figure.person.hair) * strands.reshape(-1, 1), 0, 1).astype(np.float32)
    sky = np.broadcast_to(1 - 0.35 * fall, (down, around)).reshape(-1).astype(np.float32)
    return Garment(points, NormalMap(triangles, len(points))(points), triangles, colours, sky)


def _together(a: Garment, b: Garment) -> Garment:
    parts = ((getattr(a, name), getattr(b, name)) for name in ("vertices", "normals", "colours", "sky"))
    vertices, normals, colours, sky = (np.concatenate(pair) for pair in parts)
    triangles = np.concatenate([a.triangles, b.triangles + len(a.vertices)]).astype(np.int32)
    return Garment(vertices, normals, triangles, colours, sky)


@cache
def _dressed_triangles(body: BodyAsset) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Return the triangles (t, 3) under clothes, and the area of each vertex: 0 trunk, 1 left, 2 right arm."""
    corners = body.position_of[body.triangles[body.part == PARTS.index("skin")]]
    hands = np.zeros(len(body.vertices))
    area = np.zeros(len(body.vertices), np.int8)
    for index, side in enumerate(("left", "right"), start=1):
        share = body.bone_share[side]
        hands += share[:, [BONES.index(b) for b in ("wrist", *HAND_BONES)]].sum(axis=1)
        arm = share[:, BONES.index("upperarm01") :].sum(axis=1)
        area[arm > 0.62] = index
    keep = (hands < 0.5) & (body.head_share < 0.6) & (body.vertices[:, 2] < -0.09)
    return corners[keep[corners].all(axis=1)].astype(np.int32), area


@cache
def _smooth_share(body: BodyAsset) -> NDArray[np.float32]:
    """How far the skin follows the head, without the steps of the rig's weights."""
    skin = body.position_of[body.triangles[body.part == PARTS.index("skin")]]
    return smoothed(body.head_share[:, None], skin.astype(np.int32), 12)[:, 0]


@cache
def _scalp(body: BodyAsset) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    corners = body.position_of[body.triangles[body.part == PARTS.index("skin")]]
    cover = hair_cover(*body.vertices.T)
    near = (cover > -0.03) & (body.vertices[:, 2] > -0.10)
    chosen = corners[near[corners].all(axis=1)]
    rows, inverse = np.unique(chosen, return_inverse=True)
    return rows, inverse.reshape(-1, 3).astype(np.int32)


def _below_neckline(reference: Points, head_share: NDArray, neckline: str) -> NDArray:
    """Return where the shirt is: positive, in arbitrary units that cross zero at its edge."""
    inside = (_COLLAR - head_share) * 0.2
    if neckline == "scoop":
        centre, radius = _SCOOP
        wide = np.linalg.norm(reference - np.array(centre, np.float32), axis=1) - radius
        inside = -np.logaddexp(-150 * inside, -150 * wide) / 150  # a minimum without a corner
    return inside


def _arms_down(figure: Figure) -> Points:
    """Return the body's vertices (N, 3) with hanging arms, in the head frame."""
    body, points = figure.body, figure.vertices.astype(np.float64)
    moved = points.copy()
    for side in ("left", "right"):
        heads = points[body.points[f"bone_head_{side}"]]
        shoulder, elbow, wrist = (heads[BONES.index(b)] for b in ("upperarm01", "lowerarm01", "wrist"))
        upper = _turn(elbow - shoulder, figure.upright @ np.array(_UPPER_ARM[side]))
        fore = _turn(wrist - elbow, figure.upright @ np.array(_FOREARM[side]))
        elbow_now = shoulder + upper @ (elbow - shoulder)
        share = body.bone_share[side].astype(np.float64)
        first = share[:, [BONES.index(b) for b in ("upperarm01", "upperarm02")]].sum(axis=1)[:, None]
        second = share[:, BONES.index("lowerarm01") :].sum(axis=1)[:, None]
        moved += first * ((points - shoulder) @ upper.T + shoulder - points)
        moved += second * ((points - elbow) @ fore.T + elbow_now - points)
    return moved.astype(np.float32)


def _turn(start: NDArray, end: NDArray) -> NDArray:
    """Return the shortest rotation between two directions of any length."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, a @ b)
    return np.asarray(cv2.Rodrigues(axis / max(sine, 1e-9) * angle)[0])
