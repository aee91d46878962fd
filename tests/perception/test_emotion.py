"""Expressions: the network's own pictures, the product of both witnesses, its behaviour over time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fabg.errors import ConfigError, InputError, ModelFileError
from fabg.expression import N_SHAPES
from fabg.geometry import rotation_from_ypr
from fabg.perception.affect import UNIT, UNITS, Affect
from fabg.perception.emotion import (
    CIRCUMPLEX,
    MAX_LAG_S,
    MAX_SMOOTHING_S,
    PROTOTYPES,
    EmotionConfig,
    EmotionEstimator,
    fused,
    share,
    unit_probabilities,
)
from fabg.perception.emotion_net import MIN_CROP_PX, SIDE_PX, VIEWS, EmotionNetwork, views
from fabg.perception.roi import ALIGNED_LEFT_EYE, ALIGNED_RIGHT_EYE, aligned
from fabg.perception.types import EMOTIONS, Emotion, Face, Faces, Frame, Roi
from tests.perception.conftest import FPS

CONFIG = EmotionConfig(purpose="research")
FRONTAL = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [-1.0, 0.0, 0.0, 0.8], [0.0, 0.0, 0.0, 1.0]])
PICTURE = np.full((128, 128, 3), 90, dtype=np.uint8)

EMFACS = {
    "happy": {6: 1, 12: 1},
    "sad": {1: 1, 4: 0.5, 15: 1},
    "surprised": {1: 1, 2: 1, 5: 0.7, 26: 0.8},
    "scared": {1: 0.8, 2: 0.4, 4: 0.5, 5: 1, 7: 0.3, 20: 0.8, 26: 0.3},
    "angry": {4: 1, 5: 0.4, 7: 0.8, 24: 0.7},
    "disgusted": {9: 1, 10: 0.8, 16: 0.3},
    "neutral": {},
}
"""Prototypes as the coders' handbook lists them, in action units."""


def movements(face_id: str = "a", **units: float) -> Affect:
    values = np.zeros((len(UNITS), 2))
    for name, value in units.items():
        values[UNIT[name]] = value
    return Affect(face_id, values)


def prototype(emotion: str, strength: float = 1.0) -> Affect:
    numbers = {unit.action_unit: unit.name for unit in UNITS}
    shown = {numbers[n]: strength * v for n, v in EMFACS[emotion].items() if n in numbers}
    return movements(**shown)


class Script:
    """A reader that tells what it is told to."""

    def __init__(self, affect: Affect) -> None:
        self.affect = affect
        self.config = None

    def update(self, faces: Faces) -> tuple[Affect, ...]:
        return tuple(replace(self.affect, face_id=face.id) for face in faces.faces)


class FakeNetwork:
    """A network that answers what it is told to."""

    def __init__(self, **probabilities: float) -> None:
        rest = (1.0 - sum(probabilities.values())) / (len(EMOTIONS) - len(probabilities))
        self.answer = np.array([probabilities.get(name, rest) for name in EMOTIONS])
        self.reads = 0

    def read(self, picture):
        assert picture.shape == (128, 128, 3)
        self.reads += 1
        return self.answer

    def close(self) -> None:
        pass


def make_face(face_id: str = "a", *, side: float = 120.0, yaw_deg: float = 0.0, **changes) -> Face:
    landmarks = np.random.default_rng(3).uniform(100, 200, (478, 3))
    pose = FRONTAL.copy()
    pose[:3, :3] = FRONTAL[:3, :3] @ rotation_from_ypr(math.radians(yaw_deg), 0.0, 0.0)
    face = Face(face_id, Roi(100.0, 100.0, side, side), 0.9, landmarks, np.zeros(N_SHAPES), pose)
    return replace(face, **changes)


def estimator(affect: Affect | None = None, network: FakeNetwork | None = None, **config) -> EmotionEstimator:
    config = {"network": network is not None, **config}
    return EmotionEstimator(replace(CONFIG, **config), network=network, reader=Script(affect or movements()))


def feed(
    made: EmotionEstimator, *faces: Face, stamp_s: float = 0.0, crop=lambda face: PICTURE
) -> tuple[Emotion, ...]:
    return made.update(Faces(stamp_s, (640, 480), faces), crop)


# The network -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    made = EmotionNetwork()
    yield made
    made.close()


@pytest.fixture(scope="module")
def read_clip(clip, network):
    """Faces, pictures and the network's answers on every eighth image of the first 800 of the clip."""
    from fabg.perception.face import FaceTracker

    found = {}
    with FaceTracker() as tracker:
        for i in range(0, 800, 8):
            (face,) = tracker.update(Frame(clip[i], i / FPS)).faces
            picture = aligned(clip[i], face.landmarks)
            found[i] = face, picture, network.read(picture)
    return found


def test_views_put_the_eyes_where_they_say():
    """Two bright dots at the eyes of the aligned picture come out at the eyes of each view."""
    picture = np.zeros((128, 128), dtype=np.uint8)
    for x, y in (ALIGNED_RIGHT_EYE, ALIGNED_LEFT_EYE):
        cv2.circle(
            picture, (round(16 * (128 * x - 0.5)), round(16 * (128 * y - 0.5))), 48, 255, -1, cv2.LINE_AA, 4
        )
    made = views(picture)
    assert len(made) == 2 * len(VIEWS)
    for k, (distance, height) in enumerate(VIEWS):
        for view in made[2 * k : 2 * k + 2]:
            assert view.shape == (SIDE_PX, SIDE_PX) and view.dtype == np.uint8
            for half, sign in ((view[:, :32], -1), (view[:, 32:], 1)):
                ys, xs = np.mgrid[:64, :32]
                x = (half * xs).sum() / half.sum() + (0 if sign < 0 else 32) + 0.5
                y = (half * ys).sum() / half.sum() + 0.5
                assert x / 64 == pytest.approx(0.5 + sign * distance / 2, abs=0.01)
                assert y / 64 == pytest.approx(height, abs=0.01)


def test_order_of_the_classes_on_real_faces(read_clip):
    """What one sees on the clip: a resting face in most images, wide eyes and raised brows in some."""
    mean = {
        "rest": np.mean([p for i, (_, _, p) in read_clip.items() if 540 <= i < 620], axis=0),
        "wide": np.mean([p for i, (_, _, p) in read_clip.items() if 104 <= i < 168], axis=0),
    }
    assert EMOTIONS[mean["rest"].argmax()] == "neutral"
    index = EMOTIONS.index
    excited = [index("surprised"), index("scared")]
    assert mean["wide"][excited].sum() > 2 * mean["rest"][excited].sum()
    assert mean["rest"][index("happy")] < 0.05


def test_a_mirrored_and_a_grey_picture_read_the_same(read_clip, network):
    for _, picture, answer in list(read_clip.values())[::20]:
        np.testing.assert_allclose(network.read(np.ascontiguousarray(picture[:, ::-1])), answer, atol=0.1)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        np.testing.assert_allclose(network.read(grey), answer, atol=1e-6)
        assert answer.sum() == pytest.approx(1.0) and (answer > 0).all()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((128, 64, 3), np.uint8),
        np.zeros((128, 128, 4), np.uint8),
        np.zeros((128, 128, 3), np.float32),
        np.zeros((MIN_CROP_PX - 1, MIN_CROP_PX - 1), np.uint8),
        None,
    ],
)
def test_what_is_no_picture_of_a_face_is_refused(network, picture):
    with pytest.raises(InputError, match="expected a square uint8 picture"):
        network.read(picture)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_overexposed_pictures_give_probabilities(network, value):
    answer = network.read(np.full((128, 128, 3), value, np.uint8))
    assert np.isfinite(answer).all() and answer.sum() == pytest.approx(1.0)


def test_a_missing_or_altered_model_is_told(tmp_path: Path):
    with pytest.raises(ModelFileError, match="make setup"):
        EmotionNetwork(model_path=tmp_path / "none.tflite")
    (tmp_path / "other.tflite").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="SHA-256"):
        EmotionNetwork(model_path=tmp_path / "other.tflite")


def test_loading_prints_nothing(capfd):
    EmotionNetwork().close()
    assert capfd.readouterr() == ("", "")


def test_a_closed_network_says_so():
    made = EmotionNetwork()
    made.close()
    made.close()
    with pytest.raises(InputError, match="closed"):
        made.read(PICTURE)


# Movements and fusion ----------------------------------------------------------------------------


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_movements_of_a_prototype_are_that_emotion(emotion):
    probabilities = unit_probabilities(prototype(emotion), CONFIG)
    assert EMOTIONS[probabilities.argmax()] == emotion
    assert probabilities.max() > 0.5


@pytest.mark.parametrize("emotion", [e for e in EMOTIONS if e != "neutral"])
def test_stronger_movements_are_stronger_evidence(emotion):
    index = EMOTIONS.index(emotion)
    found = [unit_probabilities(prototype(emotion, s), CONFIG)[index] for s in np.linspace(0, 1, 9)]
    assert (np.diff(found) > 0).all() and found[0] < 0.15


def test_speech_and_blinks_are_no_emotion():
    for units in ({"jaw_open": 0.6}, {"blink": 1.0}, {"funnel": 0.7, "jaw_open": 0.3}):
        assert EMOTIONS[unit_probabilities(movements(**units), CONFIG).argmax()] == "neutral"


def test_every_unit_of_the_prototypes_exists():
    assert set(PROTOTYPES) == set(EMOTIONS) == set(CIRCUMPLEX)
    assert {unit for units in PROTOTYPES.values() for unit in units} <= set(UNIT)


def test_fusion_is_the_weighted_product():
    affect, answer = prototype("sad", 0.5), FakeNetwork(sad=0.3, neutral=0.4).answer
    product = unit_probabilities(affect, CONFIG) ** CONFIG.unit_weight * answer**0.6
    np.testing.assert_allclose(fused(affect, answer, 0.6, CONFIG), product / product.sum(), rtol=1e-9)
    np.testing.assert_allclose(fused(affect, answer, 0.0, CONFIG), unit_probabilities(affect, CONFIG))


def test_places_in_the_circumplex():
    """Quadrants of Russell (1980): joy pleasant and awake; fear and anger unpleasant and awake; sadness low."""
    for name, signs in {
        "happy": (1, 1),
        "angry": (-1, 1),
        "scared": (-1, 1),
        "disgusted": (-1, 1),
        "sad": (-1, -1),
    }.items():
        assert tuple(np.sign(CIRCUMPLEX[name])) == signs
    assert CIRCUMPLEX["neutral"] == (0, 0)
    assert CIRCUMPLEX["surprised"][1] > CIRCUMPLEX["happy"][1] > 0


@given(arrays(np.float64, (len(UNITS), 2), elements=st.floats(0, 1)), st.floats(0, 5))
def test_probabilities_are_probabilities(units, weight):
    found = fused(Affect("a", units), FakeNetwork(happy=0.9).answer, weight, CONFIG)
    assert found.shape == (7,) and (found >= 0).all() and found.sum() == pytest.approx(1.0)
    assert 0.0 <= Affect("a", units).surprise <= 1.0


# One face over time ------------------------------------------------------------------------------


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_clear_expression_has_label_confidence_and_a_place(emotion):
    (found,) = feed(estimator(prototype(emotion)), make_face())
    assert found.face_id == "a" and found.label == emotion and found.confidence > 0.5
    assert found.probabilities.sum() == pytest.approx(1.0)
    expected = found.probabilities @ np.array([CIRCUMPLEX[name] for name in EMOTIONS])
    assert (found.valence, found.arousal) == pytest.approx(tuple(expected))


def test_smile_and_surprise_are_numbers_of_their_own():
    (found,) = feed(
        estimator(movements(smile=0.35, brow_inner_up=0.6, brow_outer_up=0.4, jaw_open=0.5)), make_face()
    )
    assert found.smile == pytest.approx(0.35)
    assert found.surprise == pytest.approx(0.5 * (0.4 + 0.6 * 0.5))


@pytest.mark.parametrize("smoothing_s", [0.05, CONFIG.smoothing_s, MAX_SMOOTHING_S])
def test_a_step_is_half_done_within_100_ms_at_25_images_a_second(smoothing_s):
    """A first-order smoothing reaches half of a step after ln 2 time constants; the images add one period."""
    assert smoothing_s * math.log(2.0) <= MAX_LAG_S
    reader = Script(movements())
    made = EmotionEstimator(replace(CONFIG, network=False, smoothing_s=smoothing_s), reader=reader)
    happy = EMOTIONS.index("happy")
    low, high = (unit_probabilities(a, CONFIG)[happy] for a in (movements(), movements(smile=1.0)))
    found = []
    for i in range(60):
        reader.affect = movements(smile=1.0 if i >= 30 else 0.0)
        (emotion,) = feed(made, make_face(), stamp_s=i / 25)
        found.append((emotion.probabilities[happy] - low) / (high - low))
    assert found[29] == pytest.approx(0.0, abs=1e-9)
    # The step happened at some time after image 29: it has taken effect for n images by image 29 + n.
    expected = [1.0 - math.exp(-n * 0.04 / smoothing_s) for n in range(1, 31)]
    np.testing.assert_allclose(found[30:], expected, atol=1e-9)
    assert next(n for n, value in enumerate(found[29:]) if value >= 0.5) * 0.04 <= 0.04 + MAX_LAG_S
    if smoothing_s == CONFIG.smoothing_s:
        assert found[29 + 2] >= 0.5  # 80 ms


def test_longer_smoothing_is_refused():
    with pytest.raises(ConfigError, match="smoothing_s is 0.15"):
        replace(CONFIG, smoothing_s=0.15)


def test_smoothing_depends_on_time_not_on_the_number_of_images():
    assert 1.0 - share(0.04, 0.1) ** 0 == 0.0
    assert (1.0 - share(0.04, 0.1)) == pytest.approx((1.0 - share(0.02, 0.1)) ** 2)
    assert share(0.04, 0.0) == 1.0


def test_a_label_that_wavers_around_the_threshold_does_not_flicker():
    reader = Script(movements())
    made = EmotionEstimator(replace(CONFIG, network=False, smoothing_s=0.0), reader=reader)
    rng = np.random.default_rng(5)
    changes, plain, before = 0, 0, ("", "")
    for i in range(400):
        reader.affect = movements(smile=float(np.clip(0.24 + rng.normal(0, 0.03), 0, 1)))
        (found,) = feed(made, make_face(), stamp_s=i / 25)
        best = EMOTIONS[found.probabilities.argmax()]
        changes += found.label != before[0]
        plain += best != before[1]
        before = found.label, best
    assert plain > 60 and changes < plain / 4


def test_weak_evidence_is_unknown_and_has_no_confidence():
    undecided = FakeNetwork(happy=0.2, sad=0.2, angry=0.2)
    (found,) = feed(
        estimator(movements(smile=0.2, lip_corner_down=0.2), undecided, neutral_bias=0.5), make_face()
    )
    assert (found.label, found.confidence) == ("", 0.0)
    assert found.probabilities.max() < CONFIG.enter


@pytest.mark.parametrize(
    "face",
    [
        make_face(side=CONFIG.min_face_px - 1),
        make_face(yaw_deg=CONFIG.max_turn_deg + 1),
        make_face(yaw_deg=180.0),
        make_face(landmarks=np.full((478, 3), np.nan)),
        make_face(landmarks=np.zeros((0, 3))),
        make_face(pose=np.full((4, 4), np.nan)),
        make_face(pose=np.zeros((4, 4))),
        make_face(roi=Roi(0.0, 0.0, math.nan, 10.0)),
        make_face(roi=Roi(0.0, 0.0, -10.0, 10.0)),
    ],
    ids=[
        "small",
        "turned",
        "from behind",
        "no landmarks",
        "few landmarks",
        "no pose",
        "zero pose",
        "NaN box",
        "negative box",
    ],
)
def test_a_face_that_cannot_be_read_is_unknown(face):
    made = estimator(prototype("happy"), FakeNetwork(happy=0.9))
    for i in range(5):
        (found,) = feed(made, face, stamp_s=i / 25)
        assert (found.label, found.confidence) == ("", 0.0)
        assert (found.valence, found.arousal) == (0.0, 0.0)
        assert np.isfinite(found.probabilities).all() and found.probabilities.sum() == pytest.approx(1.0)
    assert made.network_runs == 0


def test_confidence_falls_with_size_and_turn():
    def confidence(face: Face) -> float:
        return feed(estimator(prototype("happy")), face)[0].confidence

    full = confidence(make_face())
    assert confidence(make_face(side=45.0)) == pytest.approx(0.5 * full)
    assert confidence(make_face(yaw_deg=37.5)) == pytest.approx(0.5 * full)
    assert confidence(make_face(yaw_deg=20.0)) == pytest.approx(full)


# The network's turn ------------------------------------------------------------------------------


@pytest.mark.parametrize(("network_hz", "runs"), [(10.0, 40), (5.0, 20), (60.0, 100)])
def test_the_network_runs_no_more_often_than_allowed(network_hz, runs):
    net = FakeNetwork(happy=0.7)
    made = estimator(movements(), net, network_hz=network_hz)
    for i in range(100):  # 4 s of 25 images a second
        feed(made, make_face("a"), make_face("b"), stamp_s=i / 25)
    assert net.reads == made.network_runs <= 2 * runs
    assert net.reads >= 0.8 * 2 * runs


def test_both_witnesses_count():
    for net, label in ((FakeNetwork(happy=0.95), "happy"), (FakeNetwork(neutral=0.95), "neutral")):
        (found,) = feed(estimator(movements(smile=0.25), net), make_face())
        assert found.label == label


def test_an_old_answer_fades_and_is_told():
    net = FakeNetwork(happy=0.98)
    made = estimator(movements(), net, smoothing_s=0.0)
    pictures = [PICTURE]
    happy = EMOTIONS.index("happy")
    found = []
    for i in range(20):
        (emotion,) = feed(
            made, make_face(), stamp_s=i / 25, crop=lambda face: pictures.pop() if pictures else None
        )
        found.append(emotion.probabilities[happy])
        assert made.without_picture == (() if i / 25 < CONFIG.network_age_s else ("a",))
    assert (np.diff(found) <= 1e-12).all() and found[6] == pytest.approx(found[0])
    alone = unit_probabilities(movements(), CONFIG)[happy]
    assert found[0] > 2 * alone and found[-1] == pytest.approx(alone)


@pytest.mark.parametrize(
    "picture", [None, np.zeros((1, 1, 3), np.uint8), np.zeros((0, 0, 3), np.uint8), np.zeros((128, 128, 3))]
)
def test_without_a_picture_movements_decide_alone(picture):
    made = estimator(prototype("sad"), FakeNetwork(happy=0.99))
    (found,) = feed(made, make_face(), crop=lambda face: picture)
    assert found.label == "sad" and made.network_runs == 0 and made.without_picture == ("a",)


def test_the_network_can_be_switched_off_and_on_while_it_runs():
    net = FakeNetwork(happy=0.9)
    made = estimator(movements(), net)
    feed(made, make_face())
    made.configure(replace(made.config, network=False))
    feed(made, make_face(), stamp_s=1.0)
    assert net.reads == 1
    made.configure(replace(made.config, network=True))
    feed(made, make_face(), stamp_s=2.0)
    assert net.reads == 2


def test_another_purpose_needs_another_estimator():
    made = estimator()
    with pytest.raises(ConfigError, match="purpose is care"):
        made.configure(replace(made.config, purpose="care"))


# Time and people ---------------------------------------------------------------------------------


def test_equal_and_backward_stamps_neither_stop_nor_break_it():
    net = FakeNetwork(happy=0.9)
    made = estimator(prototype("happy"), net)
    for stamp_s in [5.0] * 30 + [4.0, 3.0, 2.0] * 10:
        (found,) = feed(made, make_face(), stamp_s=stamp_s)
        assert found.label == "happy" and np.isfinite(found.probabilities).all()
    assert net.reads >= 10  # each image counts as 1/30 s later


def test_a_stamp_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="stamp is nan"):
        feed(estimator(), make_face(), stamp_s=math.nan)


def test_people_are_kept_apart_and_forgotten():
    reader = Script(prototype("happy"))
    made = EmotionEstimator(replace(CONFIG, network=False), reader=reader)
    feed(made, make_face("a"))
    reader.affect = movements()
    old, new = feed(made, make_face("a"), make_face("b"), stamp_s=0.04)
    assert old.probabilities[3] > 0.5 > new.probabilities[3]
    feed(made, stamp_s=100.0)
    assert made._states == {}


def test_after_a_gap_the_past_counts_no_more():
    reader = Script(prototype("happy"))
    made = EmotionEstimator(replace(CONFIG, network=False), reader=reader)
    feed(made, make_face())
    reader.affect = prototype("sad")
    (found,) = feed(made, make_face(), stamp_s=1.0)
    np.testing.assert_allclose(found.probabilities, unit_probabilities(prototype("sad"), CONFIG))


def test_nobody_is_an_empty_answer():
    assert feed(estimator(network=FakeNetwork(happy=0.9))) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network_hz", 0.0),
        ("network_weight", -1.0),
        ("unit_gain", math.nan),
        ("max_turn_deg", 91.0),
        ("enter", 0.1),
    ],
)
def test_values_out_of_range_are_quoted(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        replace(CONFIG, **{name: value})


def test_leave_above_enter_is_refused():
    with pytest.raises(ConfigError, match="leave is 0.6, enter is 0.5"):
        replace(CONFIG, leave=0.6)


# The real models together ------------------------------------------------------------------------


def test_the_clip_is_mostly_neutral_with_some_excitement(read_clip):
    """The real reader and network on a real person: sensible over all, finite everywhere."""
    with EmotionEstimator(CONFIG) as made:
        found = {
            i: made.update(Faces(i / FPS, (400, 300), (face,)), lambda _, p=picture: p)[0]
            for i, (face, picture, _) in read_clip.items()
        }
    labels = [emotion.label for i, emotion in found.items() if i >= 400]
    assert sum(label == "neutral" for label in labels) > 0.5 * len(labels)
    assert not {"disgusted", "angry"} & set(labels) or labels.count("disgusted") + labels.count(
        "angry"
    ) < 0.2 * len(labels)
    assert np.mean([found[i].arousal for i in range(104, 168, 8)]) > np.mean(
        [found[i].arousal for i in range(544, 624, 8)]
    )
    for emotion in found.values():
        values = [*emotion.probabilities, emotion.valence, emotion.arousal, emotion.smile, emotion.surprise]
        assert np.isfinite(values).all() and emotion.probabilities.sum() == pytest.approx(1.0)
        assert -1 <= emotion.valence <= 1 and -1 <= emotion.arousal <= 1
        assert (emotion.confidence == 0.0) == (emotion.label == "")
