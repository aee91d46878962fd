"""Whose face it is, when place and motion do not say: after a crossing, after a return.

Most images need no answer. The embedding is asked when a face is new to the picture and somebody is
missed, when two faces that were close have parted, and now and then to get to know a face; at most
once an image. An identity is given back only when it is sure: a new id is the lesser mistake.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fabg.errors import InputError
from fabg.perception.association import Track
from fabg.perception.embedding import CLOTHES, Embedder, colour_distance, colours
from fabg.perception.landmark import Reading
from fabg.perception.portrait import (
    LEARN_AFTER_S,
    MARGIN,
    SURE_COLOUR,
    UNLIKE_COLOUR,
    Gallery,
    Portrait,
    compare,
    surest,
)
from fabg.perception.roi import overlap, size_of, square, visible_fraction
from fabg.perception.types import Roi

_COLOUR_COST = 0.05
"""What a unit of colour costs beside a shift of one face size."""
_USUAL_COLOUR = 8.0
"""Distance of colours where nothing is known."""
_BEST_COST = 0.15
"""By so much place and colours must speak for one hidden face where there has been no closer look."""
_JUMP_COST = 0.25
"""A face that is followed from one image to the next costs 0.1 at most."""

_PATIENCE_S, _PATIENCE_COVERED_S = 0.4, 1.0
"""So long a face waits for its name while nobody can say who it is, in plain view or half covered."""
_JUST_LEFT_S = 5.0
_RETRY_S = 0.15
_DENIALS = 2
_MIN_PX = 36.0
_MAX_TURN = math.cos(math.radians(40.0))
_CLOSE = 1.35
_COVERED = 0.2
_COLOURS_EVERY_S = 0.2


class Recogniser:
    """Decides whose face a track is.

    Parameters
    ----------
    embedder
        The identity model; None leaves everything to place and motion.
    name
        Returns an id that was never used before.
    remember_s, capacity
        Of the `Gallery`.
    """

    def __init__(
        self,
        embedder: Embedder | None,
        name: Callable[[], str],
        *,
        remember_s: float = 60.0,
        capacity: int = 20,
    ) -> None:
        self.embedder = embedder
        self.gallery = Gallery(remember_s, capacity)
        self.runs = 0
        """How often the embedding has been computed."""
        self._name = name
        self._image: NDArray[np.uint8] | None = None
        self._colours: dict[int, tuple[Reading, NDArray[np.float64]]] = {}

    def configure(self, embedder: Embedder | None, remember_s: float) -> None:
        """Take another model and memory; without a model everybody is forgotten."""
        self.embedder, self.gallery.remember_s = embedder, remember_s
        if embedder is None:
            self.gallery.clear()

    def begin(self, image: NDArray[np.uint8], clock_s: float) -> None:
        """Turn to the next image."""
        self._image = image
        self._colours.clear()
        self.gallery.forget(clock_s)

    def cost(self, track: Track, reading: Reading) -> float:
        """Return what the colours add to the cost of taking a reading for a track."""
        if self.embedder is None or not track.id:  # who waits for a name keeps the face until then
            return 0.0
        if track.portrait is None or track.portrait.colours is None:
            return _COLOUR_COST * _USUAL_COLOUR
        distance = colour_distance(track.portrait.colours, self._seen(reading))
        return _COLOUR_COST * (distance if math.isfinite(distance) else _USUAL_COLOUR)

    def unlike(self, track: Track, reading: Reading) -> bool:
        """Return whether the colours of a reading say that it may be somebody else."""
        return self.cost(track, reading) > _COLOUR_COST * UNLIKE_COLOUR

    def doubtful(self, track: Track, reading: Reading, tracks: Iterable[Track], clock_s: float) -> bool:
        """Return whether what place gives to a track may as well be a hidden face that comes back."""
        if self.embedder is None or not track.id:
            return False
        if track.misses and self.unlike(track, reading):
            return True
        place = track.cost(reading.roi, clock_s)
        own = place + self.cost(track, reading)
        for other in tracks:
            cost = other.cost(reading.roi, clock_s) if other.hidden else math.inf
            # A face that jumps where somebody is missed is mostly that somebody.
            if math.isfinite(cost) and (
                place > _JUMP_COST or cost + self.cost(other, reading) < own + _BEST_COST
            ):
                return True
        return False

    def retire(self, track: Track) -> None:
        """Remember the person of a track that has ended."""
        if self.embedder is not None and track.id and track.portrait and track.portrait.embeddings:
            self.gallery.put(track.id, track.portrait, track.seen_s)

    def welcome(self, reading: Reading, tracks: Sequence[Track], clock_s: float) -> Track:
        """Return the track for a face that no track followed: a hidden one's, or a new one."""
        ranked = self._by_place(reading, tracks, clock_s)
        if self.embedder is None:
            return ranked[0][1] if ranked else Track(self._name(), reading.roi, clock_s)
        track = Track("", reading.roi, clock_s)
        candidates = self._candidates(track, tracks)
        if ranked and self._clear(tracks, clock_s) and not self.unlike(ranked[0][1], reading):
            track = ranked[0][1]
            track.doubted, track.denials = True, 0
            track.suspects |= set(candidates) - {track.id}
        elif not ranked and not candidates:
            track.id = self._name()
        return track

    def _by_place(
        self, reading: Reading, tracks: Iterable[Track], clock_s: float
    ) -> list[tuple[float, Track]]:
        """Return the hidden faces that may have come back here, with their costs, the likeliest first."""
        hidden = [track for track in tracks if track.reading is None and track.id]
        priced = [(track.cost(reading.roi, clock_s), track) for track in hidden]
        found = [
            (cost + self.cost(track, reading), track)
            for cost, track in priced
            if math.isfinite(cost) and self.cost(track, reading) < _COLOUR_COST * SURE_COLOUR
        ]
        return sorted(found, key=lambda pair: pair[0])

    def _clear(self, tracks: Iterable[Track], clock_s: float) -> bool:
        """Return whether only one person can have come back: nobody else is hidden, or has just left."""
        missed = sum(track.reading is None for track in tracks)
        return missed == 1 and not self.gallery.left_since(clock_s - _JUST_LEFT_S)

    def look(self, tracks: list[Track], clock_s: float) -> None:
        """Note who is close to whom, learn, and settle the most urgent question of this image."""
        if self.embedder is None:
            return
        visible = [(track, track.reading) for track in tracks if track.reading is not None]
        close = self._suspect(visible)
        for track, reading in visible:
            if id(track) not in close and track.id and not track.doubted:
                self._learn_colours(track, reading, clock_s)

        def known(track: Track) -> bool:
            return bool(track.id and track.portrait and track.portrait.embeddings)

        questions = [
            (track, reading)
            for track, reading in visible
            if self._asks(track, clock_s)
            and not (known(track) and id(track) in close)  # they may change places once more
            and self._good(reading)
            and _uncovered(reading, visible)
        ]
        if questions:
            track, reading = min(questions, key=lambda q: (bool(q[0].id), not q[0].doubted, q[0].asked_s))
            seen = self._seen(reading)
            if id(track) in close:
                seen = seen.copy()
                seen[CLOTHES] = np.nan
            self._examine(track, reading, seen, tracks, clock_s)
        for track, reading in visible:
            covered = not _uncovered(reading, visible)
            if not track.id and clock_s - track.born_s >= (_PATIENCE_COVERED_S if covered else _PATIENCE_S):
                self._settle(track, reading, tracks, clock_s)

    # Whom to look at ---------------------------------------------------------------------------------

    @staticmethod
    def _suspect(visible: Sequence[tuple[Track, Reading]]) -> set[int]:
        """Let faces that are close to each other suspect each other; return their tracks (by identity)."""
        boxes = [(track, square(reading.roi, _CLOSE)) for track, reading in visible]
        close: set[int] = set()
        for i, (one, box) in enumerate(boxes):
            for other, other_box in boxes[i + 1 :]:
                if overlap(box, other_box) > 0.0:
                    close |= {id(one), id(other)}
                    for a, b in ((one, other), (other, one)):
                        if a.id and b.id:
                            a.suspects.add(b.id)
                            a.doubted, a.denials = True, 0
        return close

    def _good(self, reading: Reading) -> bool:
        assert self._image is not None
        height, width = self._image.shape[:2]
        return (
            reading.roi.width >= _MIN_PX
            and reading.rotation[2, 2] >= _MAX_TURN
            and visible_fraction(reading.roi, width, height) > 0.98
        )

    @staticmethod
    def _asks(track: Track, clock_s: float) -> bool:
        if clock_s - track.asked_s < _RETRY_S:
            return False
        if not track.id or track.doubted:
            return True
        if track.portrait is None or not track.portrait.embeddings:
            return clock_s - track.born_s >= LEARN_AFTER_S[0]
        return clock_s >= track.portrait.next_s

    # What to make of it ------------------------------------------------------------------------------

    def _examine(
        self,
        track: Track,
        reading: Reading,
        seen: NDArray[np.float64],
        tracks: list[Track],
        clock_s: float,
    ) -> None:
        assert self.embedder is not None and self._image is not None
        track.asked_s = clock_s
        self.runs += 1
        try:
            embedding = self.embedder.embed(self._image, reading.landmarks)
        except InputError:
            return  # whoever it is, the face itself is tracked on
        if embedding is None:
            return
        candidates = {
            name: compare(portrait, embedding, seen)
            for name, portrait in self._candidates(track, tracks).items()
        }
        if not track.id:
            if (who := surest(candidates)) is not None:
                self._exchange(track, who, tracks, clock_s)
            elif all(likeness.other for likeness in candidates.values()):
                track.id = self._name()
            else:
                return  # another view may tell
        elif track.doubted:
            own = compare(track.portrait, embedding, seen)
            if own.cosine is None:  # nothing speaks against it: who is in sight keeps the name
                shown = {other.id for other in tracks if other.reading is not None}
                candidates = {name: likeness for name, likeness in candidates.items() if name not in shown}
            who = surest(candidates)
            if who is not None and candidates[who].score - own.score >= MARGIN:
                self._exchange(track, who, tracks, clock_s)
            elif own.other:
                track.denials += 1
                if track.denials < _DENIALS:
                    return
                self.retire(track)
                track.id, track.portrait = self._name(), None
        self._trust(track)
        self._learn(track, embedding, seen, clock_s)

    def _candidates(self, track: Track, tracks: Iterable[Track]) -> dict[str, Portrait]:
        """Return who this could be: the suspects of a known face, everybody who is missed for a new one."""
        found = dict(self.gallery.portraits)
        for other in tracks:
            missed = other.reading is None
            if other is not track and other.id and other.portrait and (missed or other.id in track.suspects):
                found[other.id] = other.portrait
        return {name: portrait for name, portrait in found.items() if portrait.embeddings}

    def _exchange(self, track: Track, who: str, tracks: list[Track], clock_s: float) -> None:
        """Make `track` the face of `who`; whoever was called so takes the name that becomes free."""
        holder = next((other for other in tracks if other.id == who), None)
        if holder is not None:
            holder.id, track.id = track.id, holder.id
            holder.portrait, track.portrait = track.portrait, holder.portrait
            self._trust(holder)
            if not holder.id:  # a hidden face that has come back under another track: take its place
                tracks.remove(track)
                tracks[tracks.index(holder)] = track
            return
        self.retire(track)
        track.id, track.portrait = who, self.gallery.take(who)

    def _settle(self, track: Track, reading: Reading, tracks: list[Track], clock_s: float) -> None:
        """Name a face that nobody could recognise: after the hidden face that fits best, or anew."""
        ranked = self._by_place(reading, tracks, clock_s)
        candidates = set(self._candidates(track, tracks))
        if ranked and (len(ranked) == 1 or ranked[1][0] - ranked[0][0] >= _BEST_COST):
            self._exchange(track, ranked[0][1].id, tracks, clock_s)
        else:
            track.id = self._name()
        track.doubted, track.suspects = True, candidates - {track.id}  # a better view may tell

    @staticmethod
    def _trust(track: Track) -> None:
        track.doubted, track.denials = False, 0
        track.suspects.clear()

    def _learn(
        self, track: Track, embedding: NDArray[np.float32], seen: NDArray[np.float64], clock_s: float
    ) -> None:
        likeness = compare(track.portrait, embedding, seen)
        if track.portrait is None:
            track.portrait = Portrait()
        if likeness.cosine is None or likeness.same:
            track.portrait.learn(embedding, clock_s)
            if track.portrait.colours is None:
                track.portrait.learn_colours(seen, clock_s)
        else:
            track.portrait.next_s = clock_s + 1.0

    def _learn_colours(self, track: Track, reading: Reading, clock_s: float) -> None:
        if track.portrait is None:
            track.portrait = Portrait()
        if clock_s - track.portrait.colours_s >= _COLOURS_EVERY_S:
            track.portrait.learn_colours(self._seen(reading), clock_s)

    def _seen(self, reading: Reading) -> NDArray[np.float64]:
        """Return the colours of a reading of this image; computed once."""
        assert self._image is not None
        known = self._colours.get(id(reading))
        if known is None:
            known = self._colours[id(reading)] = (reading, colours(self._image, reading.landmarks))
        return known[1]


def _uncovered(reading: Reading, visible: Iterable[tuple[Track, Reading]]) -> bool:
    """Return whether no face that may be nearer covers much of this one."""
    return all(
        other is reading
        or size_of(other.roi) < 0.9 * size_of(reading.roi)
        or _common(reading.roi, other.roi) <= _COVERED
        for _, other in visible
    )


def _common(roi: Roi, other: Roi) -> float:
    """Return how much of a box another one covers, 0..1."""
    width = min(roi.x + roi.width, other.x + other.width) - max(roi.x, other.x)
    height = min(roi.y + roi.height, other.y + other.height) - max(roi.y, other.y)
    return max(width, 0.0) * max(height, 0.0) / max(roi.width * roi.height, 1e-9)
