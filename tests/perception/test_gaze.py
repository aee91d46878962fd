"""Gaze: geometry, smoothing and calibration by formula; accuracy on rendered people not seen in the fit."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fabg.errors import ConfigError, InputError
from fabg.geometry import OPTICAL_FROM_BODY, pose, rotation_from_ypr
from fabg.perception import gaze as module
from fabg.perception.facefit import EyeReading
from fabg.perception.gaze import (
    CalibrationSample,
    GazeCalibration,
    GazeConfig,
    GazeEstimator,
    angles_of,
    calibrate,
    direction_of,
)
from fabg.perception.one_euro import OneEuro, OneEuroConfig
from fabg.perception.types import Face, Faces, Roi

FPS = 30.0
FACING = OPTICAL_FROM_BODY @ rotation_from_ypr(math.pi, 0.0, 0.0)
ORIGIN = np.array([-0.02, 0.0, -0.01])


class Eyes:
    """Stands in for the fitted read-out: the eyes are as the test says."""

    def __init__(self) -> None:
        self.yaw = self.pitch = self.closed = 0.0
        self.trust = 1.0

    def read(self, face: Face) -> EyeReading:
        del face
        return EyeReading(self.yaw, self.pitch, self.closed, self.closed, ORIGIN, self.trust)


@pytest.fixture
def eyes(monkeypatch) -> Eyes:
    made = Eyes()
    monkeypatch.setattr(module, "gaze_fit", lambda: made)
    return made


LANDMARKS = np.random.default_rng(3).uniform((200, 100, -30), (400, 300, 30), (478, 3))


def face(name: str = "a", yaw: float = 0.0, pitch: float = 0.0) -> Face:
    rotation = FACING @ rotation_from_ypr(yaw, pitch, 0.1)
    return Face(name, Roi(0, 0, 9, 9), 1.0, LANDMARKS, np.zeros(52), pose(rotation, (0.1, -0.1, 0.8)))


class Film:
    def __init__(self, **config: float) -> None:
        self.estimator = GazeEstimator(GazeConfig(**config))
        self.stamp_s = 5.0

    def show(self, *faces: Face, step_s: float = 1 / FPS):
        self.stamp_s += step_s
        return self.estimator.update(Faces(self.stamp_s, (640, 480), faces))


STILL = {"cutoff_hz": 0.0}


@pytest.mark.parametrize("yaw", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("pitch", [-0.3, 0.2])
def test_the_ray_is_the_eyes_direction_turned_by_the_head(eyes, yaw, pitch):
    eyes.yaw, eyes.pitch = 0.2, -0.1
    head = face(yaw=yaw, pitch=pitch)
    (gaze,) = Film(**STILL).show(head)
    # Eyes straight ahead in the head look along its x; yaw turns to the own left, pitch down.
    expected = head.pose[:3, :3] @ rotation_from_ypr(0.2, -0.1, 0.0)[:, 0]
    np.testing.assert_allclose(gaze.direction, expected, atol=1e-12)
    np.testing.assert_allclose(gaze.origin, head.pose[:3, 3] + head.pose[:3, :3] @ ORIGIN, atol=1e-12)
    assert (gaze.eye_yaw_rad, gaze.eye_pitch_rad) == pytest.approx((0.2, -0.1))
    assert gaze.face_id == "a" and gaze.confidence == 1.0


@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.7])
@pytest.mark.parametrize("pitch", [-1.0, 0.4])
def test_direction_and_angles_are_inverse(yaw, pitch):
    np.testing.assert_allclose(direction_of(yaw, pitch), rotation_from_ypr(yaw, pitch, 0.0)[:, 0], atol=1e-12)
    assert angles_of(direction_of(yaw, pitch)) == pytest.approx((yaw, pitch))


def test_everybody_is_told_in_order_and_faces_without_landmarks_are_left_out(eyes):
    blind = replace(face("b"), landmarks=np.full((478, 3), np.nan))
    assert [gaze.face_id for gaze in Film().show(face("c"), blind, face("a"))] == ["c", "a"]
    assert Film().show() == ()


# Closed eyes -------------------------------------------------------------------------------------


def test_closed_eyes_keep_the_last_direction_for_a_while_then_the_heads(eyes):
    film, head = Film(hold_s=0.5, **STILL), face(yaw=0.3)
    eyes.yaw = 0.25
    (seen,) = film.show(head)
    eyes.closed, eyes.yaw = 1.0, -0.5
    for i in range(15):
        (gaze,) = film.show(head)
        assert gaze.confidence == 0.0 and gaze.closed_left == gaze.closed_right == 1.0
        np.testing.assert_allclose(gaze.direction, seen.direction, atol=1e-12, err_msg=str(i))
    (gaze,) = film.show(head)
    np.testing.assert_allclose(gaze.direction, head.pose[:3, 0], atol=1e-12)
    assert gaze.eye_yaw_rad == pytest.approx(0.0)
    eyes.closed = 0.0  # opened again they look at once where they look
    (gaze,) = film.show(head)
    np.testing.assert_allclose(gaze.eye_yaw_rad, -0.5, atol=1e-9)
    assert gaze.confidence == 1.0


def test_eyes_never_seen_open_look_where_the_head_does(eyes):
    eyes.closed, head = 0.9, face(yaw=-0.2)
    (gaze,) = Film().show(head)
    np.testing.assert_allclose(gaze.direction, head.pose[:3, 0], atol=1e-12)
    assert gaze.confidence == 0.0


def test_confidence_falls_as_eyes_close_and_with_trust(eyes):
    film, found = Film(closed=0.6), []
    for closed in (0.0, 0.3, 0.45, 0.59, 0.6):
        eyes.closed = closed
        found.append(film.show(face())[0].confidence)
    assert found[:2] == [1.0, 1.0] and found[2] == pytest.approx(0.5) and 0 < found[3] < 0.1 and found[4] == 0
    eyes.closed, eyes.trust = 0.0, 0.4
    assert film.show(face())[0].confidence == pytest.approx(0.4)


def test_eyes_too_small_to_read_have_no_confidence(eyes):
    tiny = replace(face(), landmarks=LANDMARKS * 0.005)
    assert Film().show(tiny)[0].confidence == 0.0


# Smoothing ---------------------------------------------------------------------------------------


def deg(vector, other) -> float:
    return math.degrees(math.acos(np.clip(vector @ other, -1, 1)))


@pytest.mark.parametrize("jump_deg", [10.0, 20.0])
def test_a_saccade_is_followed_within_one_image(eyes, jump_deg):
    film = Film()
    for _ in range(30):
        film.show(face())
    eyes.yaw = math.radians(jump_deg)
    (first,) = film.show(face())
    assert math.degrees(first.eye_yaw_rad) > jump_deg / 2  # more than half at once: lag below one image
    film.show(face())
    (third,) = film.show(face())
    assert math.degrees(third.eye_yaw_rad) > 0.9 * jump_deg


def test_noise_of_a_resting_gaze_is_reduced_to_half(eyes):
    rng, film, found = np.random.default_rng(0), Film(), []
    for _ in range(600):
        eyes.yaw, eyes.pitch = np.radians(rng.normal(0, 0.5, 2))
        found.append(np.degrees([film.show(face())[0].eye_yaw_rad]))
    assert np.std(found[30:]) < 0.25 + 0.05
    assert abs(np.mean(found)) < 0.1


def test_smoothing_is_the_same_at_any_rate():
    # A constant speed leaves a lag that depends on time, not on the number of images.
    ends = []
    for fps in (30.0, 120.0):
        smooth, value = OneEuro(OneEuroConfig(cutoff_hz=1.0, speed_gain=0.0)), np.zeros(1)
        for i in range(int(fps)):
            value = smooth.step(np.array([1.0 if i else 0.0]), 1 / fps)
        ends.append(float(value[0]))
    assert ends[0] == pytest.approx(1 - math.exp(-2 * math.pi * 29 / 30), abs=1e-9)
    assert ends[1] == pytest.approx(1 - math.exp(-2 * math.pi * 119 / 120), abs=1e-9)


def test_each_person_is_smoothed_alone_and_a_stranger_begins_anew(eyes):
    film = Film()
    for _ in range(10):
        film.show(face("a"), face("b", yaw=0.5))
    a, b = film.show(face("a"), face("b", yaw=0.5))
    assert deg(a.direction, b.direction) == pytest.approx(math.degrees(0.5), abs=0.5)
    eyes.yaw = 0.05
    film.show(step_s=3.0)
    (gaze,) = film.show(face("a"))
    assert gaze.eye_yaw_rad == pytest.approx(0.05)


@pytest.mark.parametrize("step_s", [0.0, -1.0])
def test_stamps_that_do_not_rise_are_images_like_others(eyes, step_s):
    eyes.yaw, film = 0.1, Film()
    for _ in range(50):
        (gaze,) = film.show(face(), step_s=step_s)
    assert gaze.eye_yaw_rad == pytest.approx(0.1)


def test_a_stamp_that_is_none_is_refused(eyes):
    with pytest.raises(InputError, match="nan"):
        GazeEstimator().update(Faces(math.nan, (640, 480), ()))


def test_configuration_changes_while_it_runs(eyes):
    film = Film()
    film.show(face())
    film.estimator.configure(GazeConfig(cutoff_hz=0.0))
    eyes.yaw = 0.02
    assert film.show(face())[0].eye_yaw_rad == pytest.approx(0.02)


@pytest.mark.parametrize("bad", [{"closed": 0.0}, {"hold_s": -1.0}, {"cutoff_hz": math.nan}])
def test_impossible_configurations_are_refused(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        GazeConfig(**bad)


# Calibration -------------------------------------------------------------------------------------


def samples_of(truth: GazeCalibration, targets, noise: float = 0.0) -> list[CalibrationSample]:
    rng, found = np.random.default_rng(1), []
    for yaw, pitch in targets:
        read = rng.normal((yaw - truth.yaw_offset_rad) / truth.yaw_gain, noise)
        found.append(CalibrationSample(read, (pitch - truth.pitch_offset_rad) / truth.pitch_gain, yaw, pitch))
    return found


NINE = [(x, y) for x in (-0.3, 0.0, 0.3) for y in (-0.2, 0.0, 0.2)]


def test_calibration_finds_gain_and_offset():
    truth = GazeCalibration(yaw_gain=1.3, yaw_offset_rad=0.05, pitch_gain=0.8, pitch_offset_rad=-0.1)
    found = calibrate(samples_of(truth, NINE))
    assert found.yaw_gain == pytest.approx(1.3, abs=0.02) and found.pitch_gain == pytest.approx(0.8, abs=0.02)
    for sample in samples_of(truth, NINE):
        got = found.apply(sample.read_yaw_rad, sample.read_pitch_rad)
        assert got == pytest.approx((sample.true_yaw_rad, sample.true_pitch_rad), abs=0.01)


def test_one_target_teaches_the_offset_alone():
    found = calibrate([CalibrationSample(0.1, 0.2, 0.15, 0.1)])
    assert (found.yaw_gain, found.pitch_gain) == pytest.approx((1.0, 1.0))
    assert (found.yaw_offset_rad, found.pitch_offset_rad) == pytest.approx((0.05, -0.1))


def test_samples_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="0 calibration samples"):
        calibrate([])
    with pytest.raises(InputError, match="finite"):
        calibrate([CalibrationSample(math.nan, 0, 0, 0)])
    with pytest.raises(InputError, match="yaw_gain"):
        calibrate([CalibrationSample(x, 0, -x, 0) for x in (-0.3, 0.3)])


def test_a_sample_from_a_person_who_looks_at_a_point(eyes):
    eyes.yaw = 0.1
    head = face(yaw=0.2)
    (gaze,) = Film(**STILL).show(head)
    target = gaze.origin + 0.7 * head.pose[:3, :3] @ direction_of(0.15, -0.05)
    sample = CalibrationSample.looking_at(head, gaze, target)
    assert sample.read_yaw_rad == pytest.approx(0.1)
    assert (sample.true_yaw_rad, sample.true_pitch_rad) == pytest.approx((0.15, -0.05))
    for bad in (gaze.origin, [math.nan, 0, 0]):
        with pytest.raises(InputError, match="target"):
            CalibrationSample.looking_at(head, gaze, bad)


def test_calibration_is_applied_to_everybody_or_to_one(eyes):
    eyes.yaw, film = 0.1, Film(**STILL)
    film.estimator.calibration = GazeCalibration(yaw_gain=2.0)
    film.estimator.calibrations["b"] = GazeCalibration(yaw_offset_rad=-0.1)
    a, b = film.show(face("a"), face("b"))
    assert a.eye_yaw_rad == pytest.approx(0.2) and b.eye_yaw_rad == pytest.approx(0.0)


def test_calibration_is_kept_in_a_file(tmp_path):
    made = GazeCalibration(yaw_gain=1.2, pitch_offset_rad=-0.03)
    made.save(tmp_path / "me.json")
    assert GazeCalibration.load(tmp_path / "me.json") == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "not a JSON object"),
        ("[1, 2]", "not a JSON object"),
        (json.dumps({"yaw_gain": 9.0}), "yaw_gain is 9.0"),
        (json.dumps({"yaw_gain": "1"}), "yaw_gain is '1'"),
        (json.dumps({"yaw": 1.0}), "not a JSON object"),
        ('{"yaw_gain": NaN}', "yaw_gain is nan"),
    ],
)
def test_damaged_calibrations_are_refused(tmp_path, text, said):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        GazeCalibration.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        GazeCalibration.load(tmp_path / "absent.json")
