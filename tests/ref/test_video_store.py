"""Faces of videos are read once, and written as tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.drawn_videos import both, head, wall, write_video

from mreactor_ref.cli import data
from mreactor_ref.features.face import read_face
from mreactor_ref.features.video import VideoFace, read_video_face
from mreactor_ref.features.video.reader import MeshReader

pytest.importorskip("onnxruntime")


class Counting:
    """The usual reader, which counts its videos."""

    def __init__(self, name: str = "counting") -> None:
        self.name, self.count = name, 0

    def read(self, path: Path) -> VideoFace:
        self.count += 1
        return MeshReader().read(path)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    smile = head(**both("mouthSmile", 0.9), **both("cheekSquint", 0.8))
    pictures = [head()] * 10 + [smile] * 5
    (tmp_path / "videos").mkdir()
    return write_video(tmp_path / "videos" / "talk.mp4", pictures, range(0, 1500, 100))


def same(one: VideoFace, other: VideoFace) -> bool:
    assert one.face is not None
    assert other.face is not None
    arrays = [
        (one.face.attributes, other.face.attributes),
        (one.face.times, other.face.times),
        (one.seen, other.seen),
        (one.pose, other.pose),
        (one.confidence, other.confidence),
        (one.blendshapes, other.blendshapes),
    ]
    equal = all(np.array_equal(a, b, equal_nan=True) for a, b in arrays)
    return equal and (one.warnings, one.trusted) == (other.warnings, other.trusted)


def test_what_is_not_to_be_kept_leaves_nothing(video: Path, cache: Path) -> None:
    reader = Counting()
    faces = [read_video_face(video, reader, keep=False) for _ in range(2)]
    assert same(*faces)
    assert reader.count == 2
    assert not cache.exists()


def test_a_video_is_read_once_whatever_its_name(video: Path) -> None:
    reader = Counting()
    first = read_video_face(video, reader)
    moved = video.rename(video.with_name("other.mp4"))
    assert same(first, read_video_face(moved, reader))
    assert reader.count == 1


def test_another_reader_or_content_is_read(video: Path) -> None:
    reader, newer = Counting(), Counting("newer")
    read_video_face(video, reader)
    read_video_face(video, newer)
    video.write_bytes(video.read_bytes() + b"\0" * 8)
    read_video_face(video, reader)
    assert (reader.count, newer.count) == (2, 1)


def test_a_kept_file_that_is_cut_is_made_again(video: Path, cache: Path) -> None:
    reader = Counting()
    first = read_video_face(video, reader)
    (kept,) = (cache / "faces").iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    assert same(first, read_video_face(video, reader))
    assert reader.count == 2


def test_the_command_writes_tables_and_goes_on(video: Path) -> None:
    folder = video.parent
    (folder / "bad.mp4").write_text("no video")
    write_video(folder / "empty.mp4", [wall()] * 8, range(0, 800, 100))
    result = CliRunner().invoke(data, ["face", str(folder)])
    assert result.exit_code == 3, result.output
    assert "Wrote 1 tables" in result.output
    assert "bad.mp4: cannot be read as a video" in result.output
    assert "empty.mp4: no face is seen" in result.output
    (table,) = folder.glob("*.csv")
    assert table.name == "talk.face.csv"

    read = read_face(table).attributes
    face = read_video_face(video).face
    assert face is not None
    np.testing.assert_allclose(read, face.attributes, atol=5e-5)
    lines = table.read_text().splitlines()
    assert lines[0].startswith("# the face is read from the video: trusted are AU1")
    header = next(line for line in lines if not line.startswith("#"))
    assert header.startswith("timestamp,pitch,yaw,roll,right,up,towards,confidence,seen,AU1,")

    table.write_text("left alone")
    again = CliRunner().invoke(data, ["face", str(folder)])
    assert "Wrote 0 tables, 1 were there already" in again.output
    assert table.read_text() == "left alone"
    CliRunner().invoke(data, ["face", str(folder), "--overwrite"])
    assert table.read_text() != "left alone"


def test_the_command_says_what_it_cannot_find(tmp_path: Path) -> None:
    result = CliRunner().invoke(data, ["face", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "there is no such file or folder" in result.output
    result = CliRunner().invoke(data, ["face", str(tmp_path)])
    assert "no videos found" in result.output
