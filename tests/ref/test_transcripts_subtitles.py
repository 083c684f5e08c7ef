"""Subtitles as people really have them: the right words and times."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mreactor_ref.errors import ClipError
from mreactor_ref.features.words import Transcript, read_words

pysubs2 = pytest.importorskip("pysubs2")


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


HI = ("Hi you.", 1.0, 2.0)
BYE = ("Bye!", 3.0, 4.0)
FIRST, SECOND = "00:00:01,000 --> 00:00:02,000\nHi you.\n", "00:00:03,000 --> 00:00:04,000\nBye!\n"


@pytest.mark.parametrize(
    "text",
    {
        "numbered": f"1\n{FIRST}\n2\n{SECOND}",
        "no numbers": f"{FIRST}\n{SECOND}",
        "no empty lines": f"1\n{FIRST}2\n{SECOND}",
        "numbers that are wrong": f"7\n{FIRST}\n7\n{SECOND}",
        "points": f"1\n{FIRST}\n2\n{SECOND}".replace(",0", ".0"),
        "no hours": f"1\n{FIRST}\n2\n{SECOND}".replace("00:00:", "00:"),
        "one digit": f"1\n{FIRST}\n2\n{SECOND}".replace("00:00:0", "0:0:").replace(",000", ",0"),
        "no milliseconds": f"1\n{FIRST}\n2\n{SECOND}".replace(",000", ""),
        "a space in the time": f"1\n{FIRST}\n2\n{SECOND}".replace(",000", ", 000"),
        "no space at the arrow": f"1\n{FIRST}\n2\n{SECOND}".replace(" --> ", "-->"),
        "a short arrow": f"1\n{FIRST}\n2\n{SECOND}".replace("-->", "->"),
        "positions": f"1\n{FIRST}\n2\n{SECOND}".replace("02,000\n", "02,000 X1:40 X2:600 Y1:20\n"),
        "tags": f"1\n{FIRST}\n2\n{SECOND}".replace("Hi", "{\\an8}<font color='red'><i>Hi</i>"),
        "breaks of ssa": f"1\n{FIRST}\n2\n{SECOND}".replace("Hi you", r"Hi\Nyou"),
        "karaoke of ssa": f"1\n{FIRST}\n2\n{SECOND}".replace("Hi you", r"{\k50}Hi {\k50}you"),
        "entities": f"1\n{FIRST}\n2\n{SECOND}".replace("Hi you", "Hi&nbsp;you"),
        "an empty line within": f"1\n{FIRST}\n2\n{SECOND}".replace("Hi you", "Hi\n\nyou"),
        "spaces at ends": f"1\n{FIRST}\n2\n{SECOND}".replace("\n", "  \n"),
        "marks of UTF-8 within": f"\ufeff1\n{FIRST}\n\ufeff2\n{SECOND}",
        "old ends of lines": f"1\n{FIRST}\n2\n{SECOND}".replace("\n", "\r\n"),
        "out of order": f"2\n{SECOND}\n1\n{FIRST}",
    }.items(),
    ids=lambda item: item[0],
)
def test_srt(tmp_path, text):
    transcript = read(tmp_path, "a.srt", text[1])
    assert cues(transcript) == [HI, BYE]
    assert transcript.warnings == ()
    assert cues(read(tmp_path, "a.txt", text[1])) == [HI, BYE]  # whatever it is called


@pytest.mark.parametrize("name", ["a.srt", "a.vtt", "a.txt"])
def test_long_cues_at_whole_seconds_are_no_milliseconds(tmp_path, name):
    text = "00:00:05,000 --> 00:03:25,000\nHi you.\n\n00:05:00,000 --> 00:10:00,000\nBye!\n"
    text = f"WEBVTT\n\n{text.replace(',', '.')}" if name == "a.vtt" else text
    transcript = read(tmp_path, name, text, 700.0)
    assert cues(transcript) == [("Hi you.", 5.0, 205.0), ("Bye!", 300.0, 600.0)]
    assert transcript.warnings == ()


def test_times_of_hours(tmp_path):
    text = "1:02:03.4 --> 1:02:04\nHi\n"
    assert cues(read(tmp_path, "a.srt", text, 4000.0)) == [("Hi", 3723.4, 3724.0)]


def test_a_number_that_is_said_is_kept(tmp_path):
    seven = FIRST.replace("you.", "you.\n7")
    text = f"1\n{seven}2\n{SECOND}"
    assert [text for text, *_ in cues(read(tmp_path, "a.srt", text))] == ["Hi you. 7", "Bye!"]


def test_a_cue_that_runs_backwards_is_mended(tmp_path):
    text = f"1\n{FIRST}\n2\n00:00:02,500 --> 00:00:02,100\nso\n\n3\n{SECOND}"
    transcript = read(tmp_path, "a.srt", text)
    assert cues(transcript) == [HI, ("so", 2.5, 3.0), BYE]
    assert transcript.warnings == (
        "a.srt: times that run backwards, mended by their neighbours: 1",
    )
    # a start far away is the one that is wrong
    far = text.replace("00:00:02,500 -->", "00:01:02,500 -->")
    assert cues(read(tmp_path, "a.srt", far)) == [HI, ("so", 2.0, 2.1), BYE]


@pytest.mark.parametrize("bad", ["00:00:09,500 -->", "00:00:0x,000 --> 00:00:09,000\nlost"])
def test_a_cue_whose_times_cannot_be_read_is_left_out(tmp_path, bad):
    transcript = read(tmp_path, "a.srt", f"1\n{FIRST}\n2\n{SECOND}\n3\n{bad}\n")
    assert cues(transcript) == [HI, BYE]
    (line,) = transcript.warnings
    assert "cues left out, for their times cannot be read: 1, first '00:00:0" in line


def test_an_arrow_that_is_said(tmp_path):
    text = f"1\n{FIRST.replace('you', 'you --> there')}\n2\n{SECOND}"
    assert cues(read(tmp_path, "a.srt", text))[0][0] == "Hi you there."


def test_vtt(tmp_path):
    text = """WEBVTT Kind: captions; Language: en
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

STYLE
::cue(b) { color: red }

REGION
id:fred

NOTE scene --> cut

intro
00:01.000 --> 00:02.000 align:start position:0% line:-1
<v.loud Anna>Hi <b>you</b>.</v>

NOTE 00:02.500 --> 00:02.900
of two lines

00:00:03.000 --> 00:00:04.000
<c.yellow>Bye!</c>
"""
    transcript = read(tmp_path, "a.vtt", text)
    assert cues(transcript) == [HI, BYE]
    assert transcript.warnings == ()


def test_two_voices(tmp_path):
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>Hi\n\n00:03.000 --> 00:04.000\n<v Ben>No\n"
    assert read(tmp_path, "a.vtt", text).warnings == (
        "a.vtt: 2 speakers speak in it (Anna, Ben): the words of all are taken",
    )


LINES = ("so today we", "talk about the", "weather in the", "north of the", "country")


def test_captions_that_roll_up_without_times_inside(tmp_path):
    """Made of the automatic captions of a video site: every line is shown twice."""
    text = ""
    for i, (above, below) in enumerate(zip(("", *LINES), LINES, strict=False)):
        times = f"00:00:{2 * i:02d},000 --> 00:00:{2 * i + 2:02d},000"
        text += f"{i + 1}\n{times}\n{above}\n{below}\n\n"
    transcript = read(tmp_path, "a.srt", text)
    assert [text for text, *_ in cues(transcript)] == list(LINES)
    assert transcript.warnings == ("a.srt: lines that are shown twice, read once: 4",)


def test_a_thing_that_is_said_twice_is_kept(tmp_path):
    text = "".join(f"00:00:0{i},000 --> 00:00:0{i + 1},000\nNo!\n\n" for i in range(3))
    assert len(cues(read(tmp_path, "a.srt", text))) == 3


def test_captions_that_last_into_the_next(tmp_path):
    text = "".join(
        f"00:00:{2 * i:02d},000 --> 00:00:{2 * i + 4:02d},000\n{line}\n\n"
        for i, line in enumerate(LINES)
    )
    transcript = read(tmp_path, "a.srt", text)
    assert [u[1:] for u in cues(transcript)] == [
        (0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 12.0),
    ]  # fmt: skip
    assert transcript.warnings == (
        "a.srt: cues that last into the next one, ended where that begins: 4",
    )


def test_a_watermark_far_behind(tmp_path):
    text = f"{FIRST}\n{SECOND}\n99:59:58,000 --> 99:59:59,000\nby nobody\n"
    alone = read(tmp_path, "a.srt", text, None)
    assert cues(alone) == [HI, BYE]
    assert alone.end == 4.0
    assert alone.warnings == ("a.srt: words left out after 6000 minutes of silence: 2",)
    assert cues(read(tmp_path, "a.srt", text)) == [HI, BYE]


def test_words_alone_for_longer_than_a_clip_lasts(tmp_path):
    text = "".join(
        f"{i // 12}:{i % 12 * 5:02d}:00,000 --> {i // 12}:{i % 12 * 5:02d}:05,000\nhi\n\n"
        for i in range(40)
    )
    with pytest.raises(ClipError, match="lasts 60 minutes, and there is no sound or face"):
        read(tmp_path, "a.srt", text, None)
    assert len(read(tmp_path, "a.srt", text, 4 * 3600.0).words) == 40


def test_the_regular_ones_are_what_a_library_reads(tmp_path):
    """pysubs2 as an oracle; but it drops a last line that is a number, so no line is one."""
    rng = random.Random(0)
    for _ in range(40):
        subtitles, time = pysubs2.SSAFile(), 0
        for _ in range(rng.randrange(1, 12)):
            time += rng.randrange(1, 3000)
            end = time + rng.randrange(1, 3000)
            words = " ".join(rng.choices(["a", "Go!", "9th", "it's", "é", "of"], k=5))
            lines = words.replace(" of ", "\\N")
            subtitles.append(pysubs2.SSAEvent(time, end, lines))
            time = end
        for form in ("srt", "vtt"):
            text = subtitles.to_string(form)
            expected = [
                (" ".join(event.plaintext.split()), event.start / 1000, event.end / 1000)
                for event in pysubs2.SSAFile.from_string(text, form)
            ]
            assert cues(read(tmp_path, f"a.{form}", text, 100.0)) == expected


# Encodings


def test_windows_1252(tmp_path):
    text = f"1\n{FIRST}\n2\n{SECOND}".replace("Hi", "Très \u2019tit").encode("cp1252")
    transcript = read(tmp_path, "a.srt", text)
    assert cues(transcript)[0][0] == "Très \u2019tit you."
    assert transcript.warnings == (
        "a.srt: is not UTF-8: read as Windows-1252; check its accents, or save it as UTF-8",
    )


def test_a_file_of_many_letters(tmp_path, monkeypatch):
    monkeypatch.setattr("mreactor_ref.features.words.MAX_LETTERS", 5)
    with pytest.raises(ClipError, match="holds more than 5 letters"):
        read(tmp_path, "a.srt", FIRST)
    monkeypatch.setattr("mreactor_ref.features.transcripts.text_file.MAX_BYTES", 2**20)
    with pytest.raises(ClipError, match="is larger than 1 MiB"):
        read(tmp_path, "a.srt", FIRST * 50_000)
