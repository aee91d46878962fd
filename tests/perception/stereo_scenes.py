"""Images of flat things by ray casting: two cameras whose numbers and distances are known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Grey value 0..255 at (u, v) m on the plane, NaN where the plane has ended."""


@dataclass(frozen=True)
class Pinhole:
    """A camera with plumb_bob distortion; x_camera = rotation x_left + translation."""

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Axis times angle, rad."""
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    size: tuple[int, int] = (640, 480)

    @property
    def matrix(self) -> np.ndarray:
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def from_left(self) -> np.ndarray:
        return cv2.Rodrigues(np.array(self.rotation))[0]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return where points (n, 3) of the left frame appear, by the textbook formula."""
        x, y, z = (points @ self.from_left.T + self.translation).T
        x, y = x / z, y / z
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([self.fx * u + self.cx, self.fy * v + self.cy], axis=1)


@dataclass(frozen=True)
class Plane:
    """A flat thing: its pose (4, 4) in the left frame (u along x, v along y) and what is painted on it."""

    pose: np.ndarray
    texture: Texture = field(repr=False)


@lru_cache(maxsize=8)
def _rays(camera: Pinhole, samples: int) -> np.ndarray:
    width, height = camera.size
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    u = (np.arange(width)[:, None] + offsets).ravel()
    v = (np.arange(height)[:, None] + offsets).ravel()
    grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 1, 2)
    stop = (cv2.TERM_CRITERIA_COUNT, 8, 0.0)
    rays = cv2.undistortPointsIter(grid, camera.matrix, np.array(camera.distortion), None, None, stop)
    shape = (height * samples, width * samples, 1)
    return np.concatenate([rays.reshape(*shape[:2], 2), np.ones(shape)], axis=-1).astype(np.float32)


def render(
    planes: Sequence[Plane], camera: Pinhole, *, samples: int = 2, background: float = 128.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (RGB image, distances along the optical axis in m, NaN for the background)."""
    rays = _rays(camera, samples)
    nearest = np.full(rays.shape[:2], np.inf, np.float32)
    grey = np.full(rays.shape[:2], background, np.float32)
    for plane in planes:
        rotation = (camera.from_left @ plane.pose[:3, :3]).astype(np.float32)
        origin = (camera.from_left @ plane.pose[:3, 3] + camera.translation).astype(np.float32)
        z = (rotation[:, 2] @ origin) / (rays @ rotation[:, 2])
        u, v = (np.float32(1) * (z * (rays @ rotation[:, k]) - rotation[:, k] @ origin) for k in (0, 1))
        painted = plane.texture(u, v)
        seen = (z > 0) & (z < nearest) & np.isfinite(painted)
        nearest[seen], grey[seen] = z[seen], painted[seen]
    width, height = camera.size
    blocks = (height, samples, width, samples)
    image = np.rint(grey.reshape(blocks).mean(axis=(1, 3))).astype(np.uint8)
    middle = nearest.reshape(blocks)[:, samples // 2, :, samples // 2]
    depth = np.where(np.isfinite(middle), middle, np.nan).astype(np.float32)
    return np.repeat(image[:, :, None], 3, axis=2), depth


def checkered(columns: int, rows: int, square_m: float) -> Texture:
    """Return a chessboard with `columns` x `rows` inner corners, the first at (0, 0), and a white border."""

    def texture(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        i, j = np.floor(u / square_m), np.floor(v / square_m)
        on_squares = (i >= -1) & (i < columns) & (j >= -1) & (j < rows)
        on_board = (i >= -2) & (i <= columns) & (j >= -2) & (j <= rows)
        black = on_squares & ((i + j) % 2 == 0)
        return np.where(on_board, np.where(black, 20.0, 235.0), np.nan)

    return texture


def speckled(seed: int, grain_m: float = 0.004, half_m: tuple[float, float] = (5.0, 5.0)) -> Texture:
    """Return random grey grains, interpolated, on a rectangle of +- `half_m`."""
    noise = np.random.default_rng(seed).uniform(20.0, 235.0, (512, 512)).astype(np.float32)

    def texture(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        x, y = ((np.abs(w) % (511 * grain_m)) / grain_m for w in (u + half_m[0], v + half_m[1]))
        painted = cv2.remap(noise, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
        return np.where((np.abs(u) <= half_m[0]) & (np.abs(v) <= half_m[1]), painted, np.nan)

    return texture


def plain(value: float) -> Texture:
    """Return an endless plane without any texture."""
    return lambda u, v: np.full(u.shape, value, np.float32)


def turned(angles_deg: Sequence[float], position: Sequence[float]) -> np.ndarray:
    """Return the pose (4, 4) of a plane turned about x, y, z, at `position` m."""
    pose = np.eye(4)
    for k, angle in enumerate(np.radians(angles_deg)):
        axis = np.zeros(3)
        axis[k] = angle
        pose[:3, :3] = cv2.Rodrigues(axis)[0] @ pose[:3, :3]
    pose[:3, 3] = position
    return pose


def board_poses(
    count: int, seed: int, center_m: Sequence[float], *, distance_m: float = 0.5
) -> list[np.ndarray]:
    """Return varied poses of a board whose middle is at `center_m` in its own frame."""
    rng = np.random.default_rng(seed)
    poses = []
    for _ in range(count):
        z = distance_m * rng.uniform(0.8, 1.5)
        pose = turned(rng.uniform(-32, 32, 3) * [1, 1, 0.5], (0, 0, 0))
        middle = np.array([rng.uniform(-0.22, 0.26) * z, rng.uniform(-0.22, 0.22) * z, z])
        pose[:3, 3] = middle - pose[:3, :3] @ np.array([*center_m, 0.0])
        poses.append(pose)
    return poses
