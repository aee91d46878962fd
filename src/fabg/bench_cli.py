"""The ``fabg bench`` commands."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fabg.errors import ConfigError
from fabg.sim_cli import Sees

bench_app = typer.Typer(
    help="Benchmarks in simulated time: the same figures on any machine.", no_args_is_help=True
)


@bench_app.callback()
def _bench() -> None:
    """Keep `latency` a command of its own while it is the only one."""


def _list(text: str) -> tuple[str, ...]:
    # Delays have commas of their own, so they may be parted by blanks, too.
    parts = text.split() if any(c.isspace() for c in text.strip()) else text.split(",")
    return tuple(part.strip().strip(",") for part in parts if part.strip())


@bench_app.command()
def latency(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two tasks, two delays, two seeds: half a minute.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here as JSON.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with plots, all cells as CSV, and the JSON.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks, comma separated; all by default.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="newest, chunk[:STEPS], ensemble[:M], offset:N, adaptive, adaptive_ensemble[:M], prefix[:STEPS], "
            "replay (the expert, delayed); comma separated."
        ),
    ] = None,
    delays: Annotated[
        str | None,
        typer.Option(
            help="Totals in ms, comma separated (60,140); or other forms such as jitter:60,15, parted by blanks."
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, comma separated.")] = None,
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="Drives the executors: a name or a Python file.")
    ] = "imitator",
    obs: Annotated[
        Sees, typer.Option(help="What the policy is told of the people; as for `fabg sim play`.")
    ] = Sees.FEATURES,
    events: Annotated[
        int | None, typer.Option(min=1, help="Of an episode; the paper's number by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core by default.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="Where finished episodes are kept; found again by itself by default.")
    ] = None,
) -> None:
    r"""Compare ways to make up for latency: every method meets the same people through the same delays.

    The rows `oracle` (the expert without delay) and `idle` (does nothing) are always there. An interrupted run goes
    on where it was when the same command is given again.

        fabg bench latency --quick --json quick.json

        fabg bench latency --report bench/ --json bench/result.json

        fabg bench latency --tasks tracking --methods newest,offset:7 --delays "jitter:120,40 drift:40,200,8"
    """
    from fabg.paths import runs_dir
    from fabg.social.bench import latency as bench
    from fabg.social.bench.grid import check, code, grid, run_grid
    from fabg.social.bench.report import print_table, write_result
    from fabg.social.bench.result import to_json
    from fabg.social.tasks import TASKS

    chosen = bench.QUICK if quick else bench.FULL
    tasks_ = _list(tasks) if tasks else chosen.tasks
    for task in tasks_:
        if task not in TASKS:
            raise ConfigError(f"there is no task {task!r}: expected some of {', '.join(TASKS)}")
    methods_ = _list(methods) if methods else bench.methods_for(policy, chosen)
    bench.check_methods(methods_)
    cells = grid(
        tasks_, methods_, _list(delays) if delays else chosen.delays, _whole(seeds) if seeds else chosen.seeds
    )
    horizon_s = bench.horizon_s(policy)
    if horizon_s is not None:
        check(cells, horizon_s=horizon_s)
    events = chosen.events if events is None else events
    settings = {"policy": policy, "obs": obs.value, "events": events, **bench.policy_digest(policy)}
    if journal is None:
        name = hashlib.sha256(json.dumps([settings, code()], sort_keys=True).encode()).hexdigest()[:12]
        journal = runs_dir() / "bench" / f"latency-{name}.jsonl"
    run = run_grid(
        cells, partial(bench.score_cell, policy=policy, obs=obs.value, events=events), journal=journal,
        settings=settings, workers=workers or len(os.sched_getaffinity(0)), progress=True,
    )  # fmt: skip
    result = to_json(run, command=shlex.join(["fabg", *sys.argv[1:]]))
    print_table(result)
    console = Console(stderr=True)
    if not run.interrupted:
        for path in write_result(result, json_file=json_file, report=report):
            typer.echo(path)
    if not run.complete:
        console.print(run.text(), highlight=False)
        raise typer.Exit(130 if run.interrupted else 1)


def _whole(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _list(text))
    except ValueError:
        raise ConfigError(f"--seeds {text!r}: expected whole numbers, comma separated") from None
