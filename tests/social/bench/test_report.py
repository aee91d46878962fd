"""What a benchmark says: means and intervals against tables, and a page on which nothing is lost."""

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from fabg.social.bench.charts import task_charts
from fabg.social.bench.grid import GridRun, grid
from fabg.social.bench.journal import Outcome
from fabg.social.bench.report import terminal_table, write_page, write_result
from fabg.social.bench.result import environment, to_json, write_csv

T_975 = {1: 12.706205, 4: 2.776445}  # Student's t, 97.5 %, from tables
SEEDS = (1, 2, 3, 4, 5)
SLOPE = {"newest": 1.0, "offset:<3>": 0.5, "oracle": 0.0}
OFFSET = {"newest": 0.0, "offset:<3>": -50.0, "oracle": 20.0}


def _scores(cell):
    """The seeds spread a lag by 1, 2, ... 5: its mean over five of them is the line plus 3."""
    idle = cell.method == "idle"
    delay = {"jitter:60,15": 60.0}.get(cell.delay) or float(cell.delay)
    line = None if idle else OFFSET[cell.method] + SLOPE[cell.method] * delay + cell.seed
    return {
        "success": 0.0 if idle else 1.0,
        "response_vs_expert_ms": line,
        "gaze_lag_ms": line,
        "expression_lag_ms": line if cell.task == "affective" else None,
        "completion_s": 100.0 if idle else 10.0 + (cell.task == "affective"),
        "command_jerk": 0.0 if idle else {"newest": 5000.0, "offset:<3>": 100.0, "oracle": 90.0}[cell.method],
        "gaze_sparc": -1.5,
        "unheard_of": 1.0,
    }


def _run(tasks=("affective", "tracking"), delays=(0, 60), seeds=SEEDS):
    cells = grid(tasks, ["newest", "offset:<3>"], delays, seeds)
    outcomes = {cell.key: Outcome(cell.key, 2.0, _scores(cell)) for cell in cells}
    return GridRun(cells, outcomes, {"events": 20}, {"source": "0123abcd"}, False, Path("journal"))


def _result(**changes):
    return to_json(_run(**changes), command="fabg bench latency --policy 'a & b'")


def _entry(entries, **wanted):
    (found,) = [e for e in entries if all(e[name] == value for name, value in wanted.items())]
    return found["metrics"]


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text, self.images, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append(data)


def _read(path):
    reader = _Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return " ".join(reader.text), reader.images


# Numbers ---------------------------------------------------------------------------------------------


def test_means_and_intervals_over_the_seeds():
    result = _result()
    lag = _entry(result["summary"], task="tracking", method="offset:<3>", delay="60")["gaze_lag_ms"]
    half = T_975[4] * 2.5**0.5 / 5**0.5  # the variance of 1..5 is 2.5
    assert lag["n"] == 5 and lag["mean"] == pytest.approx(-50 + 30 + 3)
    assert (lag["low"], lag["high"]) == (
        pytest.approx(-17 - half, abs=1e-5),
        pytest.approx(-17 + half, abs=1e-5),
    )
    assert "expression_lag_ms" not in _entry(result["summary"], task="tracking", method="newest", delay="0")
    idle = _entry(result["summary"], task="tracking", method="idle")
    assert "gaze_lag_ms" not in idle and idle["completion_s"] == {
        "mean": 100.0,
        "low": 100.0,
        "high": 100.0,
        "n": 5,
    }
    two = _entry(_result(seeds=(1, 2))["summary"], task="tracking", method="newest", delay="0")["gaze_lag_ms"]
    assert two["high"] - two["mean"] == pytest.approx(T_975[1] * 0.5**0.5 / 2**0.5, rel=1e-6)


def test_over_all_tasks_only_what_every_task_has():
    overall = _result()["overall"]
    newest = _entry(overall, method="newest", delay="60")
    assert newest["completion_s"]["mean"] == 10.5 and newest["completion_s"]["n"] == 5
    assert newest["gaze_lag_ms"]["mean"] == pytest.approx(63.0) and "expression_lag_ms" not in newest
    assert _result(tasks=("affective",))["overall"] == []


def test_failed_and_missing_cells_are_left_out_and_said():
    run = _run()
    bad, gone = run.cells[-1], run.cells[-2]  # seeds 5 and 4 of tracking, offset:<3>, 60
    outcomes = dict(run.outcomes)
    outcomes[bad.key] = Outcome(bad.key, 1.0, error="ValueError: <lost>")
    del outcomes[gone.key]
    result = to_json(replace(run, outcomes=outcomes), command="x")
    assert result["grid"]["failed"] == result["grid"]["missing"] == 1
    assert result["failed"][0]["error"] == "ValueError: <lost>" and result["missing"][0]["seed"] == 4
    lag = _entry(result["summary"], task="tracking", method="offset:<3>", delay="60")["gaze_lag_ms"]
    assert lag["n"] == 3 and lag["mean"] == pytest.approx(-20 + 2)
    assert _entry(result["overall"], method="offset:<3>", delay="60")["gaze_lag_ms"]["n"] == 3
    assert result["notes"] == [
        "1 of 60 cells failed; means leave them out",
        "1 of 60 cells are missing: this is not the whole grid",
    ]
    assert len(result["cells"]) == 58


@pytest.mark.parametrize(
    ("seeds", "note"), [((7,), "no interval can be given"), ((1, 2), "2 seeds only"), (SEEDS, "")]
)
def test_few_seeds_are_said(seeds, note):
    result = _result(seeds=seeds)
    assert note in " ".join(result["notes"]) and bool(note) == bool(result["notes"])
    half_known = {value["high"] is not None for e in result["summary"] for value in e["metrics"].values()}
    assert half_known == {len(seeds) > 1}


def test_the_json_says_what_was_run_where(tmp_path):
    result = _result(delays=(0, "jitter:60,15"))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["grid"] | {"cells": 0} == {
        "tasks": ["affective", "tracking"],
        "methods": ["newest", "offset:<3>"],
        "references": ["oracle", "idle"],
        "delays": [
            {"text": "0", "mean_ms": 0.0, "max_ms": 0.0},
            {"text": "jitter:60,15", "mean_ms": 60.0, "max_ms": None},
        ],
        "seeds": [1, 2, 3, 4, 5],
        "cells": 0,
        "failed": 0,
        "missing": 0,
    }
    made = result["environment"]
    assert {"fabg", "python", "numpy"} <= set(made["versions"]) and made["source"] == "0123abcd"
    assert made["machine"]["cpu"] and made["machine"]["cores"] >= 1
    assert made["cell_seconds"] == 2.0 * 60 and "source" not in environment()
    assert result["metrics"]["gaze_lag_ms"]["better"] == "zero" and result["settings"] == {"events": 20}


def test_the_csv_holds_every_score_of_every_cell(tmp_path):
    result = _result(delays=(0, "jitter:60,15"))
    write_csv(result, tmp_path / "cells.csv")
    with (tmp_path / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result["cells"]) == 60
    for row, cell in zip(rows, result["cells"], strict=True):
        assert [row["task"], row["method"], row["delay"]] == [cell["task"], cell["method"], cell["delay"]]
        assert float(row["delay_ms"]) == (60.0 if cell["delay"] != "0" else 0.0)
        for name, value in cell["scores"].items():
            assert (float(row[name]) if row[name] else None) == value
    assert rows[0]["unheard_of"] == "1.0"


# Page ------------------------------------------------------------------------------------------------


def test_the_page_opens_from_disk_with_all_tables_and_plots(tmp_path):
    result = _result()
    path = write_result(result, json_file=tmp_path / "a" / "b.json", report=tmp_path / "report")[1]
    text, images = _read(path)
    for said in (
        "How to read it", "Earlier is not better.", "Task: affective", "Task: tracking", "All tasks together",
        "offset:<3>", "oracle", "idle", "63.0 ± 2.0", "0123abcd", "fabg bench latency --policy 'a & b'",
        "gaze sparc", "events",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("How far the gaze comes behind the expert's") == 1  # what a score means
    drawn = {
        "affective": [
            "response_vs_expert_ms",
            "gaze_lag_ms",
            "expression_lag_ms",
            "completion_s",
            "command_jerk",
        ],
        "tracking": ["response_vs_expert_ms", "gaze_lag_ms", "completion_s", "command_jerk"],
        "all": ["response_vs_expert_ms", "gaze_lag_ms", "completion_s", "command_jerk"],
    }
    names = sorted(f"{task}-{name}.png" for task, plots in drawn.items() for name in plots)
    assert sorted(p.name for p in (tmp_path / "report" / "plots").iterdir()) == names
    assert len(images) == len(names) and all(i["src"].startswith("data:image/png;base64,") for i in images)
    assert "http" not in path.read_text().replace("http-equiv", "")
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == result
    assert json.loads((tmp_path / "report" / "result.json").read_text()) == result
    assert not [p for p in (tmp_path / "report").iterdir() if p.name.startswith(".")]


def test_a_page_of_what_there_is_when_little_is_finished(tmp_path):
    run = _run(seeds=(1,))
    kept = {key: run.outcomes[key] for key in [run.cells[0].key]}
    kept[run.cells[5].key] = Outcome(run.cells[5].key, 1.0, error="ValueError: <lost>")
    text, images = _read(write_page(to_json(replace(run, outcomes=kept), command="x"), tmp_path))
    assert not images and "no cell of it is finished" in text and "ValueError: <lost>" in text
    assert "There is one seed only, so no interval can be given: name at least two." in text
    text, images = _read(write_page(to_json(replace(run, outcomes={}), command="x"), tmp_path))
    assert not images and "12 of 12 cells are missing" in text


def test_the_terminal_shows_every_row_and_the_references_last():
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal_table(_result(tasks=("tracking",))))
    lines = console.export_text().splitlines()
    rows = [line.split()[:2] for line in lines if line.split()[:1] and "±" in line.split()[-1]]
    assert rows == [
        ["newest", "0"], ["newest", "60"], ["offset:<3>", "0"], ["offset:<3>", "60"], ["oracle", "-"], ["idle", "-"],
    ]  # fmt: skip
    assert "63.0±2.0" in next(line for line in lines if line.split()[:2] == ["newest", "60"])


@pytest.mark.parametrize(
    ("mean", "half", "said"),
    [
        (167.13, 6.61, "167.1±6.6"),
        (4598.0, 145.0, "4598±145"),
        (160.0, 2.8e-14, "160±0"),  # equal values: rounding only
        (-0.2, 31.0, "0±31"),
        (0.0123, 0.0004, "0.012±0.000"),
        (23.456, None, "23.5"),
        (0.0, None, "0"),
    ],
)
def test_figures_have_the_digits_that_their_interval_leaves_sense_to(mean, half, said):
    ends = {"low": None, "high": None} if half is None else {"low": mean - half, "high": mean + half}
    result = _result(tasks=("tracking",), delays=(0,))
    result["summary"] = [e for e in result["summary"] if e["method"] == "newest"]
    result["summary"][0]["metrics"] = {"gaze_lag_ms": {"mean": mean, "n": 5, **ends}}
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal_table(result))
    assert console.export_text().split()[-1] == said


# Plots -----------------------------------------------------------------------------------------------


def _axes(result, task, name):
    chart = dict(task_charts(result, task))[name]
    axes = Figure(layout="constrained").add_subplot()
    chart.draw(axes)
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    return axes, labels


def _level(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return list(line.get_ydata())


def test_points_stand_at_the_means_and_references_are_level():
    axes, labels = _axes(_result(), "tracking", "gaze_lag_ms")
    assert labels == ["newest", "offset:<3>", "oracle (expert, no delay)"]
    assert _level(axes, "oracle (expert, no delay)") == pytest.approx([23.0, 23.0])
    for container, line in zip(axes.containers, ((3.0, 63.0), (-47.0, -17.0)), strict=True):
        points, _, (whiskers,) = container
        assert list(points.get_ydata()) == pytest.approx(line)
        assert points.get_xdata() == pytest.approx([0.0, 60.0], abs=0.15 * 60)
        (_, low), (_, high) = whiskers.get_segments()[0]
        assert high - low == pytest.approx(2 * T_975[4] * 0.5**0.5, rel=1e-5)
    assert len({line[0].get_color() for line in axes.containers}) == 2
    assert len({line[0].get_marker() for line in axes.containers}) == 2
    assert [t.get_text() for t in axes.texts] == ["earlier than the expert: a guess, not better"]
    left, right = axes.get_xlim()
    assert all(left < x < right for line in axes.containers for x in line[0].get_xdata())
    bottom, top = axes.get_ylim()
    assert bottom < -47 - 2 and top > 63 + 2


def test_with_two_delays_far_apart_no_point_is_off_the_plot():
    axes, _ = _axes(_result(delays=(0, 240)), "tracking", "gaze_lag_ms")
    left, right = axes.get_xlim()
    assert all(left < x < right for line in axes.containers for x in line[0].get_xdata())


def test_a_reference_that_would_flatten_the_plot_is_named_instead():
    axes, labels = _axes(_result(), "tracking", "completion_s")
    assert labels[-1] == "idle (does nothing): 100 s, off the scale"
    assert axes.get_ylim()[1] < 20 and not axes.texts


def test_jerk_that_differs_by_factors_is_drawn_by_factors():
    axes, labels = _axes(_result(), "tracking", "command_jerk")
    assert axes.get_yscale() == "log" and labels[-1] == "idle (does nothing): 0 rad/s³, off the scale"
    assert _level(axes, "oracle (expert, no delay)") == [90.0, 90.0]


def test_delays_that_are_no_numbers_stand_side_by_side_by_their_mean():
    axes, _ = _axes(_result(delays=("jitter:60,15", 0, 61)), "tracking", "gaze_lag_ms")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "jitter:60,15", "61"]
    assert list(axes.get_xticks()) == [0.0, 1.0, 2.0]
    axes, _ = _axes(_result(delays=(0, 1, 500)), "tracking", "gaze_lag_ms")  # too near to be told apart
    assert list(axes.get_xticks()) == [0.0, 1.0, 2.0]
    axes, _ = _axes(_result(delays=(60,)), "tracking", "gaze_lag_ms")
    assert list(axes.get_xticks()) == [60.0] and axes.get_xlim()[0] < 60 < axes.get_xlim()[1]
