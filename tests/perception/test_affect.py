"""Movements: the frame that moves with the skull, both sides alike, the resting face, the real clip."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fabg.errors import ConfigError, InputError, ModelFileError
from fabg.expression import INDEX, N_SHAPES, SHAPES, mirrored
from fabg.geometry import rotation_from_ypr
from fabg.perception import affect
from fabg.perception.affect import (
    RIGID,
    UNIT,
    UNITS,
    Affect,
    AffectConfig,
    AffectReader,
    model,
    place,
    read_units,
    shape_units,
    surprise,
)
from fabg.perception.types import Face, Faces, Frame
from tests.perception.conftest import FPS


@pytest.fixture(scope="module")
def clip_faces(clip) -> list[Face]:
    """The face in every fifth image of the first 40 s of the clip."""
    from fabg.perception.face import FaceTracker

    with FaceTracker() as tracker:
        return [tracker.update(Frame(clip[i], i / FPS)).faces[0] for i in range(0, 1000, 5)]


@pytest.fixture(scope="module")
def face(clip_faces) -> Face:
    """A frontal, resting face."""
    return clip_faces[120]


def script(monkeypatch, *readings: np.ndarray) -> AffectReader:
    """A reader whose faces read, one image after the other, what they are told to."""
    told = iter(readings)
    monkeypatch.setattr(affect, "read_units", lambda face: np.array(next(told), dtype=np.float64))
    return AffectReader()


def uniform(value: float) -> np.ndarray:
    return np.full((len(UNITS), 2), value)


def one(reader: AffectReader, face: Face, stamp_s: float) -> Affect:
    (found,) = reader.update(Faces(stamp_s, (640, 480), (face,)))
    return found


# Placing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.4])
@pytest.mark.parametrize("pitch", [-0.3, 0.0, 0.5])
@pytest.mark.parametrize("roll", [-1.5, 0.0, 0.3])
def test_a_turned_face_is_placed_upright_and_its_turn_told(yaw, pitch, roll):
    """A rigid face seen under a known rotation, scale and shift comes back; roll changes no other angle."""
    template = model().template
    points = np.random.default_rng(0).uniform(-1, 1, (478, 3))
    points[list(RIGID)] = template
    # Template axes (x to the person's left, y up, z out) from the head's (x out, y left, z up).
    axes = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    # The roll comes last, about the line of sight: it turns the image and nothing else.
    roll_, pitch_, yaw_ = (rotation_from_ypr(*a) for a in ((0, 0, roll), (0, pitch, 0), (yaw, 0, 0)))
    rotation = roll_ @ pitch_ @ yaw_
    turned = points @ (axes @ rotation @ axes.T).T
    landmarks = turned * 77.0 * (1.0, -1.0, -1.0) + (320.0, 200.0, 5.0)
    found, turn = place(landmarks, template)
    np.testing.assert_allclose(found, points, atol=1e-9)
    assert turn == pytest.approx((yaw, pitch))


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((478, 3), np.nan),
        np.zeros((478, 3)),
        np.outer(np.arange(478.0), [1.0, 2.0, 3.0]),
        np.zeros((0, 3)),
        np.full((478, 3), np.inf),
    ],
    ids=["NaN", "a point", "a line", "none", "infinite"],
)
def test_without_usable_landmarks_the_blendshapes_decide(face, landmarks):
    broken = replace(face, landmarks=landmarks)
    assert read_units(broken) is None
    reader = AffectReader(AffectConfig(rest_limit=0.0))
    np.testing.assert_array_equal(one(reader, broken, 0.0).units, shape_units(face.blendshapes))


def test_plain_blendshapes_of_both_sides():
    shapes = np.arange(N_SHAPES) / 100.0
    found = shape_units(shapes)
    assert found[UNIT["smile"]].tolist() == [
        shapes[INDEX["mouthSmileLeft"]],
        shapes[INDEX["mouthSmileRight"]],
    ]
    assert found[UNIT["jaw_open"]].tolist() == [shapes[INDEX["jawOpen"]]] * 2


def test_units_name_shapes_and_numbers_once():
    assert len({unit.action_unit for unit in UNITS}) == len(UNITS) == len(UNIT)
    assert all(shape in SHAPES for unit in UNITS for shape in unit.shapes)


def test_the_fitted_model_fits_the_code(face):
    found = affect.features(face, model().template)
    assert found.shape == (2, len(model().weights)) and np.isfinite(found).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"template": [[0, 0, 0]], "weights": [[1.0]]}', "holds weights"),
    ],
)
def test_a_broken_model_file_is_told(monkeypatch, tmp_path, text, words):
    (tmp_path / "affect.json").write_text(text)
    monkeypatch.setattr(affect, "_DATA", tmp_path / "affect.json")
    model.cache_clear()
    with pytest.raises(ModelFileError, match=words):
        AffectReader()
    model.cache_clear()


# Reading ------------------------------------------------------------------------------------------


def mirror(face: Face, width: int = 400) -> Face:
    """The reading of the mirrored image, if the landmarker were perfectly symmetric."""
    swapped = np.arange(478)
    for left, right in zip(affect._LEFT, affect._RIGHT, strict=True):
        swapped[left], swapped[right] = right, left
    for left, right in (
        (33, 263),
        (133, 362),
        (54, 284),
        (67, 297),
        (127, 356),
        (143, 372),
        (234, 454),
        (129, 358),
        (198, 420),
    ):
        swapped[left], swapped[right] = right, left
    landmarks = face.landmarks[swapped] * (-1.0, 1.0, 1.0) + (width - 1.0, 0.0, 0.0)
    shapes = np.zeros(61)
    shapes[:N_SHAPES] = face.blendshapes
    return replace(face, landmarks=landmarks, blendshapes=mirrored(shapes)[:N_SHAPES])


def test_a_mirrored_face_changes_sides(clip_faces):
    for seen in clip_faces[::40]:
        np.testing.assert_allclose(read_units(mirror(seen)), read_units(seen)[:, ::-1], atol=1e-9)


def test_place_and_size_in_the_image_do_not_matter(face):
    moved = replace(face, landmarks=face.landmarks * 1.7 + (30.0, -20.0, 4.0))
    np.testing.assert_allclose(read_units(moved), read_units(face), atol=1e-9)


def test_a_face_that_lies_on_its_side_reads_the_same(face):
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    lying = replace(face, landmarks=face.landmarks @ turn.T)
    np.testing.assert_allclose(read_units(lying), read_units(face), atol=1e-6)


@given(arrays(np.float64, N_SHAPES, elements=st.floats(0, 1)))
def test_whatever_the_shapes_the_units_stay_in_range(shapes):
    still = Face("a", None, 1.0, np.full((478, 3), np.nan), shapes, np.eye(4))
    (found,) = AffectReader().update(Faces(0.0, (640, 480), (still,)))
    assert found.units.shape == (len(UNITS), 2)
    assert (found.units >= 0).all() and (found.units <= 1).all()
    assert 0 <= found.surprise <= 1 and 0 <= found.brow_raise <= 1


def test_nan_does_not_pass(face):
    reader = AffectReader()
    broken = replace(face, blendshapes=np.full(N_SHAPES, np.nan))
    assert (one(reader, broken, 0.0).units == 0).all()
    assert (reader.resting(face.id) == 0).all()
    assert np.isfinite(one(reader, face, 0.04).units).all()


@pytest.mark.parametrize(
    ("brow", "wide", "jaw", "lower", "expected"),
    [
        (0, 1, 1, 0, 0.0),  # an open mouth is no surprise
        (1, 0, 0, 0, 0.4),
        (1, 1, 0, 0, 1.0),
        (1, 0, 1, 0, 1.0),
        (0.5, 0.2, 0.6, 0, 0.38),
        (1, 1, 1, 1, 0.0),
        (1, 0, 0, 0.5, 0.2),
    ],
)
def test_surprise(brow, wide, jaw, lower, expected):
    assert surprise(brow, wide, jaw, lower) == pytest.approx(expected)


# The resting face ---------------------------------------------------------------------------------


def blank(face: Face, value: float = 0.0) -> Face:
    """A face whose blendshapes all read `value`."""
    return replace(face, blendshapes=np.full(N_SHAPES, value))


def test_the_first_image_reads_what_the_blendshapes_say(monkeypatch, face):
    for level in (-3.0, 0.0, 1.7):
        reader = script(monkeypatch, uniform(level))
        np.testing.assert_allclose(one(reader, blank(face, 0.3), 0.0).units, 0.3)


def test_a_persons_level_does_not_matter_only_what_moves(monkeypatch, face):
    for level in (-3.0, 0.0, 1.7):
        reader = script(monkeypatch, *[uniform(level)] * 100, uniform(level + 0.6))
        for i in range(100):
            found = one(reader, blank(face), i / 25)
        assert (found.units < 1e-6).all()
        assert one(reader, blank(face), 4.0).units == pytest.approx(0.6, abs=0.01)


def test_blendshapes_that_are_not_zero_at_rest_are_learned(monkeypatch, face):
    offset = 0.2
    reader = script(monkeypatch, *[uniform(0.0)] * 500, uniform(0.4))
    for i in range(500):
        found = one(reader, blank(face, offset), i / 25)
    assert (found.units < 0.01).all()
    np.testing.assert_allclose(reader.resting(face.id), offset, atol=0.01)
    assert one(reader, blank(face, offset), 20.0).units == pytest.approx(0.4 / (1 - offset), abs=0.02)


def test_a_long_smile_stays_a_smile(monkeypatch, face):
    """The rest never takes more than its limit; a minute's smile is still most of one."""
    reader = script(monkeypatch, *[uniform(0.0)] * 50, *[uniform(0.8)] * 1500)
    for i in range(1550):
        found = one(reader, blank(face, 0.0 if i < 50 else 0.8), i / 25)
    limit = AffectConfig().rest_limit
    assert (reader.resting(face.id) <= limit).all()
    assert found.smile >= (0.8 - limit) / (1 - limit) - 0.02
    short = script(monkeypatch, *[uniform(0.0)] * 50, *[uniform(0.8)] * 125)
    for i in range(175):
        found = one(short, blank(face, 0.0 if i < 50 else 0.8), i / 25)
    assert found.smile > 0.7  # after five seconds


def test_a_smile_is_at_once_what_it_is(monkeypatch, face):
    reader = script(monkeypatch, *[uniform(0.0)] * 50, uniform(0.7))
    for i in range(50):
        one(reader, blank(face), i / 25)
    assert one(reader, blank(face, 0.6), 2.0).smile == pytest.approx(0.7, abs=0.02)


def test_who_comes_smiling_reads_as_smiling(monkeypatch, face):
    reader = script(monkeypatch, *[uniform(0.0)] * 50)
    for i in range(50):
        found = one(reader, blank(face, 0.7), i / 25)
    assert found.smile > 0.55


def test_the_resting_face_depends_on_time_not_on_the_number_of_images(monkeypatch, face):
    rest = []
    for fps in (10, 50):
        reader = script(monkeypatch, *[uniform(0.0)] * 10 * fps)
        for i in range(10 * fps):
            one(reader, blank(face, 0.6), i / fps)
        rest.append(reader.resting(face.id)[0, 0])
    assert 0.0 < rest[0] == pytest.approx(rest[1], rel=0.15)


def test_everybody_has_a_resting_face_of_their_own_until_forgotten(monkeypatch, face):
    reader = script(monkeypatch, *[uniform(0.0)] * 400)
    other = replace(blank(face), id="other")
    for i in range(200):
        reader.update(Faces(i / 25, (640, 480), (blank(face, 0.2), other)))
    assert (reader.resting(face.id) > 0.1).all() and (reader.resting("other") == 0).all()
    reader.update(Faces(100.0, (640, 480), ()))
    assert (reader.resting(face.id) == 0).all()


def test_it_can_be_switched_off(monkeypatch, face):
    reader = script(monkeypatch, *[uniform(0.0)] * 100)
    reader.config = AffectConfig(rest_limit=0.0)
    for i in range(100):
        assert one(reader, blank(face, 0.2), i / 25).units == pytest.approx(0.2)


def test_equal_and_backward_stamps(face):
    reader = AffectReader()
    for stamp_s in (5.0, 5.0, 4.0, 5.0, 0.0):
        assert np.isfinite(one(reader, face, stamp_s).units).all()
    with pytest.raises(InputError, match="stamp is inf"):
        one(reader, face, math.inf)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rest_quantile", 0.6),
        ("rest_rate_hz", -1.0),
        ("rest_limit", math.nan),
        ("forget_s", -1.0),
        ("settle_s", 0.0),
    ],
)
def test_values_out_of_range_are_quoted(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        AffectConfig(**{name: value})


# The real clip ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_units(clip_faces) -> np.ndarray:
    """Units above the resting face over the clip, shape (images, units, 2)."""
    reader = AffectReader()
    return np.array([one(reader, face, i * 5 / FPS).units for i, face in enumerate(clip_faces)])


@pytest.mark.parametrize(
    "name", ["smile", "jaw_open", "blink", "brow_outer_up", "brow_inner_up", "lip_raise"]
)
def test_on_the_clip_units_rise_with_the_blendshapes_that_mean_them(clip_faces, clip_units, name):
    """Sorted by the blendshape into four parts of its range, the mean reading rises from part to part."""
    plain = np.array([shape_units(face.blendshapes)[UNIT[name]].mean() for face in clip_faces])
    read = clip_units[:, UNIT[name]].mean(axis=1)
    part = np.minimum((plain / plain.max() * 4).astype(int), 3)
    means = [read[part == k].mean() for k in range(4) if (part == k).any()]
    assert (np.diff(means) > 0).all() and means[-1] > means[0] + 0.2
    assert np.corrcoef(plain, read)[0, 1] > 0.65


@pytest.mark.parametrize(("name", "high"), [("smile", 0.4), ("jaw_open", 0.3), ("blink", 0.5)])
def test_on_the_clip_the_range_is_used_and_rest_is_low(clip_units, name, high):
    read = clip_units[:, UNIT[name]].mean(axis=1)
    assert read.max() > high and np.percentile(read, 20) < 0.1
