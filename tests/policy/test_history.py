"""What was seen until now, on an even grid: against a look through all observations, one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.policy import features
from fabg.policy.history import AGE, LONGEST_AGE_S, PRESENT, SIZE, History, look_back

stamps = st.lists(st.integers(1, 400), min_size=1, max_size=40).map(lambda gaps: np.cumsum(gaps) * 1e-3)


def slow(stamps_s, at, steps, step_s):
    found = []
    for k in range(steps):
        moment = at - k * step_s
        seen = [i for i, stamp in enumerate(stamps_s) if stamp <= moment + 1e-6]
        age = moment - stamps_s[seen[-1]] if seen else np.inf
        found.append((seen[-1], max(age, 0.0)) if age <= LONGEST_AGE_S else (-1, 0.0))
    return found


@given(stamps, st.integers(2, 12), st.sampled_from([0.0123, 0.04, 0.1]))
def test_the_newest_observation_of_each_moment(stamps_s, steps, step_s):
    at = np.concatenate([stamps_s, stamps_s + 0.0171])
    index, age = look_back(stamps_s, at, steps, step_s)
    for k, time in enumerate(at):
        expected = slow(stamps_s, time, steps, step_s)
        near = [abs(time - j * step_s - s - LONGEST_AGE_S) for j in range(steps) for s in stamps_s]
        if min(near) < 1e-9:
            continue  # on the edge of too old, where rounding decides
        assert index[k].tolist() == [i for i, _ in expected]
        np.testing.assert_allclose(age[k], [a for _, a in expected], atol=1e-6)


def test_rounding_does_not_hide_what_was_just_seen():
    """Stamps that are a hair later than the grid, as sums of 0.04 are."""
    stamps_s = np.cumsum(np.full(50, 0.04))
    index, age = look_back(stamps_s, stamps_s, 10, 0.04)
    for k in range(10, 50):
        assert index[k].tolist() == list(range(k, k - 10, -1))
        assert (age[k] < 1e-6).all()


@given(stamps, st.integers(2, 12), st.floats(0.0, 2e9))
def test_running_is_as_training(stamps_s, steps, epoch):
    """One observation at a time, on any clock, gives the windows that `look_back` gives for a whole episode."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(len(stamps_s), features.SIZE)).astype(np.float32)
    index, age = look_back(stamps_s, stamps_s, steps, 0.04)
    history = History(steps, 0.04)
    assert history.newest_s is None
    ages = (stamps_s[:, None] - np.arange(steps) * 0.04)[..., None] - stamps_s
    edge = np.concatenate([np.abs(ages - LONGEST_AGE_S).ravel(), np.abs(ages + 1e-6).ravel()]).min()
    for k, (stamp, row) in enumerate(zip(stamps_s, rows, strict=True)):
        history.add(epoch + stamp, row)
        assert history.newest_s == epoch + stamp
        if edge < 5e-7:
            continue  # where a clock that counts from long ago, in steps of 0.24 us, may decide otherwise
        window = history.window()
        known = index[k] >= 0
        np.testing.assert_array_equal(window[:, PRESENT], known.astype(np.float32))
        np.testing.assert_array_equal(window[known, : features.SIZE], rows[index[k][known]])
        assert not window[~known].any()
        np.testing.assert_allclose(window[:, AGE], age[k], atol=1e-6)
        assert window.shape == (steps, SIZE) and window.dtype == np.float32


def test_it_keeps_no_more_than_it_needs():
    history = History(20, 0.04)
    for k in range(5000):
        history.add(k * 0.01, np.full(features.SIZE, k, np.float32))
    assert len(history._rows) <= (20 * 0.04 + LONGEST_AGE_S) / 0.01 + 2
    assert history.window()[:, 0].tolist() == [4999 - 4 * k for k in range(20)]
    history.reset()
    assert history.newest_s is None
    history.add(1.0, np.ones(features.SIZE, np.float32))
    assert history.window()[:, PRESENT].tolist() == [1.0] + [0.0] * 19


@pytest.mark.parametrize("age_s, known", [(LONGEST_AGE_S - 0.01, True), (LONGEST_AGE_S + 0.01, False)])
def test_what_is_too_old_counts_as_nothing(age_s, known):
    index, age = look_back(np.array([1.0]), np.array([1.0 + age_s]), 2, 0.001)
    assert (index[0, 0] == 0) == known and age[0, 0] == pytest.approx(age_s if known else 0.0)
