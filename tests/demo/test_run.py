"""``fabg demo`` as people use it: on a real face, on what cannot work, and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import av
import pytest

from tests.conftest import wait_until
from tests.perception.test_sources import write_video


def _command(*arguments):
    return [sys.executable, "-m", "fabg.cli", "demo", *map(str, arguments)]


def _run(*arguments, timeout=240):
    return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=timeout, check=False)


def _cut_video(path):
    write_video(path, 10)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    return path


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--policy", "/no/such/model.onnx"), "/no/such/model.onnx"),
        (("--policy", "imitator"), "expected learnt, mirror, or an ONNX file"),
        (("--policy", "mirror", "--task", "tracking"), "mirror knows no tasks"),
    ],
)
def test_a_policy_that_cannot_work_is_told_at_once(tmp_path, arguments, said):
    done = _run(*arguments, "--out", tmp_path / "run", timeout=60)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "cut", "noise", "empty folder", "no camera"])
def test_an_input_that_cannot_work_is_told_at_once_and_leaves_nothing(tmp_path, kind):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    noise = tmp_path / "in" / "noise.mp4"
    noise.write_bytes(b"no video" * 1000)
    spec, said = {
        "missing": ("/no/such/film.mp4", "/no/such/film.mp4"),
        "cut": (_cut_video(tmp_path / "in" / "cut.mp4"), "copy or record it again"),
        "noise": (noise, "noise.mp4"),
        "empty folder": (tmp_path / "out", "holds no picture"),
        "no camera": ("93", "plug it in"),
    }[kind]
    done = _run("--input", spec, "--out", tmp_path / "out" / "run", timeout=60)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.graph
@pytest.mark.slow
def test_the_robot_mirrors_a_real_face(tmp_path):
    done = _run("--policy", "mirror", "--seconds", 6, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run" / "report.html")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "demo.mp4",
        "logs",
        "report.html",
        "summary.json",
    ]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    frames = summary["frames"]
    # On a busy machine images are dropped; most must come through all the same.
    assert frames["in"] > 100 and frames["out"] > 0.5 * frames["in"]
    assert frames["with_face"] > 0.95 * frames["out"]
    assert len(summary["faces"]) == 1
    assert list(summary["latency_ms"]) == ["camera", "face", "policy", "actuation"]
    assert summary["commands"]["refused"] == 0
    assert summary["policy"]["answers"] == {"mirror": 1.0} and summary["mirror_replayed"] is None
    assert summary["robot"]["follow"]["jaw open"]["r"] > 0.9
    assert summary["robot"]["gaze_error_deg"]["p50"] < 3.0
    with av.open(str(tmp_path / "run" / "demo.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == pytest.approx(summary["duration_s"] * 25, abs=1)
        assert sum(1 for _ in container.decode(stream)) == stream.frames


@pytest.mark.graph
@pytest.mark.slow
def test_a_learnt_policy_is_shown_beside_mirror_and_nothing_else_is_taken_for_it(tmp_path):
    """Whether its model is there or not: who answered is told, and mirror is replayed beside."""
    done = _run("--seconds", 6, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    shares, text = summary["policy"]["answers"], (tmp_path / "run" / "report.html").read_text()
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
    alarmed = shares.get("learnt", 0.0) < 1.0
    assert ('class="warning alarm"' in text) == alarmed
    assert ("learnt policy" in " ".join(done.stderr.split())) == alarmed
    assert {"gaze", "gesture"} <= set(summary["latency_ms"])
    assert summary["mirror_replayed"]["follow"]["jaw open"]["r"] > 0.9
    with av.open(str(tmp_path / "run" / "demo.mp4")) as container:
        assert container.streams.video[0].width == 1600


@pytest.mark.graph
@pytest.mark.slow
def test_a_damaged_input_without_faces_ends_well_and_says_so(tmp_path):
    """Grey walls, cut off in the middle."""
    film = write_video(tmp_path / "walls.mp4", 60, size=(320, 240), options={"movflags": "faststart"})
    data = film.read_bytes()
    start = data.index(b"mdat")
    film.write_bytes(data[: start + (len(data) - start) // 2])
    done = _run("--input", film, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "no face was seen" in done.stderr
    assert "cut off" in done.stderr
    assert "No face was seen" in (tmp_path / "run" / "report.html").read_text()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["faces"] == []
    assert 5 < summary["frames"]["in"] < 60


def _descendants(pid):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return [int(p) for p in found]


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.graph
@pytest.mark.slow
@pytest.mark.parametrize(
    "number, moment", [(signal.SIGINT, "running"), (signal.SIGTERM, "running"), (signal.SIGINT, "painting")]
)
def test_an_interrupted_run_leaves_no_process_and_no_file(tmp_path, number, moment):
    seconds = 60 if moment == "running" else 3
    process = subprocess.Popen(
        _command("--seconds", seconds, "--out", tmp_path / "runs" / "one"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    partial = tmp_path / "runs" / ".one.partial"
    try:
        if moment == "running":
            images = partial / ".images"
            begun = lambda: images.exists() and images.stat().st_size > 0  # noqa: E731
        else:
            begun = lambda: any(partial.glob(".demo-*.mp4"))  # noqa: E731
        wait_until(lambda: begun() or process.poll() is not None, f"the run to be {moment}", 120.0)
        assert process.poll() is None, process.stdout.read()
        children = _descendants(process.pid)
        assert children
        process.send_signal(number)
        process.send_signal(signal.SIGINT)  # an impatient second one must not disturb
        assert process.wait(60.0) != 0
        said = process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: not any(_alive(pid) for pid in children), "all processes to have ended")
