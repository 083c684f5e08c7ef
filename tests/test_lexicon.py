"""The lexicon: the paper's table, the filter of eq. 3, the order, the errors."""

import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from mreactor_ref.emotion import lexicon
from mreactor_ref.emotion.lexicon import (
    OWN_SENTIMENT,
    VaderSource,
    affective_filter,
    read_subjects,
    sentiment,
)
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import EMOTIONS

THRILLED = "I am feeling thrilled!"
HEADER = "subject,emotion,polarity,intensity\n"


@pytest.fixture(scope="module")
def source() -> VaderSource:
    return VaderSource()


def test_the_table_has_the_rows_of_the_paper():
    assert read_subjects()[:3] == (
        Prior("Achievement", "excitement", 0.9, 0.8),
        Prior("University Acceptance", "joy", 0.7, 0.6),
        Prior("Success", "happiness", 0.8, 0.7),
    )


def test_the_table_covers_every_emotion_and_the_range():
    subjects = read_subjects()
    assert len(subjects) >= 120
    assert {prior.emotion for prior in subjects} == set(EMOTIONS) - {"none"}
    assert min(prior.polarity for prior in subjects) <= -0.9
    assert max(prior.polarity for prior in subjects) >= 0.9
    assert {round(prior.polarity) for prior in subjects} == {-1, 0, 1}
    assert min(prior.intensity for prior in subjects) == 0.2
    assert max(prior.intensity for prior in subjects) >= 0.9


def test_every_polarity_of_a_text_has_as_many_subjects_as_the_challenge_has_reactions():
    subjects = read_subjects()
    assert all(len(affective_filter(subjects, p / 20)) >= 10 for p in range(-20, 21))


def test_the_filter_of_the_paper_keeps_its_three_and_drops_the_weak_and_the_mismatched():
    # The paper's seven subjects; adventure and energy burst fall to the semantic filter (eq. 2).
    names = {prior.subject for prior in affective_filter(read_subjects(), sentiment(THRILLED))}
    assert {"Achievement", "University Acceptance", "Success"} <= names
    assert names.isdisjoint({"Overreaction", "Future Plans"})


@pytest.mark.parametrize(
    ("polarity", "intensity", "passes"),
    [
        (0.8, 0.5, True),  # exactly 0.5 away, exactly 0.5 intense
        (0.81, 0.5, False),
        (-0.2, 0.5, True),
        (-0.21, 0.5, False),
        (0.3, 0.49, False),
        (0.3, 1.0, True),
    ],
)
def test_the_thresholds_of_equation_3(polarity, intensity, passes):
    prior = Prior("x", "joy", polarity, intensity)
    assert affective_filter([prior], 0.3) == ([prior] if passes else [])


@pytest.mark.parametrize("text", [THRILLED, "I hate this horrible place.", "It is a table.", ""])
def test_sentiment_is_vaders_compound(text):
    assert sentiment(text) == SentimentIntensityAnalyzer().polarity_scores(text)["compound"]


def test_signs_of_the_priors_follow_the_words(source):
    assert all(p.polarity > 0 for p in source.priors("What a wonderful, lovely, happy day!"))
    assert all(p.polarity < 0 for p in source.priors("This is horrible, I hate it, I am so sad."))
    assert all(abs(p.polarity) <= 0.5 for p in source.priors("The table is made of wood."))


@pytest.mark.parametrize("text", [THRILLED, "I hate it.", "The table is made of wood."])
def test_priors_pass_equation_3_and_come_by_closeness(source, text):
    priors = source.priors(text)
    gaps = [abs(prior.polarity - sentiment(text)) for prior in priors]
    assert len(priors) == 10
    assert gaps == sorted(gaps)
    assert gaps[-1] <= 0.5
    assert min(prior.intensity for prior in priors) >= 0.5


def test_subjects_that_the_words_name_come_first(source):
    priors = source.priors("My FAMILY gave me a gift, what a great holiday!")
    assert {prior.subject for prior in priors[:3]} == {"Family", "Gift", "Holiday"}
    polarity = sentiment("My FAMILY gave me a gift, what a great holiday!")
    gaps = [abs(prior.polarity - polarity) for prior in priors]
    assert gaps[:3] == sorted(gaps[:3])
    assert gaps[3:] == sorted(gaps[3:])
    assert gaps[2] > gaps[3]  # so it is the name that put it there


def test_a_subject_is_named_by_all_of_its_words_and_whole_words():
    subjects = [
        Prior("New Job", "joy", 0.1, 0.6),
        Prior("Art", "joy", 0.2, 0.6),
        Prior("Sun", "joy", 0.0, 0.6),
    ]
    names = [p.subject for p in VaderSource(subjects).priors("The job starts at noon.")]
    assert names == ["Sun", "New Job", "Art"]
    names = [p.subject for p in VaderSource(subjects).priors("A job that is new.")]
    assert names == ["New Job", "Sun", "Art"]


def test_a_named_subject_of_the_wrong_polarity_stays_out(source):
    priors = source.priors("I love this wonderful, happy loss!")
    assert "Loss" not in {prior.subject for prior in priors}


def test_the_number_of_subjects_can_be_set():
    assert VaderSource(most=3).priors(THRILLED) == VaderSource().priors(THRILLED)[:3]


@pytest.mark.parametrize("text", ["", "   ", "...?!"])
def test_a_text_without_words_gives_its_own_sentiment(source, text):
    assert source.priors(text) == (Prior(OWN_SENTIMENT, "neutral", 0.0, 0.0),)


def test_a_text_without_subjects_gives_its_own_sentiment():
    far = VaderSource([Prior("Grief", "sadness", -0.9, 0.9)])
    (prior,) = far.priors(THRILLED)
    assert prior.subject == OWN_SENTIMENT
    assert prior.polarity == prior.intensity == sentiment(THRILLED)
    (prior,) = VaderSource([Prior("Joke", "amusement", 0.9, 0.9)]).priors("I hate it.")
    assert prior.polarity == -prior.intensity == sentiment("I hate it.")


def test_an_utterance_is_looked_up_once(monkeypatch):
    calls = []

    def count(text: str) -> float:
        calls.append(text)
        return 0.5

    monkeypatch.setattr(lexicon, "sentiment", count)
    source = VaderSource()
    assert source.priors("hello") is source.priors("hello")
    source.priors("goodbye")
    assert calls == ["hello", "goodbye"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1 is not the header"),
        ("name,emotion,polarity,intensity\nA,Joy,0,0\n", "line 1 is not the header"),
        (HEADER, "has no subjects"),
        (HEADER + "A,Joy,0.5,0.5\nB,Joy,0.5\n", "line 3 has 3 columns, not 4"),
        (HEADER + "A,Joy,high,0.5\n", "line 2: could not convert string to float: 'high'"),
        (HEADER + "A,Glee,0.5,0.5\n", "line 2: emotion is 'glee', not one of"),
        (HEADER + "A,Joy,1.5,0.5\n", "line 2: polarity is 1.5, not -1 to 1"),
        (HEADER + "A,Joy,nan,0.5\n", "line 2: polarity is nan"),
        (HEADER + "A,Joy,0.5,0.5\na,Joy,0.1,0.5\n", "line 3: subject 'a' is empty or came before"),
        (HEADER + " ,Joy,0.5,0.5\n", "line 2: subject '' is empty"),
        (HEADER + "A,Joy,0.5,0.5\n\nB,Joy\n", "line 4 has 2 columns"),
    ],
)
def test_a_malformed_table_names_the_line(tmp_path, text, problem):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_subjects(path)
    assert problem in str(caught.value)
    assert "mine.csv" in str(caught.value)


def test_a_table_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_subjects(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"Caf\xe9,Joy,0.5,0.5\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_subjects(tmp_path / "latin.csv")


def test_a_table_of_the_user(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(HEADER + '\n"Rain, heavy", Sadness ,-0.5,0.6\n\n')
    assert read_subjects(path) == (Prior("Rain, heavy", "sadness", -0.5, 0.6),)
