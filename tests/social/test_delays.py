"""Delays against the formulae of their distributions; delay lines against a list of everything that was sent."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import ConfigError, InputError
from fabg.social.delays import DelayLine, DelaySpec, Latency, parse_delay

TICK_S = 0.02
TEXTS = ["60", "0", "12.5", "jitter:60,15", "burst:40,200,0.02,0.2", "drift:20,140,10"]
STAGES = ("sensing", "inference", "transport", "actuation")


def draw(spec, count, seed=0):
    """Return `count` delays at ticks, ms."""
    model = spec.start(np.random.default_rng(seed))
    return np.array([model.sample(k * TICK_S) for k in range(count)]) * 1e3


@pytest.mark.parametrize("text", TEXTS)
def test_a_spec_reads_back_from_its_text(text):
    spec = parse_delay(text)
    assert isinstance(spec, DelaySpec) and str(spec) == text
    again = parse_delay(str(spec))
    assert again == spec and hash(again) == hash(spec) and parse_delay(spec) is spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    with pytest.raises(AttributeError):
        spec.average_ms = 3.0


def test_numbers_are_milliseconds():
    for value in (60, 60.0, "60", " 60.0 ", np.float32(60), np.int64(60)):
        assert parse_delay(value) == parse_delay("60") and str(parse_delay(value)) == "60"
    assert draw(parse_delay(60), 3).tolist() == [60.0] * 3


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_seed_gives_the_same_delays(text):
    spec = parse_delay(text)
    assert np.array_equal(draw(spec, 600, 5), draw(spec, 600, 5))
    if text.startswith(("jitter", "burst")):
        assert not np.array_equal(draw(spec, 600, 5), draw(spec, 600, 6))


@pytest.mark.parametrize("mean, sd", [(60, 15), (20, 20), (100, 2), (5, 10)])
def test_jitter_has_the_mean_deviation_and_skewness_of_a_gamma_distribution(mean, sd):
    spec = parse_delay(f"jitter:{mean},{sd}")
    count = 60_000
    delays = draw(spec, count)
    shape = (mean / sd) ** 2
    assert delays.min() >= 0.0 and spec.mean_ms == mean and spec.max_ms is None
    # Five standard errors of each statistic; that of the variance follows from the excess kurtosis 6 / shape.
    assert delays.mean() == pytest.approx(mean, abs=5 * sd / math.sqrt(count))
    variance_error = sd**2 * math.sqrt((2 + 6 / shape) / count)
    assert delays.var() == pytest.approx(sd**2, abs=5 * variance_error)
    skewness = np.mean(((delays - mean) / sd) ** 3)
    assert skewness == pytest.approx(2 / math.sqrt(shape), rel=0.15, abs=0.06)
    lag_one = np.corrcoef(delays[:-1], delays[1:])[0, 1]
    assert abs(lag_one) < 5 / math.sqrt(count), "independent"


def test_jitter_without_deviation_is_constant():
    spec = parse_delay("jitter:60,0")
    assert set(draw(spec, 50)) == {60.0} and spec.max_ms == 60.0


@pytest.mark.parametrize("enter, leave", [(0.02, 0.2), (0.3, 0.3), (0.5, 0.05)])
def test_bursts_have_the_stationary_share_and_length_of_the_chain(enter, leave):
    spec = parse_delay(f"burst:40,200,{enter},{leave}")
    delays = draw(spec, 100_000)
    assert set(delays) == {40.0, 200.0}
    burst = delays == 200.0
    share = enter / (enter + leave)
    # The variance of a two-state chain's mean: share (1 - share) (1 + r) / (1 - r) / n, r = 1 - enter - leave.
    r = 1 - enter - leave
    error = math.sqrt(share * (1 - share) * (1 + r) / (1 - r) / len(burst))
    assert burst.mean() == pytest.approx(share, abs=5 * error)
    assert spec.mean_ms == pytest.approx(40 + 160 * share) and spec.max_ms == 200.0
    edges = np.flatnonzero(np.diff(burst.astype(int)))
    lengths = np.diff(edges)
    lengths = lengths[0 if burst[edges[0] + 1] else 1 :: 2]
    spread = math.sqrt(1 - leave) / leave  # of a geometric distribution
    assert lengths.mean() == pytest.approx(1 / leave, abs=5 * spread / math.sqrt(len(lengths)))


def test_an_episode_begins_in_a_burst_as_often_as_bursts_are():
    spec = parse_delay("burst:0,1,0.1,0.3")
    first = np.array([draw(spec, 1, seed)[0] for seed in range(1500)])
    assert first.mean() == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 1500))


def test_a_burst_that_is_never_entered_is_no_burst():
    spec = parse_delay("burst:40,200,0,0.5")
    assert set(draw(spec, 500)) == {40.0} and spec.mean_ms == 40.0 and spec.max_ms == 40.0


def test_drift_is_a_triangle():
    spec = parse_delay("drift:20,140,10")
    model = spec.start(np.random.default_rng(0))
    for t_s, want in [(0, 20), (2.5, 80), (5, 140), (7.5, 80), (10, 20), (15, 140), (1, 44), (9, 44)]:
        assert model.sample(t_s) * 1e3 == pytest.approx(want)
    whole = draw(spec, 500)
    assert whole.min() == 20.0 and whole.max() == pytest.approx(140.0) and spec.max_ms == 140.0
    assert whole.mean() == pytest.approx(spec.mean_ms) and spec.mean_ms == 80.0
    np.testing.assert_allclose(np.abs(np.diff(whole)), 120 / 5 * TICK_S, err_msg="the same slope everywhere")
    assert draw(parse_delay("drift:140,20,10"), 1)[0] == 140.0


@pytest.mark.parametrize(
    "content",
    [
        "10\n20\n30\n40\n",
        "delay_ms\n10\n20\n30\n40\n",
        "t,delay_ms\n0,10\n1,20\n\n2,30\n3,40",
        "\ufeff10\r\n20\r\n30\r\n40",
    ],
)
def test_measured_delays_are_replayed_round_and_round(tmp_path, content):
    path = tmp_path / "delays.csv"
    path.write_text(content, encoding="utf-8")
    spec = parse_delay(f"file:{path}")
    assert str(spec) == f"file:{path}" and spec.mean_ms == 25.0 and spec.max_ms == 40.0
    begins = set()
    for seed in range(40):
        delays = draw(spec, 9, seed).round(9)
        begins.add(delays[0])
        np.testing.assert_allclose(np.diff(delays) % 40, 10)
        assert np.array_equal(delays[:5], delays[4:]) and set(delays) == {10, 20, 30, 40}
    assert len(begins) == 4, "begun anywhere"
    path.write_text("10\n20\n")
    assert parse_delay(f"file:{path}") != spec, "the figures count, not the name"


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("", "no delays"),
        ("delay_ms\n", "no delays"),
        ("a,b\n1,2\n", "delay_ms"),
        ("10\nfast\n", "line 2"),
        ("10\n-3\n", "-3"),
        ("10\nnan\n", "nan"),
        ("x,delay_ms\n1\n", "line 2"),
    ],
)
def test_unusable_files_are_refused(tmp_path, content, complaint):
    path = tmp_path / "delays.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=complaint):
        parse_delay(f"file:{path}")


def test_a_missing_or_binary_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "nothing.csv", tmp_path, tmp_path / "x"):
        with pytest.raises(ConfigError, match="cannot read"):
            parse_delay(f"file:{path}")


NOT_DELAYS = [
    -1, -0.001, math.nan, math.inf, -math.inf, 10**400, 1e10, None, True, [60],
    "", "fast", "-5", "nan", "inf", "60ms", "wave:1,2", "file:",
    "jitter", "jitter:60", "jitter:60,-1", "jitter:nan,1", "jitter:0,1", "jitter:60,x", "jitter:1,2,3",
    "burst:40,200", "burst:40,200,2,0.1", "burst:40,200,0.1,0", "burst:40,200,-1,1",
    "drift:20,140,0", "drift:20,140,inf", "drift:-1,140,10",
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_DELAYS)
def test_unreadable_delays_name_value_and_forms(value):
    with pytest.raises(ConfigError) as caught:
        parse_delay(value, "transport delay")
    message = str(caught.value)
    assert f"transport delay is {value!r}" in message
    assert all(form in message for form in ("jitter:", "burst:", "drift:", "file:"))


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.one_of(
        st.text(max_size=20),
        NUMBERS,
        NUMBERS.map(str),
        st.tuples(st.sampled_from(["jitter", "drift", "burst"]), st.lists(NUMBERS, max_size=4)).map(
            lambda x: f"{x[0]}:" + ",".join(map(str, x[1]))
        ),
    )
)
def test_anything_is_refused_or_gives_delays_within_bounds(value):
    try:
        spec = parse_delay(value)
    except ConfigError:
        return
    assert parse_delay(str(spec)) == spec and 0.0 <= spec.mean_ms < math.inf
    delays = draw(spec, 20)
    assert np.isfinite(delays).all() and delays.min() >= 0.0
    assert spec.max_ms is None or delays.max() <= spec.max_ms * (1 + 1e-9)


def test_a_total_is_split_over_the_stages():
    latency = Latency.parse(60)
    assert [getattr(latency, s).mean_ms for s in STAGES] == [24.0, 18.0, 6.0, 12.0]
    assert latency.total_mean_ms == 60.0 == latency.max_ms
    assert Latency.parse("140").total_mean_ms == pytest.approx(140)
    assert Latency.parse(None) == Latency() == Latency.parse(0) == Latency.parse({})
    assert Latency().total_mean_ms == 0.0 and str(Latency()) == "0"


def test_stages_can_be_given_one_by_one():
    latency = Latency.parse({"sensing": "jitter:60,15", "actuation": 20})
    assert latency.total_mean_ms == 80.0 and latency.max_ms is None
    assert (
        latency == Latency.parse("sensing=jitter:60,15; actuation=20") and Latency.parse(latency) is latency
    )
    assert len({latency, Latency.parse(str(latency))}) == 1
    assert Latency.parse({"inference": "burst:40,200,0.1,0.1"}).max_ms == 200.0


@given(st.floats(0, 1e5))
def test_a_latency_reads_back_from_its_text(total_ms):
    latency = Latency.parse(total_ms)
    assert latency.total_mean_ms == pytest.approx(total_ms)
    assert Latency.parse(str(latency)) == latency


@pytest.mark.parametrize(
    "value, complaint",
    [
        ({"camera": 20}, "camera.*sensing, inference, transport, actuation"),
        ({"sensing": -3}, "sensing delay is -3"),
        ({"transport": math.nan}, "transport delay is nan"),
        (-60, "latency is -60"),
        (math.inf, "latency is inf"),
        ("jitter:60,15", "jitter.*stage"),
        ("sensing=20; sensing=30", "each once"),
        ("sensing=20; 30", "each once"),
        ([1, 2], "latency is"),
    ],
)
def test_a_wrong_latency_is_named(value, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Latency.parse(value)


def test_stages_draw_apart_from_each_other():
    def run(value, seed=1):
        rng = np.random.default_rng(seed)
        models = Latency.parse(value).start(rng)
        drawn = {s: [getattr(models, s).sample(k * TICK_S) for k in range(300)] for s in STAGES}
        return drawn, rng.random()

    both, after_both = run({"sensing": "jitter:60,15", "transport": "jitter:60,15"})
    alone, after_alone = run({"transport": "jitter:60,15"})
    assert both["transport"] == alone["transport"], "a stage does not depend on the others"
    assert both["transport"] != both["sensing"]
    assert after_both == after_alone == run(None)[1], "nor does what is drawn afterwards"
    assert run({"transport": "jitter:60,15"})[0] == alone
    assert run({"transport": "jitter:60,15"}, seed=2)[0] != alone


@pytest.mark.parametrize("delay_ms", [0, 20, 40, 60, 140, 200])
def test_a_line_delivers_at_the_tick_when_it_is_due(delay_ms):
    line = DelayLine()
    for k in range(400):
        now_s = k * TICK_S
        line.push(k, now_s, now_s, delay_ms / 1000)
        want = k - delay_ms // 20
        assert line.newest(now_s) == (want if want >= 0 else None), "rounding must not cost a tick"


def test_a_delay_between_ticks_waits_for_the_next_tick():
    line = DelayLine()
    line.push("a", 0.0, 0.0, 0.0201)
    assert line.newest(0.02) is None and line.stamp_s is None
    assert line.newest(0.04) == "a" and line.stamp_s == 0.0 and line.arrived_s == pytest.approx(0.0201)


def test_stages_in_a_row_add_up_without_a_tick_for_each():
    """24 + 18 + 6 + 12 ms is three ticks together, but six when each stage is rounded up."""
    lines = [DelayLine() for _ in range(4)]
    delays = [0.024, 0.018, 0.006, 0.012]
    for k in range(60):
        now_s = k * TICK_S
        item, stamp_s, at_s = k, now_s, now_s
        for line, delay_s in zip(lines, delays, strict=True):
            if item is None:
                break
            if line.stamp_s is None or stamp_s > line.stamp_s:
                line.push(item, stamp_s, at_s, delay_s)
            item = line.newest(now_s)
            stamp_s, at_s = line.stamp_s, line.arrived_s
        assert item == (k - 3 if k >= 3 else None)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 30),  # stamp, ticks
        st.integers(0, 3),  # ticks since the last push
        st.integers(0, 20),  # delay, ticks
    ),
    max_size=40,
)


@settings(deadline=None)
@given(EVENTS)
def test_a_line_agrees_with_a_list_of_everything_and_never_goes_back(events):
    line, sent, now = DelayLine(), [], 0
    last = -math.inf
    for number, (stamp, wait, delay) in enumerate(events):
        for _ in range(wait):
            now += 1
            # The newest by stamp of all that is due; of one stamp the first to arrive.
            due = [s for s in sent if s[1] <= now]
            want = max(due, key=lambda s: s[0])[0] if due else None
            got = line.newest(now * TICK_S)
            assert (None if got is None else got[0]) == want
            if got is not None:
                assert got[0] >= last and line.stamp_s == got[0]
                last = got[0]
        sent.append((stamp, now + delay))
        line.push((stamp, number), float(stamp), now * TICK_S, delay * TICK_S)
        assert len(line) + line.dropped <= len(sent)


def test_an_overtaken_item_is_dropped():
    line = DelayLine()
    line.push("slow", 1.0, 1.0, 0.5)
    line.push("fast", 1.1, 1.1, 0.1)
    assert line.newest(1.15) is None
    assert line.newest(1.2) == "fast" and line.newest(1.5) == "fast" == line.newest(9.0)
    assert line.dropped == 1
    line.push("late", 1.05, 1.6, 0.0)
    assert line.newest(9.0) == "fast" and line.dropped == 2


def test_of_those_with_one_stamp_the_first_to_arrive_stays():
    line = DelayLine()
    line.push("second", 1.0, 0.0, 0.3)
    line.push("first", 1.0, 0.0, 0.1)
    line.push("third", 1.0, 0.0, 0.4)
    assert line.newest(1.0) == "first" and line.dropped == 2


def test_memory_is_bounded():
    line = DelayLine(capacity=50)
    for k in range(10_000):
        line.push(k, float(k), k * TICK_S, 1e6)
        assert len(line) <= 50
    assert line.dropped == 10_000 - 50 and line.newest(2e6) == 49
    # Under wild jitter only those wait that can still be the newest.
    line, rng = DelayLine(), np.random.default_rng(0)
    for k in range(5000):
        line.push(k, float(k), k * TICK_S, float(rng.exponential(1.0)))
        line.newest(k * TICK_S)
        assert len(line) < 50
    with pytest.raises(ConfigError, match="capacity"):
        DelayLine(capacity=0)


@pytest.mark.parametrize(
    "stamp_s, at_s, delay_s",
    [
        (0.0, 0.0, -0.1),
        (0.0, 0.0, math.nan),
        (0.0, 0.0, math.inf),
        (math.nan, 0.0, 0.1),
        (0.0, math.nan, 0.1),
    ],
)
def test_impossible_times_are_refused_and_change_nothing(stamp_s, at_s, delay_s):
    line = DelayLine()
    line.push("good", 0.0, 0.0, 0.1)
    with pytest.raises(InputError, match="delay"):
        line.push("bad", stamp_s, at_s, delay_s)
    assert len(line) == 1 and line.newest(1.0) == "good"


def test_reset_forgets_everything():
    line = DelayLine()
    line.push("old", 5.0, 5.0, 0.0)
    line.push("coming", 6.0, 6.0, 1.0)
    line.newest(5.0)
    line.reset()
    assert line.newest(100.0) is None and line.stamp_s is None and line.arrived_s is None
    line.push("new", 0.0, 0.0, 0.0)
    assert line.newest(0.0) == "new"
