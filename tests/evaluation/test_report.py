"""The accuracy report: numbers for machines, a page for people."""

import json
from html.parser import HTMLParser

import numpy as np
from rich.console import Console

from fabg.evaluation import charts
from fabg.evaluation.report import Section, number, terminal_table, to_json, write_page
from fabg.evaluation.rows import Condition, error_row, number_row, rate_row
from fabg.files import write_json


def _sections():
    tone = Condition.kinds("skin tone", ["dark", "light"] * 10)
    errors = np.linspace(0.0, 4.0, 20)
    return [
        Section(
            "head",
            "Head pose",
            "Rendered <people>.",
            (
                error_row("yaw", "deg", errors, target=2.5, conditions=[tone], note="a note & more"),
                rate_row("found", [True] * 19 + [False], target=0.99, conditions=[tone]),
                number_row("switches", "", 0, 1, target=0, at_least=False),
            ),
            (
                charts.against_truth("yaw", errors, errors + 1, unit="deg"),
                charts.by_condition("by tone", errors, tone, unit="deg"),
                charts.failures("found", errors > 1, tone),
                charts.matrix("hands", ["up", "up", "fist"], ["up", "fist", "fist"], ["up", "fist"]),
            ),
            {"people": [1000, 1001]},
        )
    ]


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.text, self.images, self.open = [], 0, []

    def handle_starttag(self, tag, attributes):
        self.images += tag == "img"
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append(data)


def test_json_holds_every_number_and_counts_the_targets(tmp_path):
    result = to_json(_sections(), {"seed": 1000})
    write_json(result, tmp_path / "deep" / "result.json")
    stored = json.loads((tmp_path / "deep" / "result.json").read_text())
    assert stored["targets"] == {"met": 2, "missed": 1}
    assert stored["seed"] == 1000 and "python" in stored["versions"]
    yaw, found, switches = stored["sections"]["head"]["rows"]
    assert yaw["mean"] == 2.0 and yaw["met"] and yaw["conditions"]["skin tone"]["dark"]["count"] == 10
    assert found["value"] == 0.95 and not found["met"]
    assert switches["value"] == 0 and switches["met"]
    assert stored["sections"]["head"]["people"] == [1000, 1001]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["result.json"]


def test_the_page_opens_from_disk_with_all_tables_and_plots(tmp_path):
    sections = _sections()
    path = write_page(sections, to_json(sections, {}), tmp_path / "report", subtitle="seed 1000")
    reader = _Reader()
    text = path.read_text()
    reader.feed(text)
    assert reader.open == []
    said = " ".join(reader.text)
    for expected in ("Rendered <people>.", "a note & more", "2 deg", "95.0 %", "skin tone", "≤ 2.5 deg"):
        assert expected in said, expected
    assert reader.images == 4
    plots = sorted(p.name for p in (tmp_path / "report" / "plots").iterdir())
    assert plots == [f"head-{k}.png" for k in range(4)]
    assert "http" not in text.replace("http-equiv", "")


def test_the_terminal_shows_what_was_missed():
    console = Console(record=True, width=140, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal_table(_sections(), title="Perception"))
    text = console.export_text()
    assert "Head pose" in text and "NO" in text and "≥ 99.0 %" in text


def test_numbers_read_as_their_unit():
    assert number(float("nan"), "deg") == "-"
    assert number(0.9876, "share") == "98.8 %"
    assert number(2.0, "deg") == "2 deg"
    assert number(0.12345, "") == "0.123"
