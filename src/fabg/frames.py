"""A tree of coordinate frames with a short memory, so that old images meet old poses."""

from __future__ import annotations

from bisect import bisect_right, insort

import numpy as np
from numpy.typing import ArrayLike

from fabg.errors import InputError
from fabg.geometry import Matrix, inverse


class FrameTree:
    """Poses of child frames in their parents, by time.

    Parameters
    ----------
    memory_s
        How long moving poses are kept, s.
    """

    def __init__(self, memory_s: float = 5.0) -> None:
        self._memory_s = memory_s
        self._parent: dict[str, str] = {}
        self._fixed: dict[str, Matrix] = {}
        self._moving: dict[str, list[tuple[float, int, Matrix]]] = {}
        self._serial = 0

    def set(self, parent: str, child: str, pose: ArrayLike, stamp_s: float | None = None) -> None:
        """Store the pose (4, 4) of `child` in `parent`; without a stamp it holds for ever.

        Raises
        ------
        InputError
            When the pose holds NaN or infinity.
        """
        matrix = np.asarray(pose, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError(f"pose of {child!r} in {parent!r} is not a finite 4 x 4 matrix")
        self._parent[child] = parent
        if stamp_s is None:
            self._fixed[child] = matrix
            return
        history = self._moving.setdefault(child, [])
        self._serial += 1  # breaks ties between equal stamps: matrices cannot be compared
        insort(history, (stamp_s, self._serial, matrix))
        oldest = history[-1][0] - self._memory_s
        while history[0][0] < oldest:
            history.pop(0)

    def _in_parent(self, child: str, stamp_s: float | None) -> Matrix:
        if child in self._fixed:
            return self._fixed[child]
        history = self._moving[child]
        if stamp_s is None:
            return history[-1][2]
        after = bisect_right(history, stamp_s, key=lambda entry: entry[0])
        nearest = min(history[max(after - 1, 0) : after + 1], key=lambda entry: abs(entry[0] - stamp_s))
        return nearest[2]

    def _to_root(self, frame: str, stamp_s: float | None) -> tuple[str, Matrix]:
        pose = np.eye(4)
        seen = {frame}
        while frame in self._parent:
            pose = self._in_parent(frame, stamp_s) @ pose
            frame = self._parent[frame]
            if frame in seen:
                raise InputError(f"the frames form a loop at {frame!r}")
            seen.add(frame)
        return frame, pose

    def lookup(self, target: str, source: str, stamp_s: float | None = None) -> Matrix:
        """Return the pose (4, 4) of `source` in `target` at the nearest known time.

        Raises
        ------
        InputError
            When no chain of frames joins the two; the message names what is known.
        """
        target_root, target_pose = self._to_root(target, stamp_s)
        source_root, source_pose = self._to_root(source, stamp_s)
        if target_root != source_root:
            known = ", ".join(sorted(self._parent)) or "none yet"
            raise InputError(f"no transform from {source!r} to {target!r}: frames known are {known}")
        return inverse(target_pose) @ source_pose
