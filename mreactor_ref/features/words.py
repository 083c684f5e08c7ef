"""Words: subtitles, transcripts with word times and plain text, read as timed utterances."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mreactor_ref.cache import replace_text
from mreactor_ref.errors import ClipError
from mreactor_ref.features.transcripts import Word, parse_json, parse_plain, parse_subtitles
from mreactor_ref.signals import Array, Utterance

MAX_BYTES = 64 * 2**20  # a file of words larger than this is something else
END_SLACK = 0.1  # seconds; recognisers round the last word's end, that needs no warning
PARSERS = {".srt": parse_subtitles, ".vtt": parse_subtitles, ".json": parse_json}


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
    """Read the words of a clip: .srt, .vtt, .json with word times, or .txt.

    A cue without word times, and plain text, spread their words by length. Words beyond the
    end of the clip are cut, with a warning. A file that is right but holds no word is a silent
    speaker, with a warning; an empty file is an error.

    Args:
        path: the file; its extension says what it is.
        duration: of the clip in seconds; None where only the words can tell it.

    Raises:
        ClipError: empty, not text, not what its extension says, times that cannot be, all
            words beyond the end, or plain text without a duration.
    """
    path = Path(path)
    return parse_words(_read_text(path), path, duration)


def parse_words(text: str, path: Path, duration: float | None) -> Transcript:
    """Read words as `read_words` does, from the text of the file `path`."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        if not duration:
            raise ClipError(
                "plain text says nothing about time, and the clip has no sound or face",
                path,
                "add the sound, or give the words as srt, vtt or json with times",
            )
        spoken = parse_plain(text, duration)
    elif suffix in PARSERS:
        parsed = PARSERS[suffix](text, path)
        spoken = sorted((words for words in parsed if words), key=lambda words: words[0].start)
    else:
        raise ClipError(f"words in {suffix or 'no'} format", path, "use srt, vtt, json or txt")
    if not spoken:
        return Transcript((), (f"{path.name} holds no words: taken as silence",))
    return _cut(spoken, duration, path)


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
    replace_text(Path(path), words_json(transcript))


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


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ClipError(f"is larger than {MAX_BYTES // 2**20} MiB", path, "is it text?")
        data = path.read_bytes()
    except OSError as error:
        raise ClipError(f"cannot be read: {error.strerror}", path) from error
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClipError(
            f"is not UTF-8 text (byte {error.start})", path, "save it with the encoding UTF-8"
        ) from error
    if "\0" in text:
        raise ClipError("is not text", path, "give srt, vtt, json or txt in UTF-8")
    if not text.strip():
        raise ClipError("is empty", path, "transcribe it again, or remove it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cut(spoken: list[list[Word]], duration: float | None, path: Path) -> Transcript:
    """Cut what lies beyond the end of the clip, and say so."""
    if duration is None:
        return Transcript(tuple(map(tuple, spoken)))
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
    if not late:
        return Transcript(kept)
    return Transcript(
        kept,
        (
            f"{late} of {len(ends)} words in {path.name} end after the clip "
            f"({max(ends):.1f} s of {duration:.1f} s): cut",
        ),
    )
