"""The closed loop in simulated time: people, senses and robot, tick by tick.

    world = World(WorldConfig(task="tracking"))
    world.reset(seed=3)
    while not world.done:
        observation = world.observation       # the newest that has arrived, or None
        world.step(expression_vector)         # one tick of 20 ms

Nothing here looks at a clock: how busy the machine is cannot change a result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Observation
from fabg.robot.model import RobotModel, load_robot
from fabg.social.delays import DelayLine, Latency
from fabg.social.expert import Expert
from fabg.social.robot_body import SimulatedRobot
from fabg.social.senses import IMAGE_S, Senses, SensesConfig, Sensor, load_senses
from fabg.social.servo import ServoConfig
from fabg.social.stage import TICK_S, RobotState, SceneState, Stimulus
from fabg.social.tasks import TASKS, TaskRun

LONGEST_S = 300.0
"""No episode is longer."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """What is simulated.

    Attributes
    ----------
    task
        One of `fabg.social.tasks.TASKS`.
    latency
        Delays of sensing and actuation; those of inference and transport are the caller's.
    pace
        "prompt": the next event follows as soon as the robot has answered, as the paper counts;
        "natural": with holding phases and random gaps, as demonstrations are recorded.
    events
        How many events an episode has; by default as many as in the paper.
    max_s
        The episode ends after this long at the latest, s.
    image_s
        Time between two images, s: a whole number of ticks.
    senses
        Errors of perception; by default those measured.
    servo
        Servos; by default those of the twin.
    expert
        True: an expert answers beside the robot, with a robot of its own that obeys at once.
    """

    task: str = "affective"
    latency: Latency = field(default_factory=lambda: Latency.parse(None))
    pace: str = "prompt"
    events: int | None = None
    max_s: float = 120.0
    image_s: float = IMAGE_S
    senses: SensesConfig = field(default_factory=load_senses)
    servo: ServoConfig = field(default_factory=ServoConfig)
    expert: bool = False

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"there is no task {self.task!r}: expected one of {', '.join(TASKS)}")
        if self.pace not in ("prompt", "natural"):
            raise ConfigError(f"pace is {self.pace!r}: expected prompt or natural")
        if self.events is not None and not 1 <= self.events <= 1000:
            raise ConfigError(f"events is {self.events}: expected 1 to 1000")
        if not 1.0 <= self.max_s <= LONGEST_S:
            raise ConfigError(f"max_s is {self.max_s}: expected 1 to {LONGEST_S:.0f} s")
        ticks = self.image_s / TICK_S
        if not (np.isfinite(ticks) and round(ticks) >= 1 and abs(ticks - round(ticks)) < 1e-6):
            raise ConfigError(f"image_s is {self.image_s}: expected a multiple of {TICK_S} s")
        if self.latency.total_mean_ms >= self.max_s * 1e3:
            raise ConfigError(
                f"the delays add up to {self.latency.total_mean_ms:.0f} ms: an episode of {self.max_s:.0f} s "
                "would be over before anything came of it; expected shorter delays"
            )


class World:
    """One episode at a time. All times count from its start.

    Parameters
    ----------
    config
        What is simulated.
    robot
        Joint table; the package's own by default.
    sensor
        How the people are seen; by default as `config.senses` says. It is closed with the world.

    Attributes
    ----------
    scene, stimulus
        The people now, and what they ask: the latter is for experts and judges alone.
    robot
        Joints and gaze now.
    expert_vector, expert_robot
        What the expert does now and how a robot that obeys it at once stands; None without an expert.
    run
        The task, with what has become of its events so far.
    """

    def __init__(
        self, config: WorldConfig, robot: RobotModel | None = None, *, sensor: Sensor | None = None
    ) -> None:
        self.config = config
        self.model = robot or load_robot()
        self._body = SimulatedRobot(self.model, config.servo)
        self._sensor: Sensor = sensor or Senses(config.senses, config.image_s)
        self._image_ticks = round(config.image_s / TICK_S)
        self._expert = Expert(robot=self.model) if config.expert else None
        self._beside = (
            SimulatedRobot(self.model, replace(config.servo, delay_s=0.0)) if config.expert else None
        )
        self._limit = round(config.max_s / TICK_S)
        self._tick = -1

    def reset(self, seed: int) -> None:
        """Begin an episode: the same seed gives the same one, whatever the robot does being equal."""
        task, senses, delays, expert = (
            np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
        )
        self.run = TaskRun(
            self.config.task, int(task.integers(2**31)), pace=self.config.pace, events=self.config.events
        )
        self._delays = self.config.latency.start(delays)
        self._sensor.reset(senses)
        self._coming: DelayLine[Observation] = DelayLine()
        self._tick = 0
        self.robot: RobotState = self._body.reset()
        self.scene: SceneState
        self.stimulus: Stimulus
        self.scene, self.stimulus = self.run.start()
        self.expert_vector: expression.Vector | None = None
        self.expert_robot: RobotState | None = None
        if self._expert is not None and self._beside is not None:
            self.expert_robot = self._beside.reset()
            self._expert.reset(expert, self.stimulus)
            self.expert_vector = self._expert.step(self.stimulus)
        self._look()

    @property
    def tick(self) -> int:
        """How many ticks have passed."""
        return self._tick

    @property
    def time_s(self) -> float:
        """Time now, s."""
        return self._tick * TICK_S

    @property
    def answered(self) -> int:
        """How many events have been answered so far."""
        return sum([event.response_s is not None for event in self.run.events])

    @property
    def missed(self) -> int:
        """How many were given up."""
        return len(self.run.events) - self.answered

    @property
    def done(self) -> bool:
        """Whether all events are over."""
        return self.run.done

    @property
    def out_of_time(self) -> bool:
        """Whether the longest duration has passed."""
        return self._tick >= self._limit

    @property
    def seen(self) -> Observation | None:
        """What the sensor gave last of what has arrived; None before the first."""
        return self._coming.newest(self.time_s)

    @property
    def arrived_s(self) -> float:
        """When that arrived, s; -inf before the first."""
        self._coming.newest(self.time_s)
        return -math.inf if self._coming.arrived_s is None else self._coming.arrived_s

    @property
    def observation(self) -> Observation | None:
        """The newest observation that has arrived, with the joints as they are now; None before the first."""
        seen = self.seen
        if seen is None:
            return None
        return Observation(seen.stamp_s, seen.people, seen.hands, self.robot.joints, seen.images)

    def step(self, vector: ArrayLike) -> None:
        """Let the robot obey an expression (61,) for one tick, and the world go on.

        Raises
        ------
        CommandRefused
            When the expression has not 61 finite numbers; the world stays as it was.
        """
        values = expression.checked(vector)
        self.robot = self._body.step(values, self._delays.actuation.sample(self.time_s))
        if self._beside is not None:
            assert self.expert_vector is not None
            self.expert_robot = self._beside.step(self.expert_vector)
        self._tick += 1
        self.scene, self.stimulus = self.run.step(self.robot, self.expert_robot)
        if self._expert is not None:
            self.expert_vector = self._expert.step(self.stimulus)
        if self._tick % self._image_ticks == 0:
            self._look()

    def close(self) -> None:
        """Free what the sensor holds."""
        self._sensor.close()

    def _look(self) -> None:
        now = self.time_s
        self._coming.push(self._sensor.observe(self.scene), now, now, self._delays.sensing.sample(now))
