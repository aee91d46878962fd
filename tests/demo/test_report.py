"""Video, report and run folder of a synthetic run."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import av
import numpy as np
import pytest

from fabg import page as pages
from fabg.demo import beside, report
from fabg.demo.analysis import summarise
from fabg.demo.charts import Line, histogram, line_chart, stage_bars, thinned, ticks
from fabg.demo.draw import PANEL_W, Layout, Painter
from fabg.demo.render import render_video
from fabg.errors import ConfigError, EnvironmentProblem
from fabg.page import provenance
from fabg.robot.model import load_robot
from fabg.runs import RunFolder
from fabg.video import frame_rate, frames_at, write_video
from tests.demo.synthetic import FPS, PlainView, broken_view, plain_view, synthetic


@pytest.fixture(scope="module")
def robot():
    return load_robot()


# The video -------------------------------------------------------------------------------------------


def test_the_video_shows_the_run_at_the_inputs_rate(tmp_path, robot):
    """Two workers, three pieces; the robot beside each image is the one measured then."""
    recording = synthetic(tmp_path, robot, seconds=2.6)
    told = []
    render_video(
        recording, tmp_path / "demo.mp4", view=plain_view, workers=2, on_progress=lambda *n: told.append(n)
    )
    with av.open(str(tmp_path / "demo.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == FPS
        frames = list(container.decode(stream))
    assert len(frames) == 65
    np.testing.assert_allclose([f.time for f in frames], np.arange(65) / FPS, atol=1e-4)
    pictures = [f.to_ndarray(format="rgb24") for f in frames]
    assert pictures[0].shape == (480 + 72, 2 * PANEL_W, 3)
    view = PlainView(robot, (8, 8))
    for k in (0, 24, 25, 49, 50, 64):  # the borders of the pieces are among them
        view.set_positions(recording.joints_at(recording.start_s + k / FPS))
        expected = float(view.render("face").mean())
        shown = float(pictures[k][100:200, PANEL_W + 100 : -100].mean())
        assert shown == pytest.approx(expected, abs=4.0)
    assert told[-1] == (65, 65) and [n for n, _ in told] == sorted(n for n, _ in told)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".images", "demo.mp4"]


def test_missing_images_leave_the_last_one_standing(tmp_path, robot):
    """Half a second without images: the video keeps its pace."""
    recording = synthetic(tmp_path, robot, seconds=2.0)
    spans = recording.images._spans
    keep = [k for k in range(50) if not 20 <= k < 33]
    recording.images._spans = [spans[k] for k in keep]
    recording.image_stamps = [recording.image_stamps[k] for k in keep]
    render_video(recording, tmp_path / "demo.mp4", view=plain_view, workers=1)
    pictures = frames_at(tmp_path / "demo.mp4", [19 / FPS, 30 / FPS, 34 / FPS])
    corners = [float(p[5:60, 5:60].mean()) for p in pictures]
    assert corners[0] == pytest.approx(corners[1], abs=2.0)
    assert corners[2] - corners[0] == pytest.approx(15, abs=3.0), "the brightness rises by one an image"


def test_a_renderer_that_fails_says_why_and_leaves_nothing(tmp_path, robot):
    recording = synthetic(tmp_path, robot, seconds=1.0)
    with pytest.raises(EnvironmentProblem, match="libegl1"):
        render_video(recording, tmp_path / "demo.mp4", view=broken_view, workers=1)
    assert [p.name for p in tmp_path.iterdir()] == [".images"]


@pytest.mark.parametrize(
    "size, height",
    [((640, 480), 480), ((1280, 720), 360), ((480, 640), 640), ((333, 251), 482), ((3000, 100), 360)],
)
def test_the_layout_suits_the_input_and_the_encoder(size, height):
    layout = Layout.of(size)
    assert layout.panel_h == height
    assert layout.size[0] % 2 == layout.size[1] % 2 == 0


@pytest.mark.parametrize("fps, rate", [(25.0, 25), (0.1, 1), (240.0, 60)])
def test_odd_rates_are_bounded(fps, rate):
    assert frame_rate(fps) == rate
    assert float(frame_rate(29.97)) == pytest.approx(29.97, abs=1e-4)


# The page --------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what a page refers to, and whether its tags are balanced."""

    VOID = frozenset({"meta", "img", "br", "i", "line", "rect", "polyline"})

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text, self.scripts = [], [], "", 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.links += [
            value for name, value in attrs if name in ("src", "href", "poster", "data", "xlink:href")
        ]
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
            self.open.pop()

    def handle_data(self, data):
        self.text += data


def _write(tmp_path, robot, recording, mirror=None):
    size = Layout.of(recording.size, compared=mirror is not None).size
    pictures = (
        np.full((size[1], size[0], 3), 9 * k % 250, np.uint8) for k in range(int(recording.duration_s * FPS))
    )
    write_video(tmp_path / "demo.mp4", pictures, size, frame_rate(recording.fps))
    summary = summarise(recording, robot, mirror) | provenance()
    path = report.write_report(recording, robot, summary, tmp_path, mirror)
    return Page(path.read_text(encoding="utf-8")), path.read_text(encoding="utf-8"), summary


def test_the_page_holds_everything_it_needs(tmp_path, robot):
    page, text, summary = _write(tmp_path, robot, synthetic(tmp_path, robot, seconds=8.0))
    assert page.open == []
    assert page.links and all(link.startswith("data:") for link in page.links), (
        "opens from disk, without network"
    )
    assert page.scripts == 0
    assert not re.search(r"https?://|url\(|@import", text)
    videos = [link for link in page.links if link.startswith("data:video/mp4;base64,")]
    assert [base64.b64decode(v.partition(",")[2]) for v in videos] == [(tmp_path / "demo.mp4").read_bytes()]
    assert sum(link.startswith("data:image/jpeg") for link in page.links) >= 3
    delay = summary["latency_ms"]["actuation"]["age_ms"]
    for said in (f"p95 {delay['p95']:.0f} ms", "180 of 200 images", "near", "far", "face 1", "jaw open"):
        assert said in page.text
    assert json.loads(json.dumps(summary)) == summary, "plain JSON"


def _half_as_much(recording, robot):
    """The same run with a robot that does half of it."""
    joints = [robot.neutral + 0.5 * (q - robot.neutral) for q in recording.joints]
    return replace(recording, joints=joints, commands=[np.zeros(25)] * len(recording.commands))


def test_a_learnt_policy_stands_beside_mirror(tmp_path, robot):
    recording = synthetic(tmp_path, robot, seconds=8.0)
    recording.asked = "learnt"
    recording.answers = [replace(a, source="learnt") for a in recording.answers]
    page, text, summary = _write(tmp_path, robot, recording, _half_as_much(recording, robot))
    assert page.open == [] and page.scripts == 0
    assert "A learnt policy answers a face" in page.text and "Beside mirror" in page.text
    assert "what mirror would have done with the same faces at the same moments" in page.text
    assert 'class="warning' not in text
    for figures in (summary["robot"], summary["mirror_replayed"]):
        found = figures["follow"]["jaw open"]
        assert f"<td>{found['r']:.3f}</td><td>{found['lag_ms']:.0f}</td>" in text
    assert summary["mirror_replayed"]["command_jerk_rad_s3"] == 0.0 < summary["robot"]["command_jerk_rad_s3"]
    assert text.count('class="other"') == 1, "one plot holds both"


@pytest.mark.parametrize(
    "stood_in, told",
    [
        (1.0, ("This is not the learnt policy", "mirror 100 %", "The robot mirrors a face")),
        (0.05, ("The learnt policy gave", "A learnt policy answers a face")),
    ],
)
def test_another_policy_is_never_taken_for_the_one_asked_for(tmp_path, robot, stood_in, told):
    recording = synthetic(tmp_path, robot, seconds=8.0)
    recording.asked, recording.trouble = "learnt", "learnt does not work: <no model>"
    few = round(stood_in * len(recording.answers))
    recording.answers = [
        replace(a, source="mirror" if k < few else "learnt") for k, a in enumerate(recording.answers)
    ]
    page, text, _ = _write(tmp_path, robot, recording, recording)
    assert text.index('<p class="warning alarm">') < text.index("<video")
    for said in (*told, "Learnt does not work: <no model>."):
        assert said in page.text


def test_the_column_beside_the_robot_is_mirrors(tmp_path, robot):
    """The grey of a plain view is the jaw's angle: each of the two pictures shows its own robot."""
    recording = synthetic(tmp_path, robot, seconds=2.6)
    mirror = _half_as_much(recording, robot)
    render_video(recording, tmp_path / "demo.mp4", mirror=mirror, view=plain_view, workers=1)
    (picture,) = frames_at(tmp_path / "demo.mp4", [1.2])
    assert picture.shape == (480 + 72, 2 * PANEL_W + beside.WIDTH, 3)
    view = PlainView(robot, (8, 8))
    for run, part in (
        (recording, picture[100:200, PANEL_W + 200 : 2 * PANEL_W - 100]),
        (mirror, picture[20:150, 2 * PANEL_W + 20 : -20]),
    ):
        view.set_positions(run.joints_at(run.start_s + 1.2))
        assert float(part.mean()) == pytest.approx(float(view.render("face").mean()), abs=4.0)


def test_a_large_video_stays_beside_the_page(tmp_path, robot, monkeypatch):
    monkeypatch.setattr(pages, "LARGEST_VIDEO_BYTES", 100)
    page, _, _ = _write(tmp_path, robot, synthetic(tmp_path, robot, seconds=2.5))
    assert [link for link in page.links if not link.startswith("data:")] == ["demo.mp4"]


def test_a_run_without_faces_says_so_plainly(tmp_path, robot):
    recording = synthetic(tmp_path, robot, seconds=2.5, people=False)
    recording.warnings.append("no face was seen: name another input")
    page, _, _ = _write(tmp_path, robot, recording)
    assert "No face was seen: name another input." in page.text
    assert "Nobody to answer" in page.text
    assert page.open == []


def test_names_cannot_break_the_page(tmp_path, robot):
    recording = synthetic(tmp_path, robot, seconds=2.5)
    recording.input_name = '<script>alert("$x")</script>.mp4'
    page, _, _ = _write(tmp_path, robot, recording)
    assert page.scripts == 0
    assert '<script>alert("$x")</script>.mp4' in page.text


# Charts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "low, high, expected",
    [(0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]), (-3.0, 11.0, [0.0, 5.0, 10.0]), (2.0, 2.0, [2.0])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_thinning_keeps_the_peaks():
    t = np.arange(5000) / 100
    values = np.zeros(5000)
    values[3217], values[777] = 1.0, -1.0
    thin_t, thin = thinned(t, values)
    assert len(thin) <= 700
    assert (thin.max(), thin.min()) == (1.0, -1.0)
    assert thin_t[np.argmax(thin)] == 32.17
    assert (np.diff(thin_t) >= 0).all()


def test_curves_break_where_nothing_is_known():
    t = np.concatenate([np.arange(0, 2, 0.04), np.arange(4, 6, 0.04)])
    assert line_chart([Line(t, np.sin(t), "person")], title="x").count("<polyline") == 2
    assert "nothing to show" in line_chart([Line(np.zeros(0), np.zeros(0), "person")], title="x")


def test_a_histogram_holds_every_value():
    values = np.concatenate([np.full(30, 20.0), np.full(10, 40.0)])
    svg = histogram(values, title="delays", p50=20.0, p95=40.0)
    heights = [float(h) for h in re.findall(r'class="bin"[^>]*height="([\d.]+)"', svg)]
    assert len(heights) == 2
    assert heights[0] / heights[1] == pytest.approx(3.0, rel=0.02)
    assert "nothing to show" in histogram([], title="none", p50=0.0, p95=0.0)
    assert "nothing to show" in stage_bars([], title="none")


# The folder of a run ---------------------------------------------------------------------------------


def test_a_run_appears_only_when_it_is_whole(tmp_path):
    with RunFolder(tmp_path / "deep" / "run") as folder:
        (folder.partial / "report.html").write_text("x")
        assert not (tmp_path / "deep" / "run").exists()
        assert folder.keep() == tmp_path / "deep" / "run"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run"]
    assert (tmp_path / "deep" / "run" / "report.html").read_text() == "x"


@pytest.mark.parametrize("error", [KeyboardInterrupt, EnvironmentProblem])
def test_a_run_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error), RunFolder(tmp_path / "deep" / "run") as folder:
        (folder.partial / "demo.mp4").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="not empty"):
        RunFolder(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with RunFolder(tmp_path / "empty") as folder:
        folder.keep()
    assert (tmp_path / "empty").is_dir()
    with (
        pytest.raises(ConfigError, match="cannot be written"),
        RunFolder(tmp_path / "run" / "mine.txt" / "x"),
    ):
        pass


def test_hidden_people_leave_no_trace_of_their_image(tmp_path, robot):
    """Two runs that differ in the camera's image alone: their pictures must be the same."""
    pictures = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = synthetic(tmp_path / name, robot, seconds=0.5)
        made.hide_people = True
        if name == "b":
            made.images.read = lambda index: np.full((120, 160, 3), 255, np.uint8)
        pictures.append(Painter(made, robot, PlainView(robot, (640, 480))).person(0.2))
    assert np.array_equal(*pictures)
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 10, "the lines are there"
