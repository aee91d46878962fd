"""Rows of the accuracy report against numbers worked out by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.evaluation.rows import (
    Condition,
    correlation,
    error_row,
    f1_scores,
    number_row,
    rate_row,
    summarise,
)


def test_errors_count_by_size_and_failures_apart():
    found = summarise([1.0, -3.0, np.nan, 2.0])
    assert (found.count, found.mean, found.failure_rate) == (4, 2.0, 0.25)
    assert found.p95 == pytest.approx(2.9)  # between 2 and 3, linear: 2 + 0.9


def test_without_any_answer_there_is_no_mean():
    found = summarise([np.nan, np.nan])
    assert math.isnan(found.mean) and found.failure_rate == 1.0
    assert found.to_json() == {"count": 2, "mean": None, "p95": None, "failure_rate": 1.0}


def test_ranges_put_each_number_into_one_group():
    condition = Condition.ranges("distance", [0.4, 0.79, 0.8, 2.5, 2.6, np.nan], [0.4, 0.8, 1.6, 2.5], "m")
    assert condition.labels == ("0.4 to 0.8 m", "0.8 to 1.6 m", "1.6 to 2.5 m")
    assert condition.group.tolist() == [0, 0, 1, 2, -1, -1]


def test_a_row_divides_its_errors_by_condition():
    tone = Condition.kinds("tone", ["dark", "light", "dark", "light"])
    row = error_row("yaw", "deg", [1.0, 2.0, 3.0, np.nan], target=2.0, conditions=[tone])
    assert row.value == 2.0 and row.met is True
    assert row.conditions["tone"]["dark"].mean == 2.0
    assert row.conditions["tone"]["light"].failure_rate == 0.5
    assert json.loads(json.dumps(row.to_json()))["conditions"]["tone"]["dark"]["count"] == 2


def test_targets_point_in_their_direction():
    assert error_row("e", "deg", [3.0], target=2.5).met is False
    assert rate_row("found", [True] * 99 + [False], target=0.99).met is True
    assert rate_row("found", [True] * 98 + [False] * 2, target=0.99).met is False
    assert number_row("switches", "", 0, 1, target=0, at_least=False).met is True
    assert number_row("r", "", None, 3, target=0.9).met is False, "no answer is no success"
    assert number_row("r", "", 0.5, 3).met is None


def test_f1_of_a_small_table():
    truth = ["a", "a", "a", "b", "b", "c"]
    said = ["a", "a", "b", "b", "c", "c"]
    scores = f1_scores(truth, said, ["a", "b", "c", "d"])
    # a: TP 2, FN 1; b: TP 1, FP 1, FN 1; c: TP 1, FP 1.
    assert scores["a"] == pytest.approx(4 / 5)
    assert scores["b"] == pytest.approx(2 / 4)
    assert scores["c"] == pytest.approx(2 / 3)
    assert math.isnan(scores["d"])


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=20), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlation_of_a_line_is_one(values, slope, offset):
    x = np.array(values)
    r = correlation(x, slope * x + offset)
    assert r is None or r == pytest.approx(1.0, abs=1e-6)
    assert correlation(x, np.full(len(x), 1.0)) is None


def test_correlation_passes_over_missing_values():
    assert correlation([0, 1, 2, np.nan, 3], [0, -1, -2, 5, -3]) == pytest.approx(-1.0)
