"""The pictures of episodes as videos: encoded while they come, then added to a file that holds several episodes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.demos.files import finish, next_place, remove_after, unfinished
from fabg.demos.layout import RESTORE, Place
from fabg.errors import InputError
from fabg.video import join

_OPTIONS = {"crf": "20", "preset": "veryfast", "g": "2", "bf": "0", "threads": "1"}
"""A key frame every second picture: training reads pictures in any order."""
_BT601 = 5  # for matrix: ITU-R BT.470BG, what decoders assume of pictures of this size


class ClipWriter:
    """Encodes the pictures of one episode as H.264, yuv420p.

    Parameters
    ----------
    path
        Where to write.
    size
        (height, width), px, both even.
    fps
        Pictures a second.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        import av

        self.path = path
        self._frame_from = av.VideoFrame.from_ndarray
        self._container = av.open(str(path), "w")
        self._stream: Any = self._container.add_stream("libx264", rate=fps, options=_OPTIONS)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, fps)
        self._stream.codec_context.colorspace, self._stream.codec_context.color_range = _BT601, 1
        self._frames = 0

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Add an RGB picture, (height, width, 3)."""
        frame = self._frame_from(np.ascontiguousarray(picture), format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base = self._frames, self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))
        self._frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            try:
                self._container.mux(stream.encode(None))
            finally:
                self._container.close()

    def drop(self) -> None:
        """Give the clip up."""
        import av

        with suppress(OSError, av.FFmpegError):  # it is thrown away
            self.close()
        self.path.unlink(missing_ok=True)


class ClipFiles:
    """Videos of one feature, to which whole episodes are added, as `fabg.demos.files.TableFiles` does for tables.

    Parameters
    ----------
    root, pattern
        Where the files lie: `pattern` with chunk_index and file_index, below `root`.
    fps
        Pictures a second.
    chunks_size
        How many files a chunk has.
    limit_bytes
        A file beyond about this size is added to no more.
    """

    def __init__(self, root: Path, pattern: str, fps: int, chunks_size: int, limit_bytes: int) -> None:
        self._root, self._pattern, self._fps = root, pattern, fps
        self._chunks_size, self._limit_bytes = chunks_size, limit_bytes
        self._last: Place | None = None
        self._frames = 0  # in the file to which more may be added; 0: begin a new file
        self._pending: tuple[Place, int] | None = None

    def resume(self, last: Place | None) -> None:
        """Go on in a file of its own after `last`, the last that holds a finished episode."""
        self._last, self._frames, self._pending = last, 0, None

    def add(self, clip: Path, frames: int) -> tuple[Place, int]:
        """Add a finished clip; return its file and how many pictures lie before it there.

        Raises
        ------
        InputError
            When the clip does not hold that many pictures.
        """
        if (found := count_pictures(clip)) != frames:
            raise InputError(f"{clip} has {found} pictures: expected {frames}; is the disk full?")
        place = (0, 0) if self._last is None else self._last
        name = self._name(place)
        before = self._frames
        if before and (self._root / name).stat().st_size + clip.stat().st_size > self._limit_bytes:
            before = 0
        if before:
            both = unfinished(self._root, name)
            try:
                join([self._root / name, clip], both, Fraction(self._fps))
                finish(both, self._root / name)
            finally:
                both.unlink(missing_ok=True)
            clip.unlink()
        else:
            place = place if self._last is None else next_place(place, self._chunks_size)
            finish(clip, self._root / self._name(place))
        self._pending = (place, before + frames)
        return place, before

    def keep(self) -> None:
        """Count what was last added."""
        assert self._pending is not None
        (self._last, self._frames), self._pending = self._pending, None

    def trim(self) -> None:
        """Drop what was written and never kept; the next clip begins a file, since the last may hold too much."""
        self._frames, self._pending = 0, None
        remove_after(self._root, self._pattern, self._last)

    def _name(self, place: Place) -> str:
        return self._pattern.format(chunk_index=place[0], file_index=place[1])


def count_pictures(path: Path) -> int:
    """Return how many pictures a video says that it has.

    Raises
    ------
    InputError
        When it is missing or damaged.
    """
    import av

    try:
        with av.open(str(path)) as container:
            return int(container.streams.video[0].frames)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {RESTORE}") from None
    except (OSError, IndexError, av.FFmpegError) as error:
        raise InputError(f"{path} is damaged ({error}): {RESTORE}") from error


def read_pictures(path: Path, before: int, frames: int, shape: Sequence[int], fps: int) -> NDArray[np.uint8]:
    """Return the RGB pictures of one episode, (frames, height, width, 3), `before` of which lie ahead of it.

    Raises
    ------
    InputError
        When the video is missing or damaged, or pictures are not where they belong.
    """
    import av

    pictures = np.zeros((frames, *shape), dtype=np.uint8)
    k = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None
            container.seek(int(before / fps / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                place = round((frame.time or 0.0) * fps) - before
                if place < 0:
                    continue
                if place != k:
                    break
                pictures[k] = frame.to_ndarray(format="rgb24")
                k += 1
                if k == frames:
                    return pictures
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {RESTORE}") from None
    except (OSError, IndexError, ValueError, av.FFmpegError) as error:
        raise InputError(f"{path} is damaged ({error}): {RESTORE}") from error
    raise InputError(f"{path} has no picture at {(before + k) / fps:.3f} s: {RESTORE}")
