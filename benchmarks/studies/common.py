"""What the studies share: arguments, trainings that are kept, episodes that are kept, results and plots.

A training is kept in ``runs/studies/<name>/`` with its recipe; the next study that asks for the same recipe on the same
data takes it as it is, an interrupted one is gone on with, and another recipe begins it anew. Episodes are kept in
``runs/studies/episodes/``, apart for each model and each state of the package's code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fabg.files import write_json
from fabg.paths import runs_dir, share_dir
from fabg.policy.card import read_model
from fabg.social.bench.grid import Cell, code, run_grid
from fabg.social.bench.latency import score_cell
from fabg.social.bench.result import environment
from fabg.social.demonstrations import write_demonstrations
from fabg.social.metrics import mean_ci
from fabg.social.policies import LEARNT

STUDIES = runs_dir() / "studies"
RECIPE = share_dir() / "config" / "train" / "features.yaml"
STEPS = 1500
TASKS = ("affective", "tracking", "foveate", "gesture")
DELAYS = ("0", "140")
METRICS = ("success", "response_vs_expert_ms", "gaze_lag_ms", "expression_lag_ms", "command_jerk")

FEW = 3
INK, SOFT, LINE = "#16212b", "#5b6b78", "#e3e8ec"
COLOURS = ("#0e93a6", "#d98200", "#7a5cc4", "#c0503c", "#1f8a5b", "#3c6fb0", "#b05fa8", "#7f8f3a")
MARKERS = "osD^vPX*"

Row = dict[str, Any]


# Arguments -------------------------------------------------------------------------------------------


def parser(doc: str | None, *, policy: bool = False) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every study has, and that of those which play one `policy`."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--quick",
        action="store_true",
        help="short trainings, few episodes: tries a study out, measures nothing",
    )
    made.add_argument("--steps", type=int, help=f"of each training; {STEPS} when left out")
    made.add_argument(
        "--seeds", type=int, help="number of episodes of each kind; the study's own when left out"
    )
    made.add_argument("--data", type=Path, help="demonstrations; recorded when left out (200 episodes)")
    made.add_argument("--json", type=Path, help="file for the result")
    if policy:
        made.add_argument(
            "--policy", default=LEARNT, help="ONNX file or name; the package's own when left out"
        )
    made.add_argument("--plot", type=Path, help="file for the figure, PNG")
    return made


@dataclass(frozen=True)
class Extent:
    """How much is trained and played.

    Attributes
    ----------
    steps
        Of a training.
    seeds, events
        Of the episodes that are played, and the events of each.
    """

    steps: int
    seeds: tuple[int, ...]
    events: int

    @classmethod
    def of(cls, arguments: argparse.Namespace, *, seeds: int = 3, events: int = 8) -> Extent:
        """Return that of a study with so many seeds and events."""
        if arguments.quick:
            return cls(arguments.steps or 30, (2000,), 1)
        count = arguments.seeds or seeds
        return cls(arguments.steps or STEPS, tuple(range(2000, 2000 + count)), events)

    def named(self, variant: str) -> str:
        """Return under which name a variant of the recipe is kept."""
        return variant if self.steps == STEPS else f"{variant}-{self.steps}"


def demonstrations(arguments: argparse.Namespace) -> Path:
    """Return the folder of the demonstrations; they are recorded when there are none."""
    if arguments.data is not None:
        return Path(arguments.data)
    folder = STUDIES / ("quick-demos" if arguments.quick else "demos")
    if not folder.is_dir():
        begun = folder.with_suffix(".begun")
        shutil.rmtree(begun, ignore_errors=True)
        episodes, events = (2, 1) if arguments.quick else (50, 4)
        write_demonstrations(begun, tasks=TASKS, episodes=episodes, seed=5000, events=events)
        begun.rename(folder)
    return folder


# Trainings -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A model, and its errors on the episodes that were held out."""

    model: Path
    measured: Mapping[str, float]


def trained(name: str, data: Path, steps: int, change: Mapping[str, Any] | None = None) -> Trained:
    """Return the model of a recipe, which is trained when it is not at hand.

    Parameters
    ----------
    name
        Of the model, and of the folder in which it is kept.
    data
        Demonstrations.
    steps
        Of the training.
    change
        Values over those of `RECIPE`, by dotted name.
    """
    from fabg.learn.checkpoint import NAME
    from fabg.learn.config import load_config
    from fabg.learn.export import export
    from fabg.learn.session import train

    fixed = {"name": name, "data": [str(data)], "steps": steps, "threads": 1}
    config = load_config(RECIPE, fixed | dict(change or {}))
    folder = STUDIES / name
    model, note = folder / f"{name}.onnx", folder / "recipe.json"
    recipe = json.loads(json.dumps({**config.to_json(), "data": _digest_of(data)}))
    if not note.is_file() or json.loads(note.read_text()) != recipe:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(recipe, note)
    if not model.is_file():
        print(f"training {name}", file=sys.stderr, flush=True)
        if not train(config, folder, resume=(folder / NAME).is_file()):
            raise SystemExit(130)  # interrupted; the same command goes on
        export(folder / NAME, model)
    return Trained(model, read_model(model)[1].measured)


def chosen(arguments: argparse.Namespace) -> tuple[str, Path | str]:
    """Return name and policy of a study that plays one model."""
    path = Path(arguments.policy)
    return path.stem, path if path.suffix else arguments.policy


def _digest_of(data: Path) -> str:
    files = sorted(p for p in data.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(data).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


# Episodes --------------------------------------------------------------------------------------------


def cells(
    extent: Extent,
    *,
    tasks: Sequence[str] = TASKS,
    methods: Sequence[str] = ("adaptive",),
    delays: Sequence[str] = DELAYS,
) -> list[Cell]:
    """Return every combination of task, method, delay and seed."""
    return [Cell(t, m, d, s) for t in tasks for m in methods for d in delays for s in extent.seeds]


def played(
    name: str,
    policy: Path | str,
    extent: Extent,
    which: Sequence[Cell],
    *,
    obs: str = "features",
    run: Callable[..., Mapping[str, float | None]] = score_cell,
) -> list[Row]:
    """Play episodes, and return their scores, a row each.

    Parameters
    ----------
    name
        Under which the episodes are kept.
    policy
        An ONNX file, or a name as for `fabg.social.policies.make_policy`.
    extent
        Gives the events of an episode.
    which
        The episodes.
    obs
        What the policy sees.
    run
        Plays a cell: a function at the top of a module, as `score_cell`.
    """
    sha = hashlib.sha256(policy.read_bytes()).hexdigest() if isinstance(policy, Path) else policy
    player = hashlib.sha256(Path(run.__code__.co_filename).read_bytes()).hexdigest()[:12]
    settings = {"policy": sha, "events": extent.events, "obs": obs, "run": f"{run.__name__} {player}"}
    key = hashlib.sha256(json.dumps([settings, code()]).encode()).hexdigest()[:12]
    print(f"playing {name}: {len(which)} episodes", file=sys.stderr, flush=True)
    done = run_grid(
        which, partial(run, policy=str(policy), events=extent.events, obs=obs),
        journal=STUDIES / "episodes" / f"{name}-{key}.jsonl", settings=settings, workers=1,
    )  # fmt: skip
    if not done.complete:
        raise SystemExit(done.text())
    return [
        {"task": c.task, "method": c.method, "delay": c.delay, "seed": c.seed, **(done.scores(c) or {})}
        for c in done.cells
    ]


def summary(rows: Iterable[Row], by: Sequence[str], metrics: Sequence[str] = METRICS) -> list[Row]:
    """Return mean and 95 % interval of each metric over the seeds, for each combination of `by`.

    What a seed has of a metric is the mean of its rows that have it (other tasks may not); metrics that no row has
    are left out.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    found = []
    for key, group in groups.items():
        entry: Row = dict(zip(by, key, strict=True))
        for metric in metrics:
            seeds: dict[int, list[float]] = {}
            for row in group:
                if row.get(metric) is not None:
                    seeds.setdefault(row["seed"], []).append(row[metric])
            interval = mean_ci((fmean(values) for values in seeds.values()), 0.95)
            if interval is not None:
                ends = {"low": _rounded(interval.low), "high": _rounded(interval.high)}
                entry[metric] = {"mean": _rounded(interval.mean), **ends, "n": interval.count}
        found.append(entry)
    return found


# Results ---------------------------------------------------------------------------------------------


def save(study: str, arguments: argparse.Namespace, extent: Extent, result: Mapping[str, Any]) -> None:
    """Print a result, and write it with what it takes to repeat it."""
    given = [
        f"--{name} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in vars(arguments).items()
        if value is not None and name not in ("quick", "json", "plot", "data")
    ]  # fmt: skip
    whole = {
        "study": study,
        "command": " ".join(
            [f"python benchmarks/studies/{study}.py", *(["--quick"] if arguments.quick else []), *given]
        ),
        "seeds": list(extent.seeds),
        "events": extent.events,
        "environment": {**environment(), "source": code()["source"]},
        **result,
    }
    print(json.dumps(result, indent=1))
    if arguments.json is not None:
        write_json(whole, arguments.json)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


# Plots -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """A metric's means with their intervals over x."""

    label: str
    x: Sequence[float]
    values: Sequence[Mapping[str, float | None] | None]
    marked: bool = True


@dataclass(frozen=True)
class Panel:
    """One plot of a figure; `ticks` names places on x, `zero` marks the expert's own time.

    Intervals of fewer than `FEW` seeds are not drawn: they would say nothing.
    """

    title: str
    xlabel: str
    ylabel: str
    lines: Sequence[Line]
    ticks: Mapping[float, str] | None = None
    zero: bool = False
    log: bool = False
    percent: bool = False
    joined: bool = True


def plot(panels: Sequence[Panel], path: Path | None, *, columns: int = 3) -> None:
    """Write a figure with panels beside each other; lines of one label look alike in all. None: no figure."""
    if path is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width = max(4.4 * columns, 6.6)
    figure = Figure(figsize=(width, 3.5 * rows + 0.5), dpi=130, layout="constrained")
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    handles: dict[str, Any] = {}
    for k, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, k + 1)
        _frame(axes, panel)
        for line in panel.lines:
            handles.setdefault(line.label, _draw(axes, panel, line, labels.index(line.label)))
        _limit(axes, panel)
    figure.legend(
        handles=list(handles.values()),
        loc="outside lower center",
        ncols=max(2 * columns, 4),
        frameon=False,
        fontsize=9,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _frame(axes: Any, panel: Panel) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=LINE, lw=0.9)
    axes.set_axisbelow(True)
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(panel.xlabel, color=SOFT)
    axes.set_ylabel(panel.ylabel, color=SOFT)
    axes.tick_params(colors=SOFT, labelcolor=INK)
    if panel.log:
        axes.set_xscale("log")
        axes.minorticks_off()
    if panel.ticks is not None:
        slanted = {"rotation": 25, "ha": "right"} if max(map(len, panel.ticks.values())) > 6 else {}
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()), fontsize=8.5, **slanted)
    if panel.zero:
        axes.axhline(0.0, color=INK, lw=0.9, zorder=1)


def _limit(axes: Any, panel: Panel) -> None:
    """Let the means fill the plot: whiskers of few seeds may leave it."""
    means = [value["mean"] for line in panel.lines for value in line.values if value is not None]
    if not means:
        return
    factor = 100.0 if panel.percent else 1.0
    low, high = factor * min(means), factor * max(means)
    margin = 0.25 * (high - low) or 1.0
    below, above = axes.get_ylim()
    below, above = max(below, low - margin), min(above, high + margin)
    if panel.percent:
        below, above = max(below, -4.0), min(above, 104.0)
    axes.set_ylim(below, above)


def _draw(axes: Any, panel: Panel, line: Line, number: int) -> Any:
    factor = 100.0 if panel.percent else 1.0
    there = [(x, value) for x, value in zip(line.x, line.values, strict=True) if value is not None]
    means = [factor * value["mean"] for _, value in there]  # type: ignore[operator]
    known = [value if (value.get("n") or 0) >= FEW else {} for _, value in there]
    ends = [[value.get(end) for value in known] for end in ("low", "high")]
    whiskers = [
        [0.0 if end is None else abs(factor * end - mean) for end, mean in zip(side, means, strict=True)]
        for side in ends
    ]
    if not line.marked:
        return axes.plot([x for x, _ in there], means, color=COLOURS[number % 8], lw=1.8, label=line.label)[0]
    return axes.errorbar(
        [x for x, _ in there], means, whiskers, color=COLOURS[number % 8], marker=MARKERS[number % 8], ms=6.0,
        mec="white", mew=0.8, lw=1.6 if panel.joined else 0.0, elinewidth=1.1, capsize=2.5, label=line.label, zorder=3,
    )  # fmt: skip
