"""Words: subtitles, transcripts with word times and plain text, read as timed utterances."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mreactor_ref.errors import ClipError
from mreactor_ref.features.transcripts.json_forms import parse_json
from mreactor_ref.features.transcripts.plain import parse_plain, spread_sentences
from mreactor_ref.features.transcripts.spoken import leave_out
from mreactor_ref.features.transcripts.subtitles import parse_subtitles
from mreactor_ref.features.transcripts.text_file import read_text
from mreactor_ref.features.transcripts.textgrid import parse_textgrid
from mreactor_ref.features.transcripts.timing import mend
from mreactor_ref.features.transcripts.word import Cue, Parsed, Unreadable, Word
from mreactor_ref.files import write_whole
from mreactor_ref.signals import Array, Utterance

# More than a clip of two hours holds: twice as fast as anybody speaks.
MAX_WORDS, MAX_LETTERS = 100_000, 1_000_000
MOST_A_SECOND, MOST_AT_ALL = 20, 200  # words of a clip: so many a second, and so many more
END_SLACK = 0.1  # seconds; recognisers round the last word's end, that needs no warning
ENGLISH = "en"

PARSERS: dict[str, Callable[[str], Parsed]] = {
    ".srt": parse_subtitles,
    ".vtt": parse_subtitles,
    ".json": parse_json,
    ".textgrid": parse_textgrid,
    ".txt": parse_plain,
}
WORDS_SUFFIXES = tuple(PARSERS)  # in small letters


@dataclass(frozen=True)
class Transcript:
    """The words of a clip, one tuple an utterance, in order of time; and what was odd about them.

    Attributes:
        words: of each utterance.
        warnings: one clear line for each thing that was handled but should be known.
        language: a code such as "en"; None where the file does not tell it.
    """

    words: tuple[tuple[Word, ...], ...]
    warnings: tuple[str, ...] = ()
    language: str | None = None

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        return tuple(
            Utterance(words[0].start, max(word.end for word in words), _join(words))
            for words in self.words
        )

    @property
    def end(self) -> float:
        """The end of the last word in seconds, 0 where there is none."""
        return max((word.end for words in self.words for word in words), default=0.0)


def read_words(path: str | Path, duration: float | None) -> Transcript:
    """Read the words of a clip: .srt, .vtt, .json with word times, .TextGrid, or .txt.

    A cue without word times, and plain text, spread their words by length. What nobody says is
    left out, times that cannot be are mended, words beyond the end of the clip are cut, each with
    a warning. A file that is right but holds no word is a silent speaker, with a warning; an
    empty file is an error.

    Args:
        path: the file; its extension says what it is.
        duration: of the clip in seconds; None where only the words can tell it.

    Raises:
        ClipError: empty, not text, not what its extension says, without times, all words beyond
            the end, more words than can be said, longer than words alone can be, or plain text
            without a duration.
    """
    path = Path(path)
    text, warnings = read_text(path)
    return parse_words(text, path, duration, warnings)


def parse_words(
    text: str, path: Path, duration: float | None, warnings: Sequence[str] = ()
) -> Transcript:
    """Read words as `read_words` does, from the text of the file `path`."""
    parse = PARSERS.get(path.suffix.lower())
    if parse is None:
        kinds = " ".join(WORDS_SUFFIXES)
        raise ClipError(f"words in {path.suffix or 'no'} format", path, f"use {kinds}")
    try:
        parsed = parse(text)
        _check_size(parsed)
        cues, unsaid = leave_out(parsed.cues)
        spoken, mended = _timed(parsed, cues, duration)
    except Unreadable as error:
        raise ClipError(error.problem, path, error.fix) from error
    notes = [f"{path.name}: {line}" for line in (*warnings, *parsed.warnings, *unsaid, *mended)]
    language = _language_code(parsed.language)
    if not spoken:
        notes.append(f"{path.name} holds no words: taken as silence")
        return Transcript((), tuple(notes), language)
    words, cut = _cut(spoken, duration, path)
    count = sum(map(len, words))
    if duration is not None and count > MOST_A_SECOND * duration + MOST_AT_ALL:
        problem = f"holds {count} words, and the clip lasts {duration:.1f} s"
        raise ClipError(problem, path, "check that it belongs to this clip")
    return Transcript(words, (*notes, *cut), language)


def words_json(transcript: Transcript) -> str:
    """A transcript in the json form that `read_words` reads: segments with word times."""
    segments = [
        {
            "start": utterance.start,
            "end": utterance.end,
            "text": utterance.text,
            "words": [{"word": w.text, "start": w.start, "end": w.end} for w in words],
        }
        for utterance, words in zip(transcript.utterances, transcript.words, strict=True)
    ]
    data = {"language": transcript.language, "segments": segments}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def write_words(path: str | Path, transcript: Transcript) -> None:
    """Write a transcript as json that `read_words` reads, in one step.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(Path(path), words_json(transcript).encode())


def place_words(words: Sequence[Word], vectors: Array, fps: float, frames: int) -> Array:
    """Put each word's vector on the frames it covers; frames where nobody speaks stay zero.

    A word covers the frames whose centre lies in [start, end), and at least the frame that
    holds its middle. Where words share a frame it gets their mean.

    Args:
        words: the words, in any order.
        vectors: (words, W).
        fps: frames a second.
        frames: T.

    Returns:
        (T, W) float32.
    """
    out = np.zeros((frames, vectors.shape[1]), np.float32)
    count = np.zeros((frames, 1), np.float32)
    for word, vector in zip(words, vectors, strict=True):
        # rounded, so that 0.06 s at 25 fps is the centre of frame 1 and not just beside it
        first, last = (math.ceil(round(t * fps - 0.5, 6)) for t in (word.start, word.end))
        first, last = max(first, 0), min(last, frames)
        if first >= last:
            first = min(max(int((word.start + word.end) / 2 * fps), 0), frames - 1)
            last = first + 1
        out[first:last] += vector
        count[first:last] += 1
    return np.divide(out, np.maximum(count, 1), dtype=np.float32)


def _join(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _check_size(parsed: Parsed) -> None:
    """Raises Unreadable where there is more than a clip holds, before time is spent on it."""
    pieces = [piece for cue in parsed.cues for piece in cue.pieces]
    for what, count, most in (
        ("letters", sum(len(piece.text) for piece in pieces), MAX_LETTERS),
        ("words", sum(len(piece.text.split()) for piece in pieces), MAX_WORDS),
    ):
        if count > most:
            raise Unreadable(f"holds more than {most} {what}", "is it of one clip?")


def _timed(
    parsed: Parsed, cues: list[Cue], duration: float | None
) -> tuple[list[list[Word]], list[str]]:
    if not cues:
        return [], []
    if not parsed.untimed:
        return mend(cues, parsed.loose, duration, parsed.in_seconds)
    if not duration:
        raise Unreadable(
            "plain text says nothing about time, and the clip has no sound or face",
            "add the sound, or give the words as srt, vtt or json with times",
        )
    return spread_sentences(cues, duration), []


def _language_code(language: object) -> str | None:
    """A code such as "en" of what a file says: "en-US", "EN" or "english"."""
    if not isinstance(language, str) or not language.strip():
        return None
    code = language.strip().lower().replace("_", "-").split("-")[0]
    return ENGLISH if code in ("english", "eng") else code


def _cut(
    spoken: list[list[Word]], duration: float | None, path: Path
) -> tuple[tuple[tuple[Word, ...], ...], list[str]]:
    """Cut what lies beyond the end of the clip, and say so."""
    if duration is None:
        return tuple(map(tuple, spoken)), []
    kept = [
        tuple(Word(w.start, min(w.end, duration), w.text) for w in words if w.start < duration)
        for words in spoken
    ]
    kept = tuple(words for words in kept if words)
    if not kept:
        raise ClipError(
            f"all words lie after the end of the clip ({duration:.1f} s)",
            path,
            "check that it belongs to this clip, and that its times are seconds",
        )
    ends = [word.end for words in spoken for word in words]
    late = sum(end > duration + END_SLACK for end in ends)
    line = (
        f"{late} of {len(ends)} words in {path.name} end after the clip "
        f"({max(ends):.1f} s of {duration:.1f} s): cut"
    )
    return kept, [line] if late else []
