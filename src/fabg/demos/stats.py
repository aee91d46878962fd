"""Statistics over all frames of a data set: min max mean std count q01 q10 q50 q90 q99 of each feature.

Count, min, max, mean and std are exact: those of the episodes are pooled (Chan, Golub and LeVeque 1983). So are
the quantiles of pictures, whose 256 levels are counted. The quantiles of numbers are taken from frames at equal
distances: from all frames up to `sample_frames`, beyond that from every second, then from every fourth, and so on,
never from fewer than half of `sample_frames`. Which frames those are depends on nothing but their number, so that a
data set written at once and one continued later agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demos.layout import VIDEO, Feature

QUANTILES: Mapping[str, float] = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
MOMENTS = ("min", "max", "mean", "std")
SAMPLE_FRAMES = 16_384
_SAMPLE_NUMBERS = 1 << 22  # of one feature, so that depth maps fit in the memory
_SAMPLE_LEAST = 256
_BLOCK_NUMBERS = 1 << 20  # worked on at a time
_PICTURE_PX = 150  # larger pictures are thinned to about this size before their levels are counted

Values = NDArray[np.float64]


def sample_frames(size: int) -> int:
    """Return from how many frames at most the quantiles of a feature of `size` numbers are taken."""
    return max(_SAMPLE_LEAST, min(SAMPLE_FRAMES, _SAMPLE_NUMBERS // size))


def _blocks(values: NDArray[Any]) -> Iterator[Values]:
    """Yield the columns of `values` as float64, some at a time."""
    width = max(1, _BLOCK_NUMBERS // len(values))
    for start in range(0, values.shape[1], width):
        yield values[:, start : start + width].astype(np.float64)


@dataclass(frozen=True)
class Moments:
    """How `count` vectors of n numbers are spread; each array has shape (n,)."""

    count: int
    min: Values
    max: Values
    mean: Values
    std: Values

    @classmethod
    def of(cls, values: NDArray[Any]) -> Moments:
        """Return those of the rows of `values`, shape (count >= 1, n)."""
        parts = [(x.min(axis=0), x.max(axis=0), x.mean(axis=0), x.std(axis=0)) for x in _blocks(values)]
        return cls(len(values), *(np.concatenate(part) for part in zip(*parts, strict=True)))

    def plus(self, other: Moments) -> Moments:
        """Return those of both sets of vectors together."""
        count = self.count + other.count
        shift = other.mean - self.mean
        share = other.count / count
        variance = (1 - share) * self.std**2 + share * other.std**2 + share * (1 - share) * shift**2
        return Moments(
            count,
            np.minimum(self.min, other.min),
            np.maximum(self.max, other.max),
            self.mean + share * shift,
            np.sqrt(variance),
        )


def quantiles(values: NDArray[Any]) -> dict[str, Values]:
    """Return the quantiles of each column of `values`, (rows >= 1, n), linear between two values.

    Of more rows than `sample_frames`, only some are looked at.
    """
    step = 1
    while -(-len(values) // step) > sample_frames(values.shape[1]):
        step *= 2
    levels = list(QUANTILES.values())
    parts = [np.quantile(np.ascontiguousarray(x.T), levels, axis=1) for x in _blocks(values[::step])]
    return dict(zip(QUANTILES, np.concatenate(parts, axis=1), strict=True))


def count_levels(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many pixels of an RGB picture have each level, shape (3, 256); large pictures are thinned."""
    step = max(1, max(picture.shape[:2]) // _PICTURE_PX)
    thinned = picture[::step, ::step]
    return np.stack([np.bincount(thinned[..., c].ravel(), minlength=256) for c in range(3)])


def picture_stats(levels: NDArray[np.int64], frames: int) -> dict[str, Any]:
    """Return the statistics of pictures, 0..1 a channel, from the counts of their levels, shape (3, 256)."""
    level = np.arange(256) / 255.0
    total = levels.sum(axis=1)
    mean = levels @ level / total
    std = np.sqrt((levels * (level - mean[:, None]) ** 2).sum(axis=1) / total)
    upto = np.cumsum(levels, axis=1)

    def ranked(rank: NDArray[np.int64]) -> Values:
        return np.array([level[np.searchsorted(upto[c], rank[c], side="right")] for c in range(3)])

    found = {"min": ranked(0 * total), "max": ranked(total - 1), "mean": mean, "std": std}
    for name, q in QUANTILES.items():
        rank = q * (total - 1)
        below = np.floor(rank).astype(np.int64)
        low, high = ranked(below), ranked(np.minimum(below + 1, total - 1))
        found[name] = low + (rank - below) * (high - low)
    return {name: value.reshape(3, 1, 1).tolist() for name, value in found.items()} | {"count": [frames]}


@dataclass(frozen=True)
class Episode:
    """What one episode adds to the statistics.

    Attributes
    ----------
    frames
        How many it has.
    moments
        Of each numeric feature.
    levels
        Of each video, how many pixels have each level, (3, 256).
    """

    frames: int
    moments: Mapping[str, Moments]
    levels: Mapping[str, NDArray[np.int64]]

    def row(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return its entries for the table of episodes; `columns` are its numbers, (frames, n) by feature."""
        row: dict[str, Any] = {}
        for key, levels in self.levels.items():
            row |= {f"stats/{key}/{name}": v for name, v in picture_stats(levels, self.frames).items()}
            row[f"levels/{key}"] = levels.ravel().tolist()
        for key, moments in self.moments.items():
            row |= {f"stats/{key}/{name}": getattr(moments, name).tolist() for name in MOMENTS}
            row |= {f"stats/{key}/{name}": v.tolist() for name, v in quantiles(columns[key]).items()}
            row[f"stats/{key}/count"] = [moments.count]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any], features: Mapping[str, Feature]) -> Episode:
        """Return what a row of the table of episodes says."""
        moments = {
            key: Moments(
                row[f"stats/{key}/count"][0],
                *(np.array(row[f"stats/{key}/{name}"], dtype=np.float64) for name in MOMENTS),
            )
            for key, feature in features.items()
            if feature.dtype != VIDEO
        }
        levels = {
            key: np.array(row[f"levels/{key}"], dtype=np.int64).reshape(3, 256)
            for key, feature in features.items()
            if feature.dtype == VIDEO
        }
        return cls(int(row["length"]), moments, levels)


class Tally:
    """The statistics of all episodes so far. A tally never changes: `plus` returns a new one."""

    def __init__(self) -> None:
        self._frames = 0
        self._moments: dict[str, Moments] = {}
        self._levels: dict[str, NDArray[np.int64]] = {}
        self._step: dict[str, int] = {}
        self._sample: dict[str, list[NDArray[Any]]] = {}

    def plus(self, episode: Episode, columns: Mapping[str, NDArray[Any]]) -> Tally:
        """Return the tally with one more episode; `columns` are its numbers, (frames, n) by feature."""
        new = Tally()
        new._frames = self._frames + episode.frames
        new._moments = {
            key: self._moments[key].plus(moments) if self._moments else moments
            for key, moments in episode.moments.items()
        }
        new._levels = {
            key: self._levels[key] + levels if self._levels else levels
            for key, levels in episode.levels.items()
        }
        for key, values in columns.items():
            step = self._step.get(key, 1)
            # A copy: a view would keep the whole episode in memory.
            sample = [*self._sample.get(key, ()), values[-self._frames % step :: step].copy()]
            while -(-new._frames // step) > sample_frames(values.shape[1]):
                step *= 2
                sample = [np.concatenate(sample)[::2].copy()]
            new._step[key], new._sample[key] = step, sample
        return new

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return the contents of ``stats.json``."""
        found = {key: picture_stats(levels, self._frames) for key, levels in self._levels.items()}
        for key, moments in self._moments.items():
            found[key] = {name: getattr(moments, name).tolist() for name in MOMENTS}
            found[key]["count"] = [moments.count]
            sample = quantiles(np.concatenate(self._sample[key]))
            found[key] |= {name: value.tolist() for name, value in sample.items()}
        return found


def tally_of(
    episodes: Iterable[tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]], features: Mapping[str, Feature]
) -> Tally:
    """Return the tally of finished episodes: their rows in the table of episodes, and their numbers."""
    tally = Tally()
    for row, columns in episodes:
        tally = tally.plus(Episode.from_row(row, features), columns)
    return tally
