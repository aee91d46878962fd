"""A grid of episodes, worked out by several processes and kept in a journal: what is done is never done again.

Each cell is an episode of its own with a seed of its own, so neither their order nor the number of processes changes
a result. The references `ORACLE` and `IDLE` are always in it.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import fabg
from fabg.errors import ConfigError, InputError
from fabg.paths import share_dir
from fabg.runs import stoppable
from fabg.social.bench.crew import worked_out
from fabg.social.bench.journal import Journal, Outcome, Scores
from fabg.social.delays import Latency, parse_delay

ORACLE = "oracle"
"""The expert's own movement through the robot, without any delay: nothing can do better."""
IDLE = "idle"
"""A robot that does nothing: what chance and time-outs give."""
REFERENCES = (ORACLE, IDLE)

_NO_DELAY = "0"
_LEAVING = "finishing what is at work; Ctrl-C again drops it"
_MEASURING = ("robot", "perception", "policy", "social")  # what can change a score


@dataclass(frozen=True)
class Cell:
    """One episode.

    Attributes
    ----------
    task
        What is played.
    method
        What drives the robot: an executor such as ``ensemble`` or ``offset:3``, ``expert``, or a reference.
    delay
        Injected delay as `fabg.social.delays` reads it: ``60`` or ``jitter:60,15``.
    seed
        Of everything random in it.
    """

    task: str
    method: str
    delay: str
    seed: int

    @property
    def key(self) -> str:
        """Name in the journal: equal for equal cells only."""
        return f"{self.task}|{self.method}|{self.delay}|{self.seed}"

    def __str__(self) -> str:
        return f"{self.task}, {self.method}, delay {self.delay}, seed {self.seed}"


Run = Callable[[Cell], Scores]


def delay_ms(text: str) -> tuple[float, float | None]:
    """Return the mean and the longest delay of a delay's text, ms; None when it has no bound."""
    if "=" in text:
        latency = Latency.parse(text)
        return latency.total_mean_ms, latency.max_ms
    spec = parse_delay(text)
    return spec.mean_ms, spec.max_ms


def grid(
    tasks: Sequence[str], methods: Sequence[str], delays: Sequence[str | float], seeds: Sequence[int]
) -> tuple[Cell, ...]:
    """Return all cells: first the references of each task and seed, without delay, then the methods.

    Raises
    ------
    ConfigError
        When one of the four is empty or names something twice, a seed is negative, or a delay cannot be read.
    """
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seed is {seed!r}: expected a whole number, 0 or more")
    texts = [_delay_text(delay) for delay in delays]
    named: tuple[tuple[str, Sequence[object]], ...] = (
        ("task", tasks),
        ("method", methods),
        ("delay", texts),
        ("seed", seeds),
    )
    for name, values in named:
        if not values:
            raise ConfigError(f"there is no {name}: expected at least one")
        for k, value in enumerate(values):
            if value in values[:k]:
                raise ConfigError(f"{name} {value} is named twice: leave one out")
            if "|" in str(value) or str(value) != str(value).strip():
                raise ConfigError(f"{name} is {value!r}: expected no | and no space around it")
    cells = [Cell(task, method, _NO_DELAY, seed) for task in tasks for method in REFERENCES for seed in seeds]
    cells += [
        Cell(task, method, delay, seed)
        for task in tasks
        for method in methods
        if method not in REFERENCES
        for delay in texts
        for seed in seeds
    ]
    return tuple(cells)


def check(cells: Sequence[Cell], *, horizon_s: float) -> None:
    """See that every delay can be compensated by a chunk that reaches `horizon_s` ahead.

    A delay without bound is judged by its mean.

    Raises
    ------
    ConfigError
        For the first delay that is longer, with its value and the horizon.
    """
    if not 0.0 < horizon_s < math.inf:
        raise ConfigError(f"horizon_s is {horizon_s}: expected a positive number of seconds")
    for text in dict.fromkeys(cell.delay for cell in cells):
        mean, longest = delay_ms(text)
        if (mean if longest is None else longest) > 1000.0 * horizon_s + 1e-6:
            reach = f"is {mean:g} ms in the mean" if longest is None else f"reaches {longest:g} ms"
            raise ConfigError(
                f"delay {text} {reach}: expected at most the horizon of a chunk, {1000 * horizon_s:g} ms; "
                "give a shorter delay, or a policy that looks further ahead"
            )


@dataclass(frozen=True)
class GridRun:
    """What became of a grid.

    Attributes
    ----------
    cells
        All of them, in the grid's order.
    outcomes
        By key; a cell that was never finished has none.
    settings, code
        As in the journal: what else shaped the results, and which code made them.
    interrupted
        Whether it was stopped before its end.
    journal
        Where the outcomes are kept.
    """

    cells: tuple[Cell, ...]
    outcomes: Mapping[str, Outcome]
    settings: Mapping[str, Any]
    code: Mapping[str, str]
    interrupted: bool
    journal: Path

    def scores(self, cell: Cell) -> Scores | None:
        """Return the scores of a cell, None when it has none."""
        outcome = self.outcomes.get(cell.key)
        return None if outcome is None else outcome.scores

    @property
    def failed(self) -> tuple[tuple[Cell, str], ...]:
        """Cells that raised an error, and the error."""
        found = ((cell, self.outcomes.get(cell.key)) for cell in self.cells)
        return tuple((c, outcome.error) for c, outcome in found if outcome is not None and outcome.error)

    @property
    def missing(self) -> tuple[Cell, ...]:
        """Cells that were not tried."""
        return tuple(cell for cell in self.cells if cell.key not in self.outcomes)

    @property
    def complete(self) -> bool:
        """Whether every cell has scores."""
        return not self.failed and not self.missing

    def text(self) -> str:
        """Return how it ended, with the list of failed cells and how to go on, for a terminal."""
        total, failed, missing = len(self.cells), self.failed, self.missing
        done = f"{total - len(failed) - len(missing)} of {total} cells are done"
        if self.complete:
            return done
        lines = [f"{'interrupted: ' if self.interrupted else ''}{done} and kept in {self.journal}"]
        if failed:
            lines += [f"{len(failed)} failed:", *(f"  {cell}: {error}" for cell, error in failed)]
        lines.append("the same command goes on from there" + (", and tries these again" if failed else ""))
        return "\n".join(lines)


def run_grid(
    cells: Sequence[Cell],
    run: Run,
    *,
    journal: Path,
    settings: Mapping[str, Any],
    workers: int = 2,
    progress: bool = True,
) -> GridRun:
    """Work out every cell that the journal does not hold yet.

    A cell that raises does not stop the others; its error is kept, and it is tried again next time. Ctrl-C lets the
    cells at work finish; a second one drops them.

    Parameters
    ----------
    cells
        As from `grid`; each once.
    run
        Works out one cell: a function at the top of a module, called in another process. What it returns must
        depend on nothing but the cell, the settings and the code.
    journal
        Where outcomes are kept, see `fabg.social.bench.journal`.
    settings
        All that shapes a result and is not part of a cell (such as the policy's checksum); a journal that was
        begun with others is refused. Checksums of files of delays are added. The grid itself does not belong
        here: one journal serves a grid that grows.
    workers
        Number of processes.
    progress
        Show a bar on the terminal.

    Raises
    ------
    ConfigError, InputError
        When the journal cannot be used, or an argument is wrong.
    EnvironmentProblem
        When a process cannot be started.
    """
    cells = tuple(cells)
    if len({cell.key for cell in cells}) < len(cells):
        twice = next(cell for k, cell in enumerate(cells) if cell in cells[:k])
        raise ConfigError(f"the cell '{twice}' is named twice: leave one out")
    if workers < 1:
        raise ConfigError(f"workers is {workers}: expected at least 1")
    try:
        pickle.dumps(run)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(f"run is {run!r}: expected a function at the top of a module ({error})") from error
    settings = {**settings, **_delay_files(cells)}
    identity = code()
    interrupted = False
    with Journal(journal, settings, identity) as book:
        todo = [cell for cell in cells if not book.done(cell.key)]
        tried = {cell.key for cell in todo}
        with _bar(len(cells), len(cells) - len(todo), shown=progress) as tell, stoppable() as stopping:
            work = worked_out(
                todo, run, workers=workers, stopping=stopping, leaving=lambda: tell(0, _LEAVING)
            )
            with suppress(KeyboardInterrupt), closing(work):
                for outcome in work:
                    book.add(outcome)
                    tried.discard(outcome.key)
                    tell(1, None)
            interrupted = stopping.is_set() and bool(tried)
        outcomes = {c.key: known for c in cells if (known := book.outcome(c.key)) is not None}
    return GridRun(cells, outcomes, settings, identity, interrupted, journal)


def code() -> dict[str, str]:
    """Return which code makes the results: versions, and a checksum of the package's own sources."""
    versions = {"fabg": fabg.__version__, "python": platform.python_version()}
    for name in ("numpy", "gymnasium"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    root = Path(fabg.__file__).parent
    files = [*root.glob("*.py"), *(p for part in _MEASURING for p in (root / part).rglob("*"))]
    reports = {Path(__file__).with_name(f"{name}.py") for name in ("result", "charts", "report")}
    files = [p for p in files if p.is_file() and p.suffix != ".pyc" and p not in reports]
    digest = hashlib.sha256()
    for base, group in ((root, files), (share_dir(), (share_dir() / "config").rglob("*.yaml"))):
        for path in sorted(group):
            digest.update(path.relative_to(base).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {**versions, "source": digest.hexdigest()[:16]}


# Private helpers -------------------------------------------------------------------------------------

_Tell = Callable[[int, str | None], None]


@contextmanager
def _bar(total: int, done: int, *, shown: bool) -> Iterator[_Tell]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(file=sys.stderr), disable=not shown, transient=True) as bar:
        task = bar.add_task("cells", total=total, completed=done)
        yield lambda steps, text: bar.update(task, advance=steps, description=text)


def _delay_text(delay: str | float) -> str:
    """Return a delay as it is always written, so that 60, 60.0 and "60" are one."""
    return str(Latency.parse(delay) if isinstance(delay, str) and "=" in delay else parse_delay(delay))


def _delay_files(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """Return the checksum of each file of delays by its name."""
    names = {name.strip() for cell in cells for name in re.findall(r"file:([^;]+)", cell.delay)}
    try:
        sums = {name: hashlib.sha256(Path(name).read_bytes()).hexdigest()[:16] for name in sorted(names)}
    except OSError as error:
        raise ConfigError(
            f"the file of delays {error.filename!r} cannot be read: {error.strerror}"
        ) from error
    return {"delay_files": sums} if sums else {}
