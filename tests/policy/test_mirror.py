import math

import numpy as np
import pytest

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.geometry import rotation_from_ypr
from fabg.policy.base import Chunk, Observation, PersonObservation
from fabg.policy.mirror import MirrorConfig, MirrorPolicy
from fabg.robot.model import load_robot

FACING = rotation_from_ypr(math.pi, 0, 0)
"""A head that looks back along -x, at the robot."""


def person(position=(0.8, 0.0, 0.12), rotation=FACING, id="a", **shapes):
    return PersonObservation(
        id, expression.from_mapping(shapes)[:52], np.array(position, dtype=float), np.asarray(rotation)
    )


def answer(policy, *people, t=1.0):
    return dict(zip(expression.NAMES, policy.predict(Observation(t, people)).values[0], strict=True))


def settled(policy, **shapes):
    """Show a resting face first, so that the policy knows it."""
    answer(policy, person(), t=0.5)
    return answer(policy, person(**shapes), t=1.0)


def test_a_smile_on_their_left_is_a_smile_on_my_right():
    mine = settled(MirrorPolicy(), mouthSmileLeft=0.5)
    assert mine["mouthSmileRight"] == pytest.approx(0.5 * 1.2, abs=0.02)
    assert mine["mouthSmileLeft"] == 0.0


def test_without_the_mirror_image_left_stays_left():
    mine = settled(MirrorPolicy(MirrorConfig(mirror_image=False)), mouthSmileLeft=0.5)
    assert (mine["mouthSmileLeft"], mine["mouthSmileRight"]) == (pytest.approx(0.6, abs=0.02), 0.0)


@pytest.mark.parametrize("point", [(0.5, 0.0, 0.12), (0.8, 0.3, 0.2), (2.0, -0.8, -0.3), (0.3, 0.1, 0.1)])
def test_both_eyes_point_at_the_person(point):
    """Follow each eye's line of sight through neck and eye: it must meet the person."""
    robot = load_robot()
    mine = answer(MirrorPolicy(), person(point))
    head = rotation_from_ypr(mine["headYaw"], mine["headPitch"], mine["headRoll"])
    for side, name in (("Left", "eye_left_yaw"), ("Right", "eye_right_yaw")):
        eye = head @ np.array(robot[name].origin)
        sight = head @ rotation_from_ypr(mine[f"eyeYaw{side}"], mine[f"eyePitch{side}"], 0) @ [1, 0, 0]
        off = np.linalg.norm(np.cross(np.array(point) - eye, sight))
        assert off < 1e-9


def test_eyes_converge_more_on_a_nearer_person():
    def vergence(distance):
        mine = answer(MirrorPolicy(), person((distance, 0, 0.12)))
        return mine["eyeYawRight"] - mine["eyeYawLeft"]

    assert vergence(0.3) > vergence(0.8) > vergence(3.0) > 0


def test_head_follows_as_in_a_mirror():
    # The person turns to their own left, which is the robot's right.
    turned = FACING @ rotation_from_ypr(0.4, 0, 0)
    mine = answer(MirrorPolicy(MirrorConfig(head_gain=1.0, look_share=0.0)), person(rotation=turned))
    assert mine["headYaw"] == pytest.approx(-0.4)
    policy = MirrorPolicy(MirrorConfig(head_gain=1.0, look_share=0.0))
    answer(policy, person(), t=1.0)
    nod = FACING @ rotation_from_ypr(0, 0.3, 0)
    assert answer(policy, person(rotation=nod), t=1.04)["headPitch"] == pytest.approx(0.3, abs=0.01)


def test_a_head_that_is_always_seen_from_below_is_not_taken_for_a_nod():
    policy = MirrorPolicy(MirrorConfig(head_gain=1.0, look_share=0.0))
    tilted = FACING @ rotation_from_ypr(0, -0.2, 0)
    assert answer(policy, person(rotation=tilted), t=1.0)["headPitch"] == pytest.approx(0.0, abs=1e-9)
    nod = FACING @ rotation_from_ypr(0, 0.1, 0)
    assert answer(policy, person(rotation=nod), t=1.04)["headPitch"] == pytest.approx(0.3, abs=0.01)


def test_nobody_there_means_nothing_to_do():
    assert MirrorPolicy().predict(Observation(1.0)) is None


def test_stays_with_one_person_until_another_is_much_nearer():
    policy = MirrorPolicy()
    first, second = person((0.8, 0, 0.12), id="a", jawOpen=0.5), person((0.7, 0, 0.12), id="b")
    answer(policy, person((0.8, 0, 0.12), id="a"), t=0.5)
    assert answer(policy, first, second)["jawOpen"] > 0.3, "0.7 m against 0.8 m is no reason to switch"
    near = person((0.4, 0, 0.12), id="b")
    assert answer(policy, first, near)["jawOpen"] == 0.0, "half the distance is"


def test_a_face_that_rests_high_is_not_taken_for_an_expression():
    policy = MirrorPolicy()
    for i in range(200):
        resting = answer(policy, person(browInnerUp=0.2), t=1.0 + i * 0.5)
    assert resting["browInnerUp"] < 0.02
    raised = answer(policy, person(browInnerUp=0.8), t=101.5)
    assert raised["browInnerUp"] > 0.6


@pytest.mark.parametrize("values", [{"head_gain": 1.5}, {"baseline_s": 0.0}, {"gains": {"nosuch": 1.0}}])
def test_configuration_is_checked(values):
    with pytest.raises(ConfigError):
        MirrorConfig(**values)


def test_chunk_interpolates_between_steps_and_holds_at_the_ends():
    rows = np.array([np.full(61, 0.0), np.full(61, 0.5), np.full(61, 1.0)])
    chunk = Chunk(rows, t0_s=10.0, dt_s=0.1)
    for t, expected in ((9.0, 0.0), (10.0, 0.0), (10.05, 0.25), (10.15, 0.75), (10.2, 1.0), (11.0, 1.0)):
        assert chunk.at(t)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "values, dt",
    [
        (np.zeros((0, 61)), 0.1),
        (np.zeros((2, 60)), 0.1),
        (np.full((1, 61), np.nan), 0.1),
        (np.zeros((1, 61)), 0.0),
    ],
)
def test_a_bad_chunk_is_refused(values, dt):
    with pytest.raises(CommandRefused):
        Chunk(values, 0.0, dt)
