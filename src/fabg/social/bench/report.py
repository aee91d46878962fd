"""The report of a benchmark: a table for the terminal, and a page that opens from disk for people.

Both are made from the result alone (`fabg.social.bench.result`), so a page can be made again from its JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fabg import page
from fabg.charts import png
from fabg.files import write_bytes, write_json, write_text
from fabg.social.bench.charts import NAMES, task_charts, unit_of
from fabg.social.bench.grid import REFERENCES
from fabg.social.bench.result import methods_of, write_csv

COLUMNS: tuple[tuple[str, str], ...] = (
    ("success", "answered"),
    ("response_vs_expert_ms", "response, rel."),
    ("gaze_lag_ms", "gaze lag, rel."),
    ("expression_lag_ms", "face lag, rel."),
    ("completion_s", "completion"),
    ("gaze_error_deg", "gaze error"),
    ("command_jerk", "jerk"),
)
"""Metrics of the first table, and their short names."""

_SHARES = ("success", "reached", "on_target", "wrong_dwell")
_TILE = "response_vs_expert_ms"

_READING = (
    (
        "Points and whiskers.",
        "A point is the mean over the seeds of one method at one delay, its whisker the 95 % interval of that mean "
        "(Student's t). All methods meet the same people in the same episodes. Where whiskers overlap, these "
        "episodes do not clearly tell the methods apart.",
    ),
    (
        "Delay.",
        "What is put into the loop on purpose, from the image of an event to the command at the servos; of a random "
        "delay its mean.",
    ),
    (
        "Relative to the expert.",
        "People do not respond at once: the gaze follows after about 120 ms, the face after about 300 ms. A method "
        "that learns from people should respond when they would. So lag and response time are counted from those of "
        "an expert in the same episode, who moves a robot with the same servos and no delay: neither human reaction "
        "nor the inertia of servos counts as lag. Zero is the aim: the delay is made up for in full. Above zero is "
        "what is left of it.",
    ),
    (
        "Earlier is not better.",
        "Below zero the robot responds before the expert would. Making up for a delay cannot do that: it comes from "
        "playing predictions further ahead than the delay is long, and then the robot acts on a guess. That shows as "
        "a short response time and looks like success. So what counts is how near a method comes to zero, not how "
        "far down; and a completion time below the oracle's is no merit.",
    ),
    (
        "The level lines.",
        "Oracle: that expert, scored like a method. It is at zero where the plot is relative to the expert; elsewhere "
        "it shows what can be reached. Idle: a robot that does nothing; what it reaches is chance, and its completion "
        "time is every time-out in full. A line that would flatten the plot is named with its value instead.",
    ),
    (
        "Jerk.",
        "Root mean square of the third derivative of what the commands ask of the joints, before any limit: a method "
        "that is early but shakes is no gain.",
    ),
)


def write_result(
    result: Mapping[str, Any], *, json_file: Path | None = None, report: Path | None = None
) -> list[Path]:
    """Write the JSON, and into the folder `report` the page, its plots, the CSV and the JSON; return the files.

    Each appears only when it is whole.
    """
    written = []
    if json_file is not None:
        write_json(result, json_file)
        written.append(json_file)
    if report is not None:
        write_json(result, report / "result.json")
        write_csv(result, report / "cells.csv")
        written += [write_page(result, report), report / "cells.csv", report / "result.json"]
    return written


def terminal_table(result: Mapping[str, Any]) -> Table:
    """Lay out the first table of each task for the terminal."""
    grid = result["grid"]
    many = (
        f"{len(grid['seeds'])} seeds, mean ± half the 95 % interval" if len(grid["seeds"]) > 1 else "one seed"
    )
    table = Table(title=f"Latency benchmark, {many}", box=box.SIMPLE_HEAD, pad_edge=False)
    entries = [*result["summary"], *({"task": "all tasks", **entry} for entry in result["overall"])]
    shown = [(name, title) for name, title in COLUMNS if any(name in entry["metrics"] for entry in entries)]
    table.add_column("method", no_wrap=True)
    table.add_column("delay\nms", justify="right", no_wrap=True)
    for name, title in shown:
        quantity, _, rest = title.partition(", ")
        told = ", ".join(filter(None, (rest, _unit(result, name))))
        table.add_column(f"{quantity}\n{told}", justify="right", no_wrap=True)
    for task in dict.fromkeys(entry["task"] for entry in entries):
        table.add_section()
        table.add_row(f"[bold]{task}[/]")
        for entry in _ordered([entry for entry in entries if entry["task"] == task]):
            cells = [_value(name, entry["metrics"].get(name)).replace(" ± ", "±") for name, _ in shown]
            table.add_row(*map(escape, _who(entry)), *cells)
    return table


def print_table(result: Mapping[str, Any]) -> None:
    """Print the table on the terminal, wider than it if need be: narrower the numbers would be cut."""
    table = terminal_table(result)
    wide = Console(width=1000).measure(table).maximum
    Console(width=max(Console().width, wide)).print(table)


def write_page(result: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.html`` with all tables and plots inside, and the plots as PNG; return the page's path."""
    grid, tasks = result["grid"], result["grid"]["tasks"]
    body = [page.warnings(result["notes"]), _tiles(result), _reading()]
    if result["overall"]:
        body += _section(result, None, "All tasks together", folder)
    for task in tasks:
        body += _section(result, task, f"Task: {task}", folder)
    body += [_failures(result), _repeating(result), _meanings(result)]
    seeds = f"{len(grid['seeds'])} seed{'s' if len(grid['seeds']) != 1 else ''}"
    whole = page.page(
        title="Who makes up for latency?",
        subtitle=f"{_count(tasks, 'task')} × {_count(grid['methods'], 'method')} × "
        f"{_count(grid['delays'], 'delay')} × {seeds}, with oracle and idle: {grid['cells']} episodes · "
        f"{result['environment']['finished'][:10]}",
        body="\n".join(body),
        footer=_footer(result),
    )
    path = folder / "report.html"
    write_text(path, whole)
    return path


# Parts of the page -----------------------------------------------------------------------------------


def _tiles(result: Mapping[str, Any]) -> str:
    """Return for each method how late it is at the longest delay, in all tasks or in the only one."""
    entries = result["overall"] or result["summary"]
    longest = max(result["grid"]["delays"], key=lambda delay: delay["mean_ms"], default=None)
    if longest is None:
        return ""
    tiles = []
    for entry in entries:
        value = entry["metrics"].get(_TILE)
        if value is None or entry["delay"] != longest["text"] or entry["method"] in REFERENCES:
            continue
        half = "" if value["high"] is None else f" (± {value['high'] - value['mean']:.0f})"
        said = f"{entry['method']}: response relative to the expert at a delay of {entry['delay']} ms{half}"
        tiles.append(page.tile(f"{round(value['mean']):+d}", "ms", said))
    return f'<section class="tiles">{"".join(tiles[:8])}</section>' if tiles else ""


def _reading() -> str:
    told = "".join(f"<p><b>{page.escape(head)}</b> {page.escape(text)}</p>" for head, text in _READING)
    return f"<h2>How to read it</h2>{told}"


def _section(result: Mapping[str, Any], task: str | None, title: str, folder: Path) -> list[str]:
    entries = result["overall"] if task is None else [e for e in result["summary"] if e["task"] == task]
    body = [f"<h2>{page.escape(title)}</h2>"]
    if task is None:
        body.append(
            '<p class="soft">For each seed the mean over the tasks; what does not exist in every task is left out.</p>'
        )
    if not entries:
        return [*body, '<p class="none">no cell of it is finished</p>']
    pictures = []
    for name, chart in task_charts(result, task):
        data = png(chart)
        write_bytes(folder / "plots" / f"{task or 'all'}-{name}.png", data)
        source = page.embedded(data, "image/png")
        alt = page.escape(f"{title}: {chart.title} over the injected delay")
        pictures.append(f'<div class="card picture"><img alt="{alt}" src="{source}"></div>')
    if pictures:
        body.append(f'<section class="plots">{"".join(pictures)}</section>')
    first = [(name, short) for name, short in COLUMNS if any(name in e["metrics"] for e in entries)]
    rest = [
        (name, _plain_name(name))
        for name in result["metrics"]
        if name not in dict(COLUMNS) and any(name in e["metrics"] for e in entries)
    ]
    body.append(_table(result, entries, first))
    if rest:
        body.append(f"<details><summary>all other scores</summary>{_table(result, entries, rest)}</details>")
    return body


def _table(
    result: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]
) -> str:
    units = [_unit(result, name) for name, _ in columns]
    head = [f"{short}, {unit}" if unit else short for (_, short), unit in zip(columns, units, strict=True)]
    rows = [
        (*_who(e), *(_value(name, e["metrics"].get(name)) for name, _ in columns)) for e in _ordered(entries)
    ]
    return f'<div class="dense">{page.table(("method", "delay, ms", *head), rows)}</div>'


def _failures(result: Mapping[str, Any]) -> str:
    if not result["failed"]:
        return ""
    rows = [(f["task"], f["method"], f["delay"], f["seed"], f["error"]) for f in result["failed"]]
    table = page.table(("task", "method", "delay", "seed", "error"), rows)
    return f'<h2>Cells that failed</h2><div class="told">{table}</div>'


def _repeating(result: Mapping[str, Any]) -> str:
    grid, settings = result["grid"], result["settings"]
    rows: list[tuple[str, str]] = [
        ("tasks", ", ".join(grid["tasks"])),
        ("methods", ", ".join((*grid["methods"], *(NAMES.get(r, r) for r in grid["references"])))),
        ("delays", "; ".join(delay["text"] for delay in grid["delays"])),
        ("seeds", ", ".join(map(str, grid["seeds"]))),
    ]
    rows += [
        (name, value if isinstance(value, str) else json.dumps(value)) for name, value in settings.items()
    ]
    rows.append(("source", f"{result['environment'].get('source', '')}: checksum of the package's own code"))
    told = "".join(
        f"<tr><td>{page.escape(name)}</td><td>{page.escape(value)}</td></tr>" for name, value in rows
    )
    return (
        "<h2>Settings, and how to repeat it</h2>"
        '<p class="soft">Time advances in simulated ticks: with the same code, settings and seeds every score comes '
        "out the same, however busy the machine is.</p>"
        f"<p><code>{page.escape(result['command'])}</code></p>"
        f'<div class="card scroll told"><table><tbody>{told}</tbody></table></div>'
    )


def _meanings(result: Mapping[str, Any]) -> str:
    better = {"lower": "lower", "higher": "higher", "zero": "near zero", "neither": "-"}
    told = "".join(
        f"<tr><td>{page.escape(name)}</td><td>{page.escape(m['unit'] or '-')}</td><td>{better[m['better']]}</td>"
        f'<td style="text-align: left; white-space: normal">{page.escape(m["text"])}</td></tr>'
        for name, m in result["metrics"].items()
    )
    head = "<tr><th>score</th><th>unit</th><th>better</th><th>meaning</th></tr>"
    return (
        "<h2>What the scores mean</h2><details><summary>all scores</summary>"
        f'<div class="card scroll told"><table><thead>{head}</thead><tbody>{told}</tbody></table></div></details>'
    )


def _footer(result: Mapping[str, Any]) -> str:
    made = result["environment"]
    return (
        page.made_with(made)
        + f"<p>{page.escape(made['machine'].get('cpu', ''))} · {made.get('cell_seconds', 0.0):g} s of work</p>"
        "<p>every cell: cells.csv · all of this as numbers: result.json</p>"
    )


# Private helpers -------------------------------------------------------------------------------------


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _ordered(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the methods as they were named, each by delay, and the references last."""
    order = [*methods_of(entries), *REFERENCES]
    return sorted(entries, key=lambda e: (order.index(e["method"]), e["delay_ms"]))


def _who(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["method"], "-" if entry["method"] in REFERENCES else entry["delay"]


def _plain_name(name: str) -> str:
    """Return a score's name without its unit, which stands beside it."""
    words = name.split("_")
    return " ".join(words[:-1] if words[-1] in ("ms", "s", "deg") else words)


def _unit(result: Mapping[str, Any], name: str) -> str:
    return "%" if name in _SHARES else unit_of(result["metrics"][name])


def _value(name: str, value: Mapping[str, Any] | None) -> str:
    """Return a mean with half its interval, with as many digits as that leaves sense to; "-" for none."""
    if value is None:
        return "-"
    factor = 100.0 if name in _SHARES else 1.0
    mean = factor * value["mean"]
    half = None if value["high"] is None else factor * (value["high"] - value["mean"])
    known = half is not None and half > 1e-9 * abs(mean)  # less is rounding
    digits = _digits(half if half is not None and known else abs(mean) / 10)
    mean = round(mean, digits) + 0.0  # no "-0"
    return f"{mean:.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def _digits(scale: float) -> int:
    """Return how many decimals show two digits of `scale`, at most 3."""
    return min(max(1 - math.floor(math.log10(scale)), 0), 3) if scale > 0.0 else 0
