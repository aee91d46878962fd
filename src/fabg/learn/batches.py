"""Batches for training: drawn by seed and step alone, so that a training can be resumed anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fabg.learn.config import SampleConfig
from fabg.learn.data import Demonstrations
from fabg.learn.mirror import mirrored
from fabg.learn.vision import Augment
from fabg.policy import features, history

Batch = dict[str, Tensor]
"""history (B, H, moment), task (B, n), prefix (B, K, 61), prefix_mask (B, K), actions (B, K, 61), valid (B, K)."""

_STREAM = 7  # keeps the numbers drawn here apart from others of the same seed


def counted(batch: Batch) -> Tensor:
    """Return which steps of the chunks are to be learnt, (B, K): those of the episode that are not given."""
    return batch["valid"] * (1.0 - batch["prefix_mask"])


class PictureSource(Protocol):
    """Gives the images of samples, see `fabg.learn.pictures`."""

    def batch(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return left, right and depth of these samples."""


class Batches:
    """Makes batches of demonstrations.

    Parameters
    ----------
    demonstrations
        All samples.
    config
        How they are varied.
    seed
        Of everything drawn.
    pictures
        Where the images are; None when the policy sees none.
    """

    def __init__(
        self,
        demonstrations: Demonstrations,
        config: SampleConfig,
        seed: int,
        pictures: PictureSource | None = None,
    ) -> None:
        self.demonstrations, self.config, self.seed, self.pictures = demonstrations, config, seed, pictures
        d = demonstrations
        # One row of zeros at the end stands for "nothing known": index -1.
        self._rows = torch.from_numpy(np.concatenate([d.rows, np.zeros_like(d.rows[:1])]))
        self._actions = torch.from_numpy(d.actions)
        self._orders = torch.from_numpy(features.people_orders())
        self._relight = Augment()
        self._steps = torch.arange(d.layout.chunk_steps)
        self.train_indices = np.flatnonzero(~d.held_out)
        self.validation_indices = np.flatnonzero(d.held_out)

    def train(self, step: int, size: int, part: int = 0, parts: int = 1) -> Batch:
        """Return the batch of a step; of several processes each takes its `part` of it.

        What is drawn depends on the seed and the step alone: all parts together are the batch of one process.
        """
        rng = np.random.default_rng([self.seed, _STREAM, step])
        indices = rng.choice(self.train_indices, size)
        batch = self._plain(indices)
        self._vary(batch, rng, indices)
        share = slice(part * size // parts, (part + 1) * size // parts)
        return {name: value[share] for name, value in batch.items()}

    def validation(self, size: int = 1024) -> Iterator[Batch]:
        """Yield the held-out samples as they are, in order."""
        for k in range(0, len(self.validation_indices), size):
            yield self._plain(self.validation_indices[k : k + size])

    def _plain(self, indices: NDArray[np.int64]) -> Batch:
        d, layout = self.demonstrations, self.demonstrations.layout
        actions, valid = self._done(indices, 0)
        batch = {
            "actions": actions,
            "valid": valid,
            "task": torch.nn.functional.one_hot(torch.from_numpy(d.task[indices]), len(layout.tasks)).float(),
            "prefix": torch.zeros(len(indices), layout.chunk_steps, layout.action_size),
            "prefix_mask": torch.zeros(len(indices), layout.chunk_steps),
        }
        if layout.sees_features:
            batch["history"] = self._history(d.look[indices], d.age[indices])
        if layout.sees_pictures:
            assert self.pictures is not None
            batch |= {name: torch.from_numpy(value) for name, value in self.pictures.batch(indices).items()}
        return batch

    def _done(self, indices: NDArray[np.int64], shift: int | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return what the demonstrators did from some steps after each sample on, and whether they still did it."""
        d = self.demonstrations
        first = (
            torch.from_numpy(np.maximum(d.first[indices] + shift, d.start[indices]))[:, None] + self._steps
        )
        last, between = (torch.from_numpy(value[indices])[:, None] for value in (d.last, d.between))
        actions = self._actions[torch.minimum(first, last)]
        if between.any():
            later = self._actions[torch.minimum(first + 1, last)]
            actions = torch.lerp(actions, later, between[..., None])
        return actions, (first + between <= last).float()

    def _history(self, look: NDArray[np.int64], age: NDArray[np.float32]) -> Tensor:
        index = torch.from_numpy(look)
        known = (index >= 0).float()[..., None]
        return torch.cat([self._rows[index], torch.from_numpy(age)[..., None], known], dim=-1)

    def _vary(self, batch: Batch, rng: np.random.Generator, indices: NDArray[np.int64]) -> None:
        c, d, count = self.config, self.demonstrations, len(indices)
        if "history" in batch:
            look, age = _missed(d.look[indices], d.age[indices], d.layout.history_step_s, c.drop_moments, rng)
            moments = self._history(look, age)
            if c.shuffle_people:
                order = self._orders[torch.from_numpy(rng.integers(len(self._orders), size=count))]
                shuffled = moments[..., : features.SIZE].gather(
                    -1, order[:, None].expand(-1, moments.shape[1], -1)
                )
                moments = torch.cat([shuffled, moments[..., features.SIZE :]], dim=-1)
            batch["history"] = moments
        given = np.where(rng.random(count) < c.prefix, rng.integers(1, c.prefix_steps + 1, size=count), 0)
        shift = rng.integers(-c.prefix_shift_steps, c.prefix_shift_steps + 1, size=count)
        mask = (self._steps < torch.from_numpy(given)[:, None]).float()
        batch["prefix"] = self._done(indices, shift)[0] * mask[..., None]
        batch["prefix_mask"] = mask
        if "left" in batch:
            self._vary_pictures(batch, rng)

    def _vary_pictures(self, batch: Batch, rng: np.random.Generator) -> None:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        if "history" not in batch:  # what perception says is not mirrored along
            which = torch.rand(len(batch["left"]), generator=generator) < self.config.mirror
            batch.update(mirrored(batch, which))
        batch["left"], batch["right"] = self._relight(batch["left"], batch["right"], generator)


def _missed(
    look: NDArray[np.int64], age: NDArray[np.float32], step_s: float, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Let observations of the past be missed: the one before stands in, and is that much older."""
    look, age = look.copy(), age.copy()
    missed = rng.random(look.shape) < share
    missed[:, 0] = missed[:, -1] = False  # the newest one is what the sample is about
    for k in range(look.shape[1] - 2, 0, -1):
        at = missed[:, k]
        look[at, k], age[at, k] = look[at, k + 1], age[at, k + 1] + step_s
    lost = (look < 0) | (age > history.LONGEST_AGE_S)
    look[lost], age[lost] = -1, 0.0
    return look, age
