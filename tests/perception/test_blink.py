"""Blinks, against closures over time that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.errors import ConfigError
from fabg.perception.blink import BlinkConfig, BlinkTracker
from fabg.perception.types import Gaze


def gaze(name: str, closed: float) -> Gaze:
    return Gaze(name, np.zeros(3), np.array([0.0, 0.0, -1.0]), 0.0, 0.0, closed, closed, 1.0)


def run_blinks(closures, fps: float = 50.0, tracker: BlinkTracker | None = None):
    tracker = tracker or BlinkTracker()
    found = []
    for i, closed in enumerate(closures):
        found += tracker.update(1.0 + i / fps, (gaze("a", closed),))
    return tracker, found


def test_blinks_are_counted_with_start_and_duration():
    blink = [0.1] * 40 + [0.5, 0.9, 1.0, 0.9, 0.5, 0.3]
    tracker, found = run_blinks(blink * 3 + [0.1] * 10)
    assert len(found) == 3 == tracker.count("a")
    for i, event in enumerate(found):
        assert event.start_s == pytest.approx(1.0 + (46 * i + 41) / 50)
        assert event.duration_s == pytest.approx(4 / 50)  # from the first image >= 0.6 to the one < 0.4
    assert tracker.rate_hz("a") == pytest.approx(3 / (147 / 50))


def test_flutter_between_the_thresholds_is_no_blink_and_noise_does_not_double_one():
    assert run_blinks([0.1] + [0.45, 0.55] * 50)[1] == []
    assert len(run_blinks([0.1, 0.7, 0.5, 0.7, 0.45, 0.8, 0.1])[1]) == 1


def test_closed_eyes_are_no_blink():
    tracker, found = run_blinks([0.1] * 5 + [1.0] * 50 + [0.1] * 5)
    assert found == [] and tracker.count("a") == 0
    tracker, _ = run_blinks([0.1] * 5 + [1.0] * 50)
    assert tracker.shut("a") and not tracker.shut("b")


def test_a_face_lost_with_eyes_shut_has_not_blinked():
    tracker, found = run_blinks([0.1, 0.1, 0.9])
    for i in range(3):
        assert tracker.update(1.0 + (3 + i) / 50, ()) == ()
    assert found == [] and tracker.update(1.0 + 6 / 50, (gaze("a", 0.1),)) == ()
    assert tracker.count("b") == 0 and tracker.rate_hz("b") == 0.0


@pytest.mark.parametrize("bad", [{"open": 0.7}, {"close": math.nan}, {"max_s": 0.0}, {"window_s": -1.0}])
def test_impossible_blinks_are_refused(bad):
    with pytest.raises(ConfigError):
        BlinkConfig(**bad)
