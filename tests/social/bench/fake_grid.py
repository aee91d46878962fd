"""A grid whose results are a formula, and a command that runs it: for tests that interrupt real processes.

    python -m tests.social.bench.fake_grid FOLDER

Each run of a cell appends its key and process to FOLDER/began. From `FREE` cells on a run waits for FOLDER/go, so a
test knows what is at work when it strikes.
"""

import os
import sys
import time
from pathlib import Path

from fabg.social.bench import grid as benchmark
from fabg.social.bench.grid import grid, run_grid

CELLS = grid(["tracking"], ["newest", "offset:3"], [0, 60], [1, 2])
FREE = 5
WORKERS = 2
SLOPE = {"newest": 1.0, "offset:3": 0.5, "oracle": 0.0, "idle": 0.0}


def same_code():
    """What stands for the package's sources, which somebody may be editing while the tests run."""
    return {"fabg": "test", "source": "0123"}


def formula(cell):
    """Response grows with the delay, jerk does not exist for a robot that does nothing."""
    lag = SLOPE[cell.method] * float(cell.delay) + 10.0 * cell.seed
    return {"gaze_lag_ms": lag, "command_jerk": None if cell.method == "idle" else 2.0}


def gated(cell):
    folder = Path(os.environ["FAKE_GRID"])
    with (folder / "began").open("a") as file:
        file.write(f"{cell.key} {os.getpid()}\n")
    if cell in CELLS[FREE:]:
        while not (folder / "go").exists():
            time.sleep(0.01)
    return formula(cell)


def moody(cell):
    """Fail in as many ways as there are, while FOLDER/mood exists."""
    if (Path(os.environ["FAKE_GRID"]) / "mood").exists():
        if cell == CELLS[4]:
            raise ValueError("no face in sight")
        if cell == CELLS[5]:
            os._exit(7)
        if cell == CELLS[6]:
            return {"gaze_lag_ms": float("nan")}
        if cell == CELLS[7]:
            return [1.0]
    return formula(cell)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    os.environ["FAKE_GRID"] = str(where)
    benchmark.code = same_code
    done = run_grid(CELLS, gated, journal=where / "journal", settings={"events": 20}, workers=WORKERS)
    print(done.text())
    sys.exit(0 if done.complete else 3)
