"""A server of a language model that fails, and answers that are none, over real HTTP."""

import logging
import socket
import time

import pytest
from fakes.llm import (
    KEY,
    TEXTS,
    THRILLED,
    Table,
    at_most,
    llm_environment,  # noqa: F401  (used by each test)
    lost,
    only,
    source,
)
from fakes.llm_server import Asked, LLMServer, Reply, completion, error, says, subjects

from mreactor_ref.emotion import llm
from mreactor_ref.emotion.llm_client import LARGEST_BODY
from mreactor_ref.emotion.llm_prompt import LARGEST_ANSWER
from mreactor_ref.emotion.subjects import Proposal

# When the server fails


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status):
    with LLMServer([error(status), error(status), subjects("Hope")]) as server:
        asking = source(server.url, retries=2)
        assert only(asking).subjects == ("Hope",)
    assert len(server.asked) == 3
    assert asking.notes == []


def test_retry_after_is_heeded():
    with LLMServer([error(429, Retry_After="0.3"), subjects("Hope")]) as server:
        start = time.perf_counter()
        assert only(source(server.url)).subjects == ("Hope",)
        assert time.perf_counter() - start >= 0.3
    assert len(server.asked) == 2


def test_retry_after_is_heeded_only_so_far():
    with LLMServer([error(429, Retry_After="100")]) as server, at_most(3):
        asking = source(server.url, timeout=0.2, retries=1)
        assert only(asking).source == "table"
    assert asking.notes == [lost("time-out")]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(500, "the server's own words"), "HTTP 500"),
        (error(400, "the server's own words"), "HTTP 400"),
        (Reply(b"<html>", 502, {"Content-Type": "text/html"}), "HTTP 502"),
        (Reply(close_after=-1), "connection failed"),
        (subjects("Hope", close_after=20), "connection failed"),
        (subjects("Hope", delay=5), "time-out"),
        (subjects("Hope", pause=0.02), "time-out"),  # never long without a byte
        (Reply(b"x" * 100, headers={"Content-Encoding": "gzip"}), "connection failed"),
    ],
)
def test_a_server_that_fails(reply, reason):
    table = Table()
    settings = {"timeout": 0.15} if reason == "time-out" else {}
    with LLMServer([reply]) as server, at_most(3):
        asking = source(server.url, table, **settings)
        assert only(asking) == Proposal((f"Table {len(THRILLED)}",), "table")
        asked = len(server.asked)
        assert only(asking).source == "table"  # was not kept
        assert len(server.asked) > asked
    assert asking.notes == [lost(reason)]
    assert table.asked == [THRILLED] * 2
    assert not list(asking.cache.glob("*"))


@pytest.mark.parametrize("reply", [Reply(close_after=-1), subjects("Hope", close_after=20)])
def test_a_lost_connection_is_tried_again(reply):
    with LLMServer([reply, subjects("Hope")]) as server:
        assert only(source(server.url)).subjects == ("Hope",)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "the key was not accepted"),
        (403, "the key may not do this"),
        (404, "no such model or address"),
    ],
)
def test_a_hopeless_server_is_asked_no_more(status, why):
    with LLMServer([error(status, f"wrong key {KEY}")]) as server:
        asking = source(server.url, concurrency=2)
        proposals = asking.propose(TEXTS)
        assert len(server.asked) <= 2
        asking.propose(["again"])
        assert len(server.asked) <= 2
    assert {p.source for p in proposals} == {"table"}
    assert asking.notes == [lost(f"HTTP {status}: {why}", "asked no more")]


def test_a_server_that_fails_for_ever_is_asked_no_more():
    with LLMServer([error(503)]) as server:
        asking = source(server.url, concurrency=2)
        proposals = asking.propose(TEXTS)
    assert 6 <= len(server.asked) <= 8  # three utterances and one in flight beside, each twice
    assert [p.subjects for p in proposals] == [(f"Table {len(text)}",) for text in TEXTS]
    assert asking.notes == [lost("HTTP 503", "asked no more")]


def test_an_unreachable_server(caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    with caplog.at_level(logging.DEBUG, llm.__name__), at_most(3):
        asking = source(url, concurrency=2)
        assert {p.source for p in asking.propose(TEXTS)} == {"table"}
        asking.propose(["more"])
    assert asking.notes == [lost("connection failed", "asked no more")]
    assert 3 <= sum("asking about" in line for line in caplog.messages) <= 4


def test_failures_now_and_then_stop_nothing():
    """Neither a server that fails every other time, nor many bad answers in a row."""

    def script(asked: Asked) -> Reply:
        number = int(asked.text.split()[1])
        return says("no") if number >= 20 else [error(500), subjects("Hope")][number % 2]

    with LLMServer(script) as server:
        asking = source(server.url, Table("the table is small"), concurrency=1, retries=0)
        first, second = asking.propose(TEXTS[:20]), asking.propose(TEXTS[20:])
    assert server.texts == TEXTS
    assert [p.source for p in first] == ["table", "llm:gpt-test"] * 10
    assert [p.source for p in second] == ["table"] * 20
    assert asking.notes == [lost("HTTP 500"), "the table is small"]


def test_a_redirect_is_not_followed():
    with LLMServer([subjects("Elsewhere")]) as other:
        there = Reply(status=307, headers={"Location": f"{other.url}/chat/completions"})
        with LLMServer([there]) as server:
            asking = source(server.url)
            assert only(asking).source == "table"
    assert other.asked == []
    assert asking.notes == [lost("HTTP 307")]


def test_options_that_a_model_refuses_are_left_out():
    """As models that think do with the temperature, and older ones with the schema."""

    def script(asked: Asked) -> Reply:
        if "temperature" in asked.body:
            return error(400, "Unsupported value: does not support 0.", "temperature")
        if "response_format" in asked.body:
            return error(400, "'response_format' of type 'json_schema' is not supported")
        return error(400, "no such seed") if "seed" in asked.body else subjects("Hope")

    with LLMServer(script) as server:
        asking = source(server.url, concurrency=2)
        proposals = asking.propose(["one", "two", "three", "four"])
        assert [p.subjects for p in proposals] == [("Hope",)] * 4
        before = len(server.asked)
        assert only(asking, "five").subjects == ("Hope",)
    assert before <= 2 * 4 + 2
    assert len(server.asked) == before + 1
    assert server.asked[-1].body.keys() == {"model", "messages", "stream", "max_completion_tokens"}
    assert asking.notes == []


# When the answer is not one


def nested(depth: int) -> str:
    return '{"subjects": ' + "[" * depth + "]" * depth + "}"


BAD = {
    "not JSON": (says("Achievement, Success"), "invalid JSON"),
    "half JSON": (says('{"subjects": ["Hope"'), "invalid JSON"),
    "fenced": (says('```json\n{"subjects": ["Hope"]}\n```'), "invalid JSON"),
    "deep": (says(nested(7000)), "invalid JSON"),
    "a large number": (says('{"subjects": ' + "9" * 9000 + "}"), "invalid JSON"),
    "a list": (says(["Hope"]), "an answer of another form"),
    "another key": (says({"topics": ["Hope"]}), "an answer of another form"),
    "one key more": (says({"subjects": ["Hope"], "note": ""}), "an answer of another form"),
    "a string": (says({"subjects": "Hope"}), "an answer of another form"),
    "null": (says("null"), "an answer of another form"),
    "none": (says({"subjects": []}), "no subjects"),
    "no strings": (says({"subjects": [1, None, ["Hope"], {"a": "Hope"}, True]}), "no subjects"),
    "no usable string": (says({"subjects": ["<b>Hope</b>", "", "7"]}), "no subjects"),
    "refusal": (completion({"content": None, "refusal": "I can't."}), "a refusal"),
    "filtered": (says({"subjects": ["Hope"]}, finish="content_filter"), "a refusal"),
    "cut off": (says({"subjects": ["Hope"]}, finish="length"), "an answer that was cut off"),
    "no content": (completion({"content": None}), "a response without an answer"),
    "content in parts": (completion({"content": [{"text": "x"}]}), "a response without an answer"),
    "no choices": (Reply(b'{"choices": []}'), "a response without an answer"),
    "null choices": (Reply(b'{"choices": null}'), "a response without an answer"),
    "empty choice": (Reply(b'{"choices": [null]}'), "a response without an answer"),
    "an error as 200": (Reply(b'{"error": {"message": "x"}}'), "a response without an answer"),
    "body is a list": (Reply(b"[]"), "a response without an answer"),
    "no body": (Reply(), "a response that is not JSON"),
    "web page": (Reply(b"<html>", headers={"Content-Type": "text/html"}),
                 "a response that is not JSON"),
    "not UTF-8": (Reply(b'{"choices": "\xff\xfe"}'), "a response that is not JSON"),
    "deep body": (Reply(b"[" * 100_000), "a response that is not JSON"),
    "long answer": (says({"subjects": ["Hope"] * (LARGEST_ANSWER // 7)}), "an oversized answer"),
    "5 MB": (says({"subjects": ["Hope " * 10**6]}), "an oversized answer"),
    "5 MB of an error": (error(400, "x" * 5 * 10**6), "an oversized answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer(name):
    reply, reason = BAD[name]
    with LLMServer([reply]) as server, at_most(3):
        asking = source(server.url)
        assert only(asking) == Proposal((f"Table {len(THRILLED)}",), "table")
    assert len(server.asked) == 1  # the server did its part: no use in asking again
    assert asking.notes == [lost(reason)]
    assert not list(asking.cache.glob("*"))


def test_a_body_without_end_is_not_read(monkeypatch):
    """The end of this one would come after more than a minute."""
    monkeypatch.setattr("mreactor_ref.emotion.llm_client.LARGEST_BODY", 500)
    with LLMServer([says("x" * 60_000, pause=0.001)]) as server, at_most(5):
        asking = source(server.url, timeout=60)
        assert only(asking).source == "table"
    assert asking.notes == [lost("an oversized answer")]
    assert LARGEST_BODY < 10**6
