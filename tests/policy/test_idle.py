"""Idle: blinks at human intervals, a gaze that wanders a little, the same for the same seed."""

import numpy as np
import pytest

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Observation, Policy
from fabg.policy.idle import IdleConfig, IdlePolicy

BLINK = expression.INDEX["eyeBlinkLeft"]


def _run(seconds, *, every=0.1, start=100.0, config=None):
    """Sample at 100 Hz what following the newest chunk would show."""
    policy = IdlePolicy(config)
    chunk, rows, next_s = None, [], start
    for t in start + np.arange(round(seconds * 100)) / 100:
        if t >= next_s - 1e-9:
            chunk, next_s = policy.predict(Observation(float(t))), next_s + every
        rows.append(chunk.at(float(t)))
    return np.array(rows)


def _blink_starts(rows):
    closed = rows[:, BLINK] > 0.5
    return np.flatnonzero(closed[1:] & ~closed[:-1]) / 100


def test_it_is_a_policy():
    policy: Policy = IdlePolicy()
    assert policy.name == "idle" and policy.predict(Observation(0.0)).values.shape[1] == expression.SIZE


def test_blinks_are_whole_and_come_every_two_to_six_seconds():
    rows = _run(300)
    starts = _blink_starts(rows)
    gaps = np.diff(starts)
    assert 300 / 6 - 2 <= len(starts) <= 300 / 2
    assert gaps.min() >= 2.0 - 0.03 and gaps.max() <= 6.0 + 0.03 and gaps.std() > 0.5
    for start in starts[:-1]:
        window = rows[int(start * 100) - 10 : int(start * 100) + 30, BLINK]
        assert window.max() > 0.9 and window[0] == 0.0 and window[-1] == 0.0
    assert np.array_equal(rows[:, BLINK], rows[:, expression.INDEX["eyeBlinkRight"]])


def test_the_gaze_wanders_within_bounds_and_both_eyes_together():
    config = IdleConfig()
    rows = _run(120, config=config)
    yaw, pitch = rows[:, 52], rows[:, 53]
    assert np.abs(yaw).max() <= config.gaze_yaw_rad and np.abs(pitch).max() <= config.gaze_pitch_rad
    assert len(np.unique(np.round(yaw, 6))) > 120 / config.gaze_every_s[1]
    assert np.array_equal(rows[:, expression.LEFT_EYE], rows[:, expression.RIGHT_EYE])
    others = np.delete(rows, [BLINK, expression.INDEX["eyeBlinkRight"], 52, 53, 55, 56], axis=1)
    assert not others.any()


def test_chunks_agree_where_they_overlap_and_the_seed_decides():
    assert np.abs(_run(20, every=0.1)[:, BLINK] - _run(20, every=0.2)[:, BLINK]).max() < 0.2
    assert np.array_equal(_run(20), _run(20))
    assert not np.array_equal(_run(20), _run(20, config=IdleConfig(seed=1)))


def test_a_pause_does_not_bring_a_burst_of_blinks():
    policy = IdlePolicy()
    policy.predict(Observation(0.0))
    chunk = policy.predict(Observation(3600.0))
    starts = np.diff((chunk.values[:, BLINK] > 0.5).astype(int)) > 0
    assert starts.sum() <= 1 and np.isfinite(chunk.values).all()


def test_reset_begins_anew_at_any_time():
    policy = IdlePolicy()
    policy.predict(Observation(1000.0))
    policy.reset()
    chunk = policy.predict(Observation(5.0))
    assert not chunk.values.any(), "eyes open and straight at first"


@pytest.mark.parametrize(
    "field, value",
    [
        ("blink_every_s", (0.0, 1.0)),
        ("blink_every_s", (3.0, 2.0)),
        ("blink_s", 5.0),
        ("dt_s", 0.0),
        ("gaze_yaw_rad", 2.0),
    ],
)
def test_impossible_configuration_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        IdleConfig(**{field: value})
