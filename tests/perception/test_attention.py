"""Who looks at whom, on scenes laid out with a ruler."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.errors import ConfigError, InputError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception.attention import AttentionConfig, AttentionTracker
from fabg.perception.types import ROBOT, Face, Faces, Gaze, Look, Roi

FPS = 25.0
FACING = OPTICAL_FROM_BODY @ rotation_from_ypr(math.pi, 0.0, 0.0)
MIDDLE = np.array([0.0, 0.03, 0.02])
"""From the sellion to the middle of a face that looks straight at the camera's plane, m."""


def face(name: str, x: float, z: float, y: float = 0.0) -> Face:
    return Face(name, Roi(0, 0, 10, 10), 0.9, np.zeros((478, 3)), np.zeros(52), pose(FACING, (x, y, z)))


def gaze(of: Face, at, confidence: float = 1.0, off_deg: float = 0.0) -> Gaze:
    """A gaze from the sellion towards a point, turned aside by some degrees."""
    origin = of.pose[:3, 3]
    line = np.asarray(at, dtype=float) - origin
    line /= np.linalg.norm(line)
    side = np.cross(line, [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    angle = math.radians(off_deg)
    direction = math.cos(angle) * line + math.sin(angle) * side
    return Gaze(of.id, origin, direction, 0.0, 0.0, 0.0, 0.0, confidence)


class Scene:
    """Feeds a tracker at 25 images a second."""

    def __init__(self, **config: float) -> None:
        self.tracker = AttentionTracker(AttentionConfig(**config))
        self.stamp_s = 10.0

    def show(self, faces, gazes, images: int = 1) -> tuple[Look, ...]:
        for _ in range(images):
            self.stamp_s += 1 / FPS
            looks = self.tracker.update(Faces(self.stamp_s, (640, 480), tuple(faces)), tuple(gazes))
        return looks

    def images_until(self, faces, gazes, wanted, limit: int = 100) -> int:
        for count in range(1, limit):
            if self.show(faces, gazes) == wanted:
                return count
        pytest.fail(f"never {wanted}")


NOW = {"begin_s": 0.0, "end_s": 0.0}
ZERO = (0.0, 0.0, 0.0)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("error_deg", [0.0, 4.0])
def test_the_angle_that_counts_is_that_of_the_ball_plus_the_error(distance, error_deg):
    limit_deg = math.degrees(math.asin(0.12 / distance)) + error_deg
    person = face("a", 0.0, distance)
    for off_deg, seen in ((limit_deg - 0.1, True), (limit_deg + 0.1, False)):
        scene = Scene(gaze_error_deg=error_deg, **NOW)
        looks = scene.show([person], [gaze(person, ZERO, off_deg=off_deg)])
        assert looks == ((Look("a", ROBOT),) if seen else ())


def test_a_look_ends_beyond_a_larger_angle_than_that_at_which_it_begins():
    scene, person = Scene(release=1.5, **NOW), face("a", 0.0, 1.0)
    limit_deg = math.degrees(math.asin(0.12)) + 4.0
    for off_deg, seen in ((1.2, False), (0.9, True), (1.4, True), (1.6, False), (1.4, False)):
        looks = scene.show([person], [gaze(person, ZERO, off_deg=off_deg * limit_deg)])
        assert bool(looks) is seen, off_deg


def test_a_look_takes_time_to_begin_and_to_end():
    scene, person = Scene(begin_s=0.2, end_s=0.4), face("a", 0.0, 1.0)
    there, away = gaze(person, ZERO), gaze(person, ZERO, off_deg=40.0)
    assert scene.show([person], [away], 10) == ()
    assert scene.images_until([person], [there], (Look("a", ROBOT),)) == 1 + 0.2 * FPS
    assert scene.images_until([person], [away], ()) == 1 + 0.4 * FPS
    assert scene.show([person], [there], 4) == ()
    assert scene.show([person], [away]) == ()
    assert scene.show([person], [there], 4) == ()  # a glance that was broken off begins anew


def test_a_blink_ends_no_look_but_closed_eyes_do():
    scene, person = Scene(begin_s=0.1, end_s=0.4), face("a", 0.0, 1.0)
    there, shut = gaze(person, ZERO), gaze(person, ZERO, confidence=0.0)
    scene.show([person], [there], 10)
    assert scene.show([person], [shut], 8) == (Look("a", ROBOT),)
    assert scene.show([person], [there]) == (Look("a", ROBOT),)
    assert scene.show([person], [shut], 12) == ()


def test_people_look_at_each_other_and_one_at_the_robot():
    left, right, third = face("a", -0.4, 1.2), face("b", 0.4, 1.2), face("c", 0.0, 2.0)
    faces = [left, right, third]

    def middle(of):
        return of.pose[:3, 3] + MIDDLE

    gazes = [gaze(left, middle(right)), gaze(right, middle(left)), gaze(third, ZERO)]
    looks = Scene(**NOW).show(faces, gazes)
    assert looks == (Look("a", "b"), Look("b", "a"), Look("c", ROBOT))
    looks = Scene(**NOW).show(faces, [gaze(third, middle(left))])
    assert looks == (Look("c", "a"),)  # without a gaze nobody looks


def test_of_two_targets_in_reach_the_nearer_to_the_ray_counts():
    # From 1 m the robot and a face 15 cm beside the camera both lie within the allowed angle.
    watcher, other = face("a", 0.0, 1.0), face("b", 0.15, 0.02)
    at_other = other.pose[:3, 3] + MIDDLE
    assert Scene(**NOW).show([watcher, other], [gaze(watcher, at_other)]) == (Look("a", "b"),)
    assert Scene(**NOW).show([watcher, other], [gaze(watcher, ZERO)]) == (Look("a", ROBOT),)


def test_the_robot_may_be_elsewhere_than_the_camera():
    person, robot = face("a", 0.0, 1.0), (0.5, 0.2, 0.1)
    config = dict(zip(("robot_x_m", "robot_y_m", "robot_z_m"), robot, strict=True))
    assert Scene(**config, **NOW).show([person], [gaze(person, robot)]) == (Look("a", ROBOT),)
    assert Scene(**config, **NOW).show([person], [gaze(person, ZERO)]) == ()


def test_a_target_that_is_gone_is_not_looked_at():
    watcher, other = face("a", -0.5, 1.0), face("b", 0.5, 1.0)
    scene, looking = Scene(begin_s=0.1, end_s=1.0), gaze(watcher, other.pose[:3, 3] + MIDDLE)
    assert scene.show([watcher, other], [looking], 10) == (Look("a", "b"),)
    assert scene.show([watcher], [looking]) == ()


def test_who_comes_back_at_once_still_looks_who_was_gone_begins_anew():
    scene, person = Scene(begin_s=0.2, end_s=0.4), face("a", 0.0, 1.0)
    there = gaze(person, ZERO)
    assert scene.show([person], [there], 10) == (Look("a", ROBOT),)
    assert scene.show([], [], 5) == ()
    assert scene.show([person], [there]) == (Look("a", ROBOT),)
    assert scene.show([], [], 30) == ()
    assert scene.show([person], [there]) == ()


@pytest.mark.parametrize("step_s", [0.0, -5.0])
def test_stamps_that_do_not_rise_count_as_a_thirtieth_of_a_second(step_s):
    tracker, person = AttentionTracker(AttentionConfig(begin_s=0.2)), face("a", 0.0, 1.0)
    results = [
        tracker.update(Faces(100.0 + i * step_s, (640, 480), (person,)), (gaze(person, ZERO),))
        for i in range(10)
    ]
    assert [bool(looks) for looks in results] == [i / 30 >= 0.2 - 1e-9 for i in range(10)]


def test_a_stamp_that_is_none_is_refused():
    with pytest.raises(InputError, match="nan"):
        AttentionTracker().update(Faces(math.nan, (640, 480), ()), ())


def test_eyes_inside_the_ball_look_at_it_whatever_their_direction():
    person = face("a", 0.0, 0.05)
    assert Scene(**NOW).show([person], [gaze(person, ZERO, off_deg=120)]) == (Look("a", ROBOT),)


@pytest.mark.parametrize(
    "bad", [{"release": 0.9}, {"begin_s": -1.0}, {"robot_radius_m": 0.0}, {"robot_z_m": math.nan}]
)
def test_impossible_configurations_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        AttentionConfig(**bad)
