"""A mirrored sample is what a mirrored world would have given."""

import numpy as np
import pytest
import torch

from fabg import expression
from fabg.learn.mirror import BASELINE_M, FOCAL, depth_from_right, mirrored, mirrored_expression
from fabg.robot.gaze import look_at
from fabg.robot.model import load_robot

SIZE = (96, 128)


def ray_cast(camera_y_m, ball=(0.8, 0.05, 0.02), radius=0.12, wall_m=1.6):
    """Depth and a picture of a ball before a wall, from a camera that stands `camera_y_m` to the left."""
    height, width = SIZE
    row, column = np.mgrid[:height, :width] + 0.5
    # Rays (forward 1, left, up); depth is the distance forward.
    y, z = (width / 2 - column) / (FOCAL * width), (height / 2 - row) / (FOCAL * width)
    cx, cy, cz = ball[0], ball[1] - camera_y_m, ball[2]
    a, b, c = 1 + y**2 + z**2, cx + y * cy + z * cz, cx**2 + cy**2 + cz**2 - radius**2
    inside = b**2 - a * c
    hit = np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, wall_m)
    return torch.from_numpy(hit.astype(np.float32))[None, None]


@pytest.mark.parametrize("ball", [(0.8, 0.05, 0.02), (0.35, -0.1, 0.0), (1.2, 0.0, -0.2)])
def test_depth_from_the_right_is_what_stands_there(ball):
    left, right = ray_cast(BASELINE_M / 2, ball), ray_cast(-BASELINE_M / 2, ball)
    found = depth_from_right(left)
    known = found > 0
    assert known.float().mean() > 0.9
    error = (found - right)[known].abs()
    # All but the seam, one pixel wide, is right.
    assert (error < 0.02).float().mean() > 0.97
    assert (left - right)[known].abs().gt(0.02).float().mean() > (error >= 0.02).float().mean()


def test_what_is_unknown_stays_so():
    depth = torch.zeros(1, 1, *SIZE)
    assert depth_from_right(depth).max() == 0
    depth[..., 40:60, 50:90] = 0.42
    found = depth_from_right(depth)
    shift = round(FOCAL * SIZE[1] * BASELINE_M / 0.42)
    assert shift == 10
    wanted = torch.roll(depth, -shift, dims=-1)
    assert (found - wanted).abs().gt(1e-5).sum(dim=-1).max() <= 1  # an edge may gain a pixel


@pytest.mark.parametrize("point", [(0.8, 0.3, 0.1), (0.4, -0.1, -0.1), (1.5, 0.0, 0.3)])
def test_a_mirrored_look_meets_the_mirrored_point(point):
    robot = load_robot()
    there, mirror_point = (
        look_at((x, y, z), robot, head_share=0.5).into(expression.neutral())
        for x, y, z in (point, (point[0], -point[1], point[2]))
    )
    found = mirrored_expression(torch.from_numpy(there))
    np.testing.assert_allclose(found, mirror_point, atol=1e-9)


def test_sides_of_the_face_change_places_and_come_back():
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.normal(size=(4, 5, 61)))
    turned = mirrored_expression(vectors)
    assert torch.equal(mirrored_expression(turned), vectors)
    index = expression.INDEX
    for one, other in (
        ("mouthSmileLeft", "mouthSmileRight"),
        ("jawLeft", "jawRight"),
        ("jawOpen", "jawOpen"),
    ):
        assert torch.equal(turned[..., index[one]], vectors[..., index[other]])
    for one, other, sign in (("headRoll", "headRoll", -1), ("eyePitchLeft", "eyePitchRight", 1)):
        assert torch.equal(turned[..., index[one]], sign * vectors[..., index[other]])


def test_only_the_chosen_are_mirrored_and_the_rest_is_left_alone():
    left, right = ray_cast(BASELINE_M / 2), ray_cast(-BASELINE_M / 2)
    batch = {
        "left": left.repeat(2, 3, 1, 1), "right": right.repeat(2, 3, 1, 1), "depth": left.repeat(2, 1, 1, 1),
        "actions": torch.randn(2, 30, 61), "task": torch.eye(2),
    }  # fmt: skip
    found = mirrored(batch, torch.tensor([False, True]))
    for name, value in batch.items():
        assert torch.equal(found[name][0], value[0])
    # The mirrored world has the ball on the other side, and its left camera sees what the right one saw, turned over.
    other = ray_cast(BASELINE_M / 2, (0.8, -0.05, 0.02))
    torch.testing.assert_close(found["left"][1, :1], other[0], atol=1e-5, rtol=0)
    close = (found["depth"][1] - other[0]).abs() < 0.02
    assert close.float().mean() > 0.9
    assert torch.equal(found["actions"][1], mirrored_expression(batch["actions"][1]))
    assert torch.equal(found["task"], batch["task"])
