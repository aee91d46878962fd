"""From demonstrations to samples: what was seen until a moment, and what the demonstrator did from then on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg import expression
from fabg.demos.reader import Dataset
from fabg.errors import InputError
from fabg.learn.config import TrainConfig
from fabg.policy import features
from fabg.policy.history import look_back
from fabg.policy.layout import Layout
from fabg.policy.observation import MAX_HANDS, MAX_PEOPLE, N_JOINTS, SHAPES
from fabg.policy.task_texts import TASK_TEXTS

Array = NDArray[Any]

_FEATURE_KEYS = (
    "observation.people",
    "observation.people_mask",
    "observation.hands",
    "observation.hands_mask",
)
_TIMES = ("timestamp", "observation.stamp_s")
_ON_TIME_S = 1e-4
_EARLIEST_S = 0.5
"""An image that is this much later than its frame has another clock."""


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """All samples of some data sets; a sample is a moment at which something new was seen.

    Attributes
    ----------
    layout
        Inputs and outputs.
    rows
        What was seen at each moment, (n, features.SIZE) float32.
    look, age
        Moments of the past that each sample is shown: rows (-1: none) and their ages in s, (n, history_steps).
    actions
        What the demonstrators did, on the grid of `dt_s`, (m, 61) float32.
    start, first, last
        Of each sample: the first action of its episode, the one at its own time or just before, and the last of its
        episode, (n,).
    between
        How far the sample's own time is from that action to the next, 0 to below 1, (n,) float32.
    task, episode
        Of each sample, (n,).
    held_out
        Whether its episode is kept for validation, (n,) bool.
    frames
        Of each sample: data set, episode in it, and frame, (n, 3); for images.
    notes
        What was noticed: other rates, episodes left out.
    """

    layout: Layout
    rows: Array
    look: Array
    age: Array
    actions: Array
    start: Array
    first: Array
    last: Array
    between: Array
    task: Array
    episode: Array
    held_out: Array
    frames: Array
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.first)


def read_demonstrations(
    config: TrainConfig, *, tell: Callable[[int, int], None] = lambda done, total: None
) -> Demonstrations:
    """Read the data sets that a configuration names.

    Parameters
    ----------
    config
        The training.
    tell
        Called with how many episodes have been read and how many there are.

    Raises
    ------
    InputError
        When a data set lacks a feature, has another number of joints, holds NaN, or has time stamps that run
        backwards; the message names the place.
    """
    for folder in config.data:
        if not Path(folder).is_dir():
            raise InputError(
                f"there is no data set {folder!r}: record one with `fabg sim demos`, or name another with --data"
            )
    sets = [Dataset(Path(folder)) for folder in config.data]
    for data in sets:
        _check(data, config.inputs)
    wanted = None if config.tasks is None else {TASK_TEXTS.get(task, task) for task in config.tasks}
    if wanted is not None:
        missing = wanted - {text for data in sets for text in data.tasks}
        if missing:
            known = sorted({text for data in sets for text in data.tasks})
            raise InputError(f"the data have no task {sorted(missing)[0]!r}: expected some of {known}")
    chosen = [
        (d, e)
        for d, data in enumerate(sets)
        for e in range(len(data))
        if wanted is None or data.episode_tasks(e)[0] in wanted
    ]
    if not chosen:
        raise InputError(f"the data sets {', '.join(config.data)} have no episodes: record some first")
    if config.episodes is not None:
        if len(chosen) < config.episodes:
            raise InputError(
                f"the data sets {', '.join(config.data)} have {len(chosen)} episodes of these tasks: expected at least "
                f"{config.episodes}, as episodes says"
            )
        chosen = chosen[: config.episodes]
    texts = tuple(sorted({sets[d].episode_tasks(e)[0] for d, e in chosen}))
    s = config.samples
    layout = Layout(
        inputs=config.inputs, tasks=texts, history_steps=s.history_steps, history_step_s=s.history_step_s,
        chunk_steps=s.chunk_steps, dt_s=s.dt_s, depth=s.depth,
    )  # fmt: skip
    notes = [
        f"{data.root}: {data.fps} frames a second are laid on steps of {s.dt_s * 1e3:g} ms by their time stamps"
        for data in sets
        if abs(data.fps * s.dt_s - 1.0) > 1e-6
    ]
    builder = _Builder(layout)
    short = 0
    for done, (d, e) in enumerate(chosen):
        short += not builder.add(sets[d], d, e, texts.index(sets[d].episode_tasks(e)[0]))
        tell(done + 1, len(chosen))
    if short:
        notes.append(f"{short} episodes of less than two frames are left out")
    return builder.built(config, tuple(notes))


class _Builder:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._parts: list[dict[str, Array]] = []
        self._rows = self._actions = 0
        self._tasks: list[int] = []

    def add(self, data: Dataset, number: int, episode: int, task: int) -> bool:
        """Take in an episode; return False when it is too short to learn from."""
        wanted = ["action", *_TIMES]
        if self.layout.sees_features:
            wanted += [*_FEATURE_KEYS, "observation.state"]
        columns = data.episode(episode, [key for key in wanted if key in data.info.numeric])
        where = f"{data.root}, episode {episode}"
        time = columns["timestamp"].astype(np.float64)
        if len(time) < 2:
            return False
        stamp = columns.get("observation.stamp_s", time).astype(np.float64)
        _check_rising(stamp, time, where)
        new = np.flatnonzero(np.diff(stamp, prepend=-math.inf) > 0.0)
        action = _finite(columns["action"], "action", where)
        grid = np.arange(math.floor(time[-1] / self.layout.dt_s + _ON_TIME_S) + 1) * self.layout.dt_s
        on_grid = len(grid) == len(time) and np.abs(time - grid).max() < _ON_TIME_S
        if not on_grid:
            action = np.stack([np.interp(grid, time, column) for column in action.T], axis=1)
        index, age = look_back(stamp[new], stamp[new], self.layout.history_steps, self.layout.history_step_s)
        first, between = _place(stamp[new] / self.layout.dt_s, _ON_TIME_S / self.layout.dt_s)
        self._parts.append(
            {
                "rows": _rows(columns, new, self.layout, where),
                "look": np.where(index < 0, -1, index + self._rows),
                "age": age,
                "actions": action.astype(np.float32),
                "start": np.full(len(new), self._actions),
                "first": first + self._actions,
                "last": np.full(len(new), self._actions + len(grid) - 1),
                "between": between,
                "task": np.full(len(new), task),
                "episode": np.full(len(new), len(self._tasks)),
                "frames": np.stack([np.full(len(new), number), np.full(len(new), episode), new], axis=1),
            }
        )
        self._rows += len(new)
        self._actions += len(grid)
        self._tasks.append(task)
        return True

    def built(self, config: TrainConfig, notes: tuple[str, ...]) -> Demonstrations:
        if not self._parts:
            raise InputError("every episode has less than two frames: nothing can be learnt from them")
        held_out = _held_out(np.array(self._tasks), config)
        whole = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        return Demonstrations(
            layout=self.layout, held_out=held_out[whole["episode"]], notes=notes, **whole
        )  # fmt: skip


def _place(time: Array, on_time: float) -> tuple[Array, Array]:
    """Return the step at or just before each time, in steps, and how far the time is from there to the next."""
    time = np.maximum(time, 0.0)
    first = np.floor(time + on_time).astype(np.int64)
    between = np.where(time - first > on_time, time - first, 0.0)
    return first, between.astype(np.float32)


def _held_out(tasks: Array, config: TrainConfig) -> Array:
    """Return which episodes are kept for validation: drawn so that every task has its share."""
    share = config.samples.held_out
    if share == 0.0 or len(tasks) < 2:
        return np.zeros(len(tasks), bool)
    order = np.random.default_rng(config.seed).permutation(len(tasks))
    order = order[np.argsort(tasks[order], kind="stable")]
    count = np.floor(np.arange(1, len(tasks) + 1) * share + 1e-9)
    chosen = np.zeros(len(tasks), bool)
    chosen[order] = np.diff(count, prepend=0.0) > 0.0
    return chosen


def _rows(columns: dict[str, Array], new: Array, layout: Layout, where: str) -> Array:
    if not layout.sees_features:
        return np.zeros((len(new), features.SIZE), np.float32)
    people, people_mask, hands, hands_mask = (
        _finite(columns[key], key, where)[new].reshape(len(new), *SHAPES[key.removeprefix("observation.")])
        for key in _FEATURE_KEYS
    )
    joints = _finite(columns["observation.state"], "observation.state", where)[new]
    return features.rows(
        {
            "people": people, "people_mask": people_mask, "hands": hands, "hands_mask": hands_mask,
            "joints": joints, "joints_mask": np.ones((len(new), 1), np.float32),
        }
    )  # fmt: skip


def _check(data: Dataset, inputs: str) -> None:
    """See that a data set has what the training needs."""
    sizes = {"action": (expression.SIZE,), "observation.state": (N_JOINTS,)}
    if inputs != "rgbd":
        sizes |= {key: (int(np.prod(SHAPES[key.removeprefix("observation.")])),) for key in _FEATURE_KEYS}
    found = data.info.features
    for key, shape in sizes.items():
        if key not in found:
            hint = (
                "record it with --obs features, or train with inputs: rgbd"
                if key in _FEATURE_KEYS
                else "record it"
            )
            raise InputError(f"{data.root} has no {key!r}, only {', '.join(found)}: {hint}")
        if found[key].shape != shape:
            raise InputError(
                f"{key} of {data.root} has the shape {found[key].shape}: expected {shape} "
                f"({MAX_PEOPLE} people, {MAX_HANDS} hands, {N_JOINTS} joints, {expression.SIZE} expression values)"
            )


def _check_rising(stamp: Array, time: Array, where: str) -> None:
    if not (np.isfinite(stamp).all() and np.isfinite(time).all()):
        raise InputError(f"{where}: a time stamp is not finite; record it anew, or leave the episode out")
    back = (np.diff(time) <= 0) | (np.diff(stamp) < 0)
    if back.any():
        raise InputError(
            f"{where}, frame {int(np.argmax(back)) + 1}: time stamps run backwards; record it anew, or leave the "
            "episode out"
        )
    ahead = stamp - time
    if (ahead > _EARLIEST_S).any():
        k = int(np.argmax(ahead))
        raise InputError(
            f"{where}, frame {k}: observation.stamp_s is {stamp[k]:g} at {time[k]:g} s: expected the time of the image "
            "counted from the start of the episode"
        )


def _finite(values: Array, key: str, where: str) -> Array:
    bad = ~np.isfinite(values)
    if bad.any():
        frame = int(np.argwhere(bad)[0][0])
        raise InputError(f"{where}, frame {frame}: {key} holds NaN or infinity; leave the episode out")
    return values
