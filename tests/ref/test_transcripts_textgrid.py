"""TextGrids of Praat and of the Montreal Forced Aligner: the right words and times."""

from __future__ import annotations

from pathlib import Path

import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.words import Transcript, read_words


def read(tmp_path: Path, name: str, data: str | bytes, duration: float | None = 20.0) -> Transcript:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_words(path, duration)


def cues(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(u.text, round(u.start, 3), round(u.end, 3)) for u in transcript.utterances]


def flat(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [
        (word.text, round(word.start, 3), round(word.end, 3))
        for words in transcript.words
        for word in words
    ]


LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 1.0
            text = ""
        intervals [2]:
            xmin = 1.0
            xmax = 1.4
            text = "hello"
        intervals [3]:
            xmin = 1.4
            xmax = 1.9
            text = "<unk>"
        intervals [4]:
            xmin = 1.9
            xmax = 2.5
            text = "say ""no"""
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 5
        intervals: size = 1
        intervals [1]:
            xmin = 1.0
            xmax = 1.4
            text = "HH"
'''
SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
5
<exists>
2
"IntervalTier"
"words"
0
5
3
0
1.0
"sil"
1.0
1.4
"hello"
1.9
2.5
"say ""no"""
"TextTier"
"clicks"
0
5
1
0.5
"click"
'''


@pytest.mark.parametrize("text", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le with mark"])
def test_textgrid(tmp_path, text, encoding):
    data = (f"\ufeff{text}").encode("utf-16-le") if "mark" in encoding else text.encode(encoding)
    transcript = read(tmp_path, "a.TextGrid", data)
    assert flat(transcript) == [("hello", 1.0, 1.4), ("say", 1.9, 2.167), ('"no"', 2.167, 2.5)]
    assert transcript.warnings == ()


def test_a_textgrid_of_two_speakers(tmp_path):
    grid = LONG.replace('"words"', '"Anna - words"').replace('"phones"', '"Ben - words"')
    transcript = read(tmp_path, "a.TextGrid", grid.replace('"HH"', '"yes"'))
    assert sorted(word for word, *_ in flat(transcript)) == ['"no"', "hello", "say", "yes"]
    assert transcript.warnings == (
        "a.TextGrid: 2 speakers speak in it (Anna, Ben): the words of all are taken",
    )


def test_a_textgrid_of_utterances(tmp_path):
    grid = LONG.replace('"words"', '"transcript"').replace('"hello"', '"hello there, you"')
    assert cues(read(tmp_path, "a.TextGrid", grid))[0] == ("hello there, you", 1.0, 1.4)


def test_textgrids_that_cannot_be(tmp_path):
    with pytest.raises(ClipError, match="is a TextGrid that is cut off or damaged"):
        read(tmp_path, "a.TextGrid", LONG[: LONG.index("intervals [3]")])
    with pytest.raises(ClipError, match="has no tier of words: phones"):
        read(tmp_path, "a.TextGrid", LONG.replace('"words"', '"phones"'))
    with pytest.raises(ClipError, match="is no TextGrid"):
        read(tmp_path, "a.TextGrid", LONG.replace('"TextGrid"', '"Pitch 1"'))
