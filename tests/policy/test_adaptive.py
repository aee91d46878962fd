"""Laws of time. In a ramp chunk every value is the time that it is meant for, so a command tells when it is for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import ConfigError, UsageError
from fabg.policy.adaptive import Adaptive, AdaptiveEnsemble, merged
from fabg.policy.base import Chunk
from fabg.policy.executors import EXECUTORS, Anticipating, Committing, Hold, Move, make_executor

TICK_S = 0.02
STEPS = 25


def ramp(t0_s, steps=STEPS, dt_s=TICK_S, origin_s=0.0):
    times = t0_s - origin_s + np.arange(steps) * dt_s
    return Chunk(np.repeat(times[:, None], expression.SIZE, axis=1), t0_s, dt_s)


def random_chunks(rng, count=40):
    """Chunks of any length and pace with the times at which they arrive, some overtaken."""
    chunks = []
    for k in range(count):
        t0_s = 0.04 * k + rng.uniform(0, 0.02)
        values = rng.normal(size=(int(rng.integers(1, 30)), expression.SIZE))
        chunks.append(
            (t0_s + rng.uniform(0.0, 0.3), Chunk(values, t0_s, float(rng.choice([0.01, 0.02, 0.05]))))
        )
    return sorted(chunks, key=lambda pair: pair[0])


def play(executor, chunks, now_s, ahead_s):
    """Run the loop over given chunks; return what it says at each time."""
    said, waiting = [], list(chunks)
    for now, ahead in zip(now_s, ahead_s, strict=True):
        executor.expect(ahead)
        assert executor.wants(now)
        while waiting and waiting[0][0] <= now:
            executor.offer(waiting.pop(0)[1], now)
        said.append(executor.command(now))
    return said


def line(chunk, times):
    """Return what a chunk says, by another way: NaN where it does not reach."""
    own = chunk.t0_s + chunk.dt_s * np.arange(len(chunk.values))
    inside = (times >= own[0] - 1e-9) & (times <= own[-1] + 1e-9)
    columns = [np.interp(times, own, column) for column in chunk.values.T]
    return np.where(inside[:, None], np.transpose(columns), np.nan)


def offline(chunks, now_s, ahead_s, hold_s=0.3, slew=0.5, last=1, m=0.0):
    """What should be sent at each time, from all chunks with their times of arrival; None for nothing."""
    want, tau = [], None
    for k, (now, ahead) in enumerate(zip(now_s, ahead_s, strict=True)):
        step = now - now_s[k - 1] if k else 0.0
        tau = (
            now + ahead
            if tau is None
            else np.clip(now + ahead, tau + (1 - slew) * step, tau + (1 + slew) * step)
        )
        taken = []  # an overtaken one never counts
        for arrival, chunk in chunks:
            if arrival <= now and (not taken or chunk.t0_s > taken[-1].t0_s):
                taken.append(chunk)
        if not taken or tau - taken[-1].end_s > hold_s:
            want.append(None)
            continue
        newest, used = taken[-1], taken[-last:][::-1]
        grid = newest.t0_s + newest.dt_s * np.arange(len(newest.values))
        said = np.array([line(chunk, grid) for chunk in used])
        weights = np.exp(-m * np.arange(len(used)))[:, None, None] * np.isfinite(said)
        mean = np.sum(weights * np.nan_to_num(said), axis=0) / weights.sum(axis=0)
        want.append([np.interp(tau, grid, column) for column in mean.T])
    return want


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steady=st.booleans(),
    last=st.sampled_from([1, 2, 5]),
    m=st.sampled_from([0.3, 0.0, -1.0]),
)
def test_online_equals_offline(seed, steady, last, m):
    rng = np.random.default_rng(seed)
    chunks, now_s = random_chunks(rng), np.cumsum(rng.uniform(0.005, 0.035, 100))
    ahead_s = np.full(100, 0.07) if steady else np.abs(np.cumsum(rng.normal(0, 0.02, 100)))
    executor = Adaptive() if last == 1 else AdaptiveEnsemble(m, chunks=last)
    said = play(executor, chunks, now_s, ahead_s)
    want = offline(chunks, now_s, ahead_s, last=last, m=m)
    assert [isinstance(s, Move) for s in said] == [w is not None for w in want]
    got = [s.vector for s in said if isinstance(s, Move)]
    np.testing.assert_allclose(got, [w for w in want if w is not None], atol=1e-9)


KINDS = pytest.mark.parametrize("text", ["adaptive", "adaptive_ensemble", "adaptive_ensemble:0.0"])


@KINDS
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), mean_s=st.floats(0.0, 0.3), jitter_s=st.floats(0.0, 0.1),
    ahead_s=st.floats(0.0, 0.1), start_s=st.sampled_from([0.0, 1.7e9 + 0.3]),
)  # fmt: skip
def test_at_any_delay_jitter_and_drift_the_command_is_for_now_and_the_way_ahead(
    text, seed, mean_s, jitter_s, ahead_s, start_s
):
    rng, executor = np.random.default_rng(seed), make_executor(text)
    delays = mean_s * (1.0 + 0.5 * np.sin(np.arange(100) / 10.0)) + rng.uniform(0.0, jitter_s, 100)
    stamps = start_s + 0.04 * np.arange(100)
    # 40 steps reach 0.78 s: longer than the longest of these delays, the time between images and the way ahead.
    chunks = [(t + d, ramp(t, 40, origin_s=start_s)) for t, d in zip(stamps, delays, strict=True)]
    now_s = start_s + TICK_S * np.arange(190)
    moves = play(executor, sorted(chunks, key=lambda pair: pair[0]), now_s, np.full(190, ahead_s))
    said = [
        (n - start_s, move.vector[0]) for n, move in zip(now_s, moves, strict=True) if isinstance(move, Move)
    ]
    assert len(said) > 150
    for now, value in said:
        assert value == pytest.approx(now + ahead_s, abs=2e-6)


@pytest.mark.parametrize("slew", [0.25, 0.5, 1.0])
def test_the_plan_never_runs_back_and_changes_pace_within_the_slew(slew):
    executor, ahead_s = Adaptive(slew=slew, hold_s=10.0), np.zeros(200)
    ahead_s[40:100], ahead_s[100:] = 0.2, 0.04
    executor.offer(ramp(0.0, 500), 0.0)
    now_s = TICK_S * np.arange(200)
    lead_s = np.array([move.vector[0] for move in play(executor, [], now_s, ahead_s)]) - now_s
    # Straight from one delay to the other, as fast as allowed.
    ticks = 0.2 / slew / TICK_S
    want_s = np.interp(np.arange(200), [39, 39 + ticks, 99, 99 + 0.8 * ticks], [0.0, 0.2, 0.2, 0.04])
    np.testing.assert_allclose(lead_s, want_s, atol=1e-9)
    assert (np.diff(now_s + lead_s) > -1e-12).all()


@KINDS
def test_the_end_is_held_for_a_while_and_the_beginning_is_not_foretold(text):
    executor = make_executor(text)
    executor.offer(ramp(1.0, 5), 1.0)
    assert executor.command(0.9).vector[0] == 1.0 and executor.command(0.9).index == 0.0
    assert executor.command(1.03).index == pytest.approx(1.5)
    assert executor.command(1.08).index == pytest.approx(4.0)
    for now_s in (1.1, 1.37):
        move = executor.command(now_s)
        assert move.vector[0] == pytest.approx(1.08) and move.index == 4.0 and move.stamp_s == 1.0
    hold = executor.command(1.39)
    assert isinstance(hold, Hold) and "used up" in hold.reason
    executor.offer(ramp(1.4, 1), 1.4)
    assert executor.command(1.4).vector[0] == pytest.approx(1.4), "one vector is a chunk, too"


@KINDS
def test_each_obeys_the_protocol(text):
    executor = make_executor(text)
    assert executor.name == text
    assert isinstance(executor, Anticipating) and not isinstance(executor, Committing)
    assert isinstance(executor.command(5.0), Hold) and executor.wants(5.0) is True
    executor.expect(0.05)
    executor.offer(ramp(4.9), 5.0)
    executor.offer(Chunk(np.full((9, expression.SIZE), 7.0), 4.8, TICK_S), 5.0)
    assert executor.command(5.1).stamp_s == 4.9
    executor.reset()
    assert isinstance(executor.command(5.0), Hold)
    executor.offer(ramp(0.9), 1.0)
    assert executor.command(1.0).vector[0] == pytest.approx(1.0), (
        "the delay is forgotten; the clock may be another one"
    )
    # A clock that was set back within a run: no worse than beginning anew.
    assert executor.command(0.95).vector[0] == pytest.approx(0.95)


def test_of_two_chunks_about_one_observation_the_last_counts():
    executor = AdaptiveEnsemble(0.0)
    executor.offer(Chunk(np.full((9, expression.SIZE), 1.0), 0.0, TICK_S), 0.0)
    for value in (100.0, 3.0):
        executor.offer(Chunk(np.full((9, expression.SIZE), value), 0.04, TICK_S), 0.04)
    assert executor.command(0.04).vector[0] == pytest.approx(2.0)


def test_the_mean_of_aligned_chunks_weighs_the_newest_most_and_never_extrapolates():
    old, middle, new = (
        Chunk(np.full((n, expression.SIZE), v), t, TICK_S)
        for n, v, t in ((3, 8.0, 0.0), (9, 2.0, 0.02), (6, 1.0, 0.04))
    )
    got = merged([old, middle, new], 0.5)
    a, b, c = 1.0, math.exp(-0.5), math.exp(-1.0)
    first = (a * 1.0 + b * 2.0 + c * 8.0) / (a + b + c)
    later = (a * 1.0 + b * 2.0) / (a + b)
    np.testing.assert_allclose(got.values[:, 0], [first, *[later] * 5])
    assert (got.t0_s, got.dt_s) == (0.04, TICK_S)
    assert new.values[0, 0] == 1.0, "what was given is not written to"
    np.testing.assert_array_equal(merged([new]).values, new.values)
    # One from before the newest's time, or after it, has nothing to say.
    for other in (Chunk(old.values, -9.0, TICK_S), Chunk(old.values, 9.0, TICK_S)):
        np.testing.assert_array_equal(merged([other, new]).values, new.values)


@given(m=st.floats(-10, 10), count=st.integers(1, 120))
def test_a_mean_stays_between_what_is_averaged(m, count):
    chunks = [Chunk(np.full((4, expression.SIZE), float(k)), k * 1e-3, TICK_S) for k in range(count)]
    values = merged(chunks, m).values
    assert (values >= -1e-9).all() and (values <= count - 1 + 1e-9).all()


@pytest.mark.parametrize("ahead_s", [-0.01, 2.1, math.nan, math.inf])
def test_an_impossible_delay_is_refused(ahead_s):
    executor = Adaptive()
    executor.expect(0.1)
    with pytest.raises(UsageError, match=f"ahead_s is {ahead_s}"):
        executor.expect(ahead_s)
    executor.offer(ramp(0.0), 0.0)
    assert executor.command(0.0).vector[0] == pytest.approx(0.1)


@pytest.mark.parametrize("bad", [math.nan, -0.1, math.inf])
def test_impossible_parameters_are_refused(bad):
    for make in (
        lambda: Adaptive(hold_s=bad), lambda: Adaptive(slew=bad), lambda: AdaptiveEnsemble(bad * 1e3),
        lambda: AdaptiveEnsemble(chunks=bad), lambda: AdaptiveEnsemble(chunks=0), lambda: AdaptiveEnsemble(hold_s=bad),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="is "):
            make()
    with pytest.raises(UsageError, match="0 chunks"):
        merged([])
    with pytest.raises(UsageError, match="nan"):
        merged([ramp(0.0)], math.nan)
    for text in ("adaptive:1", "adaptive_ensemble:x", "adaptive_ensemble:nan"):
        with pytest.raises(ConfigError, match=text.partition(":")[2]):
            make_executor(text)
    assert {"adaptive", "adaptive_ensemble", "prefix"} <= set(EXECUTORS)
