"""The images of demonstrations, made small and kept in memory for training.

A data set has a frame for every step of control, most of which show an image that has been seen before: only those
that samples ask for are decoded and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demos.reader import Dataset
from fabg.errors import ConfigError, InputError
from fabg.policy.base import StereoImages
from fabg.policy.pictures import SIZE, prepare

LEFT, RIGHT = "observation.images.left", "observation.images.right"
DEPTH = "observation.depth"
"""Depth of the left image, row by row, m, 0 where unknown."""


class Pictures:
    """Images of samples.

    Parameters
    ----------
    sets
        Data sets.
    frames
        Of each sample: number of the data set, episode in it, frame in that, (n, 3); samples of an episode stand
        together.
    size
        Height and width, px.
    depth
        Whether depth is kept, too.
    memory_gb
        More is refused, before anything is read.
    tell
        Called with how many samples have their images and how many there are.

    Raises
    ------
    ConfigError
        When they would take more than `memory_gb`.
    InputError
        When a data set lacks a camera or depth, or is damaged.
    """

    def __init__(
        self,
        sets: Sequence[Dataset],
        frames: NDArray[np.integer],
        *,
        size: tuple[int, int] = SIZE,
        depth: bool = True,
        memory_gb: float = 8.0,
        tell: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        for number in {int(n) for n in frames[:, 0]}:
            check_pictures(sets[number], depth=depth)
        self.nbytes = len(frames) * size[0] * size[1] * (8 if depth else 6)
        if self.nbytes > memory_gb * 1e9:
            raise ConfigError(
                f"the images of {len(frames)} samples take {self.nbytes / 1e9:.1f} GB: expected up to memory_gb, "
                f"{memory_gb:g}; raise it if the machine has more, or train on fewer episodes or tasks"
            )
        self._left = np.zeros((len(frames), 3, *size), np.uint8)
        self._right = np.zeros_like(self._left)
        # Half precision: 0.5 mm at 1 m.
        self._depth = np.zeros((len(frames), 1, *size), np.float16) if depth else None
        rows = range(len(frames))
        for (number, episode), group in groupby(rows, key=lambda k: (int(frames[k, 0]), int(frames[k, 1]))):
            chosen = list(group)
            self._read(sets[number], episode, frames[chosen, 2], chosen[0], size)
            tell(chosen[-1] + 1, len(frames))

    def __len__(self) -> int:
        return len(self._left)

    def __str__(self) -> str:
        return f"{len(self)} images of two cameras, {self.nbytes / 1e9:.1f} GB"

    def batch(self, indices: NDArray[np.integer]) -> dict[str, NDArray[Any]]:
        """Return what these samples see.

        Returns
        -------
        ``left`` and ``right``, (B, 3, h, w) uint8, and, where it is kept, ``depth``, (B, 1, h, w) float32, m.
        """
        found: dict[str, NDArray[Any]] = {"left": self._left[indices], "right": self._right[indices]}
        if self._depth is not None:
            found["depth"] = self._depth[indices].astype(np.float32)
        return found

    def _read(
        self, data: Dataset, episode: int, frames: NDArray[np.integer], first: int, size: tuple[int, int]
    ) -> None:
        left, right = (data.pictures(episode, key)[frames] for key in (LEFT, RIGHT))
        depth = np.zeros(left.shape[:3], np.float32)
        if self._depth is not None:
            depth = data.episode(episode, [DEPTH])[DEPTH][frames].astype(np.float32).reshape(depth.shape)
        for row, images in enumerate(zip(left, right, depth, strict=True), start=first):
            small = prepare(StereoImages(*images), size)
            self._left[row], self._right[row] = small["left"], small["right"]
            if self._depth is not None:
                self._depth[row] = small["depth"]


def check_pictures(data: Dataset, *, depth: bool) -> None:
    """See that a data set has the images, and depth when that is wanted.

    Raises
    ------
    InputError
        For the first that is missing, or of another size than the left image.
    """
    features = data.info.features
    for key in (LEFT, RIGHT):
        if key not in data.info.video_keys:
            raise InputError(
                f"{data.root} has no images {key!r}, only {', '.join(features)}: record it with --obs rgbd, or train "
                "with inputs: features"
            )
    shape = features[LEFT].shape
    if features[RIGHT].shape != shape:
        raise InputError(
            f"{RIGHT} of {data.root} has the shape {features[RIGHT].shape}: expected {shape}, as the left images"
        )
    if not depth:
        return
    if DEPTH not in data.info.numeric:
        raise InputError(
            f"{data.root} has no {DEPTH!r}, only {', '.join(features)}: record it with --obs rgbd, or train with "
            "depth: false"
        )
    if features[DEPTH].shape != (shape[0] * shape[1],):
        raise InputError(
            f"{DEPTH} of {data.root} has the shape {features[DEPTH].shape}: expected ({shape[0] * shape[1]},), "
            f"{shape[0]} rows of {shape[1]} as the left images"
        )
