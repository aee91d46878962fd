import math
from dataclasses import replace

import numpy as np
import pytest

from fabg import expression
from fabg.errors import CommandRefused
from fabg.policy.response import ResponseConfig
from fabg.social.expert import Expert, ReactionLine, draw_delay
from fabg.social.stage import TICK_S, Stimulus

FACE, HAND = np.array([1.0, 0.0, 0.1]), np.array([0.6, 0.25, 0.05])
QUIET, SMILE = np.zeros(52), np.zeros(52)
SMILE[[expression.INDEX["mouthSmileLeft"], expression.INDEX["mouthSmileRight"]]] = 0.8
REST = Stimulus(-1, "rest", 0.0, False, FACE, QUIET)
SHARP = ResponseConfig(gaze_spread_s=0.0, expression_spread_s=0.0)


def event(number, target=FACE, shapes=QUIET, kind="event"):
    return Stimulus(number, kind, 0.0, True, target, shapes)


def played(stimuli, seed=0, config=None):
    expert = Expert(config)
    expert.reset(np.random.default_rng(seed), stimuli[0])
    return np.array([expert.step(s) for s in stimuli]), expert


def first_move(vectors, columns, after):
    """Return the first tick, counted from `after`, in which the columns have left their values at `after`."""
    moved = np.abs(vectors[after:, columns] - vectors[after, columns]).max(axis=1) > 1e-9
    return int(np.flatnonzero(moved)[0])


GAZE, FACE_COLUMNS = slice(52, 61), slice(0, 52)


def test_delays_are_those_of_people():
    rng = np.random.default_rng(1)
    for mean, spread in ((0.12, 0.03), (0.30, 0.06)):
        drawn = np.array([draw_delay(rng, mean, spread, 0.08) for _ in range(20000)])
        assert drawn.min() >= 0.08
        assert drawn.mean() == pytest.approx(mean, abs=4 * spread / math.sqrt(20000))
        assert drawn.std() == pytest.approx(spread, rel=0.1)
        assert np.median(drawn) < drawn.mean()  # skewed to the right, as reaction times are


def test_each_event_has_delays_of_its_own():
    expert = Expert()
    expert.reset(np.random.default_rng(2), REST)
    seen = []
    for number in range(300):
        for kind in ("event", "rest"):
            for _ in range(3):
                expert.step(event(number, kind=kind))
                seen.append(expert.delays)
    groups = [seen[i : i + 3] for i in range(0, len(seen), 3)]
    assert all(len(set(group)) == 1 for group in groups)
    gaze = np.array([group[0].gaze_s for group in groups])
    face = np.array([group[0].expression_s for group in groups])
    assert len(set(gaze)) == len(gaze)
    assert gaze.mean() == pytest.approx(0.12, abs=0.005)
    assert face.mean() == pytest.approx(0.30, abs=0.01)
    assert abs(np.corrcoef(gaze, face)[0, 1]) < 0.15


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_begins_after_the_drawn_delay_and_not_before(seed):
    vectors, expert = played([REST] * 10 + [event(0, HAND, SMILE)] * 60, seed)
    for columns, delay_s in ((GAZE, expert.delays.gaze_s), (FACE_COLUMNS, expert.delays.expression_s)):
        begins_s = first_move(vectors, columns, 10) * TICK_S
        assert delay_s < begins_s <= delay_s + 1.5 * TICK_S + 1e-9


def test_without_spread_the_delays_are_the_means():
    vectors, expert = played([REST] * 10 + [event(0, HAND, SMILE)] * 60, config=SHARP)
    assert (expert.delays.gaze_s, expert.delays.expression_s) == (0.12, 0.30)
    # At rest in the tick of the delay, moved in the next.
    assert first_move(vectors, GAZE, 10) == 6 + 1
    assert first_move(vectors, FACE_COLUMNS, 10) == 15 + 1


def script(rng, n):
    """Return a stimulus a tick: moving targets, changing faces, events of random length."""
    stimuli, number, target, shapes, kind = [], -1, FACE, QUIET, "rest"
    for _ in range(n):
        if rng.random() < 0.05:
            number += 1
            kind = str(rng.choice(["event", "rest"]))
            target, shapes = rng.uniform([0.4, -0.4, -0.1], [1.2, 0.4, 0.3]), rng.random(52)
        target = target + rng.normal(0, 0.003, 3)
        stimuli.append(Stimulus(number, kind, 0.0, True, target, shapes))
    return stimuli


@pytest.mark.parametrize("seed", range(5))
def test_what_comes_later_cannot_change_what_was_done(seed):
    rng = np.random.default_rng(seed)
    common, one, other = script(rng, 100), script(rng, 100), script(rng, 100)
    first, _ = played(common + one, seed)
    second, _ = played(common + other, seed)
    # Nor can it change the next 80 ms, in which nobody can react.
    np.testing.assert_array_equal(first[:104], second[:104])
    assert not np.allclose(first[104:], second[104:])


def test_the_same_seed_gives_the_same_bits():
    stimuli = script(np.random.default_rng(7), 200)
    np.testing.assert_array_equal(played(stimuli, 3)[0], played(stimuli, 3)[0])
    assert not np.array_equal(played(stimuli, 3)[0], played(stimuli, 4)[0])


def test_the_stimulus_may_be_changed_in_place_afterwards():
    target, shapes = FACE.copy(), QUIET.copy()
    expert = Expert(SHARP)
    expert.reset(np.random.default_rng(0), Stimulus(-1, "rest", 0.0, False, target, shapes))
    for _ in range(5):
        vector = expert.step(Stimulus(-1, "rest", 0.0, False, target, shapes))
        target += 0.1
        shapes += 0.1
    np.testing.assert_array_equal(vector, played([REST] * 5, config=SHARP)[0][-1])


def test_in_the_end_the_expert_does_what_is_asked():
    vectors, _ = played([REST] * 5 + [event(0, HAND, SMILE)] * 150)
    np.testing.assert_allclose(vectors[-1, :52], SMILE, atol=1e-6)
    assert vectors[-1, 55] > vectors[-1, 52]


def test_a_stimulus_that_is_not_finite_is_refused_and_changes_nothing():
    stimuli = [REST] * 5 + [event(0, HAND, SMILE)] * 40
    expert = Expert()
    expert.reset(np.random.default_rng(0), REST)
    seen = []
    for s in stimuli:
        with pytest.raises(CommandRefused, match="finite"):
            expert.step(replace(s, event=99, target_m=np.full(3, np.nan)))
        seen.append(expert.step(s))
    np.testing.assert_array_equal(seen, played(stimuli)[0])


@pytest.mark.parametrize("seed", range(10))
def test_perceived_time_stands_still_or_runs_on(seed):
    rng = np.random.default_rng(seed)
    line = ReactionLine(-1)
    delays = np.repeat(rng.integers(4, 20, 30), rng.integers(1, 15, 30))
    perceived = [line.step(tick, int(delay)) for tick, delay in enumerate(delays)]
    assert (np.diff(perceived) >= 0).all()
    for tick, seen in enumerate(perceived):
        # The newest of all whose delay is over, by the definition.
        assert seen == max([t for t in range(tick + 1) if t + delays[t] <= tick], default=-1)
