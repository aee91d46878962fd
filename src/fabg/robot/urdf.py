"""The robot's URDF, made by xacro from the joint table."""

from __future__ import annotations

from pathlib import Path

from fabg.errors import ConfigError, EnvironmentProblem
from fabg.files import write_text
from fabg.paths import share_dir


def render_urdf(robot_yaml: Path | str | None = None) -> str:
    """Return the URDF as XML text.

    Parameters
    ----------
    robot_yaml
        Joint table; the package's ``config/robot.yaml`` by default.

    Raises
    ------
    EnvironmentProblem
        When the Python package xacro is missing.
    ConfigError
        When xacro cannot process the table.
    """
    try:
        import xacro
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            "the URDF needs xacro: `pip install xacro`, or `apt install ros-$ROS_DISTRO-xacro`"
        ) from error
    source = share_dir() / "urdf" / "fabg_head.urdf.xacro"
    table = Path(robot_yaml) if robot_yaml is not None else share_dir() / "config" / "robot.yaml"
    if not table.is_file():
        raise ConfigError(f"robot description {table} cannot be read: there is no such file")
    try:
        document = xacro.process_file(str(source), mappings={"robot_yaml": str(table)})
    except (xacro.XacroException, OSError) as error:
        raise ConfigError(f"{source.name} with {table.name}: {error}") from error
    return document.toprettyxml(indent="  ")


def write_urdf(path: Path | str, robot_yaml: Path | str | None = None) -> Path:
    """Write the URDF to a file, which appears only when complete; return its path."""
    path = Path(path)
    write_text(path, render_urdf(robot_yaml))
    return path
