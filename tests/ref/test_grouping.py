"""Which files belong together, and which are read."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from mreactor_ref.data import layout
from mreactor_ref.data.clips import find_clips
from mreactor_ref.data.grouping import ClipFiles
from mreactor_ref.errors import UsageError

WORDS_JSON = json.dumps({"segments": [{"start": 0.0, "end": 1.0, "text": "hello"}]})


def found(*inputs: Path) -> list[ClipFiles]:
    clips = find_clips(inputs).clips
    assert all(isinstance(clip, ClipFiles) for clip in clips)
    return list(clips)


def named(clip: ClipFiles) -> dict[str, str]:
    """The names of a clip's files."""
    files = {"sound": clip.sound, "words": clip.words, "video": clip.video}
    files |= {f"face {k}": path for k, path in enumerate(clip.faces)}
    return {kind: path.name for kind, path in files.items() if path is not None}


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
    assert found(tmp_path) == [
        ClipFiles("a", sound=tmp_path / "a.MP3"),
        ClipFiles("b/x", tmp_path / "b/x.wav", tmp_path / "b/x.srt",
                  (tmp_path / "b/x.npy", tmp_path / "b/x.csv")),
        ClipFiles("c", tmp_path / "c.mp4", tmp_path / "c.json", video=tmp_path / "c.mp4"),
        ClipFiles("d", faces=(tmp_path / "d.npy",)),
        ClipFiles("e", words=tmp_path / "e.vtt"),
    ]  # fmt: skip


def test_a_sound_file_comes_before_the_sound_of_a_video(tmp_path):
    touch(tmp_path, "a.mp4", "a.wav", "a.b.wav")
    assert [(c.id, c.sound.name) for c in found(tmp_path)] == [
        ("a", "a.wav"),
        ("a.b", "a.b.wav"),
    ]


def test_folders_without_clips(tmp_path):
    with pytest.raises(UsageError, match=r"no clips found \(looked for sound \.wav .*face \.npy"):
        find_clips(tmp_path)
    touch(tmp_path, "a.png", "notes.txt", ".hidden.wav")
    with pytest.raises(UsageError, match="no clips found"):
        find_clips(tmp_path)
    with pytest.raises(UsageError, match="is no file of a clip"):
        find_clips(tmp_path / "a.png")
    with pytest.raises(UsageError, match="there is no such file or folder"):
        find_clips(tmp_path / "nothing")


def test_links_to_folders_count_once(tmp_path):
    touch(tmp_path, "data/x.wav", "in/y.wav")
    (tmp_path / "in/link").symlink_to(tmp_path / "data")
    (tmp_path / "data/loop").symlink_to(tmp_path / "in")
    assert [clip.id for clip in found(tmp_path / "in")] == ["link/x", "y"]


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
    clips = found(tmp_path / start)
    prefix = "" if start else "train/"
    assert [clip.id for clip in clips] == [f"{prefix}{c}" for c in ("s1/c1", "s1/c2", "s2/c1")]
    train = tmp_path / "train"
    assert clips[0] == ClipFiles(
        f"{prefix}s1/c1",
        train / "audio/speaker/s1/c1.wav",
        train / "words/speaker/s1/c1.json",
        (train / "coefficients/speaker/s1/c1.npy", train / "facial-attributes/speaker/s1/c1.npy"),
    )
    assert clips[1].words is None


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
    clips = found(tmp_path)
    assert [clip.id for clip in clips] == [f"val/NoXI/chat/Expert_video/{n}" for n in "12"]
    assert clips[0].sound.name == "1.wav"
    assert [path.suffix for path in clips[0].faces] == [".npy", ".csv"]


def test_the_lists_of_extensions_do_not_overlap():
    assert len(layout.KNOWN) == len(set(layout.KNOWN))
    assert set(layout.BEST_WORDS) == set(layout.WORDS)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("a.wav", "a.srt"), {"sound": "a.wav", "words": "a.srt"}),
        (("a.wav", "a.wav.srt"), {"sound": "a.wav", "words": "a.wav.srt"}),
        (("a.wav", "a.en.vtt"), {"sound": "a.wav", "words": "a.en.vtt"}),
        (("a.wav", "a.pt-BR.vtt"), {"sound": "a.wav", "words": "a.pt-BR.vtt"}),
        (("a.wav", "a.en.forced.srt"), {"sound": "a.wav", "words": "a.en.forced.srt"}),
        (("A.WAV", "a.srt"), {"sound": "A.WAV", "words": "a.srt"}),
        (("a.mp4", "a.mp4.json"), {"sound": "a.mp4", "video": "a.mp4", "words": "a.mp4.json"}),
        (("a.wav", "a.mp4"), {"sound": "a.wav", "video": "a.mp4"}),
        (("a.wav", "a.face.csv"), {"sound": "a.wav", "face 0": "a.face.csv"}),
        (("a.wav", "processed/a.csv"), {"sound": "a.wav", "face 0": "a.csv"}),
        (("a.wav", "a.flac"), {"sound": "a.wav"}),
        (("a.flac", "a.mp3"), {"sound": "a.flac"}),
        (("a.mp4", "a.mkv"), {"sound": "a.mp4", "video": "a.mp4"}),
        (("a.wav", "a.de.srt", "a.en.srt"), {"sound": "a.wav", "words": "a.en.srt"}),
        (("a.wav", "a.de.srt", "a.srt"), {"sound": "a.wav", "words": "a.srt"}),
        (("a.wav", "a.txt", "a.srt"), {"sound": "a.wav", "words": "a.srt"}),
        (("a.wav", "a.json", "a.srt"), {"sound": "a.wav", "words": "a.json"}),
        (("a.csv", "a.srt"), {"face 0": "a.csv", "words": "a.srt"}),
    ],
)
def test_names_of_one_clip(tmp_path, names, wanted):
    """What is not taken is named with the reason."""
    touch(tmp_path, *names)
    for name in names:
        if name.endswith(".json"):
            (tmp_path / name).write_text(WORDS_JSON)
    (clip,) = found(tmp_path)
    assert clip.id == Path(names[0]).stem
    assert named(clip) == wanted
    left = {Path(name).name for name in names} - set(wanted.values())
    assert {entry.path.name for entry in clip.ignored} == left
    assert all(entry.reason for entry in clip.ignored)
    assert len(clip.notes) == min(1, len(left))


def test_names_of_several_clips(tmp_path):
    """A dot in a name makes no tag of what follows it."""
    touch(tmp_path, "part.one.wav", "part.two.wav", "part.one.srt", "part.two.en.srt", "part.wav")
    assert [(clip.id, named(clip).get("words")) for clip in found(tmp_path)] == [
        ("part", None),
        ("part.one", "part.one.srt"),
        ("part.two", "part.two.en.srt"),
    ]


def test_case_tells_clips_apart_where_two_differ_in_it(tmp_path):
    touch(tmp_path, "a.wav", "A.wav", "a.srt", "A.srt")
    assert [(clip.id, named(clip)["words"]) for clip in found(tmp_path)] == [
        ("A", "A.srt"),
        ("a", "a.srt"),
    ]


@pytest.mark.parametrize(("sound", "words"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_letters_in_another_form(tmp_path, sound, words):
    name = "Zo\u00eb"
    touch(
        tmp_path,
        unicodedata.normalize(sound, name) + ".wav",
        unicodedata.normalize(words, name) + ".srt",
    )
    (clip,) = found(tmp_path)
    assert clip.id == unicodedata.normalize(sound, name)
    assert clip.words is not None


def test_whisper_writes_all(tmp_path):
    touch(tmp_path, "a.wav", "a.srt", "a.vtt", "a.txt", "a.tsv")
    (tmp_path / "a.json").write_text(WORDS_JSON)
    (clip,) = found(tmp_path)
    assert named(clip) == {"sound": "a.wav", "words": "a.json"}
    assert clip.notes == (
        "a.vtt, a.srt, a.txt are not read: the words are taken from a.json",
        "a.tsv is not read: it is neither sound nor words nor a face",
    )


def test_a_json_that_is_no_transcript_gives_way(tmp_path):
    touch(tmp_path, "a.wav", "a.srt")
    (tmp_path / "a.json").write_text('{"camera": "left"}')
    (clip,) = found(tmp_path)
    assert clip.words.name == "a.srt"


def test_what_openface_leaves_in_its_folder(tmp_path):
    touch(tmp_path, "a.avi", *(f"processed/a.{s}" for s in ("avi", "csv", "hog")))
    touch(tmp_path, "processed/a_of_details.txt")
    result = find_clips(tmp_path)
    (clip,) = result.clips
    assert clip.sound == tmp_path / "a.avi"
    assert clip.faces == (tmp_path / "processed/a.csv",)
    assert {entry.path.name for entry in clip.ignored} == {"a.avi", "a.hog"}
    assert [entry.path.name for entry in result.ignored] == ["a_of_details.txt"]


@pytest.mark.parametrize("name", ["a.TSV", "a.ass", "a.npz", "a.wma", "a.en.ass"])
def test_nothing_beside_a_clip_is_left_out_without_a_line(tmp_path, name):
    touch(tmp_path, "a.wav", name, "README.md")
    result = find_clips(tmp_path)
    assert result.clips[0].notes == (
        f"{name} is not read: it is neither sound nor words nor a face",
    )
    assert result.notes == ("README.md is not read: it is neither sound nor words nor a face",)


def test_files_of_other_kinds_are_no_clips(tmp_path):
    """They would fail in every run. What is damaged is a clip that fails by its name."""
    touch(tmp_path, "a.wav", ".DS_Store", "notes.txt", "broken.json", "broken.npy")
    (tmp_path / "metadata.json").write_text('{"participants": 2, "start": "10:00"}')
    (tmp_path / "a.info.json").write_text('{"title": "x", "chapters": [{"start_time": 0}]}')
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "labels.csv").write_text("file,label\na,1\n")
    np.save(tmp_path / "neighbours.npy", np.zeros((40, 40)))
    result = find_clips(tmp_path)
    assert [clip.id for clip in result.clips] == ["a", "broken"]
    assert {entry.path.name: entry.reason for entry in result.ignored} == {
        "a.info.json": "it is a json that holds no transcript",
        "empty.json": "it is a json that holds no transcript",
        "labels.csv": "it is a csv that holds no face",
        "metadata.json": "it is a json that holds no transcript",
        "neighbours.npy": "it has shape (40, 40)",
        "notes.txt": "plain text needs a sound or a face to last as long as",
    }


def test_words_and_faces_alone_are_clips(tmp_path):
    touch(tmp_path, "a.srt")
    (tmp_path / "b.json").write_text(WORDS_JSON)
    (tmp_path / "c.csv").write_text("frame, timestamp, AU01_c\n1, 0, 1\n")
    np.save(tmp_path / "d.npy", np.zeros((40, 58)))
    assert [clip.id for clip in found(tmp_path)] == list("abcd")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    touch(tmp_path, "a.wav")
    os.mkfifo(tmp_path / "b.wav")
    (tmp_path / "c.srt").symlink_to("/dev/zero")
    (tmp_path / "d.npy").symlink_to("nothing")
    result = find_clips(tmp_path)
    assert [clip.id for clip in result.clips] == ["a"]
    assert result.notes == ("b.wav, c.srt, d.npy are not read: it is no file that can be read",)


def test_the_table_of_a_dry_run(tmp_path):
    touch(tmp_path, "a.mp4", "b.srt", "c.wav", "c.srt")
    np.save(tmp_path / "c.npy", np.zeros((40, 58)))
    assert [clip.missing for clip in found(tmp_path)] == [("words",), ("sound", "face"), ()]


def test_a_run_does_not_take_its_results_for_clips(tmp_path):
    touch(tmp_path, "a.wav", "reactions/run.json", "reactions/manifest.jsonl")
    touch(tmp_path, "reactions/a.npz", "reactions/a.priors.json", "reactions/a.csv")
    (tmp_path / "reactions/b.json").write_text(WORDS_JSON)
    result = find_clips(tmp_path)
    assert [clip.id for clip in result.clips] == ["a"]
    assert {entry.reason for entry in result.ignored} == {"it is a result of a run"}
    touch(tmp_path, "other/run-1-of-2.json", "other/manifest-1-of-2.jsonl", "other/a.npz")
    with pytest.raises(UsageError, match="a result of a run"):
        find_clips(tmp_path / "other")


def test_results_beside_their_clips(tmp_path):
    """The output of a run may be its input."""
    touch(tmp_path, "a.wav", "b/c.srt", "run.json", "manifest.jsonl", "a.npz", "b/c.npz")
    (tmp_path / "a.priors.json").write_text(WORDS_JSON)
    result = find_clips(tmp_path)
    assert [(clip.id, clip.notes) for clip in result.clips] == [("a", ()), ("b/c", ())]
    assert len(result.ignored) == 5


def test_a_file_stands_for_its_clip(tmp_path):
    touch(tmp_path, "a.wav", "a.srt", "b.wav", "processed/a.csv", "sub/a.wav", "README.md")
    for name in ("a.wav", "a.srt"):
        (clip,) = found(tmp_path / name)
        assert clip.id == "a"
        assert named(clip) == {"sound": "a.wav", "words": "a.srt", "face 0": "a.csv"}
    assert [clip.id for clip in found(tmp_path / "a.wav", tmp_path / "a.srt")] == ["a"]
    assert [clip.id for clip in found(tmp_path / "a.wav", tmp_path / "b.wav")] == ["a", "b"]


def test_patterns(tmp_path):
    touch(tmp_path, "a.wav", "a.srt", "b.wav", "sub/c.wav", "[x].wav")
    assert [clip.id for clip in found(f"{tmp_path}/?.wav")] == ["a", "b"]
    assert [clip.id for clip in found(f"{tmp_path}/**/*.wav")] == ["[x]", "a", "b", "c"]
    assert [clip.id for clip in found(f"{tmp_path}/[x].wav")] == ["[x]"]  # a file of that name
    with pytest.raises(UsageError, match="matches nothing"):
        find_clips(f"{tmp_path}/*.flac")


def test_a_folder_without_clips_among_several_inputs_is_told(tmp_path):
    touch(tmp_path, "talks/a.wav", "empty/notes.txt")
    result = find_clips([tmp_path / "talks", tmp_path / "empty"])
    assert [clip.id for clip in result.clips] == ["a"]
    assert f"no clips found in {tmp_path / 'empty'}" in result.notes


def test_ids_of_several_inputs_are_unique(tmp_path):
    touch(tmp_path, "one/day/a.wav", "two/day/a.wav", "two/day/b.wav", "three/a.wav", "c.wav")
    inputs = [tmp_path / name for name in ("one/day", "two/day", "three", "c.wav")]
    clips = found(*inputs)
    assert [clip.id for clip in clips] == ["b", "c", "one/day/a", "three/a", "two/day/a"]
    again = found(*inputs, tmp_path / "two/day/b.wav", tmp_path / "two")  # each clip once
    assert [clip.sound for clip in again] == [clip.sound for clip in clips]
