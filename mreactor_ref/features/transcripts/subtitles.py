"""Subtitles: the cues of srt and vtt.

Only lines with two times open a cue, so headers, numbers and identifiers fall away. A library such
as pysubs2 isn't used: it drops the times of words inside a cue, speaks notes, and does not see
times without milliseconds.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from itertools import pairwise

from mreactor_ref.features.transcripts.clock import CLOCK, clock_seconds
from mreactor_ref.features.transcripts.word import Cue, Parsed, Piece, Unreadable, timed_text

REPEAT_GAP = 0.1  # seconds; a rolling caption repeats its last line within this
LEAST_REPEATS = 3  # cues that repeat a line, where no times inside show captions that roll
UNTOLD = re.compile(r"[^\d\s:.,>-]")
EXAMPLE = "00:00:01,000 --> 00:00:02,500"

TIMING = re.compile(rf"\s*{CLOCK}\s*-{{1,2}}>\s*{CLOCK}(?:\s|$)")
INLINE = re.compile(r"<((?:\d{1,4}:)?\d{1,2}:\d{2}[.,]\d{1,3})>")
VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^<>]+)>")
TAG = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")
BREAK = re.compile(r"\\[Nnh]")  # of ssa, where srt was made of it
BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")


@dataclass
class _Shown:
    """A cue as it is shown."""

    start: float
    end: float
    lines: list[str] = field(default_factory=list[str])


def parse_subtitles(text: str) -> Parsed:
    """The cues of srt or vtt, in their order.

    Raises:
        Unreadable: no cue can be read.
    """
    lines, warnings = text.split("\n"), list[str]()
    is_vtt = text.lstrip().startswith("WEBVTT")
    if is_vtt:
        lines = _without_blocks(lines)
    shown, bad = _shown(lines, is_vtt)
    if not shown and (bad or not is_vtt):
        where = f": {_times_of(bad[0])!r} is no time" if bad else ""
        raise Unreadable(
            f"holds no cue that can be read{where}", f"a cue has a line like {EXAMPLE}"
        )
    if bad:
        warnings.append(
            f"cues left out, for their times cannot be read: {len(bad)}, "
            f"first {_times_of(bad[0])!r}"
        )
    if dropped := _drop_repeats(shown, bool(INLINE.search(text))):
        warnings += (
            [] if INLINE.search(text) else [f"lines that are shown twice, read once: {dropped}"]
        )
    if cut := _cut_overlaps(shown):
        warnings.append(f"cues that last into the next one, ended where that begins: {cut}")
    cues = [_cue(cue) for cue in shown if cue.lines]
    return Parsed(cues, warnings=warnings, in_seconds=True)


def _times_of(line: str) -> str:
    """The beginning of a line, as far as it is a time: what is said is not told in messages."""
    return UNTOLD.split(line, maxsplit=1)[0].strip()


def _without_blocks(lines: list[str]) -> list[str]:
    """The lines of a vtt without notes, styles and regions, which end with an empty line."""
    kept: list[str] = []
    inside = False
    for i, line in enumerate(lines):
        if not line.strip():
            inside = False
        elif BLOCK.match(line) and (i == 0 or not lines[i - 1].strip()):
            inside = True
        if not inside:
            kept.append(line)
    return kept


def _shown(lines: list[str], is_vtt: bool) -> tuple[list[_Shown], list[str]]:
    """The cues, and the lines that should be a cue's times and cannot be read."""
    shown: list[_Shown] = []
    bad: list[str] = []
    cue: _Shown | None = None  # the one that takes lines
    for i, line in enumerate(lines):
        match = TIMING.match(line)
        if match or ("-->" in line and _opens(lines, i)):
            if cue and cue.lines and cue.lines[-1].strip().isdigit():
                cue.lines.pop()  # the number of this cue
            cue = None
            if match:
                times = match.groups()
                cue = _Shown(clock_seconds(*times[:4]), clock_seconds(*times[4:]))
                shown.append(cue)
            else:
                bad.append(line.strip()[:60])
        elif is_vtt and not line:
            cue = None
        elif cue is not None and line.strip():
            cue.lines.append(line)
    return shown, bad


def _opens(lines: list[str], i: int) -> bool:
    """Whether a line with an arrow stands where a cue's times stand."""
    before = lines[i - 1].strip() if i else ""
    return not before or before.isdigit()


def _plain(line: str) -> str:
    return TAG.sub("", INLINE.sub("", line)).strip()


def _drop_repeats(shown: list[_Shown], rolling: bool) -> int:
    """Rolling captions show the line before once more above the new one: keep it once."""
    repeats: list[_Shown] = []
    before_end, before = 0.0, ""
    for cue in shown:
        plain = [text for line in cue.lines if (text := _plain(line))]
        if plain and before and cue.start - before_end < REPEAT_GAP and plain[0] == before:
            repeats.append(cue)
        before = plain[-1] if plain else before
        before_end = cue.end
    if not rolling and len(repeats) < max(LEAST_REPEATS, len(shown) / 4):
        return 0  # somebody says a thing twice
    for cue in repeats:
        del cue.lines[0]
    return len(repeats)


def _cut_overlaps(shown: list[_Shown]) -> int:
    """Where most cues last into the next one, as captions of two lines do, end them there."""
    pairs = [(cue, after) for cue, after in pairwise(shown) if cue.start < after.start < cue.end]
    if len(pairs) < max(LEAST_REPEATS, len(shown) / 2):
        return 0  # two people speak at once
    for cue, after in pairs:
        cue.end = after.start
    return len(pairs)


def _cue(cue: _Shown) -> Cue:
    """The pieces of a cue; times inside its text (vtt) are the starts of what follows them."""
    text = "\n".join(cue.lines)
    voice = VOICE.search(text)
    speaker = voice[1].strip() if voice else None
    parts = INLINE.split(text)
    if len(parts) == 1:
        return timed_text(_said(text), cue.start, cue.end, speaker)
    times = [cue.start]
    for clock in parts[1::2]:
        match = re.fullmatch(CLOCK, clock)
        assert match is not None, clock
        times.append(min(max(clock_seconds(*match.groups()), times[-1]), max(cue.end, cue.start)))
    times.append(cue.end)
    spans = zip(map(_said, parts[::2]), times[:-1], times[1:], strict=True)
    pieces = tuple(Piece(part, first, last) for part, first, last in spans if part.strip())
    return Cue(pieces, cue.start, cue.end, speaker)


def _said(part: str) -> str:
    return BREAK.sub(" ", html.unescape(TAG.sub("", part)))
