"""The ``fabg latency`` commands."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fabg.errors import ConfigError, EnvironmentProblem

if TYPE_CHECKING:  # ROS is loaded only when the command runs
    from fabg.latency_budget import Heard
    from fabg.ros.bringup import Graph
    from fabg.ros.latency_probe import LatencyProbe

latency_app = typer.Typer(help="Where the time between an image and the servos goes.", no_args_is_help=True)

ANSWER_S = 5.0
"""Longest wait for a graph that should be running."""
SETTLE_S = 8.0
"""Longest wait for the first command that answers an image; nobody may be in view."""
START_S = 60.0
"""Longest wait for a graph that is started here."""
EXCITE_S = 8.0
"""How long the robot is moved with --excite."""


@latency_app.callback()
def _latency() -> None:
    """Keep `measure` a command of its own while it is the only one."""


@latency_app.command()
def measure(
    seconds: Annotated[
        float, typer.Option("--seconds", min=1.0, max=3600.0, help="How long to listen.")
    ] = 20.0,
    start: Annotated[
        bool, typer.Option("--start", help="Start a graph for this, on the bundled clip or --input.")
    ] = False,
    input: Annotated[
        str | None, typer.Option("--input", "-i", help="Camera source of the graph that --start starts.")
    ] = None,
    with_: Annotated[
        str | None, typer.Option("--with", help="Nodes that --start starts as well, such as gaze,gesture.")
    ] = None,
    excite: Annotated[
        bool, typer.Option("--excite", help="Then move head and brows slowly for 8 s, to time the servos.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the budget here as JSON.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for a page with plots, and the JSON.")] = None,
    delays_csv: Annotated[
        Path | None,
        typer.Option(help="Folder for the delays one by one, which the simulator replays with file:."),
    ] = None,
) -> None:
    """Measure the running graph: sensing, inference, transport, servos, and how old all is in the end.

    Listens only, unless --excite is given. The servos are timed while they move, by comparing commands with joint
    states. Ctrl-C ends it early. The line with --latency gives the simulator the same delays.

        fabg latency measure

        fabg latency measure --start --with gaze,gesture --report latency/

        fabg latency measure --excite --seconds 5
    """
    from fabg.files import write_json
    from fabg.latency_budget import budget
    from fabg.latency_report import terminal_table, to_json, write_delays, write_report
    from fabg.page import provenance
    from fabg.robot.model import load_robot

    if not start and (input or with_):
        raise ConfigError(
            f"{'--input' if input else '--with'} is for a graph that --start starts: add --start, or leave it out"
        )
    console = Console(stderr=True)
    heard, listened_s = _hear(console, seconds, (input or "clip") if start else None, with_, excite=excite)
    robot = load_robot()
    found = budget(heard, robot)
    result = to_json(found) | {
        "command": shlex.join(["fabg", *sys.argv[1:]]),
        "seconds": round(listened_s, 1),
        **provenance(),
    }
    table, out = terminal_table(found), Console()
    wide = Console(width=1000).measure(table).maximum
    Console(width=max(out.width, wide)).print(table)
    for note in found.notes:
        console.print(f"[yellow]note:[/] {note}", highlight=False, soft_wrap=True)
    typer.echo(f'--latency "{found.latency}"')
    if delays_csv is not None:
        typer.echo(f'--latency "{write_delays(found, delays_csv)}"')
    if json_file is not None:
        write_json(result, json_file)
        typer.echo(json_file)
    if report is not None:
        for path in write_report(found, heard, result, report, robot):
            typer.echo(path)
    if not any(stage.figures for stage in found.stages):
        raise typer.Exit(1)


# Private helpers -------------------------------------------------------------------------------------


def _hear(
    console: Console, seconds: float, source: str | None, with_: str | None, *, excite: bool
) -> tuple[Heard, float]:
    """Return what was heard of the running graph, or of one that plays `source`, and for how long it was heard."""
    from fabg.latency_budget import sweep
    from fabg.ros.latency_probe import LatencyProbe
    from fabg.runs import stoppable

    # A graph that is started here must not hear one that runs already.
    domain = int(os.environ.get("ROS_DOMAIN_ID") or (0 if source is None else 40 + os.getpid() % 60))
    if source is not None:
        _examine(source)
    with ExitStack() as stack:
        stopping = stack.enter_context(stoppable())
        probe = stack.enter_context(LatencyProbe(domain_id=domain))
        check: Callable[[], None] = probe.check
        if source is not None:
            check = _checking(probe, stack.enter_context(_graph(source, with_, domain)))
        with console.status("waiting for the graph"):
            _wait_for_graph(probe, check, stopping.wait, start=source is not None, domain=domain)
        if stopping.is_set():
            raise typer.Exit(130)
        probe.forget()
        began_s = time.monotonic()
        _listen(console, seconds, check, stopping.wait)
        listened_s = time.monotonic() - began_s
        if excite and not stopping.is_set():
            with console.status("moving head and brows"):
                probe.move(sweep, EXCITE_S, stopping.wait)
        check()
        return probe.heard, listened_s


def _examine(source: str) -> None:
    """Open the input once here: what is wrong with it is told before anything starts."""
    from fabg.perception.sources import open_source

    with closing(open_source(source)):
        pass


def _graph(source: str, with_: str | None, domain: int) -> Graph:
    from fabg.ros.bringup import Graph

    return Graph(
        also=[name.strip() for name in (with_ or "").split(",") if name.strip()],
        overrides={"camera": {"source": source, "loop": True}},
        environment={"ROS_DOMAIN_ID": str(domain)},
        on_line=lambda name, line: None,
        on_event=lambda name, text: typer.echo(f"[{name}] {text}", err=True),
    )


def _checking(probe: LatencyProbe, graph: Graph) -> Callable[[], None]:
    """Return what raises when a node that was started here has failed."""

    def check() -> None:
        probe.check()
        for child in graph.supervisor.poll():
            if child.status:
                said = "".join(f"\n  {line}" for line in child.tail[-5:]) or " nothing"
                raise EnvironmentProblem(
                    f"the node {child.name} ended with status {child.status}; it said:{said}\n"
                    "`fabg doctor` examines this machine"
                )

    return check


def _wait_for_graph(
    probe: LatencyProbe,
    check: Callable[[], None],
    wait: Callable[[float], bool],
    *,
    start: bool,
    domain: int,
) -> None:
    """Wait until there is a graph, and if possible until the robot answers what is seen."""

    def until(condition: Callable[[], bool], longest_s: float) -> bool:
        end_s = time.monotonic() + longest_s
        while not condition():
            check()
            if time.monotonic() > end_s or wait(0.05):
                return False
        return True

    if start:
        if not until(lambda: "face" in probe.stages(), START_S) and not wait(0.0):
            raise EnvironmentProblem(
                f"the graph did not come up within {START_S:g} s; `fabg doctor` examines this machine"
            )
    elif not until(probe.graph_is_up, ANSWER_S) and not wait(0.0):
        raise EnvironmentProblem(
            f"no graph answered within {ANSWER_S:g} s on ROS domain {domain}: start one with `fabg up` in another "
            "terminal (with the same ROS_DOMAIN_ID), or let this command do it with --start"
        )
    until(lambda: "actuation" in probe.stages(), SETTLE_S)


def _listen(
    console: Console, seconds: float, check: Callable[[], None], wait: Callable[[float], bool]
) -> None:
    """Let `seconds` pass, and show how many have."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("listening"), BarColumn(), TimeRemainingColumn()
    began_s = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        row = progress.add_task("listening", total=seconds)
        while (gone_s := time.monotonic() - began_s) < seconds:
            progress.update(row, completed=gone_s)
            check()
            if wait(min(0.1, seconds - gone_s)):
                return
