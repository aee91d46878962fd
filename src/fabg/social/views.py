"""Sensors that look at rendered pictures, and the picture of the stage for people."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.perception.face import FaceTrackerConfig
from fabg.perception.pipeline import Pipeline, PipelineConfig
from fabg.policy.base import Observation, StereoImages
from fabg.robot.model import RobotModel
from fabg.robot.twin import Twin
from fabg.social.avatar.scene import Background, Lens, Light
from fabg.social.sight import SceneCamera, Setting, StereoRig
from fabg.social.stage import SceneState
from fabg.social.world import World

_PERCEPTION = PipelineConfig(faces=FaceTrackerConfig(horizontal_fov_deg=60.0))
_HALF = (320, 240)


class Rgbd:
    """Two cameras with depth, and nobody to read them; light, background and noise differ between episodes."""

    def __init__(self) -> None:
        self._rig = StereoRig()

    def reset(self, rng: np.random.Generator) -> None:
        """Set the stage for another episode."""
        self._rig.setting = random_setting(rng)

    def observe(self, scene: SceneState) -> Observation:
        """Take the pictures."""
        return Observation(scene.time_s, images=StereoImages(*self._rig.rgbd(scene)))

    def close(self) -> None:
        """Free graphics."""
        self._rig.close()


class Perceived:
    """A camera with depth and the real perception behind it. Every episode begins with nobody known."""

    def __init__(self) -> None:
        self._camera = SceneCamera()
        self._pipeline: Pipeline | None = None

    def reset(self, rng: np.random.Generator) -> None:
        """Set the stage for another episode, and forget everybody."""
        self._camera.setting = random_setting(rng)
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = Pipeline(_PERCEPTION)

    def observe(self, scene: SceneState) -> Observation:
        """Take a picture, and read it."""
        assert self._pipeline is not None
        return self._camera.observe(self._pipeline, scene, depth=True)

    def close(self) -> None:
        """Free graphics and models."""
        self._camera.close()
        if self._pipeline is not None:
            self._pipeline.close()
            self._pipeline = None


class Stage:
    """What people look at: the partner as the robot's camera has them, and the robot as they have it."""

    def __init__(self, robot: RobotModel) -> None:
        self._camera = SceneCamera(_HALF)
        self._twin = Twin(robot, size=(640, 480))

    def picture(self, world: World) -> NDArray[np.uint8]:
        """Return both beside each other, RGB (240, 640, 3)."""
        self._twin.set_positions(world.robot.joints)
        robot = cv2.resize(self._twin.render("face"), _HALF, interpolation=cv2.INTER_AREA)
        return np.concatenate([self._camera.picture(world.scene).image, robot.astype(np.uint8)], axis=1)

    def close(self) -> None:
        """Free graphics."""
        self._camera.close()
        self._twin.close()


def random_setting(rng: np.random.Generator) -> Setting:
    """Return a room that nobody has been in: light, wall and a camera's noise."""
    r, g, b = (rng.uniform(0.25, 0.8) + rng.uniform(-0.06, 0.06, 3)).tolist()
    light = Light(
        direction=(float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.9, -0.2)), -0.75),
        key=float(rng.uniform(0.55, 0.95)),
        ambient=float(rng.uniform(0.3, 0.5)),
        warmth=float(rng.uniform(-0.2, 0.5)),
    )
    background = Background(
        kind="room" if rng.random() < 0.5 else "gradient",
        colour=(r, g, b),
        second=(0.65 * r, 0.65 * g, 0.65 * b),
    )
    lens = Lens(noise=float(rng.uniform(0.5, 3.0)), exposure_ev=float(rng.uniform(-0.3, 0.3)))
    return Setting(light, background, lens, int(rng.integers(2**31)))
