import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import InputError
from fabg.social.metrics import aligned, dtw, lag_by_cross_correlation, tracking_error, tracking_error_at_lag

TICK_S = 0.02
EVENTS_S = ((0.9, 1.0), (2.0, -0.6), (3.7, 0.8), (5.1, -1.4), (6.2, 0.3))


def moved(t):
    """A smooth movement in continuous time, at rest before 0.9 s and after 6.8 s: minimum jerk from place to place."""
    s = [np.clip((t - onset) / 0.6, 0.0, 1.0) for onset, _ in EVENTS_S]
    return sum(step * x**3 * (10 - 15 * x + 6 * x**2) for x, (_, step) in zip(s, EVENTS_S, strict=True))


TIME = TICK_S * np.arange(400)
REFERENCE = moved(TIME)


def later(ticks):
    return moved(TIME - ticks * TICK_S)


def lag(signal, reference, max_lag_s=1.0, **options):
    return lag_by_cross_correlation(signal, reference, TICK_S, max_lag_s, **options)


# Lag -----------------------------------------------------------------------------------------------


@given(st.floats(-30, 30), st.floats(0.01, 100), st.floats(-5, 5))
def test_a_delay_is_found_to_a_fraction_of_a_tick(ticks, gain, offset):
    assert lag(gain * later(ticks) + offset, REFERENCE) == pytest.approx(ticks * TICK_S, abs=0.02 * TICK_S)


@pytest.mark.parametrize("ticks", [0, 3, -7])
def test_whole_delays_are_exact(ticks):
    assert lag(later(ticks), REFERENCE) == pytest.approx(ticks * TICK_S, abs=1e-3 * TICK_S)


def test_a_delay_is_found_in_noise():
    noise = 0.1 * np.random.default_rng(2).standard_normal(len(TIME))
    assert lag(later(6.5) + noise, REFERENCE) == pytest.approx(0.13, abs=0.5 * TICK_S)


def test_several_columns_count_by_how_much_they_move():
    both = np.column_stack((later(4), 0.5 * later(4)))
    assert lag(both, np.column_stack((REFERENCE, 0.5 * REFERENCE))) == pytest.approx(0.08, abs=1e-4)
    still = np.column_stack((later(4), np.full(400, 7.0)))
    assert lag(still, np.column_stack((REFERENCE, np.full(400, 3.0)))) == pytest.approx(0.08, abs=1e-4)


def test_the_nearest_of_equal_lags_counts():
    wave = np.sin(2 * math.pi * np.arange(1000) / 50)
    assert lag(np.roll(wave, 5), wave, 1.5) == pytest.approx(5 * TICK_S, abs=0.02 * TICK_S)


def test_no_lag_where_there_is_none():
    rng = np.random.default_rng(3)
    assert lag(np.full(400, 0.3), REFERENCE) is None, "does not move"
    assert lag(REFERENCE, np.zeros(400)) is None, "nothing to follow"
    assert lag(0.1 + 1e-17 * REFERENCE, REFERENCE) is None, "moves by rounding alone"
    assert lag(rng.standard_normal(400), REFERENCE) is None, "has nothing to do with it"
    assert lag(later(40), REFERENCE, 0.4) is None, "later than was looked for"
    assert lag(np.sin(TIME), np.sin(TIME), 0.02 / 3) is None, "no lag but 0 to compare"
    assert lag(REFERENCE[:7], REFERENCE[:7]) is None
    assert lag([], []) is None
    assert lag(np.zeros((50, 0)), np.zeros((50, 0))) is None


def test_a_weak_correlation_can_be_asked_for():
    noisy = later(5) + 3 * np.random.default_rng(4).standard_normal(400)
    assert lag(noisy, REFERENCE) is None
    assert lag(noisy, REFERENCE, least_correlation=0.05) is not None


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), max_size=60))
def test_any_finite_signals_have_a_finite_lag_or_none(pairs):
    a, b = np.array(pairs).reshape(-1, 2).T
    found = lag(a, b, least_correlation=0.0)
    assert found is None or abs(found) <= 1.0


# Alignment and error -------------------------------------------------------------------------------


@given(st.floats(-30, 30))
def test_straight_lines_are_aligned_exactly(ticks):
    t = np.arange(100.0)
    signal, reference = aligned(2 * (t - ticks) + 1, 2 * t + 1, ticks)
    assert len(signal) == len(reference) == 100 - math.ceil(round(abs(ticks), 9))
    assert np.allclose(signal, reference, atol=1e-6)


@given(st.integers(-120, 120))
def test_whole_lags_shift_samples(ticks):
    t = np.arange(100.0)
    signal, reference = aligned(t, t, ticks)
    assert len(signal) == max(0, 100 - abs(ticks))
    assert np.array_equal(signal - reference, np.full((len(signal), 1), float(ticks)))


def test_tracking_error_is_the_root_mean_square_distance():
    offset = REFERENCE[:, None] + np.zeros((400, 2))
    assert tracking_error(offset + np.array([3.0, 4.0]), offset) == pytest.approx(5.0)
    assert tracking_error([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 7.0, 1.0]) == pytest.approx(math.sqrt(52 / 4))
    assert tracking_error(REFERENCE, REFERENCE) == 0.0


def test_of_a_ramp_that_comes_late_only_the_lateness_is_error():
    ramp = 0.7 * TIME
    assert tracking_error(ramp - 0.7 * 0.11, ramp) == pytest.approx(0.077)
    assert tracking_error_at_lag(ramp - 0.7 * 0.11, ramp, 0.11, TICK_S) == pytest.approx(0.0, abs=1e-12)
    assert tracking_error_at_lag(ramp + 0.2, ramp, 0.1, TICK_S) == pytest.approx(0.27), "shifted for nothing"


def test_no_error_without_samples():
    assert tracking_error([], []) is None
    assert tracking_error_at_lag([1.0, 2.0], [1.0, 2.0], 1.0, TICK_S) is None


# Warping -------------------------------------------------------------------------------------------


def warped(a, b, band=math.inf):
    """Sakoe and Chiba 1978, equation 18 onwards, written down as a recursion."""

    @cache
    def cost(i, j):
        if i < 0 or j < 0 or abs(i - j) > max(band, abs(len(a) - len(b))):
            return math.inf
        d = math.dist(a[i], b[j])
        if i == j == 0:
            return 2 * d
        return min(cost(i - 1, j) + d, cost(i - 1, j - 1) + 2 * d, cost(i, j - 1) + d)

    return cost(len(a) - 1, len(b) - 1) / (len(a) + len(b))


points = st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=12)


@given(points, points, st.none() | st.integers(0, 14))
def test_dtw_is_the_cheapest_path(a, b, band):
    expected = warped(a, b, math.inf if band is None else band)
    assert dtw(a, b, band=band) == pytest.approx(expected, abs=1e-9)
    assert dtw(b, a, band=band) == pytest.approx(expected, abs=1e-9)


def test_dtw_by_hand():
    # (0,0) costs 2*0, (1,1) diagonally 2*1, (2,1) 1*0: 2 over 5; via (1,0): 0 + 1 + 2*0: 1 over 5.
    assert dtw([0.0, 1.0, 2.0], [0.0, 2.0]) == pytest.approx(1 / 5)
    assert dtw([1.0, 1.0, 1.0], [3.0, 3.0]) == pytest.approx(2.0), "a constant distance is its own mean"


def test_dtw_forgives_a_delay_within_its_band_alone():
    assert dtw(later(10), REFERENCE) == pytest.approx(0.0, abs=1e-12)
    assert dtw(later(10), REFERENCE, band=10) == pytest.approx(0.0, abs=1e-12)
    assert dtw(later(10), REFERENCE, band=5) > 0.005
    assert dtw(later(10), REFERENCE, band=0) == pytest.approx(np.mean(np.abs(later(10) - REFERENCE)))


def test_no_warping_of_nothing():
    assert dtw([], []) is None
    assert dtw([], [1.0]) is None
    assert dtw(np.zeros((0, 3)), np.zeros((4, 3))) is None


# Bad input -----------------------------------------------------------------------------------------

CALLS = {
    "lag": lag,
    "aligned": lambda a, b: aligned(a, b, 1.5),
    "error": tracking_error,
    "error at lag": lambda a, b: tracking_error_at_lag(a, b, 0.1, TICK_S),
    "dtw": dtw,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@given(st.integers(1, 30), st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans(), st.data())
def test_what_is_not_finite_is_refused(call, length, bad, swap, data):
    broken = np.linspace(0, 1, length)
    broken[data.draw(st.integers(0, length - 1))] = bad
    pair = (broken, np.zeros(length)) if swap else (np.zeros(length), broken)
    with pytest.raises(InputError, match=r"is -?(nan|inf) at sample \d+: expected finite numbers"):
        call(*pair)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("bad", [1.0, np.zeros((4, 2, 2)), ["a", "b"], [[1.0], [1.0, 2.0]], None])
def test_what_is_no_signal_is_refused(call, bad):
    with pytest.raises(InputError, match=r"expected \(T,\) or \(T, c\)"):
        call(bad, bad)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_columns_must_agree(call):
    with pytest.raises(InputError, match="expected"):
        call(np.zeros((9, 2)), np.zeros((9, 3)))


@pytest.mark.parametrize("name", [n for n in CALLS if n != "dtw"])
def test_lengths_must_agree(name):
    with pytest.raises(InputError, match=r"shape \(9, 1\), reference \(8, 1\)"):
        CALLS[name](np.zeros(9), np.zeros(8))


@pytest.mark.parametrize("bad", [0.0, -0.02, math.nan, math.inf])
def test_times_that_make_no_sense_are_refused(bad):
    for call in (
        lambda: lag_by_cross_correlation(REFERENCE, REFERENCE, bad, 1.0),
        lambda: lag_by_cross_correlation(REFERENCE, REFERENCE, TICK_S, bad),
        lambda: tracking_error_at_lag(REFERENCE, REFERENCE, 0.1, bad),
    ):
        with pytest.raises(InputError, match=r"(tick_s|max_lag_s) is"):
            call()


def test_other_parameters_out_of_range_are_refused():
    with pytest.raises(InputError, match="least_correlation is 1.5"):
        lag(REFERENCE, REFERENCE, least_correlation=1.5)
    with pytest.raises(InputError, match="lag_ticks is nan"):
        aligned(REFERENCE, REFERENCE, math.nan)
    for band in (-1, math.nan):
        with pytest.raises(InputError, match="band is"):
            dtw(REFERENCE, REFERENCE, band=band)
