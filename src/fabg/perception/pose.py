"""Where a head is and how it is turned, from its landmarks.

The landmarker's rotation holds for a camera of its own that looks at the middle of the crop. The real
camera sees the crop along another ray, so the rotation is turned by that ray; the position then
follows from the real camera's rays to the landmarks of a face of average size by least squares. What is
then still wrong, because no face is the average one, a fitted correction tells from the landmarks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError, InputError
from fabg.geometry import Matrix, pose
from fabg.perception.facefit import pose_fit

# Rigid vertices of MediaPipe's canonical face model (centimetres; x to the person's left, y up, z out
# of the face), as stored in face_landmarker.task: vertex, x, y, z, weight. They and their weights
# are the ones from which the landmarker solves its own rotation.
_RIGID = np.array(
    [
        (4, 0.000, -0.463, 7.587, 0.0709),
        (6, 0.000, 2.473, 5.789, 0.0321),
        (10, 0.000, 8.262, 4.482, 0.0084),
        (33, -4.446, 2.664, 3.173, 0.0587),
        (263, 4.446, 2.664, 3.173, 0.0587),
        (54, -6.279, 6.615, 1.426, 0.0077),
        (284, 6.279, 6.615, 1.426, 0.0077),
        (67, -3.524, 8.006, 3.729, 0.0091),
        (297, 3.524, 8.006, 3.729, 0.0091),
        (117, -5.259, 0.946, 2.974, 0.0098),
        (346, 5.259, 0.946, 2.974, 0.0098),
        (119, -3.301, 0.862, 3.873, 0.0146),
        (348, 3.301, 0.862, 3.873, 0.0146),
        (121, -1.821, 1.468, 4.224, 0.0186),
        (350, 1.821, 1.468, 4.224, 0.0186),
        (129, -1.786, -0.978, 4.850, 0.1206),
        (358, 1.786, -0.978, 4.850, 0.1206),
        (133, -1.856, 2.585, 3.758, 0.0533),
        (362, 1.856, 2.585, 3.758, 0.0533),
        (143, -6.408, 2.236, 1.561, 0.0148),
        (372, 6.408, 2.236, 1.561, 0.0148),
        (198, -1.247, 0.230, 5.681, 0.0255),
        (420, 1.247, 0.230, 5.681, 0.0255),
    ]
)
_VERTICES = _RIGID[:, 0].astype(int)
_POINTS_M = _RIGID[:, 1:4] / 100.0
_ROOT_WEIGHTS = np.sqrt(_RIGID[:, 4])

_SELLION_M = _POINTS_M[list(_VERTICES).index(6)]

_CANONICAL_FROM_HEAD = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_OPTICAL_FROM_GL = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal lengths and principal point, px.

    Raises
    ------
    ConfigError
        When a number is not finite or a focal length is not positive.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if not (
            all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy))) and self.fx > 0 and self.fy > 0
        ):
            raise ConfigError(f"{self} is not a camera: expected finite numbers and positive focal lengths")

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_fov_deg: float) -> Camera:
        """Return a camera with square pixels that sees `horizontal_fov_deg` across an image of this size."""
        focal = width / 2.0 / math.tan(math.radians(horizontal_fov_deg) / 2.0)
        return cls(focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)

    def scaled(self, factor: float) -> Camera:
        """Return the camera of an image resized by `factor`."""
        half = (factor - 1.0) / 2.0  # pixel centres lie at whole numbers
        return Camera(self.fx * factor, self.fy * factor, self.cx * factor + half, self.cy * factor + half)

    def rays(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rays (n, 2) at depth 1 through pixels (n, 2)."""
        return (pixels - [self.cx, self.cy]) / [self.fx, self.fy]


def head_pose(
    landmarks: NDArray[np.float64], rotation: NDArray[np.float64], center: tuple[float, float], camera: Camera
) -> Matrix:
    """Return the head frame in the camera's optical frame, 4 x 4, metres.

    It is the `geometric_pose`, which see for the parameters and errors, corrected by what is particular in
    the face (`fabg.perception.facefit`).

    Raises
    ------
    ModelFileError
        When the fitted correction is missing or not readable.
    """
    return pose_fit().apply(landmarks, geometric_pose(landmarks, rotation, center, camera))


def geometric_pose(
    landmarks: NDArray[np.float64], rotation: NDArray[np.float64], center: tuple[float, float], camera: Camera
) -> Matrix:
    """Return the head frame of a face of average shape in the camera's optical frame, 4 x 4, metres.

    Parameters
    ----------
    landmarks
        468 or more points in px of the full image, shape (n, >= 2).
    rotation
        Rotation part (3, 3) of the landmarker's transformation matrix (canonical face in its own
        camera, x right, y up, z backward).
    center
        Pixel of the full image in the middle of the crop that the landmarker was given.
    camera
        The camera of the full image.

    Raises
    ------
    InputError
        When the numbers are not finite or put the face behind the camera.
    """
    if not (np.isfinite(landmarks).all() and np.isfinite(rotation).all()):
        raise InputError("landmarks or rotation hold NaN or infinity")
    u, v = camera.rays(np.array([center]))[0]
    from_canonical = _towards(float(u), float(v)) @ _OPTICAL_FROM_GL @ _orthonormal(rotation)
    position = _position(from_canonical, camera.rays(landmarks[_VERTICES, :2]))
    return pose(from_canonical @ _CANONICAL_FROM_HEAD, position + from_canonical @ _SELLION_M)


def _towards(u: float, v: float) -> Matrix:
    """Return the shortest rotation from the optical axis to the ray (u, v, 1)."""
    ray = np.array([u, v, 1.0]) / math.sqrt(u * u + v * v + 1.0)
    ax, ay, c = -ray[1], ray[0], ray[2]  # axis = z x ray, not normalised: its length is the sine
    cross = np.array([[0.0, 0.0, ay], [0.0, 0.0, -ax], [-ay, ax, 0.0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1.0 + c))


def _orthonormal(matrix: NDArray[np.float64]) -> Matrix:
    left, _, right = np.linalg.svd(np.asarray(matrix, dtype=np.float64)[:3, :3])
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)


def _position(rotation: Matrix, rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the canonical origin must be for the rigid points to lie on their rays."""
    turned = _POINTS_M @ rotation.T
    # ray * (turned_z + tz) = turned_xy + t_xy, linear in t.
    n = len(rays)
    rows = np.zeros((2 * n, 3))
    rows[:n, 0] = rows[n:, 1] = 1.0
    rows[:n, 2], rows[n:, 2] = -rays[:, 0], -rays[:, 1]
    right = np.concatenate(
        [rays[:, 0] * turned[:, 2] - turned[:, 0], rays[:, 1] * turned[:, 2] - turned[:, 1]]
    )
    weights = np.tile(_ROOT_WEIGHTS, 2)
    position = np.linalg.lstsq(rows * weights[:, None], right * weights, rcond=None)[0]
    if not np.isfinite(position).all() or position[2] <= 0.0:
        raise InputError(
            f"the landmarks put the face at {position} m: expected a place in front of the camera"
        )
    return np.asarray(position)
