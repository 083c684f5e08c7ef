"""Words and cues: what every form of a transcript is read into."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

PAUSE = 1.0  # seconds of silence between words that begin a new utterance
SENTENCE_END = ".!?\u2026"


class Unreadable(ValueError):
    """A transcript that is not what it should be; `read_words` adds the file.

    Args:
        problem: what was wrong.
        fix: what to do about it.
    """

    def __init__(self, problem: str, fix: str):
        super().__init__(problem)
        self.problem, self.fix = problem, fix


@dataclass(frozen=True)
class Word:
    """One word; times in seconds from the start of the clip."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Piece:
    """A word or more as a file has them: times in seconds may be missing or wrong."""

    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Cue:
    """Pieces that stand together in a file, and times of the whole where the file has them."""

    pieces: tuple[Piece, ...]
    start: float | None = None
    end: float | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Parsed:
    """The content of a file, before anything is left out or mended.

    Attributes:
        cues: in the file's order.
        language: as the file has it.
        loose: cues are no utterances; sentences and pauses tell these.
        untimed: no cue has a time; each is a line of a text.
        in_seconds: its times are clocks, or say their unit, and cannot be milliseconds.
        warnings: one line for each thing that was handled but should be known.
    """

    cues: list[Cue]
    language: str | None = None
    loose: bool = False
    untimed: bool = False
    in_seconds: bool = False
    warnings: list[str] = field(default_factory=list[str])


def timed_text(
    text: str, start: float | None, end: float | None, speaker: str | None = None
) -> Cue:
    """A cue whose words have no times of their own."""
    return Cue((Piece(text),), start, end, speaker)


def edges(texts: list[str], start: float, end: float) -> list[float]:
    """The times at which [start, end) is cut for texts that share it by their lengths."""
    if len(texts) < 2:
        return [start, end]
    sizes = np.cumsum([0, *(len(text) + 1 for text in texts)], dtype=np.float64)
    inner = (start + (end - start) * sizes[1:-1] / max(sizes[-1], 1.0)).tolist()
    return [start, *inner, end]


def spread(text: str, start: float, end: float) -> list[Word]:
    """The words of a text over [start, end), each with time by its length."""
    tokens = text.split()
    times = edges(tokens, start, end)
    return [Word(*span) for span in zip(times, times[1:], tokens, strict=False)]


def utterances(words: list[Word]) -> list[list[Word]]:
    """Words as utterances: one ends with a sentence, or before a pause."""
    groups: list[list[Word]] = []
    for word in sorted(words, key=lambda w: w.start):
        last = groups[-1][-1] if groups else None
        if last is None or word.start - last.end > PAUSE or last.text[-1] in SENTENCE_END:
            groups.append([])
        groups[-1].append(word)
    return groups
