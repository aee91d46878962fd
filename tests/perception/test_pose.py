"""Poses against a pinhole projection of the canonical face that the model file itself holds."""

from __future__ import annotations

import struct
import zipfile
from math import radians

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import ConfigError, InputError
from fabg.geometry import OPTICAL_FROM_BODY, rotation_from_ypr
from fabg.perception import pose as poses
from fabg.perception.models import find_model
from fabg.perception.pose import Camera, geometric_pose

SELLION = 6
FACING = rotation_from_ypr(np.pi, 0.0, 0.0)
GL_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0])


def protobuf(data: bytes) -> list[tuple[int, object]]:
    """Return the fields of a protobuf message: numbers, floats and byte strings."""
    at, fields = 0, []

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            fields.append((number, varint()))
        elif kind == 5:
            fields.append((number, struct.unpack_from("<f", data, at)[0]))
            at += 4
        else:
            assert kind == 2
            length = varint()
            fields.append((number, data[at : at + length]))
            at += length
    return fields


@pytest.fixture(scope="module")
def canonical() -> np.ndarray:
    """Vertices of the canonical face, shape (468, 3), cm: x to the person's left, y up, z forward."""
    with zipfile.ZipFile(find_model("face_landmarker")) as bundle:
        metadata = bundle.read("geometry_pipeline_metadata_landmarks.binarypb")
    (number, content), *_ = protobuf(metadata)
    assert number == 1
    mesh = protobuf(content)
    return np.array([value for number, value in mesh if number == 3]).reshape(-1, 5)[:, :3]


def test_the_rigid_points_are_those_of_the_model_file(canonical):
    indices = poses._RIGID[:, 0].astype(int)
    np.testing.assert_allclose(poses._RIGID[:, 1:4], canonical[indices], atol=6e-4)


def project(canonical: np.ndarray, rotation: np.ndarray, sellion: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the pixels of the canonical face whose head frame has this pose in the optical frame."""
    head = np.column_stack([canonical[:, 2], canonical[:, 0], canonical[:, 1]]) / 100.0
    points = (head - head[SELLION]) @ rotation.T + sellion
    u = camera.fx * points[:, 0] / points[:, 2] + camera.cx
    v = camera.fy * points[:, 1] / points[:, 2] + camera.cy
    return np.column_stack([u, v, np.zeros_like(u)])


angles = st.floats(-0.6, 0.6)


@settings(max_examples=60, deadline=None)
@given(angles, angles, angles, st.floats(-0.3, 0.3), st.floats(-0.2, 0.2), st.floats(0.3, 3.0))
def test_pose_of_a_projected_face_is_found_again(canonical, yaw, pitch, roll, x, y, z):
    camera = Camera(600.0, 580.0, 330.0, 230.0)
    rotation = OPTICAL_FROM_BODY @ FACING @ rotation_from_ypr(yaw, pitch, roll)
    sellion = np.array([x * z, y * z, z])
    landmarks = project(canonical, rotation, sellion, camera)
    # The landmarker sees the crop along its own axis: the rotation it tells lacks the ray's.
    center = np.array([camera.fx * x + camera.cx, camera.fy * y + camera.cy])
    ray = np.array([x, y, 1.0]) / np.linalg.norm([x, y, 1.0])
    axis = np.cross([0.0, 0.0, 1.0], ray)
    turned = rotation_about(axis, np.arccos(ray[2]))
    canonical_from_head = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    seen = GL_FROM_OPTICAL @ turned.T @ rotation @ canonical_from_head.T
    found = geometric_pose(landmarks, seen, tuple(center), camera)
    np.testing.assert_allclose(found[:3, :3], rotation, atol=1e-6)
    np.testing.assert_allclose(found[:3, 3], sellion, atol=2e-3 * z)


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    length = np.linalg.norm(axis)
    if length < 1e-12:
        return np.eye(3)
    x, y, z = axis / length
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def test_a_scaled_rotation_is_made_orthonormal(canonical):
    camera = Camera.from_fov(640, 480, 60.0)
    rotation = OPTICAL_FROM_BODY @ FACING
    landmarks = project(canonical, rotation, np.array([0.0, 0.0, 1.0]), camera)
    found = geometric_pose(landmarks, 3.0 * np.eye(3), (camera.cx, camera.cy), camera)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)


def test_numbers_that_are_none_are_refused(canonical):
    camera = Camera.from_fov(640, 480, 60.0)
    landmarks = project(canonical, OPTICAL_FROM_BODY @ FACING, np.array([0.0, 0.0, 1.0]), camera)
    with pytest.raises(InputError, match="NaN"):
        geometric_pose(np.full_like(landmarks, np.nan), np.eye(3), (320, 240), camera)
    with pytest.raises(InputError, match="NaN"):
        geometric_pose(landmarks, np.full((3, 3), np.inf), (320, 240), camera)


def test_landmarks_inside_out_are_no_face_in_front(canonical):
    camera = Camera.from_fov(640, 480, 60.0)
    landmarks = project(canonical, OPTICAL_FROM_BODY @ FACING, np.array([0.0, 0.0, 1.0]), camera)
    landmarks[:, :2] = np.array([camera.cx, camera.cy]) * 2 - landmarks[:, :2]
    with pytest.raises(InputError, match="in front"):
        geometric_pose(landmarks, np.eye(3), (camera.cx, camera.cy), camera)


def test_camera_from_field_of_view():
    camera = Camera.from_fov(640, 480, 90.0)
    assert camera.fx == camera.fy == pytest.approx(320.0)
    half = Camera.from_fov(320, 240, 90.0)
    assert camera.scaled(0.5) == half
    np.testing.assert_allclose(camera.rays(np.array([[camera.cx + camera.fx, camera.cy]])), [[1.0, 0.0]])


@pytest.mark.parametrize(
    "bad", [(0.0, 1, 0, 0), (1, -1.0, 0, 0), (float("nan"), 1, 0, 0), (1, 1, float("inf"), 0)]
)
def test_impossible_cameras_are_refused(bad):
    with pytest.raises(ConfigError, match="positive focal lengths"):
        Camera(*bad)


def test_ray_rotation_turns_the_axis_onto_the_ray():
    turned = poses._towards(np.tan(radians(20)), 0.0) @ [0.0, 0.0, 1.0]
    np.testing.assert_allclose(turned, [np.sin(radians(20)), 0.0, np.cos(radians(20))], atol=1e-12)
