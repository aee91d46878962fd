"""What the operating system has to bring: a compiler and OpenGL without a screen."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabg.errors import EnvironmentProblem


@dataclass(frozen=True)
class SystemNeed:
    """Something that a system package brings.

    Attributes
    ----------
    what
        For people.
    package
        Package on Debian and Ubuntu.
    present
        Whether this machine has it.
    for_tests
        True when only the tests need it.
    """

    what: str
    package: str
    present: Callable[[], bool]
    for_tests: bool = False


def _library(name: str) -> Callable[[], bool]:
    return lambda: ctypes.util.find_library(name) is not None


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _has_ensurepip() -> bool:
    return importlib.util.find_spec("ensurepip") is not None


def _has_headers() -> bool:
    return (Path(sysconfig.get_path("include")) / "Python.h").is_file()


def _has_software_renderer() -> bool:
    patterns = ("dri/swrast_dri.so", "libgallium*.so", "dri/libdril_dri.so")
    folders = [Path("/usr/lib"), Path("/usr/lib64"), *Path("/usr/lib").glob("*-linux-gnu")]
    return any(any(folder.glob(pattern)) for folder in folders for pattern in patterns)


NEEDS = (
    SystemNeed("venv for this Python", "python3-venv", _has_ensurepip),
    SystemNeed("Python headers", "python3-dev", _has_headers),
    SystemNeed("C++ compiler", "g++", _program("g++")),
    SystemNeed("EGL", "libegl1", _library("EGL")),
    SystemNeed("OpenGL", "libgl1", _library("GL")),
    SystemNeed("OpenGL ES", "libgles2", _library("GLESv2")),
    SystemNeed("software renderer (Mesa)", "libgl1-mesa-dri", _has_software_renderer),
    SystemNeed("check_urdf", "liburdfdom-tools", _program("check_urdf"), for_tests=True),
)


def missing(*, for_tests: bool = False) -> tuple[SystemNeed, ...]:
    """Return the needs that this machine does not meet."""
    return tuple(need for need in NEEDS if (for_tests or not need.for_tests) and not need.present())


def install_command(needs: Sequence[SystemNeed]) -> str:
    """Return the shell command that brings `needs` on Debian and Ubuntu."""
    version = f"python3.{sys.version_info.minor}-"
    # The packages called python3-* belong to the system's own Python, not to one installed beside it.
    own = Path(sys.executable).resolve().is_relative_to("/usr/bin")
    packages = [n.package.replace("python3-", version) if own else n.package for n in needs]
    return "apt-get update && apt-get install -y --no-install-recommends " + " ".join(packages)


def provide(needs: Sequence[SystemNeed], log: Path) -> None:
    """Install `needs` when this process may do so.

    Raises
    ------
    EnvironmentProblem
        When it may not, or when the installation fails; the message holds the command to run.
    """
    if not needs:
        return
    command = install_command(needs)
    names = ", ".join(need.what for need in needs)
    if shutil.which("apt-get") is None:
        packages = " ".join(need.package for need in needs)
        raise EnvironmentProblem(
            f"missing on this system: {names}. "
            f"Install what your system calls these packages of Debian: {packages}"
        )
    if os.geteuid() != 0:
        raise EnvironmentProblem(f"missing on this system: {names}. Run: sudo sh -c '{command}'")
    with log.open("w") as output:
        code = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
        ).returncode
    still = [need.what for need in needs if not need.present()]
    if code != 0 or still:
        raise EnvironmentProblem(
            f"could not install {', '.join(still) or names} (see {log}). Run: sudo sh -c '{command}'"
        )
