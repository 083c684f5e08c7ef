"""Json of speech services and aligners: Deepgram, Google, AWS, AssemblyAI, Vosk, gentle, others."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from mreactor_ref.features.transcripts.values import (
    Entry,
    entries,
    entry,
    first,
    name_of,
    pieces_of,
    text_of,
)
from mreactor_ref.features.transcripts.word import Cue, Parsed

MILLISECOND = 0.001
ASSEMBLYAI_KEYS = frozenset(("audio_duration", "audio_url", "acoustic_model", "speech_model"))
GOOGLE_KEYS = (
    ("startTime", "start_time", "startOffset", "start_offset"),
    ("endTime", "end_time", "endOffset", "end_offset"),
)
SPEAKER_KEYS = ("speaker", "speakerLabel", "speaker_label", "speakerTag", "speaker_tag")


def deepgram(data: object) -> Parsed | None:
    """{"results": {"channels": [{"alternatives": [{"words": [...]}]}]}}."""
    channels = entries(entry(entry(data).get("results")).get("channels"))
    if not channels:
        return None
    cues: list[Cue] = []
    for number, channel in enumerate(channels):
        words = entries(_best(channel).get("words"))
        default = f"channel {number}" if len(channels) > 1 else None
        cues += turns(words, default=default)
    return Parsed(cues, channels[0].get("detected_language"), loose=True)


def google(data: object) -> Parsed | None:
    """{"results": [{"alternatives": [{"words": [{"startTime": "1.300s", ...}]}]}]}.

    Where speakers are told apart, the last result repeats all words with their speakers. A time
    of zero is left out, as protocol buffers do.
    """
    whole = entry(data)
    results = entries(whole.get("results")) or entries(entry(whole.get("response")).get("results"))
    words = [entries(_best(result).get("words")) for result in results]
    if not any(words):
        return None
    if len(words) > 1 and words[-1] and all(first(word, SPEAKER_KEYS) for word in words[-1]):
        words = words[-1:]
    flat = [_google_word(word) for part in words for word in part]
    language = first(results[0], ("languageCode", "language_code"))
    return Parsed(turns(flat), language, loose=True)


def _google_word(word: Entry) -> Entry:
    start, end = (first(word, keys) for keys in GOOGLE_KEYS)
    return {**word, "start": "0s" if start is None and end is not None else start, "end": end}


def aws(data: object) -> Parsed | None:
    """{"results": {"items": [{"start_time": "0.5", "alternatives": [{"content"}]}, ...]}}."""
    results = entry(entry(data).get("results"))
    items = entries(results.get("items"))
    if not items or not all("alternatives" in item for item in items):
        return None
    said_by = {
        item.get("start_time"): item.get("speaker_label")
        for segment in entries(entry(results.get("speaker_labels")).get("segments"))
        for item in entries(segment.get("items"))
    }
    words: list[Entry] = []
    for i, item in enumerate(items):
        text = text_of(_best(item), f"item {i}")
        if item.get("type") == "punctuation":
            if words:
                words[-1]["word"] += text
            continue
        speaker = item.get("speaker_label") or said_by.get(item.get("start_time"))
        times = {"start": item.get("start_time"), "end": item.get("end_time")}
        words.append({"word": text, "speaker": speaker, **times})
    return Parsed(turns(words), results.get("language_code"), loose=True)


def assemblyai(data: object) -> Parsed | None:
    """{"words": [{"text", "start", "end", "speaker"}], "audio_duration": ...} in milliseconds."""
    whole = entry(data)
    words = entries(whole.get("words"))
    if not words or not ASSEMBLYAI_KEYS & whole.keys():
        return None
    return Parsed(turns(words, MILLISECOND), whole.get("language_code"), loose=True)


def vosk(data: object) -> Parsed | None:
    """{"result": [{"word", "start", "end", "conf"}, ...]}, or a list of these."""
    results = entries(data) or [entry(data)]
    parts = [entries(result.get("result")) for result in results]
    if not any(parts):
        return None
    return Parsed([Cue(pieces_of(words)) for words in parts if words])


def words(data: object) -> Parsed | None:
    """A list of words, or {"words": [...]}: gentle and many others."""
    whole = entry(data)
    items = entries(whole.get("words")) or entries(data)
    if not items:
        return None
    return Parsed(turns(items), whole.get("language"), loose=True)


def turns(items: Iterable[Entry], unit: float = 1.0, default: str | None = None) -> list[Cue]:
    """A cue for each run of words that one speaker says."""
    runs = groupby(items, key=lambda item: name_of(first(item, SPEAKER_KEYS)) or default)
    cues = [Cue(pieces_of([*run], unit), speaker=speaker) for speaker, run in runs]
    return [cue for cue in cues if cue.pieces]


def _best(item: Entry) -> Entry:
    """The first alternative: services give the likeliest first."""
    alternatives = entries(item.get("alternatives"))
    return alternatives[0] if alternatives else {}
