"""Shapes, directions, waving and holding: tables and laws."""

from __future__ import annotations

import json
import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ModelFileError
from fabg.perception import gesture as module
from fabg.perception.gesture import (
    N_FEATURES,
    POINTED,
    SHAPE_OF,
    Debouncer,
    Shape,
    ShapeNet,
    WaveDetector,
    WaveRule,
    features,
    gesture_of,
)
from fabg.perception.hand_landmark import HandReading, Region
from fabg.perception.types import Gesture

ANY = np.array([0.0, -1.0, 0.0])


def unit(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z]) / math.sqrt(x * x + y * y + z * z)


# Directions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "gesture"),
    [
        ((0, -1, 0), Gesture.UP),
        ((0, 1, 0), Gesture.DOWN),
        ((-1, 0, 0), Gesture.LEFT),  # the image's left
        ((1, 0, 0), Gesture.RIGHT),
        ((0.5, -1, 0.5), Gesture.UP),
        ((1, 0.7, -0.6), Gesture.RIGHT),
        ((0, 0, -1), Gesture.POINTING),  # at the camera
        ((0.5, 0.3, -1), Gesture.POINTING),
        ((0, 0, 1), Gesture.POINTING),  # away from it
    ],
)
def test_an_index_finger_points(direction, gesture):
    assert gesture_of(Shape.POINT, unit(*direction), ANY) == gesture


@pytest.mark.parametrize(
    ("thumb", "gesture"),
    [
        ((0, -1, 0), Gesture.THUMBS_UP),
        ((0.5, -1, 0.3), Gesture.THUMBS_UP),
        ((0, 1, 0), Gesture.NONE),
        ((1, 0, 0), Gesture.NONE),
    ],
)
def test_a_thumb_is_up_only_when_it_points_up(thumb, gesture):
    assert gesture_of(Shape.THUMB, ANY, unit(*thumb)) == gesture


def test_other_shapes_need_no_direction():
    assert gesture_of(Shape.FIST, ANY, ANY) == Gesture.FIST
    assert gesture_of(Shape.OPEN, ANY, ANY) == Gesture.OPEN_PALM
    assert gesture_of(Shape.OTHER, ANY, ANY) == Gesture.NONE


def test_every_gesture_has_its_shape():
    assert set(SHAPE_OF) == set(Gesture)
    assert {g for g, s in SHAPE_OF.items() if s == Shape.POINT} == set(POINTED)


# Features ----------------------------------------------------------------------------------------


def some_reading(seed: int) -> HandReading:
    rng = np.random.default_rng(seed)
    return HandReading(
        rng.uniform(100, 300, (21, 2)), rng.normal(0, 0.05, (21, 3)), 1.0, 0.5, Region(200, 200, 200, 0)
    )


@given(st.integers(0, 50), st.floats(-math.pi, math.pi), st.floats(0.2, 5.0))
def test_features_do_not_change_with_place_size_or_turn_in_the_image(seed, angle, scale):
    one = some_reading(seed)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    world = one.world_m.copy()
    world[:, :2] = world[:, :2] @ turn.T
    other = HandReading(
        scale * one.landmarks_px @ turn.T + [50.0, -30.0], world * 1.3, 1.0, 0.5, Region(0, 0, 1, 0)
    )
    (a, turn_a), (b, turn_b) = features(one), features(other)
    np.testing.assert_allclose(b, a, atol=1e-6)
    np.testing.assert_allclose(turn_b @ turn, turn_a, atol=1e-9)


def test_features_have_their_length_even_of_joints_on_one_point():
    values, turn = features(
        HandReading(np.full((21, 2), 7.0), np.zeros((21, 3)), 1.0, 0.5, Region(0, 0, 1, 0))
    )
    assert values.shape == (N_FEATURES,) and np.isfinite(values).all() and np.isfinite(turn).all()


def test_the_net_turns_directions_back_with_the_hand():
    """A hand turned in the image has its directions turned with it, and the same shape."""
    net, one = ShapeNet(), some_reading(3)
    for angle in (0.7, 2.0, -1.5):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        world = one.world_m.copy()
        world[:, :2] = world[:, :2] @ turn.T
        a = net.read(one)
        b = net.read(HandReading(one.landmarks_px @ turn.T, world, 1.0, 0.5, one.region))
        np.testing.assert_allclose(b.probabilities, a.probabilities, atol=1e-9)
        np.testing.assert_allclose(b.index, np.append(turn @ a.index[:2], a.index[2]), atol=1e-9)
        assert a.probabilities.sum() == pytest.approx(1.0)
        assert np.linalg.norm(a.index) == pytest.approx(1.0)


@pytest.mark.parametrize("damage", ["absent", "text", "size"])
def test_a_damaged_net_is_a_clear_error(tmp_path, monkeypatch, damage):
    stored = json.loads((resources.files("fabg.perception") / "data" / "gesture.json").read_text())
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "gesture.json"
    if damage == "text":
        file.write_text("{")
    elif damage == "size":
        file.write_text(json.dumps(stored | {"mean": stored["mean"][:-1]}))
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    with pytest.raises(ModelFileError, match="gesture.json"):
        ShapeNet()


# Holding -----------------------------------------------------------------------------------------


def shown(said: list[Gesture], hold_s: float = 0.12, release_s: float = 0.25) -> list[Gesture]:
    debouncer = Debouncer()
    return [debouncer.update(g, i * 0.04, hold_s, release_s) for i, g in enumerate(said)]


U, F, N = Gesture.UP, Gesture.FIST, Gesture.NONE


def test_a_gesture_appears_when_it_has_held():
    assert shown([U] * 6) == [N, N, N, U, U, U]


def test_a_shorter_one_never_appears():
    assert shown([U, U, U, N, U, U, U, N, N]) == [N] * 9


def test_a_gap_shorter_than_the_release_is_bridged():
    assert shown([U] * 5 + [N] * 5 + [U] * 3)[3:] == [U] * 10


def test_it_disappears_after_the_release():
    assert shown([U] * 5 + [N] * 9)[4:] == [U] * 7 + [N] * 3


def test_another_gesture_takes_over_once_it_has_held():
    assert shown([U] * 5 + [F] * 6) == [N, N, N, U, U, U, U, U, F, F, F]


def test_flicker_between_two_gestures_keeps_the_first():
    assert set(shown([U] * 5 + [F, U] * 10)[4:]) == {U}


def test_without_times_it_follows_at_once():
    assert shown([U, F, N, U], 0.0, 0.0) == [U, F, N, U]


@given(st.lists(st.sampled_from([U, F, N]), max_size=60))
def test_what_is_shown_was_said_and_held(said):
    result = shown(said)
    for i, now in enumerate(result):
        if now != N and (i == 0 or result[i - 1] != now):
            assert said[i - 3 : i + 1] == [now] * 4


# Waving ------------------------------------------------------------------------------------------


def waves(xs: np.ndarray, fps: float = 25.0, is_open: bool = True) -> list[bool]:
    detector = WaveDetector()
    return [detector.update(float(x), is_open, i / fps, WaveRule()) for i, x in enumerate(xs)]


def sway(amplitude: float, hz: float, seconds: float = 3.0, fps: float = 25.0) -> np.ndarray:
    return 0.5 * amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * fps)) / fps)


@pytest.mark.parametrize("hz", [1.0, 1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("amplitude", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("fps", [15.0, 25.0, 60.0])
def test_swaying_is_waving(hz, amplitude, fps):
    found = waves(sway(amplitude, hz, fps=fps), fps)
    assert found[-1] and sum(found) > 0.4 * len(found)


@pytest.mark.parametrize(
    ("amplitude", "hz"),
    [(0.15, 2.0), (1.0, 0.3), (1.0, 0.5), (0.05, 5.0)],
)
def test_trembling_and_slow_swaying_are_not(amplitude, hz):
    assert not any(waves(sway(amplitude, hz, 8.0)))


def test_moving_across_once_and_back_is_no_wave():
    there = np.linspace(0.0, 3.0, 20)
    assert not any(waves(np.concatenate([there, there[::-1], np.zeros(30)])))


def test_walking_while_waving_is_waving():
    xs = sway(1.2, 2.0) + np.linspace(0.0, 1.5, 75)
    assert waves(xs)[-1]


def test_noise_on_a_resting_hand_is_no_wave():
    assert not any(waves(np.random.default_rng(1).normal(0.0, 0.03, 1000)))


def test_a_wave_ends_when_the_hand_rests_or_closes():
    detector, rule = WaveDetector(), WaveRule()
    for i, x in enumerate(sway(1.0, 2.0)):
        waving = detector.update(float(x), True, i / 25, rule)
    assert waving
    rest = [detector.update(0.0, True, 3.0 + i / 25, rule) for i in range(25)]
    assert not rest[-1]
    for i, x in enumerate(sway(1.0, 2.0)):
        waving = detector.update(float(x), True, 5.0 + i / 25, rule)
    assert waving and not detector.update(0.0, False, 8.0, rule)
