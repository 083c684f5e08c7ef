"""Expressive recovery as a whole: the paper's example, bad input, and what an explanation holds."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from fakes.encoders import GivenSimilarity

from mreactor_ref.emotion.calibration import CALIBRATION, read_judged
from mreactor_ref.emotion.filters import Thresholds
from mreactor_ref.emotion.lexicon import (
    OWN_SENTIMENT,
    PriorLexicon,
    default_lexicon,
    own_sentiment,
    sentiment,
)
from mreactor_ref.emotion.lexicon_terms import Affect, Lexicon
from mreactor_ref.emotion.priors import Prior, nearest_emotion
from mreactor_ref.emotion.recovery import MOST_WORDS, ExpressiveRecovery
from mreactor_ref.emotion.semantics import SentenceEncoder, Similarity
from mreactor_ref.emotion.subjects import MOST_PROPOSED, GivenSubjects, Proposal, SubjectSource

THRILLED = "I am feeling thrilled!"
PAPER = ("Achievement", "University Acceptance", "Success", "Adventure", "Energy Burst",
         "Overreaction", "Future Plans")  # fmt: skip
SAID = [
    THRILLED,
    "My dog died this morning, I am heartbroken and so sad.",
    "The train leaves at nine.",
    "They gave the job to someone else, again.",
]
TESTING = Path(__file__).parents[2] / "benchmarks" / "mreactor_bench" / "judged.csv"

# Sentences of everyday speech, a transcript for each language.
FOREIGN = {
    "German": [
        "Was machst du heute Abend?",
        "Ich war so froh, als der Anruf kam.",
        "In der Stadt war alles zu, was für ein Tag!",
    ],
    "Italian": [
        "Ieri sono andato al mare con la mia famiglia.",
        "Non riesco a dormire, domani ho un esame.",
    ],
    "Japanese": ["今日はとても嬉しいです。", "昨日、犬が死んでしまって、本当に悲しい。"],
    "Dutch": ["Ik was met mijn vrienden in de stad, en het was heel leuk.", "Dat is mooi."],
    "French": ["Je ne peux pas dormir à cause de mon examen.", "On a gagné le match, hier soir!"],
    "Spanish": ["Me han dicho que he perdido el trabajo.", "Has hecho un buen trabajo, de verdad."],
    "Polish": ["To jest najlepszy dzień w moim życiu.", "My jutro jedziemy do domu."],
    "Danish": ["Vi skal have gæster i aften, for det er min dag.", "Det var så godt at se dig."],
    "German with English": ["Das Team ist just great,", "vielen Dank an alle hier und gute Reise."],
    "Russian": ["Вчера мы ходили в кино, и это было здорово."],
}


@pytest.fixture(scope="module")
def similarity(tmp_path_factory) -> Similarity:
    """Of the default encoder, which is loaded once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MREACTOR_CACHE", str(tmp_path_factory.mktemp("cache")))
        found = Similarity([prior.subject for prior in default_lexicon().subjects])
        found.relate(["Hello."], ["Greeting"])
    return found


class Fixed:
    """A source that proposes the same and keeps what it was asked; a note for every call."""

    def __init__(self, *subjects: str, noting: bool = False):
        self.subjects, self.noting = subjects, noting
        self.notes: list[str] = []
        self.asked: list[list[str]] = []

    def propose(self, utterances):
        self.asked.append(list(utterances))
        if self.noting:
            self.notes.append(f"asked {len(self.asked)} times")
        return [Proposal(self.subjects, "fixed") for _ in utterances]


def quick(source: SubjectSource | None = None, **scores: float) -> ExpressiveRecovery:
    """Without an encoder; every subject but these scores 0.9."""
    return ExpressiveRecovery(source or Fixed("Success"), None, GivenSimilarity(scores, 0.9))


# The paper


def test_the_papers_worked_example(similarity):
    found = ExpressiveRecovery(GivenSubjects(PAPER), similarity=similarity)
    (explanation,) = found.explain([THRILLED])
    assert explanation.utterance == THRILLED
    assert {candidate.subject for candidate in explanation.candidates} == set(PAPER)
    assert {c.subject for c in explanation.candidates if c.verdict == "kept"} == {
        "Achievement",
        "University Acceptance",
        "Success",
    }
    assert set(explanation.priors) == {
        Prior("Achievement", "excitement", 0.9, 0.8),
        Prior("University Acceptance", "joy", 0.7, 0.6),
        Prior("Success", "happiness", 0.8, 0.7),
    }
    assert len(explanation.priors) == 3
    assert found.priors([THRILLED]) == [explanation.priors]
    assert found.notes == []


def test_raw_cosines_of_the_example_would_keep_nothing(similarity):
    """Why the score is calibrated."""
    (explanation,) = ExpressiveRecovery(GivenSubjects(PAPER), similarity=similarity).explain(
        [THRILLED]
    )
    assert all(candidate.cosine < 0.3 for candidate in explanation.candidates)
    assert any(candidate.similarity > 0.8 for candidate in explanation.candidates)


def test_related_pairs_that_were_never_seen_score_higher(similarity):
    """On the judged pairs kept apart: a calibrated half parts most of them."""
    judged = read_judged(TESTING)
    texts = list(dict.fromkeys(pair.utterance for pair in judged))
    subjects = list(dict.fromkeys(pair.subject for pair in judged))
    score = similarity.relate(texts, subjects).score
    rows = [(score[texts.index(p.utterance), subjects.index(p.subject)], p.related) for p in judged]
    right = [(value >= 0.5) == related for value, related in rows]
    assert sum(right) / len(right) > 0.7
    mean = sum(value for value, _ in rows) / len(rows)
    assert mean == pytest.approx(sum(related for _, related in rows) / len(rows), abs=0.1)


# From the table, offline


def test_what_is_kept_passes_both_filters(similarity):
    explanations = ExpressiveRecovery(similarity=similarity).explain(SAID)
    assert [e.utterance for e in explanations] == SAID
    for explanation in explanations:
        assert explanation.source == "lexicon"
        assert explanation.polarity == sentiment(explanation.utterance)
        assert len(explanation.candidates) == MOST_PROPOSED
        kept = [c for c in explanation.candidates if c.verdict == "kept"]
        assert kept
        assert explanation.priors == tuple(c.prior for c in kept)
        for candidate in explanation.candidates:
            prior, gap = candidate.prior, candidate.gap
            assert prior is not None
            assert gap is not None
            assert gap == pytest.approx(abs(prior.polarity - explanation.polarity))
            passes = candidate.similarity >= 0.5 and gap <= 0.5 and prior.intensity >= 0.5
            assert passes == (candidate.verdict == "kept")


def test_subjects_have_the_sign_of_what_is_said(similarity):
    thrilled, died, *_ = ExpressiveRecovery(similarity=similarity).priors(SAID)
    assert all(prior.polarity > 0 for prior in thrilled)
    assert all(prior.polarity < 0 for prior in died)
    assert "Pet Loss" in {prior.subject for prior in died}


def test_explanations_do_not_depend_on_what_was_asked_before(similarity):
    first = ExpressiveRecovery(similarity=similarity).explain(SAID)
    busy = ExpressiveRecovery(similarity=similarity)
    for texts in (SAID[:1], SAID[::-1], ["something else"], [*SAID, "x " * 300], [""]):
        busy.explain(texts)
    assert busy.explain(SAID) == first


def test_an_utterance_has_the_same_priors_alone_and_among_others(similarity):
    found = ExpressiveRecovery(similarity=similarity)
    together = found.explain(SAID)
    for explanation in together:
        (alone,) = found.explain([explanation.utterance])
        assert alone.priors == explanation.priors
        for a, b in zip(alone.candidates, explanation.candidates, strict=True):
            assert (a.subject, a.verdict) == (b.subject, b.verdict)
            assert a.similarity == pytest.approx(b.similarity, abs=1e-5)


def test_thresholds_reach_the_filters(similarity):
    def kept(*thresholds: float) -> set[str]:
        found = ExpressiveRecovery(
            GivenSubjects(PAPER), similarity=similarity, thresholds=Thresholds(*thresholds)
        )
        return {prior.subject for prior in found.priors([THRILLED])[0]}

    assert kept(0, 2, 0) == set(PAPER)
    assert kept(0, 0.5, 0) == set(PAPER) - {"Overreaction"}
    assert kept(0, 2, 0.5) == set(PAPER) - {"Future Plans"}
    assert kept(0.8, 0.5, 0.5) == {"Success"}
    assert kept(0.5, 0.2, 0.5) == {"University Acceptance"}
    assert kept(1, 0, 1) == {OWN_SENTIMENT}


# Texts of all kinds


def test_nothing_said_gives_nothing():
    found = quick()
    assert found.explain([]) == []
    assert found.priors([]) == []


@pytest.mark.parametrize("text", ["", " \n\t", "...", "?!", "_", "😂😂", "- -", "\0"])
def test_a_text_without_words_is_neutral_and_asks_nobody(text):
    source = Fixed("Success")
    (explanation,) = quick(source).explain([text])
    assert explanation.utterance == text
    assert (explanation.polarity, explanation.source, explanation.candidates) == (0.0, "none", ())
    assert explanation.priors == (Prior(OWN_SENTIMENT, "neutral", 0.0, 0.0),)
    assert source.asked == []


def test_texts_keep_their_order_and_equal_ones_are_asked_once():
    source = Fixed("Success")
    texts = ["One.", "", "Two.", "One.", "...", "Two.", "Three."]
    explanations = quick(source).explain(texts)
    assert [explanation.utterance for explanation in explanations] == texts
    assert explanations[0] == explanations[3]
    assert [bool(e.candidates) for e in explanations] == [bool(t.strip(".")) for t in texts]
    assert source.asked == [["One.", "Two.", "Three."]]


def test_the_encoder_reads_each_text_once_a_call(similarity, monkeypatch):
    read: list[str] = []
    encode = SentenceEncoder.__call__
    monkeypatch.setattr(
        SentenceEncoder, "__call__", lambda self, texts: read.extend(texts) or encode(self, texts)
    )
    ExpressiveRecovery(similarity=similarity).explain(["A new one.", "Another.", "A new one."])
    assert read == ["A new one.", "Another."]


def test_ten_thousand_words_in_one_utterance(similarity):
    words = " ".join(f"{p.utterance}" for p in read_judged()).split()
    said = " ".join((words * 10)[:10_000])
    other = " ".join((words * 10)[5_000:14_000])
    found = ExpressiveRecovery(similarity=similarity)
    started = time.perf_counter()
    long, brief = found.explain([said, THRILLED])
    found.explain([other])
    assert time.perf_counter() - started < 10
    assert long.utterance == said
    assert len(long.candidates) == MOST_PROPOSED
    assert brief.candidates
    assert len(found.notes) == 1
    assert "words: its prior comes from the first 200" in found.notes[0]


def test_a_long_utterance_is_what_it_starts_with():
    start = " ".join(["that"] * (MOST_WORDS - 1))
    found = quick()
    happy, sad, short = found.explain(
        [f"{start} wonderful " + "terrible " * 50, f"{start} terrible " + "great " * 50, start]
    )
    assert happy.polarity > 0.5
    assert sad.polarity < -0.4
    assert short.polarity == 0
    assert len(found.notes) == 1
    assert found.explain([f"{start} wonderful"])[0].polarity == happy.polarity


def test_long_utterances_with_one_start_are_judged_once():
    source = Fixed("Success")
    start = "word " * MOST_WORDS
    first, second = quick(source).explain([f"{start} one", f"{start} two"])
    assert len(source.asked[0]) == 1
    assert first.utterance != second.utterance
    assert first.candidates == second.candidates


@pytest.mark.parametrize(
    "text",
    [
        "hi " + "😂" * 10_000,
        "hi " + "😂 " * 10_000,
        "but good " * 5_000,
        "good,bad," * 5_000,
        "good\u00a0" * 10_000,
        "! " * 10_000 + "hi",
        "私は今日とても嬉しいです。" * 800,
        "it's" * 5_000,
        "a" * 200_000,
        "half a pair \ud83d of surrogates",
        "zero \0 and \x1b[31m escapes",
    ],
    ids=["emoji", "emoji apart", "but", "commas", "hard spaces", "marks", "no spaces", "quotes",
         "letters", "surrogate", "control"],
)  # fmt: skip
def test_odd_texts_are_answered_soon(similarity, text):
    found = ExpressiveRecovery(similarity=similarity)
    started = time.perf_counter()
    (explanation,) = found.explain([text])
    assert time.perf_counter() - started < 5
    assert explanation.utterance == text
    assert explanation.priors
    assert len(found.notes) <= 2


# Languages


@pytest.mark.parametrize("language", FOREIGN)
def test_another_language_is_noted_once_and_goes_on(language):
    found = quick()
    explanations = found.explain(FOREIGN[language])
    assert len(explanations) == len(FOREIGN[language])
    assert all(explanation.priors for explanation in explanations)
    (note,) = found.notes
    assert "does not look English" in note
    found.explain(FOREIGN["German"])
    assert found.notes == [note]


def test_another_language_gets_subjects_and_priors(similarity):
    found = ExpressiveRecovery(similarity=similarity)
    for texts in FOREIGN.values():
        for explanation in found.explain(texts):
            assert len(explanation.candidates) == MOST_PROPOSED
            assert explanation.priors
    assert len(found.notes) == 1


def test_english_is_not_taken_for_another_language():
    texts = list(
        dict.fromkeys(p.utterance for path in (CALIBRATION, TESTING) for p in read_judged(path))
    )
    random.Random(0).shuffle(texts)
    found = quick()
    for start in range(0, len(texts), 4):  # a short transcript each
        found.explain(texts[start : start + 4])
    assert found.notes == []


@pytest.mark.parametrize(
    "texts",
    [
        ["Congratulations!"],
        ["Yes.", "No.", "Okay.", "Wow!"],
        ["Guten Morgen, wie geht es dir heute?"],  # too few words to tell
        ["12 345 678 90 12 345 678 90 12 345 678 90 12 13 14"],
        ["I\u2019m Ann, I\u2019ve won a prize in Paris, we\u2019re in a hotel by a lake."],
    ],
)
def test_too_little_to_tell_is_not_noted(texts):
    found = quick()
    found.explain(texts)
    assert found.notes == []


def test_what_is_long_and_foreign_has_two_notes():
    found = quick()
    found.explain([" ".join(FOREIGN["German"]) * 100])
    assert len(found.notes) == 2


def test_the_notes_of_the_source_are_passed_on():
    found = quick(Fixed("Success", noting=True))
    assert found.notes == []
    found.explain(["One."])
    found.explain([" ".join(FOREIGN["German"])])
    assert [note.split(":")[0] for note in found.notes] == [
        "asked 1 times",
        "what is said does not look English, and the lexicons are",
        "asked 2 times",
    ]


# Subjects of all kinds


def test_without_subjects_the_utterance_speaks_for_itself():
    explanations = quick(Fixed()).explain([THRILLED, "This is awful.", "The table is brown."])
    for explanation in explanations:
        polarity = sentiment(explanation.utterance)
        assert explanation.source == "fixed"
        assert explanation.candidates == ()
        assert explanation.priors == (own_sentiment(polarity),)
    thrilled = explanations[0].priors[0]
    assert thrilled.subject == OWN_SENTIMENT
    assert thrilled.polarity == thrilled.intensity == sentiment(THRILLED) > 0.4
    assert thrilled.emotion == nearest_emotion(thrilled.polarity, thrilled.intensity)
    assert explanations[1].priors[0].polarity < -0.4
    assert explanations[2].priors[0] == Prior(OWN_SENTIMENT, "neutral", 0.0, 0.0)


def test_where_nothing_passes_the_utterance_speaks_for_itself():
    (explanation,) = quick(GivenSubjects(("Death", "Success")), Success=0.4).explain([THRILLED])
    assert [c.verdict for c in explanation.candidates] == ["contradicting", "unrelated"]
    assert explanation.priors == (own_sentiment(sentiment(THRILLED)),)


def test_some_may_have_subjects_and_others_none():
    class Choosy(Fixed):
        def propose(self, utterances):
            return [Proposal(("Success",) if "I" in t else (), "choosy") for t in utterances]

    one, two = quick(Choosy()).explain(["A plain thing.", THRILLED])
    assert one.candidates == ()
    assert [candidate.subject for candidate in two.candidates] == ["Success"]


def test_a_subject_that_no_lexicon_knows_is_unknown():
    (explanation,) = quick(GivenSubjects(("Xyzzy Qwfp", "Success"))).explain([THRILLED])
    unknown = next(c for c in explanation.candidates if c.subject == "Xyzzy Qwfp")
    assert (unknown.verdict, unknown.found, unknown.gap) == ("unknown", None, None)
    assert unknown.similarity == 0.9
    assert [prior.subject for prior in explanation.priors] == ["Success"]


def test_candidates_and_priors_come_with_the_most_similar_first():
    scores = {"Success": 0.6, "Loss": 0.95, "Achievement": 0.8, "Victory": 0.7, "Friend": 0.1}
    found = quick(GivenSubjects(tuple(scores)), **scores)
    (explanation,) = found.explain([THRILLED])
    assert [(c.subject, c.similarity, c.cosine) for c in explanation.candidates] == [
        (subject, score, score / 2)
        for subject, score in sorted(scores.items(), key=lambda item: -item[1])
    ]
    verdicts = [candidate.verdict for candidate in explanation.candidates]
    assert verdicts == ["contradicting", "kept", "kept", "kept", "unrelated"]
    assert [p.subject for p in explanation.priors] == ["Achievement", "Victory", "Success"]


def test_equally_similar_ones_keep_the_order_of_the_source():
    names = ("Success", "Achievement", "University Acceptance")
    (explanation,) = quick(GivenSubjects(names)).explain([THRILLED])
    assert tuple(prior.subject for prior in explanation.priors) == names


def test_each_subject_is_related_once_for_all_utterances():
    similarity = GivenSimilarity({}, 0.9)
    source = Fixed("Success", "Loss")
    ExpressiveRecovery(source, similarity=similarity).explain(["One.", "Two.", "One."])
    assert similarity.asked == [(["One.", "Two."], ["Success", "Loss"])]


def test_the_lexicon_that_is_given_decides():
    lexicon = PriorLexicon([Lexicon("mine", {"success": Affect("pride", 0.6, 0.55)})])
    found = ExpressiveRecovery(Fixed("Success", "Victory"), lexicon, GivenSimilarity({}, 0.9))
    (explanation,) = found.explain([THRILLED])
    assert [candidate.verdict for candidate in explanation.candidates] == ["kept", "unknown"]
    assert explanation.priors == (Prior("Success", "pride", 0.6, 0.55),)
