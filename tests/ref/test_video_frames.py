"""The pictures of a video: their times and which way is up."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from fakes.drawn_videos import wall, write_video

from mreactor_ref.errors import ClipError
from mreactor_ref.features.video.frames import LONGEST_SIDE, read_frames


def times_of(path: Path) -> list[float]:
    return [frame.time for frame in read_frames(path)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_of_a_variable_rate(tmp_path: Path, suffix: str) -> None:
    given = [0, 40, 80, 200, 240, 900, 1000]
    path = write_video(tmp_path / f"clip{suffix}", [wall()] * len(given), given)
    np.testing.assert_allclose(times_of(path), np.array(given) / 1000, atol=1e-3)


def test_a_picture_that_starts_after_the_sound(tmp_path: Path) -> None:
    given = [1500, 1540, 1580]
    path = write_video(tmp_path / "clip.mp4", [wall()] * 3, given, sound=2.0)
    # the sound begins with the samples that its codec needs to start: 64 ms at 16 kHz
    np.testing.assert_allclose(times_of(path), np.array(given) / 1000, atol=0.065)
    assert np.diff(times_of(path)) == pytest.approx([0.04, 0.04], abs=1e-3)


def test_a_fast_video_is_thinned(tmp_path: Path) -> None:
    given = list(range(0, 1000, 5))  # 200 frames a second
    times = times_of(write_video(tmp_path / "clip.mp4", [wall()] * len(given), given))
    assert len(times) == 50
    assert np.diff(times).min() > 1 / 65


def test_a_video_held_upright(tmp_path: Path) -> None:
    """A telephone writes the picture as its sensor lies, and a matrix that turns it."""
    picture = wall()
    picture[:60, :80] = [250, 20, 20]  # the corner at the top left goes to the top right
    path = write_video(tmp_path / "clip.mp4", [picture], [0])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # of a version 0 header
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (frame,) = read_frames(path)
    assert frame.pixels.shape == (320, 240, 3)
    red = frame.pixels[..., 0].astype(int) - frame.pixels[..., 1]
    assert red[:70, -50:].mean() > 150
    assert abs(red[:70, :50].mean()) < 30


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [np.zeros((1080, 1920, 3), np.uint8)], [0])
    (frame,) = read_frames(path)
    assert frame.pixels.shape == (720, LONGEST_SIDE, 3)


def test_what_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("no video")
    with pytest.raises(ClipError, match=r"clip\.mp4: cannot be read as a video"):
        times_of(path)
    with pytest.raises(ClipError, match="No such file"):
        times_of(tmp_path / "none.mp4")
