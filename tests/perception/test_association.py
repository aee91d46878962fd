from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.perception.association import MAX_BLIND, Track, assign
from fabg.perception.types import Roi


@dataclass(frozen=True)
class Seen:
    roi: Roi


def at(x: float, y: float = 100.0, size: float = 100.0) -> Roi:
    return Roi(x - size / 2, y - size / 2, size, size)


def walked(name: str, xs: list[float], dt: float = 0.04) -> Track:
    """A track whose face was at the places `xs`, one image every `dt` from 0 s on."""
    track = Track(name, at(xs[0]), 0.0)
    for i, x in enumerate(xs[1:], 1):
        track.hit(Seen(at(x)), i * dt)
    return track


def test_a_moving_face_is_expected_further_on():
    track = walked("a", [100 + 10 * i for i in range(8)])
    expected = track.predicted(8 * 0.04)
    assert expected.center[0] == pytest.approx(180, abs=2)


def test_the_motion_of_a_hidden_face_dies_away():
    track = walked("a", [100 + 10 * i for i in range(8)])
    shift = track.predicted(100.0).center[0] - 170
    assert 0 < shift < 250 * 0.2 + 1e-6  # speed 250 px/s, time constant 0.2 s


@pytest.mark.parametrize("x", [170, 240, 320])
def test_a_hidden_face_may_have_stopped_anywhere_on_its_way(x):
    track = walked("a", [100 + 10 * i for i in range(8)])  # 250 px/s, last seen at 170
    track.miss()
    assert track.cost(at(x), 7 * 0.04 + 0.6) < track.cost(at(x, y=130), 7 * 0.04 + 0.6) < math.inf
    assert track.cost(at(x), 7 * 0.04 + 0.6) == pytest.approx(track.cost(at(170), 7 * 0.04 + 0.6), abs=0.02)
    assert track.cost(at(170 - 130), 7 * 0.04 + 0.6) == math.inf


def test_a_hit_forgets_misses():
    track = walked("a", [100, 100])
    track.miss()
    track.miss()
    assert track.misses == 2
    track.hit(Seen(at(101)), 0.2)
    assert track.misses == 0


def test_equal_stamps_give_no_infinite_speed():
    track = Track("a", at(100), 1.0)
    track.hit(Seen(at(150)), 1.0)
    assert all(map(math.isfinite, track.predicted(1.5).center))


def test_too_far_or_of_another_size_is_another_face():
    track = walked("a", [100, 100])
    assert track.cost(at(100 + 81), 0.08) == math.inf
    assert track.cost(at(100, size=180), 0.08) == math.inf
    assert math.isfinite(track.cost(at(130, size=120), 0.08))


def test_who_is_hidden_may_come_back_larger_than_who_is_followed_can_become():
    followed, hidden = walked("followed", [100, 100]), walked("hidden", [100, 100])
    for _ in range(MAX_BLIND + 1):
        hidden.miss()
    assert hidden.hidden and not followed.hidden
    assert followed.cost(at(100, size=150), 0.2) == math.inf
    assert math.isfinite(hidden.cost(at(100, size=150), 0.2))


def test_beside_another_face_no_size_may_jump():
    alone, crowded = walked("alone", [100] * 8), walked("crowded", [100] * 8)
    crowded.crowded = True
    assert math.isfinite(alone.cost(at(100, size=125), 0.32))
    assert crowded.cost(at(100, size=125), 0.32) == crowded.cost(at(100, size=80), 0.32) == math.inf
    assert math.isfinite(crowded.cost(at(100, size=115), 0.32))


def test_beside_another_face_who_comes_nearer_is_followed():
    track = walked("a", [100, 100])
    track.crowded = True
    for i in range(2, 27):  # from 1 m to 0.5 m in 1 s, at 25 images a second
        face = at(100, size=100 / (1 - 0.02 * (i - 1)))
        assert math.isfinite(track.cost(face, i * 0.04))
        track.hit(Seen(face), i * 0.04)


def test_one_odd_reading_hardly_changes_the_size():
    track = walked("a", [100] * 8)
    track.hit(Seen(at(100, size=130)), 0.32)
    assert track.size == pytest.approx(100 * 1.3 ** (1 - math.exp(-0.04 / 0.15)), rel=1e-6)
    assert track.resized(at(100, size=50)) == pytest.approx(track.size / 50)
    assert track.resized(at(100, size=200)) == pytest.approx(200 / track.size)


def test_a_face_has_no_reading_while_it_is_missed():
    track = walked("a", [100, 101])
    assert track.reading == Seen(at(101))
    track.miss()
    assert track.reading is None


def test_looks_decide_where_place_does_not():
    one, other = walked("one", [100, 100]), walked("other", [102, 102])
    seen = [Seen(at(101)), Seen(at(103))]
    unlike = {("one", 101): 1.0, ("other", 103): 1.0}
    pairs = assign([one, other], seen, 0.08, lambda t, face: unlike.get((t.id, face.roi.center[0]), 0.0))
    assert {track.id: face.roi.center[0] for track, face in pairs} == {"one": 103, "other": 101}


def test_looks_are_not_asked_where_nobody_else_claims_the_face():
    def asked(*_):
        raise AssertionError("appearance was looked at")

    one, other = walked("one", [100, 100]), walked("other", [500, 500])
    assert len(assign([one, other], [Seen(at(101)), Seen(at(499))], 0.08, asked)) == 2


def test_crossing_faces_keep_their_names():
    right, left = (
        walked("to_right", [100 + 12 * i for i in range(8)]),
        walked("to_left", [284 - 12 * i for i in range(8)]),
    )
    # One step after they met, each stands where the other would be if nobody had moved.
    seen = [Seen(at(284 - 12 * 8)), Seen(at(100 + 12 * 8))]
    names = {track.id: face.roi.center[0] for track, face in assign([right, left], seen, 8 * 0.04)}
    assert names == {"to_right": 196, "to_left": 188}


def test_a_followed_face_has_the_better_claim():
    followed, lost = walked("followed", [100, 100]), walked("lost", [130, 130])
    lost.miss()
    ((track, _),) = assign([lost, followed], [Seen(at(120))], 0.08)
    assert track.id == "followed"


rois = st.builds(at, st.floats(0, 600), st.floats(0, 400), st.floats(20, 300))


@given(st.lists(rois, max_size=5), st.lists(rois, max_size=5))
def test_nobody_is_assigned_twice(known, seen):
    tracks = [Track(str(i), roi, 0.0) for i, roi in enumerate(known)]
    faces = [Seen(roi) for roi in seen]
    pairs = assign(tracks, faces, 0.04)
    assert len({track.id for track, _ in pairs}) == len(pairs) == len({id(face) for _, face in pairs})
    assert all(math.isfinite(track.cost(face.roi, 0.04)) for track, face in pairs)
    if tracks and faces and not pairs:
        assert all(track.cost(face.roi, 0.04) == math.inf for track in tracks for face in faces)
