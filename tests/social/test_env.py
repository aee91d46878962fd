"""The Gymnasium environment obeys Gymnasium, its seeds and its delays."""

import time

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import fabg.gym  # noqa: F401 - makes the environment known
from fabg import expression
from fabg.errors import CommandRefused, ConfigError
from fabg.policy.observation import SHAPES
from fabg.social.stage import TICK_S
from fabg.social.tasks import TASKS

ENV = "SocialHead-v0"
NOTHING = np.zeros(61, np.float32)


def make(task="affective", **options):
    return gymnasium.make(ENV, task=task, disable_env_checker=True, **options).unwrapped


def trace(env, seed: int, ticks: int, actions) -> list:
    kept = [env.reset(seed=seed)]
    for k in range(ticks):
        step = env.step(actions(k))
        kept.append(step)
        if step[2] or step[3]:
            break
    return kept


def same(a, b) -> bool:
    """Whether two traces agree bit by bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return a == b


def wild(seed: int):
    rng = np.random.default_rng(seed)
    space = make().action_space
    low, high = space.low, space.high
    drawn = [rng.uniform(low, high).astype(np.float32) * 0.4 for _ in range(600)]
    return lambda k: drawn[k]


OWN_UNITS = (
    "ignore:.*symmetric and normalized space"  # actions are expressions: shapes 0..1 and angles in rad
)


@pytest.mark.filterwarnings("error", OWN_UNITS)
@pytest.mark.parametrize("task", TASKS)
def test_gymnasium_finds_no_fault(task):
    check_env(
        make(task, render_mode="rgb_array" if task == "affective" else None),
        skip_render_check=task != "affective",
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("error:::gymnasium", OWN_UNITS)
@pytest.mark.parametrize("obs", ["rgbd", "perception"])
def test_gymnasium_finds_no_fault_with_pictures(obs):
    env = make(obs=obs)
    check_env(env, skip_render_check=True)
    seen = [env.reset(seed=1)[0]] + [env.step(NOTHING)[0] for _ in range(12)]
    if obs == "rgbd":
        depth = seen[-1]["depth"]
        assert (depth > 0).mean() > 0.05 and 0.3 < np.median(depth[depth > 0]) < 1.6
        assert not np.array_equal(seen[-1]["left"], seen[-1]["right"])
    else:
        assert seen[-1]["people_mask"].tolist() == [1, 0, 0]
        np.testing.assert_allclose(seen[-1]["people"][0, :3], env.world.scene.people[0].position_m, atol=0.05)
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(task):
    a, b = (trace(make(task), 11, 500, wild(3)) for _ in range(2))
    assert same(a, b)
    assert not same(a, trace(make(task), 12, 500, wild(3)))


def test_no_clock_is_looked_at(monkeypatch):
    env = make("mixed", expert=True)
    wanted = trace(env, 5, 200, wild(1))

    def refuse(*_):
        raise AssertionError("a clock was looked at")

    for name in ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "process_time"):
        monkeypatch.setattr(time, name, refuse)
    again = trace(env, 5, 200, wild(1))
    monkeypatch.undo()
    assert same(wanted, again)


@pytest.mark.parametrize("mode", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_many_at_once_are_as_many_one_by_one(mode):
    envs = gymnasium.make_vec(f"fabg.gym:{ENV}", num_envs=3, vectorization_mode=mode, task="tracking")
    first, _ = envs.reset(seed=40)
    rows = [envs.step(np.zeros((3, 61), np.float32))[0] for _ in range(50)]
    envs.close()
    for k in range(3):
        alone = trace(make("tracking"), 40 + k, 50, lambda _: NOTHING)
        assert np.array_equal(first["people"][k], alone[0][0]["people"])
        assert all(
            np.array_equal(r["people"][k], a[0]["people"]) for r, a in zip(rows, alone[1:], strict=True)
        )
    # Workers that count on from one seed meet different people.
    assert len({row.tobytes() for row in rows[-1]["people"]}) == 3


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.integers(0, 200).filter(lambda n: n != 61).map(np.zeros),
        st.tuples(st.integers(0, 60), st.sampled_from([np.nan, np.inf, -np.inf])).map(
            lambda at: np.where(np.arange(61) == at[0], at[1], 0.0)
        ),
    )
)
def test_a_wrong_action_is_refused_and_nothing_has_happened(action):
    env, untouched = (make("tracking") for _ in range(2))
    trace(env, 3, 5, lambda _: NOTHING), trace(untouched, 3, 5, lambda _: NOTHING)
    with pytest.raises(CommandRefused, match="action"):
        env.step(action)
    assert all(same(env.step(NOTHING), untouched.step(NOTHING)) for _ in range(5))


@pytest.mark.parametrize("stage", ["inference", "transport"])
@pytest.mark.parametrize("ticks", [0, 3, 7])
def test_an_action_is_obeyed_after_the_delays_before_the_robot(stage, ticks):
    env = make(latency={stage: ticks * TICK_S * 1e3})
    env.reset(seed=0)
    jaw = expression.neutral().astype(np.float32)
    jaw[expression.INDEX["jawOpen"]] = 1.0
    row = env.world.model.index["jaw"]
    asked = []
    for _ in range(12):
        env.step(jaw)
        asked.append(env.world.robot.wanted[row] > 0.1)
    assert asked == [False] * ticks + [True] * (12 - ticks)


def test_sensing_shows_as_age():
    env = make(latency={"sensing": 100.0})
    obs, _ = env.reset(seed=0)
    assert obs["seen"] == 0 and obs["age_s"] == 0
    ages = [env.step(NOTHING)[0] for _ in range(40)]
    seen = [o["age_s"][0] for o in ages if o["seen"]]
    # An image every 40 ms, seen from 100 ms on at ticks of 20 ms.
    assert min(seen) == pytest.approx(0.10, abs=0.021) and max(seen) == pytest.approx(0.12, abs=0.021)
    assert [bool(o["seen"]) for o in ages[:6]] == [False] * 4 + [True] * 2


def test_reward_is_worth_looking_at():
    def total(expert: bool) -> float:
        env = make("tracking", latency=None, expert=True, events=4)
        _, info = env.reset(seed=2)
        rewards, over = [], False
        while not over:
            _, reward, terminated, truncated, info = env.step(info["expert"] if expert else NOTHING)
            rewards.append(reward)
            over = terminated or truncated
        assert min(rewards) >= 0 and max(rewards) <= 1
        assert info["answered"] == (4 if expert else 0)
        return float(np.mean(rewards))

    assert total(True) > total(False) + 0.2


def test_an_episode_ends_when_all_is_answered_and_is_cut_when_time_is_up():
    env = make("tracking", latency=None, expert=True, events=2)
    _, info = env.reset(seed=4)
    for _ in range(2000):
        *_, terminated, truncated, info = env.step(info["expert"])
        if terminated or truncated:
            break
    assert terminated and not truncated and info["answered"] == 2
    env = make("tracking", max_s=1.0)
    kept = trace(env, 4, 100, lambda _: NOTHING)
    assert len(kept) == 51 and kept[-1][3] and not kept[-1][2]


@pytest.mark.parametrize(
    "options, says",
    [
        ({"task": "dancing"}, "'dancing': expected one of affective"),
        ({"obs": "smell"}, "'smell': expected one of features"),
        ({"latency": -1}, "-1"),
        ({"latency": float("nan")}, "nan"),
        ({"latency": {"sensing": float("inf")}}, "inf"),
        ({"latency": {"thinking": 3}}, "thinking"),
        ({"latency": 121_000}, "121000 ms.*expected shorter"),
        ({"latency": "file:nowhere.csv"}, "nowhere.csv"),
        ({"pace": "slow"}, "slow"),
        ({"events": 0}, "events is 0"),
        ({"max_s": float("nan")}, "max_s is nan"),
        ({"image_s": 0.03}, "image_s is 0.03"),
    ],
)
def test_what_cannot_be_is_refused_with_its_value(options, says):
    with pytest.raises(ConfigError, match=says):
        make(**options)


def test_arrays_are_those_that_policies_are_told_of():
    env = make()
    observation, _ = env.reset(seed=0)
    assert {name: value.shape for name, value in observation.items()} == dict(SHAPES)
    assert observation in env.observation_space


def test_memory_stays_flat_over_many_episodes():
    import gc
    import tracemalloc

    env = make("tracking", events=2, max_s=5.0)

    def episodes(count: int) -> None:
        for seed in range(count):
            trace(env, seed, 300, lambda _: NOTHING)

    tracemalloc.start()
    episodes(4)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    episodes(8)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000, f"{grown} bytes more after 8 episodes"
