"""Joining faces, gazes and hands; the reference is what the simulator makes of the same perception."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header

from fabg.errors import InputError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception.scene import Scene
from fabg.perception.types import DepthSource, Face, Faces, Gaze, Gesture, Hand, Hands, Roi, Side
from fabg.robot.model import BASE_LINK, load_robot
from fabg.ros.gaze import gazes_message
from fabg.ros.hands import hands_message
from fabg.ros.humans import faces_message
from fabg.ros.joints import states_to_message
from fabg.ros.policy_inputs import PolicyInputs
from fabg.ros.time import stamp
from fabg.social.sight import observation_of

ROBOT = load_robot()
CAMERA = "camera_left_optical_frame"
BASE_FROM_CAMERA = pose(rotation_from_ypr(0.2, -0.1, 0.05) @ OPTICAL_FROM_BODY.T, (0.1, 0.02, 0.12))
WAIT_S, SLACK_S = 0.02, 0.2


def base_from(frame, stamp_s):
    if frame != CAMERA:
        raise InputError(f"no transform from {frame!r} to {BASE_LINK!r}")
    return BASE_FROM_CAMERA


def unit(rng):
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def scene(stamp_s=100.0, seed=0, people=("a", "b"), hands=2, depth=DepthSource.MONOCULAR):
    """Random people and hands, as perception would report them."""
    rng = np.random.default_rng(seed)
    faces = tuple(
        Face(
            i,
            Roi(1.0, 2.0, 3.0, 4.0),
            0.5,
            np.zeros((478, 3)),
            rng.uniform(0.0, 1.0, 52),
            pose(rotation_from_ypr(*rng.uniform(-1.0, 1.0, 3)), rng.normal(size=3)),
        )
        for i in people
    )
    gazes = tuple(Gaze(i, rng.normal(size=3), unit(rng), 0.1, 0.2, 0.0, 0.0, 0.9) for i in people)
    found = tuple(
        Hand(
            f"h{k}",
            Side(1 + k % 2),
            0.8,
            rng.uniform(0, 480, (21, 2)),
            rng.normal(size=(21, 3)),
            rng.normal(size=3),
            depth,
            Gesture(int(rng.integers(0, 10))),
            0.75,
            unit(rng) if k % 2 else None,
            bool(k % 2),
            people[0] if people else "",
        )
        for k in range(hands)
    )
    size = (640, 480)
    return Scene(
        stamp_s, Faces(stamp_s, size, faces), gazes, (), (), {}, (), Hands(stamp_s, size, found), (), {}
    )


class Feed:
    """Hands messages to a PolicyInputs; `now_s` is the test's."""

    def __init__(self, wait_s=WAIT_S):
        self.inputs = PolicyInputs(base_from, ROBOT, wait_s=wait_s, slack_s=SLACK_S)
        self.now_s = 100.05

    def header(self, of):
        return Header(stamp=stamp(of.stamp_s), frame_id=CAMERA)

    def faces(self, of):
        return self.inputs.saw_faces(faces_message(of.faces, self.header(of)), self.now_s)

    def gaze(self, of):
        self.inputs.saw_gaze(gazes_message(of.gazes, (), self.header(of)), self.now_s)

    def hands(self, of):
        self.inputs.saw_hands(hands_message(of.hands, self.header(of)), self.now_s)

    def take(self):
        return self.inputs.take(self.now_s)


def test_it_is_what_the_simulator_makes_of_the_same_perception():
    feed, seen = Feed(), scene()
    feed.gaze(seen)
    feed.hands(seen)
    assert not feed.faces(seen)
    assert feed.inputs.complete
    joined, wanted = feed.take(), observation_of(seen, BASE_FROM_CAMERA)
    found = joined.observation
    assert (joined.stamp, joined.received_s) == (stamp(100.0), 100.05)
    assert (joined.gaze_behind_s, joined.hands_behind_s) == (0.0, 0.0)
    assert found.stamp_s == pytest.approx(wanted.stamp_s)
    assert len(found.people) == len(wanted.people) == 2 and len(found.hands) == len(wanted.hands) == 2
    for mine, theirs in zip(found.people + found.hands, wanted.people + wanted.hands, strict=True):
        for name, value in vars(theirs).items():
            # float32 on the way
            assert getattr(mine, name) == (
                pytest.approx(value, abs=1e-6) if isinstance(value, np.ndarray | float) else value
            ), name


def test_hands_without_a_place_in_space_are_left_out():
    feed, seen = Feed(), scene(hands=3)
    message = hands_message(seen.hands, feed.header(seen))
    message.hands[0].landmarks_m = []
    message.hands[1].depth_source = 0
    feed.inputs.saw_hands(message, feed.now_s)
    feed.faces(seen)
    assert [hand.id for hand in feed.take().observation.hands] == ["h2"]


def test_alone_faces_wait_for_nobody():
    feed, seen = Feed(), scene()
    feed.faces(seen)
    assert feed.inputs.complete
    joined = feed.take()
    assert joined.observation.hands == () and {p.gaze for p in joined.observation.people} == {None}
    assert (joined.gaze_behind_s, joined.hands_behind_s) == (None, None)
    assert joined.observation.joint_positions is None
    assert feed.take() is None and not feed.inputs.complete


def test_a_stream_that_is_in_time_is_waited_for():
    """The first gaze comes 5 ms behind its faces; from then on faces wait, and gaze is that of the same image."""
    feed = Feed()
    first, second = scene(100.00, seed=1), scene(100.04, seed=2)
    feed.faces(first)
    assert feed.inputs.complete
    feed.take()
    feed.now_s += 0.005
    feed.gaze(first)
    assert not feed.inputs.complete, "no faces wait"
    feed.now_s += 0.035
    feed.faces(second)
    assert not feed.inputs.complete
    feed.now_s += 0.005
    feed.gaze(second)
    assert feed.inputs.complete
    assert feed.take().gaze_behind_s == 0.0


def test_a_stream_that_is_too_late_is_not_waited_for_and_goes_with_the_next_faces():
    feed = Feed()
    first, second = scene(100.00), scene(100.04)
    feed.faces(first)
    feed.take()
    feed.now_s += WAIT_S + 0.001
    feed.hands(first)
    feed.now_s += 0.015
    feed.faces(second)
    assert feed.inputs.complete, "hands come too late to wait for"
    joined = feed.take()
    assert joined.hands_behind_s == pytest.approx(0.04) and len(joined.observation.hands) == 2


def test_a_stream_that_ends_is_waited_for_once():
    feed = Feed()
    feed.gaze(scene(100.0))
    feed.faces(scene(100.0))
    feed.take()
    feed.gaze(scene(100.04))
    feed.faces(scene(100.04))
    assert feed.inputs.complete
    feed.take()
    feed.gaze(scene(100.08))  # the last
    feed.faces(scene(100.08))
    feed.take()
    feed.faces(scene(100.12))
    assert not feed.inputs.complete
    feed.take()  # the wait is over
    feed.faces(scene(100.16))
    assert feed.inputs.complete


def test_what_is_too_old_or_from_another_time_does_not_belong():
    feed = Feed()
    feed.gaze(scene(100.0))
    feed.hands(scene(101.0))
    feed.faces(scene(100.0 + SLACK_S + 0.01))
    joined = feed.take()
    assert (joined.gaze_behind_s, joined.hands_behind_s) == (None, None)


def test_the_nearest_in_time_belongs():
    feed = Feed()
    for k in range(4):
        feed.hands(scene(100.0 + 0.04 * k, seed=k))
    feed.faces(scene(100.041))
    assert feed.take().hands_behind_s == pytest.approx(0.001)


def test_newer_faces_take_the_place_of_those_that_wait():
    feed = Feed()
    assert not feed.faces(scene(100.0))
    assert feed.faces(scene(100.04))
    assert feed.take().observation.stamp_s == pytest.approx(100.04)


def test_gaze_of_somebody_else_is_nobodys():
    feed = Feed()
    feed.gaze(scene(people=("c",)))
    feed.faces(scene(people=("a",)))
    assert feed.take().observation.people[0].gaze is None


def test_joint_states_count_while_they_are_fresh():
    feed = Feed()
    feed.inputs.saw_joints(states_to_message(ROBOT.neutral, np.zeros(25), ROBOT, stamp(100.0)), feed.now_s)
    feed.faces(scene())
    assert np.array_equal(feed.take().observation.joint_positions, ROBOT.neutral)
    feed.now_s += 1.0
    feed.faces(scene())
    assert feed.take().observation.joint_positions is None


def bad(kind, change):
    feed, seen = Feed(), scene()
    header = feed.header(seen)
    if kind == "faces":
        message = faces_message(seen.faces, header)
    elif kind == "gaze":
        message = gazes_message(seen.gazes, (), header)
    else:
        message = hands_message(seen.hands, header)
    change(message)
    return feed, lambda: getattr(feed.inputs, f"saw_{kind}")(message, feed.now_s)


@pytest.mark.parametrize(
    "kind, change, said",
    [
        ("faces", lambda m: setattr(m.faces[0].pose.position, "x", math.nan), "'a'"),
        ("faces", lambda m: setattr(m.header, "frame_id", "elsewhere"), "elsewhere"),
        ("gaze", lambda m: setattr(m.gazes[1].direction, "z", math.inf), "'b'"),
        ("gaze", lambda m: setattr(m.header, "frame_id", "elsewhere"), "elsewhere"),
        ("hands", lambda m: setattr(m.hands[0].position, "y", math.nan), "'h0'"),
        ("hands", lambda m: setattr(m.hands[1].landmarks_m[8], "x", math.nan), "'h1'"),
        ("hands", lambda m: setattr(m.hands[0], "gesture_confidence", math.nan), "'h0'"),
        ("hands", lambda m: m.hands[0].landmarks_m.pop(), "20 joints"),
        ("hands", lambda m: setattr(m.hands[0], "gesture", 77), "77"),
        ("hands", lambda m: setattr(m.hands[0], "side", 9), "9"),
        ("hands", lambda m: setattr(m.header, "frame_id", "elsewhere"), "elsewhere"),
    ],
)
def test_bad_messages_are_refused_at_the_door_and_change_nothing(kind, change, said):
    feed, see = bad(kind, change)
    with pytest.raises(InputError, match=said):
        see()
    if kind == "faces":
        assert feed.take() is None
    else:
        feed.faces(scene())
        joined = feed.take()
        assert (joined.gaze_behind_s, joined.hands_behind_s) == (None, None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["faces", "gaze", "hands", "take"]), st.integers(0, 30), st.floats(0.0, 0.1)
        ),
        max_size=40,
    )
)
def test_in_any_order_what_is_joined_is_near_in_time_and_of_the_newest_faces(steps):
    feed, newest = Feed(), None
    for what, image, pause_s in steps:
        feed.now_s += pause_s
        if what == "take":
            joined = feed.take()
            assert (joined is None) == (newest is None)
            if joined is not None:
                assert joined.observation.stamp_s == pytest.approx(newest)
                for behind_s in (joined.gaze_behind_s, joined.hands_behind_s):
                    assert behind_s is None or abs(behind_s) <= SLACK_S
            newest = None
            continue
        stamp_s = 100.0 + 0.04 * image
        getattr(feed, what)(scene(stamp_s, people=("a",), hands=1))
        if what == "faces":
            newest = stamp_s
