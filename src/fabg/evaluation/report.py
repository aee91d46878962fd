"""An accuracy report: for the terminal, as JSON for machines, and as a page with plots for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from fabg import page
from fabg.charts import Chart, png
from fabg.evaluation.rows import Row, Summary


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes
    ----------
    name
        Key in the JSON.
    title, text
        Heading, and a sentence or two on how it was measured.
    rows, charts
        What came out.
    details
        Further numbers for machines.
    """

    name: str
    title: str
    text: str
    rows: tuple[Row, ...]
    charts: tuple[Chart, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def to_json(sections: Sequence[Section], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything as plain numbers: settings, provenance, sections, and whether all targets are met."""
    judged = [row.met for section in sections for row in section.rows if row.met is not None]
    return {
        **settings,
        **page.provenance((*page.PACKAGES, "moderngl", "ai-edge-litert")),
        "sections": {
            section.name: {"rows": [row.to_json() for row in section.rows], **section.details}
            for section in sections
        },
        "targets": {"met": sum(judged), "missed": len(judged) - sum(judged)},
    }


def terminal_table(sections: Sequence[Section], *, title: str) -> Table:
    """Lay out all rows for the terminal."""
    table = Table(title=title)
    table.add_column("quantity", no_wrap=True)
    for name in ("n", "value", "p95", "failed", "wanted"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("met", no_wrap=True)
    for section in sections:
        table.add_section()
        table.add_row(f"[bold]{section.title}[/]")
        for row in section.rows:
            table.add_row(row.quantity, *_cells(row), {True: "yes", False: "[red]NO[/]", None: ""}[row.met])
    return table


def write_page(
    sections: Sequence[Section], result: Mapping[str, Any], folder: Path, *, subtitle: str
) -> Path:
    """Write ``report.html`` with all tables and plots inside, and the plots as PNG; return the page's path."""
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    targets = result["targets"]
    total = targets["met"] + targets["missed"]
    body = [f'<section class="tiles">{page.tile(str(targets["met"]), f"of {total}", "targets met")}']
    body += [_headline(row) for section in sections for row in section.rows if row.target is not None][:7]
    body.append("</section>")
    for section in sections:
        body.append(f'<h2>{page.escape(section.title)}</h2><p class="soft">{page.escape(section.text)}</p>')
        body.append(_rows_table(section.rows))
        pictures = []
        for k, chart in enumerate(section.charts):
            data = png(chart)
            (folder / "plots" / f"{section.name}-{k}.png").write_bytes(data)
            source = page.embedded(data, "image/png")
            pictures.append(
                f'<div class="card picture"><img alt="{page.escape(chart.title)}" src="{source}"></div>'
            )
        if pictures:
            body.append(f'<section class="plots">{"".join(pictures)}</section>')
        conditions = _conditions_table(section.rows)
        if conditions:
            body.append(f"<details><summary>by condition</summary>{conditions}</details>")
    path = folder / "report.html"
    whole = page.page(
        title="How accurate is perception?",
        subtitle=subtitle,
        body="\n".join(body),
        footer=page.made_with(result),
    )
    path.write_text(whole, encoding="utf-8")
    return path


def number(value: float, unit: str) -> str:
    """Return a number the way its unit is read: shares in percent, the rest with three digits."""
    if not math.isfinite(value):
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} %"
    text = f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def _cells(row: Row) -> list[str]:
    wanted = "" if row.target is None else ("≥ " if row.at_least else "≤ ") + number(row.target, row.unit)
    return [
        str(row.count),
        number(row.value, row.unit),
        number(row.p95, row.unit),
        number(row.failure_rate, "share"),
        wanted,
    ]


def _headline(row: Row) -> str:
    value, _, unit = number(row.value, row.unit).partition(" ")
    verdict = "met" if row.met else "missed"
    return page.tile(value, unit, f"{row.quantity}; target {_cells(row)[-1]}, {verdict}")


def _rows_table(rows: Sequence[Row]) -> str:
    head = ("quantity", "n", "value", "p95", "no answer", "wanted", "met")
    shown = []
    for row in rows:
        verdict = {
            True: '<span class="met">yes</span>',
            False: '<span class="missed">no</span>',
            None: "",
        }[row.met]
        name = page.escape(row.quantity)
        if row.note:
            name += f'<br><span class="soft">{page.escape(row.note)}</span>'
        cells = "".join(f"<td>{page.escape(cell)}</td>" for cell in _cells(row))
        shown.append(f"<tr><td>{name}</td>{cells}<td>{verdict}</td></tr>")
    titles = "".join(f"<th>{name}</th>" for name in head)
    return (
        f'<div class="card scroll"><table><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(shown)}</tbody></table></div>"
    )


def _conditions_table(rows: Sequence[Row]) -> str:
    shown = [
        (row.quantity, condition, label, summary.count, *_summary(summary, row.unit))
        for row in rows
        for condition, groups in row.conditions.items()
        for label, summary in groups.items()
    ]
    head = ("quantity", "condition", "", "n", "mean", "p95", "no answer")
    return page.table(head, shown) if shown else ""


def _summary(summary: Summary, unit: str) -> tuple[str, str, str]:
    failed = number(summary.failure_rate, "share")
    if unit == "share":  # of successes: there is no size of error
        return "", "", failed
    return number(summary.mean, unit), number(summary.p95, unit), failed
