import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import InputError
from fabg.social.metrics import ldlj, movements, rms_jerk, sparc

GAUSSIAN = np.exp(-5 * np.arange(-1, 1, 0.01) ** 2)
"""The movement by which the authors of SPARC and LDLJ document their own code; at 100 Hz."""


def minimum_jerk_speed(samples):
    s = (np.arange(samples) + 0.5) / samples
    return 30 * s**2 * (1 - s) ** 2


def test_values_published_by_the_authors():
    assert sparc(GAUSSIAN, 100.0) == pytest.approx(-1.41403, abs=5e-6)
    assert ldlj(GAUSSIAN, 100.0) == pytest.approx(-5.81636, abs=5e-6)
    assert math.exp(-ldlj(GAUSSIAN, 100.0)) == pytest.approx(335.74684, abs=2e-3), "dimensionless jerk"


def test_sparc_of_a_gaussian_is_the_arc_length_of_a_gaussian():
    speed = np.exp(-5 * np.arange(-4, 4, 0.01) ** 2)
    # The transform of exp(-5 t^2) is exp(-pi^2 f^2 / 5) but for its size: 0.05 at sqrt(5 ln 20) / pi Hz.
    f = np.linspace(0, math.sqrt(5 * math.log(20)) / math.pi, 20001)
    slope = 2 * math.pi**2 / 5 * f * np.exp(-(math.pi**2) * f**2 / 5) * f[-1]
    expected = -np.trapezoid(np.hypot(1, slope), f / f[-1])
    assert sparc(speed, 100.0, pad=6) == pytest.approx(expected, abs=2e-3)


def test_ldlj_of_a_minimum_jerk_movement():
    # Flash and Hogan: the integral of the squared jerk is 720 D^2 / T^5, the peak speed 1.875 D / T.
    assert ldlj(minimum_jerk_speed(4000), 100.0) == pytest.approx(-math.log(720 / 1.875**2), abs=5e-3)


@given(st.floats(1e-6, 1e6), st.integers(50, 400))
def test_neither_size_nor_duration_matter(size, samples):
    movement = size * minimum_jerk_speed(samples)
    # The same samples at another rate are the same movement in another time.
    assert sparc(movement, samples / 2) == pytest.approx(sparc(minimum_jerk_speed(400), 200.0), abs=0.02)
    assert ldlj(movement, 7.0) == pytest.approx(ldlj(minimum_jerk_speed(samples), 100.0))


@pytest.mark.parametrize("measure", [sparc, ldlj])
def test_fits_and_starts_are_less_smooth(measure):
    one = minimum_jerk_speed(60)
    two = np.concatenate((one, one))
    three = np.concatenate((one, one, one))
    assert measure(one, 50.0) > measure(two, 50.0) > measure(three, 50.0)


def test_noise_is_less_smooth():
    noisy = GAUSSIAN + 0.03 * np.random.default_rng(1).standard_normal(len(GAUSSIAN))
    assert ldlj(noisy, 100.0) < ldlj(GAUSSIAN, 100.0) - 1
    assert sparc(noisy, 100.0) < sparc(GAUSSIAN, 100.0)


@pytest.mark.parametrize("speed", [[], [1.0], [1.0, 2.0, 1.0], np.zeros(50)], ids=["0", "1", "3", "still"])
def test_no_smoothness_without_a_movement(speed):
    assert sparc(speed, 100.0) is None
    assert ldlj(speed, 100.0) is None


def test_a_constant_speed_has_no_jerk_to_take_the_logarithm_of():
    assert ldlj(np.full(50, 0.3), 100.0) is None


@given(st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_any_finite_speed_is_measured_or_has_none(speed):
    for value in (sparc(speed, 50.0), ldlj(speed, 50.0)):
        assert value is None or math.isfinite(value)
    assert all(0 <= part.start < part.stop <= len(speed) for part in movements(speed, 0.02))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.sampled_from([math.nan, math.inf]), st.data())
def test_what_is_not_finite_is_refused(speed, bad, data):
    speed[data.draw(st.integers(0, len(speed) - 1))] = bad
    for call in (lambda: sparc(speed, 50.0), lambda: ldlj(speed, 50.0), lambda: movements(speed, 0.02),
                 lambda: rms_jerk(speed, 0.02)):  # fmt: skip
        with pytest.raises(InputError, match=r"is (nan|inf) at sample \d+: expected finite"):
            call()


@pytest.mark.parametrize("fs", [0.0, -1.0, math.nan, math.inf])
def test_rates_that_make_no_sense_are_refused(fs):
    for call in (lambda: sparc(GAUSSIAN, fs), lambda: ldlj(GAUSSIAN, fs)):
        with pytest.raises(InputError, match="fs is"):
            call()
    for call in (lambda: movements(GAUSSIAN, fs), lambda: rms_jerk(GAUSSIAN, fs)):
        with pytest.raises(InputError, match="tick_s is"):
            call()


def test_parameters_out_of_range_are_refused():
    for options in ({"cutoff": 60.0}, {"cutoff": math.nan}, {"threshold": 1.5}, {"pad": -1}):
        with pytest.raises(InputError, match=f"{next(iter(options))} is"):
            sparc(GAUSSIAN, 100.0, **options)
    with pytest.raises(InputError, match=r"speed has shape \(200, 1\)"):
        sparc(GAUSSIAN[:, None], 100.0)


# Movements -----------------------------------------------------------------------------------------


def run_of(*parts):
    """Speeds one after the other: a number is a pause in samples, a pair a movement of (peak, samples)."""
    return np.concatenate(
        [np.zeros(p) if isinstance(p, int) else p[0] * minimum_jerk_speed(p[1]) / 1.875 for p in parts]
    )


def test_movements_end_at_a_share_of_their_own_peak():
    found = movements(run_of(50, (1.0, 100), 100, (0.3, 50), 30), 0.01)
    # s^2 (1 - s)^2 is 5 % of its highest 1/16 at s = (1 - sqrt(1 - sqrt(0.05))) / 2.
    s = (1 - math.sqrt(1 - math.sqrt(0.05))) / 2
    expected = [(50 + 100 * s, 150 - 100 * s), (250 + 50 * s, 300 - 50 * s)]
    assert len(found) == 2
    for part, (start, stop) in zip(found, expected, strict=True):
        assert (part.start, part.stop) == (pytest.approx(start, abs=1), pytest.approx(stop, abs=1))


def test_small_ones_beside_large_ones_do_not_count():
    assert len(movements(run_of(50, (1.0, 50), 50, (0.05, 50), 50), 0.01)) == 1
    assert len(movements(run_of(50, (0.05, 50), 50), 0.01)) == 1, "alone it is the largest"


def test_short_pauses_do_not_divide():
    speed = run_of(50, (1.0, 30), 5, (1.0, 30), 50)
    assert len(movements(speed, 0.01)) == 1
    assert len(movements(speed, 0.01, pause_s=0.02)) == 2


def test_neither_what_is_still_nor_what_is_too_short_is_a_movement():
    speed = run_of(50, (1.0, 30), 50)
    assert movements(speed, 0.01, still=1.0) == []
    assert movements(speed, 0.01, shortest_s=0.4) == []
    assert movements([], 0.01) == movements(np.zeros(9), 0.01) == []


@given(st.lists(st.tuples(st.floats(0.2, 1.0), st.integers(20, 80)), min_size=1, max_size=6))
def test_each_movement_is_found_once(parts):
    speed = run_of(*(p for part in parts for p in (40, part)), 40)
    assert len(movements(speed, 0.01)) == len(parts)


# Jerk ----------------------------------------------------------------------------------------------


def test_jerk_of_polynomials():
    t = 0.02 * np.arange(50)
    assert rms_jerk(t**3, 0.02) == pytest.approx(6.0, rel=1e-6)
    assert rms_jerk(t**2, 0.02) == pytest.approx(0.0, abs=1e-7)
    assert rms_jerk(np.column_stack((t**3, t)), 0.02) == pytest.approx(6.0 / math.sqrt(2), rel=1e-6)


def test_jerk_of_an_oscillation():
    tick, omega = 0.02, 2 * math.pi
    position = np.sin(omega * tick * np.arange(50 * 8 + 3))
    # Each difference of sin(omega t) multiplies its amplitude by 2 sin(omega tick / 2).
    expected = (2 * math.sin(omega * tick / 2) / tick) ** 3 / math.sqrt(2)
    assert rms_jerk(position, tick) == pytest.approx(expected, rel=1e-9)


def test_no_jerk_of_three_samples():
    assert rms_jerk([0.0, 1.0, 0.0], 0.02) is None
    assert rms_jerk(np.zeros((9, 0)), 0.02) is None
