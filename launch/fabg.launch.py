"""Bring up the graph of `fabg.ros.bringup` with ROS 2 launch.

ros2 launch fabg fabg.launch.py
ros2 launch fabg fabg.launch.py source:=0 only:=camera,face
ros2 launch fabg fabg.launch.py with:=gaze,gesture
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from fabg.ros.bringup import middleware_environment, require_packages, selected
from launch import LaunchDescription


def _names(context, argument):
    text = LaunchConfiguration(argument).perform(context)
    return [name.strip() for name in text.split(",") if name.strip()]


def _nodes(context):
    require_packages()
    source = LaunchConfiguration("source").perform(context)
    actions = []
    for spec in selected(_names(context, "only") or None, also=_names(context, "with")):
        parameters = [str(spec.parameters)]
        if spec.name == "camera" and source:
            # As a text, whatever it looks like: "0" is a camera's name.
            parameters.append({"source": ParameterValue(source, value_type=str)})
        actions.append(
            Node(
                package="fabg",
                executable=spec.executable,
                name=spec.name,
                parameters=parameters,
                output="screen",
                respawn=True,
                respawn_delay=1.0,
            )
        )
    return actions


def generate_launch_description():
    """Return all nodes of the graph, each with its parameter file."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "only",
                default_value="",
                description="node names, comma separated; when empty the whole robot",
            ),
            DeclareLaunchArgument(
                "with", default_value="", description="start these as well: depth, gaze, emotion, gesture"
            ),
            DeclareLaunchArgument(
                "source", default_value="", description="camera: device, video, folder or `clip`"
            ),
            *(SetEnvironmentVariable(name, value) for name, value in middleware_environment().items()),
            OpaqueFunction(function=_nodes),
        ]
    )
