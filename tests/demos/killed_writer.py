"""Run as a script: writes data sets in processes that kill themselves, one for each point of no return.

usage: killed_writer.py FOLDER EPISODES

The writer renames each file into place when it is whole. Process k of folder ``before-k`` dies just before its
k-th renaming, that of ``after-k`` just after it, that of ``frame-k`` while frame k of the second episode comes in;
the last one, ``none``, lives. Each prints its folder, a colon, and the files that it had renamed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import av  # noqa: F401 (loaded before the processes part)
import pyarrow.parquet  # noqa: F401

from fabg.demos import files
from tests.demos.sample import add_episode, frames, open_writer, task


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _write(root, when, at, episodes):
    done = []
    replace = os.replace

    def counted(part, path):
        if (when, at) == ("before", len(done)):
            _die()
        replace(part, path)
        done.append(Path(path).name)
        os.write(1, f" {Path(path).name}".encode())
        if (when, at) == ("after", len(done) - 1):
            _die()

    files.os.replace = counted
    with open_writer(root) as writer:
        for episode in range(episodes):
            if (when, episode) == ("frame", 1):
                for frame in frames(episode)[:at]:
                    writer.add_frame(task=task(episode), **frame)
                _die()
            add_episode(writer, episode)
            writer.end_episode()


def main(folder, episodes):
    points = [("none", 0), *(("frame", k) for k in (0, 1, 5))]
    points += [(when, k) for when in ("before", "after") for k in range(1 + 6 * episodes)]
    for when, at in points:
        name = f"{when}-{at}"
        os.write(1, f"{name}:".encode())
        child = os.fork()
        if not child:
            try:
                _write(folder / name, when, at, episodes)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.write(1, b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
