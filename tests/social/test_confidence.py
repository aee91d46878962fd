import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import InputError
from fabg.social.metrics import mean_ci, student_t

TABLE = {
    # Percentage points of t, as printed in the usual tables: (probability, freedom): quantile.
    (0.975, 1): 12.706, (0.975, 2): 4.303, (0.975, 3): 3.182, (0.975, 4): 2.776, (0.975, 5): 2.571,
    (0.975, 9): 2.262, (0.975, 10): 2.228, (0.975, 30): 2.042, (0.975, 60): 2.000, (0.975, 120): 1.980,
    (0.95, 4): 2.132, (0.95, 9): 1.833, (0.995, 4): 4.604, (0.995, 9): 3.250, (0.9995, 4): 8.610,
}  # fmt: skip


@pytest.mark.parametrize(("key", "quantile"), TABLE.items(), ids=str)
def test_quantiles_of_the_table(key, quantile):
    assert student_t(*key) == pytest.approx(quantile, abs=5.1e-4)


@given(st.floats(0.001, 0.999))
def test_one_and_two_degrees_in_closed_form(p):
    assert student_t(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9, abs=1e-9)
    assert student_t(p, 2) == pytest.approx((2 * p - 1) / math.sqrt(2 * p * (1 - p)), rel=1e-9, abs=1e-9)


def test_many_degrees_are_nearly_normal_and_continue_the_few():
    assert student_t(0.975, 10**9) == pytest.approx(1.959964, abs=1e-6)
    assert student_t(0.975, 1001) == pytest.approx(
        2 * student_t(0.975, 1000) - student_t(0.975, 999), abs=1e-8
    )


def test_an_interval_by_hand():
    # Mean 3, standard deviation sqrt(2.5), t(0.975, 4) = 2.776445.
    found = mean_ci([1, 2, 3, 4, 5])
    assert (found.mean, found.count) == (3.0, 5)
    assert found.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)
    assert found.high - found.mean == pytest.approx(found.mean - found.low)


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(5)
    intervals = [mean_ci(row, level=0.9) for row in rng.normal(7.0, 2.0, (3000, 4))]
    covered = np.mean([found.low <= 7.0 <= found.high for found in intervals])
    assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / 3000))


def test_what_did_not_exist_is_left_out():
    assert mean_ci([]) is None
    assert mean_ci([None, None]) is None
    single = mean_ci([None, 4.0])
    assert (single.mean, single.half_width, single.low, single.high, single.count) == (
        4.0,
        None,
        None,
        None,
        1,
    )
    assert mean_ci([1.0, None, 3.0]) == mean_ci([1.0, 3.0])


@given(st.lists(st.floats(-1e6, 1e6), max_size=8), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_what_is_not_finite_is_refused(values, bad):
    with pytest.raises(InputError, match="expected finite numbers or None"):
        mean_ci([*values, bad])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(InputError, match="level is"):
        mean_ci([1.0, 2.0], level=level)


@pytest.mark.parametrize("freedom", [0, -1, 1.5, math.nan, math.inf])
def test_degrees_that_make_no_sense_are_refused(freedom):
    with pytest.raises(InputError, match="freedom is"):
        student_t(0.975, freedom)
