"""The simulated robot moves within its limits, and its face shows what its joints do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabg.errors import CommandRefused, ConfigError, EnvironmentProblem, UsageError
from fabg.robot import twin as twin_module
from fabg.robot.model import RobotModel, load_robot
from fabg.robot.twin import Twin


@pytest.fixture(scope="module")
def shared():
    with Twin(size=(480, 480)) as twin:
        yield twin


@pytest.fixture
def twin(shared):
    shared.reset()
    shared.place_camera(0.62)
    return shared


def at(twin, **angles):
    q = twin.robot.neutral.copy()
    for name, angle in angles.items():
        q[twin.robot.index[name]] = angle
    return q


def nearest(twin, y, z):
    """Front-most vertex at a place on the resting face, relative to the eyes (m)."""
    reference = twin.head.reference
    distance = np.hypot(reference[:, 1] - y, reference[:, 2] - z) - 0.2 * reference[:, 0]
    return int(np.argmin(distance))


# -- physics -----------------------------------------------------------------------------------------


def test_reaches_a_commanded_pose_and_stays(twin):
    rng = np.random.default_rng(0)
    target = rng.uniform(twin.robot.lower, twin.robot.upper)
    twin.command(target)
    twin.step(1.0)
    np.testing.assert_allclose(twin.positions(), target, atol=0.01)
    np.testing.assert_allclose(twin.velocities(), 0, atol=0.05)
    twin.step(0.5)
    np.testing.assert_allclose(twin.positions(), target, atol=0.005)


def test_stays_within_limits_when_thrown_from_end_to_end(twin):
    margin = 0.01 * (twin.robot.upper - twin.robot.lower)
    for _ in range(4):
        for target in (twin.robot.upper, twin.robot.lower):
            twin.command(target)
            for _ in range(25):
                twin.step(0.02)
                assert (twin.positions() <= twin.robot.upper + margin).all()
                assert (twin.positions() >= twin.robot.lower - margin).all()


def test_servos_keep_to_their_rated_speed_and_do_not_overshoot(twin):
    target = at(twin, neck_yaw=0.5, jaw=0.3, eye_left_yaw=0.3)
    twin.command(target)
    path, speed = [], []
    for _ in range(300):
        twin.step(0.002)
        path.append(twin.positions())
        speed.append(twin.velocities())
    path = np.array(path)
    assert (np.abs(speed).max(axis=0) < 1.1 * twin.robot.max_velocity).all()
    for name in ("neck_yaw", "jaw", "eye_left_yaw"):
        i = twin.robot.index[name]
        assert path[:, i].max() < target[i] * 1.03
        arrived = np.argmax(path[:, i] > 0.95 * target[i]) * 0.002
        shortest = 0.95 * target[i] / twin.robot.max_velocity[i]
        assert shortest < arrived < shortest + 0.15, f"{name} took {arrived} s"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (np.full(25, np.nan), "neck_yaw is nan"),
        (np.r_[np.zeros(24), np.inf], "jaw is inf"),
        (np.zeros(24), r"shape \(24,\): expected \(25,\)"),
        (np.zeros((25, 1)), r"shape \(25, 1\)"),
        ([], r"shape \(0,\)"),
    ],
)
def test_bad_commands_are_refused_and_change_nothing(twin, command, message):
    twin.command(at(twin, jaw=0.2))
    before = twin.target
    with pytest.raises(CommandRefused, match=message):
        twin.command(command)
    with pytest.raises(CommandRefused, match=message):
        twin.set_positions(command)
    np.testing.assert_array_equal(twin.target, before)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=25, max_size=25))
def test_any_finite_command_is_clipped_to_the_limits(shared, values):
    shared.command(values)
    np.testing.assert_array_equal(shared.target, np.clip(values, shared.robot.lower, shared.robot.upper))


def test_time_adds_up_over_uneven_steps(twin):
    for dt in (0.0033, 0.0101, 0.0007, 0.0159):
        twin.step(dt)
    assert abs(twin.data.time - 0.030) < 0.0021
    for bad in (-0.1, float("nan"), 1e9):
        with pytest.raises(UsageError, match="dt is"):
            twin.step(bad)


def test_reset_returns_to_rest(twin):
    twin.command(twin.robot.upper)
    twin.step(0.3)
    twin.reset()
    np.testing.assert_array_equal(twin.positions(), twin.robot.neutral)
    twin.step(0.3)
    np.testing.assert_allclose(twin.positions(), twin.robot.neutral, atol=1e-6)


def test_physics_needs_no_graphics(monkeypatch):
    def refuse(*_):
        raise AssertionError("the renderer opened")

    monkeypatch.setattr(twin_module, "_open_renderer", refuse)
    twin = Twin()
    twin.command(twin.robot.neutral)
    twin.step(0.02)
    twin.close()


def test_no_graphics_is_said_with_the_remedy(monkeypatch):
    import mujoco

    def refuse(*_args, **_options):
        raise RuntimeError("no display")

    monkeypatch.setattr(mujoco, "Renderer", refuse)
    twin = Twin()
    with pytest.raises(EnvironmentProblem, match=r"no display.*libegl1"):
        twin.render()


def test_a_table_that_does_not_fit_the_head_is_refused():
    robot = load_robot()
    joints = [replace(j, origin=(0.5, 0.0, 0.0)) if j.name == "eye_left_yaw" else j for j in robot.joints]
    moved = RobotModel("moved", tuple(joints))
    with pytest.raises(ConfigError, match=r"eye_left_yaw: origin .* mm from the mesh's eye"):
        Twin(moved)


# -- the face ----------------------------------------------------------------------------------------


def test_neutral_face_is_the_asset(twin):
    np.testing.assert_allclose(twin.face_vertices(), twin.head.vertices, atol=1e-6)


def test_mesh_in_the_model_is_the_face(twin):
    twin.set_positions(at(twin, jaw=0.3, corner_vertical_left=0.4))
    twin.render()
    geom = twin.model.geom("face").id
    rotation = twin.data.geom_xmat[geom].reshape(3, 3)
    drawn = twin.model.mesh_vert[twin._vertex_rows] @ rotation.T + twin.data.geom_xpos[geom]
    np.testing.assert_allclose(drawn, twin.face_vertices()[twin._face.position], atol=1e-6)


@pytest.mark.parametrize(
    ("angles", "place", "direction", "least"),
    [
        ({"jaw": 0.45}, (0.0, -0.105), (0, 0, -1), 0.008),
        ({"corner_vertical_left": 0.5}, (0.022, -0.068), (0, 0, 1), 0.003),
        ({"corner_vertical_left": -0.5}, (0.022, -0.068), (0, 0, -1), 0.003),
        ({"corner_horizontal_right": 0.5}, (-0.022, -0.068), (0, -1, 0), 0.003),
        ({"brow_outer_right": 0.5}, (-0.042, 0.016), (0, 0, 1), 0.003),
        ({"brow_inner_left": 0.5}, (0.014, 0.016), (0, 0, 1), 0.003),
        ({"brow_inner_left": -0.5}, (0.014, 0.016), (0, 0, -1), 0.002),
        ({"pucker": 0.5}, (0.0, -0.062), (1, 0, 0), 0.002),
        ({"lip_upper_left": 0.5}, (0.008, -0.062), (0, 0, 1), 0.001),
        ({"lip_lower_left": 0.5}, (0.008, -0.075), (0, 0, -1), 0.002),
        ({"cheek_left": 0.5}, (0.040, -0.022), (0, 0, 1), 0.001),
    ],
)
def test_each_joint_moves_its_part_of_the_face(twin, angles, place, direction, least):
    vertex = nearest(twin, *place)
    twin.set_positions(at(twin, **angles))
    moved = (twin.face_vertices() - twin.head.vertices)[vertex] @ direction
    assert moved > least


@pytest.mark.parametrize("joint", [j.name for j in load_robot().joints if j.group == "face"])
def test_every_face_joint_moves_the_skin_on_its_own_side(twin, joint):
    entry = twin.robot[joint]
    twin.set_positions(at(twin, **{joint: entry.upper}))
    moved = np.linalg.norm(twin.face_vertices() - twin.head.vertices, axis=1)
    assert moved.max() > 0.001
    y = twin.head.vertices[:, 1]
    if joint.endswith("_left"):
        assert moved[y > 0].max() > 5 * moved[y < -0.03].max()
    elif joint.endswith("_right"):
        assert moved[y < 0].max() > 5 * moved[y > 0.03].max()


def test_lids_follow_the_gaze(twin):
    lid = np.argmin(twin.head.unit("eyeBlinkLeft")[:, 2])
    heights = []
    for pitch in (-0.4, 0.0, 0.4):
        twin.set_positions(at(twin, eye_left_pitch=pitch))
        heights.append(twin.face_vertices()[lid, 2])
    assert heights[0] > heights[1] > heights[2]


def test_shoulders_stay_when_the_head_turns(twin):
    twin.set_positions(at(twin, neck_yaw=0.8, neck_pitch=0.3))
    position, _ = twin.link_poses()["neck_roll_link"]
    head = twin.data.body("neck_roll_link").xmat.reshape(3, 3)
    in_base = twin.face_vertices() @ head.T + position
    still = twin.head.neck_weight == 0
    np.testing.assert_allclose(in_base[still], twin.head.vertices[still], atol=1e-5)
    turned = twin.head.neck_weight == 1
    np.testing.assert_allclose(in_base[turned], twin.head.vertices[turned] @ head.T, atol=1e-5)


# -- pictures ----------------------------------------------------------------------------------------


def test_picture_shows_a_face_that_changes_where_the_joints_act(twin):
    rest = twin.render().astype(int)
    assert rest.shape == (480, 480, 3)
    twin.set_positions(at(twin, jaw=0.45))
    change = np.abs(twin.render().astype(int) - rest).sum(axis=2)
    rows, columns = np.nonzero(change > 60)
    assert len(rows) > 200
    assert rows.min() > 200, "the jaw leaves eyes and brows alone"
    assert 120 < columns.min() < columns.max() < 360
    twin.set_positions(twin.robot.neutral)
    np.testing.assert_array_equal(twin.render(), rest.astype(np.uint8))


def pupil_centre(image, eye):
    """Centroid of the darkest pixels around one eye, px."""
    (u, v), half = eye, 14
    patch = image[v - half : v + half, u - half * 2 : u + half * 2].astype(float).sum(axis=2)
    rows, columns = np.nonzero(patch < np.quantile(patch, 0.03))
    return columns.mean(), rows.mean()


def test_eyes_turn_in_the_picture(twin):
    focal = 240 / np.tan(np.radians(twin.face_fov_deg) / 2)
    eye = twin.head.eyes[0]
    camera = twin.model.camera("face").pos
    depth = camera[0] - eye[0]
    # The camera faces the robot: the robot's left is on the picture's right.
    pixel = (round(240 + focal * eye[1] / depth), round(240 - focal * (eye[2] - camera[2]) / depth))
    ahead = pupil_centre(twin.render(), pixel)
    twin.set_positions(at(twin, eye_left_yaw=0.4, eye_right_yaw=0.4))
    left = pupil_centre(twin.render(), pixel)
    twin.set_positions(at(twin, eye_left_yaw=-0.4, eye_right_yaw=-0.4))
    right = pupil_centre(twin.render(), pixel)
    assert left[0] > ahead[0] + 3
    assert right[0] < ahead[0] - 3


def test_eye_cameras_look_out_and_turn_with_the_head(twin):
    first = twin.render("left_eye")
    assert first.shape == (480, 480, 3)
    twin.set_positions(at(twin, neck_pitch=0.5))
    assert np.abs(twin.render("left_eye").astype(int) - first).mean() > 1
    with pytest.raises(UsageError, match=r"no camera 'back': expected one of face"):
        twin.render("back")


def test_depth_is_the_distance_along_the_axis(twin):
    depth = twin.depth("face")
    assert depth.shape == (480, 480)
    face = depth[200:320, 200:280]
    nose = twin.model.camera("face").pos[0] - twin.head.vertices[:, 0].max()
    assert abs(face.min() - nose) < 0.005
    assert depth[5, 5] > 2.0, "nothing but background in the corner"


def test_size_can_be_asked_for(twin):
    assert twin.render(size=(320, 240)).shape == (240, 320, 3)


@pytest.mark.parametrize("options", [{"size": (0, 480)}, {"size": (640,)}, {"quality": "best"}])
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError, match="expected"):
        Twin(**options)
