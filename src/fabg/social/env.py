"""``SocialHead-v0``: meet people with a 25-joint head, through delays, in simulated time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Observation
from fabg.policy.observation import SHAPES, encode
from fabg.social.delays import DelayLine, Latency
from fabg.social.reward import Reward
from fabg.social.senses import MEASURED_LATENCY
from fabg.social.stage import TICK_S
from fabg.social.world import LONGEST_S, World, WorldConfig

if TYPE_CHECKING:
    from fabg.social.views import Rgbd, Stage

OBSERVATIONS = ("features", "rgbd", "perception")
_FARTHEST_M = 20.0
RGBD_SIZE = (160, 120)


class SocialHeadEnv(gymnasium.Env[dict[str, NDArray[Any]], NDArray[Any]]):
    """People in front of a robot; an action is an expression of the robot, a step is 20 ms.

    Parameters
    ----------
    task
        "affective", "tracking", "foveate", "gesture" or "mixed".
    obs
        "features": what perception publishes, as arrays (`fabg.policy.observation.SHAPES`), with measured errors;
        "rgbd": images of two cameras, 160 x 120, and the depth of the left one;
        "perception": the arrays of "features", read from rendered images by the real perception.
    latency
        Delays on the way, as for `fabg.social.delays.Latency.parse`: a total in ms, a mapping of stages, or None
        for none. By default those measured of this suite's own graph.
    pace, events, max_s, senses
        As in `fabg.social.world.WorldConfig`; `senses` for "features" alone.
    expert
        True: `info["expert"]` is what an expert does now, (61,); about twice the cost of a step.
    render_mode
        "rgb_array": `render` returns a picture of partner and robot, 640 x 240.

    Notes
    -----
    Action: 61 numbers as in `fabg.expression` (shapes 0..1, angles in rad). One of wrong length, or with NaN, is
    refused with `CommandRefused`; the episode goes on as if it had not been sent.

    Reward: half for the gaze (1 on the target, 0 from 10 degrees off), half for the face (1 when it is the answer).

    `info`: `event` (kind), `answered` and `missed` (how many so far), `time_s`.

    An episode is over when all events are, and truncated after `max_s`.

    Raises
    ------
    ConfigError
        For an unknown task or observation, or a value out of range.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1.0 / TICK_S)}  # noqa: RUF012 - Gymnasium's way

    def __init__(
        self,
        task: str = "affective",
        obs: str = "features",
        latency: object = MEASURED_LATENCY,
        *,
        pace: str = "prompt",
        events: int | None = None,
        max_s: float = 120.0,
        expert: bool = False,
        render_mode: str | None = None,
        **world: Any,
    ) -> None:
        if obs not in OBSERVATIONS:
            raise ConfigError(f"there is no observation {obs!r}: expected one of {', '.join(OBSERVATIONS)}")
        if render_mode not in (None, "rgb_array"):
            raise ConfigError(f"render_mode is {render_mode!r}: expected None or 'rgb_array'")
        self.obs, self.render_mode, self._with_expert = obs, render_mode, expert
        config = WorldConfig(
            task=task, latency=Latency.parse(latency), pace=pace, events=events, max_s=max_s, expert=expert,
            **world,
        )  # fmt: skip
        self._rgbd: Rgbd | None = None
        self._stage: Stage | None = None
        self.world = World(config, sensor=self._sensor(obs))
        self._reward = Reward(self.world.model)
        self.action_space: spaces.Space[Any] = _action_space()
        self.observation_space: spaces.Space[Any] = _rgbd_space() if obs == "rgbd" else _feature_space()

    def _sensor(self, obs: str) -> Any:
        if obs == "features":
            return None
        from fabg.social.views import Perceived, Rgbd

        return Rgbd() if obs == "rgbd" else Perceived()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin an episode; without a seed the next one of the series that the last seed began."""
        super().reset(seed=seed)
        episode = int(self.np_random.integers(2**31))
        self.world.reset(episode)
        self._delays = self.world.config.latency.start(
            np.random.default_rng(np.random.SeedSequence([episode, 1]))
        )
        self._coming: DelayLine[NDArray[np.float64]] = DelayLine()
        return self._observation(), self._info()

    def step(self, action: ArrayLike) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Send an action, and go on by one tick.

        Raises
        ------
        CommandRefused
            When the action has not 61 finite numbers; nothing has happened then.
        """
        values = expression.checked(action, what="action")
        world = self.world
        now = world.time_s
        delay = self._delays.inference.sample(now) + self._delays.transport.sample(now)
        self._coming.push(values, now, now, delay)
        arrived = self._coming.newest(now)
        world.step(expression.neutral() if arrived is None else arrived)
        return (
            self._observation(), self._reward(world), world.done, world.out_of_time and not world.done, self._info()
        )  # fmt: skip

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Return a picture of partner and robot, RGB (240, 640, 3); None without a render mode."""
        if self.render_mode is None:
            return None
        if self._stage is None:
            from fabg.social.views import Stage

            self._stage = Stage(self.world.model)
        return self._stage.picture(self.world)

    def close(self) -> None:
        """Free graphics and models."""
        self.world.close()
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    def _observation(self) -> dict[str, NDArray[Any]]:
        if self.obs == "rgbd":
            return _rgbd_arrays(self.world.observation, self.world)
        return dict(encode(self.world.observation, self.world.time_s))

    def _info(self) -> dict[str, Any]:
        world = self.world
        info: dict[str, Any] = {
            "event": world.stimulus.kind,
            "answered": world.answered,
            "missed": world.missed,
            "time_s": world.time_s,
        }
        if self._with_expert:
            info["expert"] = world.expert_vector
        return info


def _action_space() -> spaces.Box:
    low = np.zeros(expression.SIZE, np.float32)
    low[expression.N_SHAPES :] = -math.pi
    high = np.ones(expression.SIZE, np.float32)
    high[expression.N_SHAPES :] = math.pi
    return spaces.Box(low, high, dtype=np.float32)


_BOUNDS = {"people_mask": (0, 1), "hands_mask": (0, 1), "joints": (-3.2, 3.2), "joints_mask": (0, 1), "seen": (0, 1),
           "age_s": (0, LONGEST_S)}  # fmt: skip


def _feature_space() -> spaces.Dict:
    far = (-_FARTHEST_M, _FARTHEST_M)
    return spaces.Dict(
        {name: spaces.Box(*_BOUNDS.get(name, far), shape, np.float32) for name, shape in SHAPES.items()}
    )


def _rgbd_space() -> spaces.Dict:
    width, height = RGBD_SIZE
    image = spaces.Box(0, 255, (height, width, 3), np.uint8)
    small = {
        name: spaces.Box(*_BOUNDS[name], SHAPES[name], np.float32) for name in ("seen", "age_s", "joints")
    }
    return spaces.Dict(
        {
            "left": image,
            "right": image,
            "depth": spaces.Box(0, _FARTHEST_M, (height, width), np.float32),
            **small,
        }
    )


def _rgbd_arrays(seen: Observation | None, world: World) -> dict[str, NDArray[Any]]:
    width, height = RGBD_SIZE
    if seen is None:
        black = np.zeros((height, width, 3), np.uint8)
        images: dict[str, NDArray[Any]] = {
            "left": black, "right": black.copy(), "depth": np.zeros((height, width), np.float32)
        }  # fmt: skip
        age = 0.0
    else:
        assert seen.images is not None
        images = {name: getattr(seen.images, name) for name in ("left", "right", "depth")}
        age = world.time_s - seen.stamp_s
    return {
        **images,
        "seen": np.array([seen is not None], np.float32),
        "age_s": np.array([age], np.float32),
        "joints": world.robot.joints.astype(np.float32),
    }
