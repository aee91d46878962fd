"""A person's shape: the body with this person's proportions, and the face in motion.

Head frame: x out of the face, y to the person's left, z up, m. Its origin is the sellion, the
deepest point of the bridge of the nose between the eyes: one vertex of the mesh, the same for
everybody. Its rotation is the one that fits the average adult's eyes, nose, cheeks and forehead best
(least squares) to this person's; on the average adult x is where upright eyes look straight ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import InputError
from fabg.geometry import Matrix, pose, rotation_from_ypr
from fabg.robot.surface import NormalMap, Points
from fabg.social.avatar.body_asset import PARTS, BodyAsset
from fabg.social.avatar.people import Person, average_identity
from fabg.social.avatar.poses import FRONTAL, MAX_EYE_PITCH, MAX_EYE_YAW, EyeAngles, FacePose

Vector = NDArray[np.float64]

_RESTING = {"jawOpen": -0.06, "eyeWideLeft": 0.12, "eyeWideRight": 0.12}
"""Part of everybody's neutral face: as the data come, the lips do not meet and the eyes look tired."""
_TEETH = ([1.0, 0.89, 1.0], [-0.003, 0.0, 0.0])
"""Scale and shift: as they come, the teeth shine through the corners of the lips."""

_BUST_BELOW, _BUST_BESIDE = -0.300, 0.135  # m in the reference: neck and collar-bones, hidden under the shirt
_COLLAR_HOLD = 0.22  # below this share of the head's motion the skin stays with the trunk
_NECK_SHARE, _NECK_MOST = 0.65, 0.85  # of the head's turn, and at most, rad: the trunk does the rest
_LID_GAP_M = 0.0003

# Degrees of eye rotation at which a unit acts in full: chosen so that the lids uncover as much of the iris as ahead.
_LOOK_DEG = {"Down": 19.0, "Up": 15.0, "In": 22.0, "Out": 22.0}
_LOOK_MOST = 1.35
_UP_WIDENS = 0.45  # the data's upper lid hardly follows an eye that looks up; eyeWide makes up for it


@dataclass(frozen=True, eq=False)
class Bust:
    """The part of the body that the face moves: head, neck and collar-bones. The same for everybody.

    Attributes
    ----------
    rows
        Vertices of the body, shape (n,).
    render
        Render vertices of the body, shape (m,), and the vertex (of `rows`) that each stands on.
    triangles
        Indices into `render`, shape (t, 3), skin first.
    """

    rows: NDArray[np.intp]
    render: NDArray[np.intp]
    position_of: NDArray[np.intp]
    triangles: NDArray[np.int32]
    normals: NormalMap
    units: NDArray[np.float32]  # (52, 3 n) in the order of expression.SHAPES
    bend: NDArray[np.float32]  # (n,) 0 moves with the head, 1 stays with the trunk
    near_eye: tuple[NDArray[np.intp], NDArray[np.intp]]  # lids, left and right, indices into `rows`
    is_face: NDArray[np.bool_]  # (n,) between hairline, chin and ears
    part: NDArray[np.int8]  # (m,) index into PARTS


@cache
def bust_of(body: BodyAsset) -> Bust:
    """Return the moving part of a body."""
    z, y = body.vertices[:, 2], np.abs(body.vertices[:, 1])
    corner = body.position_of[body.triangles]
    inside = ((z > _BUST_BELOW) & (y < _BUST_BESIDE))[corner].all(axis=1)
    keep = (inside & (body.part == PARTS.index("skin"))) | np.isin(
        body.part, [PARTS.index("teeth"), PARTS.index("tongue")]
    )
    render, inverse = np.unique(body.triangles[keep], return_inverse=True)
    rows, position_of = np.unique(body.position_of[render], return_inverse=True)
    triangles = inverse.reshape(-1, 3).astype(np.int32)
    order = [body.names("unit").index(name) for name in expression.SHAPES]
    share = np.clip((body.head_share[rows] - _COLLAR_HOLD) / (1 - _COLLAR_HOLD), 0, 1)
    lids = []
    skin_rows = np.unique(body.position_of[body.triangles[body.part == PARTS.index("skin")]])
    for side in ("left", "right"):
        ball = body.vertices[body.points[f"eyeball_{side}"]]
        away = np.linalg.norm(body.vertices[rows] - (ball.min(0) + ball.max(0)) / 2, axis=1)
        near = (away < np.ptp(ball[:, 1]) / 2 * 1.35) & np.isin(rows, skin_rows)
        lids.append(np.flatnonzero(near))
    return Bust(
        rows=rows,
        render=render,
        position_of=position_of,
        triangles=triangles,
        normals=NormalMap(position_of[triangles], len(rows)),
        units=body.units()[order][:, rows].reshape(len(order), -1),
        bend=(1 - share).astype(np.float32),
        near_eye=(lids[0], lids[1]),
        is_face=_is_face(body.vertices[rows]),
        part=_part_of(body, triangles, keep),
    )


def _is_face(p: Points) -> NDArray[np.bool_]:
    """Say which places on the reference's head belong to the face."""
    chin = p[:, 2] > -0.118 + 0.5 * np.clip(0.005 - p[:, 0], 0, None)
    return chin & (p[:, 2] < 0.066) & (p[:, 0] > -0.055) & (np.abs(p[:, 1]) < 0.073)


def _part_of(body: BodyAsset, triangles: NDArray[np.int32], keep: NDArray[np.bool_]) -> NDArray[np.int8]:
    part = np.zeros(triangles.max() + 1, np.int8)
    part[triangles.ravel()] = np.repeat(body.part[keep], 3)
    return part


@cache
def _average(body: BodyAsset) -> tuple[Points, int]:
    """Return the average adult's rigid part of the face, and the vertex at the sellion."""
    average = body.vertices + body.displacement("identity", average_identity())
    middle = body.points["midline"]
    near = middle[np.abs(body.vertices[middle, 2]) < 0.012]
    return average[body.points["rigid"]], int(near[np.argmin(average[near, 0])])


@dataclass(frozen=True, eq=False)
class PosedFace:
    """The bust in the head frame (n, 3), and where the trunk is. Arrays follow `Bust.rows`."""

    positions: Points
    normals: Points
    trunk: Matrix
    """Pose (4, 4) that carries the resting body, given in the head frame, into the camera."""
    eyes: tuple[Matrix, Matrix]
    """Rotation (3, 3) of the left and of the right eye in the head."""
    shapes: Vector
    """The 52 shapes as drawn."""
    aim: Vector
    """Unit vector of the gaze of both eyes together in the camera's frame."""


class Figure:
    """The resting shape of one person.

    Attributes
    ----------
    vertices
        All vertices of the body asset in the head frame, m, shape (N, 3), arms as they come.
    eye_centres, eye_axes
        Centre (2, 3) and half axes (2, 3) of the left and of the right eyeball in the head frame, m.
    pivot
        Where head and neck turn, m, shape (3,).
    upright
        Rotation (3, 3) from the axes of the standing body to those of the head frame.
    """

    def __init__(self, person: Person, body: BodyAsset) -> None:
        self.person, self.body, self.bust = person, body, bust_of(body)
        shaped = body.vertices + body.displacement("identity", dict(person.identity))
        shaped += body.displacement("unit", _RESTING)
        teeth = np.unique(body.position_of[body.triangles[body.part == PARTS.index("teeth")]])
        eyes = shaped[body.points["eyes"]].mean(axis=0)
        shaped[teeth] = (shaped[teeth] - eyes) * _TEETH[0] + eyes + _TEETH[1]
        average, sellion = _average(body)
        self.upright = _fit(shaped[body.points["rigid"]], average)
        self.sellion = sellion
        self.vertices: Points = ((shaped - shaped[sellion]) @ self.upright.T).astype(np.float32)
        balls = [self.vertices[body.points[f"eyeball_{side}"]] for side in ("left", "right")]
        self.eye_centres = np.array([(b.min(0) + b.max(0)) / 2 for b in balls], dtype=np.float64)
        half = np.array([np.ptp(b, axis=0) / 2 for b in balls], dtype=np.float64)
        # The data's eyeball bulges at the cornea; ours does not, it is an ellipsoid about the same centre.
        half[:, 0] = np.minimum(half[:, 0], 0.5 * (half[:, 1] + half[:, 2]))
        self.eye_axes = half * 0.99
        self.pivot = self.vertices[body.points["neck"]].mean(axis=0).astype(np.float64)
        self.pivot[1] = 0.0
        self.limbus = float(np.arcsin(min(person.iris_radius_m / self.eye_axes[:, 1].mean(), 0.9)))
        self._rest = self.vertices[self.bust.rows]

    def posed(self, face: FacePose) -> PosedFace:
        """Return the bust as `face` wants it.

        Raises
        ------
        InputError
            When the point to look at lies where these eyes cannot turn.
        """
        angles, aim = self._looked(face)
        shapes, weights = _with_lids(face, angles)
        bust, active = self.bust, np.flatnonzero(weights)
        positions = self._rest
        if len(active):
            positions = positions + (weights[active].astype(np.float32) @ bust.units[active]).reshape(-1, 3)
        positions = self._lids_over_eyes(positions)
        trunk = self._trunk(face)
        turn = _rotation_vector(face.pose[:3, :3].T @ trunk)
        moved = _bent(positions, self.pivot, turn, bust.bend)
        at_pivot = face.pose @ pose(cv2.Rodrigues(turn)[0], self.pivot)
        return PosedFace(
            positions=moved,
            normals=bust.normals(moved),
            trunk=at_pivot @ pose(np.eye(3), -self.pivot),
            eyes=(rotation_from_ypr(*angles.left, 0.0), rotation_from_ypr(*angles.right, 0.0)),
            shapes=shapes,
            aim=aim,
        )

    def _looked(self, face: FacePose) -> tuple[EyeAngles, Vector]:
        rotation = face.pose[:3, :3]
        if isinstance(face.gaze, EyeAngles):
            each = [rotation_from_ypr(*side, 0.0)[:, 0] for side in (face.gaze.left, face.gaze.right)]
            both = rotation @ (each[0] + each[1])
            return face.gaze, both / np.linalg.norm(both)
        target = rotation.T @ (face.gaze - face.pose[:3, 3])
        found = []
        for side, centre in zip(("left", "right"), self.eye_centres, strict=True):
            x, y, z = target - centre
            yaw, pitch = float(np.arctan2(y, x)), float(np.arctan2(-z, np.hypot(x, y)))
            if not (abs(yaw) <= MAX_EYE_YAW and abs(pitch) <= MAX_EYE_PITCH):
                raise InputError(
                    f"{self.person.name} cannot look at {face.gaze.tolist()} m: the {side} eye would turn by "
                    f"yaw {np.degrees(yaw):.0f}, pitch {np.degrees(pitch):.0f} degrees; expected within "
                    f"±{np.degrees(MAX_EYE_YAW):.0f} and ±{np.degrees(MAX_EYE_PITCH):.0f}"
                )
            found.append((yaw, pitch))
        line = target - self.eye_centres.mean(axis=0)
        return EyeAngles(found[0], found[1]), rotation @ line / np.linalg.norm(line)

    def _trunk(self, face: FacePose) -> Matrix:
        """Rotation that carries the resting body, given in the head frame, into the camera's axes."""
        if face.torso is not None:
            return face.torso @ self.upright.T
        turn = _rotation_vector(FRONTAL.T @ face.pose[:3, :3])
        angle = float(np.linalg.norm(turn))
        neck = min(_NECK_SHARE * angle, _NECK_MOST)
        follow = turn * (1 - neck / angle) if angle > 1e-9 else turn
        return FRONTAL @ cv2.Rodrigues(follow)[0] @ self.upright.T

    def _lids_over_eyes(self, positions: Points) -> Points:
        """Lift what would dip into the eyeballs, so that they never shine through closed lids."""
        positions = positions.copy()
        for rows, centre, axes in zip(self.bust.near_eye, self.eye_centres, self.eye_axes, strict=True):
            centre32, axes32 = centre.astype(np.float32), (axes + _LID_GAP_M).astype(np.float32)
            away = (positions[rows] - centre32) / axes32
            length = np.sqrt(np.einsum("ij,ij->i", away, away))
            lift = np.maximum(length, 1.0) / np.maximum(length, 1e-6)
            # The back of the socket stays: only what lies in front of the ball is a lid.
            lift = np.where(away[:, 0] > 0.1, lift, np.float32(1.0))
            positions[rows] = centre32 + away * axes32 * lift[:, None]
        return positions


def _with_lids(face: FacePose, angles: EyeAngles) -> tuple[Vector, Vector]:
    """Return the shapes as told, and the weights of the face units (which may exceed 1 for a far look)."""
    if not face.lids:
        return face.shapes, face.shapes
    shapes, weights = face.shapes.copy(), face.shapes.copy()
    for side, sign, (yaw, pitch) in (("Left", 1, angles.left), ("Right", -1, angles.right)):
        towards = {"Down": pitch, "Up": -pitch, "Out": sign * yaw, "In": -sign * yaw}
        for way, angle in towards.items():
            index = expression.INDEX[f"eyeLook{way}{side}"]
            weights[index] = np.clip(np.degrees(angle) / _LOOK_DEG[way], 0.0, _LOOK_MOST)
            shapes[index] = min(weights[index], 1.0)
        wide = expression.INDEX[f"eyeWide{side}"]
        weights[wide] += _UP_WIDENS * weights[expression.INDEX[f"eyeLookUp{side}"]]
    return shapes, weights


def _rotation_vector(rotation: Matrix) -> Vector:
    return np.asarray(cv2.Rodrigues(rotation)[0][:, 0], dtype=np.float64)


def _bent(points: Points, pivot: Vector, turn: Vector, share: NDArray[np.float32]) -> Points:
    """Turn each point about the pivot by its share of a rotation vector."""
    angle = float(np.linalg.norm(turn))
    moving = np.flatnonzero(share > 0)
    if angle < 1e-9 or not len(moving):
        return points
    axis, centre = (turn / angle).astype(np.float32), pivot.astype(np.float32)
    arm = points[moving] - centre
    theta = share[moving] * np.float32(angle)
    c, s = np.cos(theta)[:, None], np.sin(theta)[:, None]
    out = points.copy()
    out[moving] = centre + arm * c + np.cross(axis, arm) * s + axis * (arm @ axis)[:, None] * (1 - c)
    return out


def _fit(points: Points, reference: Points) -> Matrix:
    """Return the rotation that turns `points` onto `reference` best, place and size apart."""
    a = (points - points.mean(axis=0)).astype(np.float64)
    b = (reference - reference.mean(axis=0)).astype(np.float64)
    left, _, right = np.linalg.svd(b.T @ a)
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)
