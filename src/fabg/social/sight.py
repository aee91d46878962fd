"""What the robot's cameras see of a scene: images, depth, and what perception makes of them.

    with StereoRig() as rig:
        left, right, depth = rig.rgbd(scene)
    with SceneCamera() as camera, Pipeline() as pipeline:
        observation = camera.observe(pipeline, scene)

The cameras are fixed to the base and look along its x. Nothing here knows what is true: what goes into
an image comes from the scene alone, what comes out of it from perception alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabg.errors import InputError
from fabg.geometry import OPTICAL_FROM_BODY, Matrix, inverse, pose
from fabg.perception.pipeline import Pipeline
from fabg.perception.pose import Camera
from fabg.perception.scene import Scene
from fabg.perception.types import Depth, DepthSource, Frame
from fabg.policy.base import HandObservation, Observation, PersonObservation
from fabg.social.arms import forearm
from fabg.social.avatar import Picture, Studio
from fabg.social.avatar.pair import PairStudio
from fabg.social.avatar.people import Person
from fabg.social.avatar.poses import (
    MAX_EYE_PITCH,
    MAX_EYE_YAW,
    Actor,
    EyeAngles,
    FacePose,
    HandPose,
    hand_shape,
)
from fabg.social.avatar.scene import Background, Lens, Light, through_lens
from fabg.social.stage import CAMERA_M, TICK_S, PersonState, SceneState

Image = NDArray[np.uint8]
Depths = NDArray[np.float32]

BASELINE_M = 0.063
"""Distance of the two cameras of a pair, m: that of human eyes."""
UNKNOWN_DEPTH = 0.0
"""Value of a depth image where nothing is known, as depth cameras give it."""

NEAREST_M, FARTHEST_M = 0.12, 20.0
"""Heads and hands outside this range along the optical axis are not drawn."""

_INDEX_TIP = 8  # of MediaPipe's joints
_EYE_MARGIN_RAD = math.radians(4.0)
_EYES_M = ((-0.015, 0.033, -0.010), (-0.015, -0.033, -0.010))  # of an average head, from the sellion


def base_from_camera(left_m: float = 0.0) -> Matrix:
    """Return the pose (4, 4) in the base frame of a camera that stands `left_m` to the left of the middle."""
    x, y, z = CAMERA_M
    return pose(OPTICAL_FROM_BODY.T, (x, y + left_m, z))


@dataclass(frozen=True)
class Setting:
    """Light, background and lens of all pictures of an episode.

    Attributes
    ----------
    light, background, lens
        As for `fabg.social.avatar.Studio`; the light is the same for every camera.
    seed
        Fixes a cluttered background, and the noise together with the time of the scene; >= 0.
    """

    light: Light = field(default_factory=Light)
    background: Background = field(default_factory=Background)
    lens: Lens = field(default_factory=Lens)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: expected a whole number from 0")


# Who is in the picture ---------------------------------------------------------------------------


def actors_of(scene: SceneState, camera_from_base: Matrix) -> list[Actor]:
    """Return the people of a scene as a camera has them before it, in the order of the scene.

    Heads and hands that are nearer than `NEAREST_M`, or further than `FARTHEST_M`, are left out, and with
    them people of whom nothing is left. Eyes turn as far as eyes do when the point they should meet on lies
    further aside.

    Raises
    ------
    InputError
        When something in the scene is not finite, or no hand shape.
    """
    return [actor for person in scene.people if (actor := _actor(person, camera_from_base)) is not None]


def _actor(person: PersonState, camera_from_base: Matrix) -> Actor | None:
    check_finite(person)
    head = camera_from_base @ pose(person.rotation, person.position_m)
    face = None
    if _drawn(head):
        face = FacePose(head, np.clip(person.shapes, 0.0, 1.0), _gaze(person, head, camera_from_base))
    hands = tuple(
        HandPose(hand.side, at, hand_shape(hand.shape), camera_from_base[:3, :3] @ forearm(person, hand))
        for hand in person.hands
        if _drawn(at := camera_from_base @ hand.pose)
    )
    return Actor(_person(person.seed), face, hands) if face is not None or hands else None


def _drawn(at: Matrix) -> bool:
    return bool(NEAREST_M <= at[2, 3] <= FARTHEST_M)


def check_finite(person: PersonState) -> None:
    """Refuse somebody with a number that is none.

    Raises
    ------
    InputError
        When a value is NaN or infinite.
    """
    values: dict[str, ArrayLike] = {
        "position_m": person.position_m,
        "head": person.head,
        "shapes": person.shapes,
        "look_at_m": person.look_at_m,
        **{f"hand {hand.side.name}": hand.pose for hand in person.hands},
    }
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(
                f"{name} of {person.id} is {np.asarray(value).tolist()}: expected finite numbers"
            )


def _gaze(person: PersonState, head: Matrix, camera_from_base: Matrix) -> EyeAngles | NDArray[np.float64]:
    """Return the point to look at in the camera's frame, or angles when the eyes cannot turn that far."""
    target = camera_from_base[:3, :3] @ person.look_at_m + camera_from_base[:3, 3]
    in_head = head[:3, :3].T @ (target - head[:3, 3])
    most_yaw, most_pitch = MAX_EYE_YAW - _EYE_MARGIN_RAD, MAX_EYE_PITCH - _EYE_MARGIN_RAD
    found, reached = [], True
    for eye in _EYES_M:
        x, y, z = in_head - eye
        yaw, pitch = math.atan2(y, x), math.atan2(-z, math.hypot(x, y))
        limited = min(max(yaw, -most_yaw), most_yaw), min(max(pitch, -most_pitch), most_pitch)
        reached = reached and limited == (yaw, pitch)
        found.append(limited)
    return target if reached else EyeAngles(found[0], found[1])


@lru_cache(maxsize=256)
def _person(seed: int) -> Person:
    return Person.random(seed)


# The cameras -------------------------------------------------------------------------------------


class StereoRig:
    """Two cameras beside each other with the left one's depth: what the `rgbd` observation is made of.

    Parameters
    ----------
    size
        Width and height of one image, px.
    fov_deg
        Horizontal field of view.
    setting
        Light, background, lens. May be replaced between pictures, e.g. at the start of an episode.
    """

    def __init__(
        self, size: tuple[int, int] = (160, 120), *, fov_deg: float = 90.0, setting: Setting | None = None
    ) -> None:
        self.camera = Camera.from_fov(*size, fov_deg)
        self.setting = setting or Setting()
        self.base_from_left = base_from_camera(BASELINE_M / 2)
        self.base_from_right = base_from_camera(-BASELINE_M / 2)
        self._left_from_base = inverse(self.base_from_left)
        self._studio = PairStudio(self.camera, size, baseline_m=BASELINE_M)

    def rgbd(self, scene: SceneState) -> tuple[Image, Image, Depths]:
        """Return the left image, the right image (RGB, uint8, (H, W, 3)) and the left one's depth.

        The depth is the distance along the optical axis, float32, m, (H, W); `UNKNOWN_DEPTH` where nobody is.
        It has no noise. The same scene and setting give the same bytes.

        Raises
        ------
        InputError
            When the rig is closed, or something in the scene is not finite.
        """
        s = self.setting
        left, right, depth = self._studio.render(
            actors_of(scene, self._left_from_base),
            light=s.light, background=s.background, exposure_ev=s.lens.exposure_ev, seed=s.seed,
        )  # fmt: skip
        np.nan_to_num(depth, copy=False, nan=UNKNOWN_DEPTH)
        first = 2 * _noise_seed(s, scene)
        return through_lens(left, s.lens, first), through_lens(right, s.lens, first + 1), depth

    def close(self) -> None:
        """Free the graphics memory. Further pictures are refused."""
        self._studio.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SceneCamera:
    """One camera in the middle, for perception and for people to look through.

    Parameters
    ----------
    size
        Width and height of the images, px.
    fov_deg
        Horizontal field of view.
    setting
        Light, background, lens. May be replaced between pictures.
    samples
        Samples a pixel along edges: 0 or 4.
    """

    def __init__(
        self,
        size: tuple[int, int] = (640, 480),
        *,
        fov_deg: float = 60.0,
        setting: Setting | None = None,
        samples: int = 4,
    ) -> None:
        self.camera = Camera.from_fov(*size, fov_deg)
        self.setting = setting or Setting()
        self.base_from_camera = base_from_camera()
        self._camera_from_base = inverse(self.base_from_camera)
        self._studio = Studio(self.camera, size, samples=samples)

    def picture(self, scene: SceneState) -> Picture:
        """Return the image with its ground truth, in the camera's frame.

        Raises
        ------
        InputError
            When the camera is closed, or something in the scene is not finite.
        """
        s = self.setting
        picture = self._studio.render(
            actors_of(scene, self._camera_from_base),
            light=s.light, background=s.background, lens=Lens(exposure_ev=s.lens.exposure_ev), seed=s.seed,
        )  # fmt: skip
        return replace(picture, image=through_lens(picture.image, s.lens, _noise_seed(s, scene)))

    def frame(self, scene: SceneState, *, depth: bool = False) -> Frame:
        """Return the image as a camera gives it, stamped with the time of the scene; with depth if wanted."""
        picture = self.picture(scene)
        sensed = Depth(picture.depth, DepthSource.SENSOR) if depth else None
        return Frame(picture.image, scene.time_s, sensed)

    def observe(self, pipeline: Pipeline, scene: SceneState, *, depth: bool = False) -> Observation:
        """Return what perception makes of the scene's image, in the base frame.

        Scenes must come in the order of their times; for another episode take another pipeline, or its
        tracks go on.
        """
        pipeline.camera = self.camera
        return observation_of(pipeline.update(self.frame(scene, depth=depth)), self.base_from_camera)

    def close(self) -> None:
        """Free the graphics memory. Further pictures are refused."""
        self._studio.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _noise_seed(setting: Setting, scene: SceneState) -> int:
    """Return another number for each tick and each setting."""
    return (setting.seed << 32) + max(round(scene.time_s / TICK_S), 0)


# What perception makes of it ---------------------------------------------------------------------


def observation_of(seen: Scene, base_from_camera: Matrix) -> Observation:
    """Return what perception found, as a policy sees it.

    Parameters
    ----------
    seen
        Everything in the camera's optical frame.
    base_from_camera
        Pose (4, 4) of that frame in the base frame.

    Returns
    -------
    People with their gaze (None where perception has read none), and hands; `tip_m` is the index
    finger's last joint. Joint positions are left out: perception does not know them.
    """
    rotation, position = base_from_camera[:3, :3], base_from_camera[:3, 3]

    def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points @ rotation.T + position

    gazes = {gaze.face_id: rotation @ gaze.direction for gaze in seen.gazes}
    people = []
    for face in seen.faces.faces:
        head = base_from_camera @ face.pose
        people.append(
            PersonObservation(
                face.id, face.blendshapes, head[:3, 3], head[:3, :3], face.confidence, gazes.get(face.id)
            )
        )
    hands: Sequence[HandObservation] = [
        HandObservation(
            id=hand.id,
            person_id=hand.person_id,
            side=hand.side,
            position_m=moved(hand.position),
            tip_m=moved(hand.landmarks_m[_INDEX_TIP]),
            gesture=hand.gesture,
            confidence=hand.gesture_confidence,
            extended=hand.extended,
            direction=None if hand.direction is None else rotation @ hand.direction,
        )
        for hand in (seen.hands.hands if seen.hands is not None else ())
    ]
    return Observation(seen.stamp_s, tuple(people), tuple(hands))
