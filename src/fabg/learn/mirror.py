"""The other way round: samples of images as a mirror would show them, which doubles the demonstrations.

Robot, cameras and people are alike on both sides. A pair of images is mirrored by turning each over and letting them
change places; who looked to the left then looks to the right. Depth belongs to the left camera, so before it is turned
over it must be seen from the right one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fabg import expression

FOCAL = 0.5
"""Focal length as a share of the width of an image: a horizontal field of view of 90 degrees."""
BASELINE_M = 0.063
"""Distance of the two cameras, m."""

_CRACKS_PX = (-0.25, 0.25)  # neighbours that part leave no gap between them


def mirrored(batch: dict[str, Tensor], which: Tensor) -> dict[str, Tensor]:
    """Return a batch in which some samples are mirrored.

    Parameters
    ----------
    batch
        ``left`` and ``right``, (B, 3, h, w); ``actions``, (B, K, 61); ``prefix``, alike, and ``depth``, (B, 1, h, w),
        m, 0 where unknown, when there are any. Others stay as they are.
    which
        True for those to be mirrored, (B,).
    """
    out = dict(batch)
    swap = which[:, None, None, None]
    left, right = batch["left"], batch["right"]
    out["left"] = torch.where(swap, right.flip(-1), left)
    out["right"] = torch.where(swap, left.flip(-1), right)
    if "depth" in batch:
        out["depth"] = torch.where(swap, depth_from_right(batch["depth"]).flip(-1), batch["depth"])
    for name in {"actions", "prefix"} & set(batch):
        out[name] = torch.where(which[:, None, None], mirrored_expression(batch[name]), batch[name])
    return out


def mirrored_expression(vectors: Tensor) -> Tensor:
    """Return expressions (..., 61) with left and right exchanged."""
    order = torch.tensor(_ORDER, device=vectors.device)
    return vectors[..., order] * torch.tensor(_SIGNS, dtype=vectors.dtype, device=vectors.device)


def depth_from_right(depth: Tensor, *, focal: float = FOCAL, baseline_m: float = BASELINE_M) -> Tensor:
    """Return the depth that the right camera has, from that of the left one.

    Parameters
    ----------
    depth
        (B, 1, h, w), m, 0 where unknown.
    focal
        Focal length as a share of the width.
    baseline_m
        Distance of the cameras, m.

    Returns
    -------
    (B, 1, h, w), m; 0 where unknown, and where only the right camera sees. Of what falls on one pixel the nearest
    remains.
    """
    width = depth.shape[-1]
    known = depth > 0
    inverse = torch.where(known, 1.0 / depth.clamp(min=1e-3), 0.0)
    columns = torch.arange(width, device=depth.device) - focal * width * baseline_m * inverse
    nearest = torch.zeros_like(inverse)
    for crack in _CRACKS_PX:
        place = torch.round(columns + crack).long()
        seen = torch.where((place >= 0) & (place < width), inverse, 0.0)
        nearest.scatter_reduce_(-1, place.clamp(0, width - 1), seen, "amax")
    return torch.where(nearest > 0, 1.0 / nearest.clamp(min=1e-6), 0.0)


def _other_side(name: str) -> str:
    swap = {"Left": "Right", "Right": "Left"}
    for side, other in swap.items():
        if side in name:
            return name.replace(side, other)
    return name


_ORDER = [expression.INDEX[_other_side(name)] for name in expression.NAMES]
_SIGNS = [
    -1.0 if name in expression.ANGLES and "Pitch" not in name else 1.0 for name in expression.NAMES
]  # yaw and roll turn the other way
