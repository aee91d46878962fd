"""Read-outs fitted on rendered people: what the landmarker's points say about head pose and gaze.

The landmarks of a face are turned into its head frame and scaled to one size; what is left is the shape
of the face, its expression, and the landmarker's own errors. Read-outs (`fabg.perception.readout`) take
these points and how the head is turned; their coefficients come from
``python -m fabg.evaluation.fit_face``. The farther a face lies from those of the fit, the less of a
correction is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fabg.expression import INDEX
from fabg.geometry import FACING, Matrix, pose
from fabg.perception.iris import iris_normals
from fabg.perception.readout import Readout, load_document, readout_from_json
from fabg.perception.types import Face

Array = NDArray[np.float64]

_IRISES = tuple(range(468, 478))
SHAPE_POINTS: tuple[int, ...] = (*range(0, 468, 4), *_IRISES)
"""Landmarks that tell the shape of a face: every fourth, and the irises."""

EYE_POINTS: tuple[int, ...] = (
    33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7,
    263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249,
    *_IRISES,
)  # fmt: skip
"""Landmarks of the eyes: lids of the right and of the left eye from the outer corner around, irises."""

EYE_SHAPES: tuple[int, ...] = tuple(
    INDEX[f"eye{what}{side}"]
    for what in ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
    for side in ("Left", "Right")
)
"""Blendshapes of the eyes."""

_FRAME_POINTS = (4, 6, 10, 33, 263, 54, 284, 67, 297, 117, 346, 119, 348, 121, 350, 129, 358, 133, 362)
"""Landmarks whose mean and spread place and scale all others; none of them moves with the mouth."""


def in_head(landmarks: Array, poses: Array) -> Array:
    """Return landmarks in the head frame, centred and scaled to one size.

    Parameters
    ----------
    landmarks
        Px of the image, shape (..., 478, 3).
    poses
        Head frames in the camera's optical frame, shape (..., 4, 4).

    Returns
    -------
    Array (..., 478, 3): x out of the face, y to the person's left, z up, as the camera sees the face
    along the ray to it; a length of 1 is the root mean square distance of the rigid points from their mean.
    """
    frame = landmarks[..., _FRAME_POINTS, :]
    moved = landmarks - frame.mean(axis=-2, keepdims=True)
    size = np.sqrt(np.square(moved[..., _FRAME_POINTS, :]).sum(axis=-1).mean(axis=-1))
    return np.asarray(moved @ seen_rotation(poses) / size[..., None, None])


def seen_rotation(poses: Array) -> Array:
    """Return rotations of heads as seen along the ray to each, shape (..., 3, 3).

    It is what a camera that looks straight at the head's origin would see.
    """
    ray = poses[..., :3, 3] / np.linalg.norm(poses[..., :3, 3], axis=-1, keepdims=True)
    x, y, z = ray[..., 0], ray[..., 1], ray[..., 2]
    zero = np.zeros_like(x)
    cross = np.stack(
        [
            np.stack([zero, zero, x], axis=-1),
            np.stack([zero, zero, y], axis=-1),
            np.stack([-x, -y, zero], axis=-1),
        ],
        axis=-2,
    )
    towards = np.eye(3) + cross + cross @ cross / (1.0 + z)[..., None, None]
    return np.asarray(np.swapaxes(towards, -1, -2) @ poses[..., :3, :3])


def context(poses: Array) -> Array:
    """Return how a head is turned and how strong the perspective is, shape (..., 4).

    Yaw, pitch and roll (rad) against a head that faces the camera, and the size of a head of 0.2 m
    as the angle under which it is seen (rad).
    """
    turned = FACING.T @ seen_rotation(poses)
    yaw = np.arctan2(turned[..., 1, 0], turned[..., 0, 0])
    pitch = np.arcsin(np.clip(-turned[..., 2, 0], -1.0, 1.0))
    roll = np.arctan2(turned[..., 2, 1], turned[..., 2, 2])
    return np.stack([yaw, pitch, roll, 0.2 / np.linalg.norm(poses[..., :3, 3], axis=-1)], axis=-1)


@dataclass(frozen=True)
class EyeReading:
    """What the eyes of one face say.

    Attributes
    ----------
    yaw, pitch
        Direction of both eyes relative to the head, rad: yaw > 0 to the own left, pitch > 0 down.
    closed_left, closed_right
        How far each eye is closed, 0..1.
    origin
        Middle between the eyeballs in the head frame, m, shape (3,).
    trust
        0 for a face unlike all those of the fit to 1.
    """

    yaw: float
    pitch: float
    closed_left: float
    closed_right: float
    origin: Array
    trust: float


class PoseFit:
    """Corrects head poses: rotation by a rotation vector in the head frame, distance by a factor."""

    def __init__(self, readout: Readout) -> None:
        self.readout = readout

    @staticmethod
    def inputs(landmarks: Array, poses: Array) -> tuple[Array, Array]:
        """Return what the read-out takes: shape points (..., d) and context (..., 4)."""
        points = in_head(landmarks, poses)[..., SHAPE_POINTS, :]
        return points.reshape(*points.shape[:-2], -1), context(poses)

    def corrections(self, landmarks: Array, poses: Array) -> Array:
        """Return rotation vectors (rad) and logarithms of the distance's factor, shape (..., 4)."""
        outputs, trust = self.readout(*self.inputs(landmarks, poses))
        return outputs * trust[..., None]

    def apply(self, landmarks: Array, measured: Matrix) -> Matrix:
        """Return the corrected pose (4, 4) of a face with landmarks (478, 3) and a measured pose (4, 4)."""
        correction = self.corrections(landmarks, measured)
        rotation = measured[:3, :3] @ rotation_from_vector(correction[:3])
        return pose(rotation, measured[:3, 3] * float(np.exp(correction[3])))


class GazeFit:
    """Reads the eyes of a face whose pose is known."""

    def __init__(self, readout: Readout, origin: Array) -> None:
        self.readout = readout
        self.origin = origin

    @staticmethod
    def inputs(landmarks: Array, blendshapes: Array, poses: Array) -> tuple[Array, Array]:
        """Return what the read-out takes: eye points with blendshapes (..., d), and context (..., 8)."""
        points = in_head(landmarks, poses)[..., EYE_POINTS, :]
        flat = points.reshape(*points.shape[:-2], -1)
        # Where the irises face, in the head frame; what is turned away from the head alone: y and z.
        facing = iris_normals(landmarks) @ seen_rotation(poses)
        around = np.concatenate([context(poses), facing[..., 0, 1:], facing[..., 1, 1:]], axis=-1)
        return np.concatenate([flat, blendshapes[..., EYE_SHAPES]], axis=-1), around

    def read(self, face: Face) -> EyeReading:
        """Return what the eyes of a face say; its landmarks must be finite."""
        outputs, trust = self.readout(*self.inputs(face.landmarks, face.blendshapes, face.pose))
        yaw, pitch, left, right = (float(v) for v in outputs)
        closed_left, closed_right = (min(max(v, 0.0), 1.0) for v in (left, right))
        return EyeReading(yaw, pitch, closed_left, closed_right, self.origin, float(trust))


def rotation_from_vector(vector: Array) -> Matrix:
    """Return the rotation (3, 3) about the axis and by the length (rad) of a vector (3,): Rodrigues' formula."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross)


@cache
def pose_fit() -> PoseFit:
    """Return the fitted correction of head poses.

    Raises
    ------
    ModelFileError
        When ``data/pose.json`` is missing or not readable.
    """
    return PoseFit(readout_from_json(load_document("pose.json")))


@cache
def gaze_fit() -> GazeFit:
    """Return the fitted read-out of the eyes.

    Raises
    ------
    ModelFileError
        When ``data/gaze.json`` is missing or not readable.
    """
    document = load_document("gaze.json")
    return GazeFit(readout_from_json(document), np.array(document["origin_m"]))
