"""What is known of how a person looks, and whether a face is that person's. In memory only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fabg.perception.embedding import colour_distance

# Measured with tests/perception/test_embedding.py and on 14 rendered people: moments of one person are
# alike by 0.65 to 0.98, mostly above 0.8; two real people by less than 0.5, two rendered ones by up to 0.77,
# which is why a cosine of 0.6 needs the colours' consent. Colours of one person differ by up to 8 in
# one light and by 15 in half of it; those of two people by more than 6, mostly 20.
_SAME_COSINE, _SAME_COLOUR = 0.60, 9.0
_SURE_COSINE, SURE_COLOUR = 0.80, 24.0
"""So alike an embedding outweighs a change of light."""
UNLIKE_COLOUR = 14.0
_LIKELY_COSINE, _OTHER_COSINE = 0.5, 0.25
_COLOUR_PER_COSINE = 40.0
MARGIN = 0.2
"""By so much one identity must fit better than the next, in cosines."""
_SURE_LEAD = 0.25
"""The same where the colours, which light and others in front can change, disagree."""
_UNKNOWN_COSINE, UNKNOWN_COLOUR = 0.4, 15.0
_TEMPLATES = 4
LEARN_AFTER_S = (0.2, 1.0, 3.0)
_REFRESH_S = 10.0
_COLOUR_RATE = 0.2


@dataclass
class Portrait:
    """What one person looks like: a few embeddings and the colours. In memory only."""

    embeddings: list[NDArray[np.float32]] = field(default_factory=list)
    colours: NDArray[np.float64] | None = None
    learned: int = 0
    next_s: float = -math.inf
    """When it may be learnt from again, s."""
    colours_s: float = -math.inf
    size_px: float = 0.0
    """How large the face was when the person left."""
    provisional: bool = False
    """True while the only embedding is of a face beside another one, which may have covered a part."""

    def learn(self, embedding: NDArray[np.float32], clock_s: float, *, plain: bool = True) -> None:
        """Add an embedding; the first stays, so that mistakes cannot creep in one after another.

        Only a face in plain view makes a lasting first one.
        """
        if self.provisional:
            self.embeddings.clear()
            self.learned = 0
        self.provisional = not plain and not self.embeddings
        self.embeddings.append(embedding)
        if len(self.embeddings) > _TEMPLATES:
            del self.embeddings[1]
        self.learned += 1
        later = LEARN_AFTER_S[self.learned :]
        self.next_s = clock_s + (later[0] if later else _REFRESH_S)

    def learn_colours(self, seen: NDArray[np.float64], clock_s: float) -> None:
        """Follow the colours slowly."""
        self.colours_s = clock_s
        if self.colours is None:
            self.colours = seen
            return
        mixed = (1 - _COLOUR_RATE) * self.colours + _COLOUR_RATE * seen
        self.colours = np.where(np.isnan(self.colours), seen, np.where(np.isnan(seen), self.colours, mixed))


@dataclass(frozen=True)
class Likeness:
    """How well one view fits a portrait; None for what cannot be compared."""

    cosine: float | None
    colour: float | None

    @property
    def same(self) -> bool:
        """True when it is surely this person."""
        if self.cosine is None:
            return False
        colour = self.colour if self.colour is not None else SURE_COLOUR
        return (self.cosine >= _SAME_COSINE and colour <= _SAME_COLOUR) or (
            self.cosine >= _SURE_COSINE and colour <= SURE_COLOUR
        )

    @property
    def likely(self) -> bool:
        """True when it is this person rather than somebody unknown."""
        colour = self.colour if self.colour is not None else SURE_COLOUR
        return self.cosine is not None and self.cosine >= _LIKELY_COSINE and colour <= SURE_COLOUR

    @property
    def other(self) -> bool:
        """True when it is surely not this person."""
        return self.cosine is not None and self.cosine <= _OTHER_COSINE

    @property
    def score(self) -> float:
        """Cosine with the colours taken into account; larger is more alike."""
        cosine = self.cosine if self.cosine is not None else _UNKNOWN_COSINE
        colour = self.colour if self.colour is not None else UNKNOWN_COLOUR
        return cosine - colour / _COLOUR_PER_COSINE


def compare(
    portrait: Portrait | None, embedding: NDArray[np.float32] | None, seen: NDArray[np.float64] | None
) -> Likeness:
    """Return how well an embedding (128,) and colours (n, 3) fit a portrait."""
    if portrait is None:
        return Likeness(None, None)
    cosine, colour = None, None
    if embedding is not None and portrait.embeddings:
        cosine = max(float(known @ embedding) for known in portrait.embeddings)
    if seen is not None and portrait.colours is not None:
        distance = colour_distance(portrait.colours, seen)
        colour = distance if math.isfinite(distance) else None
    return Likeness(cosine, colour)


@dataclass(frozen=True)
class View:
    """What was seen of a face at one look.

    Attributes
    ----------
    embedding
        Of the face, shape (128,).
    colours
        Shape (n, 3), CIELAB.
    """

    embedding: NDArray[np.float32]
    colours: NDArray[np.float64]

    def likeness(self, portrait: Portrait | None) -> Likeness:
        """Return how well the view fits a portrait."""
        return compare(portrait, self.embedding, self.colours)


def traded(one: Portrait | None, view: View, other: Portrait | None, other_view: View) -> bool:
    """Return whether two faces, each seen as told, surely are each other's person.

    Taken together the exchange may be clear where each face alone is not.
    """
    kept = (view.likeness(one), other_view.likeness(other))
    exchanged = (view.likeness(other), other_view.likeness(one))
    if any(likeness.cosine is None for likeness in kept + exchanged):
        return False
    gains = [new.score - old.score for new, old in zip(exchanged, kept, strict=True)]
    return min(gains) > 0.0 and sum(gains) >= 2 * MARGIN


def surest(likenesses: dict[str, Likeness]) -> str | None:
    """Return who it surely is: alike enough, and more than anybody else; else None."""
    ranked = sorted(likenesses, key=lambda name: -likenesses[name].score)
    if not ranked or not likenesses[ranked[0]].same:
        return None
    best = likenesses[ranked[0]]
    clear = all(
        best.score - other.score >= MARGIN or _lead(best, other) >= _SURE_LEAD
        for other in (likenesses[name] for name in ranked[1:])
    )
    return ranked[0] if clear else None


def _lead(best: Likeness, other: Likeness) -> float:
    """Return by how much an embedding alone speaks for the best, when it is one that needs no colours."""
    if best.cosine is None or best.cosine < _SURE_COSINE:
        return 0.0
    return best.cosine - (other.cosine if other.cosine is not None else _UNKNOWN_COSINE)


class Gallery:
    """Who has left, for a while.

    Parameters
    ----------
    remember_s
        How long, s.
    capacity
        How many people; who left first is forgotten first.
    """

    def __init__(self, remember_s: float, capacity: int) -> None:
        self.remember_s = remember_s
        self.capacity = capacity
        self._left: dict[str, tuple[Portrait, float]] = {}

    @property
    def portraits(self) -> dict[str, Portrait]:
        """Portraits by id."""
        return {name: portrait for name, (portrait, _) in self._left.items()}

    def since(self, clock_s: float) -> dict[str, Portrait]:
        """Return the portraits of those who have left after `clock_s`, by id."""
        return {name: portrait for name, (portrait, left_s) in self._left.items() if left_s >= clock_s}

    def left_since(self, clock_s: float) -> bool:
        """Return whether somebody has left after `clock_s`."""
        return bool(self.since(clock_s))

    def put(self, name: str, portrait: Portrait, clock_s: float) -> None:
        """Remember somebody who has been seen until `clock_s`."""
        self._left[name] = (portrait, clock_s)

    def take(self, name: str) -> Portrait:
        """Return and remove a portrait."""
        return self._left.pop(name)[0]

    def forget(self, clock_s: float) -> None:
        """Drop who has been away for too long, or is one too many."""
        kept = [item for item in self._left.items() if clock_s - item[1][1] <= self.remember_s]
        kept.sort(key=lambda item: item[1][1])
        self._left = dict(kept[max(len(kept) - self.capacity, 0) :])

    def clear(self) -> None:
        """Forget everybody."""
        self._left.clear()
