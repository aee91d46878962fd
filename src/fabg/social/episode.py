"""One episode of a policy, an executor and the delays between them, from the first image to the record.

The order of a tick: what has been seen arrives; the policy, when it is free and there is a new image, is asked;
what it said arrives at the robot; the executor chooses what to send; the world goes on. Inference takes simulated
time: a policy that is asked at t has answered at t + its delay, and is not asked again before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk, Observation, Policy, PrefixPolicy, Watching
from fabg.policy.executors import Anticipating, Committing, Executor, Move, make_executor
from fabg.robot.servo_delay import ServoDelay
from fabg.social.answers import LOOK_RAD, candidates
from fabg.social.delays import DelayLine, Latency, LatencyRun
from fabg.social.policies import EXPERT, make_policy
from fabg.social.record import EpisodeRecord, EventResult
from fabg.social.robot_body import EyeGeometry
from fabg.social.stage import TICK_S
from fabg.social.world import World, WorldConfig

_ON_TIME_S = 1e-9  # sums of ticks and delays are rounded

ON_TARGET_RAD = LOOK_RAD
"""A gaze nearer to a point than this meets it."""


@dataclass(frozen=True, kw_only=True)
class EpisodeSpec:
    """What to play.

    Attributes
    ----------
    task, latency, pace, events, max_s
        As in `fabg.social.world.WorldConfig`.
    seed
        Of people, events, errors and delays.
    policy
        A name or file as for `fabg.social.policies.make_policy`, or "expert".
    executor
        As for `fabg.policy.executors.make_executor`; the expert needs none.
    obs
        "features": what perception would publish, with its measured errors; "perception": rendered images, read by
        the real perception; "rgbd": images of two cameras and depth, for policies that look themselves.
    """

    task: str
    seed: int
    policy: str
    executor: str = "newest"
    obs: str = "features"
    latency: Latency = field(default_factory=lambda: Latency.parse(None))
    pace: str = "prompt"
    events: int | None = None
    max_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed is {self.seed}: expected 0 to {2**31 - 1}")
        if self.obs not in ("features", "perception", "rgbd"):
            raise ConfigError(f"obs is {self.obs!r}: expected features, perception or rgbd")

    def world(self) -> World:
        """Return the world in which it is played, with an expert beside the robot. Close it."""
        config = WorldConfig(
            task=self.task, latency=self.latency, pace=self.pace, events=self.events, max_s=self.max_s, expert=True
        )  # fmt: skip
        if self.obs == "features":
            return World(config)
        from fabg.social.views import Perceived, Rgbd

        return World(config, sensor=Rgbd() if self.obs == "rgbd" else Perceived())


class Driver(Protocol):
    """Who moves the robot: says at each tick which expression to send."""

    def reset(self, world: World, delays: LatencyRun) -> None:
        """Begin an episode of `world`, which has been reset."""

    def command(self, world: World) -> tuple[expression.Vector, float | None]:
        """Return the expression to send now, and the stamp (s) of the observation behind it, if any."""


class PolicyDriver:
    """A policy far away, its chunks on their way, and an executor at the robot."""

    def __init__(self, policy: Policy, executor: Executor) -> None:
        self.policy, self.executor = policy, executor

    def reset(self, world: World, delays: LatencyRun) -> None:
        """Forget everything."""
        self.policy.reset()
        self.executor.reset()
        self._delays = delays
        self._coming: DelayLine[Chunk] = DelayLine()
        self._offered: Chunk | None = None
        self._asked_stamp_s = self._watched_s = -math.inf
        self._free_s = 0.0
        self._last: expression.Vector = expression.neutral()
        self._stamp_s: float | None = None
        self._said: Chunk | None = None
        self._servos = ServoDelay(world.model)

    def command(self, world: World) -> tuple[expression.Vector, float | None]:
        """Ask the policy when it is its turn, and return what the executor chooses; it may hold."""
        now = world.time_s
        if isinstance(self.executor, Anticipating):
            self._measure(world, self.executor)
        if isinstance(self.policy, Watching):
            self._watch(world, self.policy)
        if now >= self._free_s - _ON_TIME_S:
            self._ask(world, now)
        chunk = self._coming.newest(now)
        if chunk is not None and chunk is not self._offered:
            self._offered = chunk
            self.executor.offer(chunk, now)
        move = self.executor.command(now)
        if isinstance(move, Move):
            self._last, self._stamp_s = move.vector, move.stamp_s
        return self._last, self._stamp_s

    def _watch(self, world: World, policy: Watching) -> None:
        """Show the policy what has arrived, whether it is asked or not."""
        seen = world.seen
        if seen is not None and seen.stamp_s > self._watched_s:
            self._watched_s = seen.stamp_s
            observation = world.observation
            assert observation is not None
            policy.watch(observation)

    def _ask(self, world: World, now: float) -> None:
        observation = world.observation
        if observation is None or observation.stamp_s <= self._asked_stamp_s or not self.executor.wants(now):
            return
        self._asked_stamp_s = observation.stamp_s
        # The policy does not wait for a tick: it begins when the image is there and the last answer is given.
        # Were every stage rounded up to a tick, an injected delay would grow by one each.
        begin = max(world.arrived_s, self._free_s, now - TICK_S)
        inference = self._delays.inference.sample(now)
        self._free_s = begin + inference
        chunk = self._predict(observation)
        if chunk is not None:
            self._said = chunk
            self._coming.push(chunk, chunk.t0_s, begin, inference + self._delays.transport.sample(now))

    def _predict(self, observation: Observation) -> Chunk | None:
        if not (isinstance(self.executor, Committing) and isinstance(self.policy, PrefixPolicy)):
            return self.policy.predict(observation)
        committed = None
        if self._said is not None:  # the next chunk will be like the last
            steps = len(self._said.values)
            committed = self.executor.committed(observation.stamp_s, self._said.dt_s, steps)
        return self.policy.predict_after(observation, committed)

    def _measure(self, world: World, executor: Anticipating) -> None:
        """Tell the executor how late the servos have its commands, once they have moved."""
        if world.tick > 0:
            self._servos.add_command(world.time_s - TICK_S, world.robot.target)
            self._servos.add_joints(world.time_s, world.robot.joints)
        delay_s = self._servos.delay_s
        if delay_s is not None:
            executor.expect(delay_s)


class ExpertDriver:
    """The expert's own movements, sent through the same delays: what teleoperation over them would do.

    No error of perception or learning is in it, and no prediction either: latency alone is left.
    """

    def reset(self, world: World, delays: LatencyRun) -> None:
        """Forget everything."""
        del world
        self._delays = delays
        self._coming: DelayLine[expression.Vector] = DelayLine()

    def command(self, world: World) -> tuple[expression.Vector, float | None]:
        """Return the expert's newest movement that has arrived."""
        now = world.time_s
        assert world.expert_vector is not None
        d = self._delays
        delay = d.sensing.sample(now) + d.inference.sample(now) + d.transport.sample(now)
        self._coming.push(world.expert_vector, now, now, delay)
        arrived = self._coming.newest(now)
        return (expression.neutral() if arrived is None else arrived), self._coming.stamp_s


def make_driver(policy: str, executor: str, task: str | None = None) -> Driver:
    """Return who moves the robot, from the names in an `EpisodeSpec`.

    Raises
    ------
    ConfigError
        For an unknown policy or executor.
    """
    if policy == EXPERT:
        return ExpertDriver()
    return PolicyDriver(make_policy(policy, task), make_executor(executor))


def run_episode(spec: EpisodeSpec, each: Callable[[World], None] | None = None) -> EpisodeRecord:
    """Play an episode to its end.

    Parameters
    ----------
    spec
        What to play.
    each
        Called after every tick, for films and data sets.

    Raises
    ------
    ConfigError
        For a name or value that is not accepted.
    """
    driver, world = make_driver(spec.policy, spec.executor, spec.task), spec.world()
    world.reset(spec.seed)
    # Streams of its own: the world's do not depend on who drives the robot.
    delays = spec.latency.start(np.random.default_rng(np.random.SeedSequence([spec.seed, 1])))
    driver.reset(world, delays)
    log = _Log(world)
    try:
        while not (world.done or world.out_of_time):
            vector, stamp_s = driver.command(world)
            age = math.nan if stamp_s is None else world.time_s - stamp_s
            world.step(vector)
            log.note(world, age)
            if each is not None:
                each(world)
    finally:
        world.close()
    return log.record(world, spec)


class _Log:
    """Signals of an episode, tick by tick."""

    def __init__(self, world: World) -> None:
        self._eyes = EyeGeometry(world.model)
        self._joints: list[NDArray[np.float64]] = []
        self._wanted: list[NDArray[np.float64]] = []
        self._expert: list[NDArray[np.float64]] = []
        self._gaze: list[tuple[float, ...]] = []
        self._flags: list[tuple[bool, bool]] = []
        self._age: list[float] = []
        self._event: list[int] = []

    def note(self, world: World, age_s: float) -> None:
        """Keep one tick."""
        robot, beside, target = world.robot, world.expert_robot, world.stimulus.target_m
        assert beside is not None
        joints = robot.joints
        self._joints.append(joints)
        self._wanted.append(robot.wanted)
        self._expert.append(beside.joints)
        demand = self._eyes.vergence_demand(joints, target)
        self._gaze.append(
            (robot.yaw, robot.pitch, robot.vergence, beside.yaw, beside.pitch, beside.vergence,
             *self._eyes.direction_to(joints, target), demand)
        )  # fmt: skip
        misses = self._eyes.gaze_errors(joints, [target, *candidates(world.scene, target)])
        hit = misses[0] < ON_TARGET_RAD
        self._flags.append((hit, not hit and min(misses[1:], default=math.inf) < ON_TARGET_RAD))
        self._age.append(age_s)
        self._event.append(world.stimulus.event if world.stimulus.counted else -1)

    def record(self, world: World, spec: EpisodeSpec) -> EpisodeRecord:
        """Return what was kept."""
        gaze, flags = np.array(self._gaze), np.array(self._flags)
        events = tuple(
            EventResult(e.index, e.kind, e.onset_s, e.response_s, e.deadline_s, e.beside_s)
            for e in world.run.events
        )
        return EpisodeRecord(
            task=spec.task, seed=spec.seed, tick_s=TICK_S,
            joints=np.array(self._joints), wanted=np.array(self._wanted), expert=np.array(self._expert),
            gaze=gaze[:, 0:3], expert_gaze=gaze[:, 3:6], target_gaze=gaze[:, 6:9],
            on_target=flags[:, 0], on_wrong=flags[:, 1], age_s=np.array(self._age),
            event=np.array(self._event, dtype=np.int64), events=events, total_events=world.run.total_events,
        )  # fmt: skip
