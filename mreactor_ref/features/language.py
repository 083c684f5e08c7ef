"""The language of what is said: by default everything that makes sense of words knows English."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mreactor_ref.features.words import ENGLISH, Transcript

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST_CONFIDENCE = 0.75  # a few words, or several languages at once, are less sure than this


def find_language(text: str) -> str | None:
    """The code of a text's language, such as "en"; None where py3langid is not sure."""
    language, confidence = _identifier().classify(text)
    return language if confidence >= LEAST_CONFIDENCE else None


def language_note(transcript: Transcript) -> str | None:
    """One line where words are not English, by their file or by what they are; else None."""
    language = transcript.language
    if language is None:
        language = find_language(" ".join(u.text for u in transcript.utterances))
    if language is None or language == ENGLISH:
        return None
    return (
        f"the words are in another language ({language}): MiniLM, the subjects and VADER know "
        "English, and take other words for neutral ones; --sentence-encoder and --lexicon name "
        "others"
    )


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
