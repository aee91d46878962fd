"""How many demonstrations it takes.

    python benchmarks/studies/demonstrations.py --json demonstrations.json --plot demonstrations.png

The same recipe on the first 10, 25, 50, 100 and all 200 episodes of one recording (four tasks in turn, four events an
episode), each model then played on people that none of them has met, without delay and with 140 ms.
"""

from __future__ import annotations

from common import (
    DELAYS,
    TASKS,
    Extent,
    Line,
    Panel,
    Row,
    cells,
    demonstrations,
    parser,
    played,
    plot,
    save,
    summary,
    trained,
)

from fabg.demos.reader import Dataset

COUNTS = (10, 25, 50, 100)
"""So many, and all that there are."""


def panels(result: list[Row], tasks: list[Row]) -> list[Panel]:
    """Return success of each task, and lags, over the number of demonstrations."""
    counts = sorted({row["episodes"] for row in result})
    ticks = {float(count): str(count) for count in counts}

    def line(label: str, rows: list[Row], metric: str) -> Line:
        at = {row["episodes"]: row.get(metric) for row in rows}
        return Line(label, [float(count) for count in counts], [at.get(count) for count in counts])

    by_task = [
        line(task, [row for row in tasks if row["task"] == task and row["delay"] == DELAYS[-1]], "success")
        for task in TASKS
    ]
    found = [
        Panel(
            f"Answered at {DELAYS[-1]} ms of delay",
            "demonstrations",
            "%",
            by_task,
            ticks,
            log=True,
            percent=True,
        )
    ]
    for metric, title in (
        ("gaze_lag_ms", "Gaze behind the expert"),
        ("expression_lag_ms", "Face behind the expert"),
    ):
        lines = [
            line(f"delay {delay} ms", [row for row in result if row["delay"] == delay], metric)
            for delay in DELAYS
        ]
        found.append(Panel(title, "demonstrations", "ms", lines, ticks, zero=True, log=True))
    return found


def main() -> None:
    """Train, play, tell."""
    arguments = parser(__doc__).parse_args()
    extent = Extent.of(arguments)
    data = demonstrations(arguments)
    total = len(Dataset(data))
    counts = [count for count in ((4,) if arguments.quick else COUNTS) if count < total]
    rows: list[Row] = []
    for count in (*counts, total):
        # All of them are the recipe itself, with which other studies compare.
        last = count == total
        name = extent.named("base" if last else f"episodes-{count}")
        made = trained(name, data, extent.steps, {} if last else {"episodes": count})
        rows += [{"episodes": count, **row} for row in played(name, made.model, extent, cells(extent))]
    overall = summary(rows, ("episodes", "delay"))
    tasks = summary(rows, ("episodes", "task", "delay"))
    save("demonstrations", arguments, extent, {"overall": overall, "tasks": tasks})
    plot(panels(overall, tasks), arguments.plot)


if __name__ == "__main__":
    main()
