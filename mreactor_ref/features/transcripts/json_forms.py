"""The json forms that are known, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mreactor_ref.features.transcripts import services, whisper
from mreactor_ref.features.transcripts.word import Parsed, Unreadable
from mreactor_ref.json_text import NotJSON, parse_documents

EXAMPLE = '[{"word": "hello", "start": 0.1, "end": 0.4}, ...]'

FORMS: tuple[tuple[str, Callable[[object], Parsed | None]], ...] = (
    ("whisper.cpp", whisper.whisper_cpp),
    ("Deepgram", services.deepgram),
    ("AWS Transcribe", services.aws),
    ("Google", services.google),
    ("AssemblyAI", services.assemblyai),
    ("Vosk", services.vosk),
    ("Whisper, OpenAI's API, faster-whisper and whisperX", whisper.segments),
    ("transformers", whisper.chunks),
    ("gentle and other lists of words", services.words),
)
EMPTY_KEYS = frozenset(("segments", "chunks", "words", "transcription", "result", "results"))


def parse_json(text: str) -> Parsed:
    """Words with times in any of FORMS.

    Raises:
        Unreadable: not json, nested too deep, or of no known form.
    """
    data = _load(text)
    for _, read in FORMS:
        parsed = read(data)
        if parsed is not None:
            return parsed
    if _is_empty(data):
        return Parsed([], data.get("language") if isinstance(data, dict) else None)
    names = ", ".join(name for name, _ in FORMS)
    raise Unreadable(f"has no word times in a form that is known: {names}", f"or use {EXAMPLE}")


def _load(text: str) -> Any:
    """A json document, or several one after the other as a list."""
    try:
        documents = parse_documents(text)
    except NotJSON as error:
        raise Unreadable(f"is not JSON: {error}", "transcribe it again") from error
    return documents[0] if len(documents) == 1 else documents


def _is_empty(data: Any) -> bool:
    """Whether a file of a known form holds nothing, as that of a silent clip."""
    if not isinstance(data, dict):
        return data == []
    return any(data.get(key, 0) in ([], None, {}) for key in EMPTY_KEYS)
