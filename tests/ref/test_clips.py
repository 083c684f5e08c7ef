"""Reading a clip: its streams on the frame grid, and what happens to files that are not right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from mreactor_ref.config import CONFIGS
from mreactor_ref.data.clips import FeatureReader, find_clips
from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.face import Face
from mreactor_ref.features.mfcc import mfcc
from mreactor_ref.features.sound import load_sound
from mreactor_ref.signals import MFCC_WIDTH, MINILM_WIDTH, SAMPLE_RATE

soundfile = pytest.importorskip("soundfile")

MINI = CONFIGS["mini"]


def speech(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.2 * np.sin(2 * np.pi * (150 + 40 * np.sin(3 * t)) * t)).astype(np.float32)


@pytest.fixture(scope="module")
def reader() -> FeatureReader:
    return FeatureReader(MINI)


@pytest.fixture
def folder(tmp_path) -> Path:
    """One clip of 10 s with everything: sound, timed words, coefficients and attributes."""
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", speech(10), SAMPLE_RATE)
    words = [{"word": "Hello", "start": 1.0, "end": 1.4}, {"word": "you", "start": 1.4, "end": 2.0}]
    (tmp_path / "a.json").write_text(json.dumps(words))
    np.save(tmp_path / "a.npy", rng.standard_normal((250, 83)).astype(np.float32))
    return tmp_path


def read_one(reader: FeatureReader, folder: Path):
    (files,) = find_clips(folder).clips
    assert isinstance(files, ClipFiles)
    return reader.read(files)


def test_a_whole_clip(reader, folder):
    clip, warnings = read_one(reader, folder)
    assert warnings == []
    assert (clip.id, clip.frames, clip.fps) == ("a", 250, 25.0)
    assert clip.sound.shape == (250, MFCC_WIDTH)
    assert clip.words.shape == (250, MINILM_WIDTH)
    assert clip.coefficients.shape == (250, 58)
    assert clip.attributes.shape == (250, 25)
    np.testing.assert_array_equal(clip.sound, mfcc(load_sound(folder / "a.wav"), 25.0, 250))
    np.testing.assert_array_equal(np.flatnonzero(clip.words.any(axis=1)), np.arange(25, 50))
    data = np.load(folder / "a.npy")
    np.testing.assert_array_equal(clip.attributes, data[:, :25])
    np.testing.assert_array_equal(clip.coefficients, data[:, 25:])
    assert [(u.start, u.end, u.text) for u in clip.utterances] == [(1.0, 2.0, "Hello you")]
    for stream in (clip.sound, clip.words, clip.coefficients, clip.attributes):
        assert stream.dtype == np.float32


@pytest.mark.parametrize("seconds", [0.03, 0.1, 3.333, 7.77])
def test_frames_follow_the_sound(reader, tmp_path, seconds):
    soundfile.write(tmp_path / "a.wav", speech(seconds), SAMPLE_RATE)
    clip, warnings = read_one(reader, tmp_path)
    assert clip.frames == round(seconds * 25)
    assert clip.sound.shape == (clip.frames, MFCC_WIDTH)
    assert (clip.words, clip.coefficients, clip.attributes) == (None, None, None)
    assert clip.utterances == ()
    assert warnings == []


def test_a_clip_shorter_than_a_frame(reader, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech(0.015), SAMPLE_RATE)
    with pytest.raises(ClipError, match=r"a: lasts 0\.015 s, less than a frame at 25 fps"):
        read_one(reader, tmp_path)


def test_a_face_at_30_fps(reader, folder):
    np.save(folder / "a.npy", np.zeros((300, 58), np.float32))
    clip, warnings = read_one(reader, folder)
    assert clip.coefficients.shape == (250, 58)
    assert clip.attributes is None
    assert warnings == ["face has 300 frames for 10.0 s: taken as 30 fps and resampled to 25"]


def test_751_frames_at_25_fps_are_30_seconds(reader, tmp_path):
    """The files of REACT 2023/2024 have one frame more than their sound."""
    soundfile.write(tmp_path / "a.wav", speech(30), SAMPLE_RATE)
    np.save(
        tmp_path / "a.npy", np.arange(751, dtype=np.float32)[:, None, None] * np.ones((1, 1, 58))
    )
    clip, warnings = read_one(reader, tmp_path)
    assert warnings == []
    np.testing.assert_array_equal(clip.coefficients[:, 0], np.arange(750))


def test_face_alone(reader, folder):
    (folder / "a.wav").unlink()
    (folder / "a.json").unlink()
    clip, warnings = read_one(reader, folder)
    assert (clip.frames, clip.sound, clip.words) == (250, None, None)
    assert warnings == ["no sound to time the face by: its frames are taken as 25 fps"]


def test_openface_alone_has_its_own_rate(reader, tmp_path):
    rows = [f"{k},{k / 30:.3f},1" for k in range(300)]
    (tmp_path / "a.csv").write_text("frame, timestamp, AU01_c\n" + "\n".join(rows) + "\n")
    clip, warnings = read_one(reader, tmp_path)
    assert clip.frames == 250
    assert (clip.attributes[:, 0] == 1).all()
    assert warnings[0].startswith("a.csv: tells nothing of AU2 AU4 ")
    assert warnings[1:] == ["face has 300 frames for 10.0 s: taken as 30 fps and resampled to 25"]


def test_words_alone_last_to_the_last_word(reader, tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:04,000\nHello there\n")
    clip, warnings = read_one(reader, tmp_path)
    assert warnings == []
    assert clip.frames == 100
    np.testing.assert_array_equal(np.flatnonzero(clip.words.any(axis=1)), np.arange(25, 100))


def test_plain_text_alone_and_words_without_a_word(reader, tmp_path):
    (tmp_path / "a.txt").write_text("Hello there.")
    with pytest.raises(ClipError, match="says nothing about time"):
        reader.read(ClipFiles("a", words=tmp_path / "a.txt"))
    (tmp_path / "b.vtt").write_text("WEBVTT\n")
    with pytest.raises(ClipError, match=r"lasts 0\.000 s"):
        reader.read(ClipFiles("b", words=tmp_path / "b.vtt"))


def test_a_silent_speaker_has_words_of_zeros(reader, folder):
    (folder / "a.json").write_text("[]")
    clip, warnings = read_one(reader, folder)
    assert clip.words.shape == (250, MINILM_WIDTH)
    assert not clip.words.any()
    assert warnings == ["a.json holds no words: taken as silence"]


def test_warnings_of_words_reach_the_caller(reader, folder):
    word = {"word": "late", "start": 9.5, "end": 12.0}
    (folder / "a.json").write_text(json.dumps([word, {**word, "start": 11.0}]))
    clip, warnings = read_one(reader, folder)
    assert warnings == ["2 of 2 words in a.json end after the clip (12.0 s of 10.0 s): cut"]
    assert clip.utterances[0].end == 10.0


def test_the_face_twice(reader, folder):
    """An npy comes before a csv."""
    names = "AU1,AU2,AU4,AU6,AU7,AU9,AU10,AU12,AU14,AU15,AU17,AU23,AU24,AU25,AU26,valence,arousal,"
    names += "Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger,Contempt\n"
    (folder / "a.csv").write_text(names + ("0," * 24 + "0\n") * 250)
    clip, warnings = read_one(reader, folder)
    np.testing.assert_array_equal(clip.attributes, np.load(folder / "a.npy")[:, :25])
    assert warnings == ["a.csv holds the face's attributes a second time: not read"]
    with pytest.raises(ClipError, match=r"a\.csv: holds the face's attributes a second time"):
        read_one(FeatureReader(MINI, strict=True), folder)
    np.save(folder / "a.npy", np.ones((250, 58), np.float32))
    clip, warnings = read_one(reader, folder)
    assert clip.coefficients.all()
    assert not clip.attributes.any()
    assert warnings == []


BAD_FILES = pytest.mark.parametrize(
    ("name", "content", "problem", "lost"),
    [
        ("a.wav", b"", "cannot be read as sound", "sound"),
        ("a.json", b"{", "is not JSON", "words"),
        ("a.npy", b"\x93NUMPY", "is not a complete npy array", "face"),
    ],
)


@BAD_FILES
def test_a_file_that_cannot_be_read_costs_only_its_stream(
    reader, folder, name, content, problem, lost
):
    whole, _ = read_one(reader, folder)
    (folder / name).write_bytes(content)
    clip, warnings = read_one(reader, folder)
    assert any(
        line.startswith(f"goes without the {lost} of {folder / name}: {problem}")
        for line in warnings
    )
    streams = {"sound": ["sound"], "words": ["words"], "face": ["coefficients", "attributes"]}
    for kind, fields in streams.items():
        for field in fields:
            value = getattr(clip, field)
            if kind == lost:
                assert value is None
            else:
                np.testing.assert_array_equal(value, getattr(whole, field))


@BAD_FILES
def test_a_strict_reader_refuses_the_clip(folder, name, content, problem, lost):
    (folder / name).write_bytes(content)
    with pytest.raises(ClipError, match=f"{name}: {problem}"):
        read_one(FeatureReader(MINI, strict=True), folder)


@BAD_FILES
def test_a_clip_of_nothing_else_fails(reader, tmp_path, name, content, problem, lost):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=f"{name}: {problem}"):
        read_one(reader, tmp_path)


def test_a_face_that_does_not_fit_costs_only_itself(reader, folder):
    np.save(folder / "a.npy", np.zeros((20, 58), np.float32))
    clip, warnings = read_one(reader, folder)
    assert (clip.frames, clip.coefficients) == (250, None)
    assert "the face has 20 frames, the clip lasts 10.0 s" in warnings[0]


def test_what_was_mended_reaches_the_caller(reader, tmp_path):
    wave = speech(2)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, -wave], 1), SAMPLE_RATE)
    (tmp_path / "a.ass").write_text("x")
    clip, warnings = read_one(reader, tmp_path)
    assert clip.sound.any()
    assert warnings[0].startswith("a.ass is not read: ")
    assert "opposite phase" in warnings[1]


def write_video(path: Path, seconds: float, sound: bool = True) -> None:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width = picture.height = 32
        stream = container.add_stream("aac", rate=SAMPLE_RATE) if sound else None
        for _ in range(round(25 * seconds)):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if stream is not None:
            block = av.AudioFrame.from_ndarray(speech(seconds)[None], "fltp", "mono")
            block.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(block))
            container.mux(stream.encode(None))


@pytest.mark.parametrize("sound", [True, False])
def test_a_video_is_a_face_too_for_who_reads_it(tmp_path, sound):
    write_video(tmp_path / "a.mp4", 2.0, sound)
    seen = []

    def video_face(path: Path) -> Face:
        seen.append(path)
        times = (np.arange(50) + 0.5) / 25
        return Face(attributes=np.ones((50, 25), np.float32), times=times, warnings=("looked",))

    clip, warnings = read_one(FeatureReader(MINI, video_face=video_face), tmp_path)
    assert seen == [tmp_path / "a.mp4"]
    assert clip.attributes.shape == (clip.frames, 25)
    assert abs(clip.frames - 50) <= 3  # AAC fills its first and its last block of 0.064 s
    assert "looked" in warnings
    assert (clip.sound is not None) == sound
    np.save(tmp_path / "a.npy", np.zeros((50, 58), np.float32))  # a file comes before it
    read_one(FeatureReader(MINI, video_face=video_face), tmp_path)
    assert len(seen) == 1
    assert read_one(FeatureReader(MINI), tmp_path)[0].attributes is None


def test_sound_of_a_video_with_its_face(reader, tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(speech(2)[None], "fltp", "mono")
        frame.rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.save(tmp_path / "a.npy", np.zeros((50, 25), np.float32))
    clip, warnings = read_one(reader, tmp_path)
    assert clip.attributes.shape == (clip.frames, 25)
    assert abs(clip.frames - 50) <= 3
    assert warnings == []


def test_an_encoder_of_another_width(folder):
    for config, kind in ((replace(MINI, sound=80), "sound"), (replace(MINI, words=768), "words")):
        with pytest.raises(UsageError, match=f"the {kind} encoder gives"):
            read_one(FeatureReader(config), folder)


def test_encoders_are_loaded_when_first_needed(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "mreactor_ref.features.encoders.WordsEncoder", lambda name: loaded.append(name)
    )
    np.save(tmp_path / "a.npy", np.zeros((50, 25), np.float32))
    reader = FeatureReader(MINI)
    read_one(reader, tmp_path)
    assert loaded == []


def test_reading_twice_gives_the_same_bytes(folder):
    first, second = (read_one(FeatureReader(MINI), folder)[0] for _ in range(2))
    np.testing.assert_array_equal(first.sound, second.sound)
    np.testing.assert_array_equal(first.words, second.words)
