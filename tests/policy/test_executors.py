"""Laws of time. In a ramp chunk every value is the time that it is meant for, so a command tells how late it is."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk
from fabg.policy.executors import (
    EXECUTORS,
    Executor,
    FixedOffset,
    Hold,
    Move,
    Newest,
    OpenLoopChunk,
    TemporalEnsembling,
    make_executor,
)

TICK_S = 0.02
STEPS = 25
DELAYS = pytest.mark.parametrize("delay_ms", [0, 40, 200])


def ramp(t0_s, steps=STEPS, dt_s=TICK_S):
    times = t0_s + np.arange(steps) * dt_s
    return Chunk(np.repeat(times[:, None], expression.SIZE, axis=1), t0_s, dt_s)


def play(executor, delay_ticks, ticks=120, *, start_s=0.0, policy=ramp, lost=()):
    """Run the loop; a query at tick k gives a chunk for tick k that arrives `delay_ticks` later."""
    due, answers, queries = {}, [], []
    for k in range(ticks):
        now_s = start_s + k * TICK_S
        if executor.wants(now_s):
            queries.append(k)
            if k not in lost:
                due[k + delay_ticks] = policy(now_s)
        if k in due:
            executor.offer(due[k], now_s)
        answers.append(executor.command(now_s))
    return answers, queries


def values(answers):
    """The ramp's value of each move, NaN for a hold."""
    return np.array([a.vector[0] if isinstance(a, Move) else math.nan for a in answers])


def late_s(answers, start_s=0.0):
    """By how much each command is meant for an earlier time than now."""
    return start_s + np.arange(len(answers)) * TICK_S - values(answers)


@pytest.mark.parametrize("text", ["newest", "chunk", "chunk:10", "ensemble", "ensemble:0.5", "offset:3"])
def test_each_obeys_the_protocol(text):
    executor: Executor = make_executor(text)
    assert executor.name == text
    assert isinstance(executor.command(5.0), Hold), "nothing to send before the first chunk"
    assert executor.command(5.0).reason
    assert executor.wants(5.0) is True
    executor.offer(ramp(4.9), 5.0)
    move = executor.command(5.0)
    assert move.vector.shape == (61,) and move.stamp_s == 4.9
    executor.reset()
    assert isinstance(executor.command(5.0), Hold) and executor.wants(5.0)
    # After a reset the clock may be another one.
    executor.offer(ramp(0.9), 1.0)
    assert executor.command(1.0).stamp_s == 0.9


@pytest.mark.parametrize("text", ["newest", "chunk", "ensemble", "offset:3"])
def test_a_chunk_that_was_overtaken_changes_nothing(text):
    with_old, without = make_executor(text), make_executor(text)
    for executor in (with_old, without):
        executor.offer(ramp(1.0), 1.1)
    with_old.offer(ramp(0.9), 1.12)
    assert np.array_equal(with_old.command(1.12).vector, without.command(1.12).vector)
    assert with_old.command(1.12).stamp_s == 1.0


@DELAYS
def test_the_newest_is_late_by_the_whole_delay(delay_ms):
    answers, queries = play(Newest(), delay_ms // 20)
    assert queries == list(range(120)), "queried at every step"
    late = late_s(answers)
    first = delay_ms // 20
    assert np.isnan(late[:first]).all()
    np.testing.assert_allclose(late[first:], delay_ms / 1000, atol=1e-9)
    assert {a.index for a in answers[first:]} == {0}


@DELAYS
@pytest.mark.parametrize("n", [0, 1, 2, 10])
def test_an_offset_takes_n_steps_off_the_delay(delay_ms, n):
    answers, _ = play(FixedOffset(n), delay_ms // 20)
    first = delay_ms // 20
    np.testing.assert_allclose(late_s(answers)[first:], delay_ms / 1000 - n * TICK_S, atol=1e-9)
    assert {a.index for a in answers[first:]} == {n}


@DELAYS
def test_an_offset_equal_to_the_delay_commands_for_now(delay_ms):
    answers, _ = play(FixedOffset(delay_ms // 20), delay_ms // 20)
    np.testing.assert_allclose(late_s(answers)[delay_ms // 20 :], 0.0, atol=1e-9)


def test_an_offset_beyond_the_chunk_gives_its_end_and_says_so():
    executor = FixedOffset(7)
    executor.offer(ramp(1.0, steps=4), 1.0)
    move = executor.command(1.0)
    assert move.index == 3 and move.vector[0] == pytest.approx(1.06)


@DELAYS
@pytest.mark.parametrize("steps", [None, 10])
def test_a_chunk_plays_every_step_once_and_holds_while_it_waits(delay_ms, steps):
    delay, n = delay_ms // 20, steps or STEPS
    answers, queries = play(OpenLoopChunk(steps), delay, ticks=4 * (n + delay))
    assert queries == [0, n + delay, 2 * (n + delay), 3 * (n + delay)], "one query a chunk"
    late = late_s(answers)
    for begin in queries:
        assert np.isnan(late[begin : begin + delay]).all()
        played = answers[begin + delay : begin + delay + n]
        assert [a.index for a in played] == list(range(n))
        np.testing.assert_allclose(late[begin + delay : begin + delay + n], delay_ms / 1000, atol=1e-9)
    assert [a.reason for a in answers if isinstance(a, Hold)].count("no chunk has arrived yet") == delay


def test_a_chunk_that_comes_while_another_plays_is_ignored():
    executor = OpenLoopChunk()
    executor.offer(ramp(1.0), 1.0)
    executor.offer(ramp(1.1), 1.1)
    assert executor.command(1.1).stamp_s == 1.0


def test_a_lost_query_is_sent_again_after_a_while():
    _, queries = play(OpenLoopChunk(retry_s=0.5), 2, ticks=40, lost=(0,))
    assert queries == [0, 25]


def test_a_slower_chunk_is_played_at_its_own_pace():
    executor = OpenLoopChunk()
    executor.offer(ramp(0.0, steps=3, dt_s=0.05), 0.0)
    assert [executor.command(k * TICK_S).index for k in range(7)] == [0, 0, 0, 1, 1, 2, 2]
    assert isinstance(executor.command(0.16), Hold)


def test_steps_do_not_slip_by_rounding_on_a_large_clock():
    # Seconds since 1970: the numbers have 0.2 us left, and each tick is a rounded sum.
    for executor in (OpenLoopChunk(), TemporalEnsembling()):
        executor.offer(ramp(0.0), 1.7e9 + 0.3)
        got = [executor.command(1.7e9 + 0.3 + k * TICK_S).index for k in range(STEPS)]
        assert got == list(range(STEPS))


@pytest.mark.parametrize("text", ["newest", "chunk", "ensemble", "offset:3"])
def test_a_clock_set_back_never_counts_from_the_end_of_a_chunk(text):
    executor = make_executor(text)
    executor.offer(ramp(9.9), 10.0)
    assert executor.command(9.0).index == (3 if text == "offset:3" else 0)


def offline_ensemble(offers, ticks, m):
    """Algorithm 2 of Zhao et al. 2023 with the whole table at hand: row i holds what arrived at step i.

    A mask says what is there, instead of the zeros of the published loop.
    """
    longest = max(len(v) for v in offers.values())
    table = np.zeros((ticks, ticks + longest, expression.SIZE))
    there = np.zeros((ticks, ticks + longest), dtype=bool)
    for step, chunk in offers.items():
        table[step, step : step + len(chunk)] = chunk
        there[step, step : step + len(chunk)] = True
    out = np.full((ticks, expression.SIZE), np.nan)
    for step in range(ticks):
        rows = np.flatnonzero(there[:, step])
        if len(rows):
            weights = np.exp(-m * np.arange(len(rows)))
            out[step] = np.sum(weights[:, None] * table[rows, step], axis=0) / np.sum(weights)
    return out


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.sampled_from([0.0, 0.01, 0.1, 1.0, -0.3]),
    share=st.sampled_from([1.0, 0.6, 0.1]),
    even=st.booleans(),
)
def test_the_ensemble_equals_the_offline_table(seed, m, share, even):
    rng, ticks, executor = np.random.default_rng(seed), 60, TemporalEnsembling(m)
    offers, got = {}, []
    for step in range(ticks):
        if rng.random() < share:
            chunk = rng.normal(size=(8 if even else int(rng.integers(1, 12)), expression.SIZE))
            chunk[rng.random(chunk.shape) < 0.3] = 0.0
            offers[step] = chunk
            executor.offer(Chunk(chunk, step * TICK_S - 0.1, TICK_S), step * TICK_S)
        answer = executor.command(step * TICK_S)
        got.append(answer.vector if isinstance(answer, Move) else np.full(expression.SIZE, np.nan))
    if offers:
        np.testing.assert_allclose(got, offline_ensemble(offers, ticks, m), atol=1e-12)


def test_a_resting_face_counts_in_the_ensemble():
    executor = TemporalEnsembling(0.0)
    executor.offer(Chunk(np.ones((4, expression.SIZE)), 0.0, TICK_S), 0.0)
    executor.offer(Chunk(np.zeros((4, expression.SIZE)), 0.02, TICK_S), 0.02)
    np.testing.assert_allclose(executor.command(0.02).vector, 0.5, err_msg="not 1: zeros are values")


def test_the_oldest_chunk_weighs_most():
    executor = TemporalEnsembling(0.7)
    for k in range(3):
        executor.offer(Chunk(np.full((9, expression.SIZE), float(k)), k * TICK_S, TICK_S), k * TICK_S)
    old, middle, new = 1.0, math.exp(-0.7), math.exp(-1.4)
    want = (0 * old + 1 * middle + 2 * new) / (old + middle + new)
    np.testing.assert_allclose(executor.command(0.04).vector, want)
    assert executor.command(0.04).stamp_s == 0.04 and executor.command(0.06).index == 1


@DELAYS
def test_the_ensemble_of_perfect_predictions_is_late_by_the_whole_delay(delay_ms):
    # Aligned by arrival all chunks agree on what belonged to the time of their images.
    answers, queries = play(TemporalEnsembling(), delay_ms // 20)
    assert queries == list(range(120))
    np.testing.assert_allclose(late_s(answers)[delay_ms // 20 :], delay_ms / 1000, atol=1e-9)


def test_the_ensemble_answers_a_step_slowly():
    """A policy that cannot foresee holds what it sees; the mean over k equal weights then rises in k steps."""
    step_s = 1.0
    answers, _ = play(
        TemporalEnsembling(0.0),
        0,
        policy=lambda t: Chunk(np.full((STEPS, expression.SIZE), float(t >= step_s - 1e-9)), t, TICK_S),
    )
    rise = values(answers)[50 : 50 + STEPS]
    np.testing.assert_allclose(rise, np.arange(1, STEPS + 1) / STEPS, atol=1e-9)


def test_one_chunk_a_step_the_last_counts_and_memory_is_bounded():
    executor = TemporalEnsembling(0.0)
    for k in range(2000):
        executor.offer(Chunk(np.full((3, expression.SIZE), float(k)), 1.0 + k * 1e-6, TICK_S), 2.0)
    np.testing.assert_allclose(executor.command(2.0).vector, 1999.0)
    for k in range(2000):
        executor.offer(ramp(2.0), 2.0 + k * 1e-6)
    assert len(executor._chunks) <= 512


def test_the_ensemble_holds_when_no_chunk_reaches_the_present():
    executor = TemporalEnsembling()
    executor.offer(ramp(0.0, steps=5), 0.0)
    assert isinstance(executor.command(4 * TICK_S), Move)
    hold = executor.command(5 * TICK_S)
    assert isinstance(hold, Hold) and "used up" in hold.reason
    executor.offer(ramp(0.2), 0.2)
    assert executor.command(0.2).index == 0


def test_extreme_weights_stay_numbers():
    for m in (-10.0, 10.0):
        executor = TemporalEnsembling(m)
        for k in range(400):
            executor.offer(Chunk(np.full((500, expression.SIZE), float(k)), float(k), TICK_S), k * TICK_S)
        value = executor.command(400 * TICK_S - 0.02).vector[0]
        assert value == pytest.approx(399 if m < 0 else 0, abs=1e-3)


@pytest.mark.parametrize(
    "text, kind", [("newest", Newest), ("chunk", OpenLoopChunk), ("ensemble", TemporalEnsembling)]
)
def test_texts_make_what_they_say(text, kind):
    assert type(make_executor(text)) is kind
    assert make_executor("chunk:7").steps == 7
    assert make_executor("ensemble:0.25").m == 0.25 and make_executor("ensemble").m == 0.01
    assert make_executor(" offset:4 ").n == 4


NOT_EXECUTORS = [
    "", "pdlc", "newest:1", "offset", "offset:", "offset:-1", "offset:1.5", "offset:x", "offset:99999999",
    "chunk:0", "chunk:-2", "ensemble:nan", "ensemble:inf", "ensemble:x",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_EXECUTORS)
def test_unreadable_texts_are_named(text):
    with pytest.raises(ConfigError) as caught:
        make_executor(text)
    assert (text.partition(":")[2] or text or "''") in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text):
    try:
        executor = make_executor(text)
    except ConfigError:
        return
    assert make_executor(executor.name).name == executor.name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match="newest.*chunk.*ensemble.*offset"):
        make_executor("fastest")
    own = {**EXECUTORS, "mine": lambda figure: Newest()}
    assert isinstance(make_executor("mine", own), Newest)
    with pytest.raises(ConfigError, match="mine"):
        make_executor("yours", own)


@pytest.mark.parametrize("n", [-1, 1.5, math.nan, math.inf, True])
def test_impossible_figures_are_refused(n):
    with pytest.raises(ConfigError, match=str(n)):
        FixedOffset(n)
    with pytest.raises(ConfigError, match="chunk"):
        OpenLoopChunk(0)
    with pytest.raises(ConfigError, match="retry_s"):
        OpenLoopChunk(retry_s=0.0)
    with pytest.raises(ConfigError, match="ensemble"):
        TemporalEnsembling(math.nan)
