"""Subjects from a language model, over real HTTP to a server on loopback."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading

import pytest
from fakes.llm import (
    KEY,
    TEXTS,
    THRILLED,
    Table,
    llm_environment,  # noqa: F401  (used by each test)
    only,
    source,
)
from fakes.llm_server import Asked, LLMServer, Reply, error, subjects

from mreactor_ref.emotion import llm
from mreactor_ref.emotion.llm import LLMSubjects
from mreactor_ref.emotion.llm_client import MOST_TOKENS
from mreactor_ref.emotion.llm_prompt import PROMPT, SCHEMA
from mreactor_ref.emotion.subjects import MOST_PROPOSED, Proposal
from mreactor_ref.errors import UsageError

PAPER = ("Achievement", "University Acceptance", "Success", "Adventure", "Energy Burst",
         "Overreaction", "Future Plans")  # fmt: skip


# What is asked


def test_the_question_and_its_answer():
    with LLMServer([subjects(*PAPER)]) as server:
        asking = source(server.url)
        assert only(asking) == Proposal(PAPER, "llm:gpt-test")
    assert asking.notes == []
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["model"] == "gpt-test"
    assert asked.body["stream"] is False
    assert asked.body["temperature"] == 0
    assert asked.body["seed"] == 0
    assert asked.body["max_completion_tokens"] == MOST_TOKENS
    assert asked.body["messages"] == [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": f'"{THRILLED}"'},
    ]
    assert PROMPT.startswith(
        "Given this utterance, identify the underlying psychological subjects."
    )
    schema = asked.body["response_format"]["json_schema"]
    assert asked.body["response_format"]["type"] == "json_schema"
    assert schema["strict"] is True
    assert schema["schema"] == SCHEMA
    assert schema["schema"]["properties"]["subjects"]["maxItems"] <= MOST_PROPOSED


def test_order_is_kept_and_equal_utterances_are_asked_once():
    def script(asked: Asked) -> Reply:
        number = int(asked.text.split()[1])
        return subjects(f"Subject {number}", delay=0.02 * (6 - number))  # the first answers last

    texts = [f"utterance {n}" for n in (0, 1, 2, 1, 3, 4, 0, 5)]
    with LLMServer(script) as server:
        proposals = source(server.url).propose([*texts, " utterance\n5 "])
    assert [p.subjects for p in proposals] == [
        (f"Subject {n}",) for n in (0, 1, 2, 1, 3, 4, 0, 5, 5)
    ]
    assert sorted(server.texts) == sorted(set(texts))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_utterances_in_flight(concurrency):
    together = threading.Barrier(concurrency, timeout=5)  # answers when so many have come

    def script(asked: Asked) -> Reply:
        together.wait()
        return subjects("Hope", delay=0.02)

    with LLMServer(script) as server:
        proposals = source(server.url, concurrency=concurrency).propose(TEXTS[:12])
    assert {p.subjects for p in proposals} == {("Hope",)}
    assert {p.source for p in proposals} == {"llm:gpt-test"}
    assert server.most_at_once == concurrency


def test_utterances_without_words_are_not_sent():
    with LLMServer([subjects("Hope")]) as server:
        asking = source(server.url)
        proposals = asking.propose(["", " \n", "...!?", "\U0001f600", "Oh!"])
        assert asking.propose([]) == []
    assert [p.subjects for p in proposals] == [(), (), (), (), ("Hope",)]
    assert server.texts == ["Oh!"]
    assert asking.notes == []


def test_long_and_odd_utterances():
    long = "word " * 10_000
    with LLMServer([subjects("Hope")]) as server:
        asking = source(server.url)
        asking.propose([long, "x" + long, "\ud83d half a pair", "L\u00e9a \u5f20"])
    assert sorted(map(len, server.texts)) == [5, 13, 4000, 4000]
    assert "? half a pair" in server.texts
    assert "L\u00e9a \u5f20" in server.texts
    assert asking.notes == [
        "an utterance is longer than 4,000 characters: the language model sees only its start"
    ]


def test_inside_a_running_event_loop():
    async def notebook() -> Proposal:
        return only(asking)

    with LLMServer([subjects("Hope")]) as server:
        asking = source(server.url)
        assert asyncio.run(notebook()).subjects == ("Hope",)


# What is kept


def test_a_second_run_asks_nothing(tmp_path):
    texts = [THRILLED, "We lost.", "L\u00e9a \u5f20"]
    with LLMServer(
        lambda asked: subjects(f"Length {len(asked.text)}", "D\u00e9j\u00e0 vu")
    ) as server:
        first = source(server.url).propose(texts)
        assert source(server.url).propose(texts) == first
        assert len(server.asked) == 3
        source(server.url).propose(["We won."])
        assert len(server.asked) == 4
        LLMSubjects("gpt-other", Table(), base_url=server.url, allow_upload=True).propose(texts)
        assert len(server.asked) == 7
    stopped = source(server.url)
    assert stopped.propose(texts) == first  # the server has gone
    assert stopped.notes == []
    folder = tmp_path / "cache" / "subjects"
    assert stopped.cache == folder
    assert len(list(folder.iterdir())) == 7
    for entry in folder.iterdir():
        assert entry.suffix == ".json"
        assert len(entry.stem) == 64
        assert json.loads(entry.read_text(encoding="utf-8")).keys() == {"subjects"}
        assert "lost" not in entry.read_text(encoding="utf-8")


def test_another_prompt_is_asked_anew(tmp_path, monkeypatch):
    with LLMServer([subjects("Hope")]) as server:
        only(source(server.url, cache=tmp_path / "mine"))
        monkeypatch.setattr(llm, "PROMPT_VERSION", "another")
        only(source(server.url, cache=tmp_path / "mine"))
    assert len(server.asked) == 2
    assert len(list((tmp_path / "mine").iterdir())) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"subjects": []}', b'{"subjects": ["<b>"]}', b"9" * 10**6],
)
def test_a_damaged_entry_is_asked_again(content, tmp_path):
    with LLMServer([subjects("Hope")]) as server:
        only(source(server.url, cache=tmp_path))
        (entry,) = tmp_path.iterdir()
        entry.write_bytes(content)
        asking = source(server.url, cache=tmp_path)
        assert only(asking).subjects == ("Hope",)
        assert len(server.asked) == 2
        assert only(source(server.url, cache=tmp_path)).subjects == ("Hope",)
        assert len(server.asked) == 2
    assert asking.notes == []
    assert list(tmp_path.iterdir()) == [entry]


def test_answers_that_cannot_be_kept_are_used(tmp_path):
    (tmp_path / "file").write_text("")
    with LLMServer([subjects("Hope")]) as server:
        asking = source(server.url, cache=tmp_path / "file")
        proposals = asking.propose(["one", "two"])
    assert [p.subjects for p in proposals] == [("Hope",)] * 2
    assert asking.notes == [f"{tmp_path / 'file'}: answers cannot be kept: File exists"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with LLMServer([subjects("Hope")]) as server:
        asking = source(server.url, cache=tmp_path)
        assert only(asking).subjects == ("Hope",)
    assert asking.notes == [f"{tmp_path}: answers cannot be kept: No space left on device"]
    assert list(tmp_path.iterdir()) == []


# What is agreed to


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, "https://api.openai.com/v1,"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1,"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1,"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1,"),
        ("https://me:password@llm.example/v1?token=secret", "https://llm.example/v1,"),
    ],
)
def test_text_is_not_sent_without_consent(url, shown):
    with pytest.raises(UsageError, match="--allow-upload") as caught:
        LLMSubjects("gpt-test", Table(), base_url=url)
    text = str(caught.value)
    assert f"would be sent to {shown}" in text
    assert "password" not in text
    assert "secret" not in text


def test_the_address_in_the_environment(monkeypatch):
    with LLMServer([subjects("Hope")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(UsageError, match=server.url):
            LLMSubjects("gpt-test", Table())
        assert only(LLMSubjects("gpt-test", Table(), allow_upload=True)).subjects == ("Hope",)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key(value, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(UsageError, match=r"OPENAI_API_KEY is not set .*any word"):
        source("http://127.0.0.1:1/v1")


@pytest.mark.parametrize("value", ["sk-\u00e9", "sk-a\nb", "sk-\x07"])
def test_a_key_that_is_none(value, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds") as caught:
        source("http://127.0.0.1:1/v1")
    assert "sk-" not in str(caught.value)


def test_a_key_with_the_end_of_its_line(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with LLMServer([subjects("Hope")]) as server:
        assert only(source(server.url)).subjects == ("Hope",)
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://a/b", "http://", "http://a:port/", "x"])
def test_an_address_that_is_none(url):
    with pytest.raises(UsageError, match="not an http address"):
        source(url)


@pytest.mark.parametrize(
    "settings", [{"concurrency": 0}, {"timeout": 0}, {"timeout": float("nan")}, {"retries": -1}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(UsageError, match="cannot be asked"):
        source("http://127.0.0.1:1/v1", **settings)
    with pytest.raises(UsageError, match="no name"):
        LLMSubjects(" ", Table(), allow_upload=True)


def test_the_key_is_in_nothing_that_is_kept():
    asking = source("http://127.0.0.1:1/v1")
    assert KEY not in repr(vars(asking)) + repr(asking)


def test_help_does_not_wait_for_the_client():
    code = (
        "import sys, mreactor_ref.emotion.llm;"
        "print([m for m in ('openai', 'httpx2', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_loggers_of_the_client_are_left_alone():
    with LLMServer([error(500), subjects("Hope")]) as server:
        assert only(source(server.url)).subjects == ("Hope",)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
        assert logging.getLogger(name).level == logging.NOTSET
        assert logging.getLogger(name).handlers == []
