"""The latency budget against delays that are known: synthetic reports, and servos as the simulator has them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.expression import INDEX
from fabg.latency_budget import NOTHING_MOVED, SIMULATED, Heard, budget, measure_servos, sweep
from fabg.latency_report import terminal_table, to_json, write_delays, write_report
from fabg.page import provenance
from fabg.recording import StageTiming
from fabg.robot.model import load_robot
from fabg.robot.retarget import Retargeter
from fabg.social.delay_kinds import Constant, Jitter
from fabg.social.delays import Latency, parse_delay
from fabg.social.servo import ServoConfig, ServoModel

ROBOT = load_robot()
START_S = 1_000.0


def timings(count=200, seed=0):
    """Return reports of `count` images, and their delays by stage, s."""
    rng = np.random.default_rng(seed)
    means = {"sensing": 0.060, "inference": 0.012, "transport": 0.004, "tick": 0.010}
    delays = {name: rng.gamma(4.0, mean / 4.0, count) for name, mean in means.items()}
    made = []
    for k in range(count):
        taken = START_S + k * 0.04
        seen, decided, arrived, sent = taken + np.cumsum([delays[name][k] for name in means])
        made += [
            # The face node is done with its last topic after the policy has the faces already.
            StageTiming("face", taken, taken + 0.002, seen + 0.003),
            StageTiming("policy", taken, seen, decided),
            StageTiming("actuation", taken, arrived, sent),
        ]
    return made, delays


def movement(delay_s, *, seconds=8.0, seed=1):
    """Return commands and joints of simulated servos that get the sweep `delay_s` late; times jitter."""
    rng = np.random.default_rng(seed)
    retarget, servos = Retargeter(ROBOT), ServoModel(ROBOT, ServoConfig(delay_s=delay_s))
    sent = np.arange(0.007, seconds, 0.02) + rng.uniform(0.0, 0.004, round(seconds * 50))
    read = np.arange(0.0, seconds, 0.01) + rng.uniform(0.0, 0.004, round(seconds * 100))
    commands, joints, now = [], [], 0.0
    for at, kind in sorted([(t, "sent") for t in sent] + [(t, "read") for t in read]):
        servos.advance(at - now)
        now = at
        if kind == "sent":
            target = retarget.targets(sweep(at))
            servos.command(target)
            commands.append((START_S + at, target))
        else:
            joints.append((START_S + at, servos.positions()))
    return commands, joints


def test_each_stage_has_the_delays_that_were_put_in():
    made, delays = timings()
    found = budget(Heard(timings=made))
    for name, put_in in delays.items():
        figures = found.stage(name).figures
        assert figures.count == len(put_in)
        assert figures.mean == pytest.approx(1e3 * put_in.mean(), abs=1e-3)
        assert figures.jitter == pytest.approx(1e3 * put_in.std(), abs=1e-3)
        # The definition of a quantile, told by counting.
        for share, value in ((0.5, figures.p50), (0.95, figures.p95)):
            assert np.mean(1e3 * put_in <= value) == pytest.approx(share, abs=0.01)
    assert {path.name for path in found.paths} == {"face"}
    face = 1e3 * (delays["sensing"] + 0.003)
    assert found.paths[0].figures.mean == pytest.approx(face.mean(), abs=1e-3)


def test_stages_add_up_to_the_age_of_each_image():
    made, delays = timings()
    found = budget(Heard(timings=made))
    assert np.allclose(found.total.delays_ms, 1e3 * sum(delays.values()), atol=1e-3)
    assert "servos are not in it" in found.total.where


@pytest.mark.parametrize("delay_s", [0.02, 0.08, 0.2])
def test_the_servos_delay_and_their_own_lag_are_told_apart(delay_s):
    servos = measure_servos(*movement(delay_s), ROBOT)
    assert len(servos) > 10
    assert np.median([s.delay_s for s in servos]) == pytest.approx(delay_s, abs=0.004)
    # A critically damped loop lags by 2 / w at low frequencies (w: 45 neck, 90 face), and by half the pause of 20 ms.
    own = np.median([s.lag_s - s.delay_s for s in servos])
    assert 2 / 90 + 0.010 - 0.004 < own < 2 / 45 + 0.010 + 0.004


def test_the_total_ends_when_the_servos_answer():
    made, delays = timings()
    commands, joints = movement(0.05)
    found = budget(Heard(timings=made, commands=commands, joints=joints))
    lag_ms = found.stage("servo delay").figures.mean + found.stage("servo lag").figures.mean
    assert found.total.figures.mean == pytest.approx(1e3 * sum(delays.values()).mean() + lag_ms, abs=3.0)
    assert found.notes == ()


def test_the_simulator_reads_the_line_and_the_files(tmp_path):
    made, delays = timings()
    commands, joints = movement(0.05)
    found = budget(Heard(timings=made, commands=commands, joints=joints))
    latency = Latency.parse(found.latency)
    for name in ("sensing", "inference", "transport"):
        spec = getattr(latency, name)
        assert isinstance(spec, Jitter)
        assert spec.average_ms == pytest.approx(1e3 * delays[name].mean(), abs=0.06)
        assert spec.sd_ms == pytest.approx(1e3 * delays[name].std(), abs=0.06)
    assert latency.actuation.mean_ms == pytest.approx(50.0, abs=4.0)
    replay = Latency.parse(write_delays(found, tmp_path / "delays"))
    assert replay.sensing.delays_ms == pytest.approx(1e3 * delays["sensing"], abs=1e-3)
    for stage in SIMULATED:
        assert parse_delay(f"file:{tmp_path}/delays/{stage}.csv").mean_ms == getattr(replay, stage).mean_ms


def test_what_never_varies_is_a_constant():
    made = [
        StageTiming(stage, START_S + k, START_S + k + received, START_S + k + finished)
        for k in range(5)
        for stage, received, finished in (("camera", 0.0, 0.25), ("policy", 0.25, 0.5))
    ]
    latency = Latency.parse(budget(Heard(timings=made)).latency)
    assert latency == Latency(sensing=Constant(250.0), inference=Constant(250.0))


def test_a_policy_that_answers_no_image_does_not_count():
    made, delays = timings(20)
    by_itself = [StageTiming("policy", START_S + k * 0.1 + 0.05, START_S + k, START_S + k) for k in range(9)]
    assert budget(Heard(timings=made + by_itself)).stage("sensing").figures.count == 20
    assert budget(Heard(timings=by_itself)).stage("inference").figures is None


def test_a_sender_that_notes_the_time_too_late_sent_before_the_chunk_arrived():
    made = [
        StageTiming("face", START_S, START_S + 0.001, START_S + 0.030),
        StageTiming("policy", START_S, START_S + 0.030, START_S + 0.060),
        StageTiming("actuation", START_S, START_S + 0.045, START_S + 0.055),
    ]
    found = budget(Heard(timings=made))
    assert found.stage("transport").delays_ms == (0.0,)
    assert found.stage("inference").delays_ms == pytest.approx((15.0,))
    assert found.total.delays_ms == pytest.approx((55.0,))


def rows(moved):
    angles = np.tile(ROBOT.neutral, (300, 1))
    if moved:
        angles[:, ROBOT.index["jaw"]] = np.linspace(0.0, 0.4, 300)
    return [(START_S + k * 0.01, row) for k, row in enumerate(angles)]


@pytest.mark.parametrize(
    "heard, said",
    [
        (Heard(), "no image was worked through"),
        (Heard(timings=[StageTiming("face", 1.0, 1.01, 1.02)]), "is somebody in view"),
        (
            Heard(
                timings=[StageTiming("face", 1.0, 1.01, 1.02), StageTiming("policy", 1.0, 1.02, 1.03)],
            ),
            "fabg estop --reset",
        ),
        (Heard(timings=[StageTiming("face", 1.0, 1.02, 0.5)]), "contradict"),
        (Heard(refused=3), "3 messages could not be read"),
        (Heard(commands=rows(True)), "no joint states"),
        (Heard(joints=rows(False)), "no servo commands"),
        (Heard(commands=rows(False), joints=rows(False)), NOTHING_MOVED),
        (Heard(commands=rows(True), joints=rows(False)), "are the servos powered"),
    ],
)
def test_it_says_what_is_missing(heard, said):
    assert any(said in note for note in budget(heard).notes)


def test_without_a_policy_sensing_ends_with_the_faces():
    found = budget(Heard(timings=[StageTiming("face", 1.0, 1.01, 1.02)]))
    assert found.stage("sensing").figures.p50 == pytest.approx(20.0)
    assert found.total.figures is None and Latency.parse(found.latency).sensing == Constant(20.0)


_TIME = st.one_of(st.floats(), st.floats(0.0, 2.0))
_TIMING = st.builds(
    StageTiming, st.sampled_from(("camera", "face", "policy", "actuation", "teleop")), _TIME, _TIME, _TIME
)
_ANGLES = st.tuples(_TIME, st.one_of(st.floats(), st.floats(-1.0, 1.0)).map(lambda x: np.full(25, x)))


@given(st.lists(_TIMING, max_size=12), st.lists(_ANGLES, max_size=6), st.lists(_ANGLES, max_size=6))
def test_whatever_is_heard_the_budget_is_sound_and_the_simulator_reads_it(made, commands, joints):
    found = budget(Heard(made, commands, joints), ROBOT)
    for stage in (*found.stages, *found.paths, found.total):
        assert all(0.0 <= delay < math.inf for delay in stage.delays_ms)
    Latency.parse(found.latency)


def test_the_sweep_is_slow_small_and_begins_at_rest():
    assert not sweep(0.0).any()
    at = np.array([sweep(t) for t in np.arange(0.0, 20.0, 0.02)])
    assert np.abs(at[:, INDEX["headYaw"]]).max() <= 0.12 and np.abs(at[:, INDEX["headPitch"]]).max() <= 0.04
    retarget = Retargeter(ROBOT)
    speed = np.diff([retarget.targets(row) for row in at], axis=0) / 0.02
    assert (np.abs(speed) < 0.15 * ROBOT.max_velocity).all()


def test_the_report_holds_page_plots_and_numbers(tmp_path):
    made, _ = timings()
    commands, joints = movement(0.05)
    heard = Heard(timings=made, commands=commands, joints=joints)
    found = budget(heard)
    result = to_json(found) | {"command": "fabg latency measure", "seconds": 8.0, **provenance()}
    written = write_report(found, heard, result, tmp_path / "page")
    html = written[0].read_text()
    assert html.count("data:image/png") == 3 and found.latency in html and "&quot;$" not in html
    assert {p.name for p in (tmp_path / "page" / "plots").iterdir()} == {"budget.png", "age.png", "servo.png"}
    total = result["total"]["ms"]
    assert total["p50"] == pytest.approx(found.total.figures.p50, abs=1e-3)


def test_a_report_of_nothing_says_so(tmp_path):
    found = budget(Heard())
    result = to_json(found) | {"command": "fabg latency measure", "seconds": 8.0, **provenance()}
    page = write_report(found, Heard(), result, tmp_path)[0].read_text()
    assert "No image was worked through" in page and "not measured" in page
    assert result["total"]["ms"] is None and result["latency"] == "0"
    assert terminal_table(found).row_count == 7
