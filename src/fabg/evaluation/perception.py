"""How accurate is perception? Rendered people of whom all is known, read by the real models.

People and pictures come from seeds that no part was fitted on: `FIRST_SEED` and above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from fabg.errors import UsageError
from fabg.evaluation import (
    crossing_accuracy,
    depth_accuracy,
    expression_accuracy,
    face_accuracy,
    hand_accuracy,
)
from fabg.evaluation.report import Section, terminal_table, to_json, write_page
from fabg.files import write_json
from fabg.social.avatar.people import FIRST_REPORT_SEED as FIRST_SEED

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    people
        How many people.
    pictures
        Of each, in the parts with random pictures.
    hand_pictures
        Of each class of gestures and person.
    crossing_s
        How long people cross, s.
    """

    people: int
    pictures: int
    hand_pictures: int
    crossing_s: float


FULL = Extent(people=24, pictures=20, hand_pictures=2, crossing_s=60.0)
QUICK = Extent(people=6, pictures=8, hand_pictures=1, crossing_s=10.0)


def parts(extent: Extent, seed: int) -> dict[str, Callable[[Tell], Section]]:
    """Return each part of the evaluation by its name, ready to run."""
    people = range(seed, seed + extent.people)
    few, per = people[: max(4, extent.people // 2)], extent.pictures
    return {
        "found": lambda tell: face_accuracy.found_section(people, per, seed, tell),
        "pose": lambda tell: face_accuracy.pose_section(people, per, seed + 1, tell),
        "gaze": lambda tell: face_accuracy.gaze_section(people, per, seed + 2, tell),
        "depth": lambda tell: depth_accuracy.depth_section(few, per, seed + 3, tell),
        "expression": lambda tell: expression_accuracy.expression_section(few, per, seed, tell),
        "emotion": lambda tell: expression_accuracy.emotion_section(few, seed, tell),
        "gesture": lambda tell: hand_accuracy.gesture_section(people, extent.hand_pictures, seed, tell),
        "identity": lambda tell: crossing_accuracy.crossing_section(extent.crossing_s, seed, tell),
    }


def evaluate_perception(
    *,
    quick: bool = False,
    only: Sequence[str] | None = None,
    seed: int = FIRST_SEED,
    json_file: Path | None = None,
    report: Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Measure all parts, print the table, write what was asked for, and return the numbers.

    Parameters
    ----------
    quick
        A fraction of the pictures: a minute instead of several.
    only
        Names of `parts`; all by default.
    seed
        Of the people and of everything random, >= `FIRST_SEED`.
    json_file, report
        Where to write the numbers, and the folder of the page.

    Raises
    ------
    UsageError
        When the seed belongs to fitting, or a part is unknown.
    """
    if seed < FIRST_SEED:
        raise UsageError(f"seed is {seed}: expected {FIRST_SEED} or more; people below were used for fitting")
    extent = QUICK if quick else FULL
    known = parts(extent, seed)
    for name in only or ():
        if name not in known:
            raise UsageError(f"there is no part {name!r}: expected some of {', '.join(known)}")
    chosen = {name: run for name, run in known.items() if only is None or name in only}
    sections = []
    columns = (TextColumn("{task.description:12}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress, transient=True) as bar:
        tasks = {name: bar.add_task(name, total=None, start=False) for name in chosen}
        for name, run in chosen.items():
            bar.start_task(tasks[name])
            sections.append(run(_teller(bar, tasks[name])))
    settings = {
        "evaluation": "perception",
        "seed": seed,
        "quick": quick,
        "people": [seed, seed + extent.people - 1],
    }
    result = to_json(sections, settings)
    title = f"Perception on rendered people, seed {seed}{', quick' if quick else ''}"
    console = Console()
    # Narrower the numbers would be cut.
    Console(width=max(console.width, 112)).print(terminal_table(sections, title=title))
    if json_file is not None:
        write_json(result, json_file)
    if report is not None:
        subtitle = f"Rendered people from seed {seed} on, not used in fitting · {result['finished'][:10]}"
        print(write_page(sections, result, report, subtitle=subtitle))
    return result


def _teller(bar: Progress, task: TaskID) -> Tell:
    return lambda done, total: bar.update(task, completed=done, total=total)
