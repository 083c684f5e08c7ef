"""`mreactor-data transcribe`: where words are written, what is left alone, what fails alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.whisper import stand_in

from mreactor_ref.cli import data
from mreactor_ref.data.clips import find_clips
from mreactor_ref.data.simulated.dataset import write_wav
from mreactor_ref.features.words import read_words
from mreactor_ref.signals import SAMPLE_RATE

SAID = ("Hello", "there.", "You", "too?")


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    return stand_in(monkeypatch, tmp_path / "weights")


def sounds(root: Path, *names: str) -> None:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_wav(root / name, np.full(3 * SAMPLE_RATE, 0.01 * (i + 1), np.float32))


def run(*arguments: object) -> Result:
    weights = ["--model", "./weights"]
    return CliRunner().invoke(data, ["transcribe", *weights, *map(str, arguments)])


def words_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.json"))


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "clips"


def test_words_are_written_beside_clips(root, model):
    sounds(root, "b.wav", "deep/a.b.wav", "had.wav", "grid.wav", ".hidden.wav")
    (root / "grid.TextGrid").write_text("mine")
    (root / "had.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nMine\n")
    result = run(root)
    assert result.exit_code == 0, result.output
    assert "Wrote the words of 2 sounds; 2 had words, 0 failed" in result.stdout
    assert words_below(root) == ["b.json", "deep/a.b.json"]
    read = read_words(root / "deep" / "a.b.json", 3.0)
    assert tuple(w.text for words in read.words for w in words) == SAID
    assert read.warnings == ()
    assert len(find_clips(root).clips) == 4
    again = run(root)
    assert "Wrote the words of 0 sounds; 4 had words, 0 failed" in again.stdout
    assert len(model.asked) == 2


def test_a_run_that_was_stopped_goes_on(root, model):
    sounds(root, "a.wav", "b.wav", "c.wav")
    run(root / "b.wav")
    assert words_below(root) == ["b.json"]
    assert "Wrote the words of 2 sounds; 1 had words" in run(root).stdout
    assert len(model.asked) == 3


def test_one_bad_clip_stops_nothing(root, model):
    sounds(root, "a.wav", "twice.wav", "z.wav")
    (root / "bad.wav").write_bytes(b"no sound")
    (root / "twice.flac").write_bytes(b"no sound either")
    result = run(root)
    assert result.exit_code == 3
    assert "Wrote the words of 2 sounds; 0 had words, 3 failed" in result.stdout
    failed = [line for line in result.stderr.splitlines() if line.startswith("Failed")]
    assert len(failed) == 3
    assert failed[0].startswith(f"Failed: {root / 'bad.wav'}: cannot be read as sound")
    assert failed[1].startswith(f"Failed: {root / 'twice.flac'}: cannot be read as sound")
    assert "twice.wav: is a second sound for one clip, beside twice.flac" in failed[2]
    assert words_below(root) == ["a.json", "z.json"]


def test_a_failure_of_the_model_is_one_clip_s(root, model):
    sounds(root, "a.wav")
    model.fails = RuntimeError("CUDA out of memory")
    result = run(root)
    assert result.exit_code == 3
    assert f"Failed: {root / 'a.wav'}: cannot be transcribed: CUDA out of memory" in result.stderr
    model.fails = None
    assert run(root).exit_code == 0


def test_a_silent_clip_has_words_now(root, model):
    model.said = ()
    sounds(root, "a.wav")
    result = run(root)
    assert f"{root / 'a.wav'}: no speech was found in the sound" in result.stderr
    assert "1 had words" in run(root).stdout
    assert read_words(root / "a.json", 3.0).words == ()


def test_a_mars_tree(root):
    sounds(
        root,
        "train/audio/speaker/s1/c1.wav",
        "train/audio/listener/s1/c1.wav",
        "val/audio/speaker/s2/c1.wav",
        "notes/other.wav",
    )
    assert run(root).exit_code == 0
    assert words_below(root) == [
        "train/words/listener/s1/c1.json",
        "train/words/speaker/s1/c1.json",
        "val/words/speaker/s2/c1.json",
    ]
    clip = find_clips(root).clips[0]
    assert clip.words == root / "train/words/speaker/s1/c1.json"
    assert clip.sound == root / "train/audio/speaker/s1/c1.wav"


def test_a_react_tree(root):
    names = [f"train/Audio_files/NoXI/065_2016-04-14_Paris/{role}_video/1.wav"
             for role in ("Expert", "Novice")]  # fmt: skip
    sounds(root, *names)
    assert run(root).exit_code == 0
    assert words_below(root) == [
        name.replace("Audio_files", "Words_files").replace(".wav", ".json") for name in names
    ]
    assert all(clip.words is not None for clip in find_clips(root).clips)


def test_what_cannot_be(root):
    root.mkdir()
    result = run(root)
    assert result.exit_code == 2
    assert "no sound found" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "does not exist" in run(root / "nowhere").stderr
