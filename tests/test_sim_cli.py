"""`fabg sim` and `fabg bench` as a user types them."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fabg.demos.reader import Dataset


def fabg(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fabg.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_demonstrations_are_recorded_and_added_to(tmp_path):
    for seed in ("0", "10"):
        done = fabg(
            "sim",
            "demos",
            "--task",
            "tracking",
            "-n",
            "1",
            "--events",
            "2",
            "--seed",
            seed,
            "-o",
            "set",
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "set" and "2 of 2 events" in " ".join(done.stderr.split())
    assert len(Dataset(tmp_path / "set")) == 2


def bench(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return fabg(
        "bench", "latency", "--tasks", "tracking", "--methods", "newest,replay", "--delays", "0,140",
        "--seeds", "1000,1001", "--events", "3", "--journal", "cells.jsonl", *more, cwd=tmp_path,
    )  # fmt: skip


def test_the_benchmark_writes_all_it_promises_and_goes_on_where_it_was(tmp_path):
    done = bench(tmp_path, "--json", "result.json", "--report", "page")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # 2 methods x 2 delays x 2 seeds, and oracle and idle for each seed.
    assert len(result["cells"]) == 12 and not result["failed"] and not result["missing"]
    by = {
        (row["method"], row["delay"]): row["metrics"]
        for row in result["summary"]
        if row.get("task") == "tracking"
    }
    assert by["oracle", "0"]["success"]["mean"] == 1.0 and by["idle", "0"]["success"]["mean"] == 0.0
    # What is sent without prediction is late by what was injected.
    assert by["replay", "140"]["gaze_lag_ms"]["mean"] == pytest.approx(140, abs=15)
    page = (tmp_path / "page" / "report.html").read_text()
    assert "oracle" in page and "data:image/png" in page
    rows = list(csv.DictReader((tmp_path / "page" / "cells.csv").open()))
    assert len(rows) == 12

    # Once more: nothing is played again, and the numbers are the same.
    lines = (tmp_path / "cells.jsonl").read_text()
    again = bench(tmp_path, "--json", "again.json")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "cells.jsonl").read_text() == lines
    assert json.loads((tmp_path / "again.json").read_text())["cells"] == result["cells"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("--tasks", "tennis"), "tennis"),
        (("--methods", "later"), "later"),
        (("--delays", "-5"), "-5"),
        (("--delays", "nan"), "nan"),
        (("--delays", "900"), "500 ms"),
        (("--seeds", "3,3"), "named twice"),
        (("--seeds", "one"), "one"),
        (("--policy", "guess"), "guess"),
        (("--policy", "expert"), "replay"),
    ],
)
def test_wrong_wishes_end_with_what_was_wrong(tmp_path, arguments, says):
    done = fabg("bench", "latency", "--quick", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_teaches():
    done = fabg("sim", "play", "--help", cwd=Path.cwd())
    assert done.returncode == 0 and "--latency" in done.stdout and "offset:7" in done.stdout
