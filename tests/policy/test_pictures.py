"""What a policy is shown of images and depth, against plain arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import ConfigError, InputError
from fabg.policy.base import StereoImages
from fabg.policy.pictures import DEPTH_SIGMA_PX, SIZE, prepare, smooth_depth


def images(height, width, seed=0):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return StereoImages(left, right, rng.uniform(0.3, 2.0, (height, width)).astype(np.float32))


def test_halving_is_the_mean_of_four():
    seen = images(2 * SIZE[0], 2 * SIZE[1])
    found = prepare(seen)
    for name in ("left", "right"):
        blocks = getattr(seen, name).reshape(SIZE[0], 2, SIZE[1], 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
        assert found[name].shape == (3, *SIZE) and found[name].dtype == np.uint8
        assert np.abs(found[name] - blocks).max() <= 0.5 + 1e-6
    assert found["depth"].shape == (1, *SIZE) and found["depth"].dtype == np.float32


def test_images_of_the_size_stay_as_they_are():
    seen = images(*SIZE)
    found = prepare(seen)
    np.testing.assert_array_equal(found["left"].transpose(1, 2, 0), seen.left)
    np.testing.assert_array_equal(found["right"].transpose(1, 2, 0), seen.right)


def test_depth_is_the_weighted_mean_of_what_is_known_around():
    rng = np.random.default_rng(1)
    depth = rng.uniform(0.3, 2.0, (24, 32))
    depth[rng.random(depth.shape) < 0.4] = 0.0
    found = smooth_depth(depth, depth.shape)
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            weight = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * DEPTH_SIGMA_PX**2)) * (depth > 0)
            wanted = (weight * depth).sum() / weight.sum() if depth[y, x] else 0.0
            # The filter is cut off at three to four standard deviations.
            assert found[y, x] == pytest.approx(wanted, abs=0.03)


@settings(max_examples=40, deadline=None)
@given(
    far=st.floats(0.1, 20.0),
    holes=st.floats(0.0, 0.95),
    seed=st.integers(0, 2**31),
    odd=st.sampled_from([0.0, -1.0, np.nan, np.inf, -np.inf]),
)
def test_what_is_unknown_takes_no_part(far, holes, seed, odd):
    hidden = np.random.default_rng(seed).random((120, 160)) < holes
    found = smooth_depth(np.where(hidden, odd, far).astype(np.float32))
    assert found.shape == SIZE and found.dtype == np.float32
    known = found != 0
    np.testing.assert_allclose(found[known], far, rtol=1e-4)
    # Where nothing at all was known, nothing is: a pixel of the small picture covers 1.25 of the large one.
    assert known.any() or holes > 0.3
    assert smooth_depth(np.full((120, 160), odd)).max() == 0


def test_an_edge_stays_where_it_is():
    depth = np.zeros(SIZE, np.float32)
    depth[20:60, 30:90] = 0.8
    np.testing.assert_allclose(smooth_depth(depth), depth, rtol=1e-5)


@pytest.mark.parametrize("size", [(0, 128), (96, -1)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ConfigError, match=str(size[1])):
        prepare(images(8, 8), size)


GOOD = np.zeros((8, 10, 3), np.uint8)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"left": np.zeros((8, 10, 3))}, "left is float64"),
        ({"left": np.zeros((8, 10), np.uint8)}, r"left is uint8 of shape \(8, 10\)"),
        ({"right": np.zeros((8, 10, 4), np.uint8)}, r"right is uint8 of shape \(8, 10, 4\)"),
        ({"left": np.zeros((0, 10, 3), np.uint8)}, r"\(0, 10, 3\)"),
        ({"right": np.zeros((8, 12, 3), np.uint8)}, r"right has shape \(8, 12, 3\), left \(8, 10, 3\)"),
        ({"depth": np.zeros((8, 10))}, "depth is float64"),
        (
            {"depth": np.zeros((10, 8), np.float32)},
            r"depth is float32 of shape \(10, 8\): expected .*\(8, 10\)",
        ),
    ],
)
def test_images_that_do_not_fit_are_refused(change, says):
    with pytest.raises(InputError, match=says):
        StereoImages(**{"left": GOOD, "right": GOOD, "depth": np.zeros((8, 10), np.float32)} | change)
