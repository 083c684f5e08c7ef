"""Json of the Whisper family: OpenAI's API, whisper, faster-whisper, whisperX, whisper.cpp."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from mreactor_ref.features.transcripts.clock import seconds
from mreactor_ref.features.transcripts.values import (
    Entry,
    entries,
    entry,
    name_of,
    pieces_of,
    text_of,
    times_of,
)
from mreactor_ref.features.transcripts.word import Cue, Parsed, Piece, timed_text

MILLISECOND = 0.001
NO_LETTER = re.compile(r"[\W_]")


def segments(data: object) -> Parsed | None:
    """{"segments": [...]} or a list of segments, whose items have "words" or only "text".

    Words beside the segments (OpenAI's verbose_json) fill segments that have none.
    """
    whole = entry(data)
    items = entries(whole.get("segments")) or entries(data)
    if not items or not (whole or any("words" in item for item in items)):
        return None
    beside = entries(whole.get("words"))
    if beside and not any(entries(item.get("words")) for item in items):
        cues = _dealt(items, pieces_of(beside))
    else:
        cues = [_segment(item, f"segment {i}") for i, item in enumerate(items)]
    return Parsed([cue for cue in cues if cue.pieces], whole.get("language"))


def chunks(data: object) -> Parsed | None:
    """{"chunks": [{"text", "timestamp": [start, end]}, ...]} of transformers."""
    items = entries(entry(data).get("chunks"))
    if not items:
        return None
    texts = [timed_text(text_of(x, f"chunk {i}"), *times_of(x)) for i, x in enumerate(items)]
    if all(len(cue.pieces[0].text.split()) < 2 for cue in texts):
        return Parsed([Cue(pieces_of(items))], loose=True)
    return Parsed([cue for cue in texts if cue.pieces[0].text])


def whisper_cpp(data: object) -> Parsed | None:
    """{"transcription": [{"offsets": {"from", "to"}, "text", "tokens"}, ...]} in milliseconds."""
    items = entries(entry(data).get("transcription"))
    if not items or not any("offsets" in item for item in items):
        return None
    cues: list[Cue] = []
    for i, item in enumerate(items):
        text, (start, end) = text_of(item, f"segment {i}"), _offsets(item)
        tokens = _joined_tokens(entries(item.get("tokens")))
        if tokens and " ".join(piece.text for piece in tokens) == text:
            cues.append(Cue(tokens, start, end))
        elif text:
            cues.append(timed_text(text, start, end))
    language = entry(entry(data).get("result")).get("language")
    words = all(len(cue.pieces) == 1 and " " not in cue.pieces[0].text for cue in cues)
    return Parsed(cues, language, loose=words)


def _segment(item: Entry, name: str) -> Cue:
    start, end = times_of(item)
    words = entries(item.get("words"))
    pieces = pieces_of(words)
    if not pieces or all(piece.start is None and piece.end is None for piece in pieces):
        text = text_of(item, name) if not pieces else " ".join(piece.text for piece in pieces)
        pieces = (Piece(text),) if text else ()
    speaker = name_of(item.get("speaker")) or name_of(words[0].get("speaker") if words else None)
    return Cue(pieces, start, end, speaker)


def _dealt(items: Sequence[Entry], words: tuple[Piece, ...]) -> list[Cue]:
    """Words dealt to the segments that hold their middles, with the segments' punctuation."""
    starts = [times_of(item)[0] or 0.0 for item in items]
    dealt: list[list[Piece]] = [[] for _ in items]
    for word in words:
        if word.start is None or word.end is None:
            return [Cue(words)]
        dealt[max(bisect_right(starts, (word.start + word.end) / 2) - 1, 0)].append(word)
    cues: list[Cue] = []
    for item, inner in zip(items, dealt, strict=True):
        tokens = str(item.get("text") or "").split()
        if [_bare(token) for token in tokens] == [_bare(word.text) for word in inner]:
            inner = [Piece(t, w.start, w.end) for t, w in zip(tokens, inner, strict=True)]
        cues.append(Cue(tuple(inner), speaker=name_of(item.get("speaker"))))
    return cues


def _bare(text: str) -> str:
    return NO_LETTER.sub("", text).lower()


def _offsets(item: Entry) -> tuple[float | None, float | None]:
    offsets = entry(item.get("offsets"))
    return seconds(offsets.get("from"), MILLISECOND), seconds(offsets.get("to"), MILLISECOND)


def _joined_tokens(tokens: Sequence[Entry]) -> tuple[Piece, ...]:
    """Words of sub-word tokens: one begins with its space; "[_BEG_]" and the like are signs."""
    pieces: list[Piece] = []
    for token in tokens:
        text, (start, end) = str(token.get("text", "")), _offsets(token)
        if text.startswith("[_") or not text:
            continue
        if pieces and not text.startswith(" "):
            pieces[-1] = Piece(pieces[-1].text + text, pieces[-1].start, end)
        else:
            pieces.append(Piece(text.strip(), start, end))
    return tuple(piece for piece in pieces if piece.text)
