"""The pipeline: what each stage is given, that both ways through it agree, and what happens to bad input."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from fabg.errors import ConfigError, InputError
from fabg.perception.emotion import EmotionConfig
from fabg.perception.face import FaceTrackerConfig
from fabg.perception.gaze import GazeConfig
from fabg.perception.hand_config import HandTrackerConfig
from fabg.perception.pipeline import STAGES, Parts, Pipeline, PipelineConfig
from fabg.perception.pose import Camera
from fabg.perception.types import EMOTIONS, ROBOT, Emotion, Engagement, Faces, Frame, Gaze, Hands
from tests.perceive.people import face, hand

FPS = 25.0
CAMERA = Camera(500.0, 500.0, 319.5, 239.5)


class FakeFaces:
    """One person who comes nearer; says what it was asked."""

    def __init__(self):
        self.config, self.camera, self.trouble = FaceTrackerConfig(), None, ()
        self.asked, self.closed = [], 0
        self.on_update = lambda stamp_s: None

    def configure(self, config):
        self.config = config

    def update(self, frame):
        self.on_update(frame.stamp_s)
        self.asked.append((frame.stamp_s, self.camera))
        self.trouble = ("dark image",) if frame.image.max() < 25 else ()
        return Faces(frame.stamp_s, (640, 480), (face("f1", (0.0, 0.0, 1.0 - 0.01 * len(self.asked))),))

    def close(self):
        self.closed += 1


class FakeGaze:
    """Everybody looks into the camera."""

    def __init__(self):
        self.config, self.given = GazeConfig(), []

    def configure(self, config):
        self.config = config

    def update(self, faces, camera=None):
        self.given.append((faces.stamp_s, camera))
        ray = np.array([0.0, 0.0, -1.0])
        return tuple(Gaze(f.id, f.pose[:3, 3], ray, 0.0, 0.0, 0.0, 0.0, 1.0) for f in faces.faces)


class FakeEmotion:
    def __init__(self):
        self.config, self.crops, self.closed = EmotionConfig(purpose="research"), [], 0

    def configure(self, config):
        self.config = config

    def update(self, faces, crop):
        self.crops += [crop(f) for f in faces.faces]
        return tuple(Emotion(f.id, "happy", 0.9, np.eye(7)[3], 0.9, 0.4, 0.8, 0.0) for f in faces.faces)

    def close(self):
        self.closed += 1


class FakeHands:
    def __init__(self):
        self.config, self.camera, self.given, self.closed = HandTrackerConfig(), None, [], 0
        self.on_update = lambda stamp_s: None

    def configure(self, config):
        self.config = config

    def update(self, frame, faces=None):
        self.on_update(frame.stamp_s)
        self.given.append((frame.stamp_s, faces.stamp_s, self.camera))
        return Hands(frame.stamp_s, faces.image_size, (hand("h1", (0.1, 0.1, 0.6), "f1"),))

    def close(self):
        self.closed += 1


@pytest.fixture
def fakes():
    return Parts(faces=FakeFaces(), gaze=FakeGaze(), emotion=FakeEmotion(), hands=FakeHands())


ALL = PipelineConfig(emotion=EmotionConfig(purpose="research"))


def _frames(count, value=128):
    return [Frame(np.full((480, 640, 3), value, np.uint8), k / FPS) for k in range(count)]


def test_every_stage_gets_the_same_image_and_the_same_camera(fakes):
    with Pipeline(ALL, parts=fakes) as pipeline:
        pipeline.camera = CAMERA
        scenes = [pipeline.update(frame) for frame in _frames(20)]
    stamps = [k / FPS for k in range(20)]
    assert [scene.stamp_s for scene in scenes] == stamps
    assert fakes.faces.asked == [(stamp, CAMERA) for stamp in stamps]
    assert fakes.gaze.given == [(stamp, CAMERA) for stamp in stamps]
    assert fakes.hands.given == [(stamp, stamp, CAMERA) for stamp in stamps]
    assert all(picture.shape == (128, 128, 3) for picture in fakes.emotion.crops)
    last = scenes[-1]
    assert list(last.timings_ms) == list(STAGES)
    assert all(ms >= 0.0 for ms in last.timings_ms.values())
    assert last.looks_at("f1") == ROBOT
    assert last.engagement == {"f1": Engagement.ENGAGING}, "0.8 s of mutual gaze of the 3 s that are averaged"
    assert last.emotion("f1").label == "happy" and last.gaze("f1").confidence == 1.0
    assert [h.id for h in last.hands.hands] == ["h1"]
    assert (last.face("f1").id, last.face("nobody"), last.gaze("nobody")) == ("f1", None, None)


def test_without_calibration_all_stages_share_one_field_of_view(fakes):
    config = replace(ALL, faces=FaceTrackerConfig(horizontal_fov_deg=90.0))
    with Pipeline(config, parts=fakes) as pipeline:
        pipeline.update(_frames(1)[0])
    # 90 degrees across 640 px: the focal length is half the width.
    for camera in (fakes.gaze.given[0][1], fakes.hands.given[0][2]):
        assert (camera.fx, camera.fy) == pytest.approx((320.0, 320.0))


@pytest.mark.parametrize(
    "off, empty",
    [("gaze", ("gazes", "blinks", "looks", "engagement")), ("emotion", ("emotions",)), ("hands", ("hands",))],
)
def test_a_stage_that_is_off_costs_nothing_and_says_nothing(fakes, off, empty):
    with Pipeline(replace(ALL, **{off: None}), parts=fakes) as pipeline:
        scene = pipeline.update(_frames(1)[0])
    assert list(scene.timings_ms) == [stage for stage in STAGES if stage != off]
    assert pipeline.config.stages == tuple(scene.timings_ms)
    assert not any(getattr(scene, name) for name in empty)
    assert scene.hands is None or off != "hands", "nobody looked for hands: that is not the same as none"
    assert scene.faces.faces


def test_stages_can_be_switched_while_it_runs(fakes):
    with Pipeline(ALL, parts=fakes) as pipeline:
        pipeline.configure(replace(ALL, hands=None, gaze=GazeConfig(closed=0.9)))
        assert (fakes.hands.closed, fakes.gaze.config.closed) == (1, 0.9)
        assert pipeline.update(_frames(1)[0]).hands is None
        pipeline.configure(replace(ALL, faces=FaceTrackerConfig(max_faces=2)))
        assert fakes.faces.config.max_faces == 2
        assert pipeline.update(_frames(1)[0]).hands is not None
    pipeline.close()
    assert fakes.emotion.closed == 1 and fakes.faces.closed >= 1


def test_emotion_needs_a_purpose_and_is_off_by_default():
    assert PipelineConfig().stages == ("faces", "gaze", "hands")
    with pytest.raises(ConfigError, match="purpose"):
        PipelineConfig(emotion=EmotionConfig())
    with pytest.raises(ConfigError, match="workplace"):
        PipelineConfig(emotion=EmotionConfig(purpose="workplace"))


def test_a_stream_overlaps_its_stages(fakes):
    """The hands of one image are held up until the faces of the next are asked for: a sequence would wait in vain."""
    asked = {k / FPS: threading.Event() for k in range(6)}
    overlapped = []
    fakes.faces.on_update = lambda stamp_s: asked[stamp_s].set()
    fakes.hands.on_update = lambda stamp_s: overlapped.append(
        stamp_s == 5 / FPS or asked[stamp_s + 1 / FPS].wait(10.0)
    )
    with Pipeline(ALL, parts=fakes) as pipeline:
        scenes = list(pipeline.stream(Frame(f.image, round(f.stamp_s, 2)) for f in _frames(6)))
    assert len(scenes) == 6
    assert overlapped == [True] * 6


def test_a_failure_reaches_the_caller_and_earlier_scenes_are_whole(fakes):
    def fail(stamp_s):
        if stamp_s == 3 / FPS:
            raise InputError("the model failed")

    fakes.hands.on_update = fail
    got = []
    with Pipeline(ALL, parts=fakes) as pipeline, pytest.raises(InputError, match="the model failed"):
        got.extend(pipeline.stream(_frames(6)))
    with Pipeline(ALL, parts=replace(fakes, hands=FakeHands())) as pipeline:
        stream = pipeline.stream(_frames(6))
        assert [next(stream).stamp_s for _ in range(3)] == [0.0, 1 / FPS, 2 / FPS]
        stream.close()  # who has seen enough may leave


def test_an_empty_stream_is_empty(fakes):
    with Pipeline(ALL, parts=fakes) as pipeline:
        assert list(pipeline.stream([])) == []


def test_what_is_wrong_with_an_image_is_told(fakes):
    with Pipeline(ALL, parts=fakes) as pipeline:
        dark, light = (pipeline.update(_frames(1, value)[0]) for value in (3, 128))
    assert dark.trouble == ("dark image",) and light.trouble == ()


def test_a_face_that_cannot_be_aligned_has_no_picture(fakes):
    sideways = face("f1", (0.0, 0.0, 1.0))
    flat = replace(sideways, landmarks=np.zeros((478, 3)))
    fakes.faces.update = lambda frame: Faces(frame.stamp_s, (640, 480), (flat,))
    with Pipeline(ALL, parts=fakes) as pipeline:
        pipeline.update(_frames(1)[0])
    assert fakes.emotion.crops == [None]


# With the real parts ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both_ways(clip):
    """Scenes of 14 images of the clip, one by one and as a stream."""
    frames = [Frame(np.repeat(np.repeat(clip[180 + k], 2, 0), 2, 1), k / FPS) for k in range(14)]
    found = []
    for way in ("update", "stream"):
        with Pipeline(ALL) as pipeline:
            found.append(
                [pipeline.update(f) for f in frames] if way == "update" else list(pipeline.stream(frames))
            )
    return found


def test_both_ways_give_the_same_numbers(both_ways):
    for one, other in zip(*both_ways, strict=True):
        assert one.stamp_s == other.stamp_s
        assert one.engagement == other.engagement and one.looks == other.looks
        for a, b in zip(one.faces.faces, other.faces.faces, strict=True):
            assert a.id == b.id
            assert np.array_equal(a.landmarks, b.landmarks) and np.array_equal(a.pose, b.pose)
        for a, b in zip(one.gazes, other.gazes, strict=True):
            assert np.array_equal(a.direction, b.direction) and a.closed_left == b.closed_left
        for a, b in zip(one.emotions, other.emotions, strict=True):
            assert a.label == b.label and np.array_equal(a.probabilities, b.probabilities)
        assert len(one.hands.hands) == len(other.hands.hands)


def test_a_real_face_passes_all_stages(both_ways):
    for scene in both_ways[0]:
        (seen,) = scene.faces.faces
        (gaze,), (emotion,) = scene.gazes, scene.emotions
        assert gaze.face_id == emotion.face_id == seen.id
        assert np.linalg.norm(gaze.direction) == pytest.approx(1.0)
        assert gaze.direction[2] < -0.7, "the man looks at his screen, above which the camera sits"
        assert emotion.label in ("", *EMOTIONS)
        assert emotion.probabilities.sum() == pytest.approx(1.0)
        assert scene.engagement[seen.id] in Engagement


@pytest.mark.parametrize(
    "image, stamp_s",
    [
        (np.zeros((48, 64), np.uint8), 0.0),
        (np.zeros((48, 64, 4), np.uint8), 0.0),
        (np.zeros((48, 64, 3), np.float32), 0.0),
        (np.zeros((48, 64, 3), np.uint8), float("nan")),
    ],
)
def test_what_is_no_image_is_refused(image, stamp_s):
    with Pipeline(PipelineConfig(hands=None)) as pipeline, pytest.raises(InputError, match="expected"):
        pipeline.update(Frame(image, stamp_s))


def test_odd_images_and_stamps_have_a_defined_result():
    """1 x 1, black, white, repeated and backward stamps: nobody is there, nothing is raised."""
    with Pipeline(ALL) as pipeline:
        for shape, value, stamp_s in (
            ((1, 1, 3), 0, 5.0), ((480, 640, 3), 0, 5.0), ((480, 640, 3), 255, 4.0), ((300, 20, 3), 90, 9e9),
        ):  # fmt: skip
            scene = pipeline.update(Frame(np.full(shape, value, np.uint8), stamp_s))
            assert scene.stamp_s == scene.hands.stamp_s == stamp_s
            assert scene.faces.faces == () and scene.hands.hands == ()
            assert scene.trouble
