"""Where a hand is in space, whose it is, and whether it is held out.

The landmark net tells the joints' places around the middle of the hand as a camera would see them that
looks straight at it. They are turned by the real camera's ray to there and pushed along the rays of the
joints until they fit by least squares. That gives a distance for a hand of the size that the net
believes in; with a measured distance of the palm everything is scaled until it fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.geometry import Matrix, pose
from fabg.perception.hand_landmark import INDEX_MCP, MIDDLE_MCP, PALM, PINKY_MCP, WRIST, HandReading
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, Face, Side

_KNUCKLES = [5, 9, 13, 17]
_PALM_WRIST = 0.37
"""Share of the wrist in the middle of the palm; the rest is that of the knuckles."""
_HALF_PALM_M = 0.018
"""The joints lie so far behind the skin that a depth image shows."""
_PALM_PART = 0.7
"""So much of the palm's outline is read in a depth image: its border may show what is behind."""
_MIN_DEPTH_PX = 6
_MIN_DEPTH_PART = 0.15
_MAX_DEPTH_RATIO = 1.8
"""A measured distance that differs more from the monocular one is not that of the hand."""

_ARM_REACH = 5.0
"""A hand is at most so many face widths away from the middle of the shoulders."""
_SHOULDERS_BELOW = 1.4
"""The middle of the shoulders below the middle of the face, in face widths."""
_OTHER_SIDE_COST = 0.15
_KEEP_OWNER_BONUS = 0.35
_FACE_DEPTH_COST = 0.5
HANDS_PER_PERSON = 2

_SLACK_M, _SLACK_RAD = 0.05, 0.17


def place(reading: HandReading, camera: Camera) -> NDArray[np.float64]:
    """Return the 21 joints in the camera's optical frame for a hand of average size, m, shape (21, 3).

    Raises
    ------
    InputError
        When the joints would lie behind the camera.
    """
    turned = reading.world_m @ towards(camera, reading.region.x, reading.region.y).T
    rays = camera.rays(reading.landmarks_px)
    n = len(rays)
    # ray * (turned_z + tz) = turned_xy + t_xy, linear in t.
    rows = np.zeros((2 * n, 3))
    rows[:n, 0] = rows[n:, 1] = 1.0
    rows[:n, 2], rows[n:, 2] = -rays[:, 0], -rays[:, 1]
    right = (rays * turned[:, 2:] - turned[:, :2]).T.ravel()
    shift = np.linalg.lstsq(rows, right, rcond=None)[0]
    z = turned[:, 2] + shift[2]
    if not np.isfinite(shift).all() or z.min() <= 0.0:
        raise InputError(f"the joints put the hand at {shift} m: expected a place in front of the camera")
    # Each joint stays on its own ray: seen from the camera it is where the image shows it.
    return np.column_stack([rays * z[:, None], z])


def towards(camera: Camera, x: float, y: float) -> NDArray[np.float64]:
    """Return the shortest rotation from the optical axis to the ray through a pixel."""
    u, v = camera.rays(np.array([[x, y]]))[0]
    sine = math.hypot(u, v)
    if sine < 1e-12:
        return np.eye(3)
    axis = np.array([-v, u, 0.0]) / sine * math.atan(sine)
    return np.asarray(cv2.Rodrigues(axis)[0])


def palm_center(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middle of the palm of joints (21, n): on the way from the wrist to the knuckles."""
    return np.asarray(
        _PALM_WRIST * landmarks[WRIST] + (1.0 - _PALM_WRIST) * landmarks[_KNUCKLES].mean(axis=0)
    )


def hand_size_px(landmarks_px: NDArray[np.float64]) -> float:
    """Return the size of a hand in the image, px: the side of the square around its joints."""
    extent = landmarks_px.max(axis=0) - landmarks_px.min(axis=0)
    return float(extent.max())


def palm_distance(
    depth: Depth, landmarks_px: NDArray[np.float64], expected_m: float, *, deeper_m: float = 0.0
) -> float | None:
    """Return the depth of the palm's middle behind its skin, m; None when the depth image does not tell.

    Parameters
    ----------
    depth
        Distances of the image's pixels.
    landmarks_px
        The joints, shape (21, 2), px.
    expected_m
        The monocular distance; values that are far from it belong to something else.
    deeper_m
        The palm's middle lies so much farther behind what is seen than in an open hand.
    """
    height, width = depth.z_m.shape
    outline = landmarks_px[list(PALM)]
    middle = palm_center(landmarks_px)
    outline = middle + _PALM_PART * (outline - middle)
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2, [width, height])
    if (high - low < 1).any():
        return None
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(outline - low).astype(np.int32)), 1)
    values = depth.z_m[low[1] : high[1], low[0] : high[0]][mask > 0]
    near, far = expected_m / _MAX_DEPTH_RATIO, expected_m * _MAX_DEPTH_RATIO
    with np.errstate(invalid="ignore"):
        good = values[(values > near) & (values < far)]  # NaN compares as false
    if good.size < max(_MIN_DEPTH_PX, _MIN_DEPTH_PART * values.size):
        return None
    return float(np.median(good)) + _HALF_PALM_M + deeper_m


def owners(
    positions: Mapping[str, NDArray[np.float64]],
    places_px: Mapping[str, NDArray[np.float64]],
    sides: Mapping[str, Side],
    faces: Sequence[Face],
    before: Mapping[str, str],
) -> dict[str, str]:
    """Return the face id of each hand's owner, by hand id; hands that nobody fits are left out.

    Parameters
    ----------
    positions
        Middles of the palms in the optical frame, m.
    places_px
        The same in the image, px.
    sides
        Left or right, as far as it is known.
    faces
        Who is there.
    before
        The owners in the image before: they keep their hands unless somebody fits much better.
    """
    priced = []
    for hand_id, position in positions.items():
        for face in faces:
            cost = _owner_cost(position, places_px[hand_id], sides[hand_id], face)
            if before.get(hand_id) == face.id:
                cost -= _KEEP_OWNER_BONUS
            if cost < 1.0:
                priced.append((cost, hand_id, face.id))
    found: dict[str, str] = {}
    for _, hand_id, face_id in sorted(priced):
        if hand_id not in found and list(found.values()).count(face_id) < HANDS_PER_PERSON:
            found[hand_id] = face_id
    return found


def _owner_cost(
    position: NDArray[np.float64], place_px: NDArray[np.float64], side: Side, face: Face
) -> float:
    """Return 0 for a hand at the middle of somebody's shoulders, 1 for one at the end of the arm."""
    width = max(face.roi.width, 1.0)
    x, y = face.roi.center
    across = (place_px[0] - x) / width
    down = (place_px[1] - y) / width - _SHOULDERS_BELOW
    # A hand that is nearer than the face is larger in the image, and so is its way.
    nearer = max(float(face.pose[2, 3]), 0.05) / max(float(position[2]), 0.05)
    cost = math.hypot(across, down) / (_ARM_REACH * min(max(nearer, 1.0), 2.5))
    # Own right is the image's left.
    other = (side == Side.RIGHT and across > 0.5) or (side == Side.LEFT and across < -0.5)
    behind = max(float(position[2] - face.pose[2, 3]) - 0.15, 0.0)
    return cost + _OTHER_SIDE_COST * other + _FACE_DEPTH_COST * behind


@dataclass(frozen=True, kw_only=True)
class ReachRule:
    """When a hand counts as held out to the robot.

    Attributes
    ----------
    nearer_m
        So much nearer to the camera than the owner's face.
    below_m
        At most so far below the owner's face.
    distance_m
        Without an owner in sight: nearer to the camera than this.
    hang_rad
        Wrist to knuckles points at most so far below the horizontal (a pointing hand may point down).
    """

    nearer_m: float
    below_m: float
    distance_m: float
    hang_rad: float

    def loosened(self) -> ReachRule:
        """Return what suffices to go on being held out."""
        return ReachRule(
            nearer_m=self.nearer_m - _SLACK_M,
            below_m=self.below_m + _SLACK_M,
            distance_m=self.distance_m + _SLACK_M,
            hang_rad=self.hang_rad + _SLACK_RAD,
        )


def is_held_out(landmarks_m: NDArray[np.float64], owner: Face | None, rule: ReachRule, points: bool) -> bool:
    """Return whether a hand is held out to the robot.

    Parameters
    ----------
    landmarks_m
        The joints in the camera's optical frame, shape (21, 3). "Down" is the image's: the robot's
        camera is taken to stand upright.
    owner
        The face of the owner, None when it is not in sight.
    rule
        The limits.
    points
        True for a hand whose index finger points: it may point down.
    """
    position = palm_center(landmarks_m)
    distance = float(np.linalg.norm(position))
    near = distance <= rule.distance_m
    if owner is not None:
        head = owner.pose[:3, 3]
        near = float(np.linalg.norm(head)) - distance >= rule.nearer_m
        near = near and float(position[1] - head[1]) <= rule.below_m
    along = landmarks_m[MIDDLE_MCP] - landmarks_m[WRIST]
    sine = float(np.clip(along[1] / max(np.linalg.norm(along), 1e-9), -1.0, 1.0))
    return near and (points or math.asin(sine) <= rule.hang_rad)


def hand_frame(landmarks_m: NDArray[np.float64], side: Side) -> Matrix:
    """Return the hand's frame in the camera's optical frame, 4 x 4, m.

    The origin is the middle of the palm, x points from the wrist to the middle finger's knuckle, z out of
    the back of the hand, and y = z x x: to the thumb of a right hand, away from that of a left one.
    """
    x = _unit(landmarks_m[MIDDLE_MCP] - landmarks_m[WRIST], np.array([0.0, -1.0, 0.0]))
    across = landmarks_m[INDEX_MCP] - landmarks_m[PINKY_MCP]
    if side == Side.LEFT:
        across = -across
    y = _unit(across - x * float(across @ x), np.cross([0.0, 0.0, 1.0], x))
    return pose(np.stack([x, y, np.cross(x, y)], axis=1), palm_center(landmarks_m))


def _unit(vector: NDArray[np.float64], otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else otherwise
