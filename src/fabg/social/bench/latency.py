"""The latency benchmark: which cells it has, and how one of them is played and scored.

The grid itself, its journal and its report are `fabg.social.bench.grid`'s and `fabg.social.bench.report`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fabg.errors import ConfigError
from fabg.policy.base import PrefixPolicy
from fabg.policy.executors import make_executor
from fabg.policy.learnt import LearntPolicy
from fabg.social.bench.grid import IDLE, ORACLE, Cell
from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec, run_episode
from fabg.social.policies import EXPERT, LEARNT, POLICIES, make_policy
from fabg.social.score import score
from fabg.social.stage import TICK_S
from fabg.social.tasks import TASKS
from fabg.social.world import LONGEST_S

REPLAY = "replay"
"""Method: the expert's own movements, sent through the delays without prediction."""
_STILL = "still"


@dataclass(frozen=True)
class Extent:
    """Which cells there are; `events` of an episode, None for the paper's number."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    delays: tuple[str, ...]
    seeds: tuple[int, ...]
    events: int | None


_METHODS = ("newest", "chunk", "ensemble", "offset:3", "adaptive", "adaptive_ensemble", REPLAY)
FULL = Extent(TASKS, _METHODS, ("0", "60", "140", "240"), (1000, 1001, 1002, 1003, 1004), None)
QUICK = Extent(("affective", "tracking"), _METHODS, ("0", "140"), (1000, 1001), 6)


def latency_of(delay: str) -> Latency:
    """Return the delays of the four stages.

    A number is a total in ms and is shared out; a text with ``=`` names the stages; any other form is the delay of
    sensing alone.
    """
    if "=" in delay or _is_number(delay):
        return Latency.parse(delay)
    return Latency.parse({"sensing": delay})


def methods_for(policy: str, extent: Extent) -> tuple[str, ...]:
    """Return an extent's methods, and prefix chunking for a policy that can go on from a prefix.

    Raises
    ------
    ConfigError
        When there is no such policy.
    """
    prefixed = policy != EXPERT and isinstance(make_policy(policy), PrefixPolicy)
    return (*extent.methods, "prefix") if prefixed else extent.methods


def check_methods(methods: Sequence[str]) -> None:
    """See that every method is known.

    Raises
    ------
    ConfigError
        For the first that is not.
    """
    for method in methods:
        if method not in (REPLAY, ORACLE, IDLE):
            try:
                make_executor(method)
            except ConfigError as error:
                raise ConfigError(f"method {method!r}: {error}, or {REPLAY}") from error


def horizon_s(policy: str) -> float | None:
    """Return how far ahead a policy's chunks reach, s; None when that is not known before it is asked.

    Raises
    ------
    ConfigError
        When there is no such policy.
    """
    if policy == EXPERT:
        raise ConfigError(
            f"policy {EXPERT!r} needs no executor: name another, the method {REPLAY} is the expert's"
        )
    made = make_policy(policy)
    if isinstance(made, LearntPolicy):
        return made.card.layout.horizon_s
    steps = getattr(getattr(made, "config", None), "steps", None)
    return None if steps is None else steps * TICK_S


def policy_digest(policy: str) -> dict[str, str]:
    """Return a checksum of a policy that is a file, so that another file under its name is told from it."""
    if policy in POLICIES or policy == LEARNT:
        return {}
    return {"policy_sha256": hashlib.sha256(Path(policy).read_bytes()).hexdigest()[:16]}


def score_cell(
    cell: Cell, *, policy: str, events: int | None, obs: str = "features"
) -> dict[str, float | None]:
    """Play the episode of a cell, and return its scores.

    Parameters
    ----------
    cell
        Task, method, delay, seed.
    policy
        Drives the robot where the method is an executor.
    events
        How many; by default as many as the task has.
    obs
        What that policy is told, as in `fabg.social.episode.EpisodeSpec`; nobody else looks.
    """
    who, executor = {ORACLE: (EXPERT, "newest"), REPLAY: (EXPERT, "newest"), IDLE: (_STILL, "newest")}.get(
        cell.method, (policy, cell.method)
    )
    return score(
        run_episode(
            EpisodeSpec(
                task=cell.task, seed=cell.seed, policy=who, executor=executor, latency=latency_of(cell.delay),
                events=events, max_s=LONGEST_S, obs=obs if who == policy else "features",
            )
        )
    )  # fmt: skip


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
