"""Videos made and looked into: H.264 in MP4, by FFmpeg's libraries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TICK = Fraction(1, 90_000)
"""Fine enough for every usual rate; 24, 25, 30 and 29.97 images a second come out exact."""


def frame_rate(fps: float, most: float = 60.0) -> Fraction:
    """Return a video's rate: that of the input, 1 to `most` images a second."""
    return Fraction(min(max(fps, 1.0), most)).limit_denominator(1001)


class VideoWriter:
    """Encodes pictures as H.264, yuv420p.

    The file is written in pieces that each can be played: what was written before a power failure is not
    lost. `join` makes a file of it that begins to play at once.

    Parameters
    ----------
    path
        Where to write.
    size
        (width, height) of the pictures, px, both even.
    rate
        Images a second that the file announces.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        import av

        self._frame_from = av.VideoFrame.from_ndarray
        playable = {"movflags": "frag_keyframe+delay_moov", "flush_packets": "1"}
        self._container = av.open(str(path), "w", options=playable)
        options = {"crf": "21", "preset": "veryfast", "threads": "1", "g": "60"}
        self._stream: Any = self._container.add_stream("libx264", rate=rate, options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = *size, "yuv420p"
        self._stream.codec_context.time_base = _TICK
        # Players assume these for HD; said, nobody need assume.
        self._stream.codec_context.colorspace, self._stream.codec_context.color_range = 1, 1
        self._last = -1

    def add(self, picture: NDArray[np.uint8], time_s: float | Fraction) -> None:
        """Show an RGB picture (height, width, 3) from `time_s` on; it lies after the one before."""
        frame = self._frame_from(np.ascontiguousarray(picture), format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        self._last = max(round(time_s / _TICK), self._last + 1)
        frame.pts, frame.time_base = self._last, _TICK
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; harmless when done twice."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
            self._stream = None
            self._container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_video(
    path: Path, pictures: Iterable[NDArray[np.uint8]], size: tuple[int, int], rate: Fraction
) -> None:
    """Encode RGB pictures of `size` (width, height; even) at equal distances in time."""
    with VideoWriter(path, size, rate) as writer:
        for k, picture in enumerate(pictures):
            writer.add(picture, k / rate)


def join(pieces: Sequence[Path], path: Path, rate: Fraction) -> None:
    """Put pieces of video of the same kind one after the other, without encoding anew.

    Each piece begins where the images before it end at `rate` images a second; within a piece the times stay.
    """
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        target: Any = None
        images = 0
        for piece in pieces:
            with av.open(str(piece)) as container:
                source = container.streams.video[0]
                if target is None:
                    target = out.add_stream_from_template(source)
                assert source.time_base is not None
                shift = round(images / rate / source.time_base)
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None:
                        continue  # the empty packet at the end
                    packet.dts += shift
                    packet.pts += shift
                    packet.stream = target
                    out.mux(packet)
                    images += 1


def frames_at(video: Path, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
    """Return the pictures shown at ascending times, RGB (height, width, 3)."""
    import av

    found: list[NDArray[np.uint8]] = []
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        for t in times_s:
            container.seek(max(int(t / stream.time_base), 0), stream=stream)
            picture = None
            for frame in container.decode(stream):
                picture = frame
                if frame.time is not None and frame.time >= t - 1e-3:
                    break
            assert picture is not None
            found.append(np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8))
    return found
