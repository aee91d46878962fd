import numpy as np
import pytest

from fabg.latency import LatencyLedger
from fabg.stats import Window


def test_percentiles_agree_with_numpy():
    values = np.random.default_rng(0).exponential(20.0, 500)
    window = Window(window_s=1e9)
    for i, value in enumerate(values):
        window.add(float(i), float(value))
    found = window.percentiles(500.0)
    assert (found.p50, found.p95, found.count) == (*np.percentile(values, [50, 95]), 500)


def test_an_empty_window_has_no_percentiles():
    window = Window(window_s=1.0)
    assert window.percentiles(0.0) is None
    window.add(0.0, 5.0)
    assert window.percentiles(2.0) is None


def test_rate():
    window = Window(window_s=10.0)
    for i in range(51):
        window.add(i * 0.02, 1.0)
    assert window.rate_hz(1.0) == pytest.approx(50.0)


def test_ledger_separates_work_from_age():
    ledger = LatencyLedger()
    ledger.add("policy", origin_s=10.0, received_s=10.030, finished_s=10.035)
    ledger.add("face", origin_s=10.0, received_s=10.004, finished_s=10.030)
    face, policy = ledger.report(10.1)
    assert [face.stage, policy.stage] == ["face", "policy"], "in the order in which they work"
    assert face.work_ms.p50 == pytest.approx(26.0)
    assert face.age_ms.p50 == pytest.approx(30.0)
    assert policy.work_ms.p50 == pytest.approx(5.0)
    assert policy.age_ms.p50 == pytest.approx(35.0)


@pytest.mark.parametrize("times", [(10.0, 10.1, 10.05), (10.0, 9.0, 9.5), (float("nan"), 1.0, 2.0)])
def test_contradictory_times_are_not_noted(times):
    ledger = LatencyLedger()
    assert not ledger.add("face", origin_s=times[0], received_s=times[1], finished_s=times[2])
    assert ledger.report(10.0) == []
