"""Plain text: sentences over the whole clip, unless its lines begin with times."""

from __future__ import annotations

import re

from mreactor_ref.features.transcripts.clock import CLOCK, clock_seconds
from mreactor_ref.features.transcripts.subtitles import TIMING, parse_subtitles
from mreactor_ref.features.transcripts.word import Cue, Parsed, Word, spread, timed_text

_TIME = rf"(?:{CLOCK}|(\d+(?:\.\d+)?)\s?s)"
# [00:01.000 -> 00:03.250]  hello, as recognisers print it; [0.00s -> 3.25s] hello
SPAN = re.compile(
    rf"\s*[\[(]?{_TIME}\s*(?:-{{1,2}}>|[-\u2013\u2014\u2192])\s*{_TIME}[\])]?:?\s*(.*)"
)
# 0:01 hello; (00:01) hello; 0:01 alone, the words on the next line
START = re.compile(rf"\s*[\[(]?{CLOCK}[\])]?(?:\s*[-:\u2013]?\s+(.*)|\s*)$")
# Anna  0:01, the words on the next line
HEADER = re.compile(rf"\s*([^\W\d][^:\[\](){{}}]{{0,40}}?):?\s+[\[(]?{CLOCK}[\])]?\s*$")
SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|\n+")


def parse_plain(text: str) -> Parsed:
    """The lines of a text; with times, where they begin with times."""
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    if any((timing := TIMING.match(line)) and timing.end() == len(line) for line in lines):
        return parse_subtitles(text)
    if sum(bool(SPAN.match(line)) for line in lines) * 2 >= len(lines):
        return Parsed(_spans(lines), in_seconds=True)
    starts = [line for line in lines if START.match(line) or HEADER.match(line)]
    if len(starts) > 1 and len(starts) * 3 >= len(lines):
        return Parsed(_starts(lines), in_seconds=True)
    return Parsed([timed_text(line, None, None) for line in lines], untimed=True)


def spread_sentences(cues: list[Cue], duration: float) -> list[list[Word]]:
    """The sentences of lines over the whole clip."""
    text = "\n".join(piece.text for cue in cues for piece in cue.pieces)
    words = iter(spread(text, 0.0, duration))
    sentences = (sentence.split() for sentence in SENTENCE_END.split(text))
    return [[next(words) for _ in sentence] for sentence in sentences if sentence]


def _spans(lines: list[str]) -> list[Cue]:
    """Cues of lines that begin with two times; other lines go on with the cue before."""
    cues: list[tuple[float, float, list[str]]] = []
    for line in lines:
        if match := SPAN.match(line):
            start, end = _time(match.groups()[:5]), _time(match.groups()[5:10])
            cues.append((start, end, [match[11]]))
        elif cues:
            cues[-1][2].append(line)
    return [timed_text("\n".join(texts), start, end) for start, end, texts in cues]


def _starts(lines: list[str]) -> list[Cue]:
    """Cues of lines that begin with one time, and last until the next."""
    cues: list[tuple[float, str | None, list[str]]] = []
    for line in lines:
        if match := START.match(line):
            cues.append((_time(match.groups()[:4]), None, [match[5] or ""]))
        elif match := HEADER.match(line):
            cues.append((_time(match.groups()[1:5]), match[1], []))
        elif cues:
            cues[-1][2].append(line)
    return [timed_text("\n".join(texts), start, None, who) for start, who, texts in cues]


def _time(groups: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction, *number = groups
    if minutes is None or seconds is None:
        return float(number[0] or 0)
    return clock_seconds(hours, minutes, seconds, fraction)
