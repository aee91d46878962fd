"""What a partner does when told: timing, eyes, and hands as the avatar draws them."""

import math

import numpy as np
import pytest

from fabg.expression import INDEX
from fabg.perception.gesture import Shape, gesture_of
from fabg.perception.types import Gesture, Side
from fabg.policy.attention import ANSWERED, EYES_M, gaze_miss
from fabg.social.avatar.poses import HAND_SHAPES, MAX_EYE_PITCH, MAX_EYE_YAW
from fabg.social.motion import Point
from fabg.social.partner import EMOTIONS, Partner, build_of
from fabg.social.raised import SAYS_AT
from fabg.social.sight import SceneCamera, base_from_camera
from fabg.social.signs import SHAPES, SIGNS, in_base, sign_of, turn_of
from fabg.social.stage import TICK_S, SceneState

SEAT: Point = (0.95, 0.14, 0.09)
AT: Point = (0.55, -0.12, 0.08)
ALL_SIGNS = ("open", "fist", "up", "down", "left", "right", "at_robot")


def partner(seed=1003, seat=SEAT, rng=1):
    return Partner("p0", seed, seat, np.random.default_rng(rng))


def play(who, until_s, start_s=0.0):
    return [who.state(k * TICK_S) for k in range(round(start_s / TICK_S), round(until_s / TICK_S))]


def adults(count):
    return [seed for seed in range(1000, 1200) if build_of(seed)[0] >= 16][:count]


# -- hands -------------------------------------------------------------------------------------------


def test_a_raised_hand_moves_at_a_minimum_jerk_and_speaks_up_near_its_end():
    who = partner()
    says = who.raise_hand(0.2, Side.LEFT, sign_of("up", Side.LEFT), AT, duration_s=0.6)
    assert says == pytest.approx(0.2 + SAYS_AT * 0.6)
    for k in range(60):
        t = k * TICK_S
        hands = who.state(t).hands
        if t < 0.19:
            continue
        (hand,) = hands
        spoken = t >= says - 1e-9
        assert (hand.gesture, hand.extended) == ((Gesture.UP, True) if spoken else (Gesture.NONE, False))
    np.testing.assert_allclose(hand.pose[:3, 3], AT, atol=0.006)


def test_the_palm_obeys_the_law_of_its_movement():
    who = partner()
    who.raise_hand(0.0, Side.RIGHT, SIGNS["open"], AT)
    play(who, 1.5)
    to = (AT[0] + 0.1, AT[1] - 0.2, AT[2] + 0.1)
    who.raise_hand(1.5, Side.RIGHT, SIGNS["open"], to, duration_s=0.5)
    palms = np.array([s.hands[0].pose[:3, 3] for s in play(who, 2.1, 1.5)])
    speed = np.linalg.norm(np.diff(palms, axis=0), axis=1) / TICK_S
    distance = math.dist(AT, to)
    assert speed.max() == pytest.approx(1.875 * distance / 0.5, rel=0.03)
    assert np.argmax(speed) * TICK_S == pytest.approx(0.25, abs=0.04)


def test_a_lowered_hand_stops_speaking_first_and_is_gone_at_last():
    who = partner()
    who.raise_hand(0.0, Side.LEFT, SIGNS["open"], AT)
    play(who, 1.0)
    stops = who.lower_hand(1.0, Side.LEFT)
    states = play(who, 2.5, 1.0)
    for k, state in enumerate(states):
        if state.hands:
            assert state.hands[0].extended == (1.0 + k * TICK_S < stops - 1e-9)
    assert 1.0 < stops < 1.4
    assert not states[-1].hands
    assert who.lower_hand(2.6, Side.LEFT) == 2.6, "nothing to lower"


def test_a_hand_that_goes_on_saying_the_same_does_not_pause():
    who = partner()
    who.raise_hand(0.0, Side.LEFT, SIGNS["at_robot"], AT)
    play(who, 1.0)
    who.raise_hand(1.0, Side.LEFT, SIGNS["at_robot"], (0.45, -0.05, 0.06))
    assert all(s.hands[0].gesture == Gesture.POINTING and s.hands[0].extended for s in play(who, 2.0, 1.0))


@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
@pytest.mark.parametrize("name", ALL_SIGNS)
def test_each_sign_says_what_it_is_when_seen_by_a_camera(name, side):
    who = partner()
    sign = sign_of(name, side)
    turn = turn_of((EYES_M[0] - AT[0], EYES_M[1] - AT[1], 0.0), (0, 0, -1)) if name == "at_robot" else None
    who.raise_hand(0.0, side, sign, AT, turn=turn)
    hand = play(who, 1.5)[-1].hands[0]
    assert hand.gesture == sign.gesture
    shape = {"open": Shape.OPEN, "fist": Shape.FIST}.get(name, Shape.POINT)
    x, y, z = hand.direction if hand.direction is not None else (1.0, 0.0, 0.0)
    assert gesture_of(shape, np.array([-y, -z, x]), np.array([0.0, 0.0, 1.0])) == hand.gesture
    assert (hand.direction is not None) == (shape == Shape.POINT)
    # The thumb of a right hand lies towards +y of its frame; hands are held with the thumb up or inward.
    thumb = hand.pose[:3, 1] * (1 if side == Side.RIGHT else -1)
    inward = np.array(in_base((0.0, 1.0, 0.0), side))
    assert thumb[2] > 0.3 or thumb @ inward > 0.3


@pytest.mark.parametrize("seed", adults(4))
def test_tip_and_direction_are_those_of_the_drawn_hand(seed):
    assert set(SHAPES) <= set(HAND_SHAPES)
    camera_to_base = base_from_camera()
    with SceneCamera((160, 120), samples=0) as camera:
        for side, names in (
            (Side.LEFT, ("open", "left", "up")),
            (Side.RIGHT, ("right", "down", "fist", "rest")),
        ):
            for name in names:
                who = partner(seed)
                who.raise_hand(0.0, side, sign_of(name, side), AT)
                for t in (0.4, 1.2):  # on the way, and there
                    state = who.state(t)
                    (drawn,) = camera.picture(SceneState(t, (state,))).hands
                    (hand,) = state.hands
                    tip = camera_to_base[:3, :3] @ drawn.joints_m[8] + camera_to_base[:3, 3]
                    # Nobody looks at the tip of a bent finger: it need not be as exact.
                    within = 0.015 if hand.shape in ("open", "point") else 0.022
                    assert math.dist(tip, hand.tip_m) < within, (name, hand.shape)
                    if hand.direction is not None:
                        pointing = camera_to_base[:3, :3] @ drawn.pointing
                        angle = math.degrees(math.acos(min(pointing @ hand.direction, 1.0)))
                        assert angle < 5.0, (name, angle)


# -- head, eyes, face --------------------------------------------------------------------------------


def test_somebody_who_looks_at_the_robot_meets_its_eyes_and_faces_it():
    state = partner().state(0.0)
    assert gaze_miss(state.position_m, state.look_at_m - state.position_m) < 1e-9
    to_robot = np.array(EYES_M) - state.position_m
    cosine = state.rotation[:, 0] @ to_robot / np.linalg.norm(to_robot)
    assert math.degrees(math.acos(cosine)) < 8.0


@pytest.mark.parametrize("at", [(0.2, 0.6, 0.1), (0.9, -0.6, 0.1), (1.1, 0.9, 0.2), (0.093, 0.3, 0.0)])
def test_eyes_are_there_first_and_never_beyond_where_eyes_can_turn(at):
    who = partner()
    play(who, 0.1)
    arrives = who.look(0.1, at)
    states = play(who, 1.0, 0.1)
    for state in states:
        x, y, z = state.rotation.T @ (state.look_at_m - state.position_m)
        assert abs(math.atan2(y, x)) < MAX_EYE_YAW
        assert abs(math.atan2(-z, math.hypot(x, y))) < MAX_EYE_PITCH
    there = states[round((arrives - 0.1) / TICK_S) + 1]
    np.testing.assert_allclose(there.look_at_m, at, atol=1e-9)
    assert arrives - 0.1 <= 0.45 + 1e-9


@pytest.mark.parametrize("emotion", list(EMOTIONS))
def test_an_expression_is_shown_in_its_time_and_its_mirror_image_answers_it(emotion):
    who = partner()
    who.express(0.1, emotion, 0.6, 0.5)
    states = play(who, 0.8)
    name = {"smile": "mouthSmile", "surprise": "browOuterUp"}[emotion]
    left, right = INDEX[f"{name}Left"], INDEX[f"{name}Right"]
    course = np.array([s.shapes[left] for s in states])
    assert (course[:6] == 0).all()
    assert (np.diff(course) >= 0).all()
    full = EMOTIONS[emotion][f"{name}Left"]
    assert course[-1] == pytest.approx(0.6 * full, rel=0.15)
    assert np.diff(course).max() / TICK_S == pytest.approx(1.875 * course[-1] / 0.5, rel=0.03)
    answer, shown = who.answer(), states[-1].shapes
    assert answer[right] == pytest.approx(shown[left])
    assert answer[left] == pytest.approx(shown[right])
    assert not answer[ANSWERED == 0].any()
    np.testing.assert_allclose(who.answer_to(emotion, 0.6), answer)


def test_speech_moves_the_jaw_but_is_not_answered():
    who = partner()
    who.open_jaw(0.0, 0.12, 0.1)
    state = play(who, 0.3)[-1]
    assert state.shapes[INDEX["jawOpen"]] == pytest.approx(0.12)
    assert not who.answer().any()


def test_states_that_were_given_out_do_not_change():
    who = partner()
    who.raise_hand(0.0, Side.LEFT, SIGNS["open"], AT)
    who.express(0.0, "smile", 1.0, 0.4)
    first = who.state(0.2)
    kept = (
        first.position_m.copy(), first.shapes.copy(), first.hands[0].pose.copy(), first.hands[0].tip_m.copy()
    )  # fmt: skip
    play(who, 1.0, 0.22)
    now = first.position_m, first.shapes, first.hands[0].pose, first.hands[0].tip_m
    for a, b in zip(kept, now, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_head_at_ease_sways_by_millimetres():
    heads = np.array([s.position_m for s in play(partner(), 30.0)])
    spread = heads.std(axis=0)
    assert (spread > 0.0003).all()
    assert (spread < 0.005).all()
    assert np.abs(heads - SEAT).max() < 0.02
