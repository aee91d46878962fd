"""The result of a benchmark as plain numbers: for machines as JSON and CSV, and what the page is made from.

Layout of the JSON (`to_json`):

    benchmark, format    "latency", 1
    command              what repeats it
    settings             as the journal was begun with
    grid                 tasks, methods, references, seeds; delays: [{text, mean_ms, max_ms}]; cells, failed, missing
    environment          finished; versions (fabg, python, numpy, gymnasium, ...); source (checksum of the package's
                         own code); machine (cpu, cores, system); cell_seconds (of all cells together)
    metrics              name -> unit, better (lower, higher, zero, neither), text
    summary              [{task, method, delay, delay_ms, metrics: name -> {mean, low, high, n}}]: over the seeds;
                         low and high are the ends of the 95 % interval, null for a single value; a metric that
                         exists for no seed is left out
    overall              the same over all tasks, without task: for each seed the mean of the tasks, if every task
                         has the metric; empty for a single task
    cells                [{task, method, delay, seed, scores: name -> number or null}], finished ones
    failed               [{task, method, delay, seed, error}]
    missing              [{task, method, delay, seed}]: not tried yet
    notes                what a reader must not miss, sentences

Every number but those of `environment` is the same whenever, and with however many processes, it is made.
"""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from fabg import page
from fabg.files import write_text
from fabg.social.bench.grid import REFERENCES, Cell, GridRun, delay_ms
from fabg.social.bench.journal import Scores
from fabg.social.metrics import mean_ci
from fabg.social.score import METRICS, Metric

LEVEL = 0.95
"""Confidence of every interval."""
ENOUGH_SEEDS = 5
"""Fewer are said to be few."""

_PACKAGES = ("numpy", "gymnasium", "mujoco", "ruckig", "matplotlib")


def to_json(run: GridRun, *, command: str, metrics: Mapping[str, Metric] = METRICS) -> dict[str, Any]:
    """Return everything as plain values, laid out as above.

    Parameters
    ----------
    run
        A grid, finished or not.
    command
        What a reader types to repeat it.
    metrics
        Meaning of the scores; scores that it does not name are left out of the summary.
    """
    scored = [(cell, scores) for cell in run.cells if (scores := run.scores(cell)) is not None]
    tasks = list(dict.fromkeys(cell.task for cell in run.cells))
    grid = _grid(run, tasks)
    return {
        "benchmark": "latency",
        "format": 1,
        "command": command,
        "settings": dict(run.settings),
        "grid": grid,
        "environment": environment(run),
        "metrics": {name: asdict(metric) for name, metric in metrics.items()},
        "summary": [entry for task in tasks for entry in _summary(scored, task, metrics)],
        "overall": _overall(scored, tasks, metrics) if len(tasks) > 1 else [],
        "cells": [{**_named(cell), "scores": _rounded(scores)} for cell, scores in scored],
        "failed": [{**_named(cell), "error": error} for cell, error in run.failed],
        "missing": [_named(cell) for cell in run.missing],
        "notes": _notes(run, grid["seeds"]),
    }


def environment(run: GridRun | None = None) -> dict[str, Any]:
    """Return when, with which versions and on what machine; with a `run` also its code and its cost."""
    made = page.provenance(_PACKAGES)
    made["machine"]["cpu"] = _cpu()
    if run is not None:
        made["source"] = run.code.get("source", "")
        seconds = sum(o.seconds for c in run.cells if (o := run.outcomes.get(c.key)) is not None)
        made["cell_seconds"] = round(seconds, 1)
    return made


def write_csv(result: Mapping[str, Any], path: Path) -> None:
    """Write a row a finished cell: what it was, its mean delay (ms), and every score; empty for none."""
    names = [*result["metrics"]]
    names += sorted({name for cell in result["cells"] for name in cell["scores"]} - set(names))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "method", "delay", "delay_ms", "seed", *names])
    means = {delay["text"]: delay["mean_ms"] for delay in result["grid"]["delays"]} | {"0": 0.0}
    for cell in result["cells"]:
        known = [means[cell["delay"]], cell["seed"], *(cell["scores"].get(name) for name in names)]
        writer.writerow([cell["task"], cell["method"], cell["delay"], *known])
    write_text(path, text.getvalue())


def methods_of(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the methods in the order in which they come, without the references."""
    return [m for m in dict.fromkeys(e["method"] for e in entries) if m not in REFERENCES]


# Private helpers -------------------------------------------------------------------------------------


def _grid(run: GridRun, tasks: Sequence[str]) -> dict[str, Any]:
    delays = []
    for text in dict.fromkeys(cell.delay for cell in run.cells if cell.method not in REFERENCES):
        mean, longest = delay_ms(text)
        delays.append({"text": text, "mean_ms": mean, "max_ms": longest})
    methods = dict.fromkeys(cell.method for cell in run.cells)
    return {
        "tasks": list(tasks),
        "methods": [m for m in methods if m not in REFERENCES],
        "references": [m for m in methods if m in REFERENCES],
        "delays": delays,
        "seeds": list(dict.fromkeys(cell.seed for cell in run.cells)),
        "cells": len(run.cells),
        "failed": len(run.failed),
        "missing": len(run.missing),
    }


def _summary(
    scored: Sequence[tuple[Cell, Scores]], task: str, metrics: Iterable[str]
) -> Iterable[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Scores]] = {}
    for cell, scores in scored:
        if cell.task == task:
            groups.setdefault((cell.method, cell.delay), []).append(scores)
    for (method, delay), runs in groups.items():
        yield {"task": task, **_entry(method, delay, runs, metrics)}


def _overall(
    scored: Sequence[tuple[Cell, Scores]], tasks: Sequence[str], metrics: Sequence[str] | Mapping[str, Any]
) -> list[dict[str, Any]]:
    by_seed: dict[tuple[str, str], dict[int, list[Scores]]] = {}
    for cell, scores in scored:
        by_seed.setdefault((cell.method, cell.delay), {}).setdefault(cell.seed, []).append(scores)
    entries = []
    for (method, delay), seeds in by_seed.items():
        whole = [runs for runs in seeds.values() if len(runs) == len(tasks)]
        means = [{name: _mean([run.get(name) for run in runs]) for name in metrics} for runs in whole]
        entries.append(_entry(method, delay, means, metrics))
    return entries


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _entry(method: str, delay: str, runs: Sequence[Scores], metrics: Iterable[str]) -> dict[str, Any]:
    known = {}
    for name in metrics:
        ci = mean_ci((run.get(name) for run in runs), LEVEL)
        if ci is not None:
            known[name] = {"mean": ci.mean, "low": ci.low, "high": ci.high, "n": ci.count}
    return {"method": method, "delay": delay, "delay_ms": delay_ms(delay)[0], "metrics": known}


def _notes(run: GridRun, seeds: Sequence[int]) -> list[str]:
    notes = []
    if len(seeds) < 2:
        notes.append("There is one seed only, so no interval can be given: name at least two")
    elif len(seeds) < ENOUGH_SEEDS:
        notes.append(
            f"There are {len(seeds)} seeds only: the intervals are wide, {ENOUGH_SEEDS} or more are better"
        )
    if run.failed:
        notes.append(f"{len(run.failed)} of {len(run.cells)} cells failed; means leave them out")
    if run.missing:
        notes.append(f"{len(run.missing)} of {len(run.cells)} cells are missing: this is not the whole grid")
    return notes


def _named(cell: Cell) -> dict[str, Any]:
    return {"task": cell.task, "method": cell.method, "delay": cell.delay, "seed": cell.seed}


def _rounded(scores: Scores) -> dict[str, float | None]:
    """Return scores to seven digits: more are noise, and a file of half the size."""
    return {name: None if value is None else float(f"{value:.7g}") for name, value in scores.items()}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
