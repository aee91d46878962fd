"""Where the package finds its own files and keeps what it makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fabg.errors import EnvironmentProblem

_HERE = Path(__file__).resolve()


def checkout_dir() -> Path | None:
    """Root of the source checkout this package runs from, or None when it is installed."""
    root = _HERE.parents[2]
    return root if (root / "package.xml").is_file() and (root / "config").is_dir() else None


def share_dir() -> Path:
    """Directory that holds ``config/``, ``launch/`` and ``urdf/``.

    The checkout when running from one, else ``share/fabg`` of the installation prefix.

    Raises
    ------
    EnvironmentProblem
        When the package was installed without its data files.
    """
    checkout = checkout_dir()
    if checkout is not None:
        return checkout
    prefixes = [*_HERE.parents, Path(sys.prefix)]
    prefixes += [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in prefixes:
        share = prefix / "share" / "fabg"
        if (share / "config").is_dir():
            return share
    raise EnvironmentProblem(
        "the data files of fabg (share/fabg/config) were not found beside the package: "
        "install it again with `pip install .` or `colcon build`"
    )


def cache_dir() -> Path:
    """Directory for what can be made again (baked meshes, clips); created on first use.

    ``$FABG_CACHE_DIR``, else ``.cache/fabg`` in the checkout, else the user's cache directory.
    """
    if chosen := os.environ.get("FABG_CACHE_DIR"):
        path = Path(chosen)
    elif (checkout := checkout_dir()) is not None:
        path = checkout / ".cache" / "fabg"
    else:
        path = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fabg"
    path.mkdir(parents=True, exist_ok=True)
    return path


def runs_dir() -> Path:
    """Directory under which each run of the demonstration keeps its report."""
    return (checkout_dir() or Path.cwd()) / "runs"
