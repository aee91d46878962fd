"""Fingers that point at the camera: by hand with made-up depth, and against the truth of rendered people."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.perception.hand_finger import aim, aimed_distance, expected_tip, tip_distance, with_tip
from fabg.perception.hand_geometry import palm_center
from fabg.perception.hand_landmark import HandNets
from fabg.perception.hands import HandTracker
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Frame, Gesture, Hand, Side
from fabg.social.avatar import (
    HAND_SHAPES,
    Actor,
    FacePose,
    HandPose,
    HandTruth,
    Lens,
    Person,
    Picture,
    Studio,
    facing,
    hand_at,
)

CAMERA = Camera.from_fov(640, 480, 60.0)
PALM_M, TIP_M = 0.62, 0.50
TIP_PX = np.array([300.0, 200.0])


def pointing_depth(tip_m: float = TIP_M, offset_px: float = 0.0) -> np.ndarray:
    """A finger of 15 mm seen from its tip, bent fingers of 80 mm 40 mm before the palm, a wall behind."""
    y, x = np.mgrid[:480, :640]
    away = np.hypot(x - TIP_PX[0] - offset_px, y - TIP_PX[1])
    values = np.full((480, 640), 2.0, dtype=np.float32)
    values[away < 0.04 * CAMERA.fx / PALM_M] = PALM_M - 0.04
    values[away < 0.0075 * CAMERA.fx / tip_m] = tip_m
    return values


def tip_of(values: np.ndarray, palm_m: float = PALM_M) -> float | None:
    return tip_distance(Depth(values, DepthSource.SENSOR), TIP_PX, palm_m, CAMERA)


# By hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cosine", "point", "share"),
    [(1.0, 1.0, 1.0), (0.8, 0.6, 1.0), (0.5, 1.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 1.0, 0.0), (1.0, 0.0, 0.0)],
)
def test_only_hands_that_point_at_the_camera_are_aimed(cosine, point, share):
    assert aim(cosine, point) == pytest.approx(share)


@pytest.mark.parametrize("tip_m", [0.47, 0.50, 0.54])
def test_the_tip_is_where_the_depth_image_shows_it(tip_m):
    assert tip_of(pointing_depth(tip_m)) == pytest.approx(tip_m, abs=1e-3)


@pytest.mark.parametrize("offset_px", [-12.0, 12.0, 25.0])
def test_a_tip_beside_its_pixel_is_found(offset_px):
    assert tip_of(pointing_depth(offset_px=offset_px)) == pytest.approx(TIP_M, abs=1e-3)


def test_noise_holes_and_flying_pixels_do_not_matter():
    rng = np.random.default_rng(1)
    values = pointing_depth() * (1 + 0.01 * rng.standard_normal((480, 640))).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    values[rng.random(values.shape) < 0.1] = 0.0
    values[rng.random(values.shape) < 0.005] = 0.3
    assert tip_of(values) == pytest.approx(TIP_M, rel=0.015)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 5.0, PALM_M - 0.04])
def test_a_depth_image_without_the_tip_tells_none(value):
    assert tip_of(np.full((480, 640), value, dtype=np.float32)) is None


@settings(deadline=None, max_examples=50)
@given(
    st.floats(-2000, 2000),
    st.floats(-2000, 2000),
    st.floats(0.01, 5.0),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_no_place_and_no_size_is_too_odd(x, y, palm_m, width, height):
    values = np.random.default_rng(width).uniform(0.0, 3.0, (height, width)).astype(np.float32)
    found = tip_distance(Depth(values, DepthSource.STEREO), np.array([x, y]), palm_m, CAMERA)
    assert found is None or 0.0 < found < palm_m
    assert 0.0 < expected_tip(palm_m, 1.0) < palm_m


def test_the_finger_reaches_to_the_tip_along_its_rays():
    joints = np.random.default_rng(2).uniform((0.1, 0.1, 0.6), (0.2, 0.2, 0.7), (21, 3))
    moved = with_tip(joints, 0.4)
    assert moved[8, 2] == pytest.approx(0.4)
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], joints[:, :2] / joints[:, 2:])
    np.testing.assert_array_equal(np.delete(moved, [6, 7, 8], axis=0), np.delete(joints, [6, 7, 8], axis=0))
    shifts = (moved - joints)[5:9, 2]
    assert (np.diff(np.abs(shifts)) > 0.0).all()  # more and more from the knuckle on


def test_a_hand_twice_as_wide_in_the_image_is_half_as_far():
    px = np.random.default_rng(3).uniform(200, 300, (21, 2))
    near = px.mean(axis=0) + 2.0 * (px - px.mean(axis=0))
    assert aimed_distance(near, CAMERA) == pytest.approx(0.5 * aimed_distance(px, CAMERA))


# Against the truth -------------------------------------------------------------------------------

TIPS_M, ANGLES_DEG, PEOPLE = (0.22, 0.3, 0.5, 0.7), (0, 15, 30), (1001, 1004, 1007, 1012)


@pytest.fixture(scope="module")
def nets() -> Iterator[HandNets]:
    made = HandNets()
    yield made
    made.close()


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    with Studio(CAMERA) as made:
        yield made


def picture_of(
    studio: Studio, rng: np.random.Generator, person: int, tip_m: float, angle_deg: float
) -> Picture:
    """A finger whose tip is about `tip_m` away; it points past the camera by an angle, to any side."""
    ray = np.array([rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1), 1.0]) * tip_m
    at_us = -ray / np.linalg.norm(ray)
    aside = np.cross(at_us, [0.0, 1.0, 0.0])
    aside /= np.linalg.norm(aside)
    way, angle, roll = rng.uniform(0, 2 * math.pi), math.radians(angle_deg), rng.uniform(-0.8, 0.8)
    along = math.cos(angle) * at_us + math.sin(angle) * (
        math.cos(way) * aside + math.sin(way) * np.cross(at_us, aside)
    )
    palm = ray - 0.12 * along
    pose = hand_at(palm, fingers_to=along, palm_to=(math.sin(roll), math.cos(roll), 0.0))
    hand = HandPose(Side.RIGHT if rng.random() < 0.5 else Side.LEFT, pose, HAND_SHAPES["point"])
    face = FacePose(facing((palm[0] + 0.25, palm[1] - 0.15, palm[2] + 0.4)))
    return studio.render(
        [Actor(Person.random(person), face, (hand,))], lens=Lens(blur_px=0.5, noise=3.0), seed=person
    )


def noisy(rng: np.random.Generator, values: np.ndarray, noise: float) -> Depth:
    """Depth with relative noise, and ten times that part of it missing."""
    made = values * (1 + noise * rng.standard_normal(values.shape, dtype=np.float32))
    made[rng.random(values.shape, dtype=np.float32) < 10 * noise] = np.nan
    return Depth(made.astype(np.float32), DepthSource.SENSOR)


def seen_in(nets: HandNets, picture: Picture, depths: list[Depth]) -> list[Hand]:
    """What is said of a hand that is shown for some images."""
    tracker, found = HandTracker(nets=nets), []
    tracker.camera = CAMERA
    for i, depth in enumerate(depths):
        hands = tracker.update(Frame(picture.image, i / 25.0, depth)).hands
        found += [hand for hand in hands if is_there(hand, picture.hands[0])]
    return found


def is_there(hand: Hand, truth: HandTruth) -> bool:
    apart = np.linalg.norm(hand.landmarks_px - truth.joints_px, axis=1).mean()
    return bool(apart < 0.3 * np.ptp(truth.joints_px, axis=0).max())


@pytest.fixture(scope="module")
def shown(studio, nets) -> list[tuple[Hand, HandTruth]]:
    """Hands that are seen and said to point at the camera, and the truth."""
    rng = np.random.default_rng(11)
    pairs: list[tuple[Hand, HandTruth]] = []
    for person in PEOPLE:
        for tip_m in TIPS_M:
            for angle_deg in ANGLES_DEG:
                picture = picture_of(studio, rng, person, tip_m, angle_deg)
                depth = noisy(rng, picture.depth, 0.01 * (len(pairs) % 2))
                hands = seen_in(nets, picture, [depth] * 8)
                if hands and hands[-1].gesture == Gesture.POINTING:
                    pairs.append((hands[-1], picture.hands[0]))
    return pairs


def errors(pairs: list[tuple[Hand, HandTruth]]) -> np.ndarray:
    """Error of the distance of tip and palm along the ray, as shares, (n, 2)."""
    return np.array(
        [
            [
                hand.landmarks_m[8, 2] / truth.joints_m[8, 2] - 1.0,
                hand.position[2] / palm_center(truth.joints_m)[2] - 1.0,
            ]
            for hand, truth in pairs
        ]
    )


def test_tips_and_palms_are_where_they_are(shown):
    assert len(shown) >= 0.6 * len(PEOPLE) * len(TIPS_M) * len(ANGLES_DEG)
    assert all(hand.depth_source == DepthSource.SENSOR for hand, _ in shown)
    tip, palm = np.abs(errors(shown)).T
    assert np.median(tip) < 0.03 and np.quantile(tip, 0.9) < 0.08
    assert np.median(palm) < 0.04 and np.quantile(palm, 0.9) < 0.10


@pytest.mark.parametrize(("near_m", "far_m"), [(0.0, 0.26), (0.26, 0.4), (0.4, 0.6), (0.6, 1.0)])
def test_so_they_are_at_every_distance(shown, near_m, far_m):
    pairs = [(hand, truth) for hand, truth in shown if near_m <= truth.joints_m[8, 2] < far_m]
    tip, palm = np.median(np.abs(errors(pairs)), axis=0)
    assert len(pairs) >= 3 and tip < 0.04 and palm < 0.05


def test_a_finger_that_points_at_the_camera_is_as_long_as_it_is(shown):
    said = [np.linalg.norm(hand.landmarks_m[8] - hand.position) for hand, _ in shown]
    true = [np.linalg.norm(truth.joints_m[8] - palm_center(truth.joints_m)) for _, truth in shown]
    assert np.median(said) == pytest.approx(np.median(true), abs=0.012)


def test_the_distance_does_not_jump_from_image_to_image(studio, nets):
    rng = np.random.default_rng(12)
    for person in PEOPLE[:2]:
        picture = picture_of(studio, rng, person, 0.65, 10.0)
        hands = seen_in(nets, picture, [noisy(rng, picture.depth, 0.01) for _ in range(12)])[2:]
        assert len(hands) >= 8
        for z in ([h.landmarks_m[8, 2] for h in hands], [h.position[2] for h in hands]):
            assert np.std(z) < 0.008


def test_without_depth_and_across_the_image_nothing_is_corrected(studio, nets, monkeypatch):
    """The joints are those of a tracker that knows nothing of fingers at the camera."""
    rng = np.random.default_rng(13)
    at_us = picture_of(studio, rng, 1001, 0.4, 0.0)
    pose = hand_at((0.0, 0.0, 0.5), fingers_to=(0, -1, 0), palm_to=(0, 0, -1))
    others = [
        studio.render([Actor(Person.random(1001), None, (HandPose(Side.RIGHT, pose, HAND_SHAPES[fingers]),))])
        for fingers in ("point", "open", "fist")
    ]

    def read() -> list[np.ndarray]:
        found = [
            hand.landmarks_m
            for picture in others
            for hand in seen_in(nets, picture, [noisy(rng, picture.depth, 0.0)] * 6)
        ]
        tracker = HandTracker(nets=nets)
        tracker.camera = CAMERA
        for i in range(5):
            found += [hand.landmarks_m for hand in tracker.update(Frame(at_us.image, i / 25.0)).hands]
        return found

    now = read()
    monkeypatch.setattr("fabg.perception.hand_track.aim", lambda cosine, point: 0.0)
    before = read()
    assert len(now) == len(before) >= 15
    for a, b in zip(now, before, strict=True):
        np.testing.assert_array_equal(a, b)
