"""Stage 1: the sources of subjects, and what a file of the user's own may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.encoders import GivenSimilarity

from mreactor_ref.emotion.lexicon import PriorLexicon, default_lexicon
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.emotion.subjects import (
    LEXICON,
    LONGEST_SUBJECT,
    MOST_PROPOSED,
    FileSubjects,
    GivenSubjects,
    Proposal,
    TableSubjects,
    check_subjects,
)
from mreactor_ref.errors import UsageError

OWN = {"subject": "Promotion", "emotion": "pride", "polarity": 0.8, "intensity": 0.7}


class Fallback:
    """A source that remembers what it was asked."""

    def __init__(self, *notes: str):
        self.notes = list(notes)
        self.asked: list[list[str]] = []

    def propose(self, utterances):
        self.asked.append(list(utterances))
        return [Proposal((f"About {text}",), "fallback") for text in utterances]


# The table


def test_the_table_proposes_the_most_similar_first():
    similarity = GivenSimilarity({"Loss": 0.2, "Success": 0.9, "Exam": 0.5, "Rain": 0.01})
    table = TableSubjects(similarity)
    expected = Proposal(("Success", "Exam", "Loss", "Rain"), LEXICON)
    assert table.propose(["One.", "Two."]) == [expected] * 2
    assert similarity.asked == [(["One.", "Two."], ["Loss", "Success", "Exam", "Rain"])]
    assert table.notes == []


def test_the_table_proposes_a_bounded_number_and_the_first_of_equals():
    names = [f"Subject {i}" for i in range(100)]
    scores = {name: 0.9 if i >= 90 else 0.4 for i, name in enumerate(names)}
    (proposal,) = TableSubjects(GivenSimilarity(scores)).propose(["One."])
    assert proposal.subjects == (*names[90:], *names[: MOST_PROPOSED - 10])


def test_nothing_said_and_no_table_propose_nothing():
    similarity = GivenSimilarity({"Loss": 0.2})
    assert TableSubjects(similarity).propose([]) == []
    empty = GivenSimilarity({})
    assert TableSubjects(empty).propose(["One.", "Two."]) == [Proposal((), LEXICON)] * 2
    assert similarity.asked == empty.asked == []


# Given ones


def test_given_subjects_are_the_same_for_all():
    given = GivenSubjects(("Success", "Loss"))
    assert given.propose(["One.", "Two."]) == [Proposal(("Success", "Loss"), "given")] * 2
    assert given.propose([]) == []
    assert given.notes == []


def test_subjects_are_tidied_and_none_is_there_twice():
    subjects = ["  New   Job ", "Loss", "new-job", "loss.", "Traffic\nJam", "NEW JOB"]
    assert check_subjects(subjects) == ("New Job", "Loss", "Traffic Jam")
    assert check_subjects([]) == ()


def test_subjects_have_a_bounded_length_and_number():
    longest = "x" * LONGEST_SUBJECT
    assert check_subjects([longest, "y"]) == (longest, "y")
    for subject in (longest + "x", "", "   "):
        with pytest.raises(UsageError, match="does not have 1 to 48 characters"):
            check_subjects(["fine", subject])
    most = [f"Subject {i}" for i in range(MOST_PROPOSED)]
    assert check_subjects([*most, "subject 3"]) == tuple(most)
    with pytest.raises(UsageError, match="25 subjects are more than 24"):
        check_subjects([*most, "Subject 24"])


# A file


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "subjects.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_files_subjects_go_before_the_fallbacks(tmp_path):
    path = write(tmp_path, {"I won!": ["Success", "Luck"], "Hm.": []})
    fallback = Fallback("a note of the fallback")
    source = FileSubjects(path, fallback)
    assert source.propose(["One.", "I won!", "Two.", "Hm.", "One."]) == [
        Proposal(("About One.",), "fallback"),
        Proposal(("Success", "Luck"), "subjects.json"),
        Proposal(("About Two.",), "fallback"),
        Proposal((), "subjects.json"),
        Proposal(("About One.",), "fallback"),
    ]
    assert fallback.asked == [["One.", "Two.", "One."]]


def test_that_utterances_are_missing_is_said_once(tmp_path):
    source = FileSubjects(write(tmp_path, {"I won!": ["Success"]}), Fallback("a note of its own"))
    assert source.notes == ["a note of its own"]
    source.propose(["I won!"])
    assert source.notes == ["a note of its own"]
    for _ in range(2):
        source.propose(["I won!", "Other."])
    assert source.notes == [
        "subjects.json does not have every utterance: the lexicon proposes for others",
        "a note of its own",
    ]


def test_a_file_that_has_all_asks_nobody_else(tmp_path):
    fallback = Fallback()
    source = FileSubjects(write(tmp_path, {"I won!": ["Success"]}), fallback)
    assert source.propose(["I won!"]) == [Proposal(("Success",), "subjects.json")]
    assert source.propose([]) == []
    assert fallback.asked == []
    assert source.notes == []


def test_case_spaces_and_what_encloses_an_utterance_do_not_count(tmp_path):
    source = FileSubjects(write(tmp_path, {' "I  WON,\tDidn\u2019t I?" ': ["Success"]}), Fallback())
    (proposal,) = source.propose(["i won, didn't I"])
    assert proposal.subjects == ("Success",)


def test_a_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "subjects.json"
    path.write_text('{"Schön!": ["Glück"]}', encoding="utf-8-sig")
    assert FileSubjects(path, Fallback()).propose(["schön"])[0].subjects == ("Glück",)


def test_own_priors_go_before_every_lexicon(tmp_path):
    success = {"subject": "success", "emotion": "Fear", "polarity": -1, "intensity": 1}
    path = write(tmp_path, {"I won!": [OWN, success, "Loss"]})
    source = FileSubjects(path, Fallback())
    assert source.propose(["I won!"])[0].subjects == ("Promotion", "success", "Loss")
    lexicon = default_lexicon([source.lexicon])
    assert lexicon.prior("Promotion") == Prior("Promotion", "pride", 0.8, 0.7)
    assert lexicon.prior("Success") == Prior("Success", "fear", -1.0, 1.0)
    assert lexicon.prior("Loss") == default_lexicon().prior("Loss")
    found = lexicon.find("Success")
    assert found is not None
    assert found.lexicon == "subjects.json"


def test_a_file_of_strings_has_no_priors(tmp_path):
    source = FileSubjects(write(tmp_path, {"I won!": ["Success"]}), Fallback())
    assert PriorLexicon([source.lexicon]).prior("Success") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{'I won!': []}", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b'{"a": [' + b"[" * 100_000, "is not JSON"),
        (b"1" * 10_000, "is not JSON"),
        (b"[]", "is not as it should be .*an object of utterances"),
        (b'["I won!"]', "is not as it should be"),
        (b"{}", "is not as it should be"),
        (b"null", "is not as it should be"),
        (b"3", "is not as it should be"),
        (b'"I won!"', "is not as it should be"),
    ],
)
def test_a_file_of_another_form_is_one_line(tmp_path, content, problem):
    path = tmp_path / "subjects.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=problem) as raised:
        FileSubjects(path, Fallback())
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def changed(**values: object) -> dict[str, object]:
    return OWN | values


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ("Success", "does not have a list"),
        ({"subject": "Success"}, "does not have a list"),
        (3, "does not have a list"),
        (None, "does not have a list"),
        ([3], "3 is no subject .*a string, or an object with subject, emotion"),
        ([None], "None is no subject"),
        ([["Success"]], "is no subject"),
        ([{"subject": "Success"}], "is no subject"),
        ([changed(colour="red")], "is no subject"),
        ([changed(emotion="glee")], "emotion is 'glee', not one of"),
        ([changed(emotion=None)], "no string"),
        ([changed(subject=7)], "no string"),
        ([changed(subject=["Success"])], "no string"),
        ([changed(polarity="high")], "no number"),
        ([changed(polarity=True)], "no number"),
        ([changed(intensity=None)], "no number"),
        ([changed(polarity=1.2)], "polarity is 1.2, not -1 to 1"),
        ([changed(polarity=10**400)], "polarity is 1000"),
        ([changed(intensity=-0.1)], "intensity is -0.1, not 0 to 1"),
        ([changed(intensity=float("nan"))], "intensity is nan"),
        ([changed(intensity=float("inf"))], "intensity is inf"),
        ([""], "subject '' does not have 1 to 48 characters"),
        ([changed(subject=" ")], "does not have 1 to 48 characters"),
        (["x" * 49], "does not have 1 to 48 characters"),
        ([f"Subject {i}" for i in range(25)], "25 subjects are more than 24"),
    ],
)
def test_a_wrong_entry_is_named_with_its_utterance(tmp_path, entries, problem):
    path = write(tmp_path, {"Fine.": ["Success"], "I won!": entries})
    with pytest.raises(UsageError, match=problem) as raised:
        FileSubjects(path, Fallback())
    assert str(raised.value).startswith(f"{path}: 'I won!': ")
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, why in [(tmp_path / "nowhere.json", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(UsageError, match=f"cannot be read: {why}") as raised:
            FileSubjects(path, Fallback())
        assert str(raised.value).startswith(f"{path}: ")
