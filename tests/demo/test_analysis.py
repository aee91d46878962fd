"""The figures of a report, on a synthetic run whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabg.demo import analysis
from fabg.demo.analysis import follow
from fabg.errors import InputError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.recording import Answer, JpegStore, Status, latest, nearest
from fabg.robot.model import load_robot
from tests.demo.synthetic import ANSWER_S, DELAY_S, FPS, RATE_HZ, synthetic
from tests.demo.synthetic import jaw as synthetic_jaw


@pytest.fixture(scope="module")
def robot():
    return load_robot()


@pytest.fixture
def recording(tmp_path, robot):
    return synthetic(tmp_path, robot, seconds=12.0)


@pytest.mark.parametrize("lag_s", [0.0, 0.037, 0.12, 0.4])
def test_a_known_lag_is_found(lag_s):
    t, fine = np.arange(0, 20, 1 / 25), np.arange(0, 20, 1 / 100)
    found = follow(t, np.sin(2.1 * t) + 0.4 * np.sin(5.3 * t), fine, 3 + _wave(fine - lag_s))
    assert found.lag_ms == pytest.approx(lag_s * 1e3, abs=4.0), "a tenth of an image"
    assert found.r > 0.999


def _wave(t):
    return np.sin(2.1 * t) + 0.4 * np.sin(5.3 * t)


def test_correlation_is_pearsons():
    t = np.arange(0, 20, 0.01)
    rng = np.random.default_rng(3)
    leader = _wave(t)
    follower = leader + 0.8 * rng.standard_normal(len(t))
    used = slice(0, len(t) - 100)  # one second is kept for the shifts
    expected = np.corrcoef(leader[used], follower[used])[0, 1]
    found = follow(t, leader, t, follower)
    assert abs(found.lag_ms) < 60
    assert found.r == pytest.approx(expected, abs=0.01)


def test_nothing_is_compared_across_a_hole():
    """While the person is away the robot does as it likes: that must not count."""
    t, fine = np.arange(0, 20, 1 / 25), np.arange(0, 20, 1 / 100)
    there = (t < 8) | (t > 13)
    robot = _wave(fine - 0.1)
    robot[(fine > 8.2) & (fine < 12.8)] = 50.0
    found = follow(t[there], _wave(t[there]), fine, robot)
    assert found.lag_ms == pytest.approx(100.0, abs=30.0)


@pytest.mark.parametrize(
    "leader_t, leader",
    [
        ([], []),
        ([0.0, 0.1], [0.0, 1.0]),
        (np.arange(0, 1, 0.04), np.arange(25)),
        (np.arange(0, 9, 0.04), np.zeros(225)),
    ],
)
def test_too_little_to_compare_is_said(leader_t, leader):
    t = np.arange(0, 10, 0.01)
    assert follow(leader_t, leader, t, np.sin(t)) is None


def test_frames_faces_and_duration(recording, robot):
    summary = analysis.summarise(recording, robot)
    images = round(12.0 * FPS)
    assert summary["duration_s"] == pytest.approx(12.0)
    # The synthetic face node answers all but every tenth image, and nobody is there for the last second.
    answered = [k for k in range(images) if k % 10 != 9]
    assert summary["frames"]["in"] == images
    assert summary["frames"]["out"] == len(answered)
    assert summary["frames"]["with_face"] == sum(k < images - FPS for k in answered)
    assert summary["frames"]["fps_in"] == pytest.approx(FPS)
    (first, second) = summary["faces"]
    assert (first["id"], first["first_s"], first["images"]) == ("near", 0.0, summary["frames"]["with_face"])
    assert (second["id"], second["first_s"]) == ("far", 5.0)


def test_delays_are_numpys_percentiles(recording, robot):
    report = analysis.latency(recording)
    assert list(report) == ["camera", "face", "policy", "actuation"], "in the order of work"
    for stage, figures in report.items():
        of = [t for t in recording.timings if t.stage == stage]
        ages = [(t.finished_s - t.origin_s) * 1e3 for t in of]
        works = [(t.finished_s - t.received_s) * 1e3 for t in of]
        assert figures["count"] == len(of)
        for kind, values in (("age_ms", ages), ("work_ms", works)):
            assert figures[kind]["p50"] == pytest.approx(np.percentile(values, 50), abs=0.01)
            assert figures[kind]["p95"] == pytest.approx(np.percentile(values, 95), abs=0.01)


def test_the_robot_is_found_to_follow_the_nearest_person(recording, robot):
    summary = analysis.summarise(recording, robot)
    followed = summary["robot"]["follow"]
    for name in ("jaw open", "smile", "head yaw"):
        assert followed[name]["r"] > 0.99
        assert followed[name]["lag_ms"] == pytest.approx(DELAY_S * 1e3, abs=15)
    assert followed["pucker"] is None, "the synthetic person never does"
    assert summary["mirror_replayed"] is None


def test_a_robot_that_does_something_else_has_no_lag():
    t = np.arange(0, 20, 0.01)
    found = follow(t, np.sin(2.1 * t), t, np.sin(3.7 * t + 1.0))
    assert found.r < 0.5 and found.figures["lag_ms"] is None
    assert follow(t, np.sin(2.1 * t), t, np.sin(2.1 * t - 0.21)).figures["lag_ms"] == pytest.approx(
        100, abs=2
    )


@pytest.mark.parametrize("late", [False, True])
def test_jerk_is_that_of_the_commands_and_not_of_late_ticks(recording, late):
    """Sinusoids have a jerk of amplitude x w^3, over sqrt(2) in the mean."""
    t = recording.start_s + np.arange(0, 8, 0.02)
    if late:
        t[50::40] += 0.012
    w, amplitude = 2 * math.pi * 0.8, np.linspace(0.05, 0.2, 25)
    recording.command_stamps = list(t)
    recording.commands = list(amplitude * np.sin(w * (t - t[0]))[:, None])
    expected = w**3 * math.sqrt(np.mean(amplitude**2) / 2)
    assert analysis.command_jerk(recording) == pytest.approx(expected, rel=0.02)


def test_jerk_needs_four_commands_after_the_first_image(recording):
    recording.command_stamps = [recording.start_s + s for s in (-2.0, -1.0, 0.0, 0.02, 0.04)]
    recording.commands = [np.zeros(25)] * 5
    assert analysis.command_jerk(recording) is None


def test_who_answered(recording, robot):
    start, n = recording.start_s, len(recording.answers)
    recording.answers = [
        Answer(a.stamp_s, "learnt" if k < n // 4 else "mirror", a.received_s)
        for k, a in enumerate(recording.answers)
    ]
    shares = analysis.summarise(recording, robot)["policy"]["answers"]
    assert list(shares) == ["mirror", "learnt"]
    assert shares["learnt"] == pytest.approx((n // 4) / n, abs=1e-4) and sum(
        shares.values()
    ) == pytest.approx(1.0)
    assert analysis.answered_at(recording, start) == "", "the first answer takes a moment"
    assert analysis.answered_at(recording, start + ANSWER_S + 0.001) == "learnt"
    assert analysis.answered_at(recording, start + 11.0) == "mirror"


def test_a_mirror_swaps_the_sides_of_a_head():
    for yaw, pitch, roll in ((0.3, 0.1, -0.2), (-0.5, 0.0, 0.1)):
        # A person two metres ahead who faces the robot looks along its -x.
        facing = rotation_from_ypr(math.pi, 0.0, 0.0)
        head = pose(facing @ rotation_from_ypr(yaw, pitch, roll), [2.0, 0.0, 0.0])
        assert analysis.mirrored_head(head) == pytest.approx((-yaw, pitch, -roll))


def test_gaze_errors_are_angles_between_gaze_and_face(recording, robot):
    """The synthetic robot's eyes look 5 degrees past the face, to the left."""
    errors = analysis.gaze_errors_deg(recording, robot)
    assert len(errors) == analysis.summarise(recording, robot)["frames"]["with_face"]
    assert np.median(errors) == pytest.approx(5.0, abs=0.1)


def test_counters_survive_a_restart():
    def status(accepted, hits):
        return Status(0.0, "following", "policy", accepted, 0, 0, hits, ())

    rising = [status(10, 0), status(30, 2), status(5, 0), status(25, 1)]
    assert analysis.total(rising, lambda s: s.accepted) == 30 + 25
    assert analysis.total(rising, lambda s: s.limit_hits) == 2 + 1
    assert analysis.total([], lambda s: s.accepted) == 0


def test_limits_and_commands(recording, robot):
    summary = analysis.summarise(recording, robot)
    assert summary["commands"] == {"accepted": 11 * 20, "refused": 3, "stale": 0}
    assert summary["joint_limits"] == {"hits": 7, "share_of_time": {"jaw": 0.5}}
    assert summary["restarts"] == {"face": 1}


def test_key_moments_are_the_strongest(recording, robot):
    moments = {name: t for t, name in analysis.key_moments(recording, robot)}
    attended = [(s.stamp_s - recording.start_s, s.nearest) for s in recording.sights if s.faces]
    jaw = {t: f.shapes[17] for t, f in attended if t >= 1.0}
    assert jaw[moments["jaw open"]] >= 0.9 * (max(jaw.values()) - 0.4) + 0.4, (
        "strong, beside the median of 0.4"
    )
    # The robot comes DELAY_S later: of strong moments that is shown at which the robot's mouth is open, too.
    best = max((t for t in jaw if jaw[t] > 0.74), key=lambda t: synthetic_jaw(t - DELAY_S))
    assert synthetic_jaw(moments["jaw open"] - DELAY_S) >= synthetic_jaw(best - DELAY_S) - 1e-6
    times = sorted(moments.values())
    assert min(np.diff(times)) >= 1.0 and times[0] >= 1.0


def test_nobody_seen_gives_figures_all_the_same(tmp_path, robot):
    recording = synthetic(tmp_path, robot, seconds=3.0, people=False)
    summary = analysis.summarise(recording, robot)
    assert summary["faces"] == [] and summary["frames"]["with_face"] == 0
    assert set(summary["robot"]["follow"].values()) == {None}
    assert summary["robot"]["gaze_error_deg"] == {}
    assert analysis.key_moments(recording, robot) == []


def test_images_are_kept_on_disk_and_come_back(recording):
    assert len(recording.images) == len(recording.image_stamps)
    first, last = recording.images.read(0), recording.images.read(len(recording.images) - 1)
    assert first.shape == last.shape == (120, 160, 3)
    assert abs(first.astype(int) - last).max() > 5
    data = bytearray(recording.images.path.read_bytes())
    data[:40] = bytes(40)
    recording.images.path.write_bytes(data)
    with pytest.raises(InputError, match="image 0"):
        recording.images.read(0)


def test_the_store_can_be_sent_to_another_process_while_it_writes(tmp_path):
    import pickle

    store = JpegStore(tmp_path / "images")
    store.append(b"abc")
    store.append(b"de")
    copy = pickle.loads(pickle.dumps(store))
    store.close()
    assert len(copy) == 2 and copy.path == store.path


def test_an_empty_recording_says_so(tmp_path, robot):
    recording = synthetic(tmp_path, robot, seconds=1.0)
    recording.image_stamps.clear()
    with pytest.raises(InputError, match="no image of synthetic"):
        _ = recording.start_s


def test_looking_up_stamps():
    stamps = [1.0, 2.0, 4.0]
    assert [nearest(stamps, t) for t in (0.0, 1.4, 1.6, 3.5, 9.0)] == [0, 0, 1, 2, 2]
    assert [latest(stamps, t) for t in (0.5, 1.0, 3.9, 9.0)] == [None, 0, 1, 2]
    assert nearest([], 1.0) is None


def test_the_synthetic_camera_looks_along_the_robots_x(recording):
    """Guards the generator: what is in front of the camera is in front of the robot."""
    ahead = recording.base_from_camera @ np.array([0.0, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(ahead[:3] - recording.base_from_camera[:3, 3], [1, 0, 0], atol=1e-12)
    assert OPTICAL_FROM_BODY.shape == (3, 3) and RATE_HZ == 100
