"""Laws of the image sources, on videos and pictures made here: each image's brightness is its number."""

from __future__ import annotations

import struct
import threading
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from fabg.errors import ConfigError, InputError
from fabg.perception.reader import NewestReader
from fabg.perception.sources import DeviceSource, SourceLost, is_live, open_source
from fabg.perception.types import Frame
from fabg.setup import clips
from tests.conftest import environment, wait_until

FPS = 25


class FakeTime:
    """A clock that moves only when somebody waits or works."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        assert seconds > 0
        self.now += seconds


def write_video(path, count, *, size=(64, 48), stamps=None, options=None, image=None):
    """Write `count` grey images; number k has brightness 4 k (up to 63 images); or `image` each time."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "8", "crf": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(count):
            grey = np.full((size[1], size[0], 3), 4 * k, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey if image is None else image, format="rgb24")
            frame.pts = round(1000 * (stamps[k] if stamps else k / FPS))
            frame.time_base = Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def number(frame):
    return round(float(frame.image.mean()) / 4)


def read_all(source):
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "count.mp4", 30)


# Videos ----------------------------------------------------------------------------------------------


def test_a_video_gives_every_image_at_its_time(video):
    time = FakeTime()
    with closing(open_source(str(video), clock=time, wait=time.wait)) as source:
        assert (source.size, source.fps, source.name) == ((64, 48), FPS, "count.mp4")
        for k in range(30):
            frame = source.read()
            assert number(frame) == k
            assert time.now == pytest.approx(100.0 + k / FPS, abs=2e-3), "delivered when it is due"
            assert frame.stamp_s == pytest.approx(100.0 + k / FPS, abs=2e-3)
        assert source.read() is None
        assert source.read() is None
        assert (source.dropped, source.truncated) == (0, False)


def test_uneven_time_stamps_are_kept(tmp_path):
    stamps = [0.0, 0.04, 0.2, 0.24, 1.0]
    path, time = write_video(tmp_path / "uneven.mp4", 5, stamps=stamps), FakeTime()
    with closing(open_source(str(path), clock=time, wait=time.wait)) as source:
        assert [f.stamp_s - 100.0 for f in read_all(source)] == pytest.approx(stamps, abs=2e-3)


def test_a_late_reader_sees_the_newest_image_and_lag_does_not_grow(video):
    time = FakeTime()
    with closing(open_source(str(video), clock=time, wait=time.wait)) as source:
        seen = []
        while (frame := source.read()) is not None:
            seen.append((number(frame), time.now - frame.stamp_s))
            time.now += 0.1  # 2.5 images long
        assert [k for k, _ in seen] == sorted({k for k, _ in seen})
        assert max(lag for _, lag in seen) < 1 / FPS + 1e-3
        assert source.dropped + len(seen) == 30
        assert len(seen) <= 14


def test_a_decoder_that_never_keeps_up_still_gives_images(video):
    """Every look at the clock costs more than an image lasts."""
    time = FakeTime()

    def slow_clock():
        time.now += 0.06
        return time.now

    with closing(open_source(str(video), clock=slow_clock, wait=time.wait)) as source:
        assert len(read_all(source)) >= 2


def test_without_real_time_nothing_waits_and_nothing_is_dropped(video):
    time = FakeTime()
    with closing(open_source(str(video), clock=time, wait=time.wait, realtime=False)) as source:
        frames = read_all(source)
    assert [number(f) for f in frames] == list(range(30))
    assert time.now == 100.0
    assert np.diff([f.stamp_s for f in frames]) == pytest.approx(1 / FPS, abs=2e-3)


def test_a_looped_video_goes_on_in_step(tmp_path):
    path, time = write_video(tmp_path / "short.mp4", 5), FakeTime()
    with closing(open_source(str(path), clock=time, wait=time.wait, loop=True)) as source:
        frames = [source.read() for _ in range(12)]
    assert [number(f) for f in frames] == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert [f.stamp_s - 100.0 for f in frames] == pytest.approx(np.arange(12) / FPS, abs=5e-3)


def test_a_size_is_fitted_with_black_borders(video):
    with closing(open_source(str(video), size=(200, 100), realtime=False)) as source:
        image = [source.read() for _ in range(26)][-1].image
    assert (image.shape, source.size) == ((100, 200, 3), (200, 100))
    left = (200 - round(64 * 100 / 48)) // 2
    assert not image[:, :left].any() and not image[:, -left:].any()
    assert image[:, left + 1 : -left - 1].min() > 90


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_a_truncated_video_plays_as_far_as_it_goes(tmp_path, share):
    """Cut inside the image data, with the index at the front as streaming services write it."""
    path = write_video(tmp_path / "whole.mp4", 60, size=(320, 240), options={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + int((len(data) - start) * share)])
    with closing(open_source(str(path), realtime=False)) as source:
        frames = read_all(source)
        assert 5 < len(frames) < 60
        assert [number(f) for f in frames] == list(range(len(frames)))
        assert source.truncated


def test_a_video_turned_by_its_marks_comes_out_upright(tmp_path):
    """Phones film sideways and mark the picture as turned; the mark is written here by hand."""
    bright_above = np.zeros((48, 64, 3), np.uint8)
    bright_above[:24] = 240
    path = write_video(tmp_path / "phone.mp4", 3, image=bright_above)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, duration, layer, volume
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with closing(open_source(str(path), realtime=False)) as source:
        assert source.size == (48, 64)
        image = source.read().image
    assert image.shape == (64, 48, 3)
    # This matrix turns by 90 degrees clockwise: (x, y) -> (-y, x), so the upper half comes to the right.
    assert image[:, 30:].min() > 200 and image[:, :18].max() < 40


def test_a_video_without_an_index_is_refused_with_a_remedy(video):
    data = video.read_bytes()
    video.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(InputError, match=r"count\.mp4.*expected a whole.*copy or record"):
        open_source(str(video))


def test_bytes_that_are_no_video_are_refused(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(20_000))
    with pytest.raises(InputError, match=r"noise\.mp4"):
        open_source(str(path))
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"noise\.mp4"):
        open_source(str(path))


def test_a_video_without_images_is_refused(tmp_path):
    with av.open(str(tmp_path / "tone.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no picture track"):
        open_source(str(tmp_path / "tone.mp4"))


# Folders ---------------------------------------------------------------------------------------------


def _folder(path, images):
    path.mkdir(exist_ok=True)
    for name, image in images.items():
        assert cv2.imwrite(str(path / name), image)
    return path


def test_a_folder_plays_in_the_order_of_names_at_its_rate(tmp_path):
    images = {f"{k:03d}.png": np.full((48, 64, 3), 4 * k, np.uint8) for k in (2, 0, 1)}
    folder, time = _folder(tmp_path / "pictures", images), FakeTime()
    (folder / "notes.txt").write_text("not a picture")
    with closing(open_source(str(folder), fps=10.0, clock=time, wait=time.wait)) as source:
        frames = read_all(source)
    assert [number(f) for f in frames] == [0, 1, 2]
    assert [f.stamp_s - 100.0 for f in frames] == pytest.approx([0.0, 0.1, 0.2])


def test_grey_transparent_and_deep_pictures_become_rgb(tmp_path):
    red = np.zeros((4, 6, 3), np.uint8)
    red[:, :, 2] = 200  # OpenCV writes BGR
    transparent = np.dstack([red, np.full((4, 6), 51, np.uint8)])
    transparent[:, :3, 3] = 255
    images = {
        "0.png": np.full((4, 6), 120, np.uint8),
        "1.png": red,
        "2.png": transparent,
        "3.png": np.full((4, 6), 0x7F33, np.uint16),
    }
    with closing(open_source(str(_folder(tmp_path / "odd", images)), realtime=False)) as source:
        grey, colour, faded, deep = (f.image for f in read_all(source))
    assert all(i.shape == (4, 6, 3) and i.dtype == np.uint8 for i in (grey, colour, faded, deep))
    assert (grey == 120).all()
    assert (colour == [200, 0, 0]).all()
    assert (faded[:, :3] == [200, 0, 0]).all()
    assert (faded[:, 3:] == [40, 0, 0]).all(), "a fifth of 200 before black"
    assert (deep == 0x7F).all()


def test_pictures_of_other_sizes_are_fitted_to_the_first(tmp_path):
    images = {"0.png": np.full((40, 60, 3), 9, np.uint8), "1.png": np.full((80, 80, 3), 200, np.uint8)}
    with closing(open_source(str(_folder(tmp_path / "mixed", images)), realtime=False)) as source:
        first, second = (f.image for f in read_all(source))
    assert first.shape == second.shape == (40, 60, 3)
    assert not second[:, :10].any() and not second[:, 50:].any()
    assert (second[:, 10:50] == 200).all()


def test_a_damaged_picture_is_passed_over(tmp_path):
    images = {f"{k}.jpg": np.full((48, 64, 3), 40, np.uint8) for k in (0, 2)}
    folder = _folder(tmp_path / "damaged", images)
    (folder / "1.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    with closing(open_source(str(folder), realtime=False)) as source:
        assert len(read_all(source)) == 2
        assert source.dropped == 1


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no picture.*\*\.png"):
        open_source(str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of the 1 pictures"):
        open_source(str(tmp_path))


def test_a_folder_that_goes_away_is_lost(tmp_path):
    folder = _folder(tmp_path / "stick", {"0.png": np.zeros((4, 4, 3), np.uint8)})
    with closing(open_source(str(folder), realtime=False, loop=True)) as source:
        assert isinstance(source.read(), Frame)
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(SourceLost, match="stick"):
            source.read()


# Cameras ---------------------------------------------------------------------------------------------


class FakeCapture:
    """Stands in for cv2.VideoCapture: gives `images`, then nothing."""

    def __init__(self, images, *, opens=True):
        self.images, self.opens, self.released = list(images), opens, False

    def __call__(self, spec):
        self.spec = spec
        return self

    def isOpened(self):
        return self.opens

    def set(self, name, value):
        return True

    def get(self, name):
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_WIDTH: 8.0, cv2.CAP_PROP_FRAME_HEIGHT: 6.0}[name]

    def grab(self):
        return bool(self.images)

    def retrieve(self):
        return True, self.images.pop(0)

    def release(self):
        self.released = True


def test_a_camera_gives_rgb_images_with_their_time_and_is_lost_when_unplugged():
    blue = np.zeros((6, 8, 3), np.uint8)
    blue[:, :, 0] = 250
    capture, time = FakeCapture([blue]), FakeTime()
    source = DeviceSource("2", clock=time, capture=capture)
    assert (capture.spec, source.name, source.size, source.fps) == (2, "/dev/video2", (8, 6), 30.0)
    frame = source.read()
    assert (frame.image == [0, 0, 250]).all()
    assert frame.stamp_s == 100.0
    with pytest.raises(SourceLost, match="/dev/video2"):
        source.read()
    source.close()
    assert capture.released


def test_a_missing_camera_is_refused_with_a_remedy():
    with pytest.raises(InputError, match=r"/dev/video93.*connected camera.*plug it in"):
        open_source("/dev/video93")
    capture = FakeCapture([], opens=False)
    with pytest.raises(InputError):
        DeviceSource("0", capture=capture)
    assert capture.released


def test_what_counts_as_a_camera():
    assert is_live("0") and is_live("/dev/video12") and is_live(" 3 ")
    assert not is_live("clip") and not is_live("0.mp4") and not is_live("/dev/video")


# Choosing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["/no/such/film.mp4", "", "  "])
def test_an_unknown_source_is_refused_with_what_was_expected(spec):
    with pytest.raises(InputError, match="expected a video file"):
        open_source(spec)


@pytest.mark.parametrize("options", [{"size": (0, 10)}, {"fps": 0.0}, {"fps": float("nan")}])
def test_impossible_options_are_refused(video, options):
    with pytest.raises(ConfigError, match="expected"):
        open_source(str(video), **options)


def test_the_clip_is_the_best_one_there(tmp_path, monkeypatch):
    known = clips.CLIPS

    def know(path, number):
        """Take a video of the test's own for a known clip."""
        write_video(path, 2)
        own = replace(known[number], sha256=clips.checksum(path))
        monkeypatch.setattr(
            clips, "CLIPS", tuple(own if c.filename == own.filename else c for c in clips.CLIPS)
        )

    with environment(FABG_CACHE_DIR=str(tmp_path)):
        with pytest.raises(InputError, match="make setup"):
            open_source("clip")
        (tmp_path / "clips").mkdir()
        first, second, factor = known[0].filename, known[1].filename, 3
        write_video(tmp_path / "clips" / second, 2)
        with pytest.raises(InputError, match="checksum"):
            open_source("clip")
        know(tmp_path / "clips" / second, 1)
        with closing(open_source("clip", realtime=False)) as source:
            assert source.size == (64 * factor, 48 * factor), "the small clip is enlarged"
        know(tmp_path / "clips" / first, 0)
        with closing(open_source("clip", realtime=False)) as source:
            assert (source.size, source.name) == ((64, 48), first)


# The reader's thread ---------------------------------------------------------------------------------


class Scripted:
    """A source that gives what it is told; an exception is raised, an event is waited for."""

    name, size, fps, dropped, truncated = "scripted", (4, 4), 25.0, 0, False

    def __init__(self, *script):
        self.script, self.closed = list(script), False

    def read(self):
        item = self.script.pop(0)
        if isinstance(item, threading.Event):
            assert item.wait(30.0)
            item = self.script.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed = True


def _frame(k):
    return Frame(np.zeros((4, 4, 3), np.uint8), float(k))


def _reader(source, reopen, stopping=None):
    seen = []
    stopping = stopping or threading.Event()
    made = NewestReader(
        source,
        reopen,
        lambda: seen.append(made.take()),
        stopping=stopping,
        retry_first_s=0.01,
        retry_most_s=0.02,
    )
    return made, seen


def test_the_reader_opens_a_lost_source_again_until_it_is_back():
    again = iter([InputError("not there"), OSError("busy"), Scripted(_frame(2), None)])

    def reopen():
        item = next(again)
        if isinstance(item, Exception):
            raise item
        return item

    lost = Scripted(_frame(1), SourceLost("unplugged"))
    reader, seen = _reader(lost, reopen)
    reader.start()
    wait_until(lambda: seen and seen[-1] is not None and seen[-1].ended, "the end")
    reader.stop()
    assert [n.trouble for n in seen] == ["", "unplugged", "not there", "busy", "", ""]
    assert [n.frame.stamp_s for n in seen if n.frame] == [1.0, 2.0]
    assert lost.closed


def test_the_reader_keeps_only_the_newest_image():
    gate = threading.Event()
    source = Scripted(_frame(1), _frame(2), _frame(3), gate, None)
    told = []
    reader = NewestReader(source, lambda: source, lambda: told.append(1), stopping=threading.Event())
    reader.start()
    wait_until(lambda: len(told) == 3, "three images")
    assert reader.take().frame.stamp_s == 3.0
    assert reader.take() is None
    gate.set()
    wait_until(lambda: len(told) == 4, "the end")
    assert reader.take().ended
    reader.stop()
    assert source.closed


def test_the_end_does_not_swallow_the_last_image():
    told = []
    source = Scripted(_frame(7), None)
    reader = NewestReader(source, lambda: source, lambda: told.append(1), stopping=threading.Event())
    reader.start()
    wait_until(lambda: len(told) == 2, "the end")
    news = reader.take()
    assert news.ended and news.frame.stamp_s == 7.0
    reader.stop()
