"""The prior lexicon: the paper's rows, precedence, how subjects are found; VADER's sentiment."""

import time

import pytest
from vaderSentiment.vaderSentiment import N_SCALAR, SentimentIntensityAnalyzer

from mreactor_ref.emotion.lexicon import (
    OWN_SENTIMENT,
    Found,
    PriorLexicon,
    default_lexicon,
    own_sentiment,
    sentiment,
)
from mreactor_ref.emotion.lexicon_files import parse_lexicon_option, read_subjects
from mreactor_ref.emotion.lexicon_terms import Affect, Lexicon, tidy
from mreactor_ref.emotion.priors import Prior, nearest_emotion
from mreactor_ref.signals import EMOTIONS

THRILLED = "I am feeling thrilled!"

SMALL = Lexicon(
    "small",
    {
        "loss": Affect("sadness", -0.8, 0.6),
        "trust": Affect("contentment", 0.5, 0.4),
        "success": Affect("happiness", 0.8, 0.7),
        "support": Affect("gratitude", 0.6, 0.5),
        "school": Affect(None, 0.0, 0.1),
        "stress": Affect("anxiety", -0.5, 0.7),
        "rain": Affect(None, -0.1, 0.2),
        "hope": Affect("hope", 0.45, 0.5),
        "new job": Affect("excitement", 0.75, 0.7),
        "lack": Affect(None, -0.3, 0.3),
        "rest": Affect(None, 0.0, 0.0),
        "work": Affect(None, 0.05, 0.0),
        "rain, heavy": Affect("fear", -0.6, 0.8),
        "child's play": Affect("amusement", 0.4, 0.4),
    },
)
ONE = PriorLexicon([SMALL])


def found(subject: str, lexicon: PriorLexicon = ONE) -> Found:
    answer = lexicon.find(subject)
    assert answer is not None, subject
    assert answer.prior.subject == subject
    assert lexicon.prior(subject) == answer.prior
    return answer


def values(subject: str, lexicon: PriorLexicon = ONE) -> tuple:
    prior = found(subject, lexicon).prior
    return prior.emotion, pytest.approx(prior.polarity), pytest.approx(prior.intensity)


@pytest.mark.parametrize("row", read_subjects()[:3], ids=lambda row: row.subject)
def test_the_default_has_the_rows_of_the_paper(row):
    assert default_lexicon().find(row.subject) == Found(row, "table", "exact")


def test_the_default_gives_every_row_of_the_table_as_written():
    assert default_lexicon().subjects == read_subjects()
    assert all(default_lexicon().prior(row.subject) == row for row in read_subjects())


def test_the_default_falls_back_on_vader():
    answer = found("Thrilled", default_lexicon())
    assert (answer.lexicon, answer.how) == ("vader", "exact")
    assert answer.prior.polarity == pytest.approx(sentiment("thrilled"), abs=5e-5)


def test_the_default_is_made_once():
    assert default_lexicon() is default_lexicon()


def test_lexicons_of_the_user_come_first_in_their_order():
    mine = Lexicon("mine", {"success": Affect("pride", 0.5, 0.5)})
    second = Lexicon("second", {"success": Affect("joy", 1, 1), "zeal": Affect("joy", 0.5, 0.5)})
    lexicon = default_lexicon([mine, second])
    assert [part.name for part in lexicon.lexicons] == ["mine", "second", "table", "vader"]
    assert found("Success", lexicon).lexicon == "mine"
    assert found("Zeal", lexicon).lexicon == "second"
    assert found("Achievement", lexicon).lexicon == "table"
    assert found("Awful", lexicon).lexicon == "vader"
    assert {row.subject: row for row in lexicon.subjects}["Success"] == Prior(
        "Success", "pride", 0.5, 0.5
    )


def test_a_lexicon_that_knows_another_form_comes_before_later_ones():
    later = Lexicon("later", {"losses": Affect("grief", -1, 1)})
    assert found("Losses", PriorLexicon([SMALL, later])).lexicon == "small"
    assert found("Losses", PriorLexicon([SMALL, later])).how == "inflected"


def test_tables_give_the_subjects_none_twice():
    first = Lexicon("a", {"art": Affect("joy", 1, 1)}, subjects=(Prior("Art", "joy", 1, 1),))
    rows = (Prior("ART", "pride", 0, 0), Prior("Sun", "joy", 0, 0.5))
    entries = {"art": Affect("pride", 0, 0), "sun": Affect("joy", 0, 0.5)}
    lexicon = PriorLexicon([first, Lexicon("b", entries, subjects=rows), SMALL])
    assert lexicon.subjects == (Prior("Art", "joy", 1, 1), Prior("Sun", "joy", 0, 0.5))


@pytest.mark.parametrize(
    "subject",
    ["success", "SUCCESS", " Success! ", "\u201cSuccess\u201d", "the success", "a success"],
)
def test_case_and_what_encloses_a_subject_do_not_count(subject):
    assert values(subject) == ("happiness", 0.8, 0.7)
    assert found(subject).how == "exact"


@pytest.mark.parametrize("subject", ["New Job", "new-job", "new_job", "New   JOB", "my new job"])
def test_hyphens_and_spaces_do_not_count(subject):
    assert values(subject) == ("excitement", 0.75, 0.7)
    assert found(subject).how == "exact"


def test_a_phrase_is_found_as_it_is_written():
    assert values("Rain, Heavy") == ("fear", -0.6, 0.8)
    assert values("Child\u2019s Play") == ("amusement", 0.4, 0.4)


@pytest.mark.parametrize(
    ("subject", "emotion"),
    [("New Jobs", "excitement"), ("Supported", "gratitude"), ("Losses", "sadness")],
)
def test_inflections(subject, emotion):
    assert found(subject).prior.emotion == emotion
    assert found(subject).how == "inflected"


def test_planes_are_no_plans():
    assert PriorLexicon([Lexicon("x", {"plan": Affect(None, 0, 0)})]).find("Planes") is None


def test_words_that_are_not_known_do_not_count():
    assert values("Quantum Success") == ("happiness", 0.8, 0.7)
    assert found("Quantum Success") == Found(ONE.prior("Quantum Success"), "small", "words")


def test_words_weigh_by_their_intensity():
    # Polarity (0.7 * 0.8 + 0.1 * 0) / 0.8; the largest intensity; the label is the nearest.
    assert values("School Success") == ("pride", 0.7, 0.7)
    assert values("Success and Support")[1] == (0.7 * 0.8 + 0.5 * 0.6) / 1.2
    assert values("Work Rest") == ("neutral", 0.025, 0.0)  # where nothing is intense: the mean
    assert found("School Success").how == "words"


def test_the_longest_phrase_counts_as_one():
    assert values("New Job Support")[1] == (0.7 * 0.75 + 0.5 * 0.6) / 1.2
    assert values("Exciting New Jobs") == ("excitement", 0.75, 0.7)


def test_negative_parts_decide():
    assert values("Trust Loss") == ("sadness", -0.8, 0.6)
    assert values("Stress School") == ("anxiety", -0.5, 0.7)
    assert values("Rain Hope") == (nearest_emotion(-0.1, 0.5), -0.1, 0.5)  # -0.1 is negative
    assert values("Loss Stress Trust")[1] == (0.6 * -0.8 + 0.7 * -0.5) / 1.3


def test_what_stands_before_a_preposition_decides():
    assert values("Loss of Trust") == ("sadness", -0.8, 0.6)
    assert values("Success after Loss") == ("happiness", 0.8, 0.7)
    assert values("School for Success")[1] == 0.7  # school is known, but tells nothing
    assert values("Feelings of Loss") == ("sadness", -0.8, 0.6)  # feelings are not known
    assert found("Loss of Trust").how == "words"


@pytest.mark.parametrize(
    "subject",
    [
        *("No Hope", "Without Hope", "never hoping", "Lack of Hope", "lacking hope", "End of Hope"),
        *("Isn't Hopes", "Not a Hope", "Absence of any Hope", "Nothing to hope for", "No-Hope"),
    ],
)
def test_negation_turns_what_follows(subject):
    assert N_SCALAR == -0.74
    assert values(subject) == ("confusion", 0.45 * -0.74, 0.5)
    assert found(subject).how == "negated"


def test_negations_of_several_words_and_of_negations():
    turned = (0.7 * 0.8 + 0.5 * 0.6) / 1.2 * -0.74
    assert values("No Success or Support")[1] == turned
    assert values("Not Without Hope")[1] == 0.45 * 0.74**2
    assert values("Loss without Support")[1] == (0.6 * -0.8 + 0.5 * 0.6 * -0.74) / 1.1
    assert values("Freedom from Stress")[1] == 0.5 * 0.74
    assert values("Hope, not Loss")[1] == (0.5 * 0.45 + 0.6 * 0.8 * 0.74) / 1.1


def test_a_word_of_relief_turns_what_is_negative_before_it():
    assert values("Stress Relief") == (found("Not Stress").prior.emotion, 0.5 * 0.74, 0.7)
    assert values("Stress Success")[1] == (0.7 * 0.5 * 0.74 + 0.7 * 0.8) / 1.4
    assert values("Hope Over") == ("hope", 0.45, 0.5)
    assert values("Success Stress") == ("anxiety", -0.5, 0.7)
    assert found("Stress-Free").how == "negated"


def test_a_negation_with_nothing_to_turn_counts_as_a_word():
    assert values("Lack of Sleep")[1:] == (-0.3, 0.3)
    assert found("Lack of Sleep").how == "words"
    assert values("Lack") == values("Lack of Sleep")
    assert found("Dead End Success").prior.polarity == 0.8  # no "end of"
    assert ONE.find("No Sleep") is None


def test_a_known_phrase_with_a_negation_is_not_turned():
    lexicon = PriorLexicon([SMALL, Lexicon("x", {"no stress": Affect("relief", 0.9, 0.9)})])
    assert found("No Stress", lexicon) == Found(
        Prior("No Stress", "relief", 0.9, 0.9), "x", "exact"
    )
    assert values("Having No Stress", lexicon) == ("relief", 0.9, 0.9)


def test_every_lexicon_that_answered_is_told():
    other = Lexicon("other", {"storm": Affect("fear", -0.5, 0.8)})
    lexicon = PriorLexicon([SMALL, other])
    assert found("Rain Storm Stress", lexicon).lexicon == "small + other"
    assert found("Storm", lexicon).lexicon == "other"


def test_wildcards_are_found_as_inflections():
    lexicon = PriorLexicon([Lexicon("liwc", {}, {"happ": Affect("joy", 0.6, 0.6)})])
    assert found("Happiness", lexicon).how == "inflected"
    assert found("Happy Times", lexicon).how == "words"


@pytest.mark.parametrize("subject", ["", "   ", "?!", "xyzzy", "the", "of", "not", "Quantum Foam"])
def test_nothing_known_is_none(subject):
    assert ONE.find(subject) is None
    assert ONE.prior(subject) is None
    assert PriorLexicon([]).prior(subject or "Success") is None


def test_the_table_predicts_its_own_phrases():
    # Each phrase of several words is left out in turn and found by the others, and VADER.
    vader = parse_lexicon_option("vader")
    table = parse_lexicon_option("table")
    rows = [row for row in table.subjects if " " in row.subject and abs(row.polarity) > 0.15]
    right = []
    for row in rows:
        others = {key: value for key, value in table.entries.items() if key != tidy(row.subject)}
        prior = PriorLexicon([Lexicon("table", others), vader]).prior(row.subject)
        if prior:
            right.append(prior.polarity * row.polarity > 0)
    assert len(right) > 0.5 * len(rows)
    assert sum(right) > 0.8 * len(right)


def test_vaders_intensity_is_near_the_tables():
    vader = parse_lexicon_option("vader")
    pairs = [(row, vader.lookup(row.subject)) for row in read_subjects()]
    both = [(row.intensity, affect.intensity) for row, affect in pairs if affect]
    assert len(both) > 50
    ours = sum(abs(mine - theirs) for mine, theirs in both) / len(both)
    plain = sum(abs(mine - theirs**2) for mine, theirs in both) / len(both)  # |v| / 4
    assert ours < 0.15 < plain


def test_a_long_text_takes_a_moment():
    start = time.process_time()
    assert found("success and hope without words " * 2000, default_lexicon()).how == "negated"
    assert time.process_time() - start < 10


def test_own_sentiment_is_as_intense_as_it_is_polar():
    assert own_sentiment(-0.6) == Prior(OWN_SENTIMENT, "anxiety", -0.6, 0.6)
    assert own_sentiment(0.0) == Prior(OWN_SENTIMENT, "neutral", 0.0, 0.0)


def test_the_table_has_the_rows_of_the_paper():
    assert read_subjects()[:3] == (
        Prior("Achievement", "excitement", 0.9, 0.8),
        Prior("University Acceptance", "joy", 0.7, 0.6),
        Prior("Success", "happiness", 0.8, 0.7),
    )


def test_the_table_covers_every_emotion_and_the_range():
    subjects = read_subjects()
    assert len(subjects) >= 300
    assert {prior.emotion for prior in subjects} == set(EMOTIONS) - {"none"}
    assert min(prior.polarity for prior in subjects) <= -0.9
    assert max(prior.polarity for prior in subjects) >= 0.9
    assert {round(prior.polarity) for prior in subjects} == {-1, 0, 1}
    assert min(prior.intensity for prior in subjects) <= 0.2
    assert max(prior.intensity for prior in subjects) >= 0.9


def test_every_polarity_of_a_text_has_as_many_subjects_as_the_challenge_has_reactions():
    strong = [prior.polarity for prior in read_subjects() if prior.intensity >= 0.5]
    for text in range(-20, 21):
        assert sum(abs(polarity - text / 20) <= 0.5 for polarity in strong) >= 10


@pytest.mark.parametrize("text", [THRILLED, "I hate this horrible place.", "It is a table.", ""])
def test_sentiment_is_vaders_compound(text):
    assert sentiment(text) == SentimentIntensityAnalyzer().polarity_scores(text)["compound"]
