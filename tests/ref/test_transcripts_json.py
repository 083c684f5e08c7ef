"""Json transcripts as recognisers, services and aligners write them: the right words and times."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.transcripts.json_forms import FORMS
from mreactor_ref.features.words import Transcript, read_words

# Two utterances: "Hello there." from 1.0 s, "Bye!" from 4.5 s.
TIMES = ((1.0, 1.3), (1.3, 1.8), (4.5, 5.25))
WORDS = ("Hello", "there.", "Bye!")
BARE = ("hello", "there", "bye")
EXPECTED = [("Hello", 1.0, 1.3), ("there.", 1.3, 1.8), ("Bye!", 4.5, 5.25)]


def read(tmp_path: Path, data: object, duration: float | None = 10.0) -> Transcript:
    path = tmp_path / "a.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return read_words(path, duration)


def flat(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [
        (word.text, round(word.start, 3), round(word.end, 3))
        for words in transcript.words
        for word in words
    ]


def timed(words=WORDS, key: str = "word", unit: float = 1, **more: Any) -> list[dict[str, Any]]:
    return [
        {key: word, "start": start * unit, "end": end * unit, **more}
        for word, (start, end) in zip(words, TIMES, strict=True)
    ]


def segments(words: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    inner = [{}, {}] if words is None else [{"words": words[:2]}, {"words": words[2:]}]
    return [
        {"id": 0, "start": 0.5, "end": 2.0, "text": " Hello there.", **inner[0]},
        {"id": 1, "start": 4.0, "end": 6.0, "text": " Bye!", **inner[1]},
    ]


def cpp(words: bool) -> dict[str, Any]:
    """whisper.cpp, with the tokens of --output-json-full or without."""
    tokens = [
        ("[_BEG_]", 1000, 1000), (" Hel", 1000, 1150), ("lo", 1150, 1300), (" there", 1300, 1750),
        (".", 1750, 1800), ("[_TT_90]", 1800, 1800),
    ]  # fmt: skip
    items = [
        {"timestamps": {"from": "00:00:01,000", "to": "00:00:01,800"},
         "offsets": {"from": 1000, "to": 1800}, "text": " Hello there."},
        {"timestamps": {"from": "00:00:04,500", "to": "00:00:05,250"},
         "offsets": {"from": 4500, "to": 5250}, "text": " Bye!"},
    ]  # fmt: skip
    if words:
        items[0]["tokens"] = [
            {"text": text, "offsets": {"from": first, "to": last}, "id": 1, "p": 0.9}
            for text, first, last in tokens
        ]
    return {
        "systeminfo": "AVX = 1", "model": {"type": "base"}, "params": {"language": "auto"},
        "result": {"language": "en"}, "transcription": items,
    }  # fmt: skip


def deepgram() -> dict[str, Any]:
    words = timed(BARE, confidence=0.99)
    for word, text in zip(words, WORDS, strict=True):
        word["punctuated_word"] = text
    best = {"transcript": "Hello there. Bye!", "confidence": 0.99, "words": words}
    channel = {"alternatives": [best], "detected_language": "en"}
    return {"metadata": {"duration": 10.0}, "results": {"channels": [channel]}}


def google(start: str, end: str, write) -> dict[str, Any]:
    results = [
        {"alternatives": [{"transcript": "", "words": [
            {start: write(a), end: write(b), "word": word} for word, (a, b) in part]}],
         "languageCode": "en-us"}
        for part in (list(zip(WORDS, TIMES, strict=True))[:2],
                     list(zip(WORDS, TIMES, strict=True))[2:])
    ]  # fmt: skip
    return {"results": results}


def nanos(time: float) -> dict[str, Any]:
    return {"seconds": str(int(time)), "nanos": round(time % 1 * 1e9)}


def aws() -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for word, sign, (start, end) in zip(("Hello", "there", "Bye"), ("", ".", "!"), TIMES,
                                        strict=True):  # fmt: skip
        alternative = [{"confidence": "0.99", "content": word}]
        items.append({"type": "pronunciation", "start_time": str(start), "end_time": str(end),
                      "alternatives": alternative, "speaker_label": "spk_0"})  # fmt: skip
        if sign:
            items.append({"type": "punctuation",
                          "alternatives": [{"confidence": "0.0", "content": sign}]})  # fmt: skip
    results = {"language_code": "en-US", "transcripts": [{"transcript": "Hello there. Bye!"}],
               "items": items}  # fmt: skip
    return {"jobName": "a", "accountId": "1", "status": "COMPLETED", "results": results}


def assemblyai() -> dict[str, Any]:
    words = timed(key="text", unit=1000, confidence=0.9, speaker=None)
    for word in words:
        word["start"], word["end"] = round(word["start"]), round(word["end"])
    return {"id": "a", "language_code": "en_us", "audio_url": "x", "text": "Hello there. Bye!",
            "words": words, "utterances": None, "audio_duration": 10}  # fmt: skip


VOSK = [
    {"result": timed(conf=1.0)[:2], "text": "hello there"},
    {"text": ""},
    {"result": timed(conf=1.0)[2:], "text": "bye"},
]
CHUNKS = [{"text": f" {word}", "timestamp": list(span)}
          for word, span in zip(WORDS, TIMES, strict=True)]  # fmt: skip

CASES: dict[str, object] = {
    "openai words and segments": {
        "task": "transcribe", "language": "english", "duration": 10.0, "text": "Hello there. Bye!",
        "words": timed(("Hello", "there", "Bye")), "segments": segments(None)},
    "openai words alone": {"text": "", "language": "english", "words": timed()},
    "whisper with word times": {"text": "", "language": "en", "segments": segments(timed())},
    "whisper-timestamped": {"language": "en", "segments": segments(timed(key="text"))},
    "faster-whisper": segments(timed()),
    "whisperX": {"language": "en", "segments": segments(timed()), "word_segments": timed()},
    "transformers": {"text": "", "chunks": CHUNKS},
    "whisper.cpp": cpp(words=True),
    "deepgram": deepgram(),
    "google, strings": google("startTime", "endTime", lambda time: f"{time:.3f}s"),
    "google, nanos": google("startTime", "endTime", nanos),
    "google, version 1 in python": google("start_time", "end_time", nanos),
    "google, version 2": google("startOffset", "endOffset", lambda time: f"{time}s"),
    "google, an operation": {"name": "1", "done": True,
                             "response": google("startTime", "endTime", nanos)},
    "aws": aws(),
    "assemblyai": assemblyai(),
    "vosk, a list": VOSK,
    "vosk, one after the other": "\n".join(json.dumps(part, indent=1) for part in VOSK),
    "a list of words": timed(),
    "words": {"words": timed(key="text")},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_words_and_times(tmp_path, name):
    transcript = read(tmp_path, CASES[name])
    assert flat(transcript) == EXPECTED
    assert [u.text for u in transcript.utterances] == ["Hello there.", "Bye!"]
    assert transcript.warnings == ()
    told = "english" in str(CASES[name]) or re.search(r"'en[-_']", str(CASES[name]))
    assert transcript.language == ("en" if told else None)


@pytest.mark.parametrize("name", ["whisper.cpp", "whisper", "faster-whisper"])
def test_segments_without_words_share_their_time(tmp_path, name):
    data = {
        "whisper.cpp": cpp(words=False),
        "whisper": {"segments": segments(None)},
        "faster-whisper": [{**segment, "words": None} for segment in segments(None)],
    }[name]
    transcript = read(tmp_path, data)
    assert [u.text for u in transcript.utterances] == ["Hello there.", "Bye!"]
    (start, end), later = ((1.0, 1.8), 4.5) if name == "whisper.cpp" else ((0.5, 2.0), 4.0)
    assert (transcript.utterances[0].start, transcript.utterances[0].end) == (start, end)
    assert transcript.utterances[1].start == later
    assert transcript.warnings == ()


def test_gentle_words_that_were_not_found_lie_between_their_neighbours(tmp_path):
    found = [{"case": "success", "alignedWord": word["word"], **word} for word in timed(BARE)]
    lost = {"case": "not-found-in-audio", "word": "my", "startOffset": 12, "endOffset": 14}
    friend = {"case": "not-found-in-audio", "word": "friend", "startOffset": 15, "endOffset": 21}
    data = {
        "transcript": "Hello there my friend bye",
        "words": [*found[:2], lost, friend, found[2]],
    }
    transcript = read(tmp_path, data)
    times = flat(transcript)
    assert [word for word, _, _ in times] == ["hello", "there", "my", "friend", "bye"]
    # 2.7 s for 3 and 7 letters with the space after each
    assert times[2:4] == [("my", 1.8, 2.61), ("friend", 2.61, 4.5)]
    assert transcript.warnings == (
        "a.json: words without times, placed between their neighbours: 2",
    )


def test_whisperx_words_at_the_ends_stay_in_their_segment(tmp_path):
    words = [{"word": "1999"}, *timed()[:2], {"word": "42"}]
    segment = {"start": 0.5, "end": 2.4, "text": "1999 Hello there. 42", "words": words}
    times = flat(read(tmp_path, {"segments": [segment]}))
    assert times == [("1999", 0.5, 1.0), *EXPECTED[:2], ("42", 1.8, 2.4)]


def test_two_speakers_are_told(tmp_path):
    data = assemblyai()
    for word, speaker in zip(data["words"], "AAB", strict=True):
        word["speaker"] = speaker
    transcript = read(tmp_path, data)
    assert flat(transcript) == EXPECTED
    assert transcript.warnings == (
        "a.json: 2 speakers speak in it (A, B): the words of all are taken",
    )


@pytest.mark.parametrize("form", ["whisperx", "deepgram", "aws", "google"])
def test_speakers_of_other_forms(tmp_path, form):
    if form == "whisperx":
        data: Any = {"segments": segments(timed())}
        for i, segment in enumerate(data["segments"]):
            segment["speaker"] = f"SPEAKER_0{i}"
    elif form == "deepgram":
        data = deepgram()
        for i, word in enumerate(data["results"]["channels"][0]["alternatives"][0]["words"]):
            word["speaker"] = i // 2
    elif form == "aws":
        data = aws()
        items = data["results"]["items"]
        items[-2]["speaker_label"] = "spk_1"
    else:  # the last result says all words once more, with speakers
        data = google("startTime", "endTime", nanos)
        every = [word for result in data["results"] for word in result["alternatives"][0]["words"]]
        tagged = [{**word, "speakerTag": 1 + i // 2} for i, word in enumerate(every)]
        data["results"].append({"alternatives": [{"words": tagged}]})
    transcript = read(tmp_path, data)
    assert flat(transcript) == EXPECTED
    (line,) = transcript.warnings
    assert "2 speakers speak in it" in line


def test_google_leaves_out_a_time_of_zero(tmp_path):
    words = [
        {"endTime": "0.400s", "word": "Hi"},
        {"startTime": "0.400s", "endTime": "1s", "word": "you"},
    ]
    data = {"results": [{"alternatives": [{"words": words}]}]}
    assert flat(read(tmp_path, data)) == [("Hi", 0.0, 0.4), ("you", 0.4, 1.0)]


def test_two_channels(tmp_path):
    data = deepgram()
    data["results"]["channels"].append(
        {"alternatives": [{"words": [{"word": "Yes.", "start": 3.0, "end": 3.2}]}]}
    )
    transcript = read(tmp_path, data)
    assert [word for word, _, _ in flat(transcript)] == ["Hello", "there.", "Yes.", "Bye!"]
    assert "2 speakers speak in it (channel 0, channel 1)" in transcript.warnings[0]


def test_a_last_time_of_null(tmp_path):
    chunks = [{"text": "hello my number", "timestamp": [1.0, 5.25]},
              {"text": "is fine.", "timestamp": [7.0, None]}]  # fmt: skip
    assert flat(read(tmp_path, {"chunks": chunks}))[-1] == ("fine.", 8.0, 10.0)
    alone = read(tmp_path, {"chunks": chunks}, None)
    assert 7.0 < alone.end < 8.0  # by the usual pace of speech


@pytest.mark.parametrize(
    "data",
    [[], {"segments": []}, {"text": "", "segments": None}, {"results": []}, {"words": []},
     {"segments": [{"start": 0, "end": 3, "text": "  "}]}],
)  # fmt: skip
def test_nothing_said(tmp_path, data):
    transcript = read(tmp_path, data)
    assert transcript.words == ()
    assert transcript.warnings == ("a.json holds no words: taken as silence",)


def test_an_unknown_form_names_those_that_are_known(tmp_path):
    with pytest.raises(ClipError) as caught:
        read(tmp_path, {"monologue": [{"value": "hi"}]})
    assert all(name in str(caught.value) for name, _ in FORMS)


def test_nothing_that_is_wrong_in_a_file_is_another_error(tmp_path):
    """Values of any kind in any place: read, or a ClipError."""
    rng = random.Random(0)
    odd = (None, True, -1, 1e300, "x", "1e999", float("nan"), 10**400, [], {}, [[]], [1], {"a": 1})

    def spoil(value: Any) -> Any:
        if rng.random() < 0.08:
            return rng.choice(odd)
        if isinstance(value, dict):
            return {k: spoil(v) for k, v in value.items() if rng.random() > 0.03}
        return [spoil(v) for v in value] if isinstance(value, list) else value

    done = [0, 0]
    for data in CASES.values():
        for _ in range(40):
            try:
                transcript = read(tmp_path, spoil(data), rng.choice((None, 10.0)))
                done[0] += 1
            except ClipError:
                done[1] += 1
                continue
            for word, start, end in flat(transcript):
                assert word.strip()
                assert 0 <= start <= end <= 3605
    assert min(done) > 50, done
