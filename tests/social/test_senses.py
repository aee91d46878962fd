"""Errors of simulated perception against the statistics that were asked for."""

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from fabg.errors import ConfigError
from fabg.geometry import pose
from fabg.perception.types import Gesture, Side
from fabg.robot.gaze import yaw_pitch
from fabg.social.senses import IMAGE_S, Senses, load_senses, perfect_senses, senses_from
from fabg.social.stage import CAMERA_M, HandState, PersonState, SceneState

PALM, TIP = np.array([0.5, 0.1, 0.05]), np.array([0.42, 0.1, 0.08])


def hand(gesture: Gesture = Gesture.POINTING) -> HandState:
    return HandState(
        Side.LEFT, pose(np.eye(3), PALM), "point", gesture, True, TIP, np.array([-1.0, 0.0, 0.0])
    )


def person(name: str = "p0", *hands: HandState) -> PersonState:
    shapes = np.zeros(52)
    shapes[17] = 0.5
    return PersonState(
        name, 1, np.array([1.0, 0.2, 0.1]), (0.1, -0.05, 0.02), shapes, np.array([0.1, 0.0, 0.1]), hands
    )


def observed(config, count: int, *hands: HandState, seed: int = 0, image_s: float = IMAGE_S):
    senses = Senses(config, image_s)
    senses.reset(np.random.default_rng(seed))
    return [senses.observe(SceneState(k * image_s, (person("p0", *hands),))) for k in range(count)]


def test_perfect_senses_tell_the_truth():
    seen = observed(perfect_senses(), 3, hand())[2]
    truth = person()
    one = seen.people[0]
    assert seen.stamp_s == pytest.approx(2 * IMAGE_S)
    np.testing.assert_allclose(one.position_m, truth.position_m, atol=1e-12)
    np.testing.assert_allclose(one.rotation, truth.rotation, atol=1e-12)
    np.testing.assert_allclose(one.blendshapes, truth.shapes)
    look = truth.look_at_m - truth.position_m
    np.testing.assert_allclose(one.gaze, look / np.linalg.norm(look), atol=1e-12)
    np.testing.assert_allclose(seen.hands[0].position_m, PALM, atol=1e-12)
    np.testing.assert_allclose(seen.hands[0].tip_m, TIP, atol=1e-12)
    assert (seen.hands[0].gesture, seen.hands[0].person_id) == (Gesture.POINTING, "p0")


def test_bias_stays_for_an_episode_and_differs_between_them():
    config = replace(perfect_senses(), distance=(0.05, 0.0))
    shares = []
    for seed in range(300):
        at = [o.people[0].position_m - CAMERA_M for o in observed(config, 3, seed=seed)]
        assert np.ptp([np.linalg.norm(p) for p in at]) < 1e-12
        shares.append(np.linalg.norm(at[0]) / np.linalg.norm(person().position_m - CAMERA_M) - 1)
    assert np.std(shares) == pytest.approx(0.05, rel=0.15)
    assert abs(np.mean(shares)) < 0.01


def test_jitter_has_its_spread_and_fades_with_its_time():
    config = replace(perfect_senses(), distance=(0.0, 0.02), correlation_s=0.2)
    at = np.array([np.linalg.norm(o.people[0].position_m - CAMERA_M) for o in observed(config, 6000)])
    error = at / np.linalg.norm(person().position_m - CAMERA_M) - 1
    assert error.std() == pytest.approx(0.02, rel=0.1)
    lag = 5
    r = np.corrcoef(error[:-lag], error[lag:])[0, 1]
    assert r == pytest.approx(np.exp(-lag * IMAGE_S / 0.2), abs=0.06)


def test_angles_err_across_the_line_of_sight():
    config = replace(perfect_senses(), bearing_rad=(0.0, 0.01), gaze_rad=(0.0, 0.05))
    seen = [o.people[0] for o in observed(config, 4000)]
    yaw = np.array([yaw_pitch(p.position_m - CAMERA_M)[0] for p in seen])
    distance = np.array([np.linalg.norm(p.position_m - CAMERA_M) for p in seen])
    assert yaw.std() == pytest.approx(0.01, rel=0.1)
    assert distance.std() < 2e-4
    gaze = np.array([yaw_pitch(-p.gaze)[0] for p in seen])
    assert gaze.std() == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize(
    "name, count", [("face_lost", lambda o: len(o.people)), ("hand_lost", lambda o: len(o.hands))]
)
def test_drop_outs_have_their_share_and_duration(name, count):
    config = replace(perfect_senses(), **{name: (0.2, 0.4)})
    there = np.array([count(o) for seed in range(40) for o in observed(config, 1000, hand(), seed=seed)]) > 0
    assert 1 - there.mean() == pytest.approx(0.2, abs=0.03)
    gone = np.diff(np.concatenate([[0], ~there, [0]]).astype(int))
    spans = (np.flatnonzero(gone == -1) - np.flatnonzero(gone == 1)) * IMAGE_S
    assert spans.mean() == pytest.approx(0.4, rel=0.15)


def test_gestures_are_misread_for_their_share_and_told_after_the_hold():
    config = replace(perfect_senses(), gesture_wrong=(0.1, 0.3))
    told = [o.hands[0].gesture for seed in range(40) for o in observed(config, 1000, hand(), seed=seed)]
    wrong = np.mean([g != Gesture.POINTING for g in told])
    # One misreading in ten is the true word by chance.
    assert wrong == pytest.approx(0.1 * 9 / 10, abs=0.02)
    held = observed(replace(perfect_senses(), gesture_s=(0.12, 0.0)), 8, hand())
    assert [o.hands[0].gesture != Gesture.NONE for o in held] == [False] * 3 + [True] * 5


def test_a_hand_is_found_late_each_time_it_appears_and_told_to_be_held_out_later():
    senses = Senses(replace(perfect_senses(), hand_found_s=(0.2, 0.0), extended_s=(0.08, 0.0)))
    senses.reset(np.random.default_rng(0))
    there = [True] * 10 + [False] * 3 + [True] * 10
    seen = [
        senses.observe(SceneState(k * IMAGE_S, (person("p0", *([hand()] if up else [])),))).hands
        for k, up in enumerate(there)
    ]
    once = [False] * 5 + [True] * 5
    assert [bool(hands) for hands in seen] == [*once, *[False] * 3, *once]
    assert [hands[0].extended for hands in seen if hands] == [False, False, True, True, True] * 2


def test_lateness_has_its_mean_and_spread():
    config = replace(perfect_senses(), hand_found_s=(0.4, 0.1))
    first = []
    for seed in range(300):
        found = [bool(o.hands) for o in observed(config, 30, hand(), seed=seed)]
        first.append(found.index(True) * IMAGE_S)
    # Seen with the next image: half of an image's time later on average.
    assert np.mean(first) == pytest.approx(0.4 + IMAGE_S / 2, abs=0.02)
    assert np.std(first) == pytest.approx(0.1, abs=0.015)


def test_the_same_seed_gives_the_same_bits():
    a, b = (observed(load_senses(), 300, hand(), seed=7) for _ in range(2))
    for one, other in zip(a, b, strict=True):
        assert len(one.people) == len(other.people) and len(one.hands) == len(other.hands)
        for p, q in zip(one.people, other.people, strict=True):
            assert np.array_equal(p.position_m, q.position_m) and np.array_equal(p.blendshapes, q.blendshapes)


def test_shapes_stay_within_their_range():
    shapes = np.array([o.people[0].blendshapes for o in observed(load_senses(), 500)])
    assert shapes.min() >= 0 and shapes.max() <= 1


def _table():
    return json.loads(files("fabg.social").joinpath("data/senses.json").read_text())["errors"]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"face_lost": [1.0, 0.1]}, "face_lost"),
        ({"hand_lost": [0.1, 0.0]}, "hand_lost"),
        ({"gesture_s": [-0.1, 0.0]}, "gesture_s"),
        ({"shape_gain": [1.0] * 51}, "51 values"),
        ({"distance": [float("nan"), 0.0]}, "not finite"),
        ({"smell": 1.0}, "smell"),
    ],
)
def test_a_wrong_table_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        senses_from(_table() | change)
    with pytest.raises(ConfigError, match="distance"):
        senses_from({k: v for k, v in _table().items() if k != "distance"})
