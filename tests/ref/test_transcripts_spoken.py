"""What nobody says: names, remarks and signs are left out, and words that only look so are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from mreactor_ref.features.transcripts.spoken import leave_out
from mreactor_ref.features.transcripts.word import Cue, Piece, timed_text
from mreactor_ref.features.words import read_words


def left(text: str) -> str:
    cues, _ = leave_out([timed_text(text, 0.0, 1.0)])
    return " ".join(piece.text.replace("\n", " / ") for cue in cues for piece in cue.pieces)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SPEAKER_00: hello", "hello"),
        ("[SPEAKER_01]: hello", "hello"),
        ("Speaker 1: hello", "hello"),
        ("Speaker A: hello", "hello"),
        ("John: hello", "hello"),
        ("MARY ANN: hello", "hello"),
        ("Christina Lee: hello", "hello"),
        ("Dr. O'Neil: hello", "hello"),
        ("Élodie: bonjour", "bonjour"),
        ("[John]: hello", "hello"),
        (">> hello", "hello"),
        (">>> JOHN: hello", "hello"),
        ("- Hello.\n- You too?", "Hello. / You too?"),
        ("- JOHN: Hello.\n- ANN: You too?", "Hello. / You too?"),
        ("\u2013 hello \u2014 you", "hello you"),
        ("[APPLAUSE]", ""),
        ("[Music] hello [laughs] you", "hello you"),
        ("(laughs) hello", "hello"),
        ("hello (audience applauding)", "hello"),
        ("(LAUGHTER)", ""),
        ("(in a low voice)", ""),  # alone
        ("*sighs* hello", "hello"),
        ("\u266a hello my love \u266a", "hello my love"),
        ("\u266a", ""),
        ("\u266a (upbeat jazz) \u266a", ""),
        ("(00:12) hello", "hello"),
        ("\u3010\u62cd\u624b\u3011 hello", "hello"),
        ("... hello ...", "... hello..."),
    ],
)
def test_left_out(text, said):
    assert left(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "Listen: I am here.",
        "No: I am not.",
        "I told John: stay here.",
        "We met at 10:30.",
        "It costs 5 & 6, or 20%.",
        "I went (with my brother) home.",
        "She said *never* again.",
        "well-known, isn't it?",
        "1999",
        "a: b",
    ],
)
def test_kept(text):
    assert left(text) == text


def test_a_remark_over_several_words_with_times():
    words = ("SPEAKER_00:", "So", "(laughs", "loudly)", "yes", ".", "[noise]")
    cue = Cue(tuple(Piece(word, i, i + 1.0) for i, word in enumerate(words)))
    (cue,), lines = leave_out([cue])
    assert cue.pieces == (Piece("So", 1, 2.0), Piece("yes.", 4, 5.0))
    assert lines == ["left out what nobody says: 'SPEAKER_00:' and 2 more"]


def test_the_time_of_a_name_is_that_of_the_words(tmp_path: Path):
    path = tmp_path / "a.srt"
    path.write_text(
        "00:00:01,000 --> 00:00:02,000\nJohn: hi\n\n00:00:03,000 --> 00:00:04,000\n[x]\n"
    )
    transcript = read_words(path, 5.0)
    assert [(word.text, word.start, word.end) for words in transcript.words for word in words] == [
        ("hi", 1.0, 2.0)
    ]
    assert transcript.warnings == ("a.srt: left out what nobody says: 'John:' and 1 more",)


def test_two_names_are_two_speakers():
    _, lines = leave_out([timed_text("John: hi", 0, 1), timed_text("Ann: no", 1, 2),
                          timed_text("John: yes", 2, 3)])  # fmt: skip
    assert lines[1] == "2 speakers speak in it (John, Ann): the words of all are taken"
