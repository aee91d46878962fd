"""``fabg demo``: bring up the graph on an input, watch it, and write a report of what happened."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fabg.demo import comparison
from fabg.demo.analysis import summarise
from fabg.demo.behaviour import Behaviour, behaviour
from fabg.demo.replay import replay
from fabg.demo.show import live, percent
from fabg.errors import EnvironmentProblem, InputError
from fabg.page import provenance
from fabg.paths import checkout_dir, runs_dir
from fabg.perception.sources import is_live, open_source
from fabg.policy.mirror import MirrorPolicy
from fabg.recording import JpegStore, Recording
from fabg.robot.model import load_robot
from fabg.runs import RunFolder, terminable

LIVE_S = 30.0
"""How long a camera is watched when nothing else is said."""
AFTER_END_S = 1.5
"""Lets the last image reach the servos, and the nodes tell how they are (once a second)."""
START_S = 60.0
"""Longest wait for the graph."""
SILENCE_S = 15.0
"""Without an image for this long the run ends."""
LARGEST = (1280, 960)
"""Larger images are reduced to fit, px."""

SENSES = ("gaze", "gesture")
"""Nodes that a learnt policy sees through beside faces; `mirror` sees faces alone."""

FACELESS = "no face was seen: name an input in which a face is at least 20 px wide and lit"


@dataclass(frozen=True)
class Input:
    """What will be played."""

    spec: str
    name: str
    fps: float
    size: tuple[int, int]
    live: bool


def run_demo(
    *,
    input: str | None = None,
    out: Path | None = None,
    seconds: float | None = None,
    hide_people: bool = False,
    policy: str = "learnt",
    task: str | None = None,
    console: Console | None = None,
) -> Path:
    """Let the simulated robot answer a face, and return the path of the report.

    Parameters
    ----------
    input
        As for `fabg.perception.sources.open_source`; the bundled clip by default.
    out
        Folder of the report, new or empty; ``runs/<stamp>`` by default. It appears only when all is done.
    seconds
        Stop after this long; by default a file ends by itself and a camera after 30 s.
    hide_people
        Show people as lines only: no image of them is kept.
    policy, task
        What drives the robot: see `fabg.demo.behaviour.behaviour`. What `mirror` would have done is shown beside.
    console
        Where progress is shown; standard error by default.

    Raises
    ------
    InputError
        When the input cannot be used.
    ConfigError
        When `out` is not empty, or for a policy or task that there is not.
    ModelFileError
        When the named model cannot be used.
    EnvironmentProblem
        When the graph does not come up.
    KeyboardInterrupt
        On Ctrl-C; no process and no file is left behind.
    """
    console = console or Console(stderr=True)
    began_s = time.monotonic()
    driver = behaviour(policy, task)
    chosen = examine(input or "clip")
    if seconds is None and chosen.live:
        seconds = LIVE_S
    first = not any(runs_dir().glob("*/report.html"))
    with terminable(), RunFolder(out) as folder:
        recording = record(chosen, driver, folder.partial, seconds, console)
        recording.hide_people = hide_people
        alarm = _write(recording, driver, folder.partial, console)
        finished = folder.keep()
    if alarm:
        console.print(alarm, style="bold red", highlight=False, soft_wrap=True, markup=False)
    for warning in recording.warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
    if first:
        _tell_setup(console, time.monotonic() - began_s)
    return finished / "report.html"


# Input and output ------------------------------------------------------------------------------------


def examine(spec: str) -> Input:
    """Open the input once here: what is wrong with it is told before anything starts."""
    with closing(open_source(spec)) as source:
        factor = min(LARGEST[0] / source.size[0], LARGEST[1] / source.size[1], 1.0)
        size = round(source.size[0] * factor), round(source.size[1] * factor)
        return Input(spec, source.name, source.fps, size, is_live(spec))


# The run ---------------------------------------------------------------------------------------------


def record(
    chosen: Input, driver: Behaviour, folder: Path, seconds: float | None, console: Console
) -> Recording:
    """Run the graph on the input and keep what happens; logs and images go into `folder`."""
    from fabg.ros.bringup import Graph
    from fabg.ros.demo_recorder import DemoRecorder

    logs = folder / "logs"
    logs.mkdir()
    recording = Recording(
        chosen.name, chosen.fps, chosen.size, load_robot().names, JpegStore(folder / ".images"),
        asked=driver.policy,
    )  # fmt: skip
    senses = () if driver.policy == "mirror" else SENSES
    # Two demonstrations, or a robot at work, must not hear each other.
    domain = int(os.environ.get("ROS_DOMAIN_ID") or 40 + os.getpid() % 60)
    camera = {
        "source": chosen.spec,
        "width": chosen.size[0],
        "height": chosen.size[1],
        "jpeg_quality": 90,
        "autostart": False,  # it begins when everybody is listening
    }

    def on_event(name: str, text: str) -> None:
        console.print(f"[yellow]{name}[/] {text}", highlight=False, soft_wrap=True)

    with (
        DemoRecorder(recording, domain_id=domain, senses=senses) as recorder,
        Graph(
            also=senses,
            overrides={"camera": camera, "policy": driver.parameters},
            environment={"ROS_DOMAIN_ID": str(domain)},
            on_line=lambda name, line: None,
            on_event=on_event,
            log_dir=logs,
        ) as graph,
    ):

        def check() -> None:
            for child in graph.supervisor.poll():
                if child.status:
                    raise EnvironmentProblem(
                        f"the node {child.name} ended with status {child.status}; it said:"
                        f"{_last_words(child.tail)}\n`fabg doctor` examines this machine"
                    )
            if recorder.failure is not None:
                raise EnvironmentProblem(f"the recorder failed: {recorder.failure}") from recorder.failure

        with console.status(f"starting the graph (ROS_DOMAIN_ID={domain})"):
            _wait_for_graph(recorder.missing, check)
            try:
                recorder.start_camera()
            except EnvironmentProblem as error:
                said = _last_words(graph.supervisor.children["camera"].tail)
                raise EnvironmentProblem(f"{error}; it said:{said}") from error
        end_s = None if seconds is None else time.monotonic() + seconds
        over_s: float | None = None
        with live(console, chosen.name, seconds) as meter:
            while not _over(recording, recorder.ended.is_set(), recorder.last_image_s, over_s, end_s):
                if recorder.ended.is_set() and over_s is None:
                    over_s = time.monotonic() + AFTER_END_S
                check()
                meter.update(recorder.progress())
                time.sleep(0.1)
        recording.restarts = {name: child.restarts for name, child in graph.supervisor.children.items()}
    if not recording.image_stamps:
        raise InputError(
            f"no image of {chosen.name} arrived within {SILENCE_S:.0f} s: look at it with `fabg up --input "
            f"{chosen.spec}`, or name another input"
        )
    if not any(sight.faces for sight in recording.sights):
        recording.warnings.append(FACELESS)
    return recording


def _last_words(tail: Sequence[str]) -> str:
    return "".join(f"\n  {line}" for line in tail[-5:]) or " nothing"


def _over(
    recording: Recording, ended: bool, last_image_s: float, over_s: float | None, end_s: float | None
) -> bool:
    now = time.monotonic()
    if (over_s is not None and now >= over_s) or (end_s is not None and now >= end_s):
        return True
    if not ended and now - last_image_s > SILENCE_S:
        recording.warnings.append(f"the run was ended: no image came for {SILENCE_S:.0f} s")
        return True
    return False


def _wait_for_graph(missing: Callable[[], list[str]], check: Callable[[], None]) -> None:
    deadline = time.monotonic() + START_S
    while lacking := missing():
        check()
        if time.monotonic() > deadline:
            raise EnvironmentProblem(
                f"the graph did not come up within {START_S:.0f} s: {', '.join(lacking)} did not answer; "
                "`fabg doctor` examines this machine"
            )
        time.sleep(0.05)


# The report ------------------------------------------------------------------------------------------


def _write(recording: Recording, driver: Behaviour, folder: Path, console: Console) -> str:
    """Write video, summary and report into `folder`; return what is not as it was asked for, if anything."""
    from fabg.demo.render import render_video
    from fabg.demo.report import write_report

    robot = load_robot()
    mirror = None
    if driver.policy != "mirror":
        with console.status("replaying the run with mirror"):
            mirror = replay(recording, MirrorPolicy(), robot)
    with percent(console, "painting the video") as bar:
        render_video(recording, folder / "demo.mp4", mirror=mirror, on_progress=bar.update)
    with console.status("writing the report"):
        summary = summarise(recording, robot, mirror) | provenance()
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        write_report(recording, robot, summary, folder, mirror)
        recording.images.path.unlink(missing_ok=True)
    return comparison.alarm(summary)


def _tell_setup(console: Console, run_s: float) -> None:
    """On the first run, say what the installation took."""
    root = checkout_dir()
    note = root / ".cache" / "setup.json" if root else None
    if note is None or not note.is_file():
        return
    try:
        setup = json.loads(note.read_text())
        megabytes, setup_s = float(setup["installed_mb"]), float(setup["seconds"])
    except (ValueError, KeyError, TypeError):
        return  # a note of another version: nothing depends on it
    console.print(
        f"installed {megabytes:.0f} MB in {setup_s:.0f} s; report after {setup_s + run_s:.0f} s in all",
        highlight=False,
    )
