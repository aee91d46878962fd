"""Laws of plan time and of the commands made from chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import expression
from fabg.policy.base import Chunk
from fabg.policy.playback import MAX_AGE_S, MOST_AHEAD_S, SLEW, PlanTime, Playback, Played
from fabg.robot.commands import Command


def ramp(t0_s, steps=30, dt_s=0.02, offset=0.0, source="test"):
    """A chunk whose every entry is the time it is meant for."""
    times = t0_s + np.arange(steps) * dt_s + offset
    return Chunk(np.tile(times[:, None], (1, expression.SIZE)), t0_s, dt_s, source)


def run(plan, start_s, seconds, period_s=0.02):
    times = start_s + np.arange(round(seconds / period_s)) * period_s
    return times, np.array([plan.at(t) for t in times])


def test_without_a_measurement_it_is_now():
    assert [PlanTime().at(t) for t in (5.0, 5.1)] == [5.0, 5.1]


def test_it_comes_to_lead_by_the_delay_at_half_again_the_speed():
    plan = PlanTime()
    plan.at(10.0)
    plan.expect(0.1, 10.0)
    times, tau = run(plan, 10.0, 1.0)
    assert tau[-1] - times[-1] == pytest.approx(0.1)
    assert np.diff(tau)[:5] == pytest.approx(0.02 * (1 + SLEW))
    # 0.1 s of lead at a gain of 0.5 s a second.
    assert np.argmax(tau - times >= 0.1 - 1e-9) == pytest.approx(0.1 / (SLEW * 0.02), abs=1)


def test_an_old_measurement_is_let_go_of():
    plan = PlanTime()
    plan.expect(0.1, 10.0)
    run(plan, 10.0, 1.0)
    times, tau = run(plan, 11.0, MAX_AGE_S + 1.0)
    assert tau[-1] == pytest.approx(times[-1])


@pytest.mark.parametrize(
    "delay_s, wanted", [(3.0, MOST_AHEAD_S), (-1.0, 0.0), (np.nan, 0.05), (np.inf, 0.05)]
)
def test_measurements_are_bounded_and_what_is_no_number_is_ignored(delay_s, wanted):
    plan = PlanTime()
    plan.expect(0.05, 10.0)
    plan.expect(delay_s, 10.0)
    times, tau = run(plan, 10.0, 2.0)
    assert tau[-1] - times[-1] == pytest.approx(wanted)


@given(
    st.lists(
        st.tuples(
            st.floats(1e-4, 2.0),
            st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)),
            st.floats(-20.0, 1.0),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_plan_time_never_goes_back_nor_leaps_whatever_is_measured(ticks):
    plan, now_s = PlanTime(), 1000.0
    tau = plan.at(now_s)
    for step_s, delay_s, age_s in ticks:
        now_s += step_s
        if delay_s is not None:
            plan.expect(delay_s, now_s + age_s)
        later = plan.at(now_s)
        assert (1 - SLEW) * step_s - 1e-9 <= later - tau <= (1 + SLEW) * step_s + 1e-9
        assert -1e-9 <= later - now_s <= MOST_AHEAD_S + 1e-9
        tau = later


def test_a_clock_that_is_set_back_changes_nothing_but_the_time():
    plan = PlanTime()
    plan.expect(0.1, 10.0)
    run(plan, 10.0, 1.0)
    assert plan.at(3.0) == pytest.approx(3.1)


def played(playback, chunk, now_s, accept=True):
    command = playback.command(chunk, now_s)
    if accept:
        playback.accepted()
    return command


def playback(**options):
    return Playback(**({"compensate": True, "ensemble": True, "max_age_s": 0.5} | options))


def test_a_command_is_that_of_plan_time_and_examined_as_the_chunk_itself():
    made = playback(ensemble=False)
    made.expect(0.08, 100.0)
    made.time.at(99.0)
    made.time.at(100.0)  # the lead is reached
    chunk = ramp(100.0)
    command = made.command(chunk, 100.0)
    assert isinstance(command, Command) and isinstance(command, Played)
    assert command.at(100.1) == pytest.approx(100.18)
    assert (command.t0_s, command.end_s) == (chunk.t0_s, chunk.end_s)
    assert np.array_equal(command.values, chunk.values)


def test_uncompensated_it_is_that_of_the_moment_of_sending():
    made = playback(compensate=False)
    made.expect(0.08, 100.0)
    assert made.command(ramp(100.0), 100.0).at(100.1) == pytest.approx(100.1)


def test_the_mean_smooths_without_delay():
    """Chunks about the same ramp, each with an error of its own: what is played is nearer to the ramp."""
    rng = np.random.default_rng(0)
    errors = {True: [], False: []}
    for ensemble, found in errors.items():
        made, rng = playback(ensemble=ensemble), np.random.default_rng(0)
        for k in range(100):
            now_s = 100.0 + 0.04 * k
            command = played(made, ramp(now_s, offset=rng.normal(0.0, 0.05)), now_s)
            found.append(command.at(now_s)[0] - now_s)
    assert np.std(errors[True]) < 0.7 * np.std(errors[False])
    assert abs(np.mean(errors[True])) < 0.02


@pytest.mark.parametrize("why", ["refused", "forgotten", "too old", "another policy's", "from the future"])
def test_only_what_was_accepted_lately_from_the_same_policy_has_a_share(why):
    made = playback()
    other = {"another policy's": {"source": "other"}}.get(why, {})
    t0_s = {"too old": 99.0, "from the future": 100.5}.get(why, 99.9)
    played(made, ramp(t0_s, steps=200, offset=7.0, **other), t0_s, accept=why != "refused")
    if why == "forgotten":
        made.forget()
    assert made.command(ramp(100.0), 100.0).at(100.1) == pytest.approx(100.1)


def test_an_accepted_one_has_a_share():
    made = playback()
    played(made, ramp(99.9, offset=7.0), 99.9)
    assert 100.2 < made.command(ramp(100.0), 100.0).at(100.1)[0] < 107.0
