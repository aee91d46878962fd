"""Which face of this image is which face of the image before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from fabg.perception.roi import moved, size_of
from fabg.perception.types import Roi

if TYPE_CHECKING:
    from fabg.perception.landmark import Reading
    from fabg.perception.portrait import Portrait, View

_COAST_S = 0.2
"""Time constant with which the motion of a hidden face is forgotten."""
_MAX_SHIFT = 0.8
"""A face moves at most this part of its size between two images, ..."""
_MAX_SHIFT_LOST = 1.2
"""... and at most this while hidden."""
_MAX_RATIO, _MAX_RATIO_LOST = 1.35, 1.7
"""The same for its size, which hardly changes from one image to the next."""
MAX_BLIND = 2
"""A face that is missed in more images than this is hidden: it has to be found anew."""
_MAX_RATIO_CROWDED = 1.2
"""The same beside another face, which half covers this one or draws its landmarks over to itself."""
_SIZE_S = 0.15
"""Time constant of a face's size: people walk at different distances, and nobody's jumps."""
_LOST_PENALTY = 0.3
"""A face that is followed has the better claim than one that is lost."""


class Track:
    """One person's face from its first to its last image.

    Parameters
    ----------
    id
        Its name; empty while it is not decided whose face it is.
    roi
        Where it was found, px.
    clock_s
        When it was found, s.
    """

    def __init__(self, id: str, roi: Roi, clock_s: float) -> None:
        self.id = id
        self.roi = roi
        self.seen_s = clock_s
        self.misses = 0
        self.unconfirmed = 0
        self.confidence = 0.0
        self.reading: Reading | None = None
        """What was read in this image; None while the face is hidden."""
        self.portrait: Portrait | None = None
        """What the person looks like, as far as it is known."""
        self.born_s = clock_s
        self.asked_s = -math.inf
        """When the portrait was last compared, s."""
        self.covered_s = -math.inf
        """When another face was last close or in front of it, s."""
        self.doubted = False
        """True from a crossing or a disappearance until the portrait has been compared."""
        self.suspects: set[str] = set()
        """Who else it could be."""
        self.denials = 0
        self.undecided = 0
        """How many looks in a row have left the doubt."""
        self.view: View | None = None
        """What was seen at the last of those looks."""
        self.crowded = False
        """True while another face is close."""
        self.size = size_of(roi)
        """How large it is, px; follows with a time constant of 0.15 s."""
        self._velocity = (0.0, 0.0)

    @property
    def hidden(self) -> bool:
        """True when the face has been missed for longer than a glitch."""
        return self.misses > MAX_BLIND

    def hit(self, reading: Reading, clock_s: float) -> None:
        """Note that the face was seen: its place and motion, and no more misses."""
        roi = reading.roi
        elapsed = clock_s - self.seen_s
        if elapsed > 0:
            (x0, y0), (x1, y1) = self.roi.center, roi.center
            new = ((x1 - x0) / elapsed, (y1 - y0) / elapsed)
            self._velocity = (0.5 * (self._velocity[0] + new[0]), 0.5 * (self._velocity[1] + new[1]))
            followed = 1.0 - math.exp(-elapsed / _SIZE_S)
            self.size *= (size_of(roi) / max(self.size, 1e-6)) ** followed
        self.roi, self.seen_s, self.misses, self.reading = roi, clock_s, 0, reading

    def miss(self) -> None:
        """Note that the face was not seen."""
        self.misses += 1
        self.reading = None

    def predicted(self, clock_s: float) -> Roi:
        """Return where the face should be: motion goes on, but dies away."""
        elapsed = max(clock_s - self.seen_s, 0.0)
        reach = _COAST_S * (1.0 - math.exp(-elapsed / _COAST_S))
        return moved(self.roi, self._velocity[0] * reach, self._velocity[1] * reach)

    def cost(self, roi: Roi, clock_s: float) -> float:
        """Return how badly a face fits: 0 for a perfect fit, infinity when it cannot be the same."""
        size, other = self.size, size_of(roi)
        ratio = self.resized(roi)
        shift = self._distance(roi, clock_s) / max(size, other, 1e-6)
        max_ratio = _MAX_RATIO_CROWDED if self.crowded else _MAX_RATIO
        if self.hidden:
            max_ratio = _MAX_RATIO_LOST
        if ratio > max_ratio or shift > (_MAX_SHIFT_LOST if self.misses else _MAX_SHIFT):
            return math.inf
        return shift + math.log(ratio) + (_LOST_PENALTY if self.misses else 0.0)

    def resized(self, roi: Roi) -> float:
        """Return by what factor a face is larger or smaller than this one, >= 1."""
        size = size_of(roi)
        return max(self.size, size) / max(min(self.size, size), 1e-6)

    def _distance(self, roi: Roi, clock_s: float) -> float:
        """Return how far a face is from where this one should be, px.

        A hidden face may have gone on or have stopped anywhere on the way.
        """
        if not self.misses:
            return math.dist(self.predicted(clock_s).center, roi.center)
        elapsed = max(clock_s - self.seen_s, 0.0)
        start, (x, y) = self.roi.center, roi.center
        way_x, way_y = self._velocity[0] * elapsed, self._velocity[1] * elapsed
        length2 = way_x * way_x + way_y * way_y
        along = ((x - start[0]) * way_x + (y - start[1]) * way_y) / length2 if length2 > 0 else 0.0
        part = min(max(along, 0.0), 1.0)
        return math.dist((start[0] + part * way_x, start[1] + part * way_y), (x, y))


class HasRoi(Protocol):
    """Anything with a place in the image."""

    @property
    def roi(self) -> Roi:
        """Bounding box, px."""
        ...


F = TypeVar("F", bound=HasRoi)


def assign(
    tracks: Sequence[Track],
    faces: Sequence[F],
    clock_s: float,
    looks: Callable[[Track, F], float] | None = None,
) -> list[tuple[Track, F]]:
    """Return pairs of tracks and faces, each at most once, the cheapest pair first.

    Greedy: with a handful of faces, gates below one face's size and motion predicted, the best pair
    is right, and a wrong one cannot be mended by shuffling the rest. Where several tracks claim one
    face, `looks` adds what appearance costs each pair.
    """
    costs = [[track.cost(face.roi, clock_s) for face in faces] for track in tracks]
    contested = any(sum(map(math.isfinite, column)) > 1 for column in zip(*costs, strict=True))
    priced = [
        (cost + (looks(tracks[i], faces[j]) if looks and contested else 0.0), i, j)
        for i, row in enumerate(costs)
        for j, cost in enumerate(row)
        if math.isfinite(cost)
    ]
    pairs: list[tuple[Track, F]] = []
    used_tracks: set[int] = set()
    used_faces: set[int] = set()
    for _, i, j in sorted(priced):
        if i not in used_tracks and j not in used_faces:
            used_tracks.add(i)
            used_faces.add(j)
            pairs.append((tracks[i], faces[j]))
    return pairs
