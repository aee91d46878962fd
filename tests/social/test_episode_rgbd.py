"""Episodes on images and depth: what arrives is what the cameras saw then, and the loop closes through it."""

import numpy as np
import pytest

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk
from fabg.policy.executors import Newest
from fabg.robot.gaze import look_at
from fabg.robot.model import load_robot
from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec, PolicyDriver
from fabg.social.sight import BASELINE_M, base_from_camera
from fabg.social.stage import TICK_S


def spec(latency=0, task="foveate", events=2, **more):
    return EpisodeSpec(
        task=task,
        seed=1000,
        policy="still",
        obs="rgbd",
        latency=Latency.parse(latency),
        events=events,
        **more,
    )


def watch(latency, ticks=20):
    """The observation at each tick beside a robot that keeps still."""
    world = spec(latency).world()
    world.reset(7)
    seen = []
    for _ in range(ticks):
        seen.append((world.time_s, world.observation, world.robot.joints))
        world.step(expression.neutral())
    world.close()
    return seen


def test_images_come_late_by_the_delay_of_sensing_and_joints_do_not():
    at_once = {o.stamp_s: o for _, o, _ in watch(0)}
    late = watch({"sensing": 100.0})
    assert [o is None for _, o, _ in late[:6]] == [True] * 5 + [False]
    for now, observation, joints in late[5:]:
        assert 0.1 - 1e-9 <= now - observation.stamp_s <= 0.14 + 1e-9
        for name in ("left", "right", "depth"):
            then = getattr(at_once[observation.stamp_s].images, name)
            np.testing.assert_array_equal(getattr(observation.images, name), then)
        assert observation.people == observation.hands == ()
        np.testing.assert_array_equal(observation.joint_positions, joints)


class LooksAtTheNearest:
    """Look at what stands out most towards the camera: a finger that comes near."""

    name = "nearest"

    def __init__(self):
        self.robot = load_robot()

    def reset(self):
        pass

    def predict(self, observation):
        depth = observation.images.depth
        height, width = depth.shape
        row, column = np.unravel_index(np.argmin(np.where(depth > 0, depth, np.inf)), depth.shape)
        if not depth[row, column]:
            return None
        # A pinhole whose horizontal field of view is 90 degrees: its focal length is half the width.
        ray = np.array([column + 0.5 - width / 2, row + 0.5 - height / 2, width / 2]) / (width / 2)
        point = (base_from_camera(BASELINE_M / 2) @ np.append(depth[row, column] * ray, 1.0))[:3]
        gaze = look_at(point, self.robot, head_share=0.6).into(expression.neutral())
        return Chunk(gaze[None], observation.stamp_s, TICK_S, self.name)


def test_the_loop_closes_through_images_alone():
    played = spec(events=2)
    world = played.world()
    driver = PolicyDriver(LooksAtTheNearest(), Newest())
    world.reset(played.seed)
    driver.reset(world, played.latency.start(np.random.default_rng(0)))
    while not (world.done or world.out_of_time):
        vector, _ = driver.command(world)
        world.step(vector)
    world.close()
    # The finger that came near was met by both eyes; when it goes back, other things stand out.
    assert world.run.events[0].kind == "near" and world.run.events[0].response_s is not None


def test_other_observations_are_refused():
    with pytest.raises(ConfigError, match="'smell': expected features, perception or rgbd"):
        EpisodeSpec(task="tracking", seed=1, policy="still", obs="smell")
