"""The hand tracker on rendered hands of people not used for fitting, and on the demonstration's clip."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from fabg.errors import ConfigError, InputError, ModelFileError
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.hand_landmark import HandNets, region_of_joints
from fabg.perception.hands import HandTracker, HandTrackerConfig, windows
from fabg.perception.models import find_model
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Frame, Gesture, Hand, Hands, Side
from fabg.social.avatar import Actor, FacePose, HandPose, Person, Picture, Studio, facing, hand_at

CAMERA = Camera.from_fov(640, 480, 60.0)
FPS = 25.0


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    with Studio(CAMERA) as made:
        yield made


@pytest.fixture(scope="module")
def nets() -> Iterator[HandNets]:
    made = HandNets()
    yield made
    made.close()


@pytest.fixture
def tracker(nets) -> HandTracker:
    made = HandTracker(nets=nets)
    made.camera = CAMERA
    return made


def hand(
    side: Side = Side.RIGHT, at=(0.0, 0.0, 0.5), fingers="open", to=(0, -1, 0), palm=(0, 0, -1)
) -> HandPose:
    return HandPose(side, hand_at(at, fingers_to=to, palm_to=palm), fingers)


def shot(studio: Studio, *hands: HandPose, person: int = 1001, head=None) -> Picture:
    face = None if head is None else FacePose(facing(head))
    return studio.render([Actor(Person.random(person), face, hands)])


@pytest.fixture(scope="module")
def right(studio) -> Picture:
    return shot(studio, hand())


@pytest.fixture(scope="module")
def both(studio) -> Picture:
    return shot(studio, hand(Side.RIGHT, (-0.14, 0.05, 0.55)), hand(Side.LEFT, (0.14, 0.05, 0.55), "fist"))


def run(tracker: HandTracker, images, start_s: float = 0.0, depth: Depth | None = None) -> list[Hands]:
    return [tracker.update(Frame(image, start_s + i / FPS, depth)) for i, image in enumerate(images)]


def only(hands: Hands) -> Hand:
    (found,) = hands.hands
    return found


def ids(hands: Hands) -> set[str]:
    return {found.id for found in hands.hands}


EMPTY = np.full((480, 640, 3), 120, dtype=np.uint8)


# One hand ----------------------------------------------------------------------------------------


def test_a_hand_is_where_it_is(tracker, right):
    found = only(run(tracker, [right.image] * 8)[-1])
    truth = right.hands[0]
    assert np.linalg.norm(found.landmarks_px - truth.joints_px, axis=1).mean() < 6.0
    np.testing.assert_allclose(found.position[:2], truth.palm[:2], atol=0.03)
    assert found.position[2] == pytest.approx(truth.palm[2], rel=0.4)  # for a hand of average size
    assert found.depth_source == DepthSource.MONOCULAR
    assert found.gesture == Gesture.OPEN_PALM and found.gesture_confidence > 0.5 and found.confidence > 0.8
    assert found.direction is None and found.id == "h0001"


@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT])
@pytest.mark.parametrize("palm", [(0, 0, -1), (0, 0, 1)])
def test_left_is_the_owners_left_as_the_robot_sees_it(tracker, studio, side, palm):
    picture = shot(studio, hand(side, palm=palm))
    assert only(run(tracker, [picture.image] * 4)[-1]).side == side
    mirrored = np.ascontiguousarray(picture.image[:, ::-1])
    other = Side.LEFT if side == Side.RIGHT else Side.RIGHT
    assert only(run(tracker, [mirrored] * 4, 100.0)[-1]).side == other


@pytest.mark.parametrize(
    ("fingers", "to", "palm", "gesture"),
    [
        ("point", (0, -1, 0), (0, 0, -1), Gesture.UP),
        ("point", (0, 1, 0), (0, 0, 1), Gesture.DOWN),
        ("point", (-1, 0, 0), (0, 0, -1), Gesture.LEFT),
        ("point", (1, 0, 0), (0, 0, 1), Gesture.RIGHT),
        ("point", (0.25, -0.3, -1), (0.2, 1, -0.3), Gesture.POINTING),
        ("fist", (0, -1, 0), (0, 0, -1), Gesture.FIST),
        ("open", (0, -1, 0), (0, 0, 1), Gesture.OPEN_PALM),
        ("thumbs_up", (-1, 0, 0), (0, 0, -1), Gesture.THUMBS_UP),
        ("two", (0, -1, 0), (0, 0, -1), Gesture.NONE),
    ],
)
def test_what_a_hand_says(tracker, studio, fingers, to, palm, gesture):
    picture = shot(studio, hand(fingers=fingers, to=to, palm=palm, at=(0.02, 0.02, 0.45)))
    found = only(run(tracker, [picture.image] * 14)[-1])
    assert found.gesture == gesture
    if fingers == "point":
        angle = np.degrees(np.arccos(np.clip(found.direction @ picture.hands[0].pointing, -1, 1)))
        assert angle < 35.0
        assert np.linalg.norm(found.direction) == pytest.approx(1.0)


def test_a_measured_distance_is_taken_over_and_remembered(tracker, right):
    depth = Depth(right.depth, DepthSource.STEREO)
    alone = only(run(tracker, [right.image] * 4)[-1])
    measured = only(run(tracker, [right.image] * 4, 1.0, depth)[-1])
    assert measured.depth_source == DepthSource.STEREO
    true_m = np.linalg.norm(right.hands[0].palm)
    assert np.linalg.norm(measured.position - right.hands[0].palm) < 0.04 * true_m
    np.testing.assert_allclose(measured.landmarks_m[:, 2] > 0, True)
    # The size of this hand is known now: without depth it stays where it is.
    after = only(run(tracker, [right.image] * 2, 1.2)[-1])
    assert after.depth_source == DepthSource.MONOCULAR
    assert after.position[2] == pytest.approx(measured.position[2], rel=0.03)
    assert abs(after.position[2] - true_m) < abs(alone.position[2] - true_m) + 0.01


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 9.0])
def test_a_depth_image_without_the_hand_leaves_the_monocular_distance(tracker, right, value):
    depth = Depth(np.full((480, 640), value, dtype=np.float32), DepthSource.SENSOR)
    found = only(run(tracker, [right.image] * 3, 0.0, depth)[-1])
    assert found.depth_source == DepthSource.MONOCULAR and np.isfinite(found.landmarks_m).all()


def test_the_field_of_view_scales_the_distance(nets, right):
    tracker = HandTracker(HandTrackerConfig(horizontal_fov_deg=60.0), nets=nets)
    normal = only(run(tracker, [right.image] * 4)[-1]).position[2]
    tracker.camera = Camera(2 * CAMERA.fx, 2 * CAMERA.fy, CAMERA.cx, CAMERA.cy)
    assert only(run(tracker, [right.image] * 4, 50.0)[-1]).position[2] == pytest.approx(2 * normal, rel=0.1)


# Following ---------------------------------------------------------------------------------------


def test_the_whole_image_is_searched_seldom_while_a_hand_is_followed(tracker, right):
    run(tracker, [right.image] * 40)
    assert tracker.detector_runs <= 1 + 40 // HandTrackerConfig().detect_every
    before = tracker.detector_runs
    run(tracker, [EMPTY] * 10, 2.0)
    assert tracker.detector_runs >= before + 9  # nobody there: every image is searched


def test_no_search_while_all_hands_wanted_are_followed(nets, right):
    tracker = HandTracker(HandTrackerConfig(max_hands=1), nets=nets)
    run(tracker, [right.image] * 20)
    assert tracker.detector_runs == 1


def test_two_hands_keep_their_ids_and_sides(tracker, both):
    results = run(tracker, [np.roll(both.image, (0, 3 * i), (0, 1)) for i in range(-12, 12)])
    assert len(ids(results[-1])) == 2
    assert ids(results[-1]) == {name for hands in results for name in ids(hands)}
    at = {found.side: found for found in results[-1].hands}
    assert set(at) == {Side.LEFT, Side.RIGHT}
    assert at[Side.RIGHT].position[0] < at[Side.LEFT].position[0]
    assert at[Side.RIGHT].gesture == Gesture.OPEN_PALM and at[Side.LEFT].gesture == Gesture.FIST


def test_a_hand_hidden_for_400_ms_keeps_its_id_and_later_ones_are_new(tracker, right):
    first = run(tracker, [right.image] * 5)
    again = run(tracker, [EMPTY] * 10 + [right.image] * 10, 5 / FPS)
    assert all(not hands.hands for hands in again[1:10])
    assert ids(again[-1]) == ids(first[-1]) == {"h0001"}
    late = run(tracker, [EMPTY] * 30 + [right.image] * 10, 1.0)
    assert ids(late[-1]) == {"h0002"}
    assert ids(run(tracker, [right.image] * 5, 50.0)[-1]) == {"h0003"}  # after a gap


def test_no_more_hands_than_allowed(nets, both):
    tracker = HandTracker(HandTrackerConfig(max_hands=1), nets=nets)
    assert all(len(hands.hands) <= 1 for hands in run(tracker, [both.image] * 12))
    tracker.configure(HandTrackerConfig(max_hands=8))
    assert len(run(tracker, [both.image] * 60, 1.0)[-1].hands) == 2


def test_waving(tracker, studio):
    images = []
    for i in range(50):
        lean = 0.45 * np.sin(2 * np.pi * 1.6 * i / FPS)
        to = (np.sin(lean), -np.cos(lean), 0.0)
        images.append(shot(studio, hand(at=(0.06 * np.sin(lean), 0.0, 0.5), to=to)).image)
    said = [found.gesture for hands in run(tracker, images) for found in hands.hands]
    assert said[-1] == Gesture.WAVE
    still = [found.gesture for hands in run(tracker, [images[0]] * 50, 2.0) for found in hands.hands]
    assert still[-1] == Gesture.OPEN_PALM


# Owners and reach --------------------------------------------------------------------------------


def test_hands_have_owners_and_are_held_out_or_not(tracker, studio):
    near, far = (-0.1, 0.05, 0.5), (-0.2, -0.05, 0.88)
    with FaceTracker(FaceTrackerConfig(max_faces=1, recognise=False)) as faces_tracker:
        faces_tracker.camera = CAMERA
        for k, (at, held_out) in enumerate(((near, True), (far, False))):
            picture = shot(studio, hand(at=at), head=(0.08, -0.1, 0.9), person=1002)
            depth = Depth(picture.depth, DepthSource.SENSOR)
            faces = faces_tracker.update(Frame(picture.image, 100.0 * k))
            assert len(faces.faces) == 1
            for i in range(16):
                hands = tracker.update(Frame(picture.image, 100.0 * k + i / FPS, depth), faces)
            assert only(hands).person_id == faces.faces[0].id
            assert only(hands).extended is held_out


def test_without_faces_a_hand_has_no_owner(tracker, right):
    found = only(run(tracker, [right.image] * 6)[-1])
    assert found.person_id == "" and found.extended  # nearer than reach_distance_m


# Against MediaPipe -------------------------------------------------------------------------------


def test_the_nets_read_what_mediapipes_own_task_reads(nets, right, both):
    import mediapipe as mp
    from mediapipe.tasks.python import vision

    options = vision.HandLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=str(find_model("hand_landmarker"))), num_hands=2
    )
    with vision.HandLandmarker.create_from_options(options) as task:
        for image in (right.image, both.image):
            result = task.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image))
            palms = nets.detect(image)
            assert len(palms) >= len(result.hand_landmarks) > 0
            readings = [nets.read(image, palm.region) for palm in palms]
            for points, world, handedness in zip(
                result.hand_landmarks, result.hand_world_landmarks, result.handedness, strict=True
            ):
                px = np.array([(p.x * 640 - 0.5, p.y * 480 - 0.5) for p in points])
                metres = np.array([(p.x, p.y, p.z) for p in world])
                mine = min(readings, key=lambda r: float(np.abs(r.landmarks_px - px).sum()))
                size = np.ptp(px, axis=0).max()
                assert np.linalg.norm(mine.landmarks_px - px, axis=1).mean() < 0.04 * size
                assert np.linalg.norm(mine.world_m - metres, axis=1).mean() < 0.015
                assert (mine.right > 0.5) == (handedness[0].category_name == "Right")


def test_reading_again_where_it_was_found_stays_there(nets, right):
    reading = nets.read(right.image, nets.detect(right.image)[0].region)
    for _ in range(5):
        reading = nets.read(right.image, region_of_joints(reading.landmarks_px))
    truth = right.hands[0].joints_px
    assert np.linalg.norm(reading.landmarks_px - truth, axis=1).mean() < 6.0


# Real images -------------------------------------------------------------------------------------


def test_no_hands_in_a_face(tracker, clip):
    with FaceTracker(FaceTrackerConfig(max_faces=1, recognise=False)) as faces_tracker:
        for i, image in enumerate(clip[300:420:4]):
            frame = Frame(image, i / FPS)
            assert tracker.update(frame, faces_tracker.update(frame)).hands == ()


def test_the_hand_of_the_clip_is_one_hand(tracker, clip):
    results = run(tracker, clip[1170:1290:2])
    assert sum(len(hands.hands) == 1 for hands in results) >= 0.9 * len(results)
    assert len({name for hands in results for name in ids(hands)}) <= 2


# Time and faults ---------------------------------------------------------------------------------


def test_equal_and_backward_stamps_break_no_track(tracker, right):
    stamps = [5.0, 5.0, 5.04, 1.0, 1.04, 0.0, 0.04]
    results = [tracker.update(Frame(right.image, stamp)) for stamp in stamps]
    assert {name for hands in results for name in ids(hands)} == {"h0001"}
    assert [hands.stamp_s for hands in results] == stamps


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640), dtype=np.uint8),
        np.zeros((480, 640, 4), dtype=np.uint8),
        np.zeros((480, 640, 3), dtype=np.float32),
        np.zeros((0, 640, 3), dtype=np.uint8),
        [[0]],
    ],
    ids=["grey", "rgba", "float", "empty", "list"],
)
def test_what_is_no_rgb_image_is_refused(tracker, image):
    with pytest.raises(InputError, match="image"):
        tracker.update(Frame(image, 0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("stamp", [np.nan, np.inf])
def test_an_impossible_stamp_is_refused(tracker, stamp):
    with pytest.raises(InputError, match="stamp"):
        tracker.update(Frame(EMPTY, stamp))


def test_depth_of_another_size_is_refused_and_the_hand_stays(tracker, right):
    run(tracker, [right.image] * 3)
    with pytest.raises(InputError, match="depth has shape"):
        tracker.update(Frame(right.image, 0.2, Depth(np.ones((2, 2), dtype=np.float32), DepthSource.SENSOR)))
    assert ids(run(tracker, [right.image], 0.16)[0]) == {"h0001"}


@pytest.mark.parametrize("size", [(1, 1), (1, 640), (15, 15), (480, 2), (16, 16), (2160, 3840)])
@pytest.mark.parametrize("level", [0, 255])
def test_images_of_any_size_without_hands(tracker, size, level):
    results = run(tracker, [np.full((*size, 3), level, dtype=np.uint8)] * 2)
    assert all(hands.hands == () and hands.image_size == (size[1], size[0]) for hands in results)


def test_noise_holds_no_hands(tracker):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (240, 320, 3), dtype=np.uint8) for _ in range(8)]
    assert all(hands.hands == () for hands in run(tracker, images))


def test_a_hand_in_a_4k_image(tracker, right):
    large = cv2.resize(right.image, (3840, 2880))
    found = only(run(tracker, [large] * 4)[-1])
    assert np.linalg.norm(found.landmarks_px / 6.0 - right.hands[0].joints_px, axis=1).mean() < 8.0


@pytest.mark.parametrize("shift", [(0, -300), (0, 300), (-200, 0), (200, 0)])
def test_a_hand_that_leaves_the_image(tracker, right, shift):
    steps = 20
    for i in range(steps):
        move = np.float64([[1, 0, shift[1] * i / steps], [0, 1, shift[0] * i / steps]])
        image = cv2.warpAffine(right.image, move, (640, 480))
        for found in tracker.update(Frame(image, i / FPS)).hands:
            assert np.isfinite(found.landmarks_m).all() and (found.landmarks_m[:, 2] > 0).all()


def test_a_tiny_hand_is_left_alone_or_read(tracker, right):
    small = EMPTY.copy()
    small[200:248, 300:364] = cv2.resize(right.image, (64, 48), interpolation=cv2.INTER_AREA)
    for hands in run(tracker, [small] * 10):
        assert all(np.isfinite(found.landmarks_m).all() for found in hands.hands)


# Configuration -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_hands", 0),
        ("max_hands", 9),
        ("detect_every", 0),
        ("keep_lost_s", -1.0),
        ("presence_score", 1.5),
        ("hold_s", float("nan")),
        ("wave_reversals", 1),
        ("hang_deg", 100.0),
        ("horizontal_fov_deg", 180.0),
        ("id_prefix", "1"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"{name} is "):
        HandTrackerConfig(**{name: value})


def test_a_missing_or_altered_model_is_a_clear_error(tmp_path):
    with pytest.raises(ModelFileError, match="not found"):
        HandNets(model_path=tmp_path / "absent.task")
    altered = tmp_path / "hand_landmarker.task"
    altered.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="SHA-256"):
        HandNets(model_path=altered)


def test_a_closed_tracker_says_so(right):
    with HandTracker() as tracker:
        run(tracker, [right.image])
    tracker.close()
    with pytest.raises(InputError, match="closed"):
        tracker.update(Frame(right.image, 1.0))


def test_windows_cover_the_image_and_follow_people():
    parts = windows(640, 480, ())
    assert parts[0] is None
    covered = np.zeros((480, 640), dtype=bool)
    assert parts[::2] == [None] * len(parts[::2])  # every other look is at the whole image
    for part in parts[1::2]:
        covered[round(part.y) : round(part.y + part.height), round(part.x) : round(part.x + part.width)] = (
            True
        )
    assert covered.all()
