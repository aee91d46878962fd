"""The studio in which pictures of people are taken, and what is true of them; see `fabg.social.avatar`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.pose import Camera
from fabg.perception.types import Roi, Side
from fabg.social.avatar.poses import (
    Actor,
    EyeAngles,
    Fingers,
)
from fabg.social.avatar.render import FaceSeen, HandSeen, Renderer
from fabg.social.avatar.scene import Background, Lens, Light, through_lens

Vector = NDArray[np.float64]

SIZE_FACTOR = 1.07
"""Everything is drawn larger by this: the data's adults have 57 mm between the eyes on average, people have 63
(Dodgson: "Variation and extrema of human interpupillary distance", SPIE 5291, 2004). Only a part of the difference
is made up for, or hands and bodies would become too large."""


@dataclass(frozen=True, eq=False)
class FaceTruth:
    """What is true of one face.

    Attributes
    ----------
    actor
        Index into the actors of the picture.
    pose
        Head frame in the camera, (4, 4): see `fabg.social.avatar.figure` for how it sits on the head.
    shapes
        The 52 ARKit shapes as drawn, with the `eyeLook...` that follow from the gaze.
    eyes
        Centres of the left and right eyeball, m, (2, 3).
    directions
        Unit vectors of the left and right line of sight, (2, 3).
    irises
        Middles of the discs of the left and right iris, m, (2, 3); `irises_px` (2, 2) in the image.
    origin, gaze
        Middle between the eyes, m, (3,), and the unit vector from there along the gaze, (3,): to the
        point looked at, or the mean of both lines of sight.
    eye_yaw_rad, eye_pitch_rad
        `gaze` relative to the head, REP-103.
    box
        Rectangle around the visible part of the face (hairline to chin, without ears), px; None when
        nothing of it is seen.
    visible
        Share of the face's front that is in the image and not hidden, 0..1.
    """

    actor: int
    pose: Vector
    shapes: Vector
    eyes: Vector
    directions: Vector
    irises: Vector
    irises_px: Vector
    origin: Vector
    gaze: Vector
    eye_yaw_rad: float
    eye_pitch_rad: float
    box: Roi | None
    visible: float


@dataclass(frozen=True, eq=False)
class HandTruth:
    """What is true of one hand.

    Attributes
    ----------
    actor
        Index into the actors of the picture.
    side
        LEFT or RIGHT as the owner says.
    pose
        Hand frame in the camera, (4, 4): see `fabg.social.avatar.poses.HandPose`.
    fingers
        How they are bent.
    joints_m, joints_px
        MediaPipe's 21 joints in the camera, m, (21, 3), and in the image, px, (21, 2).
    palm
        Middle of the palm, m, (3,).
    pointing
        Unit vector from the index finger's knuckle to its tip, (3,).
    box
        Rectangle around the visible part of the hand, px; None when nothing of it is seen.
    visible
        Share of the side of the hand that faces the camera which is in the image and not hidden, 0..1.
    """

    actor: int
    side: Side
    pose: Vector
    fingers: Fingers
    joints_m: Vector
    joints_px: Vector
    palm: Vector
    pointing: Vector
    box: Roi | None
    visible: float


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture and its ground truth.

    Attributes
    ----------
    image
        RGB, uint8, (H, W, 3).
    depth
        Distance along the optical axis for each pixel, float32, m, (H, W); NaN where nobody is.
        It is sampled at pixel centres and knows nothing of blur.
    faces, hands
        In the order of the actors.
    camera
        The camera that the picture was taken with.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    faces: tuple[FaceTruth, ...]
    hands: tuple[HandTruth, ...]
    camera: Camera


class Studio:
    """Takes pictures. Close it, or use it as a context manager; may be used from any one thread at a time.

    Parameters
    ----------
    camera
        Focal lengths and principal point of the pictures.
    size
        Width and height, px, 16..4096.
    samples
        Samples a pixel along edges (multisampling): 0 or 4.

    Raises
    ------
    InputError
        When size or samples are out of range.
    ModelFileError
        When the body's mesh data are missing.
    EnvironmentProblem
        When there is no OpenGL 3.3 through EGL.
    """

    def __init__(self, camera: Camera, size: tuple[int, int] = (640, 480), *, samples: int = 4) -> None:
        if len(size) != 2 or not all(16 <= n <= 4096 for n in size):
            raise InputError(f"size is {size}: expected (width, height) from 16 to 4096 px")
        if samples not in (0, 4):
            raise InputError(f"samples is {samples}: expected 0 or 4")
        self.camera = camera
        self.size = (int(size[0]), int(size[1]))
        self._renderer = Renderer(camera, self.size, samples)

    def render(
        self,
        actors: Sequence[Actor],
        *,
        light: Light | None = None,
        background: Background | None = None,
        lens: Lens | None = None,
        seed: int = 0,
    ) -> Picture:
        """Return a picture of people.

        Parameters
        ----------
        actors
            Who is in it; nobody is allowed.
        light, background, lens
            The defaults are a lit room's, and a perfect lens.
        seed
            Fixes noise and cluttered backgrounds, >= 0.

        Raises
        ------
        InputError
            When the studio is closed, or a face cannot look where it is told to.
        """
        lens = lens or Lens()
        if seed < 0:
            raise InputError(f"seed is {seed}: expected a whole number from 0")
        # A world that is smaller as a whole looks the same: people of the data's size stand nearer by as much.
        nearer = [placed(actor, 1.0 / SIZE_FACTOR) for actor in actors]
        image, depth, seen = self._renderer.draw(
            nearer, light or Light(), background or Background(), 2.0**lens.exposure_ev, seed
        )
        return Picture(
            image=through_lens(image, lens, seed),
            depth=depth * np.float32(SIZE_FACTOR),
            faces=tuple(self._face_truth(i, face) for i, (face, _) in enumerate(seen) if face is not None),
            hands=tuple(self._hand_truth(i, hand) for i, (_, hands) in enumerate(seen) for hand in hands),
            camera=self.camera,
        )

    def _face_truth(self, actor: int, seen: FaceSeen) -> FaceTruth:
        pose = _scaled(seen.pose, SIZE_FACTOR)
        rotation, position = pose[:3, :3], pose[:3, 3]
        figure, posed = seen.figure, seen.posed
        in_head = np.stack([eye[:, 0] for eye in posed.eyes])
        directions = in_head @ rotation.T
        # The rim of the iris is a level of the ellipsoid along the line of sight; its disc lies there.
        discs = figure.eye_centres + np.cos(figure.limbus) * figure.eye_axes * in_head
        irises = SIZE_FACTOR * discs @ rotation.T + position
        eyes = SIZE_FACTOR * figure.eye_centres @ rotation.T + position
        x, y, z = rotation.T @ posed.aim
        return FaceTruth(
            actor=actor,
            pose=pose,
            shapes=posed.shapes.copy(),
            eyes=eyes,
            directions=directions,
            irises=irises,
            irises_px=self.project(irises),
            origin=eyes.mean(axis=0),
            gaze=posed.aim,
            eye_yaw_rad=float(np.arctan2(y, x)),
            eye_pitch_rad=float(np.arctan2(-z, np.hypot(x, y))),
            box=seen.box,
            visible=seen.visible,
        )

    def _hand_truth(self, actor: int, seen: HandSeen) -> HandTruth:
        pose, joints = _scaled(seen.hand.pose, SIZE_FACTOR), SIZE_FACTOR * seen.joints
        index = joints[8] - joints[5]
        return HandTruth(
            actor=actor,
            side=seen.hand.side,
            pose=pose,
            fingers=seen.hand.fingers,
            joints_m=joints,
            joints_px=self.project(joints),
            palm=pose[:3, 3].copy(),
            pointing=index / np.linalg.norm(index),
            box=seen.box,
            visible=seen.visible,
        )

    def project(self, points: Vector) -> Vector:
        """Return where points (n, 3) in front of the camera appear, px, (n, 2)."""
        c = self.camera
        return points[:, :2] / points[:, 2:] * [c.fx, c.fy] + [c.cx, c.cy]

    def close(self) -> None:
        """Free the graphics memory. Further pictures are refused."""
        self._renderer.close()

    def __enter__(self) -> Studio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _scaled(pose: Vector, factor: float) -> Vector:
    """Return a pose (4, 4) with its position scaled."""
    out = pose.copy()
    out[:3, 3] *= factor
    return out


def placed(actor: Actor, factor: float) -> Actor:
    """Return somebody with all positions scaled. They have been checked as given."""
    moved = copy.copy(actor)
    if actor.face is not None:
        face = copy.copy(actor.face)
        object.__setattr__(face, "pose", _scaled(face.pose, factor))
        if not isinstance(face.gaze, EyeAngles):
            object.__setattr__(face, "gaze", face.gaze * factor)
        object.__setattr__(moved, "face", face)
    hands = tuple(copy.copy(hand) for hand in actor.hands)
    for hand in hands:
        object.__setattr__(hand, "pose", _scaled(hand.pose, factor))
    object.__setattr__(moved, "hands", hands)
    return moved
