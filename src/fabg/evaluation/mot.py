"""How well tracks hold to people: CLEAR-MOT counts.

Bernardin & Stiefelhagen: "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics",
EURASIP Journal on Image and Video Processing, 2008: a correspondence of the image before is kept while
it holds, the rest is matched anew by overlap, and a person who is matched with another id than the last
one is an id switch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabg.perception.roi import overlap
from fabg.perception.types import Roi

_MATCH_OVERLAP = 0.4
"""A found face is a person's when their boxes overlap by so much (intersection over union)."""
_VISIBLE = 0.75
"""A face of which less is visible need not be found, and may be."""
_HIDDEN = 0.3
"""One of which less is visible is nowhere: a box in its place belongs to whoever stands before it."""


@dataclass(frozen=True)
class Truth:
    """One person's face in one image.

    Attributes
    ----------
    person
        Who it is.
    roi
        Bounding box of the whole face, px.
    visible
        How much of the box is neither covered by others nor outside the image, 0..1.
    """

    person: str
    roi: Roi
    visible: float


class MotScore:
    """CLEAR-MOT counts, image by image."""

    def __init__(self) -> None:
        self.images = self.wanted = self.matched = self.missed = self.false = 0
        self.switches = self.fragmentations = 0
        self.overlap_sum = 0.0
        self.events: list[tuple[int, str]] = []
        """(image, what happened) of every switch."""
        self._now: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._broken: set[str] = set()

    def add(self, truths: Sequence[Truth], found: Mapping[str, Roi]) -> None:
        """Count one image: who was there, and the boxes that were found, by id."""
        pairs = self._matched(truths, found)
        for truth in truths:
            wanted = truth.visible >= _VISIBLE
            face_id = pairs.get(truth.person)
            if face_id is None:
                self.wanted += wanted
                self.missed += wanted
                if wanted and truth.person in self._last:
                    self._broken.add(truth.person)
                continue
            self.wanted += 1
            self.matched += 1
            self.overlap_sum += overlap(truth.roi, found[face_id])
            last = self._last.get(truth.person)
            if last is not None and last != face_id:
                self.switches += 1
                self.events.append((self.images, f"{truth.person}: {last} -> {face_id}"))
            self.fragmentations += truth.person in self._broken
            self._broken.discard(truth.person)
            self._last[truth.person] = face_id
        self.false += len(found) - len(pairs)
        self._now = pairs
        self.images += 1

    def _matched(self, truths: Sequence[Truth], found: Mapping[str, Roi]) -> dict[str, str]:
        seen = [truth for truth in truths if truth.visible >= _HIDDEN]
        by_person = {truth.person: truth for truth in seen}
        pairs = {
            person: face_id
            for person, face_id in self._now.items()
            if person in by_person
            and face_id in found
            and overlap(by_person[person].roi, found[face_id]) >= _MATCH_OVERLAP
        }
        rest = [
            (overlap(truth.roi, roi), truth.person, face_id)
            for truth in seen
            for face_id, roi in found.items()
            if truth.person not in pairs and face_id not in pairs.values()
        ]
        for common, person, face_id in sorted(rest, reverse=True):
            if common >= _MATCH_OVERLAP and person not in pairs and face_id not in pairs.values():
                pairs[person] = face_id
        return pairs
