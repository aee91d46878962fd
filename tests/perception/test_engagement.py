"""Levels of engagement, against what a stop-watch says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.errors import ConfigError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception.engagement import EngagementConfig, EngagementTracker
from fabg.perception.types import ROBOT, Engagement, Face, Faces, Gaze, Look, Roi

FACING = OPTICAL_FROM_BODY @ rotation_from_ypr(math.pi, 0.0, 0.0)
UNKNOWN, DISENGAGED, ENGAGING, ENGAGED, DISENGAGING = Engagement


def face(name: str, z: float, x: float = 0.0) -> Face:
    return Face(name, Roi(0, 0, 10, 10), 0.9, np.zeros((478, 3)), np.zeros(52), pose(FACING, (x, 0.0, z)))


def gaze(name: str) -> Gaze:
    return Gaze(name, np.zeros(3), np.array([0.0, 0.0, -1.0]), 0.0, 0.0, 0.0, 0.0, 1.0)


class Scene:
    """Shows one person to a tracker."""

    def __init__(self, config: EngagementConfig | None = None, fps: float = 20.0) -> None:
        self.tracker = EngagementTracker(config)
        self.fps, self.stamp_s = fps, 3.0

    def show(self, seconds: float, *, looks: bool, z: float = 1.0, x: float = 0.0) -> list[Engagement]:
        levels = []
        for _ in range(round(seconds * self.fps)):
            self.stamp_s += 1 / self.fps
            person = face("a", z, x)
            found = self.tracker.update(
                Faces(self.stamp_s, (640, 480), (person,)),
                (gaze("a"),),
                (Look("a", ROBOT),) if looks else (Look("a", "b"),),
            )
            levels.append(found["a"])
        return levels


def changes(levels: list[Engagement]) -> list[Engagement]:
    return [level for i, level in enumerate(levels) if i == 0 or level != levels[i - 1]]


def test_a_person_who_looks_comes_and_one_who_looks_away_goes_through_all_levels():
    scene = Scene()
    levels = scene.show(1.0, looks=False) + scene.show(6.0, looks=True) + scene.show(6.0, looks=False)
    assert changes(levels) == [UNKNOWN, DISENGAGED, ENGAGING, ENGAGED, DISENGAGING, DISENGAGED]


@pytest.mark.parametrize("fps", [5.0, 20.0, 100.0])
def test_the_levels_change_when_the_mean_over_the_window_says_so(fps):
    # Within near_m the score is 1: the mean is the share of the window spent looking.
    scene = Scene(EngagementConfig(window_s=4.0), fps)
    scene.show(2.0, looks=False)
    levels = scene.show(4.0, looks=True)
    assert levels.index(ENGAGING) / fps == pytest.approx(0.2 * 4.0, abs=1.01 / fps)
    assert levels.index(ENGAGED) / fps == pytest.approx(0.5 * 4.0, abs=1.01 / fps)
    levels = scene.show(4.0, looks=False)
    assert levels.index(DISENGAGING) / fps == pytest.approx((1 - 0.3) * 4.0, abs=1.01 / fps)
    assert levels.index(DISENGAGED) / fps == pytest.approx((1 - 0.1) * 4.0, abs=1.01 / fps)


def test_who_looks_back_in_time_is_engaged_again():
    scene = Scene()
    scene.show(5.0, looks=True)
    levels = scene.show(2.4, looks=False) + scene.show(3.0, looks=True)
    assert changes(levels) == [ENGAGED, DISENGAGING, ENGAGED]


def test_an_advance_that_is_broken_off_leads_back():
    scene = Scene()
    levels = scene.show(1.0, looks=False) + scene.show(1.0, looks=True) + scene.show(5.0, looks=False)
    assert changes(levels) == [UNKNOWN, DISENGAGED, ENGAGING, DISENGAGED]


@pytest.mark.parametrize(
    ("z", "highest"), [(1.0, ENGAGED), (2.0, ENGAGED), (2.8, ENGAGING), (3.4, DISENGAGED), (9.0, DISENGAGED)]
)
def test_the_farther_the_less(z, highest):
    scene = Scene()
    assert scene.show(8.0, looks=True, z=z)[-1] is highest
    assert scene.tracker.score("a") == pytest.approx(min(max((3.5 - z) / 2.3, 0.0), 1.0), abs=0.02)


def test_the_robot_must_face_the_person():
    scene = Scene()
    aside = math.tan(math.radians(61))
    assert scene.show(8.0, looks=True, z=0.5, x=0.5 * aside)[-1] is DISENGAGED


def test_the_mean_does_not_flicker_at_a_threshold():
    scene = Scene(EngagementConfig(window_s=2.0))
    scene.show(3.0, looks=True)
    levels = []
    for _ in range(30):  # looks half of the time: the mean stays between both thresholds
        levels += scene.show(0.2, looks=False) + scene.show(0.2, looks=True)
    assert set(levels) == {ENGAGED}


def test_who_is_out_of_sight_is_not_reported_and_after_a_while_a_stranger():
    scene = Scene()
    scene.show(5.0, looks=True)
    for _ in range(20):
        scene.stamp_s += 0.05
        assert scene.tracker.update(Faces(scene.stamp_s, (640, 480), ()), (), ()) == {}
    assert scene.show(0.05, looks=True) == [ENGAGED]  # a second away costs a third of the mean
    scene.stamp_s += 100.0
    assert scene.tracker.update(Faces(scene.stamp_s, (640, 480), ()), (), ()) == {}
    assert scene.show(0.05, looks=True) == [UNKNOWN]


def test_stamps_that_do_not_rise_are_survived():
    tracker = EngagementTracker()
    for i in range(200):
        faces = Faces(50.0 - i, (640, 480), (face("a", 1.0),))
        level = tracker.update(faces, (gaze("a"),), (Look("a", ROBOT),))["a"]
    assert level is ENGAGED  # 200 images count as 6.7 s


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"near_m": 4.0}, "near_m < far_m"),
        ({"engaged": 0.25}, "this order"),
        ({"disengaged": 0.2}, "this order"),
        ({"window_s": math.nan}, "window_s is nan"),
        ({"view_deg": 0.0}, "view_deg is 0.0"),
    ],
)
def test_impossible_configurations_are_refused(bad, message):
    with pytest.raises(ConfigError, match=message):
        EngagementConfig(**bad)
