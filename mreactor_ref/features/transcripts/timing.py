"""Times that are mended: missing, backwards, below zero, in milliseconds, beyond all sense."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import TypeVar

from mreactor_ref.features.transcripts.word import (
    Cue,
    Piece,
    Unreadable,
    Word,
    edges,
    spread,
    utterances,
)

SECONDS_PER_LETTER = 0.07  # of usual speech, where nothing tells how long a word lasts
MILLISECONDS_A_WORD = (50, 5000)  # numbers without a fraction, this far apart, are no seconds
LONGEST_SILENCE = 600.0  # seconds before words, where no sound or face says that they are far off
LONGEST_ALONE = 3600.0  # seconds of words, likewise

BELOW_ZERO = "times before the clip, taken as its start"
BACKWARDS = "times that run backwards, mended by their neighbours"
MISSING = "words without times, placed between their neighbours"

Timed = TypeVar("Timed", Piece, Cue)


def mend(
    cues: Sequence[Cue], loose: bool, duration: float | None, in_seconds: bool = False
) -> tuple[list[list[Word]], list[str]]:
    """The utterances of cues, each word with times, and a line for each kind of mending.

    Args:
        cues: in the file's order, with a piece each at least.
        loose: cues are no utterances; sentences and pauses tell these.
        duration: of the clip in seconds; None where only the words can tell it.
        in_seconds: numbers that look like milliseconds are not.

    Raises:
        Unreadable: nothing has a time, or the words alone ask for more than LONGEST_ALONE.
    """
    lines: list[str] = []
    if not in_seconds and _are_milliseconds(cues):
        cues = [_in_seconds(cue) for cue in cues]
        lines.append("its times are whole numbers and far apart: taken as milliseconds")
    counts: Counter[str] = Counter()
    cues = [
        replace(cue, pieces=tuple(_rising(cue.pieces, counts))) for cue in _rising(cues, counts)
    ]
    spans = [_span(cue) for cue in cues]
    if not any(span.start is not None or span.end is not None for span in spans):
        raise Unreadable("has no times", 'each word has "start" and "end" in seconds')
    spoken: list[list[Word]] = []
    for cue, whole in zip(cues, _filled(spans, 0.0, duration), strict=True):
        counts[MISSING] += sum(_untimed(p) for p in cue.pieces) if len(cue.pieces) > 1 else 0
        pieces = _filled(cue.pieces, whole.start, whole.end)
        words = [word for piece in pieces for word in spread(piece.text, piece.start, piece.end)]
        spoken += utterances(words) if loose else [words]
    spoken.sort(key=lambda words: words[0].start)
    lines += [f"{what}: {count}" for what, count in counts.items() if count]
    if duration is None:
        spoken, cut = _within_sense(spoken)
        lines += cut
    return spoken, lines


def _untimed(piece: Piece) -> bool:
    return piece.start is None and piece.end is None


def _are_milliseconds(cues: Sequence[Cue]) -> bool:
    """Whether all times are whole numbers, and words as long as only milliseconds make them."""
    length = words = 0
    for cue in cues:
        timed = [piece for piece in cue.pieces if not _untimed(piece)]
        whole = Piece(" ".join(piece.text for piece in cue.pieces), cue.start, cue.end)
        for item in timed or [whole]:
            if (item.start or 0.0) % 1 or (item.end or 0.0) % 1:
                return False
            if item.start is not None and item.end is not None:
                length += max(item.end - item.start, 0.0)
                words += len(item.text.split())
    least, most = MILLISECONDS_A_WORD
    return words > 0 and least <= length / words <= most


def _in_seconds(cue: Cue) -> Cue:
    """A cue whose times are milliseconds."""

    def scaled(item: Timed) -> Timed:
        start, end = (None if time is None else time / 1000 for time in (item.start, item.end))
        return replace(item, start=start, end=end)

    return replace(scaled(cue), pieces=tuple(map(scaled, cue.pieces)))


def _rising(items: Sequence[Timed], counts: Counter[str]) -> list[Timed]:
    """Items of which none begins below zero or ends before it begins; None is what was wrong."""
    mended: list[Timed] = []
    before = 0.0
    for i, item in enumerate(items):
        start, end = item.start, item.end
        if start is not None and start < 0:
            counts[BELOW_ZERO] += 1
            start, end = 0.0, None if end is None else max(end, 0.0)
        if start is not None and end is not None and end < start:
            counts[BACKWARDS] += 1
            later = (items[k].start for k in range(i + 1, len(items)))
            after = next((time for time in later if time is not None), math.inf)
            if before <= start <= after:
                end = None
            elif before <= end <= after:
                start = None
            else:
                start = end = None
        before = max(before, start or 0.0)
        mended.append(replace(item, start=start, end=end))
    return mended


def _span(cue: Cue) -> Piece:
    """A cue as one piece: its own times, or what those of its pieces tell."""
    known = [t for piece in cue.pieces for t in (piece.start, piece.end) if t is not None]
    start, end = cue.pieces[0].start, cue.pieces[-1].end
    if known and _untimed(cue.pieces[0]):
        start = max(min(known) - _length(takewhile(_untimed, cue.pieces)), 0.0)
    if known and _untimed(cue.pieces[-1]):
        end = max(known) + _length(takewhile(_untimed, reversed(cue.pieces)))
    start, end = (
        within if whole is None else whole for whole, within in ((cue.start, start), (cue.end, end))
    )
    return Piece(" ".join(piece.text for piece in cue.pieces), start, end)


def _length(pieces: Iterator[Piece]) -> float:
    """Seconds that it usually takes to say them."""
    return SECONDS_PER_LETTER * sum(len(piece.text) + 1 for piece in pieces)


def _filled(pieces: Sequence[Piece], start: float, end: float | None) -> Iterator[Word]:
    """Pieces with all their times: pieces with no time between them share what they have.

    Args:
        start: where the first one begins, if it does not tell.
        end: where the last one ends, if it does not tell; None is where it is said by then.
    """
    runs: list[list[Piece]] = [[piece] for piece in pieces[:1]]
    for before, piece in pairwise(pieces):
        if before.end is None and piece.start is None:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    at = start
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        first, last = run[0].start, run[-1].end
        first = at if first is None else first
        if last is None:
            last = following[0].start if following else end
        last = max(first, first + _length(iter(run)) if last is None else last)
        at = max(at, last)
        texts = [piece.text for piece in run]
        for (start, until), text in zip(pairwise(edges(texts, first, last)), texts, strict=True):
            yield Word(start, until, text)


def _within_sense(spoken: list[list[Word]]) -> tuple[list[list[Word]], list[str]]:
    """The words up to a silence that no clip has: what follows is a watermark, or no time."""
    end = 0.0
    for i, words in enumerate(spoken):
        silence = words[0].start - end
        if silence > LONGEST_SILENCE and i:
            count = sum(map(len, spoken[i:]))
            minutes = silence / 60
            return spoken[:i], [f"words left out after {minutes:.0f} minutes of silence: {count}"]
        end = max(end, *(word.end for word in words))
        if end > LONGEST_ALONE:
            raise Unreadable(
                f"lasts {end / 60:.0f} minutes, and there is no sound or face to tell the same",
                "add the sound, and check that the times are seconds",
            )
    return spoken, []
