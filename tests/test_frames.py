import numpy as np
import pytest

from fabg.errors import InputError
from fabg.frames import FrameTree
from fabg.geometry import pose, rotation_from_ypr


def _at(x):
    return pose(np.eye(3), (x, 0, 0))


def test_chain_of_fixed_frames():
    tree = FrameTree()
    turn = pose(rotation_from_ypr(np.pi / 2, 0, 0), (1, 0, 0))
    tree.set("base", "mast", turn)
    tree.set("mast", "camera", _at(2))
    # One metre ahead, then a quarter turn to the left, then two metres ahead of that.
    assert np.allclose(tree.lookup("base", "camera")[:3, 3], (1, 2, 0))
    assert np.allclose(tree.lookup("camera", "base") @ tree.lookup("base", "camera"), np.eye(4))


def test_the_nearest_pose_in_time_is_taken():
    tree = FrameTree(memory_s=1.0)
    for stamp in (0.0, 0.2, 0.1):  # out of order on purpose
        tree.set("base", "head", _at(stamp), stamp)
    assert tree.lookup("base", "head", 0.04)[0, 3] == 0.0
    assert tree.lookup("base", "head", 0.12)[0, 3] == pytest.approx(0.1)
    assert tree.lookup("base", "head", 9.0)[0, 3] == pytest.approx(0.2)
    assert tree.lookup("base", "head")[0, 3] == pytest.approx(0.2)


def test_old_poses_are_forgotten():
    tree = FrameTree(memory_s=1.0)
    for i in range(100):
        tree.set("base", "head", _at(i), float(i))
    assert tree.lookup("base", "head", 0.0)[0, 3] == 98


def test_unknown_frames_are_an_error_that_names_what_is_known():
    tree = FrameTree()
    tree.set("base", "camera", np.eye(4))
    with pytest.raises(InputError, match="'moon'.*camera"):
        tree.lookup("base", "moon")


def test_nan_is_refused():
    bad = np.eye(4)
    bad[0, 3] = np.nan
    with pytest.raises(InputError, match="finite"):
        FrameTree().set("base", "camera", bad)


def test_a_loop_is_an_error():
    tree = FrameTree()
    tree.set("a", "b", np.eye(4))
    tree.set("b", "a", np.eye(4))
    with pytest.raises(InputError, match="loop"):
        tree.lookup("a", "b")
