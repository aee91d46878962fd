"""The grid: every cell once, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabg.errors import ConfigError, EnvironmentProblem, FabgError, InputError
from fabg.social.bench import grid as benchmark
from fabg.social.bench.grid import Cell, check, code, delay_ms, grid, run_grid
from tests.social.bench import fake_grid
from tests.social.bench.fake_grid import CELLS, FREE, WORKERS, formula

ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0  # for a busy machine; nothing waits that long


@pytest.fixture(autouse=True)
def _same_code(monkeypatch):
    monkeypatch.setattr(benchmark, "code", fake_grid.same_code)


# Which cells -----------------------------------------------------------------------------------------


def test_the_grid_is_the_product_and_always_holds_the_references():
    cells = grid(["foveate", "gesture"], ["newest", "chunk", "oracle"], ["60", 0, "jitter:60,15"], [3, 1])
    assert len(cells) == len(set(cells)) == len({c.key for c in cells}) == 2 * (2 * 2 + 2 * 3 * 2)
    assert Cell("gesture", "idle", "0", 1) in cells and Cell("gesture", "oracle", "0", 3) in cells
    assert {c.delay for c in cells if c.method in ("oracle", "idle")} == {"0"}
    assert {c.delay for c in cells if c.method == "chunk"} == {"60", "0", "jitter:60,15"}


@pytest.mark.parametrize(
    ("tasks", "methods", "delays", "seeds", "message"),
    [
        (["mixed"], ["chunk"], [0], [3, 1, 3], "seed 3 is named twice"),
        (["mixed"], ["chunk"], [60, "60.0"], [1], "delay 60 is named twice"),
        (["mixed", "mixed"], ["chunk"], [0], [1], "task mixed is named twice"),
        (["mixed"], ["chunk", "chunk"], [0], [1], "method chunk is named twice"),
        (["mixed"], ["chunk"], [0], [], "there is no seed: expected at least one"),
        ([], ["chunk"], [0], [1], "there is no task"),
        (["mixed"], ["chunk"], [0], [-1], "seed is -1: expected a whole number, 0 or more"),
        (["mixed"], ["chunk"], [0], [1.5], "seed is 1.5"),
        (["mixed"], ["chunk"], [0], [True], "seed is True"),
        (["mixed"], ["chunk"], [-5], [1], "delay is -5"),
        (["mixed"], ["chunk"], [float("nan")], [1], "delay is nan"),
        (["mixed"], ["chunk"], ["soon"], [1], "'soon'"),
        (["a|b"], ["chunk"], [0], [1], "task is 'a|b'"),
    ],
)
def test_a_wrong_grid_is_refused(tasks, methods, delays, seeds, message):
    with pytest.raises(ConfigError) as told:
        grid(tasks, methods, delays, seeds)
    assert message in str(told.value)


@given(delay=st.one_of(st.text(max_size=12), st.floats(), st.integers()))
def test_any_delay_is_read_or_refused(delay):
    try:
        cells = grid(["mixed"], ["chunk"], [delay], [1])
    except FabgError:
        return
    mean, longest = delay_ms(cells[-1].delay)
    assert mean >= 0.0 and (longest is None or longest >= mean * (1 - 1e-12))
    assert grid(["mixed"], ["chunk"], [cells[-1].delay], [1]) == cells  # its text is read as the same


def test_a_delay_beyond_the_horizon_is_refused_with_both():
    def cells(*delays):
        return grid(["mixed"], ["chunk"], delays, [1])

    check(cells(0, 60, 500, "jitter:60,15"), horizon_s=0.5)
    with pytest.raises(ConfigError, match=r"delay 600 reaches 600 ms: expected at most .* 500 ms"):
        check(cells(60, 600), horizon_s=0.5)
    with pytest.raises(ConfigError, match=r"reaches 700 ms"):
        check(cells("burst:40,700,0.02,0.2"), horizon_s=0.5)
    with pytest.raises(ConfigError, match=r"is 501 ms in the mean: .* 500 ms"):
        check(cells("jitter:501,20"), horizon_s=0.5)
    with pytest.raises(ConfigError, match=r"reaches 550 ms"):
        check(cells("sensing=300; actuation=250"), horizon_s=0.5)
    with pytest.raises(ConfigError, match="horizon_s is nan"):
        check(cells(0), horizon_s=float("nan"))


# Working them out ------------------------------------------------------------------------------------


def _counted(run):
    assert {cell: run.scores(cell) for cell in CELLS} == {cell: formula(cell) for cell in CELLS}


def _keys(journal):
    return Counter(json.loads(line)["key"] for line in journal.read_text().splitlines()[1:])


def test_every_cell_once_and_nothing_again(tmp_path):
    journal = tmp_path / "journal"
    run = run_grid(CELLS, formula, journal=journal, settings={}, workers=2, progress=False)
    assert (
        run.complete and not run.interrupted and run.text() == f"{len(CELLS)} of {len(CELLS)} cells are done"
    )
    _counted(run)
    assert _keys(journal) == Counter(c.key for c in CELLS)
    before = journal.read_bytes()
    more = (*CELLS, *grid(["mixed"], ["newest"], [0], [1])[2:])  # the grid may grow
    again = run_grid(more, formula, journal=journal, settings={}, workers=1, progress=False)
    assert again.complete and len(again.outcomes) == len(CELLS) + 1
    added = journal.read_bytes()[len(before) :]
    assert journal.read_bytes().startswith(before) and json.loads(added)["key"] == "mixed|newest|0|1"


def test_cells_that_fail_are_named_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_GRID", str(tmp_path))
    (tmp_path / "mood").touch()
    journal = tmp_path / "journal"
    run = run_grid(CELLS, fake_grid.moody, journal=journal, settings={}, workers=2, progress=False)
    failed = dict(run.failed)
    assert list(failed) == list(CELLS[4:8]) and not run.missing and not run.complete and not run.interrupted
    assert failed[CELLS[4]].startswith("ValueError: no face in sight (fake_grid.py, line ")
    assert failed[CELLS[5]] == "its process ended with status 7"
    assert "score gaze_lag_ms is nan: expected a finite number or None" in failed[CELLS[6]]
    assert "scores are a list" in failed[CELLS[7]]
    for cell in CELLS[:4] + CELLS[8:]:
        assert run.scores(cell) == formula(cell)
    text = run.text()
    assert (
        f"8 of {len(CELLS)} cells are done" in text and "4 failed:\n" in text and "tries these again" in text
    )
    assert "  tracking, newest, delay 0, seed 1: ValueError" in text
    (tmp_path / "mood").unlink()
    _counted(run_grid(CELLS, fake_grid.moody, journal=journal, settings={}, workers=2, progress=False))
    assert _keys(journal) == Counter(c.key for c in CELLS) + Counter(c.key for c in CELLS[4:8])


def test_the_number_of_processes_changes_nothing(tmp_path):
    runs = [
        run_grid(CELLS, formula, journal=tmp_path / str(n), settings={}, workers=n, progress=False)
        for n in (1, 3)
    ]
    assert [runs[0].scores(c) for c in CELLS] == [runs[1].scores(c) for c in CELLS]


def test_wrong_calls_are_refused(tmp_path):
    arguments = {"journal": tmp_path / "journal", "settings": {}, "progress": False}
    with pytest.raises(ConfigError, match="the cell 'tracking, oracle, delay 0, seed 1' is named twice"):
        run_grid([*CELLS, CELLS[0]], formula, **arguments)
    with pytest.raises(ConfigError, match="workers is 0: expected at least 1"):
        run_grid(CELLS, formula, workers=0, **arguments)
    with pytest.raises(InputError, match="expected a function at the top of a module"):
        run_grid(CELLS, lambda cell: {}, **arguments)
    with pytest.raises(ConfigError, match=r"file of delays 'gone\.csv' cannot be read"):
        run_grid([Cell("mixed", "chunk", "file:gone.csv", 1)], formula, **arguments)
    assert not (tmp_path / "journal").exists()


def test_a_changed_file_of_delays_is_noticed(tmp_path):
    delays = tmp_path / "delays.csv"
    delays.write_text("40\n60\n")
    cells = [Cell("tracking", "newest", f"file:{delays}", 1)]
    arguments = {"journal": tmp_path / "journal", "settings": {}, "progress": False}
    run = run_grid(cells, _constant, **arguments)
    assert run.complete and list(run.settings["delay_files"]) == [str(delays)]
    delays.write_text("40\n61\n")
    with pytest.raises(ConfigError, match="delay_files is"):
        run_grid(cells, _constant, **arguments)


def _constant(cell):
    return {"gaze_lag_ms": 1.0}


class _Unreadable:
    """Can be sent to a process, but not be received there."""

    def __call__(self, cell):
        return {}

    def __reduce__(self):
        return os._exit, (9,)


def test_processes_that_cannot_start_end_it_at_once(tmp_path):
    with pytest.raises(EnvironmentProblem, match="ended with status 9 before it could begin"):
        run_grid(CELLS, _Unreadable(), journal=tmp_path / "journal", settings={}, workers=1, progress=False)


def test_the_code_is_known_by_its_sources():
    first = code()
    assert first == code() and {"fabg", "python", "numpy", "source"} <= set(first)
    assert len(first["source"]) == 16


# Interruption, with real processes -------------------------------------------------------------------


@pytest.fixture
def command(tmp_path):
    """Start the grid as a command; whatever is left of it ends with the test."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.social.bench.fake_grid", str(tmp_path)],
            cwd=ROOT,
            start_new_session=True,  # a terminal's Ctrl-C reaches all of its group
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _until(condition, process):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def _began(folder):
    path = folder / "began"
    return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []


def _at_work(folder):
    """Whether the free cells are on disk and the gated ones have begun."""
    journal = folder / "journal"
    whole = journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0
    return whole == FREE and len(_began(folder)) == FREE + WORKERS


def _finish(start):
    process = start()
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert said.splitlines()[-1] == f"{len(CELLS)} of {len(CELLS)} cells are done"


def _gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_interrupted_it_finishes_what_is_at_work_and_runs_no_cell_twice(tmp_path, command):
    process = command()
    _until(lambda: _at_work(tmp_path), process)
    with pytest.raises(ConfigError, match="is in use by another run"):
        run_grid(CELLS, formula, journal=tmp_path / "journal", settings={"events": 20}, progress=False)
    os.killpg(process.pid, signal.SIGINT)
    # The main process has taken the signal once it is no longer pending; only then may cells end.
    _until(lambda: not int(_status(process.pid, "ShdPnd"), 16), process)
    (tmp_path / "go").touch()
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3 and "Traceback" not in said
    done = len(_began(tmp_path))
    assert FREE + WORKERS <= done < len(CELLS)
    assert f"interrupted: {done} of {len(CELLS)} cells are done and kept in {tmp_path / 'journal'}" in said
    assert said.splitlines()[-1] == "the same command goes on from there"
    _finish(command)
    assert Counter(key for key, _ in _began(tmp_path)) == Counter(c.key for c in CELLS)
    assert _keys(tmp_path / "journal") == Counter(c.key for c in CELLS)


def test_interrupted_twice_it_drops_what_is_at_work(tmp_path, command):
    process = command()
    _until(lambda: _at_work(tmp_path), process)
    os.killpg(process.pid, signal.SIGINT)
    process.terminate()  # counts as a second Ctrl-C, which might be taken as one with the first
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3 and "Traceback" not in said
    assert f"interrupted: {FREE} of {len(CELLS)} cells are done" in said
    assert all(_gone(pid) for _, pid in _began(tmp_path))
    (tmp_path / "go").touch()
    _finish(command)
    assert _keys(tmp_path / "journal") == Counter(c.key for c in CELLS)


def test_killed_it_loses_only_what_was_at_work(tmp_path, command):
    process = command()
    _until(lambda: _at_work(tmp_path), process)
    process.kill()
    process.wait()
    end = time.monotonic() + PATIENCE_S
    while not all(_gone(pid) for _, pid in _began(tmp_path)):  # nobody works on for a run that is dead
        assert time.monotonic() < end
        time.sleep(0.01)
    with (tmp_path / "journal").open("a") as file:
        file.write('{"key": "tracking|newest|60|1", "sco')  # as the crash of a machine leaves it
    (tmp_path / "go").touch()
    _finish(command)
    ran = Counter(key for key, _ in _began(tmp_path))
    assert ran == Counter(c.key for c in CELLS) + Counter(c.key for c in CELLS[FREE : FREE + WORKERS])
    assert _keys(tmp_path / "journal") == Counter(c.key for c in CELLS)
    run = run_grid(CELLS, formula, journal=tmp_path / "journal", settings={"events": 20}, progress=False)
    _counted(run)


def _status(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith(f"{name}:"))
