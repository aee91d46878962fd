"""One cell of the latency benchmark: an episode played and scored. The grid is `fabg.social.benchmark`'s."""

from __future__ import annotations

from fabg.errors import ConfigError
from fabg.policy.executors import make_executor
from fabg.social.benchmark import IDLE, ORACLE, Cell
from fabg.social.delays import Latency
from fabg.social.episode import EpisodeSpec, run_episode
from fabg.social.policies import EXPERT
from fabg.social.score import score

REPLAY = "replay"
"""Method: the expert's own movements, sent through the delays without prediction."""
METHODS = ("newest", "chunk", "ensemble", "offset:3", REPLAY)
DELAYS = ("0", "60", "140", "240")
QUICK_DELAYS = ("0", "140")
SEEDS = (1000, 1001, 1002, 1003, 1004)


def latency_of(delay: str) -> Latency:
    """Return the delays of the four stages: a total in ms is shared out; any other form is sensing's alone.

    A text with ``=`` names the stages.
    """
    if "=" in delay or _is_number(delay):
        return Latency.parse(delay)
    return Latency.parse({"sensing": delay})


def check_methods(methods: tuple[str, ...]) -> None:
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
                raise ConfigError(f"method {method!r}: {error}; or {REPLAY}") from error


def score_cell(cell: Cell, *, policy: str, events: int | None) -> dict[str, float | None]:
    """Play the episode of a cell, and return its scores.

    Parameters
    ----------
    cell
        Task, method, delay, seed.
    policy
        Drives the robot where the method is an executor.
    events
        How many; by default as many as the task has.
    """
    kind = {ORACLE: (EXPERT, "newest"), REPLAY: (EXPERT, "newest"), IDLE: ("still", "newest")}
    who, executor = kind.get(cell.method, (policy, cell.method))
    spec = EpisodeSpec(
        task=cell.task,
        seed=cell.seed,
        policy=who,
        executor=executor,
        latency=latency_of(cell.delay),
        events=events,
    )
    return score(run_episode(spec))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
