"""Who is obeyed, told by a clock that the test moves."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.policy.base import Chunk
from fabg.robot.arbiter import SOURCES, Arbiter, ArbiterConfig, State
from fabg.robot.commands import PartialFrames

CONFIG = ArbiterConfig()
JAW = expression.INDEX["jawOpen"]


def _face(value):
    return expression.from_mapping({"jawOpen": value})


class World:
    """An arbiter, a clock, and sources that speak at 50 Hz while they are switched on."""

    def __init__(self, **config):
        self.arbiter = Arbiter(ArbiterConfig(**config))
        self.now = 1000.0
        self.speaking = {}
        self.joints = True
        self.arbiter.saw_joints(self.now)
        self.arbiter.begin(expression.neutral(), self.now)

    def run(self, seconds):
        """Let time pass; return the selections."""
        out = []
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            if self.joints:
                self.arbiter.saw_joints(self.now)
            for source, value in self.speaking.items():
                if not self.arbiter.stopped:
                    self.arbiter.offer(source, _face(value), self.now, self.now)
            out.append(self.arbiter.select(self.now))
        return out

    def last(self, seconds=0.02):
        return self.run(seconds)[-1]


def test_without_joint_states_nothing_is_commanded():
    arbiter = Arbiter()
    arbiter.offer("policy", _face(0.5), 10.0, 10.0)
    selection = arbiter.select(10.0)
    assert selection.state is State.WAITING and selection.vector is None
    assert "no joint states" in selection.reason
    arbiter.saw_joints(10.0)
    assert arbiter.select(10.02).state is State.FOLLOWING


def test_lost_joint_states_stop_all_commands_until_they_are_back():
    world = World()
    world.speaking = {"policy": 0.5}
    assert world.last(1.0).state is State.FOLLOWING
    world.joints = False
    states = [s.state for s in world.run(CONFIG.joint_timeout_s + 0.1)]
    assert states[0] is State.FOLLOWING and states[-1] is State.WAITING
    assert "old" in world.last().reason
    world.joints = True
    assert world.last().state is State.FOLLOWING


def test_a_lost_source_is_held_then_eased_to_neutral():
    world = World()
    world.speaking = {"policy": 0.8}
    assert world.last(2.0).vector[JAW] == pytest.approx(0.8)
    world.speaking = {}
    lost_at = world.now
    seen = {}
    values = []
    for _ in range(400):
        selection = world.last()
        values.append(selection.vector[JAW])
        seen.setdefault(selection.state, world.now - lost_at)
        if selection.state in (State.FOLLOWING, State.HOLDING):
            assert selection.vector[JAW] == pytest.approx(0.8)
    assert list(seen) == [State.FOLLOWING, State.HOLDING, State.RETURNING, State.NEUTRAL]
    assert seen[State.HOLDING] == pytest.approx(CONFIG.timeout_s, abs=0.05)
    assert seen[State.RETURNING] == pytest.approx(CONFIG.timeout_s + CONFIG.hold_s, abs=0.05)
    assert seen[State.NEUTRAL] == pytest.approx(CONFIG.timeout_s + CONFIG.hold_s + CONFIG.return_s, abs=0.07)
    assert values[-1] == 0.0 and (np.diff(values) <= 1e-12).all()
    assert np.abs(np.diff(values)).max() < 0.8 * 1.6 * 0.02 / CONFIG.return_s, "no jump on the way"


def test_a_source_that_comes_back_takes_over_smoothly():
    world = World()
    world.speaking = {"policy": 0.8}
    world.run(2.0)
    world.speaking = {}
    world.run(CONFIG.timeout_s + CONFIG.hold_s + 0.5 * CONFIG.return_s)
    world.speaking = {"policy": 1.0}
    values = [s.vector[JAW] for s in world.run(1.0)]
    assert values[-1] == pytest.approx(1.0) and np.abs(np.diff(values)).max() < 0.1


def test_of_two_sources_the_higher_is_obeyed_and_hand_over_blends():
    world = World()
    world.speaking = {"idle": 0.0, "policy": 0.2}
    assert world.last(1.0).source == "policy"
    world.speaking = {"idle": 0.0, "policy": 0.2, "teleop": 0.9}
    selections = world.run(1.0)
    assert {s.source for s in selections} == {"teleop"}, "at once"
    values = [0.2, *(s.vector[JAW] for s in selections)]
    assert values[-1] == pytest.approx(0.9) and np.abs(np.diff(values)).max() < 0.1
    halfway = values[round(CONFIG.blend_s / 2 / 0.02)]
    assert 0.3 < halfway < 0.8


@pytest.mark.parametrize("failover", [True, False])
def test_when_teleop_is_lost_the_pose_is_held_before_the_policy_takes_over(failover):
    world = World(failover=failover)
    world.speaking = {"policy": 0.1, "teleop": 0.9}
    world.run(1.0)
    world.speaking = {"policy": 0.1}
    lost_at, first = world.now, {}
    for _ in range(300):
        selection = world.last()
        first.setdefault((selection.state, selection.source), world.now - lost_at)
    wait = CONFIG.timeout_s + CONFIG.hold_s + (0.0 if failover else CONFIG.return_s)
    assert first[State.HOLDING, ""] == pytest.approx(CONFIG.timeout_s, abs=0.05)
    assert first[State.FOLLOWING, "policy"] == pytest.approx(wait, abs=0.07)
    assert ((State.RETURNING, "") in first) is (not failover)


def test_a_chunk_is_executed_by_time_and_its_end_held_until_the_timeout():
    world = World(blend_s=0.0)
    values = np.zeros((11, expression.SIZE))
    values[:, JAW] = np.linspace(0, 1, 11)  # 0.2 s
    start = world.now
    world.arbiter.offer("policy", Chunk(values, start, 0.02), start, start)
    for k in range(1, 25):
        assert world.last().vector[JAW] == pytest.approx(min(k * 0.02 / 0.2, 1.0), abs=1e-6)
    world.run(0.04)
    assert world.last().state is State.HOLDING


def test_the_e_stop_latches_and_nothing_old_is_replayed():
    world = World()
    world.speaking = {"policy": 0.8}
    world.run(1.0)
    world.arbiter.engage("hand near the jaw")
    with pytest.raises(CommandRefused, match="hand near the jaw"):
        world.arbiter.offer("teleop", _face(1.0), world.now, world.now)
    selections = world.run(5.0)
    assert {s.state for s in selections} == {State.STOPPED}
    assert {s.source for s in selections} == {"estop"} and all(s.vector is None for s in selections)
    assert "hand near the jaw" in selections[-1].reason
    before_reset = world.now - 0.01
    world.speaking = {}
    world.arbiter.reset(world.now)
    assert not world.arbiter.stopped
    assert world.last().state is State.HOLDING, "the command from before the stop is gone"
    with pytest.raises(CommandRefused, match="before the reset"):
        world.arbiter.offer("policy", _face(0.8), before_reset, world.now)
    assert world.last().state is State.HOLDING
    world.arbiter.offer("policy", _face(0.3), world.now, world.now)
    assert world.last().state is State.FOLLOWING


def test_a_second_stop_keeps_the_first_reason_and_a_reset_without_stop_does_nothing():
    world = World()
    world.speaking = {"policy": 0.4}
    world.run(1.0)
    world.arbiter.reset(world.now)
    assert world.last().state is State.FOLLOWING
    world.arbiter.engage("first")
    world.arbiter.engage("second")
    assert world.last().reason == "first"


def test_e_stop_stands_above_missing_joint_states():
    arbiter = Arbiter()
    arbiter.engage("x")
    assert arbiter.select(1.0).state is State.STOPPED


def _nan():
    vector = _face(0.5)
    vector[expression.INDEX["eyeLookInLeft"]] = np.nan
    return vector


@pytest.mark.parametrize(
    "command, stamp, said, stale",
    [
        (_nan(), 0.0, "eyeLookInLeft is nan", False),
        (np.zeros(60), 0.0, r"\(60,\)", False),
        (np.zeros(0), 0.0, r"\(0,\)", False),
        (_face(0.5), -CONFIG.max_age_s - 0.01, "s old", True),
        (_face(0.5), CONFIG.max_ahead_s + 0.01, "in the future", False),
        (_face(0.5), float("nan"), "stamp nan", False),
        (Chunk(np.zeros((CONFIG.max_steps + 1, 61)), 1000.0, 0.001), 0.0, "251 steps", False),
        (Chunk(np.zeros((100, 61)), 1000.0, 0.1), 0.0, "9.90 s", False),
        (Chunk(np.zeros((3, 61)), 1000.5, 0.02), 0.0, "in the future", False),
        (Chunk(np.zeros((3, 61)), 999.0, 0.02), 0.0, "s old", True),
    ],
)
def test_bad_commands_are_refused_and_counted_and_the_good_one_stays(command, stamp, said, stale):
    world = World()
    world.arbiter.offer("policy", _face(0.5), world.now - 0.1, world.now)
    with pytest.raises(CommandRefused, match=said):
        world.arbiter.offer("policy", command, world.now + stamp, world.now)
    assert world.arbiter.counts == {"accepted": 1, "refused": 1, **({"stale": 1} if stale else {})}
    assert world.last().source == "policy"


def test_a_command_older_than_the_last_one_is_refused():
    world = World()
    world.arbiter.offer("policy", _face(0.5), world.now, world.now)
    with pytest.raises(CommandRefused, match="older than the last"):
        world.arbiter.offer("policy", _face(0.1), world.now - 0.05, world.now)
    world.arbiter.offer("teleop", _face(0.1), world.now - 0.05, world.now)


def test_unknown_sources_are_refused():
    with pytest.raises(CommandRefused, match=r"'cat'.*teleop, policy, idle"):
        Arbiter().offer("cat", _face(0.5), 1.0, 1.0)


def test_an_empty_chunk_cannot_even_be_made():
    with pytest.raises(CommandRefused, match="k >= 1"):
        Chunk(np.zeros((0, 61)), 0.0, 0.02)


def test_a_clock_set_back_forgets_commands_instead_of_obeying_them_for_hours():
    world = World()
    world.speaking = {"policy": 0.8}
    world.run(1.0)
    world.speaking = {}
    world.now -= 3600.0
    assert world.last().state in (State.HOLDING, State.RETURNING)
    assert world.last(CONFIG.hold_s + CONFIG.return_s + 0.1).state is State.NEUTRAL
    world.speaking = {"policy": 0.4}
    assert world.last(1.0).vector[JAW] == pytest.approx(0.4)


def test_a_clock_set_forward_loses_the_source_and_holds():
    world = World()
    world.speaking = {"policy": 0.8}
    world.run(1.0)
    world.speaking = {}
    world.now += 3600.0
    selection = world.last()
    assert selection.state is State.HOLDING and selection.vector[JAW] == pytest.approx(0.8)


@settings(deadline=None, max_examples=300)
@example(["teleop", "joints off", "teleop", "teleop", "none", "joints on"])
@given(st.lists(st.sampled_from([*SOURCES, "none", "stop", "reset", "joints off", "joints on"]), max_size=12))
def test_whatever_happens_the_output_is_finite_and_never_jumps(events):
    world, previous = World(), np.zeros(expression.SIZE)
    values = {"teleop": 0.9, "policy": 0.5, "idle": 0.1}
    for event in events:
        if event in values:
            world.speaking = {event: values[event]}
        elif event == "none":
            world.speaking = {}
        elif event == "stop":
            world.arbiter.engage("test")
        elif event == "reset":
            world.arbiter.reset(world.now)
        else:
            world.joints = event == "joints on"
        for selection in world.run(0.6):
            assert (selection.vector is None) == (selection.state in (State.STOPPED, State.WAITING))
            if selection.vector is not None:
                assert np.isfinite(selection.vector).all()
                assert np.abs(selection.vector - previous).max() < 0.11
                previous = selection.vector


@pytest.mark.parametrize(
    "field, value", [("timeout_s", 0.0), ("max_age_s", float("nan")), ("hold_s", -1.0), ("max_steps", 0)]
)
def test_impossible_configuration_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        ArbiterConfig(**{field: value})


class TestPartialFrames:
    """Operator frames that measured only part of the face."""

    def _frame(self, **values):
        valid = np.zeros(expression.SIZE, dtype=bool)
        for name in values:
            valid[expression.INDEX[name]] = True
        return expression.from_mapping(values), valid

    def _take(self, frames, at, **values):
        whole = frames.complete(*self._frame(**values), at)
        frames.remember(*self._frame(**values), at)
        return whole

    def test_what_was_never_measured_is_neutral(self):
        whole = self._take(PartialFrames(1.0, 1.5), 0.0, headYaw=0.3)
        assert np.array_equal(whole, expression.from_mapping({"headYaw": 0.3}))

    def test_what_is_no_longer_measured_is_held_then_fades(self):
        frames = PartialFrames(1.0, 2.0)
        self._take(frames, 0.0, headYaw=0.1, jawOpen=0.8)
        assert self._take(frames, 0.9, headYaw=0.2)[JAW] == pytest.approx(0.8)
        assert self._take(frames, 2.0, headYaw=0.2)[JAW] == pytest.approx(0.4)
        whole = self._take(frames, 3.1, headYaw=0.2)
        assert whole[JAW] == 0.0 and whole[expression.INDEX["headYaw"]] == pytest.approx(0.2)

    def test_a_frame_that_was_not_accepted_is_not_remembered(self):
        frames = PartialFrames(1.0, 2.0)
        frames.complete(*self._frame(jawOpen=1.0), 0.0)
        assert self._take(frames, 0.1, headYaw=0.2)[JAW] == 0.0

    def test_nan_counts_only_where_measured(self):
        frames = PartialFrames(1.0, 2.0)
        values, valid = self._frame(headYaw=0.3)
        values[JAW] = np.nan
        assert np.isfinite(frames.complete(values, valid, 0.0)).all()
        valid[JAW] = True
        with pytest.raises(CommandRefused, match="jawOpen is nan"):
            frames.complete(values, valid, 0.0)

    def test_a_frame_that_measured_nothing_is_refused(self):
        with pytest.raises(CommandRefused, match="no entry"):
            PartialFrames(1.0, 2.0).complete(np.zeros(61), np.zeros(61, dtype=bool), 0.0)
