"""A folder of clips: what belongs together, and reading it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mreactor_ref.config import CONFIGS
from mreactor_ref.data import clips
from mreactor_ref.data.clips import BadClip, ClipFiles, FeatureReader, find_clips
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.mfcc import mfcc
from mreactor_ref.features.sound import load_sound
from mreactor_ref.signals import MFCC_WIDTH, MINILM_WIDTH, SAMPLE_RATE

MINI = CONFIGS["mini"]


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_a_clip_is_the_files_that_share_a_stem(tmp_path):
    touch(
        tmp_path,
        *("b/x.wav", "b/x.srt", "b/x.npy", "b/x.csv", "a.MP3", "c.mp4", "c.json", "d.npy", "e.vtt"),
        *(".hidden.wav", ".git/f.wav", "b/.x.txt", "picture.png", "README.md", "notes.txt"),
    )
    assert find_clips(tmp_path) == [
        ClipFiles("a", sound=tmp_path / "a.MP3"),
        ClipFiles("b/x", tmp_path / "b/x.wav", tmp_path / "b/x.srt",
                  (tmp_path / "b/x.csv", tmp_path / "b/x.npy")),
        ClipFiles("c", tmp_path / "c.mp4", tmp_path / "c.json"),
        ClipFiles("d", faces=(tmp_path / "d.npy",)),
        ClipFiles("e", words=tmp_path / "e.vtt"),
    ]  # fmt: skip


def test_a_sound_file_comes_before_the_sound_of_a_video(tmp_path):
    touch(tmp_path, "a.mp4", "a.wav", "a.b.wav")
    assert [(c.id, c.sound.name) for c in find_clips(tmp_path)] == [
        ("a", "a.wav"),
        ("a.b", "a.b.wav"),
    ]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("x.wav", "x.flac"), "2 sounds for one clip: x.flac, x.wav"),
        (("x.mp4", "x.mkv"), "2 sounds for one clip: x.mkv, x.mp4"),
        (("x.wav", "x.srt", "x.txt", "x.json"), "3 files of words for one clip"),
    ],
)
def test_a_clip_that_contradicts_itself_does_not_stop_the_others(tmp_path, names, problem):
    touch(tmp_path, "a.wav", "z.wav", *names)
    found = find_clips(tmp_path)
    assert [clip.id for clip in found] == ["a", "x", "z"]
    assert isinstance(found[1], BadClip)
    assert isinstance(found[1].error, ClipError)
    assert str(found[1].error).startswith(f"x: {problem}")
    assert not isinstance(found[0], BadClip)


def test_folders_without_clips(tmp_path):
    with pytest.raises(UsageError, match=r"no clips found \(looked for sound \.wav .*face \.npy"):
        find_clips(tmp_path)
    touch(tmp_path, "a.png", "notes.txt", ".hidden.wav")
    with pytest.raises(UsageError, match="no clips found"):
        find_clips(tmp_path)
    with pytest.raises(UsageError, match="is a file, not a folder"):
        find_clips(tmp_path / "a.png")
    with pytest.raises(UsageError, match="there is no such folder"):
        find_clips(tmp_path / "nothing")


def test_links_to_folders_count_once(tmp_path):
    touch(tmp_path, "data/x.wav", "in/y.wav")
    (tmp_path / "in/link").symlink_to(tmp_path / "data")
    (tmp_path / "data/loop").symlink_to(tmp_path / "in")
    assert [clip.id for clip in find_clips(tmp_path / "in")] == ["link/x", "y"]


@pytest.mark.parametrize("start", ["", "train"])
def test_a_mars_tree(tmp_path, start):
    for session, clip in (("s1", "c1"), ("s1", "c2"), ("s2", "c1")):
        for role in ("speaker", "listener"):
            name = f"{role}/{session}/{clip}"
            touch(
                tmp_path,
                *(f"train/audio/{name}.wav", f"train/coefficients/{name}.npy"),
                *(f"train/facial-attributes/{name}.npy", f"train/video-face-crop/{name}.mp4"),
                *(f"train/audio-features/{name}.npy", f"train/lip-features/{name}.npy"),
            )
    touch(tmp_path, "train/words/speaker/s1/c1.json", "train/audio/speaker.wav", "train/info.csv")
    found = find_clips(tmp_path / start)
    prefix = "" if start else "train/"
    assert [clip.id for clip in found] == [f"{prefix}{c}" for c in ("s1/c1", "s1/c2", "s2/c1")]
    train = tmp_path / "train"
    assert found[0] == ClipFiles(
        f"{prefix}s1/c1",
        train / "audio/speaker/s1/c1.wav",
        train / "words/speaker/s1/c1.json",
        (train / "coefficients/speaker/s1/c1.npy", train / "facial-attributes/speaker/s1/c1.npy"),
    )
    assert found[1].words is None


def test_a_react_2024_tree(tmp_path):
    for n in ("1", "2"):
        name = f"NoXI/chat/Expert_video/{n}"
        touch(
            tmp_path,
            *(
                f"val/Audio_files/{name}.wav",
                f"val/Emotion/{name}.csv",
                f"val/3D_FV_files/{name}.npy",
            ),
            f"val/Video_files/{name}.mp4",
        )
    touch(tmp_path, "val.csv", "neighbour_emotion_val.npy")
    found = find_clips(tmp_path)
    assert [clip.id for clip in found] == [f"val/NoXI/chat/Expert_video/{n}" for n in "12"]
    assert found[0].sound.name == "1.wav"
    assert [path.suffix for path in found[0].faces] == [".npy", ".csv"]


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
    (files,) = find_clips(folder)
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
    assert warnings == ["face has 300 frames for 10.0 s: taken as 30 fps and resampled to 25"]


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
    names = "AU1,AU2,AU4,AU6,AU7,AU9,AU10,AU12,AU14,AU15,AU17,AU23,AU24,AU25,AU26,valence,arousal,"
    names += "Neutral,Happy,Sad,Surprise,Fear,Disgust,Anger,Contempt\n"
    (folder / "a.csv").write_text(names + ("0," * 24 + "0\n") * 250)
    with pytest.raises(ClipError, match=r"a\.npy: holds the face's attributes a second time"):
        read_one(reader, folder)
    np.save(folder / "a.npy", np.ones((250, 58), np.float32))
    clip, _ = read_one(reader, folder)
    assert clip.coefficients.all()
    assert not clip.attributes.any()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.wav", b"", "cannot be read as sound"),
        ("a.json", b"{", "is not JSON"),
        ("a.npy", b"\x93NUMPY", "is not a complete npy array"),
    ],
)
def test_a_bad_file_is_an_error_of_its_clip(reader, folder, name, content, problem):
    (folder / name).write_bytes(content)
    with pytest.raises(ClipError, match=f"{name}: {problem}"):
        read_one(reader, folder)


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


def test_the_lists_of_extensions_do_not_overlap():
    every = [*clips.AUDIO, *clips.VIDEO, *clips.WORDS, *clips.FACE]
    assert len(every) == len(set(every))


def test_reading_twice_gives_the_same_bytes(folder):
    first, second = (read_one(FeatureReader(MINI), folder)[0] for _ in range(2))
    np.testing.assert_array_equal(first.sound, second.sound)
    np.testing.assert_array_equal(first.words, second.words)
