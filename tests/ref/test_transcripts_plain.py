"""Plain text whose lines begin with times, and text that only speaks of times."""

from __future__ import annotations

from pathlib import Path

import pytest

from mreactor_ref.features.words import Transcript, read_words


def read(tmp_path: Path, name: str, data: str | bytes, duration: float | None = 20.0) -> Transcript:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_words(path, duration)


def cues(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(u.text, round(u.start, 3), round(u.end, 3)) for u in transcript.utterances]


HI = ("Hi you.", 1.0, 2.0)
BYE = ("Bye!", 3.0, 4.0)


@pytest.mark.parametrize(
    "text",
    [
        "[00:01.000 -> 00:02.000]  Hi you.\n[00:03.000 -> 00:04.000]  Bye!\n",
        "[00:00:01.000 --> 00:00:02.000]   Hi you.\n[00:00:03.000 --> 00:00:04.000]   Bye!\n",
        "[1.00s -> 2.00s]  Hi you.\n[3.00s -> 4.00s] Bye!\n",
        "00:01.000 --> 00:02.000: Hi you.\n00:03.000 --> 00:04.000: Bye!\n",
        "0:01 - 0:02 Hi\nyou.\n0:03 - 0:04 Bye!\n",
    ],
)
def test_text_with_spans_of_time(tmp_path, text):
    for duration in (20.0, None):
        transcript = read(tmp_path, "a.txt", text, duration)
        assert cues(transcript) == [HI, BYE]
        assert transcript.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "0:01 Hi you.\n0:03 Bye!\n",
        "(0:01) Hi you.\n(0:03) Bye!\n",
        "[00:00:01] Hi you.\n[00:00:03] Bye!\n",
        "0:01\nHi you.\n0:03\nBye!\n",
        "Anna  0:01\nHi you.\n\nAnna  0:03\nBye!\n",
    ],
)
def test_text_with_starts(tmp_path, text):
    assert cues(read(tmp_path, "a.txt", text, 4.0)) == [("Hi you.", 1.0, 3.0), BYE]


def test_text_that_speaks_of_times(tmp_path):
    text = "We met at 10:30 in the hall.\n10:45 was too late.\nAnd so on.\nHe left.\nI stayed.\n"
    transcript = read(tmp_path, "a.txt", text)
    assert "10:45 was too late." in [u.text for u in transcript.utterances]
    assert transcript.end == 20.0
