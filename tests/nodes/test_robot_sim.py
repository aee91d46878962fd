"""The simulated robot in a process of its own."""

import math

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from fabg.frames import FrameTree
from fabg.geometry import rotation_from_ypr
from fabg.robot.model import HEAD_LINK, load_robot
from fabg.ros.convert import transform_from_message
from fabg.ros.image import ImageConverter
from fabg.ros.joints import positions_from_message
from fabg.ros.node import NEWEST_ONLY
from fabg.ros.transforms import STATIC
from tests.conftest import wait_until

pytestmark = pytest.mark.graph
COMMANDS = "/forward_command_controller/commands"
ROBOT = load_robot()


def pose(**angles):
    target = ROBOT.neutral.copy()
    for name, angle in angles.items():
        target[ROBOT.index[name]] = angle
    return target


def reached(states, target, tolerance=0.02):
    return states and np.abs(positions_from_message(states[-1], ROBOT) - target).max() < tolerance


def test_it_goes_where_it_is_sent_and_tells_so(probe, node_process):
    states = probe.collect(JointState, "/joint_states", NEWEST_ONLY)
    tf = probe.collect(TFMessage, "/tf")
    static = probe.collect(TFMessage, "/tf_static", STATIC)
    diagnostics = probe.collect(DiagnosticArray, "/diagnostics")
    node_process("robot_sim")
    commands = probe.publisher(Float64MultiArray, COMMANDS)
    wait_until(lambda: reached(states, ROBOT.neutral), "the neutral pose")
    assert tuple(states[-1].name) == ROBOT.names

    target = pose(neck_yaw=0.4, neck_pitch=-0.2, jaw=0.3, eye_left_yaw=0.2)
    commands.publish(Float64MultiArray(data=target.tolist()))
    wait_until(lambda: reached(states, target), "the commanded pose")

    # TF, chained from base to head, must be the rotation of the neck: Rz(yaw) Ry(pitch).
    def head():
        tree = FrameTree()
        for message in (*static, *tf[-3:]):
            for transform in message.transforms:
                parent, child, matrix, _ = transform_from_message(transform)
                tree.set(parent, child, matrix)
        return tree.lookup("base_link", "head_link") if static and tf else None

    expected = rotation_from_ypr(0.4, -0.2, 0.0)
    wait_until(
        lambda: (h := head()) is not None and np.abs(h[:3, :3] - expected).max() < 0.03, "the head in TF"
    )
    assert HEAD_LINK in {t.child_frame_id for t in tf[-1].transforms}

    for bad in ([math.nan] * 25, [0.0] * 24, []):
        commands.publish(Float64MultiArray(data=bad))

    def refused():
        values = {
            v.key: v.value for m in diagnostics for v in m.status[0].values if "robot_sim" in m.status[0].name
        }
        return values.get("refused") == "3"

    wait_until(refused, "three refusals in the diagnostics")
    assert reached(states, target), "the pose is kept"


def test_it_obeys_trajectories_by_joint_name(probe, node_process):
    states = probe.collect(JointState, "/joint_states", NEWEST_ONLY)
    node_process("robot_sim")
    sender = probe.publisher(JointTrajectory, "/joint_trajectory_controller/joint_trajectory")
    message = JointTrajectory(joint_names=["jaw", "neck_roll"])
    message.points = [JointTrajectoryPoint(positions=[0.2, -0.3])]
    sender.publish(message)
    wait_until(lambda: reached(states, pose(jaw=0.2, neck_roll=-0.3)), "the pose of the trajectory")


def test_it_renders_when_wished_for(probe, node_process):
    pictures = {v: probe.collect(Image, f"/robot/{v}/image_raw", NEWEST_ONLY) for v in ("face", "left_eye")}
    depths = probe.collect(Image, "/robot/face/depth/image_raw", NEWEST_ONLY)
    settings = {"views": ["face", "left_eye"], "depth": True, "image_width": 160, "image_height": 120}
    node_process("robot_sim", image_hz=5.0, **settings)
    wait_until(lambda: all(pictures.values()), "a picture of each view")
    image = ImageConverter().to_rgb(pictures["face"][0])
    assert image.shape == (120, 160, 3)
    assert image.std() > 10, "something is to be seen"
    wait_until(lambda: depths, "a depth picture")
    assert (depths[0].encoding, depths[0].step) == ("32FC1", 640)
    depth = np.frombuffer(depths[0].data, "<f4").reshape(120, 160)
    assert 0.3 < depth[60, 80] < 1.5, "the face is an arm's length away"
    assert depth[60, 80] < depth[5, 5], "and nearer than what is behind it"


def test_an_unknown_view_is_refused(node_process, tmp_path):
    process = node_process("robot_sim", views=["nose"])
    assert process.wait(30) == 2
    assert "nose" in (tmp_path / "robot_sim.log").read_text()
