"""Videos: stamps as given, playable before they are finished, joined without a seam."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from fabg.video import VideoWriter, frame_rate, frames_at, join, write_video

SIZE = (64, 48)


def _picture(k):
    """Grey k, so that each picture can be told from the others."""
    return np.full((SIZE[1], SIZE[0], 3), 30 + 3 * (k % 60), np.uint8)


def _shown(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [f.time for f in frames], [float(f.to_ndarray(format="rgb24").mean()) for f in frames]


def test_pictures_are_shown_when_they_were_taken(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.5333, 2.0, 1.9, 2.5]
    with VideoWriter(tmp_path / "a.mp4", SIZE, Fraction(25)) as writer:
        for k, t in enumerate(times):
            writer.add(_picture(k), t)
    join([tmp_path / "a.mp4"], tmp_path / "b.mp4", Fraction(25))
    for name in ("a.mp4", "b.mp4"):
        got, grey = _shown(tmp_path / name)
        assert got[:6] + got[7:] == pytest.approx(times[:6] + times[7:], abs=1e-4)
        assert 2.0 < got[6] < 2.001, "time never runs backwards"
        assert grey == pytest.approx([30 + 3 * k for k in range(8)], abs=3.0)


def test_what_was_written_can_be_played_before_the_end(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", SIZE, Fraction(25))
    for k in range(200):
        writer.add(_picture(k), k / 25)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    got, _ = _shown(tmp_path / "cut.mp4")
    assert len(got) >= 60, "all but the last few seconds"
    assert got == pytest.approx([k / 25 for k in range(len(got))], abs=1e-4)
    writer.close()
    writer.close()
    assert len(_shown(tmp_path / "a.mp4")[0]) == 200


def test_pieces_join_without_a_seam(tmp_path):
    rate = Fraction(30000, 1001)
    pieces = [tmp_path / f"{k}.mp4" for k in range(3)]
    for j, piece in enumerate(pieces):
        write_video(piece, (_picture(7 * j + k) for k in range(7)), SIZE, rate)
    join(pieces, tmp_path / "all.mp4", rate)
    got, grey = _shown(tmp_path / "all.mp4")
    assert got == pytest.approx([float(k / rate) for k in range(21)], abs=1e-4)
    assert grey == pytest.approx([30 + 3 * k for k in range(21)], abs=3.0)
    one, two = frames_at(tmp_path / "all.mp4", [5 / 29.97, 15 / 29.97])
    assert (float(one.mean()), float(two.mean())) == pytest.approx((45.0, 75.0), abs=3.0)


@pytest.mark.parametrize(
    "fps, most, rate", [(25.0, 60.0, 25), (0.1, 60.0, 1), (240.0, 60.0, 60), (240.0, 1000.0, 240)]
)
def test_odd_rates_are_bounded(fps, most, rate):
    assert frame_rate(fps, most) == rate
