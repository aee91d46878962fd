"""Where images come from: a video file, a camera device, a folder of pictures.

    with closing(open_source("talk.mp4")) as source:
        while (frame := source.read()) is not None:
            ...

Files and folders are played in real time by their own time stamps against an injected clock: `read`
waits until an image is due and passes over those that are overdue, so a slow reader sees fewer images,
never older ones.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fabg.errors import ConfigError, EnvironmentProblem, FabgError, InputError
from fabg.perception.pacing import Clock, Pacer, Wait
from fabg.perception.pictures import Size, fitted, read_picture, to_rgb
from fabg.perception.types import Frame
from fabg.setup import clips

PICTURES = (".png", ".jpg", ".jpeg")
_DEVICE = re.compile(r"\d+|/dev/video\d+")


class SourceLost(FabgError):
    """A camera or folder has gone while it was read; it may come back."""


class ImageSource(Protocol):
    """What all sources have in common.

    Attributes
    ----------
    name
        For people: file or device name.
    size
        (width, height) of every image, px.
    fps
        Images a second that the source promises.
    dropped
        Images passed over because they were overdue or could not be read.
    truncated
        True when the source ended before its announced end.
    """

    name: str
    size: Size
    fps: float
    dropped: int
    truncated: bool

    def read(self) -> Frame | None:
        """Return the next image when it is due, or None after the last one.

        Raises
        ------
        SourceLost
            When the source has gone; open it again later.
        """

    def close(self) -> None:
        """Free the file or device; `read` must not be called afterwards."""


def open_source(
    spec: str,
    *,
    size: Size | None = None,
    fps: float = 25.0,
    loop: bool = False,
    realtime: bool = True,
    clock: Clock = time.monotonic,
    wait: Wait = time.sleep,
) -> ImageSource:
    """Open what `spec` names.

    Parameters
    ----------
    spec
        A video file, a folder with PNG or JPEG pictures (played in the order of their names), a
        device number or ``/dev/videoN``, or ``clip`` for the bundled clip.
    size
        (width, height) to which images are fitted, borders black; None keeps the source's own.
    fps
        Images a second of a folder, and the rate asked of a device.
    loop
        Begin again after the last image.
    realtime
        False hands out images as fast as they are read, with the stamps they would have had.
    clock
        Current time in s; stamps are given on it.
    wait
        Waits for s; may return early, in which case the image comes early.

    Raises
    ------
    InputError
        When there is no such source or it holds no image.
    ConfigError
        When `size` or `fps` is out of range.
    """
    if size is not None and not (1 <= size[0] <= 16384 and 1 <= size[1] <= 16384):
        raise ConfigError(f"image size is {size[0]} x {size[1]}: expected 1 x 1 to 16384 x 16384 px")
    if not (math.isfinite(fps) and 0.1 <= fps <= 1000.0):
        raise ConfigError(f"frame rate is {fps}: expected 0.1 to 1000 images a second")
    if not spec.strip():
        raise InputError("the image source is empty: expected a video file, a folder, a device or 'clip'")
    if is_live(spec):
        return DeviceSource(spec.strip(), size=size, fps=fps, clock=clock)
    pacer = Pacer(clock, wait, realtime=realtime)
    if spec == "clip":
        path, enlarge = default_clip()
        return VideoSource(path, pacer, size=size, loop=loop, enlarge=enlarge)
    path = Path(spec).expanduser()
    if path.is_dir():
        return FolderSource(path, pacer, size=size, fps=fps, loop=loop)
    if path.is_file():
        return VideoSource(path, pacer, size=size, loop=loop)
    raise InputError(
        f"there is no image source {spec!r}: expected a video file, a folder of PNG or JPEG pictures, "
        f"a device number or 'clip'; check the path (the working directory is {Path.cwd()})"
    )


def is_live(spec: str) -> bool:
    """Tell whether `spec` names a camera, which has no end of its own."""
    return _DEVICE.fullmatch(spec.strip()) is not None


def default_clip() -> tuple[Path, int]:
    """Return the bundled clip, its checksum verified, and the factor it is enlarged by.

    Raises
    ------
    InputError
        When no clip has been fetched yet, or all were altered.
    """
    try:
        path = clips.default_clip()
    except EnvironmentProblem as error:  # here it is the input that cannot be used
        raise InputError(str(error)) from error
    return path, next(clip.enlarge for clip in clips.CLIPS if clip.filename == path.name)


_Shot = tuple[float, float, Callable[[], NDArray[np.uint8] | None]]
"""Media time in s, duration in s, and how to get the image (None: it cannot be read)."""


class _Played:
    """A source with images at known times; subclasses say which."""

    def __init__(self, pacer: Pacer) -> None:
        self.dropped = 0
        self.truncated = False
        self._pacer = pacer
        self._pictures = self._play()

    def read(self) -> Frame | None:
        """Return the next image when it is due."""
        passed_over = 0
        for media_s, period_s, to_image in self._pictures:
            # A reader that can never keep up still gets an image now and then.
            if self._pacer.overdue(media_s, period_s) and passed_over * period_s < 0.5:
                passed_over += 1
                self.dropped += 1
                continue
            if passed_over and self._pacer.overdue(media_s, period_s):
                self._pacer.restart()
            image = to_image()
            if image is None:
                self.dropped += 1
                continue
            self._pacer.wait_until(media_s)
            return Frame(image, self._pacer.due(media_s))
        return None

    def _play(self) -> Iterator[_Shot]:
        """Yield the images in their order."""
        raise TypeError(f"{type(self).__name__} must define _play()")


class VideoSource(_Played):
    """A video file.

    A truncated or damaged file plays as far as it goes; `truncated` then tells.
    """

    def __init__(
        self, path: Path, pacer: Pacer, *, size: Size | None = None, loop: bool = False, enlarge: int = 1
    ) -> None:
        self.name = path.name
        self._path, self._loop = path, loop
        self._container = self._open()
        stream = self._container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else 25.0
        # The first image is decoded here: it proves that the file is readable and tells its true size.
        first = next(self._frames(), None)
        self._container.close()
        if first is None:
            raise InputError(
                f"the video {str(path)!r} holds no readable image: expected at least one; record it again"
            )
        height, width = _upright(first).shape[:2]
        self.size = size or (width * enlarge, height * enlarge)
        self._container = self._open()
        super().__init__(pacer)

    def close(self) -> None:
        """Close the file."""
        self._pictures.close()  # type: ignore[attr-defined]
        self._container.close()

    def _open(self) -> Any:
        import av

        try:
            container = av.open(str(self._path))
        except (av.FFmpegError, OSError) as error:
            raise InputError(
                f"the video {str(self._path)!r} cannot be read ({error.strerror or error}): expected a whole "
                "file that FFmpeg can play; copy or record it again"
            ) from error
        if not container.streams.video:
            container.close()
            raise InputError(f"{str(self._path)!r} has no picture track: expected a video")
        container.streams.video[0].thread_type = "AUTO"
        return container

    def _frames(self) -> Iterator[Any]:
        """Yield decoded frames up to the end or the first damage that cannot be passed."""
        import av

        stream = self._container.streams.video[0]
        try:
            for packet in self._container.demux(stream):
                try:
                    yield from packet.decode()
                except av.InvalidDataError:
                    self.truncated = True  # one damaged image: the next may be whole
        except av.FFmpegError:
            self.truncated = True

    def _image(self, frame: Any) -> NDArray[np.uint8]:
        return fitted(_upright(frame), self.size)

    def _play(self) -> Iterator[_Shot]:
        period_s, offset_s = 1.0 / self.fps, 0.0
        while True:
            first_s: float | None = None
            last_s, count = -period_s, 0
            for frame in self._frames():
                time_s = frame.time if frame.time is not None else count * period_s
                first_s = time_s if first_s is None else first_s
                # Broken stamps must not run backwards.
                last_s = max(time_s - first_s, last_s + 1e-3)
                count += 1
                yield offset_s + last_s, period_s, partial(self._image, frame)
            announced = self._container.streams.video[0].frames
            self.truncated = self.truncated or count < announced - 1
            if not self._loop or count == 0:
                return
            offset_s += last_s + period_s
            self._container.close()
            self._container = self._open()


class FolderSource(_Played):
    """A folder of PNG and JPEG pictures, in the order of their names.

    All images come out in the size of the first one, or in the size asked for: others are fitted, borders
    black. Grey pictures and those with transparency become RGB. A picture that cannot be read is passed over.
    """

    def __init__(
        self, path: Path, pacer: Pacer, *, size: Size | None = None, fps: float = 25.0, loop: bool = False
    ) -> None:
        self.name = path.name or str(path)
        self.fps = fps
        self._path, self._loop = path, loop
        self._files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES and p.is_file())
        if not self._files:
            raise InputError(
                f"the folder {str(path)!r} holds no picture: expected files named *.png, *.jpg or *.jpeg"
            )
        first = next((image for image in map(read_picture, self._files) if image is not None), None)
        if first is None:
            raise InputError(
                f"none of the {len(self._files)} pictures in {str(path)!r} can be read: save them again"
            )
        self.size = size or (first.shape[1], first.shape[0])
        super().__init__(pacer)

    def close(self) -> None:
        """Nothing stays open."""

    def _play(self) -> Iterator[_Shot]:
        files = itertools.cycle(self._files) if self._loop else iter(self._files)
        for k, file in enumerate(files):
            yield k / self.fps, 1.0 / self.fps, partial(self._image, file)

    def _image(self, file: Path) -> NDArray[np.uint8] | None:
        if not self._path.is_dir():
            raise SourceLost(f"the folder {str(self._path)!r} has gone")
        image = read_picture(file)
        return None if image is None else fitted(image, self.size)


class DeviceSource:
    """A camera, read through OpenCV.

    Parameters
    ----------
    spec
        Device number or ``/dev/videoN``.
    capture
        Makes the capture object; ``cv2.VideoCapture`` by default.
    """

    truncated = False
    dropped = 0

    def __init__(
        self,
        spec: str,
        *,
        size: Size | None = None,
        fps: float = 25.0,
        clock: Clock = time.monotonic,
        capture: Callable[[Any], Any] = cv2.VideoCapture,
    ) -> None:
        self.name = spec if spec.startswith("/dev/") else f"/dev/video{spec}"
        self._clock = clock
        cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_SILENT
        )  # our own message says it better than OpenCV's five lines
        self._capture = capture(int(spec) if spec.isdigit() else spec)
        if not self._capture.isOpened():
            self._capture.release()
            there = ", ".join(map(str, sorted(Path("/dev").glob("video*")))) or "none"
            raise InputError(
                f"the camera {self.name} cannot be opened: expected a connected camera that no other program "
                f"holds (devices there: {there}); plug it in, close the other program, or name a video file"
            )
        if size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        self._capture.set(cv2.CAP_PROP_FPS, fps)
        # One image in the queue: an older one would only add delay.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        told = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(told) if math.isfinite(told) and 1.0 <= told <= 1000.0 else fps
        width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.size = size or ((width, height) if width > 0 and height > 0 else (640, 480))

    def read(self) -> Frame | None:
        """Return the newest image; its stamp is the time at which it reached this program."""
        if not self._capture.grab():
            raise SourceLost(f"the camera {self.name} gives no images any more")
        stamp_s = self._clock()
        ok, image = self._capture.retrieve()
        if not ok or image is None or image.size == 0:
            raise SourceLost(f"the camera {self.name} gave an empty image")
        return Frame(fitted(to_rgb(image), self.size), stamp_s)

    def close(self) -> None:
        """Free the device."""
        self._capture.release()


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Return a decoded frame as RGB, turned as its rotation mark says (phones film sideways)."""
    image = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
