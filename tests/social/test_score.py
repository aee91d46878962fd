import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import InputError
from fabg.robot.model import load_robot
from fabg.social.metrics import rms_jerk
from fabg.social.record import EpisodeRecord, EventResult
from fabg.social.score import METRICS, completion_by_kind, score

TICK_S = 0.02
TICKS = 500
TIME = TICK_S * np.arange(TICKS)
ROBOT = load_robot()
JAW, CORNER, LID = (ROBOT.index[n] for n in ("jaw", "corner_vertical_left", "lid_left"))


def moved(t, steps):
    """Minimum-jerk movements of 0.6 s in continuous time: (onset in s, size) each."""
    s = [np.clip((t - onset) / 0.6, 0.0, 1.0) for onset, _ in steps]
    return sum(step * x**3 * (10 - 15 * x + 6 * x**2) for x, (_, step) in zip(s, steps, strict=True))


def gaze(delay_s=0.0, vergence_delay_s=0.0):
    """Yaw, pitch and vergence, (T, 3), as continuous time has them `delay_s` ago."""
    t, late = TIME - delay_s, TIME - vergence_delay_s
    yaw = moved(t, [(1.0, 0.3), (3.0, -0.5), (5.5, 0.3)])
    pitch = moved(t, [(2.0, -0.2), (4.2, 0.3), (7.0, -0.15)])
    return np.column_stack((yaw, pitch, moved(late, [(1.5, 0.25), (4.0, -0.25), (6.0, 0.2)])))


def face(delay_s=0.0):
    """Joints, (T, 25), of which jaw and one corner of the mouth move."""
    joints = np.zeros((TICKS, 25))
    joints[:, JAW] = moved(TIME - delay_s, [(1.0, 0.3), (3.0, -0.3), (6.0, 0.2)])
    joints[:, CORNER] = moved(TIME - delay_s, [(2.0, 0.4), (5.0, -0.4)])
    return joints


def recorded(**changes):
    """An episode in which the robot does just what the expert does, and both look where they should."""
    base = EpisodeRecord(
        task="mixed", seed=1, tick_s=TICK_S, joints=face(), wanted=face(), expert=face(), gaze=gaze(),
        expert_gaze=gaze(), target_gaze=gaze(), on_target=np.ones(TICKS, bool), on_wrong=np.zeros(TICKS, bool),
        age_s=np.full(TICKS, 0.06), event=np.zeros(TICKS, np.int64), events=(), total_events=0,
    )  # fmt: skip
    return replace(base, **changes)


def cut(record, ticks):
    arrays = {k: v[:ticks] for k, v in vars(record).items() if isinstance(v, np.ndarray)}
    return replace(record, **arrays)


def event(index, onset_s, response_s, expert_s=None, kind="smile"):
    return EventResult(index, kind, onset_s, response_s, onset_s + 5.0, expert_s)


# Lag and error -------------------------------------------------------------------------------------


def test_the_expert_itself_is_neither_late_nor_wrong():
    found = score(recorded())
    for name in ("gaze_lag_ms", "vergence_lag_ms", "expression_lag_ms", "target_lag_ms"):
        assert found[name] == pytest.approx(0.0, abs=1e-6), name
    for name in ("gaze_error_deg", "gaze_vs_expert_deg", "vergence_error_deg", "expression_error_deg",
                 "gaze_dtw_deg", "expression_dtw_deg"):  # fmt: skip
        assert found[name] == pytest.approx(0.0, abs=1e-6), name
    assert found["age_ms"] == pytest.approx(60.0)


@pytest.mark.parametrize("ticks", [3.5, -2.25, 12.75])
def test_a_delay_of_so_many_ticks_is_the_lag(ticks):
    delay = ticks * TICK_S
    found = score(recorded(gaze=gaze(delay, 2 * delay), joints=face(delay)))
    for name, lag_ms in (("gaze_lag_ms", 20 * ticks), ("target_lag_ms", 20 * ticks),
                         ("vergence_lag_ms", 40 * ticks), ("expression_lag_ms", 20 * ticks)):  # fmt: skip
        assert found[name] == pytest.approx(lag_ms, abs=1.0), name
    # Shifted by its lag nothing is left but what interpolation and the last bit of the lag cost.
    for name in ("gaze_error", "gaze_vs_expert", "expression_error"):
        assert found[f"{name}_at_lag_deg"] < 0.1 < found[f"{name}_deg"], name
    assert found["gaze_dtw_deg"] < 0.1
    assert found["expression_dtw_deg"] < 0.1


def test_the_lag_to_the_target_counts_the_experts_own():
    found = score(recorded(gaze=gaze(0.2), expert_gaze=gaze(0.12)))
    assert found["target_lag_ms"] == pytest.approx(200.0, abs=1.0)
    assert found["gaze_lag_ms"] == pytest.approx(80.0, abs=1.0)


def test_a_constant_offset_is_error_at_any_lag():
    found = score(recorded(gaze=gaze() + np.radians([0.0, 3.0, 2.0])))
    for name in (
        "gaze_error_deg",
        "gaze_error_at_lag_deg",
        "gaze_vs_expert_deg",
        "gaze_vs_expert_at_lag_deg",
    ):
        assert found[name] == pytest.approx(3.0), name
    assert found["vergence_error_deg"] == pytest.approx(2.0)
    assert found["gaze_lag_ms"] == pytest.approx(0.0, abs=1e-6)


def test_the_angle_is_one_on_the_sphere():
    high = np.zeros((TICKS, 3))
    high[:, 1] = -math.radians(60.0)
    aside = high + np.array([math.radians(90.0), 0.0, 0.0])
    # Between (60 degrees up, ahead) and (60 degrees up, left): cos = sin(60)^2.
    assert score(recorded(gaze=aside, target_gaze=high))["gaze_error_deg"] == pytest.approx(
        math.degrees(math.acos(0.75))
    )


def test_half_the_expression_is_in_time_but_wrong():
    found = score(recorded(joints=0.5 * face()))
    assert found["expression_lag_ms"] == pytest.approx(0.0, abs=1e-6)
    of_two = np.degrees(0.5 * face()[:, [JAW, CORNER]])
    assert found["expression_error_deg"] == pytest.approx(math.sqrt(np.mean(of_two**2)))
    assert found["expression_error_at_lag_deg"] == pytest.approx(found["expression_error_deg"])
    assert found["expression_dtw_deg"] > 1.0


def test_blinks_and_joints_that_the_expert_does_not_move_do_not_count():
    blinking = face()
    blinking[::10, LID] = 0.8
    blinking[:, ROBOT.index["cheek_left"]] = 0.3
    blinking[:, ROBOT.index["neck_yaw"]] = 0.3
    assert score(recorded(joints=blinking))["expression_error_deg"] == 0.0


def test_a_robot_that_does_nothing_has_errors_but_no_lag():
    found = score(recorded(joints=np.zeros((TICKS, 25)), wanted=np.zeros((TICKS, 25)), gaze=np.zeros((TICKS, 3)),
                           age_s=np.full(TICKS, np.nan)))  # fmt: skip
    for name in ("gaze_lag_ms", "vergence_lag_ms", "target_lag_ms", "expression_lag_ms", "gaze_sparc", "gaze_ldlj",
                 "expression_sparc", "expression_ldlj", "age_ms", "gaze_error_at_lag_deg"):  # fmt: skip
        assert found[name] is None, name
    assert found["expression_error_deg"] > 1.0
    assert found["gaze_error_deg"] > 1.0
    assert found["command_jerk"] == 0.0


def test_no_expression_scores_when_the_expert_keeps_its_face():
    found = score(recorded(expert=np.zeros((TICKS, 25))))
    assert {v for k, v in found.items() if k.startswith("expression")} == {None}


def test_a_gaze_that_only_sways_has_no_lag():
    sway = np.radians(0.5) * np.sin(TIME)[:, None] * np.ones(3)
    found = score(recorded(gaze=sway, expert_gaze=sway, target_gaze=sway))
    assert found["gaze_lag_ms"] is found["target_lag_ms"] is found["vergence_lag_ms"] is None


# Answers -------------------------------------------------------------------------------------------


def test_answers_and_time_outs():
    events = (
        event(0, 1.0, 1.4, 1.3), event(1, 1.5, 2.5, 2.6), event(2, 2.5, None, 2.8, "surprise"), event(3, 7.5, 8.2),
    )  # fmt: skip
    found = score(recorded(events=events, total_events=4))
    assert found["completion_s"] == pytest.approx(0.4 + 1.0 + 5.0 + 0.7), "the time-out counts in full"
    assert found["success"] == 0.75
    assert found["reached"] == 1.0
    assert found["response_ms"] == pytest.approx(700.0)
    assert found["response_vs_expert_ms"] == pytest.approx((100 - 100) / 2), "only where the expert answered"
    kinds = completion_by_kind(recorded(events=events, total_events=4))
    assert kinds == {"smile": pytest.approx(2.1), "surprise": pytest.approx(5.0)}


def test_a_cut_episode_has_no_completion_time():
    # The record ends at 10 s: the second event could still have been answered until 13 s.
    found = score(recorded(events=(event(0, 1.0, 1.5), event(1, 8.0, None)), total_events=3))
    assert found["completion_s"] is None
    assert found["success"] == pytest.approx(1 / 3)
    assert found["reached"] == pytest.approx(1 / 3)


def test_a_time_out_at_the_very_end_has_ended():
    found = score(recorded(events=(event(0, 5.0, None),), total_events=1))
    assert (found["completion_s"], found["success"], found["reached"]) == (5.0, 0.0, 1.0)
    assert found["response_ms"] is found["response_vs_expert_ms"] is None


def test_dwelling_counts_from_the_first_event():
    number = np.repeat([-1, 0, -1, 1], [100, 200, 100, 100])
    on = np.zeros(TICKS, bool)
    on[:200] = True
    wrong = np.zeros(TICKS, bool)
    wrong[200:240] = True
    found = score(recorded(event=number, on_target=on, on_wrong=wrong))
    assert found["on_target"] == pytest.approx(100 / 400)
    assert found["wrong_dwell"] == pytest.approx(40 / 400)
    never = score(recorded(event=np.full(TICKS, -1)))
    assert never["on_target"] is never["wrong_dwell"] is None


# Smoothness ----------------------------------------------------------------------------------------


def test_minimum_jerk_movements_between_their_ends_at_five_percent():
    found = score(recorded())
    first = (1 - math.sqrt(1 - math.sqrt(0.05))) / 2  # of the duration; there the speed is 5 % of its peak
    s = np.linspace(first, 1 - first, 10001)
    curvature = np.trapezoid((60 * (1 - 6 * s + 6 * s**2)) ** 2, s)
    expected = -math.log((1 - 2 * first) ** 3 / 1.875**2 * curvature)
    # 26 samples have 24 second differences: those lost are the largest.
    assert found["gaze_ldlj"] == pytest.approx(expected, abs=0.35)
    assert found["expression_ldlj"] == pytest.approx(expected, abs=0.35)
    assert -1.7 < found["gaze_sparc"] < -1.3
    assert -1.7 < found["expression_sparc"] < -1.3


def test_movements_in_steps_are_less_smooth():
    held = np.arange(TICKS) // 5 * 5  # every fifth command only
    smooth, stepped = (
        score(recorded()),
        score(recorded(gaze=gaze()[held], joints=face()[held], wanted=face()[held])),
    )
    for name in ("gaze_sparc", "gaze_ldlj", "expression_sparc", "expression_ldlj"):
        assert stepped[name] < smooth[name] - 0.1, name
    assert stepped["command_jerk"] > 10 * smooth["command_jerk"]


def test_command_jerk_by_group():
    wanted = np.zeros((TICKS, 25))
    wanted[:, JAW] = 0.2 * TIME**3 / TIME[-1] ** 3
    wanted[:, ROBOT.index["neck_yaw"]] = 0.5 * TIME**3 / TIME[-1] ** 3
    found = score(recorded(wanted=wanted))
    jaw, neck = 6 * 0.2 / TIME[-1] ** 3, 6 * 0.5 / TIME[-1] ** 3
    assert found["command_jerk_face"] == pytest.approx(jaw / math.sqrt(18), rel=1e-6)
    assert found["command_jerk_neck"] == pytest.approx(neck / math.sqrt(3), rel=1e-6)
    assert found["command_jerk_eyes"] == pytest.approx(0.0, abs=1e-9)
    assert found["command_jerk"] == pytest.approx(math.hypot(jaw, neck) / 5, rel=1e-6)
    assert found["command_jerk"] == pytest.approx(rms_jerk(wanted, TICK_S))


def test_the_age_leaves_out_what_came_before_the_first_command():
    age = np.full(TICKS, 0.1)
    age[:50], age[50:275] = np.nan, 0.3
    assert score(recorded(age_s=age))["age_ms"] == pytest.approx(200.0)


# What goes in and what comes out -------------------------------------------------------------------

ARRAYS = [name for name, value in vars(recorded()).items() if isinstance(value, np.ndarray)]
NUMBERS = [name for name in ARRAYS if vars(recorded())[name].dtype == np.float64]


@given(st.integers(0, 40))
def test_short_episodes_have_all_scores_or_none(ticks):
    found = score(cut(recorded(events=(event(0, 0.0, 0.3),), total_events=1), ticks))
    assert list(found) == list(METRICS)
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert found["success"] == 1.0


def test_an_episode_of_no_ticks_has_no_scores():
    assert set(score(cut(recorded(), 0)).values()) == {None}


@given(st.sampled_from(NUMBERS), st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, TICKS - 1))
def test_what_is_not_finite_is_refused(name, bad, tick):
    values = getattr(recorded(), name).copy()
    values[tick] = bad
    record = recorded(**{name: values})
    if name == "age_s" and math.isnan(bad):
        assert score(record)["age_ms"] == pytest.approx(60.0)
        return
    with pytest.raises(InputError, match=f"{name} of the record holds NaN or infinity"):
        score(record)


@pytest.mark.parametrize("name", ARRAYS)
def test_lengths_and_widths_that_differ_are_refused(name):
    values = getattr(recorded(), name)
    for bad in (values[:-1], values[:, :-1] if values.ndim == 2 else values[:, None]):
        with pytest.raises(InputError, match="of the record has shape"):
            score(recorded(**{name: bad}))


@pytest.mark.parametrize("tick_s", [0.0, -0.02, math.nan, math.inf])
def test_ticks_that_make_no_sense_are_refused(tick_s):
    with pytest.raises(InputError, match="tick_s of the record is"):
        score(recorded(tick_s=tick_s))


@pytest.mark.parametrize(
    "bad",
    [event(0, 2.0, 1.0), event(0, math.nan, 1.0), event(0, 1.0, math.inf), event(0, 1.0, 2.0, math.nan)],
)
def test_events_that_contradict_themselves_are_refused(bad):
    with pytest.raises(InputError, match="event 0"):
        score(recorded(events=(bad,), total_events=1))


def test_every_metric_says_what_it_is():
    for name, metric in METRICS.items():
        assert metric.better in ("lower", "higher", "zero", "neither")
        assert metric.text[0].isupper(), name
        assert not metric.text.endswith("."), name
    for unit, ending in (("ms", "_ms"), ("s", "_s"), ("deg", "_deg")):
        assert {n for n in METRICS if n.endswith(ending)} == {n for n, m in METRICS.items() if m.unit == unit}
