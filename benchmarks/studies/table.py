"""The paper's Table I in the simulator: seconds until all events of a kind were answered.

    python benchmarks/studies/table.py --rgbd rgbd.onnx --rgb rgb.onnx --json table.json

Models that see images with depth, without, and features; each played in chunks, by temporal ensembling, by the paper's
fixed offset, and by an index that follows the measured delay (ours); five seeds, twenty events of each task, 140 ms of
delay. A time-out counts in full; where less than half of the events are answered the cell says fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from common import TASKS, Extent, Line, Panel, Row, cells, chosen, parser, played, plot, save, summary

from fabg.social.bench.grid import Cell
from fabg.social.bench.latency import latency_of
from fabg.social.episode import EpisodeSpec, run_episode
from fabg.social.record import EventResult
from fabg.social.world import LONGEST_S

METHODS = ("chunk", "ensemble", "offset:3", "adaptive")
DELAY = "140"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "smile": ("smile",),
    "surprise": ("surprise",),
    "face": ("face",),
    "hand": ("hand",),
    "foveate": ("near", "far"),
    "gesture": ("up", "down", "left", "right", "fist"),
}
"""Columns of the table, and the kinds of events that each adds up."""
FAIL = 0.5


def seconds(events: Iterable[EventResult]) -> dict[str, float | None]:
    """Return for each column ``<column>_s``, how long its events took, and ``<column>``, the share answered."""
    found: dict[str, float | None] = {}
    events = list(events)
    for column, kinds in COLUMNS.items():
        mine = [e for e in events if e.kind in kinds]
        if mine:
            ends = [e.deadline_s if e.response_s is None else e.response_s for e in mine]
            found[f"{column}_s"] = sum(end - e.onset_s for end, e in zip(ends, mine, strict=True))
            found[column] = sum(e.response_s is not None for e in mine) / len(mine)
    return found


def table_cell(cell: Cell, *, policy: str, events: int, obs: str) -> dict[str, float | None]:
    """Play a cell and return its seconds."""
    record = run_episode(
        EpisodeSpec(
            task=cell.task, seed=cell.seed, policy=policy, executor=cell.method, latency=latency_of(cell.delay),
            events=events, max_s=LONGEST_S, obs=obs,
        )
    )  # fmt: skip
    return seconds(record.events)


def markdown(rows: Iterable[Row]) -> str:
    """Return the result as a table."""
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for row in rows:
        told = []
        for column in COLUMNS:
            share, value = row.get(column), row.get(f"{column}_s")
            if share is None or value is None:
                told.append("-")
            else:
                told.append("fail" if share["mean"] < FAIL else f"{value['mean']:.1f}")
        lines.append(f"| {row['sees']}, `{row['method']}` | {' | '.join(told)} |")
    return "\n".join(lines)


def panels(rows: Sequence[Row]) -> list[Panel]:
    """Return the seconds of each kind of event, what the models see beside each other."""
    places = [float(k) for k in range(len(COLUMNS))]
    found = []
    for sees in dict.fromkeys(row["sees"] for row in rows):
        lines = [
            Line(row["method"], places, [row.get(f"{column}_s") for column in COLUMNS])
            for row in rows
            if row["sees"] == sees
        ]
        found.append(
            Panel(
                f"Seconds to completion, {sees}",
                "",
                "s",
                lines,
                dict(zip(places, COLUMNS, strict=True)),
                joined=False,
            )
        )
    return found


def main() -> None:
    """Play, tell."""
    made = parser(__doc__, policy=True)
    made.add_argument("--rgbd", type=Path, help="ONNX model that sees images and depth")
    made.add_argument("--rgb", type=Path, help="ONNX model that sees images alone")
    arguments = made.parse_args()
    extent = Extent.of(arguments, seeds=5, events=20)
    models = [("RGB", arguments.rgb, "rgbd"), ("RGB-D", arguments.rgbd, "rgbd")]
    played_models = [(sees, model.stem, model, obs) for sees, model, obs in models if model is not None]
    played_models.append(("features", *chosen(arguments), "features"))
    which = cells(extent, tasks=TASKS, methods=METHODS, delays=(DELAY,))
    rows: list[Row] = []
    for sees, name, policy, obs in played_models:
        found = played(f"table-{name}", policy, extent, which, obs=obs, run=table_cell)
        rows += [{"sees": sees, **row} for row in found]
    metrics = [name for column in COLUMNS for name in (column, f"{column}_s")]
    result = summary(rows, ("sees", "method"), metrics)
    save("table", arguments, extent, {"delay_ms": float(DELAY), "rows": result})
    print(markdown(result))
    plot(panels(result), arguments.plot)


if __name__ == "__main__":
    main()
