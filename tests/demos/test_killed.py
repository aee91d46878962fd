"""A writer that is killed leaves every finished episode whole, and the data set can be continued.

About 8 s: 28 processes are started and die.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fabg.demos.reader import Dataset
from tests.demos.sample import assert_holds, assert_stats, open_writer, rows_as_lerobot_reads, write

ROOT = Path(__file__).parents[2]
EPISODES = 2


def _run(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True, **options
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What is left of each process: folder -> names of the files that it had put into place, in order."""
    folder = tmp_path_factory.mktemp("killed")
    with _run("-m", "tests.demos.killed_writer", folder, EPISODES) as process:
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    lines = [line.split(":") for line in said.splitlines()]
    return {folder / name: done.split() for name, done in lines}


def test_every_point_was_hit(killed):
    by_name = {folder.name: done for folder, done in killed.items()}
    whole = by_name["none-0"]
    # Data, video, tasks, episodes, statistics, and last what decides; twice, after the empty data set.
    assert whole == ["info.json"] + EPISODES * [
        "file-000.parquet", "file-000.mp4", "tasks.parquet", "file-000.parquet", "stats.json", "info.json",
    ]  # fmt: skip
    for k in range(len(whole)):
        assert by_name[f"before-{k}"] == whole[:k]
        assert by_name[f"after-{k}"] == whole[: k + 1]


def test_finished_episodes_are_whole(killed):
    for folder, done in killed.items():
        if "info.json" not in done:
            continue  # died before there was a data set
        finished = range(done.count("info.json") - 1)
        dataset = Dataset(folder)
        assert_holds(dataset, finished)
        if finished:
            assert_stats(dataset.stats(), finished)
            rows = rows_as_lerobot_reads(folder)
            assert rows["index"].to_pylist()[: dataset.total_frames] == list(range(dataset.total_frames))


def test_all_can_be_continued(killed):
    for folder, done in killed.items():
        finished = max(done.count("info.json") - 1, 0)
        with open_writer(folder) as writer:
            assert writer.total_episodes == finished
        rows = rows_as_lerobot_reads(folder)  # opening it has cleared up
        assert (len(rows) if rows else 0) == Dataset(folder).total_frames
        write(folder, range(finished, finished + 1))
        dataset = Dataset(folder)
        assert_holds(dataset, range(finished + 1))
        assert_stats(dataset.stats(), range(finished + 1))
        assert rows_as_lerobot_reads(folder)["index"].to_pylist() == list(range(dataset.total_frames))
        assert not (folder / ".unfinished").exists()


def test_killed_from_outside(tmp_path):
    """Wherever the signal falls, at most the episode in progress is lost."""
    code = (
        "import itertools, sys; from tests.demos.sample import *\n"
        "with open_writer(sys.argv[1]) as writer:\n"
        "    for e in itertools.count():\n"
        "        add_episode(writer, e % 4); writer.end_episode(); print(e, flush=True)\n"
    )
    with _run("-c", code, tmp_path) as process:
        said = [process.stdout.readline() for _ in range(3)]
        process.kill()
        said += process.stdout.readlines()
    returned = int(said[-1]) + 1
    dataset = Dataset(tmp_path)
    assert len(dataset) in (returned, returned + 1)
    assert_holds(dataset, [e % 4 for e in range(len(dataset))])
