"""What an executor says is fixed is what it then sends; a policy that goes on from it never jumps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import ConfigError, UsageError
from fabg.policy.base import Chunk, Observation, PrefixPolicy
from fabg.policy.executors import Anticipating, Committing, Hold, Move, make_executor
from fabg.policy.prefix import FIRST_S, MARGIN_S, PrefixChunks

TICK_S = 0.02
STEPS = 30
PACE = 0.05  # of the policy below: at most so much a step


class Walker:
    """Walks at an even pace from where it is committed to stand to a goal that every observation moves."""

    name = "walker"

    def __init__(self, seed=0):
        self._rng = np.random.default_rng(seed)

    def reset(self):
        """Forget nothing."""

    def predict(self, observation):
        """Begin anywhere: what a policy does that is not told."""
        return self.predict_after(observation, None)

    def predict_after(self, observation, committed):
        goal, rows = self._rng.uniform(-1, 1), [] if committed is None else list(committed.values[:, 0])
        at = rows[-1] if rows else self._rng.uniform(-1, 1)
        while len(rows) < STEPS:
            at += min(max(goal - at, -PACE), PACE)
            rows.append(at)
        return Chunk(np.tile(np.array(rows)[:, None], expression.SIZE), observation.stamp_s, TICK_S)


def play(executor, policy, delays_s, *, told=True, ticks=300, ahead_s=0.0, start_s=0.0, image_age_s=0.03):
    """Run the loop; return what was sent, by plan time, the prefixes, and when it was asked and answered."""
    coming, sent, prefixes, asked, answered = [], [], [], [], []
    delays_s = iter(delays_s)
    for k in range(ticks):
        now = start_s + k * TICK_S
        executor.expect(ahead_s)
        if executor.wants(now):
            stamp = now - image_age_s
            prefix = executor.committed(stamp, TICK_S, STEPS) if told else None
            delay = next(delays_s)
            asked.append(now)
            if delay is not None:
                prefixes.append((now, now + delay, prefix))
                coming.append((now + delay, policy.predict_after(Observation(stamp), prefix)))
        while coming and coming[0][0] <= now + 1e-6:
            answered.append(now)
            executor.offer(coming.pop(0)[1], now)
        move = executor.command(now)
        sent.append((now + ahead_s, move.vector[0] if isinstance(move, Move) else math.nan))
    return np.array(sent), prefixes, asked, answered


def forever(value):
    while True:
        yield value


delays = st.floats(0.0, 0.25)


@settings(max_examples=25, deadline=None)
@given(
    delay_s=delays, ahead_s=st.floats(0.0, 0.1), age_s=st.floats(0.0, 0.15), steps=st.integers(1, 12),
    start_s=st.sampled_from([0.0, 1.7e9]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_what_is_said_to_be_fixed_is_what_is_sent_and_the_chunks_join(
    delay_s, ahead_s, age_s, steps, start_s, seed
):
    executor = PrefixChunks(steps)
    sent, prefixes, _, _ = play(
        executor, Walker(seed), forever(delay_s), ahead_s=ahead_s, image_age_s=age_s, start_s=start_s
    )
    times, values = sent[:, 0] - start_s, sent[:, 1]
    there = np.isfinite(values)
    assert there.any() and there[np.argmax(there) :].all(), "once begun, never without a command"
    first_s = times[there][0]
    told = [(asked_s - start_s, there_s - start_s, p) for asked_s, there_s, p in prefixes if p is not None]
    assert len(told) >= 5
    for asked_s, there_s, prefix in told:
        own = prefix.t0_s - start_s + TICK_S * np.arange(len(prefix.values))
        assert own[0] == pytest.approx(asked_s - age_s, abs=1e-6)
        # As far as the answer can be there, but for the width of a step, or as long as a chunk is.
        assert len(own) == STEPS or own[-1] + TICK_S > there_s + ahead_s - 1e-6
        known = (own >= first_s) & (own <= times[-1])
        # Between two commands it walks evenly or bends: exact where it does not.
        np.testing.assert_allclose(
            prefix.values[known, 0], np.interp(own[known], times[there], values[there]), atol=PACE / 2
        )
    if delay_s + MARGIN_S + age_s + ahead_s < (STEPS - 3) * TICK_S:
        assert np.abs(np.diff(values[there])).max() <= PACE + 1e-6, "no jump from one chunk to the next"


def test_on_a_common_grid_the_prefix_is_exact():
    executor = PrefixChunks()
    sent, prefixes, _, _ = play(executor, Walker(), forever(0.1), ahead_s=0.04, image_age_s=0.06)
    by_time = {round(t / TICK_S): value for t, value in sent if np.isfinite(value)}
    exact = 0
    for _, _, prefix in prefixes:
        for i, row in enumerate([] if prefix is None else prefix.values):
            want = by_time.get(round(prefix.t0_s / TICK_S) + i)
            if want is not None:
                assert row[0] == pytest.approx(want, abs=1e-9)
                exact += 1
    assert exact > 300


def test_a_policy_that_is_not_told_jumps():
    sent, _, _, _ = play(PrefixChunks(), Walker(), forever(0.1), told=False)
    assert np.nanmax(np.abs(np.diff(sent[:, 1]))) > 5 * PACE


def test_answers_that_jitter_are_expected_as_late_as_they_were():
    rng = np.random.default_rng(4)
    sent, prefixes, _, _ = play(PrefixChunks(), Walker(), iter(rng.uniform(0.02, 0.2, 500)), ticks=3000)
    early = [p.end_s + TICK_S >= there_s for _, there_s, p in prefixes[11:]]
    assert np.mean(early) > 0.9  # the latest of ten, 20 ms on top
    joined = np.abs(np.diff(sent[np.isfinite(sent[:, 1]), 1])) <= PACE + 1e-9
    assert np.mean(joined) > 0.99


@pytest.mark.parametrize("steps", [1, 5, 12])
@pytest.mark.parametrize("delay", [0, 3, 8])
def test_the_next_is_asked_for_after_so_many_steps_and_never_before_the_answer(steps, delay):
    _, _, asked, _ = play(PrefixChunks(steps), Walker(), forever(delay * TICK_S), ticks=100)
    period = max(steps, delay + 1)
    assert [round(t / TICK_S) for t in asked] == list(range(0, 100, period))


def test_a_lost_query_is_sent_again_and_the_plan_goes_on_meanwhile():
    executor = PrefixChunks(5, retry_s=0.5)
    sent, _, asked, _ = play(executor, Walker(), iter([0.04, None, *[0.04] * 99]), ticks=60)
    assert [round(t / TICK_S) for t in asked[:4]] == [0, 5, 30, 35]
    assert np.isfinite(sent[2:, 1]).all()


def test_it_obeys_the_protocols():
    executor = make_executor("prefix")
    assert executor.name == "prefix" and make_executor("prefix:7").name == "prefix:7"
    assert isinstance(executor, Anticipating) and isinstance(executor, Committing)
    assert isinstance(Walker(), PrefixPolicy)
    assert executor.committed(0.0, TICK_S, STEPS) is None, "nothing is fixed before the first chunk"
    assert executor.wants(5.0) and executor.committed(5.0, TICK_S, STEPS) is None
    assert isinstance(executor.command(5.0), Hold)
    executor.offer(Walker().predict(Observation(4.9)), 5.0)
    move = executor.command(5.0)
    assert move.stamp_s == 4.9 and move.index == pytest.approx(5.0)
    executor.reset()
    assert executor.wants(1.0) and executor.committed(1.0, TICK_S, STEPS) is None
    assert isinstance(executor.command(1.0), Hold)


def test_before_an_answer_was_measured_one_is_expected_after_a_while():
    executor = PrefixChunks(1)
    executor.offer(Walker().predict(Observation(0.0)), 0.0)  # nobody asked
    executor.command(0.0)
    assert executor.wants(0.02)
    assert executor.committed(0.02, TICK_S, STEPS).end_s == pytest.approx(0.02 + FIRST_S + MARGIN_S, abs=1e-9)
    assert len(executor.committed(0.02, TICK_S, 2).values) == 2
    assert executor.committed(0.5, TICK_S, STEPS) is None, "the plan can be changed by then"


def test_at_the_end_of_a_plan_the_robot_stays_and_that_is_what_is_fixed():
    executor = PrefixChunks(1, retry_s=0.01)
    chunk = Walker().predict(Observation(0.0))
    assert executor.wants(0.0)
    executor.offer(chunk, 0.0)
    for k in range(100):
        executor.wants(k * TICK_S)
        said = executor.command(k * TICK_S)
    assert isinstance(said, Hold)
    assert executor.wants(2.0)
    np.testing.assert_array_equal(
        executor.committed(1.9, TICK_S, 4).values, np.tile(chunk.values[-1], (4, 1))
    )


@pytest.mark.parametrize("bad", [0, -1, 1.5, math.nan, math.inf, True, 10_001])
def test_impossible_figures_are_refused(bad):
    with pytest.raises(ConfigError, match=str(bad)):
        PrefixChunks(bad)
    executor = PrefixChunks()
    for start_s, dt_s, steps in ((math.nan, 0.02, 5), (0.0, 0.0, 5), (0.0, math.nan, 5), (0.0, 0.02, 0)):
        with pytest.raises(UsageError, match="prefix from"):
            executor.committed(start_s, dt_s, steps)
    for text in ("prefix:0", "prefix:x", "prefix:1.5"):
        with pytest.raises(ConfigError, match=text.partition(":")[2]):
            make_executor(text)
    with pytest.raises(ConfigError, match="retry_s is 0"):
        PrefixChunks(retry_s=0.0)
