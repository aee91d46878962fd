"""Who answers when policies fail, and when they are trusted again; time is that of the observations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg import expression
from fabg.errors import ConfigError, ModelFileError
from fabg.policy.base import Chunk, Observation
from fabg.policy.fallback import Fallback, FallbackConfig

PERIOD_S = 0.04
SUDDEN = FallbackConfig(retry_s=1.0, retry_most_s=4.0, good=3, blend_s=0.0)


class Scripted:
    """Answers as its `mood` says; every entry of an answer is `level`."""

    def __init__(self, name, level=0.0):
        self.name, self.level, self.mood = name, level, "good"
        self.asked, self.resets = [], 0

    def reset(self):
        self.resets += 1
        if self.mood == "resets badly":
            raise RuntimeError("no reset")

    def predict(self, observation):
        self.asked.append(observation.stamp_s)
        if self.mood == "raises":
            raise RuntimeError("out of ideas")
        if self.mood == "silent":
            return None
        if self.mood == "wrong type":
            return [0.0] * expression.SIZE
        values = np.full((10, expression.SIZE), self.level)
        chunk = Chunk(values, observation.stamp_s, 0.02, self.name)
        if self.mood == "nan":
            values[3, 7] = np.nan  # behind the back of Chunk, which would refuse it
        return chunk


class Clocked:
    """Runs a Fallback at 25 Hz and notes who answered."""

    def __init__(self, *policies, config=SUDDEN):
        self.now_s = 100.0
        self.fallback = Fallback({p.name: lambda p=p: p for p in policies}, config)

    def run(self, seconds):
        sources = []
        for _ in range(round(seconds / PERIOD_S)):
            self.now_s += PERIOD_S
            chunk = self.fallback.predict(Observation(self.now_s))
            assert chunk is None or (np.isfinite(chunk.values).all() and chunk.t0_s == self.now_s)
            sources.append(None if chunk is None else chunk.source)
        return sources


def two():
    return Scripted("learnt", 1.0), Scripted("mirror", 0.5)


def test_the_best_answers_alone_while_it_works():
    learnt, mirror = two()
    assert set(Clocked(learnt, mirror).run(1.0)) == {"learnt"}
    assert mirror.asked == []


@pytest.mark.parametrize("mood", ["raises", "nan", "wrong type"])
def test_every_observation_is_answered_though_the_best_fails(mood):
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    run.run(0.2)
    learnt.mood = mood
    assert set(run.run(2.0)) == {"mirror"}
    assert list(run.fallback.troubles) == ["learnt"] and run.fallback.in_charge == "mirror"


def test_what_is_wrong_is_said_as_it_was_raised():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = "raises"
    run.run(0.04)
    assert run.fallback.troubles == {"learnt": "RuntimeError: out of ideas"}


def test_a_policy_that_works_again_is_trusted_after_three_good_answers_in_a_row():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = "raises"
    run.run(PERIOD_S)
    learnt.mood = "good"
    sources = run.run(2.0)
    back = sources.index("learnt")
    # Tried again a second after the failure; the third answer from there on is its own.
    assert back == round(1.0 / PERIOD_S) - 1 + 2
    assert set(sources[:back]) == {"mirror"} and set(sources[back:]) == {"learnt"}
    assert run.fallback.troubles == {}


def test_one_bad_answer_on_trial_begins_the_wait_anew_and_longer():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = "raises"
    run.run(8.0)
    pauses = np.diff(learnt.asked)
    assert pauses == pytest.approx([1.0, 2.0, 4.0], abs=PERIOD_S), "1, 2, then 4 s at most"
    run.run(10.0)
    assert np.diff(learnt.asked).max() == pytest.approx(4.0, abs=PERIOD_S)


def test_a_policy_that_worked_for_long_waits_shortly_again():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = "raises"
    run.run(4.0)
    learnt.mood = "good"
    assert run.run(12.0)[-1] == "learnt"
    learnt.mood = "raises"
    run.run(PERIOD_S)
    learnt.mood = "good"
    assert run.run(1.0 + 4 * PERIOD_S)[-1] == "learnt"


def test_a_model_that_cannot_be_loaded_is_loaded_when_it_is_there():
    learnt, mirror = two()
    there = []

    def load():
        if not there:
            raise ModelFileError("policy.onnx is not there: run fabg export")
        return learnt

    fallback = Fallback({"learnt": load, "mirror": lambda: mirror}, SUDDEN)
    assert fallback.in_charge == "mirror" and "policy.onnx" in fallback.troubles["learnt"]
    run = Clocked(learnt, mirror)
    run.fallback = fallback
    assert set(run.run(3.0)) == {"mirror"}
    there.append(True)
    assert run.run(5.0)[-1] == "learnt"


def test_three_deep():
    learnt, mirror, idle = *two(), Scripted("idle")
    run = Clocked(learnt, mirror, idle)
    learnt.mood = mirror.mood = "raises"
    assert set(run.run(5.0)) == {"idle"}
    mirror.mood = "good"
    assert run.run(5.0)[-1] == "mirror"
    learnt.mood = "good"
    assert run.run(6.0)[-1] == "learnt"


def test_when_the_last_fails_too_its_error_is_raised_and_the_next_observation_tries_it_again():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = mirror.mood = "raises"
    for _ in range(3):
        with pytest.raises(RuntimeError, match="out of ideas"):
            run.run(PERIOD_S)
    mirror.mood = "good"
    assert run.run(PERIOD_S) == ["mirror"]


def test_nothing_to_do_is_an_answer():
    learnt, mirror = two()
    learnt.mood = "silent"
    run = Clocked(learnt, mirror)
    assert set(run.run(1.0)) == {None} and run.fallback.troubles == {} and mirror.asked == []


def test_reset_reaches_everybody_and_makes_a_failed_one_due():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = "raises"
    run.run(PERIOD_S)
    before = learnt.resets, mirror.resets
    run.fallback.reset()
    assert (learnt.resets, mirror.resets) == (before[0] + 1, before[1] + 1)
    learnt.mood = "good"
    assert run.run(3 * PERIOD_S)[-1] == "learnt"


def test_a_policy_that_cannot_be_reset_has_failed():
    learnt, mirror = two()
    run = Clocked(learnt, mirror)
    learnt.mood = "resets badly"
    run.fallback.reset()
    assert "no reset" in run.fallback.troubles["learnt"]
    assert run.run(PERIOD_S) == ["mirror"]


def test_another_policy_takes_over_gradually():
    """The level of the answers goes from the one's to the other's without a leap, and arrives."""
    learnt, mirror = two()
    run = Clocked(learnt, mirror, config=FallbackConfig(blend_s=0.4))
    run.run(0.2)
    learnt.mood = "raises"
    levels = []
    for _ in range(15):
        run.now_s += PERIOD_S
        levels.append(run.fallback.predict(Observation(run.now_s)).values[0, 0])
    assert levels[0] == pytest.approx(1.0) and levels[-1] == pytest.approx(0.5)
    # A smoothstep is at most 1.5 times as steep as a straight line.
    assert (np.diff(levels) <= 1e-12).all()
    assert np.abs(np.diff(levels)).max() <= 0.5 * 1.5 * PERIOD_S / 0.4 + 1e-9


@given(st.lists(st.sampled_from(["good", "raises", "nan", "silent", "wrong type"]), min_size=1, max_size=60))
def test_whatever_the_best_does_everything_is_answered_with_numbers(moods):
    learnt, mirror = two()
    run = Clocked(learnt, mirror, config=FallbackConfig(retry_s=0.05, good=2))
    for mood in moods:
        learnt.mood = mood
        (source,) = run.run(PERIOD_S)
        assert source in ("learnt", "mirror") or mood == "silent"


@pytest.mark.parametrize(
    "bad", [{"retry_s": 0.0}, {"good": 0}, {"retry_most_s": 0.5}, {"blend_s": float("nan")}]
)
def test_configurations_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        FallbackConfig(**bad)


def test_no_policy_at_all_is_refused():
    with pytest.raises(ConfigError, match="at least one"):
        Fallback({})
