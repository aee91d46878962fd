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
    Likeness,
    Portrait,
    View,
    compare,
    surest,
    traded,
)
from fabg.perception.roi import overlap, square
from fabg.perception.views import good_view, uncovered

_COLOUR_COST = 0.05
"""What a unit of colour costs beside a shift of one face size."""
_USUAL_COLOUR = 8.0
"""Distance of colours where nothing is known."""
_BEST_COST = 0.15
"""By so much place and colours must speak for one hidden face where there has been no closer look."""
_SAME_SIZE = 1.25
"""Place alone gives no face back that is so much larger or smaller than before."""
_JUMP_COST = 0.25
"""A face that is followed from one image to the next costs 0.1 at most."""

_PATIENCE_S, _PATIENCE_COVERED_S = 0.4, 2.0
"""So long a face waits for its name while nobody can say who it is, in plain view or beside another one."""
_JUST_LEFT_S = 5.0
_RETRY_S = 0.15
_MAX_BACKOFF = 4
"""While looks decide nothing the next one is put off, to 2.4 s at most."""
_LOOKS = 4
"""After so many, who looks most like the own portrait is taken for that person."""
_DENIALS = 2
_CLOSE = 1.35
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
        if self.embedder is not None and track.id:
            portrait = track.portrait or Portrait()
            portrait.size_px = track.size
            self.gallery.put(track.id, portrait, track.seen_s)

    def welcome(self, reading: Reading, tracks: Sequence[Track], clock_s: float) -> Track:
        """Return the track for a face that no track followed: a hidden one's, or a new one."""
        ranked = self._by_place(reading, tracks, clock_s)
        if self.embedder is None:
            return ranked[0][1] if ranked else Track(self._name(), reading.roi, clock_s)
        track = Track("", reading.roi, clock_s)
        candidates = self._candidates(track, tracks)
        if ranked and self._clear(tracks, clock_s) and not self.unlike(ranked[0][1], reading):
            track = ranked[0][1]
            self._doubt(track, set(candidates))
        elif not ranked and not candidates and self._missed_one(track, tracks, clock_s) is None:
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
            if math.isfinite(cost)
            and track.resized(reading.roi) <= _SAME_SIZE
            and self.cost(track, reading) < _COLOUR_COST * SURE_COLOUR
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
        assert self._image is not None
        visible = [(track, track.reading) for track in tracks if track.reading is not None]
        shown = [reading for _, reading in visible]
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
            and good_view(reading, self._image.shape[:2])
            and uncovered(reading, shown)
        ]
        if questions:
            track, reading = min(questions, key=lambda q: (bool(q[0].id), not q[0].doubted, q[0].asked_s))
            seen = self._seen(reading)
            if id(track) in close:
                seen = seen.copy()
                seen[CLOTHES] = np.nan
            self._examine(track, reading, seen, tracks, clock_s)
        for track, reading in visible:
            if id(track) in close or not uncovered(reading, shown):
                track.covered_s = clock_s
            plain_s, waited_s = clock_s - max(track.born_s, track.covered_s), clock_s - track.born_s
            if not track.id and (plain_s >= _PATIENCE_S or waited_s >= _PATIENCE_COVERED_S):
                self._settle(track, reading, tracks, clock_s)

    # Whom to look at ---------------------------------------------------------------------------------

    def _suspect(self, visible: Sequence[tuple[Track, Reading]]) -> set[int]:
        """Let faces that are close to each other suspect each other; return their tracks (by identity)."""
        boxes = [(track, square(reading.roi, _CLOSE)) for track, reading in visible]
        close: set[int] = set()
        for i, (one, box) in enumerate(boxes):
            for other, other_box in boxes[i + 1 :]:
                if overlap(box, other_box) > 0.0:
                    close |= {id(one), id(other)}
                    for a, b in ((one, other), (other, one)):
                        if a.id and b.id:
                            self._doubt(a, {b.id})
        for track, _ in boxes:
            track.crowded = id(track) in close
        return close

    @staticmethod
    def _asks(track: Track, clock_s: float) -> bool:
        if clock_s - track.asked_s < _RETRY_S * 2 ** min(track.undecided, _MAX_BACKOFF):
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
            track.view = View(embedding, seen)
            if (who := surest(candidates)) is not None:
                self._exchange(track, who, tracks, clock_s)
            elif all(likeness.other for likeness in candidates.values()):
                self._call(track, self._missed_one(track, tracks, clock_s), tracks, clock_s)
            else:
                return  # another view may tell
        elif track.doubted:
            if not self._verify(track, View(embedding, seen), candidates, tracks, clock_s):
                return
        elif (own := compare(track.portrait, embedding, seen)).cosine is not None and not own.same:
            self._doubt(track, set(self.gallery.portraits) | {other.id for other in tracks if other.id})
            return
        self._trust(track)
        self._learn(track, embedding, seen, clock_s)

    def _verify(
        self,
        track: Track,
        view: View,
        candidates: dict[str, Likeness],
        tracks: list[Track],
        clock_s: float,
    ) -> bool:
        """Decide whose a doubted face is; return whether that is certain now."""
        own = view.likeness(track.portrait)
        if own.cosine is None:  # nothing speaks against it: who is in sight keeps the name
            shown = {other.id for other in tracks if other.reading is not None}
            candidates = {name: likeness for name, likeness in candidates.items() if name not in shown}
        who = surest(candidates)
        if who is not None and candidates[who].score - own.score >= MARGIN:
            self._exchange(track, who, tracks, clock_s)
            return True
        for other in tracks:
            mutual = other.id in track.suspects and track.id in other.suspects
            if mutual and other.view and traded(track.portrait, view, other.portrait, other.view):
                self._exchange(track, other.id, tracks, clock_s)
                return True
        if own.other:
            track.denials += 1
            if track.denials < _DENIALS:
                return False
            self.retire(track)
            track.id, track.portrait = self._name(), None
            return True
        lead = own.score - max((likeness.score for likeness in candidates.values()), default=-math.inf)
        track.undecided, track.view = track.undecided + 1, view
        return own.cosine is None or lead >= (0.0 if own.same or track.undecided >= _LOOKS else MARGIN)

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
            self._call(track, self._missed_one(track, tracks, clock_s), tracks, clock_s)
        self._doubt(track, candidates)  # a better view may tell

    def _call(self, track: Track, who: str | None, tracks: list[Track], clock_s: float) -> None:
        """Name a face: `who` has come back, or nobody."""
        if who is None:
            track.id = self._name()
        else:
            self._exchange(track, who, tracks, clock_s)

    def _missed_one(self, track: Track, tracks: Sequence[Track], clock_s: float) -> str | None:
        """Return who alone is missed, and has not been for long, when nothing speaks against that person."""
        left = self.gallery.since(clock_s - _JUST_LEFT_S).items()
        missed = [(name, portrait, portrait.size_px) for name, portrait in left]
        missed += [(t.id, t.portrait or Portrait(), t.size) for t in tracks if t.reading is None and t.id]
        found = []
        for name, portrait, size in missed:
            likeness = track.view.likeness(portrait) if track.view else Likeness(None, None)
            if not likeness.other:
                fits = max(size, track.size) <= _SAME_SIZE * min(size, track.size)
                found.append((name, fits and (likeness.likely or not portrait.embeddings)))
        return found[0][0] if len(found) == 1 and found[0][1] else None

    @staticmethod
    def _doubt(track: Track, suspects: set[str]) -> None:
        track.doubted, track.denials, track.undecided, track.view = True, 0, 0, None
        track.suspects |= suspects - {track.id}

    @staticmethod
    def _trust(track: Track) -> None:
        track.doubted, track.denials, track.undecided, track.view = False, 0, 0, None
        track.suspects.clear()

    def _learn(
        self, track: Track, embedding: NDArray[np.float32], seen: NDArray[np.float64], clock_s: float
    ) -> None:
        likeness = compare(track.portrait, embedding, seen)
        if track.portrait is None:
            track.portrait = Portrait()
        if likeness.cosine is None or likeness.same or track.portrait.provisional:
            track.portrait.learn(embedding, clock_s, plain=not track.crowded)
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
