"""The formats that words come in: subtitle cues, word times in JSON, plain text.

Each parser takes the text of a file and returns its words, one list an utterance.
"""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.errors import ClipError

PAUSE = 1.0  # seconds of silence between words that begin a new utterance
REPEAT_GAP = 0.1  # seconds; a rolling caption repeats its last line within this
EXAMPLE = "00:00:01,000 --> 00:00:02,500"

_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s|$)")
_INLINE = re.compile(r"<((?:\d{1,4}:)?\d{1,2}:\d{2}\.\d{3})>")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+|\n+")


@dataclass(frozen=True)
class Word:
    """One word; times in seconds from the start of the clip."""

    start: float
    end: float
    text: str


def spread(text: str, start: float, end: float) -> list[Word]:
    """The words of a text over [start, end), each with time by its length."""
    tokens = text.split()
    edges = np.cumsum([0, *(len(token) + 1 for token in tokens)], dtype=np.float64)
    times = (start + (end - start) * edges / max(edges[-1], 1.0)).tolist()
    return [Word(*span) for span in zip(times[:-1], times[1:], tokens, strict=True)]


def parse_plain(text: str, duration: float) -> list[list[Word]]:
    """Sentences over the whole clip."""
    words = iter(spread(text, 0.0, duration))
    sentences = (sentence.split() for sentence in _SENTENCE_END.split(text))
    return [[next(words) for _ in sentence] for sentence in sentences if sentence]


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    whole = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    return whole + int(fraction) / 10 ** len(fraction)


def parse_subtitles(text: str, path: Path) -> list[list[Word]]:
    """Cues of srt and vtt. Only times open a cue, so headers, notes and numbers fall away."""
    cues: list[tuple[float, float, list[str]]] = []
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if match := _TIMING.match(line):
            if inside and cues[-1][2] and cues[-1][2][-1].strip().isdigit():
                cues[-1][2].pop()  # the number of this cue, with no empty line before it
            start, end = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
            if end < start:
                raise ClipError(f"line {number}: a cue ends before it starts", path, "correct it")
            cues.append((start, end, []))
            inside = True
        elif "-->" in line and not inside:
            raise ClipError(
                f"line {number}: a time that cannot be read: {line.strip()[:60]!r}",
                path,
                f"write {EXAMPLE}",
            )
        elif not line:
            inside = False
        elif inside and line.strip():
            cues[-1][2].append(line)
    if not cues and not text.lstrip().startswith("WEBVTT"):
        raise ClipError("holds no cue", path, f"a cue has a line like {EXAMPLE}")
    if _INLINE.search(text):
        _drop_repeats(cues)
    return [_cue_words(start, end, " ".join(lines)) for start, end, lines in cues]


def _drop_repeats(cues: list[tuple[float, float, list[str]]]) -> None:
    """Rolling captions show the line before once more above the new one: keep it once."""
    before_end, before = -math.inf, ""
    for start, end, lines in cues:
        plain = [_TAG.sub("", _INLINE.sub("", line)).strip() for line in lines]
        if lines and start - before_end < REPEAT_GAP and plain[0] == before:
            del lines[0]
        if plain:
            before = plain[-1]
        before_end = end


def _cue_words(start: float, end: float, text: str) -> list[Word]:
    """The words of a cue; times inside its text (vtt) are the starts of what follows them."""
    parts = _INLINE.split(text)
    times = [start]
    for clock in parts[1::2]:
        match = re.fullmatch(_CLOCK, clock)
        assert match is not None, clock
        times.append(min(max(_seconds(*match.groups()), times[-1]), end))
    times.append(end)
    plain = (html.unescape(_TAG.sub("", part)) for part in parts[::2])
    spans = zip(plain, times[:-1], times[1:], strict=True)
    return [word for part, first, last in spans for word in spread(part, first, last)]


def parse_json(text: str, path: Path) -> list[list[Word]]:
    """Word times as recognisers write them.

    A list of words, {"words": [...]}, or {"segments": [...]} (also "chunks") whose items have
    their own "words" or only "text". A word is {"word" or "text", "start", "end"}, or has
    "timestamp": [start, end].
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClipError(f"is not JSON: {error}", path, "transcribe it again") from error
    entries = data
    if isinstance(data, dict):
        entries = next((data[k] for k in ("segments", "chunks", "words") if k in data), None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ClipError(
            "has no word times", path, 'use [{"word": "hello", "start": 0.1, "end": 0.4}, ...]'
        )
    if isinstance(data, dict) and "segments" in data:
        return [_segment(entry, f"segment {i}", path) for i, entry in enumerate(entries)]
    timed = [_timed(entry, f"word {i}", path) for i, entry in enumerate(entries)]
    return utterances(
        [word for entry in timed for word in spread(entry.text, entry.start, entry.end)]
    )


def _segment(entry: dict[str, Any], name: str, path: Path) -> list[Word]:
    """One segment; words without times of their own (numbers, often) share the segment's."""
    inner = entry.get("words")
    if isinstance(inner, list) and inner and all(_has_times(word) for word in inner):
        words = [_timed(word, f"{name}, word {i}", path) for i, word in enumerate(inner)]
        return [word for word in words if word.text]
    whole = _timed(entry, name, path)
    return spread(whole.text, whole.start, whole.end)


def _has_times(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    return entry.get("timestamp") is not None or None not in (entry.get("start"), entry.get("end"))


def _timed(entry: dict[str, Any], name: str, path: Path) -> Word:
    text = entry.get("word", entry.get("text"))
    times = entry.get("timestamp", (entry.get("start"), entry.get("end")))
    if not isinstance(text, str):
        raise ClipError(f"{name} has no text", path, 'each has "word" or "text"')
    try:
        start, end = (float(time) for time in times)
    except (TypeError, ValueError, OverflowError) as error:
        raise ClipError(f"{name} has no times", path, 'each has "start" and "end"') from error
    if not 0 <= start <= end < math.inf:
        raise ClipError(
            f"{name} lasts from {start:g} to {end:g} s", path, "times are seconds, and rise"
        )
    return Word(start, end, " ".join(text.split()))


def utterances(words: list[Word]) -> list[list[Word]]:
    """Words as utterances: one ends with a sentence, or before a pause."""
    groups: list[list[Word]] = []
    for word in sorted(words, key=lambda w: w.start):
        last = groups[-1][-1] if groups else None
        if last is None or word.start - last.end > PAUSE or last.text[-1] in ".!?\u2026":
            groups.append([])
        groups[-1].append(word)
    return groups
