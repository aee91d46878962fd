"""The message packages as wheels, for environments without a ROS distribution."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("hri_msgs", "fabg_msgs", "tf2_msgs")
"""The longest build first, so that two builders end at about the same time."""

_DEFINITIONS = ("msg/*.msg", "srv/*.srv", "action/*.action")
_RECIPE = ("CMakeLists.txt", "package.xml", "pyproject.toml")


@dataclass(frozen=True)
class WheelSource:
    """What one wheel is made of.

    Attributes
    ----------
    folder
        ``interfaces/<package>``.
    key
        Hash of everything that the wheel depends on; part of its place in the cache.
    """

    folder: Path
    key: str

    @property
    def package(self) -> str:
        """Name of the ROS package."""
        return self.folder.name

    def place(self, cache: Path) -> Path:
        """Return the folder of the cache that holds, or will hold, this wheel."""
        return cache / f"{self.package}-{self.key}"

    def cached(self, cache: Path) -> Path | None:
        """Return the wheel if it was built before, else None."""
        wheels = sorted(self.place(cache).glob("*.whl"))
        return wheels[0] if wheels else None


def definition_files(folder: Path) -> tuple[Path, ...]:
    """Return the message, service and action files of a package, sorted."""
    return tuple(sorted(path for pattern in _DEFINITIONS for path in folder.glob(pattern)))


def wheel_source(folder: Path, requirements: Path, python_tag: str) -> WheelSource:
    """Describe the wheel of one message package.

    Parameters
    ----------
    folder
        ``interfaces/<package>``.
    requirements
        The folder with the pinned versions: a wheel fits one version of ROS only.
    python_tag
        For instance ``"cp311-linux-x86_64"``; see `python_tag`.
    """
    files = [*definition_files(folder), *(folder / name for name in _RECIPE)]
    files += sorted((folder.parent / "_wheel").glob("*.cmake"))
    files += [requirements / "ros.txt", requirements / "build.txt"]
    digest = hashlib.sha256(python_tag.encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"\0{path.parent.name}/{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return WheelSource(folder, digest.hexdigest()[:16])


def python_tag(version: tuple[int, int] | None = None) -> str:
    """Return what of the interpreter and the machine a wheel depends on."""
    major, minor = version or sys.version_info[:2]
    machine = os.uname()
    return f"cp{major}{minor}-{machine.sysname.lower()}-{machine.machine}"


def build_wheel(source: WheelSource, cache: Path, *, python: Path, log: Path, env: dict[str, str]) -> Path:
    """Return the wheel of a message package, building it unless the cache has it.

    Parameters
    ----------
    source
        What to build.
    cache
        Folder of all wheels.
    python
        Python of an environment with ``requirements/ros.txt`` and ``requirements/build.txt``.
    log
        File that receives what the build prints.
    env
        Environment variables of the build.

    Raises
    ------
    subprocess.CalledProcessError
        When the build fails.
    """
    cached = source.cached(cache)
    if cached is not None:
        return cached
    cache.mkdir(parents=True, exist_ok=True)
    # The wheel moves to its place in one step: an interrupted build leaves nothing that looks finished.
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{source.package}-") as scratch:
        command = [str(python), "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"]
        command += ["--wheel-dir", scratch, str(source.folder)]
        with log.open("w") as output:
            subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT, env=env)
        source.place(cache).mkdir(exist_ok=True)
        built = next(Path(scratch).glob("*.whl"))
        return built.replace(source.place(cache) / built.name)
