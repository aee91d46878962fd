"""A person's hands: fingers that bend, by linear blend skinning with the weights of the body's rig.

The hand frame is that of `fabg.social.avatar.poses.HandPose`: origin in the middle of the palm (mean of
joints 0, 5 and 17: wrist, knuckles of index and little finger), x from the wrist to the knuckle of the
middle finger, z out of the back, m. The thumb of a right hand lies towards +y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from fabg.geometry import Matrix
from fabg.perception.types import Side
from fabg.robot.canvas import sky_seen
from fabg.robot.surface import NormalMap, Points
from fabg.social.avatar.body_asset import BONES, HAND_BONES, PARTS, BodyAsset
from fabg.social.avatar.people import average_identity
from fabg.social.avatar.poses import HAND_SHAPES, Fingers

Vector = NDArray[np.float64]

FOREARM_M = 0.105
"""So much of the forearm belongs to the hand's mesh; the rest is sleeve."""

_WRIST = BONES.index("wrist")
_FOREARM = (BONES.index("lowerarm01"), BONES.index("lowerarm02"))
_FIST_DEG = (80.0, 178.0, 205.0)
"""Where the three bones of a finger point in the fist: from straight on (0) over the palm (90) and back."""
_SPREAD_DEG = (14.0, 3.0, -7.0, -17.0)
_TOGETHER_DEG = (2.0, 0.5, -1.0, -3.0)

# Directions of the thumb's three bones in a right hand's frame.
_THUMB_FOLDED = ((0.78, 0.36, -0.50), (0.46, -0.56, -0.69), (0.16, -0.98, -0.02))
_THUMB_UP = ((0.42, 0.86, -0.28), (0.06, 0.99, -0.10), (-0.12, 0.98, 0.12))
_THUMB_ASIDE = ((0.62, 0.70, -0.36), (0.74, 0.64, -0.20), (0.80, 0.58, -0.10))

_MEDIAPIPE = (
    ("head", "wrist"), ("head", "finger1-1"), ("head", "finger1-2"), ("head", "finger1-3"), ("tail", "finger1-3"),
    *(
        (end, f"finger{finger}-{joint}")
        for finger in range(2, 6)
        for end, joint in (("head", 1), ("head", 2), ("head", 3), ("tail", 3))
    ),
)  # fmt: skip
"""Ends of bones at MediaPipe's 21 joints."""
_WRIST_SHIFT, _KNUCKLE_SHIFT = 0.12, 0.08
"""The rig's wrist lies before the crease where hands are annotated, its knuckles beyond the bumps of the
fist: both move towards each other by these shares of their distance."""
_KNUCKLES = (5, 9, 13, 17)


@dataclass(frozen=True, eq=False)
class HandMesh:
    """Topology of one hand with a piece of forearm; the same for everybody.

    Attributes
    ----------
    rows
        Vertices of the body, shape (n,).
    triangles
        Indices into `rows`, shape (t, 3).
    shares
        How much each bone of `BONES` moves each vertex, shape (n, len(BONES)), rows sum to 1.
    nails
        0..1, shape (n,).
    """

    rows: NDArray[np.intp]
    triangles: NDArray[np.int32]
    normals: NormalMap
    shares: NDArray[np.float32]
    nails: NDArray[np.float32]


@cache
def hand_mesh(body: BodyAsset, side: Side) -> HandMesh:
    """Return the mesh of the left or right hand."""
    shares = body.bone_share[side.name.lower()]
    mine = shares[:, [BONES.index(b) for b in ("lowerarm01", "lowerarm02", "wrist", *HAND_BONES)]].sum(axis=1)
    heads = body.vertices[body.points[f"bone_head_{side.name.lower()}"]]
    elbow, wrist = heads[_FOREARM[0]], heads[_WRIST]
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    keep = (mine > 0.5) & ((body.vertices - wrist) @ along > -FOREARM_M)
    skin = body.triangles[body.part == PARTS.index("skin")]
    corners = body.position_of[skin]
    chosen = keep[corners].all(axis=1)
    rows, inverse = np.unique(corners[chosen], return_inverse=True)
    triangles = inverse.reshape(-1, 3).astype(np.int32)
    nails = np.zeros(len(rows), np.float32)
    np.maximum.at(nails, inverse.ravel(), body.nails[skin[chosen]].ravel())
    own = shares[rows]
    return HandMesh(
        rows=rows,
        triangles=triangles,
        normals=NormalMap(triangles, len(rows)),
        shares=own / own.sum(axis=1, keepdims=True),
        nails=nails,
    )


@dataclass(frozen=True, eq=False)
class PosedHand:
    """A hand in its frame: vertices (n, 3) and normals along `HandMesh.rows`, joints (21, 3), m."""

    positions: Points
    normals: Points
    sky: NDArray[np.float32]
    joints: Vector


class HandModel:
    """One hand of one body.

    Parameters
    ----------
    body
        The body asset.
    vertices
        Its vertices with somebody's proportions (N, 3), in any frame, m.
    side
        Which hand.
    """

    def __init__(self, body: BodyAsset, vertices: Points, side: Side) -> None:
        self.side, self._body = side, body
        self.mesh = hand_mesh(body, side)
        name = side.name.lower()
        heads = vertices[body.points[f"bone_head_{name}"]].astype(np.float64)
        tails = vertices[body.points[f"bone_tail_{name}"]].astype(np.float64)
        self._mirror = np.array([1.0, 1.0 if side is Side.RIGHT else -1.0, 1.0])
        frame, origin = _frame(heads, self._mirror[1])
        self._heads, self._tails = (heads - origin) @ frame.T, (tails - origin) @ frame.T
        self.rest: Points = ((vertices[self.mesh.rows] - origin) @ frame.T).astype(np.float32)
        self.forearm_m = float(np.linalg.norm(heads[_FOREARM[0]] - heads[_WRIST]))
        self.wrist = self._heads[_WRIST]
        forearm = self._heads[_FOREARM[0]] - self.wrist
        self.forearm = forearm / np.linalg.norm(forearm)
        on_arm = np.abs((self.rest - self.wrist) @ self.forearm - 0.06) < 0.02
        from_axis = np.cross(self.rest[on_arm] - self.wrist, self.forearm)
        self.forearm_radius_m = float(np.linalg.norm(from_axis, axis=1).max())

    def posed(self, fingers: Fingers, forearm: Vector) -> PosedHand:
        """Return the hand with bent fingers.

        Parameters
        ----------
        fingers
            How they are bent.
        forearm
            Unit vector (3,) from the wrist to the elbow in the hand's frame.
        """
        positions, joints = self.skinned(fingers, forearm)
        return PosedHand(
            positions=positions,
            normals=self.mesh.normals(positions),
            sky=_crevices(self._body, self.side, _nearest(fingers)),
            joints=joints,
        )

    def skinned(self, fingers: Fingers, forearm: Vector) -> tuple[Points, Vector]:
        """Return the vertices (n, 3) and MediaPipe's joints (21, 3) alone."""
        turns = self._turns(fingers, forearm)
        heads, tails = self._chained(turns)
        moves = heads - np.einsum("bij,bj->bi", turns, self._heads)
        # Blend the 3 x 4 matrices of the bones, then move each vertex by its own.
        blend = self.mesh.shares @ np.concatenate([turns.reshape(-1, 9), moves], axis=1).astype(np.float32)
        positions = np.einsum("nij,nj->ni", blend[:, :9].reshape(-1, 3, 3), self.rest) + blend[:, 9:]
        ends = {"head": heads, "tail": tails}
        return positions, _as_annotated(np.stack([ends[end][BONES.index(bone)] for end, bone in _MEDIAPIPE]))

    def _turns(self, fingers: Fingers, forearm: Vector) -> NDArray[np.float64]:
        """Return the rotation of each bone from its rest, in the hand's frame, shape (bones, 3, 3)."""
        turns = np.tile(np.eye(3), (len(BONES), 1, 1))
        arm = _between(self.forearm, forearm)
        for bone in range(_WRIST):
            turns[bone] = arm
        for finger in range(2, 6):
            self._bend(turns, finger, fingers)
        aside = np.array(_THUMB_ASIDE)
        goal = np.array(_THUMB_FOLDED if fingers.thumb > 0 else _THUMB_UP)
        share = abs(fingers.thumb)
        for joint in range(3):
            bone = BONES.index(f"finger1-{joint + 1}")
            wanted = (aside[joint] * (1 - share) + goal[joint] * share) * self._mirror
            rest = self._tails[bone] - self._heads[bone]
            turns[bone] = _between(rest / np.linalg.norm(rest), wanted / np.linalg.norm(wanted))
        return turns

    def _bend(self, turns: NDArray[np.float64], finger: int, fingers: Fingers) -> None:
        bones = [BONES.index(f"finger{finger}-{joint}") for joint in (1, 2, 3)]
        rest = self._tails[bones] - self._heads[bones]
        heading = float(np.arctan2(rest[0, 1], rest[0, 0]))
        ahead = np.array([np.cos(heading), np.sin(heading), 0.0])
        hinge = np.cross(ahead, [0.0, 0.0, -1.0])
        curl = fingers.curl[finger - 2]
        apart = fingers.spread * max(1.0 - abs(curl), 0.0)
        wide, close = _SPREAD_DEG[finger - 2], _TOGETHER_DEG[finger - 2]
        wanted = np.radians(wide * apart + close * (1 - apart)) * self._mirror[1]
        sideways = _about(np.array([0.0, 0.0, 1.0]), wanted - heading)
        for bone, direction, fist in zip(bones, rest, _FIST_DEG, strict=True):
            lowered = np.arctan2(-direction[2], direction @ ahead)
            turns[bone] = sideways @ _about(hinge, np.radians(fist) * curl - lowered)

    def _chained(self, turns: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
        """Return where the bones' heads and tails come to lie when each hangs on the one before."""
        heads = self._heads.copy()
        for bone in range(_WRIST):
            heads[bone] = self.wrist + turns[bone] @ (self._heads[bone] - self.wrist)
        for finger in range(1, 6):
            for joint in (2, 3):
                bone, parent = (
                    BONES.index(f"finger{finger}-{joint}"),
                    BONES.index(f"finger{finger}-{joint - 1}"),
                )
                heads[bone] = heads[parent] + turns[parent] @ (self._heads[bone] - self._heads[parent])
        return heads, heads + np.einsum("bij,bj->bi", turns, self._tails - self._heads)


def _frame(heads: NDArray, mirror: float) -> tuple[Matrix, Vector]:
    """Return the hand frame in the body: rotation (rows are its axes) and origin."""
    wrist = heads[_WRIST]
    knuckles = {finger: heads[BONES.index(f"finger{finger}-1")] for finger in range(2, 6)}
    x = knuckles[3] - wrist
    x /= np.linalg.norm(x)
    y = (knuckles[2] - knuckles[5]) * mirror
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    joints = np.stack([heads[BONES.index(bone)] for _, bone in _MEDIAPIPE])
    return np.stack([x, y, np.cross(x, y)]), _as_annotated(joints)[[0, 5, 17]].mean(axis=0)


def _as_annotated(joints: Vector) -> Vector:
    """Move the rig's wrist and knuckles (of 21 joints) to where hands are annotated."""
    moved = joints.copy()
    moved[0] += _WRIST_SHIFT * (joints[9] - joints[0])
    for knuckle in _KNUCKLES:
        moved[knuckle] += _KNUCKLE_SHIFT * (joints[0] - joints[knuckle])
    return moved


@lru_cache(maxsize=64)
def _crevices(body: BodyAsset, side: Side, shape: str) -> NDArray[np.float32]:
    """Share of the sky (n,) that each vertex of the average adult's hand sees in a ready-made shape."""
    model = _average_hand(body, side)
    positions = model.skinned(HAND_SHAPES[shape], model.forearm)[0]
    return sky_seen(positions, model.mesh.triangles, reach=0.035).astype(np.float32)


def _nearest(fingers: Fingers) -> str:
    """Name the ready-made shape that is most alike: shade between fingers need not be exact."""

    def apart(other: Fingers) -> float:
        curls = sum((a - b) ** 2 for a, b in zip(fingers.curl, other.curl, strict=True))
        return curls + (fingers.thumb - other.thumb) ** 2

    return min(HAND_SHAPES, key=lambda name: apart(HAND_SHAPES[name]))


@cache
def _average_hand(body: BodyAsset, side: Side) -> HandModel:
    return HandModel(body, body.vertices + body.displacement("identity", average_identity()), side)


def _about(axis: Vector, angle: float) -> Matrix:
    """Return the rotation about a unit axis, rad."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _between(start: Vector, end: Vector) -> Matrix:
    """Return the shortest rotation between two unit vectors."""
    axis = np.cross(start, end)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        if start @ end > 0:
            return np.eye(3)
        axis, sine = np.cross(start, [0.3, 0.5, 0.8]), 1.0
        return _about(axis / np.linalg.norm(axis), np.pi)
    return _about(axis / sine, float(np.arctan2(sine, start @ end)))
