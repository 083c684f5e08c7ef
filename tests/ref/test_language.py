"""The language of what is said, found and told."""

import pytest

from mreactor_ref.features.language import find_language, language_note
from mreactor_ref.features.transcripts.word import Word
from mreactor_ref.features.words import Transcript


def transcript(text: str, language: str | None = None) -> Transcript:
    words = tuple(Word(i, i + 0.5, word) for i, word in enumerate(text.split()))
    return Transcript((words,) if words else (), language=language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I am feeling thrilled!", "en"),
        ("We broke the bicycle yesterday and it was so sad", "en"),
        ("Ich bin so glücklich, ich habe die Prüfung bestanden!", "de"),
        ("Je suis très content de te voir aujourd'hui", "fr"),
        ("我今天很高兴", "zh"),
        ("Yes.", None),
        ("Ok, no no no.", None),
        ("", None),
    ],
)
def test_a_language_is_found_where_it_is_plain(text: str, language: str | None):
    assert find_language(text) == language


def test_other_languages_are_told_and_english_and_the_unclear_are_not():
    german = "Ich bin so glücklich, ich habe die Prüfung bestanden!"
    assert "another language (de)" in str(language_note(transcript(german)))
    assert language_note(transcript("We broke the bicycle, and it was so sad")) is None
    assert language_note(transcript("Yes.")) is None
    assert language_note(transcript("")) is None


def test_what_the_file_says_counts_before_what_the_words_look_like():
    assert language_note(transcript("Ich bin so glücklich heute", "en")) is None
    assert "another language (fr)" in str(language_note(transcript("Yes.", "fr")))
