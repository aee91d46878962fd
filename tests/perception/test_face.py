"""The tracker on real images of one person, and on scenes composed of two."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from fabg.errors import ConfigError, InputError
from fabg.expression import INDEX, N_SHAPES, mirrored
from fabg.geometry import OPTICAL_FROM_BODY, rotation_from_ypr, ypr_from_rotation
from fabg.perception.detect import Detection
from fabg.perception.face import FaceTracker, FaceTrackerConfig
from fabg.perception.pose import Camera
from fabg.perception.types import Depth, DepthSource, Face, Faces, Frame, Roi
from tests.perception.conftest import FPS, NoDetector, scene

FACING = rotation_from_ypr(np.pi, 0.0, 0.0)


def run(tracker: FaceTracker, images: Iterable, start_s: float = 0.0) -> list[Faces]:
    return [tracker.update(Frame(image, start_s + i / FPS)) for i, image in enumerate(images)]


def only(faces: Faces) -> Face:
    (face,) = faces.faces
    return face


def read_once(tracker: FaceTracker, image) -> Face:
    """The face of a still image, read twice so that the crop is the one of a followed face."""
    start_s = read_once.clock = getattr(read_once, "clock", 0.0) + 100.0
    return only(run(tracker, [image, image], start_s)[-1])


def angles_deg(face: Face) -> np.ndarray:
    """Yaw, pitch, roll of a head relative to one that looks straight along the optical axis at the camera."""
    rotation = FACING.T @ OPTICAL_FROM_BODY.T @ face.pose[:3, :3]
    return np.degrees(ypr_from_rotation(rotation))


def ids(faces: Faces) -> list[str]:
    return [face.id for face in faces.faces]


# One person --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_clip_is_one_person_who_is_always_found(tracker, clip):
    results = run(tracker, clip)
    assert sum(len(faces.faces) == 1 for faces in results) >= 0.99 * len(clip)
    assert {face_id for faces in results for face_id in ids(faces)} == {"f0001"}
    assert tracker.detector_runs < len(clip) / 10
    for faces in results:
        for face in faces.faces:
            assert face.landmarks.shape == (478, 3) and face.blendshapes.shape == (N_SHAPES,)
            assert (face.blendshapes >= 0).all() and (face.blendshapes <= 1).all()
            assert np.isfinite(face.pose).all() and 0.25 < face.pose[2, 3] < 1.0
            np.testing.assert_allclose(face.pose[:3, :3] @ face.pose[:3, :3].T, np.eye(3), atol=1e-9)
            assert 0.6 <= face.confidence <= 1.0


def test_stamp_and_size_are_those_of_the_image(tracker, portrait):
    faces = tracker.update(Frame(portrait, 12.5))
    assert faces.stamp_s == 12.5 and faces.image_size == (640, 480)


def test_nobody_is_an_empty_result(tracker):
    results = run(tracker, [scene()] * 3)
    assert all(faces.faces == () for faces in results)
    assert tracker.detector_runs == 3  # while nobody is there every image is looked at


@pytest.mark.parametrize("factor", [0.5, 1.6])
def test_rate_of_the_detector(portrait, factor):
    with FaceTracker(FaceTrackerConfig(detect_every=round(10 * factor))) as tracker:
        run(tracker, [portrait] * 33)
        assert tracker.detector_runs == 1 + 32 // round(10 * factor)


def test_a_face_at_every_border_is_followed(tracker, people):
    for i, (x, y) in enumerate([(70, 240), (570, 240), (320, 150), (320, 400)]):
        results = run(tracker, [scene((people[0], x, y))] * 3, 100.0 * (i + 1))
        assert all(len(faces.faces) == 1 for faces in results), (x, y)


def test_a_small_face_is_read(tracker, portrait):
    canvas = np.full((480, 640, 3), 100, dtype=np.uint8)
    canvas[200:296, 200:328] = cv2.resize(portrait, (128, 96), interpolation=cv2.INTER_AREA)
    face = read_once(tracker, canvas)
    assert 25 < face.roi.width < 40


# Pose --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 300, 900, 1200])
@pytest.mark.parametrize("tilt", [-20.0, -10.0, 10.0, 20.0])
def test_a_tilted_image_is_a_tilted_head(tracker, clip, index, tilt):
    """A head tilted to its own right is turned anticlockwise as the camera sees it: its right is our left."""
    image = cv2.resize(clip[index], (640, 480), interpolation=cv2.INTER_CUBIC)
    upright = read_once(tracker, image)
    around = tuple(float(v) for v in upright.landmarks[6, :2])
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D(around, tilt, 1.0), (640, 480))
    # OpenCV turns anticlockwise, and that is negative about the optical axis (z forward, y down).
    angle = np.radians(-tilt)
    about_axis = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    expected = Face("", upright.roi, 1.0, upright.landmarks, upright.blendshapes, upright.pose.copy())
    expected.pose[:3, :3] = about_axis @ upright.pose[:3, :3]
    found = read_once(tracker, turned)
    assert angles_deg(found)[2] == pytest.approx(angles_deg(expected)[2], abs=3.0)
    assert angles_deg(found)[2] - angles_deg(upright)[2] == pytest.approx(tilt, abs=3.0)


@pytest.mark.parametrize("index", [300, 600, 1000])
def test_a_mirrored_image_is_a_mirrored_head(tracker, clip, index):
    image = cv2.resize(clip[index], (640, 480), interpolation=cv2.INTER_CUBIC)
    one, other = read_once(tracker, image), read_once(tracker, np.ascontiguousarray(image[:, ::-1]))
    (yaw, pitch, roll), (mirrored_yaw, mirrored_pitch, mirrored_roll) = angles_deg(one), angles_deg(other)
    assert mirrored_yaw == pytest.approx(-yaw, abs=3.0)
    assert mirrored_pitch == pytest.approx(pitch, abs=3.0)
    assert mirrored_roll == pytest.approx(-roll, abs=3.0)
    assert other.pose[0, 3] == pytest.approx(-one.pose[0, 3], abs=0.01)


def test_left_and_right_shapes_change_places_in_a_mirror(tracker, clip):
    """Looking to a side is read from both eyes: the shapes of both sides must trade places."""
    pairs = []
    for index in range(0, len(clip), 25):
        one, other = (
            read_once(tracker, clip[index]),
            read_once(tracker, np.ascontiguousarray(clip[index][:, ::-1])),
        )
        whole = np.zeros(61)
        whole[:N_SHAPES] = other.blendshapes
        pairs.append((one.blendshapes, mirrored(whole)[:N_SHAPES]))
    direct, back = (np.array(values) for values in zip(*pairs, strict=True))
    for name in ("eyeLookOutLeft", "eyeLookOutRight", "eyeLookInLeft", "eyeLookInRight", "mouthSmileLeft"):
        assert np.corrcoef(direct[:, INDEX[name]], back[:, INDEX[name]])[0, 1] > 0.8, name


def test_a_head_turned_to_its_own_left_has_positive_yaw(tracker, clip):
    """Ground truth from the image plane: the nose moves towards the person's left ear (larger x)."""
    faces = [read_once(tracker, clip[i]) for i in range(0, len(clip), 20)]
    nose = [
        (f.landmarks[1, 0] - f.landmarks[234, 0]) / (f.landmarks[454, 0] - f.landmarks[234, 0]) for f in faces
    ]
    yaw = [angles_deg(f)[0] for f in faces]
    assert np.corrcoef(nose, yaw)[0, 1] > 0.9


def test_half_the_size_is_twice_the_distance(tracker, portrait):
    near = read_once(tracker, portrait)
    canvas = np.zeros_like(portrait)
    canvas[120:360, 160:480] = cv2.resize(portrait, (320, 240), interpolation=cv2.INTER_AREA)
    far = read_once(tracker, canvas)
    assert far.pose[2, 3] / near.pose[2, 3] == pytest.approx(2.0, rel=0.05)


def test_twice_the_focal_length_is_twice_the_distance(tracker, portrait):
    tracker.camera = Camera(400.0, 400.0, 319.5, 239.5)
    wide = read_once(tracker, portrait)
    tracker.camera = Camera(800.0, 800.0, 319.5, 239.5)
    assert read_once(tracker, portrait).pose[2, 3] / wide.pose[2, 3] == pytest.approx(2.0, rel=0.08)


def test_a_shifted_face_turns_with_the_ray_and_stays_as_far(tracker, portrait):
    middle = read_once(tracker, portrait)
    camera = Camera.from_fov(640, 480, FaceTrackerConfig().horizontal_fov_deg)
    for shift in (-140, 140):
        moved = cv2.warpAffine(portrait, np.array([[1.0, 0, shift], [0, 1.0, 0]]), (640, 480))
        face = read_once(tracker, moved)
        x0, x1 = middle.roi.center[0], face.roi.center[0]
        ray = np.degrees(np.arctan((x1 - camera.cx) / camera.fx) - np.arctan((x0 - camera.cx) / camera.fx))
        # The same picture further right is a head that is turned to the right by the ray: minus in yaw.
        assert angles_deg(face)[0] - angles_deg(middle)[0] == pytest.approx(-ray, abs=3.0)
        assert face.pose[2, 3] == pytest.approx(middle.pose[2, 3], rel=0.08)
        u = camera.fx * face.pose[0, 3] / face.pose[2, 3] + camera.cx
        assert u == pytest.approx(face.landmarks[6, 0], abs=5.0)  # the sellion is where it is seen


# Several people ----------------------------------------------------------------------------------


def test_two_people_have_two_ids_from_the_first_image(tracker, people):
    results = run(tracker, [scene((people[0], 150, 240), (people[1], 480, 240))] * 20)
    assert all(ids(faces) == ids(results[0]) for faces in results) and len(ids(results[0])) == 2


def positions(results: list[Faces]) -> dict[str, list[float]]:
    xs: dict[str, list[float]] = {}
    for faces in results:
        for face in faces.faces:
            xs.setdefault(face.id, []).append(face.roi.center[0])
    return xs


def test_people_who_walk_side_by_side_keep_their_ids(tracker, people):
    images = [scene((people[0], 120 + 2 * i, 240), (people[1], 420 + 2 * i, 240)) for i in range(50)]
    xs = positions(run(tracker, images))
    assert len(xs) == 2 and all(len(track) == 50 for track in xs.values())
    assert all(np.diff(track).min() > -4 for track in xs.values())


def test_people_who_cross_keep_their_ids(tracker, people):
    """The one in front walks right, the one behind left and is hidden for a moment."""
    images = [scene((people[1], 520 - 10 * i, 240), (people[0], 120 + 10 * i, 240)) for i in range(41)]
    results = run(tracker, images)
    xs = positions(results)
    assert len(xs) == 2
    to_right, to_left = sorted(xs.values(), key=lambda track: track[0])
    assert to_right[-1] > 480 and to_left[-1] < 160
    assert len(to_right) == 41


def test_a_face_hidden_for_400_ms_keeps_its_id(tracker, people):
    block = np.full((200, 200, 3), 60, dtype=np.uint8)
    seen = scene((people[0], 150, 240), (people[1], 480, 240))
    hidden = scene((people[0], 150, 240), (people[1], 480, 240), (block, 480, 250))
    results = run(tracker, [seen] * 10 + [hidden] * 10 + [seen] * 10)
    assert [len(faces.faces) for faces in results[11:19]] == [1] * 8
    assert set(ids(results[-1])) == set(ids(results[0])) and len(ids(results[-1])) == 2


def test_a_hand_that_sweeps_over_the_face_changes_no_id(tracker, people):
    block = np.full((180, 90, 3), (150, 110, 90), dtype=np.uint8)
    images = [scene((people[0], 320, 240), (block, 100 + 15 * i, 250)) for i in range(30)]
    results = run(tracker, images)
    assert {face_id for faces in results for face_id in ids(faces)} == {"f0001"}
    assert ids(results[-1]) == ["f0001"]


def visits(tracker: FaceTracker, people, times: int) -> list[str]:
    """Ids of somebody who comes and goes; nobody may have two in one visit."""
    there, gone = scene((people[0], 320, 240)), scene()
    seen = []
    for visit in range(times):
        results = run(tracker, [there] * 10 + [gone] * 30, start_s=visit * 40 / FPS)
        (found,) = {face_id for faces in results for face_id in ids(faces)}
        seen.append(found)
        assert tracker.ids == ()
    return seen


def test_who_comes_back_has_the_same_id(tracker, people):
    assert visits(tracker, people, 3) == ["f0001"] * 3


def test_without_recognition_who_comes_back_has_a_new_id_and_none_is_used_twice(people):
    with FaceTracker(FaceTrackerConfig(recognise=False)) as tracker:
        assert visits(tracker, people, 3) == ["f0001", "f0002", "f0003"]
        assert tracker.embedding_runs == 0


def test_the_embedding_is_computed_rarely(tracker, portrait):
    run(tracker, [portrait] * 110)  # 4.4 s: learnt after 0.2, 1.2 and 4.2 s
    assert tracker.embedding_runs == 3


def test_no_more_faces_than_allowed(people):
    both = scene((people[0], 150, 240), (people[1], 480, 240))
    with FaceTracker(FaceTrackerConfig(max_faces=1)) as tracker:
        assert all(len(faces.faces) == 1 for faces in run(tracker, [both] * 20))
        tracker.configure(FaceTrackerConfig(max_faces=2))
        assert ids(run(tracker, [both] * 30, 0.8)[-1]) == ["f0001", "f0002"]
        tracker.configure(FaceTrackerConfig(max_faces=1))
        assert all(ids(faces) == ["f0001"] for faces in run(tracker, [both] * 40, 2.0))


# Time and faults ---------------------------------------------------------------------------------


def test_equal_and_backward_stamps_break_no_track(tracker, portrait):
    stamps = [5.0, 5.0, 5.04, 1.0, 1.04, 1.6, 0.0, 0.04]
    results = [tracker.update(Frame(portrait, stamp)) for stamp in stamps]
    assert [ids(faces) for faces in results] == [["f0001"]] * len(stamps)
    assert [faces.stamp_s for faces in results] == stamps


def test_standing_stamps_still_let_go_of_who_left(tracker, portrait):
    tracker.update(Frame(portrait, 1.0))
    for _ in range(40):
        tracker.update(Frame(scene(), 1.0))
    assert tracker.ids == ()


def test_after_a_long_gap_nobody_is_who_he_was_by_place_alone(portrait):
    with FaceTracker(FaceTrackerConfig(recognise=False)) as tracker:
        assert ids(run(tracker, [portrait] * 10)[-1]) == ["f0001"]
        assert ids(tracker.update(Frame(portrait, 30.0))) == ["f0002"]


def test_after_a_long_gap_people_are_recognised(tracker, portrait, people):
    assert ids(run(tracker, [portrait] * 10)[-1]) == ["f0001"]
    assert ids(tracker.update(Frame(portrait, 30.0))) == ["f0001"]
    assert ids(tracker.update(Frame(portrait, 100.0))) == ["f0002"]  # remembered for 60 s


def test_a_change_of_size_in_the_stream_is_followed(tracker, portrait, clip):
    run(tracker, [portrait] * 3)
    assert len(run(tracker, [clip[300]] * 3, 0.2)[-1].faces) == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640), dtype=np.uint8),
        np.zeros((480, 640, 4), dtype=np.uint8),
        np.zeros((480, 640, 3), dtype=np.float32),
        np.zeros((0, 640, 3), dtype=np.uint8),
        None,
    ],
)
def test_what_is_no_rgb_image_is_refused(tracker, image):
    with pytest.raises(InputError, match="expected"):
        tracker.update(Frame(image, 0.0))


def test_a_stamp_that_is_no_number_is_refused(tracker, portrait):
    with pytest.raises(InputError, match="finite"):
        tracker.update(Frame(portrait, float("nan")))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 2), (16, 16), (31, 17)])
def test_tiny_images_hold_nobody(tracker, size):
    assert run(tracker, [np.full((*size, 3), 200, dtype=np.uint8)] * 2)[-1].faces == ()


def test_a_single_pixel_and_a_4k_image_have_a_defined_result(tracker, portrait):
    assert tracker.update(Frame(np.zeros((1, 1, 3), np.uint8), 0.0)).image_size == (1, 1)
    assert "tiny image (1 x 1 px)" in tracker.trouble[0]
    large = cv2.resize(portrait, (3840, 2160))
    face = only(tracker.update(Frame(large, 0.04)))
    assert 500 < face.roi.width < 1500 and tracker.trouble == ()


@pytest.mark.parametrize(("value", "words"), [(3, "dark image"), (253, "overexposed image")])
def test_a_dark_or_overexposed_stretch_is_explained_and_survived(tracker, portrait, value, words):
    run(tracker, [portrait] * 10)
    for i in range(5):
        assert tracker.update(Frame(np.full_like(portrait, value), 0.4 + i / FPS)).faces == ()
        assert words in tracker.trouble[0]
    assert ids(run(tracker, [portrait] * 2, 0.6)[-1]) == ["f0001"]
    assert tracker.trouble == ()


def test_stamps_that_do_not_rise_are_explained(tracker, portrait):
    said = []
    for stamp in (5.0, 5.0, 5.04, 1.0):
        tracker.update(Frame(portrait, stamp))
        said.append("; ".join(tracker.trouble))
    assert said == ["", "two images have one stamp", "", "stamps run backwards (by 4.04 s)"]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_an_image_on_its_side_breaks_nothing(tracker, portrait, turns):
    turned = np.ascontiguousarray(np.rot90(portrait, turns))
    for faces in run(tracker, [turned] * 3):
        assert len(faces.faces) <= 1 and all(np.isfinite(face.pose).all() for face in faces.faces)


@pytest.mark.parametrize("side", ["left", "right", "below", "border"])
def test_half_a_face_breaks_nothing_and_changes_no_id(tracker, people, side):
    block = np.full((300, 300, 3), 60, dtype=np.uint8)
    whole = scene((people[0], 320, 240))
    half = {
        "left": scene((people[0], 320, 240), (block, 170, 240)),
        "right": scene((people[0], 320, 240), (block, 470, 240)),
        "below": scene((people[0], 320, 240), (block, 320, 400)),
        "border": scene((people[0], 5, 240)),
    }[side]
    results = run(tracker, [whole] * 10 + [half] * 5 + [whole] * 5)
    assert {face_id for faces in results for face_id in ids(faces)} == {"f0001"}
    assert all(np.isfinite(face.landmarks).all() for faces in results for face in faces.faces)


def ten_faces(people) -> np.ndarray:
    small = [cv2.resize(p, (115, 140), interpolation=cv2.INTER_AREA) for p in people]
    places = [(70 + 125 * (i % 5), 120 + 230 * (i // 5)) for i in range(10)]
    return scene(*((small[i % 2], x, y) for i, (x, y) in enumerate(places)))


def test_ten_faces_are_followed_or_the_rest_is_told(people):
    crowd = ten_faces(people)
    with FaceTracker(FaceTrackerConfig(max_faces=10)) as tracker:
        results = run(tracker, [crowd] * 3)
        assert len(set(ids(results[-1]))) == 10 and tracker.trouble == ()
        tracker.configure(FaceTrackerConfig(max_faces=4))
        assert len(run(tracker, [crowd] * 2, 0.12)[-1].faces) == 4
        assert tracker.trouble == ("10 faces, more than max_faces (4)",)


def relief(face: Face, image: np.ndarray, factor: float) -> Depth:
    """Return a depth image of the face's own relief, `factor` times as far away."""
    camera = Camera.from_fov(640, 480, FaceTrackerConfig().horizontal_fov_deg)
    relief_m = (face.landmarks[:, 2] - face.landmarks[6, 2]) * face.pose[2, 3] / camera.fx
    z_m = np.full(image.shape[:2], np.nan, dtype=np.float32)
    for (x, y), offset in zip(face.landmarks[:, :2], relief_m, strict=True):
        cv2.circle(z_m, (round(x), round(y)), 5, float(factor * (face.pose[2, 3] + offset)), -1)
    return Depth(z_m, DepthSource.STEREO)


def test_depth_moves_a_face_along_its_ray(tracker, portrait):
    face = read_once(tracker, portrait)
    assert face.depth_source is DepthSource.MONOCULAR
    moved = only(tracker.update(Frame(portrait, read_once.clock + 0.1, relief(face, portrait, 1.2))))
    assert moved.depth_source is DepthSource.STEREO
    assert moved.pose[2, 3] == pytest.approx(1.2 * face.pose[2, 3], rel=0.04)
    ray = face.pose[:2, 3] / face.pose[2, 3]
    np.testing.assert_allclose(moved.pose[:2, 3] / moved.pose[2, 3], ray, atol=0.01)


def test_a_head_that_was_measured_keeps_its_size_without_depth(tracker, portrait):
    """Depth says that it is 1.2 times as far as its size; for the next images that holds though depth is gone."""
    face = read_once(tracker, portrait)
    moved = only(tracker.update(Frame(portrait, read_once.clock + 0.1, relief(face, portrait, 1.2))))
    after = only(tracker.update(Frame(portrait, read_once.clock + 0.14)))
    assert after.depth_source is DepthSource.MONOCULAR
    assert np.linalg.norm(after.pose[:3, 3]) == pytest.approx(np.linalg.norm(moved.pose[:3, 3]), rel=0.01)


def test_depth_of_another_size_is_refused(tracker, portrait):
    depth = Depth(np.ones((240, 320), dtype=np.float32), DepthSource.SENSOR)
    with pytest.raises(InputError, match="depth has shape"):
        tracker.update(Frame(portrait, 0.0, depth))


def test_noise_makes_no_faces(tracker):
    noise = np.random.default_rng(1).integers(0, 256, (20, 240, 320, 3), dtype=np.uint8)
    assert all(faces.faces == () for faces in run(tracker, noise))


def test_a_failing_image_leaves_the_tracks_as_they_were(tracker, portrait, monkeypatch):
    run(tracker, [portrait] * 2)
    with monkeypatch.context() as patch:

        def fail(*_):
            raise InputError("face landmarks failed")

        patch.setattr(tracker._landmarker, "read", fail)
        with pytest.raises(InputError):
            tracker.update(Frame(portrait, 0.1))
    assert ids(tracker.update(Frame(portrait, 0.14))) == ["f0001"]


def test_a_face_that_the_detector_denies_is_dropped_in_the_end(portrait):
    detector = NoDetector()
    with FaceTracker(FaceTrackerConfig(detect_every=2), detector=detector) as tracker:
        detector.found = [Detection(Roi(245, 190, 165, 215), 0.9)]
        assert len(tracker.update(Frame(portrait, 0.0)).faces) == 1
        detector.found = []
        results = run(tracker, [portrait] * 12, 0.04)
        assert results[3].faces and not results[-1].faces


def test_a_detection_without_a_readable_face_is_nobody(portrait):
    detector = NoDetector()
    detector.found = [Detection(Roi(20, 20, 80, 100), 0.99)]
    with FaceTracker(detector=detector) as tracker:
        assert tracker.update(Frame(portrait, 0.0)).faces == ()


def test_a_closed_tracker_says_so(portrait):
    tracker = FaceTracker()
    tracker.update(Frame(portrait, 0.0))
    tracker.close()
    tracker.close()
    with pytest.raises(InputError, match="closed"):
        tracker.update(Frame(portrait, 0.04))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_faces", 0),
        ("detect_every", 0),
        ("keep_lost_s", -1.0),
        ("keep_lost_s", float("nan")),
        ("remember_s", -1.0),
        ("detection_score", 1.5),
        ("crop_scale", 0.5),
        ("horizontal_fov_deg", 180.0),
        ("threads", -1),
        ("id_prefix", "1f"),
        ("id_prefix", "a/b"),
    ],
)
def test_configuration_out_of_range_names_field_and_value(name, value):
    with pytest.raises(ConfigError, match=name):
        FaceTrackerConfig(**{name: value})
