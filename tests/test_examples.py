"""The example clips: each is read whole, in the format that its table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mreactor_ref.config import CONFIGS
from mreactor_ref.data.clips import ClipFiles, FeatureReader, find_clips
from mreactor_ref.signals import SpeakerClip

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDER = EXAMPLES / "clips"


@pytest.fixture(scope="module")
def clips() -> dict[str, tuple[ClipFiles, SpeakerClip]]:
    reader, clips = FeatureReader(CONFIGS["mini"]), {}
    for files in find_clips(FOLDER).clips:
        assert isinstance(files, ClipFiles), files
        clip, warnings = reader.read(files)
        assert not warnings, warnings
        clips[files.id] = files, clip
    return clips


def test_the_table_names_every_clip(clips: dict[str, tuple[ClipFiles, SpeakerClip]]):
    rows = re.findall(
        r"^\| `(.+?)` \| (\d+) s \| (\S+)", (EXAMPLES / "README.md").read_text(), re.M
    )
    assert {id for id, *_ in rows} == set(clips)
    for id, seconds, sound in rows:
        files, clip = clips[id]
        assert clip.frames / clip.fps == pytest.approx(float(seconds), abs=0.1)
        assert files.sound is not None
        assert files.sound.suffix == f".{sound}"


def test_the_formats_that_users_have(clips: dict[str, tuple[ClipFiles, SpeakerClip]]):
    files = [files for files, _ in clips.values()]
    suffixes = {f.sound.suffix for f in files if f.sound} | {
        f.words.suffix for f in files if f.words
    }
    suffixes |= {face.suffix for f in files for face in f.faces}
    assert suffixes >= {".wav", ".flac", ".mp3", ".ogg", ".mp4", ".srt", ".vtt", ".txt", ".json"}
    assert suffixes >= {".npy", ".csv"}
    streams = [clip for _, clip in clips.values()]
    assert any(clip.words is None and clip.coefficients is None for clip in streams)
    assert any(clip.coefficients is not None for clip in streams)
    assert any(clip.attributes is not None for clip in streams)
    assert any("/" in id for id in clips)


def test_they_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 5_000_000
