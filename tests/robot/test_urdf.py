"""Table, URDF and simulation describe one and the same robot."""

import math
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import yaml

from fabg.errors import ConfigError
from fabg.paths import share_dir
from fabg.robot.model import load_robot
from fabg.robot.twin import Twin
from fabg.robot.urdf import render_urdf, write_urdf

TABLE = yaml.safe_load((share_dir() / "config" / "robot.yaml").read_text())


@pytest.fixture(scope="module")
def urdf():
    return ElementTree.fromstring(render_urdf())


@pytest.fixture(scope="module")
def twin():
    twin = Twin()
    yield twin
    twin.close()


def numbers(text):
    return [float(word) for word in text.split()]


def revolute(urdf):
    return [joint for joint in urdf.findall("joint") if joint.get("type") == "revolute"]


def test_urdf_repeats_the_table_in_order(urdf):
    joints = revolute(urdf)
    assert [joint.get("name") for joint in joints] == list(TABLE["joints"])
    for joint, (name, row) in zip(joints, TABLE["joints"].items(), strict=True):
        limit = joint.find("limit")
        assert [float(limit.get("lower")), float(limit.get("upper"))] == row["limits"]
        assert float(limit.get("velocity")) == row["velocity"]
        assert float(limit.get("effort")) > 0
        assert joint.find("parent").get("link") == row["parent"]
        assert joint.find("child").get("link") == f"{name}_link"
        assert numbers(joint.find("origin").get("xyz")) == row["origin"]
        assert numbers(joint.find("axis").get("xyz")) == row["axis"]


def test_simulation_repeats_the_table_in_order(twin):
    model = twin.model
    assert model.nq == model.nv == model.nu == 25
    for index, (name, row) in enumerate(TABLE["joints"].items()):
        joint = model.joint(index)
        assert joint.name == name
        assert model.actuator(index).name == name
        assert model.actuator_trnid[index, 0] == index
        np.testing.assert_allclose(joint.range, row["limits"], atol=1e-12)
        np.testing.assert_allclose(model.actuator_ctrlrange[index], row["limits"], atol=1e-12)
        np.testing.assert_allclose(joint.axis, row["axis"], atol=1e-12)
        body = model.body(joint.bodyid[0])
        assert body.name == f"{name}_link"
        assert model.body(body.parentid[0]).name == row["parent"]
        np.testing.assert_allclose(body.pos, row["origin"], atol=1e-12)


def test_masses_and_efforts_agree_and_are_positive(urdf, twin):
    for joint in revolute(urdf):
        name = joint.get("name")
        link = urdf.find(f"link[@name='{name}_link']")
        inertia = link.find("inertial/inertia")
        mass = float(link.find("inertial/mass").get("value"))
        moments = [float(inertia.get(key)) for key in ("ixx", "iyy", "izz")]
        assert mass > 0
        assert min(moments) > 0
        body = twin.model.body(f"{name}_link")
        np.testing.assert_allclose(body.mass, mass, rtol=1e-9)
        np.testing.assert_allclose(body.inertia, moments, rtol=1e-9)
        effort = float(joint.find("limit").get("effort"))
        np.testing.assert_allclose(twin.model.actuator(name).forcerange, [-effort, effort])
        assert link.find("visual/geometry") is not None


def rotation_about(axis, angle):
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def forward_kinematics(urdf, positions):
    poses = {"base_link": np.eye(4)}
    for joint in urdf.findall("joint"):
        step = np.eye(4)
        if (origin := joint.find("origin")) is not None:
            step[:3, 3] = numbers(origin.get("xyz"))
            assert numbers(origin.get("rpy")) == [0, 0, 0]
        if joint.get("type") == "revolute":
            axis = numbers(joint.find("axis").get("xyz"))
            step[:3, :3] = rotation_about(axis, positions[joint.get("name")])
        poses[joint.find("child").get("link")] = poses[joint.find("parent").get("link")] @ step
    return poses


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_forward_kinematics_of_urdf_and_simulation_agree(urdf, twin, seed):
    robot = load_robot()
    q = np.random.default_rng(seed).uniform(robot.lower, robot.upper)
    expected = forward_kinematics(urdf, dict(zip(robot.names, q, strict=True)))
    twin.set_positions(q)
    poses = twin.link_poses()
    assert set(poses) == set(expected), "every link of the URDF, and no other"
    for link, (position, (x, y, z, w)) in poses.items():
        np.testing.assert_allclose(position, expected[link][:3, 3], atol=1e-9)
        quaternion = np.array([w, x, y, z])
        assert abs(np.linalg.norm(quaternion) - 1) < 1e-9
        turned = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        np.testing.assert_allclose(turned, expected[link][:3, :3], atol=1e-9)


def test_head_alias_is_the_last_neck_link(urdf):
    alias = urdf.find("joint[@name='head_alias']")
    assert alias.get("type") == "fixed"
    assert alias.find("parent").get("link") == "neck_roll_link"
    assert alias.find("child").get("link") == "head_link"


def test_check_urdf_is_clean(tmp_path):
    path = write_urdf(tmp_path / "head.urdf")
    tool = shutil.which("check_urdf")
    assert tool, "check_urdf is missing: apt install liburdfdom-tools"
    result = subprocess.run([tool, str(path)], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Successfully Parsed XML" in result.stdout
    assert result.stderr == ""


def test_another_table_makes_another_urdf(tmp_path):
    table = (share_dir() / "config" / "robot.yaml").read_text().replace("[-1.05, 1.05]", "[-0.90, 0.95]")
    other = tmp_path / "other.yaml"
    other.write_text(table)
    limit = ElementTree.fromstring(render_urdf(other)).find("joint[@name='neck_yaw']/limit")
    assert (float(limit.get("lower")), float(limit.get("upper"))) == (-0.90, 0.95)


def test_a_missing_or_unfit_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        render_urdf(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("name: nobody\n")
    with pytest.raises(ConfigError, match=r"empty\.yaml"):
        render_urdf(tmp_path / "empty.yaml")


def test_written_file_is_complete_and_alone(tmp_path):
    path = write_urdf(tmp_path / "deep" / "head.urdf")
    assert [p.name for p in path.parent.iterdir()] == ["head.urdf"]
    assert ElementTree.parse(path).getroot().get("name") == "fabg_head"


def test_the_xacro_command_works_from_anywhere(tmp_path):
    """What a ROS user types; the joint table is found beside the file."""
    command = [Path(sys.executable).with_name("xacro"), share_dir() / "urdf" / "fabg_head.urdf.xacro"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('type="revolute"') == 25
