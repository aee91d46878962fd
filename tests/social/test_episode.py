"""The closed loop against what is known of it: injected delays, the expert, and doing nothing."""

import numpy as np
import pytest

from fabg import expression
from fabg.errors import ConfigError
from fabg.policy.base import Chunk
from fabg.policy.executors import Newest, make_executor
from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec, PolicyDriver, make_driver, run_episode
from fabg.social.policies import make_policy
from fabg.social.score import score
from fabg.social.stage import TICK_S
from fabg.social.tasks import TASKS
from fabg.social.world import World, WorldConfig


def spec(
    task="tracking", policy="expert", executor="newest", latency=0, events=6, seed=1000, **more
) -> EpisodeSpec:
    return EpisodeSpec(
        task=task,
        seed=seed,
        policy=policy,
        executor=executor,
        latency=Latency.parse(latency),
        events=events,
        **more,
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_answers_all_and_a_still_robot_nothing(task):
    record = run_episode(spec(task))
    scores = score(record)
    assert scores["success"] == 1.0 and len(record.events) == record.total_events == 6
    # Driven by the expert without delay, the robot is the expert's robot.
    np.testing.assert_array_equal(record.joints, record.expert)
    assert scores["response_vs_expert_ms"] == 0.0
    assert score(run_episode(spec(task, "still")))["success"] == 0.0


@pytest.mark.parametrize("delay_ms", [60.0, 140.0, 300.0])
def test_what_is_sent_through_a_delay_comes_that_much_later(delay_ms):
    record = run_episode(spec(latency={"transport": delay_ms}))
    ticks = round(delay_ms / 1e3 / TICK_S)
    # Until something other than rest arrives both stand still; then one follows the other.
    np.testing.assert_allclose(record.joints[ticks:], record.expert[:-ticks], atol=2e-3)
    assert score(record)["gaze_lag_ms"] == pytest.approx(delay_ms, abs=10.0)


@pytest.mark.parametrize(
    "stages", [{"sensing": 100}, {"sensing": 40, "inference": 30, "transport": 10, "actuation": 20}]
)
def test_delays_of_stages_add_up_without_rounding_each(stages):
    record = run_episode(spec("tracking", "imitator", latency=stages))
    injected = sum(stages.values()) - stages.get("actuation", 0)
    # The command in force is as old as its image was when it arrived (at a tick: up to 20 ms more), and grows older
    # until the next one does (40 ms).
    ages = record.age_s[np.isfinite(record.age_s)] * 1e3
    assert ages.min() >= injected - 1e-6
    assert ages.min() <= injected + 20.0 + 1e-6
    assert ages.max() <= injected + 60.0 + 1e-6


def test_a_prediction_in_time_beats_the_newest_action():
    late, timely = (
        score(run_episode(spec("affective", "imitator", executor, 140, events=8)))
        for executor in ("newest", "offset:7")
    )
    assert late["expression_lag_ms"] - timely["expression_lag_ms"] == pytest.approx(140.0, abs=45.0)
    assert late["response_vs_expert_ms"] > timely["response_vs_expert_ms"] + 80


def test_what_is_played_by_its_stamps_is_not_later_for_any_delay_within_the_reaction():
    # The imitator foresees 300 ms of the face: what is over comes from images 40 ms apart.
    undelayed, jitter, drift = (
        score(run_episode(spec("affective", "imitator", "adaptive", latency, events=8)))["expression_lag_ms"]
        for latency in (0, "sensing=jitter:100,40; inference=20; actuation=30", "transport=drift:20,220,4")
    )
    assert jitter == pytest.approx(undelayed, abs=20.0)
    assert drift == pytest.approx(undelayed, abs=20.0)


class Counting:
    """A policy that notes when it is asked, and says nothing of interest."""

    name = "counting"

    def __init__(self):
        self.stamps = []

    def reset(self):
        self.stamps = []

    def predict(self, observation):
        self.stamps.append(observation.stamp_s)
        return Chunk(np.zeros((5, expression.SIZE)), observation.stamp_s, TICK_S)


class Listening(Newest):
    """An executor that notes what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def expect(self, ahead_s):
        self.told.append(ahead_s)


def drive(policy, executor, latency, ticks):
    """Play an episode by hand; return what was commanded."""
    latency = Latency.parse(latency)
    world, driver, sent = World(WorldConfig(latency=latency, expert=True)), PolicyDriver(policy, executor), []
    world.reset(1)
    driver.reset(world, latency.start(np.random.default_rng(0)))
    for _ in range(ticks):
        sent.append(driver.command(world)[0])
        world.step(sent[-1])
    return np.array(sent)


@pytest.mark.parametrize("actuation_ms", [0, 20, 75, 200])
def test_an_executor_is_told_how_late_the_servos_are(actuation_ms):
    executor = Listening()
    drive(make_policy("imitator"), executor, {"actuation": actuation_ms, "sensing": 60}, 400)
    assert len(executor.told) > 150
    np.testing.assert_allclose(np.array(executor.told) * 1e3, actuation_ms, atol=4.0)


class GoingOn(Counting):
    """A policy that raises a brow evenly from where it is committed to be, or from rest."""

    def __init__(self):
        super().__init__()
        self.prefixes = []

    def predict_after(self, observation, committed):
        self.prefixes.append((observation.stamp_s, committed))
        rows = np.zeros((30, expression.SIZE))
        known = 0 if committed is None else len(committed.values)
        if committed is not None:
            rows[:known] = committed.values
        rows[known:, 3] = (rows[known - 1, 3] if known else 0.0) + 0.002 * np.arange(1, 31 - known)
        return Chunk(rows, observation.stamp_s, TICK_S)


def test_a_policy_that_goes_on_is_told_from_where():
    policy = GoingOn()
    latency = {"sensing": 60, "inference": 80, "transport": 20, "actuation": 30}
    sent = drive(policy, make_executor("prefix"), latency, 200)
    assert not policy.stamps, "never asked without a prefix"
    assert policy.prefixes[0][1] is None
    for stamp_s, committed in policy.prefixes[3:]:
        assert committed.t0_s == stamp_s
        # Until the answer can be there: 100 ms after it was asked for, which was 60 ms after the image.
        assert 0.16 - TICK_S <= committed.end_s - stamp_s <= 0.16 + 4 * TICK_S
    steps = np.diff(sent[10:, 3])
    assert steps.min() >= 0.0 and steps.max() <= 0.004 + 1e-9, "no jump, not even where chunks meet"
    drive(counting := Counting(), make_executor("prefix"), latency, 50)
    assert counting.stamps, "a policy that cannot go on is asked all the same"


def test_the_same_spec_gives_the_same_bits_whatever_ran_before():
    executor = "adaptive_ensemble"  # all that there is: chunks, their mean, the measured delay of the servos
    wanted = run_episode(spec("mixed", "imitator", executor, "sensing=jitter:60,20; actuation=40"))
    run_episode(spec("gesture", "mirror"))
    again = run_episode(spec("mixed", "imitator", executor, "sensing=jitter:60,20; actuation=40"))
    for name in ("joints", "wanted", "expert", "gaze", "target_gaze", "event"):
        assert np.array_equal(getattr(wanted, name), getattr(again, name)), name
    assert wanted.events == again.events


@pytest.mark.parametrize(
    "inference_ms, images", [(0.0, [1, 1]), (30.0, [1, 1]), (80.0, [2, 2]), (100.0, [2, 3])]
)
def test_a_busy_policy_is_not_asked(inference_ms, images):
    latency = Latency.parse({"inference": inference_ms})
    world, policy = World(WorldConfig(latency=latency, expert=True)), Counting()
    driver = PolicyDriver(policy, Newest())
    world.reset(1)
    driver.reset(world, latency.start(np.random.default_rng(0)))
    for _ in range(100):
        world.step(driver.command(world)[0])
    gaps = np.diff(policy.stamps) / world.config.image_s
    # Images come every 40 ms. After 100 ms the one of 80 ms ago is the newest; then that of 120 ms is.
    pairs = gaps[: len(gaps) // 2 * 2].reshape(-1, 2)
    np.testing.assert_allclose(pairs, np.tile(images, (len(pairs), 1)), atol=1e-6)
    assert len(pairs) >= 9


def test_a_policy_of_ones_own_comes_from_a_file(tmp_path):
    file = tmp_path / "nod.py"
    file.write_text(
        "import numpy as np\nfrom fabg.policy.base import Chunk\n"
        "class Nod:\n"
        "    name = 'nod'\n"
        "    def reset(self): pass\n"
        "    def predict(self, observation):\n"
        "        vector = np.zeros((1, 61)); vector[0, 59] = 0.2\n"
        "        return Chunk(vector, observation.stamp_s, 0.02, self.name)\n"
        "def make_policy(): return Nod()\n"
    )
    record = run_episode(spec(policy=str(file), max_s=2.0))
    pitch = record.joints[-1, 1]
    assert pitch == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    "text, says",
    [
        (None, "is not there"),
        ("x = 1\n", "AttributeError"),
        ("def make_policy(): return 3\n", "int without name, reset, predict"),
        ("import nothing_of_the_kind\n", "ModuleNotFoundError"),
    ],
)
def test_a_file_that_brings_no_policy_is_refused(tmp_path, text, says):
    file = tmp_path / "own.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        make_policy(str(file))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"policy": "guess"}, "'guess': expected one of expert, .*mirror"),
        ({"policy": "mirror", "executor": "later"}, "later"),
        ({"task": "tennis"}, "tennis"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_unknown_names_are_told_with_the_known_ones(change, says):
    with pytest.raises(ConfigError, match=says):
        made = spec(**change)
        make_driver(made.policy, made.executor)
        made.world()


@pytest.mark.slow
def test_the_loop_closes_through_the_real_perception():
    record = run_episode(spec("tracking", "imitator", "offset:3", 60, events=3, obs="perception"))
    scores = score(record)
    assert scores["success"] == 1.0
    # Late by the delays and by what perception needs to find a hand; still within a blink of what is put in by number.
    by_number = score(run_episode(spec("tracking", "imitator", "offset:3", 60, events=3)))
    assert scores["response_vs_expert_ms"] == pytest.approx(by_number["response_vs_expert_ms"], abs=250)
