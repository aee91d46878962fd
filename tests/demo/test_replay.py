"""What another policy would have done: held against known delays, and against the graph itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fabg.demo.analysis import robot_figures
from fabg.demo.replay import people, replay, servo_delay_s
from fabg.policy.mirror import MirrorPolicy
from fabg.robot.model import load_robot
from tests.demo.synthetic import synthetic


@pytest.fixture(scope="module")
def robot():
    return load_robot()


@pytest.fixture
def recording(tmp_path, robot):
    return synthetic(tmp_path, robot, seconds=7.0)


def _later(recording, by_s):
    return replace(recording, answers=[replace(a, received_s=a.received_s + by_s) for a in recording.answers])


def test_mirror_follows_and_later_answers_make_it_later_by_as_much(recording, robot):
    soon, late = (replay(_later(recording, s), MirrorPolicy(), robot) for s in (0.0, 0.12))
    for name in ("jaw open", "smile"):
        a, b = (robot_figures(run, robot)["follow"][name] for run in (soon, late))
        assert a["r"] > 0.97 and b["r"] > 0.97
        assert b["lag_ms"] - a["lag_ms"] == pytest.approx(120, abs=15)


def test_the_run_itself_stays_as_it_was(recording, robot):
    before = [q.copy() for q in recording.joints]
    done = replay(recording, MirrorPolicy(), robot)
    assert all(np.array_equal(a, b) for a, b in zip(before, recording.joints, strict=True))
    assert done.joint_stamps == recording.joint_stamps
    assert done.sights is recording.sights and done.images is recording.images
    again = replay(recording, MirrorPolicy(), robot)
    assert np.array_equal(done.joints, again.joints), "the same bits"


class Silent:
    name = "silent"

    def reset(self):
        """Nothing to forget."""

    def predict(self, observation):
        return None


def test_a_policy_that_says_nothing_leaves_the_robot_to_rest(recording, robot):
    done = replay(recording, Silent(), robot)
    assert np.abs(done.joints[-1] - robot.neutral).max() < 0.01


def test_nothing_recorded_gives_nothing(recording, robot):
    empty = replace(recording, joints=[], joint_stamps=[])
    assert replay(empty, MirrorPolicy(), robot).joints == []


def test_people_stand_where_they_stood(recording):
    """The synthetic person's head is 1.1 m in front of the base, 0.12 m up, and faces it."""
    (near,) = people(recording.sights[0], recording)
    np.testing.assert_allclose(near.position_m, [1.1, 0.0, 0.12], atol=1e-9)
    np.testing.assert_allclose(near.rotation @ [1, 0, 0], [-1, 0, 0], atol=1e-9)
    assert people(recording.sights[0], replace(recording, base_from_camera=None)) == ()


def test_the_way_to_the_servos_is_measured_and_kept(recording, robot):
    """Commands sent 40 ms earlier for the same joints: measured, and in the replay from it again."""
    done = replay(recording, MirrorPolicy(), robot)
    early = replace(done, command_stamps=[s - 0.04 for s in done.command_stamps])
    at_once, delayed = servo_delay_s(done, robot), servo_delay_s(early, robot)
    assert delayed - at_once == pytest.approx(0.04, abs=0.006)
    again = replay(early, MirrorPolicy(), robot)
    assert servo_delay_s(again, robot) == pytest.approx(delayed, abs=0.006)


@pytest.mark.graph
@pytest.mark.slow
def test_mirror_replayed_is_mirror_in_the_graph(tmp_path, robot):
    """The replay's only claim, and its reference: the real nodes with the same policy on the same run."""
    from fabg.demo.behaviour import behaviour
    from fabg.demo.run import examine, record

    run = record(examine("clip"), behaviour("mirror"), tmp_path, 12.0, Console(stderr=True))
    replayed = replay(run, MirrorPolicy(), robot)
    real, computed = (np.array(r.joints) for r in (run, replayed))
    begun = np.array(run.joint_stamps) > run.start_s + 1.0
    moved = real[begun].std(axis=0) > 0.02
    assert moved.sum() >= 5
    for j in np.flatnonzero(moved):
        assert np.corrcoef(real[begun, j], computed[begun, j])[0, 1] > 0.95, robot.names[j]
    a, b = (robot_figures(r, robot)["follow"]["jaw open"] for r in (run, replayed))
    # On a busy machine the recorder's thread hears of things when it may.
    assert b["lag_ms"] == pytest.approx(a["lag_ms"], abs=40)
