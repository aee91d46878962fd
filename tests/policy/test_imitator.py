import math

import numpy as np
import pytest

from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.perception.types import Gesture, Side
from fabg.policy.attention import EYES_M, answer_shapes, hand_target
from fabg.policy.base import Chunk, HandObservation, Observation, PersonObservation
from fabg.policy.imitator import ImitatorConfig, ImitatorPolicy
from fabg.policy.memory import WatchConfig, trusting
from fabg.policy.response import ResponseConfig
from fabg.robot.model import load_robot
from fabg.social.expert import Expert
from fabg.social.stage import TICK_S, Stimulus

ROBOT = load_robot()
SHARP = ResponseConfig(gaze_spread_s=0.0, expression_spread_s=0.0)
GAZE_TICKS, FACE_TICKS = 6, 15
FACING = np.diag([-1.0, -1.0, 1.0])
QUIET = np.zeros(52)
SMILE = expression.from_mapping(
    {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.7, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5}
)[:52]
SURPRISE = expression.from_mapping(
    {"browInnerUp": 0.8, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7, "jawOpen": 0.5}
)[:52]
SEAT = np.array([0.9, 0.1, 0.12])
ASIDE = np.array([0.9, 0.4, 0.12])


def towards_robot(position):
    line = np.array(EYES_M) - position
    return line / np.linalg.norm(line)


def person(position=SEAT, shapes=QUIET, id="a", gaze="robot"):
    gaze = towards_robot(position) if isinstance(gaze, str) else gaze
    return PersonObservation(id, np.array(shapes), np.array(position), FACING, 1.0, gaze)


def hand(position, gesture=Gesture.OPEN_PALM, extended=True, id="h", owner="a"):
    position = np.array(position, dtype=float)
    tip = position + np.array([-0.1, 0.0, 0.03])
    return HandObservation(id, owner, Side.RIGHT, position, tip, gesture, 1.0, extended)


def asked(observation):
    """Return target and shapes that the true rules make of an observation of one person."""
    one = observation.people[0]
    held_out = [h for h in observation.hands if h.extended]
    target = (
        hand_target(held_out[0].gesture, held_out[0].position_m, held_out[0].tip_m)
        if held_out
        else one.position_m
    )
    return np.array(target), answer_shapes(one.blendshapes)


def demonstrated(observations):
    """Return what an expert with the mean delays and no spread does, one observation a tick."""
    stimuli = [Stimulus(0, "event", 0.0, True, *asked(o)) for o in observations]
    expert = Expert(SHARP, ROBOT)
    expert.reset(np.random.default_rng(0), stimuli[0])
    return np.array([expert.step(stimulus) for stimulus in stimuli])


def scene(seed, ticks=400):
    """Return an observation a tick: a swaying head, smiles and surprises that rise and fall, hands and directions."""
    rng = np.random.default_rng(seed)
    phase, observations = rng.uniform(0, 6, 3), []
    amount, goal, emotion, gesture, at, since = 0.0, 0.0, SMILE, None, np.zeros(3), 0
    for k in range(ticks):
        t = k * TICK_S
        if rng.random() < 0.03:
            goal, emotion = (
                float(rng.choice([0.0, 0.6, 1.0])),
                emotion if amount > 0.01 else (SMILE, SURPRISE)[k % 2],
            )
        if since > 40 and rng.random() < 0.03:
            gesture, since = (
                (None, Gesture.UP, Gesture.LEFT, Gesture.FIST, Gesture.POINTING)[rng.integers(5)],
                0,
            )
            at = rng.uniform([0.3, -0.2, -0.05], [0.6, 0.2, 0.2])
        amount += np.clip(goal - amount, -0.05, 0.05)
        at = at + np.array([0.002, 0.003 * math.sin(3 * t), 0.0])
        since += 1
        position = SEAT + 0.01 * np.sin(2 * t + phase)
        extended = gesture is not None and since > 15  # it is on its way for a while
        visible = extended or since <= 15
        hands = (hand(at, gesture if extended else Gesture.NONE, extended),) if visible else ()
        observations.append(Observation(t, (person(position, amount * emotion),), hands))
    return observations


def exact(**changes):
    return ImitatorPolicy(ImitatorConfig(response=SHARP, watch=trusting(), **changes), ROBOT)


# Prediction cancels latency ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_for_as_long_as_the_reaction_takes_the_chunk_is_what_the_demonstrator_will_do(seed):
    observations = scene(seed)
    truth = demonstrated(observations)
    assert np.ptp(truth, axis=0)[52:].max() > 0.3  # something happened
    policy = exact()
    for k, observation in enumerate(observations[:-FACE_TICKS]):
        chunk = policy.predict(observation)
        assert (chunk.t0_s, chunk.dt_s, chunk.values.shape) == (observation.stamp_s, TICK_S, (25, 61))
        ahead = slice(k, k + GAZE_TICKS + 1)
        np.testing.assert_allclose(chunk.values[: GAZE_TICKS + 1, 52:], truth[ahead, 52:], atol=1e-9)
        ahead = slice(k, k + FACE_TICKS + 1)
        np.testing.assert_allclose(chunk.values[: FACE_TICKS + 1, :52], truth[ahead, :52], atol=1e-9)


def test_beyond_it_differs_only_once_what_is_seen_has_changed():
    still = [Observation(k * TICK_S, (person(),)) for k in range(40)]
    at = 40
    moved = [
        Observation(k * TICK_S, (person(shapes=SMILE),), (hand((0.5, -0.1, 0.1)),)) for k in range(at, 120)
    ]
    truth = demonstrated(still + moved)
    policy = exact(steps=50)
    for k, observation in enumerate((still + moved)[:70]):
        chunk = policy.predict(observation).values
        same = np.abs(chunk - truth[k : k + 50]).max(axis=1) < 1e-9
        if k >= at:
            assert same.all()  # the change has been seen, and nothing else comes
        else:
            # The first to differ is the first movement of the demonstrator's answer: a tick after the delay.
            differs = at + GAZE_TICKS + 1 - k
            assert same[:differs].all()
            assert not same[differs : differs + 5].any()


# Stamps -----------------------------------------------------------------------------------------------


def even(t):
    """Return an observation at t of somebody who moves evenly and smiles more and more."""
    position = SEAT + np.array([0.02, 0.1, 0.01]) * t
    return Observation(t, (person(position, min(0.2 + 0.1 * t, 1.0) * SMILE),))


@pytest.mark.parametrize("seed", range(4))
def test_the_model_lives_by_the_stamps_not_by_the_calls(seed):
    rng = np.random.default_rng(seed)
    truth = demonstrated([even(k * TICK_S) for k in range(200)])
    policy, k, compared = exact(), 0, 0
    while k < 170:
        chunk = policy.predict(even(k * TICK_S)).values
        if k > 20:  # a short gap at the start is not known to be even
            np.testing.assert_allclose(chunk[:GAZE_TICKS, 52:], truth[k : k + GAZE_TICKS, 52:], atol=1e-3)
            np.testing.assert_allclose(chunk[:FACE_TICKS, :52], truth[k : k + FACE_TICKS, :52], atol=1e-6)
            compared += 1
        k += int(rng.integers(1, 4)) if rng.random() > 0.1 else 6  # 20 to 60 ms, sometimes one is missing
    assert compared > 30


def test_stamps_between_ticks_shift_the_chunk_by_as_much():
    truth = Chunk(demonstrated([even(k * TICK_S) for k in range(200)]), 0.0, TICK_S)
    policy, t = exact(), 0.0
    rng = np.random.default_rng(3)
    while t < 3.0:
        chunk = policy.predict(even(t))
        assert chunk.t0_s == t
        if t > 0.5:
            for h in range(GAZE_TICKS):
                np.testing.assert_allclose(chunk.values[h], truth.at(t + h * TICK_S), atol=2e-3)
        t += float(rng.uniform(0.02, 0.06))


@pytest.mark.parametrize("age_s", [0.0, 0.02, 0.3, 1.9])
def test_old_and_repeated_stamps_change_nothing(age_s):
    policy, alone = exact(), exact()
    for observation in scene(1, 60):
        chunk, same = policy.predict(observation), alone.predict(observation)
        np.testing.assert_array_equal(chunk.values, same.values)
        old = Observation(observation.stamp_s - age_s, (person(SEAT + 0.3, SURPRISE),))
        assert policy.predict(old) is chunk


@pytest.mark.parametrize("jump_s", [-100.0, -2.5, 2.5, 1e6])
def test_a_clock_that_jumps_begins_anew(jump_s):
    policy, fresh = exact(), exact()
    for observation in scene(1, 60):
        policy.predict(observation)
    start = 1.18 + jump_s
    for k in range(20):
        observation = Observation(
            start + k * TICK_S, (person(shapes=SMILE),), (hand((0.5, 0.1, 0.1)),) * (k > 8)
        )
        np.testing.assert_array_equal(policy.predict(observation).values, fresh.predict(observation).values)


@pytest.mark.parametrize("stamp_s", [math.nan, math.inf])
def test_a_stamp_that_is_no_time_is_refused_and_changes_nothing(stamp_s):
    policy, alone = exact(), exact()
    for observation in scene(2, 30):
        with pytest.raises(CommandRefused, match="stamp"):
            policy.predict(Observation(stamp_s, observation.people))
        np.testing.assert_array_equal(policy.predict(observation).values, alone.predict(observation).values)


def test_reset_forgets():
    policy = exact()
    first = [policy.predict(o).values for o in scene(3, 50)]
    policy.reset()
    np.testing.assert_array_equal(first, [policy.predict(o).values for o in scene(3, 50)])


# What cannot be seen ----------------------------------------------------------------------------------


def test_with_nobody_there_it_holds_and_then_eases_to_neutral():
    policy = ImitatorPolicy()
    for k in range(60):
        policy.predict(Observation(k * 0.04, (person(ASIDE, SMILE),)))
    before = policy.predict(Observation(2.4, (person(ASIDE, SMILE),))).values[0]
    assert before[expression.INDEX["mouthSmileRight"]] > 0.5
    steps = []
    for k in range(61, 140):
        chunk = policy.predict(Observation(k * 0.04, ()))
        steps.append(chunk.values[0])
    np.testing.assert_allclose(steps[20], before, atol=0.02)  # 0.8 s: held
    np.testing.assert_allclose(steps[-1][:52], 0, atol=1e-3)
    np.testing.assert_allclose(steps[-1][58:], 0, atol=1e-3)
    assert (steps[-1][52] + steps[-1][55]) / 2 == pytest.approx(0, abs=1e-3)


def test_nobody_from_the_start_is_neutral():
    values = ImitatorPolicy().predict(Observation(0.0)).values
    np.testing.assert_allclose(values[:, :52], 0)
    np.testing.assert_allclose(values[:, 58:], 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_counts_as_not_seen(bad):
    policy, alone = ImitatorPolicy(), ImitatorPolicy()
    spoilt = (
        person([bad, 0, 0], id="b"),
        person(shapes=np.full(52, bad), id="c"),
        person([1.2, -0.3, 0.1], id="d", gaze=np.full(3, bad)),
    )
    for k in range(30):
        seen = Observation(k * 0.04, (person(),), (hand((0.5, 0.1, 0.1)),))
        more = Observation(seen.stamp_s, seen.people + spoilt, (*seen.hands, hand((bad, 0, 0), id="x")))
        np.testing.assert_array_equal(policy.predict(more).values, alone.predict(seen).values)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        (lambda: ImitatorConfig(steps=0), "steps"),
        (lambda: ImitatorConfig(restart_s=math.nan), "restart_s"),
        (lambda: WatchConfig(face_on=0.1, face_off=0.2), "face_off"),
        (lambda: WatchConfig(reading=np.eye(51)), "reading"),
        (lambda: WatchConfig(reading=np.full((52, 52), math.nan)), "reading"),
    ],
)
def test_a_configuration_out_of_range_is_refused(config, match):
    with pytest.raises(ConfigError, match=match):
        config()
