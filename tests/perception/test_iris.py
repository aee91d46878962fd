"""Irises: geometry on eyes drawn by formula, the network against a plain convolution, and a real face."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fabg.errors import ModelFileError
from fabg.perception.convnet import (
    HEIGHT,
    LOOK_LAYERS,
    LOOK_SHAPES,
    MARK_LAYERS,
    MARK_SHAPES,
    WIDTH,
    LookNet,
    MarkNet,
    normalised,
    weights_from_json,
)
from fabg.perception.iris import (
    IRISES,
    LIDS,
    SPAN,
    eye_frames,
    eye_nets,
    eye_pictures,
    iris_normals,
    moved_irises,
    refined_irises,
)
from fabg.perception.readout import DATA, load_document
from fabg.perception.roi import square
from fabg.perception.types import Roi

EYE_PX = 30.0
PICTURE_PX = SPAN * EYE_PX / WIDTH
"""Px of the image for each px of an eye's picture."""


def two_eyes(angle: float = 0.0) -> np.ndarray:
    """Landmarks of two elliptic eyes 30 px wide, 60 px apart about (230, 200), turned in the image."""
    landmarks = np.zeros((478, 3))
    for lids, iris, x, outer in ((LIDS[0], IRISES[0], -30.0, -1.0), (LIDS[1], IRISES[1], 30.0, 1.0)):
        for k, index in enumerate(lids):
            t = 2 * math.pi * k / 16
            landmarks[index] = [x + outer * 15 * math.cos(t), -6 * math.sin(t), 3.0]
        landmarks[iris[0]] = [x, 0, 3.0]
        for k, index in enumerate(iris[1:]):
            landmarks[index] = [x + 6 * math.cos(k * math.pi / 2), 6 * math.sin(k * math.pi / 2), 3.0]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    landmarks[:, :2] = landmarks[:, :2] @ turn.T + [230, 200]
    return landmarks


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_eyes_lie_in_the_middle_of_their_pictures_outer_corner_first(angle):
    landmarks = two_eyes(angle)
    for eye, lids in zip(eye_frames(landmarks), LIDS, strict=True):
        in_picture = np.linalg.solve(eye[:, :2], (landmarks[list(lids), :2] - eye[:, 2]).T).T
        middle = [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]
        np.testing.assert_allclose(in_picture.mean(axis=0), middle, atol=1e-9)
        # The outer corner is on the left of both: the left eye is mirrored.
        np.testing.assert_allclose(in_picture[0], [middle[0] - 15 / PICTURE_PX, middle[1]], atol=1e-9)
        assert in_picture[4, 1] < middle[1] - 5, "the upper lid is above"


def test_pictures_show_what_the_maps_say():
    # An image whose grey value is its column: each pixel of a picture tells where it was taken from.
    image = np.repeat(np.tile(np.arange(460) % 256, (400, 1))[..., None], 3, axis=2).astype(np.uint8)
    landmarks = two_eyes()
    landmarks[:, 0] -= 130
    maps = eye_frames(landmarks)
    for detail in (1, 2):
        pictures = eye_pictures(image, maps, detail)
        assert pictures.shape == (2, detail * HEIGHT, detail * WIDTH)
        columns = (np.arange(detail * WIDTH) + 0.5) / detail - 0.5
        for picture, eye in zip(pictures, maps, strict=True):
            expected = columns * eye[0, 0] + 16 * eye[0, 1] + eye[0, 2]
            np.testing.assert_allclose(picture[8 * detail], expected, atol=1.0)


@pytest.mark.parametrize("angle", [0.0, 0.5])
@pytest.mark.parametrize("aside", [(0.0, 0.0), (0.3, 0.2), (-0.5, -0.1)])
def test_irises_are_where_they_were_seen_and_face_along_the_line_of_sight(angle, aside):
    """Both eyes look the same way: in the mirrored picture of the left eye x runs the other way."""
    landmarks = two_eyes(angle)
    marks = np.array([(2.0, -1.0), (-2.0, -1.0)])
    looks = np.array([aside, (-aside[0], aside[1])])
    moved = moved_irises(landmarks, marks, looks, eye_frames(landmarks))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = [*(turn @ aside), -math.sqrt(1 - np.dot(aside, aside))]
    np.testing.assert_allclose(iris_normals(moved), [expected, expected], atol=1e-9)
    for points in IRISES:
        # The middle is where it was seen, the rim has its size, and nothing else moves.
        shift = moved[points[0], :2] - landmarks[points[0], :2]
        np.testing.assert_allclose(shift, turn @ [2 * PICTURE_PX, -PICTURE_PX], atol=1e-9)
        rim = moved[list(points[1:])] - moved[points[0]]
        np.testing.assert_allclose(np.linalg.norm(rim, axis=1), 6.0, atol=1e-9)
    others = [i for i in range(478) if i not in (*IRISES[0], *IRISES[1])]
    np.testing.assert_array_equal(moved[others], landmarks[others])


def test_irises_move_and_turn_within_limits():
    landmarks = two_eyes()
    moved = moved_irises(landmarks, np.full((2, 2), 500.0), np.full((2, 2), 9.0), eye_frames(landmarks))
    for points in IRISES:
        assert np.abs(moved[points[0], :2] - landmarks[points[0], :2]).max() == pytest.approx(EYE_PX / 4)
    assert np.isfinite(moved).all() and np.all(iris_normals(moved)[:, 2] < -0.3)


def test_landmarks_in_one_point_are_survived():
    assert np.isfinite(refined_irises(np.zeros((50, 50, 3), np.uint8), np.full((478, 3), 20.0))).all()


# The network -------------------------------------------------------------------------------------


def random_weights(shapes) -> list:
    rng = np.random.default_rng(0)
    return [
        (rng.normal(0, 0.2, shape).astype(np.float32), rng.normal(0, 0.1, shape[1]).astype(np.float32))
        for shape in shapes
    ]


def plainly_convolved(pictures, layers, weights, *, last_plain: bool) -> np.ndarray:
    values = pictures[..., None].astype(np.float64)
    for number, (layer, (kernel, offset)) in enumerate(zip(layers, weights, strict=False)):
        side, stride = layer.side, layer.stride
        edge, (n, h, w, _) = side // 2, values.shape
        padded = np.pad(values, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
        out = np.zeros((n, -(-h // stride), -(-w // stride), layer.out)) + offset
        for i in range(side):
            for j in range(side):
                part = padded[:, i : i + h : stride, j : j + w : stride]
                out += part @ kernel.reshape(side, side, layer.channels, layer.out)[i, j]
        plain = last_plain and number == len(layers) - 1
        values = out if plain else np.maximum(out, 0)
    return values


PICTURES = np.random.default_rng(1).normal(0, 1, (2, HEIGHT, WIDTH)).astype(np.float32)


def test_the_marking_network_is_convolutions_and_the_mean_under_a_softmax():
    weights = random_weights(MARK_SHAPES)
    heat = np.exp(plainly_convolved(PICTURES, MARK_LAYERS, weights, last_plain=True)[..., 0])
    x, y = np.arange(0, WIDTH, 2) - (WIDTH - 1) / 2, np.arange(0, HEIGHT, 2) - (HEIGHT - 1) / 2
    total = heat.sum(axis=(1, 2))
    expected = np.column_stack([heat.sum(axis=1) @ x / total, heat.sum(axis=2) @ y / total])
    np.testing.assert_allclose(MarkNet(weights)(PICTURES), expected, atol=1e-3)


def test_the_looking_network_is_convolutions_and_two_dense_layers():
    weights = random_weights(LOOK_SHAPES)
    seen = plainly_convolved(PICTURES, LOOK_LAYERS, weights, last_plain=False).reshape(2, -1)
    hidden = np.maximum(seen @ weights[-2][0] + weights[-2][1], 0)
    np.testing.assert_allclose(
        LookNet(weights)(PICTURES), hidden @ weights[-1][0] + weights[-1][1], rtol=1e-4
    )


def test_a_flat_picture_is_nothing_to_divide_by():
    assert np.abs(normalised(np.full((1, HEIGHT, WIDTH), 77, np.uint8))).max() == 0.0


@pytest.mark.parametrize(("name", "shapes"), [("iris.json", MARK_SHAPES), ("look.json", LOOK_SHAPES)])
def test_damaged_networks_are_refused(name, shapes):
    document = load_document(name)
    for bad in ({"kernel_2": None}, {"kernel_1": [[1.0]]}, {"offset_3": [0.0]}):
        with pytest.raises(ModelFileError, match="damaged"):
            weights_from_json(document | bad, shapes)
    with pytest.raises(ModelFileError, match="damaged"):
        weights_from_json({k: v for k, v in document.items() if k != "offset_1"}, shapes)
    with pytest.raises(ModelFileError, match="NaN"):
        weights_from_json(document | {"offset_1": [math.nan] * shapes[0][1]}, shapes)


@pytest.mark.parametrize("name", ["iris.json", "look.json"])
def test_what_ships_is_small_and_says_how_it_was_made(name):
    text = (DATA / name).read_text()
    made = json.loads(text)["made"]
    assert len(text) < 300_000 and max(made["people"]) < 1000 and made["seed"] < 1000
    assert all(0 < error < 100 for error in made["error_on_other_people"].values())


# A real face -------------------------------------------------------------------------------------


def test_on_a_real_face_irises_stay_in_the_eyes_and_both_look_the_same_way(landmarker, portrait):
    (reading,) = landmarker.read(portrait, square(Roi(230, 150, 200, 230), 1.6))
    for points, lids in zip(IRISES, LIDS, strict=True):
        corners = reading.landmarks[[lids[0], lids[8]], :2]
        off = np.linalg.norm(reading.landmarks[points[0], :2] - corners.mean(axis=0))
        assert off < 0.25 * np.linalg.norm(corners[0] - corners[1])
    right, left = iris_normals(reading.landmarks)
    assert math.degrees(math.acos(right @ left)) < 15


def test_a_mirrored_face_looks_the_mirrored_way(landmarker, portrait):
    crop = square(Roi(230, 150, 200, 230), 1.6)
    (reading,) = landmarker.read(portrait, crop)
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    landmarks = reading.landmarks.copy()
    landmarks[:, 0] = portrait.shape[1] - 1 - landmarks[:, 0]
    swapped = landmarks.copy()
    for one, other in zip((*LIDS[0], *IRISES[0]), (*LIDS[1], *IRISES[1]), strict=True):
        swapped[[one, other]] = landmarks[[other, one]]
    normals = iris_normals(refined_irises(mirrored, swapped))
    expected = iris_normals(refined_irises(portrait, reading.landmarks))[::-1] * [-1, 1, 1]
    np.testing.assert_allclose(normals, expected, atol=0.02)


def test_the_networks_load_once():
    assert eye_nets() is eye_nets()
